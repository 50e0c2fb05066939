"""The last progress of the steps of a run, as one hash in Redis or Valkey. Only shown, so what fails is left out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import msgspec
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from famulus.adapters.redis.circuit import FIRST_PROBE_SECONDS, Circuit
from famulus.ids import StepId
from famulus.ports import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from famulus.ids import RunId

log = logging.getLogger(__name__)

TTL_SECONDS: Final = 24 * 3600
TIMEOUT_SECONDS: Final = 0.5
CONNECTIONS: Final = 2
RESP_PROTOCOL: Final = 2
_SERVER_ERRORS: Final = (RedisError, OSError, TimeoutError)


class RedisProgressBoard:
    """Keeps `famulus.ports.ProgressBoard`. Made without touching the server; use it on one event loop, and close it."""

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "default",
        ttl_seconds: int = TTL_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
        first_probe_seconds: float = FIRST_PROBE_SECONDS,
    ) -> None:
        self._namespace = namespace
        self._ttl_seconds = ttl_seconds
        pool = BlockingConnectionPool.from_url(
            url,
            protocol=RESP_PROTOCOL,
            max_connections=CONNECTIONS,
            timeout=timeout_seconds,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 1),  # an idle connection may have been cut by a server that has restarted since
        )
        self._redis = Redis.from_pool(pool)
        self._circuit = Circuit(self._answers, first_probe_seconds=first_probe_seconds)

    async def show(self, run_id: RunId, step_id: StepId, progress: Progress) -> None:
        if self._circuit.is_open:
            return
        key = self._key(run_id)
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.hset(key, step_id, msgspec.json.encode(progress))
                pipeline.expire(key, self._ttl_seconds)
                await pipeline.execute()
        except _SERVER_ERRORS as error:
            self._open_circuit(error)

    async def of(self, run_id: RunId) -> Mapping[StepId, Progress]:
        if self._circuit.is_open:
            return {}
        try:
            found: dict[bytes, bytes] = await self._redis.hgetall(self._key(run_id))  # type: ignore[assignment]  # nothing is decoded
            return {
                StepId(step_id.decode()): msgspec.json.decode(value, type=Progress) for step_id, value in found.items()
            }
        except _SERVER_ERRORS as error:
            self._open_circuit(error)
        except (msgspec.MsgspecError, UnicodeError):
            log.warning("progress of run %s cannot be read", run_id, extra={"action": "progress_unreadable"})
        return {}

    async def close(self) -> None:
        await self._circuit.stop()
        await self._redis.aclose(close_connection_pool=True)

    def _key(self, run_id: RunId) -> str:
        return f"famulus:{self._namespace}:{{{run_id}}}:progress"

    def _open_circuit(self, error: Exception) -> None:
        if not self._circuit.is_open:
            log.info("progress is not shown: %s", error, extra={"action": "progress_unavailable"})
        self._circuit.open()

    async def _answers(self) -> bool:
        try:
            await self._redis.ping()
        except _SERVER_ERRORS:
            return False
        return True
