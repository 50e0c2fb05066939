"""The last progress of the steps of a run, as one hash in Redis or Valkey. Only shown, so what fails is left out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import msgspec

from famulus.adapters.redis.circuit import FIRST_PROBE_SECONDS
from famulus.adapters.redis.server import SERVER_ERRORS, TIMEOUT_SECONDS, Server
from famulus.ids import StepId
from famulus.ports import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from famulus.ids import RunId

log = logging.getLogger(__name__)

TTL_SECONDS: Final = 24 * 3600
CONNECTIONS: Final = 2


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
        self._server = Server(
            url,
            timeout_seconds=timeout_seconds,
            first_probe_seconds=first_probe_seconds,
            went=_say_that_it_went,
            came_back=lambda: None,
            connections=CONNECTIONS,
        )

    async def show(self, run_id: RunId, step_id: StepId, progress: Progress) -> None:
        if self._server.is_away:
            return
        key = self._key(run_id)
        try:
            async with self._server.redis.pipeline(transaction=False) as pipeline:
                pipeline.hset(key, step_id, msgspec.json.encode(progress))
                pipeline.expire(key, self._ttl_seconds)
                await pipeline.execute()
        except SERVER_ERRORS as error:
            self._server.give_up(error)

    async def of(self, run_id: RunId) -> Mapping[StepId, Progress]:
        if self._server.is_away:
            return {}
        try:
            found: dict[bytes, bytes] = await self._server.redis.hgetall(self._key(run_id))  # type: ignore[assignment]  # nothing is decoded
            return {
                StepId(step_id.decode()): msgspec.json.decode(value, type=Progress) for step_id, value in found.items()
            }
        except SERVER_ERRORS as error:
            self._server.give_up(error)
        except (msgspec.MsgspecError, UnicodeError):
            log.warning("progress of run %s cannot be read", run_id, extra={"action": "progress_unreadable"})
        return {}

    async def close(self) -> None:
        await self._server.close()

    def _key(self, run_id: RunId) -> str:
        return f"famulus:{self._namespace}:{{{run_id}}}:progress"


def _say_that_it_went(error: Exception) -> None:
    log.info("progress is not shown: %s", error, extra={"action": "progress_unavailable"})
