"""Turns of implementations in Redis or Valkey: a sorted set of leases and the next cell of a rate for each.

Two scripts change them (`take_turn.lua`, `renew_turns.lua`). A server that is away is not waited for: the circuit opens
and each worker keeps the limits for itself until a probe comes through.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from famulus.adapters.redis.circuit import FIRST_PROBE_SECONDS, Circuit
from famulus.errors import LimitsUnavailableError
from famulus.flow.turns import LEASE_SECONDS, LOOK_AGAIN_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from famulus.flow.turns import Limit

log = logging.getLogger(__name__)

TIMEOUT_SECONDS: Final = 0.5
CONNECTIONS: Final = 4
HEALTH_CHECK_SECONDS: Final = 30
RESP_PROTOCOL: Final = 2
_MICRO: Final = 1_000_000
_SERVER_ERRORS: Final = (RedisError, OSError, TimeoutError)


class RedisLimits:
    """Keeps `famulus.ports.Limits`. Made without touching the server; use it on one event loop, and close it."""

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "default",
        lease_seconds: float = LEASE_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
        first_probe_seconds: float = FIRST_PROBE_SECONDS,
    ) -> None:
        self._namespace = namespace
        self._lease = round(lease_seconds * _MICRO)
        pool = BlockingConnectionPool.from_url(
            url,
            protocol=RESP_PROTOCOL,
            max_connections=CONNECTIONS,
            timeout=timeout_seconds,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            health_check_interval=HEALTH_CHECK_SECONDS,
            retry=Retry(NoBackoff(), 1),  # an idle connection may have been cut by a server that has restarted since
        )
        self._redis = Redis.from_pool(pool)
        self._take = self._redis.register_script(_script("take_turn.lua"))
        self._renew = self._redis.register_script(_script("renew_turns.lua"))
        self._circuit = Circuit(self._answers, first_probe_seconds=first_probe_seconds)

    async def take(self, limit: Limit, lease: str) -> float:
        interval = limit.interval * _MICRO
        arguments = (
            lease,
            self._lease,
            limit.concurrency or 0,
            interval,
            max(0.0, limit.seconds * _MICRO - interval) if limit.starts else 0,
            round(LOOK_AGAIN_SECONDS * _MICRO),
        )
        wait = await self._ask(self._take(keys=self._keys(limit.name), args=arguments))
        return float(wait) / _MICRO

    async def renew(self, held: Mapping[str, str]) -> None:
        leases: defaultdict[str, list[str]] = defaultdict(list)
        for lease, name in held.items():
            leases[name].append(lease)
        for name, those in leases.items():
            await self._ask(self._renew(keys=self._keys(name)[:1], args=(self._lease, *those)))

    async def give_back(self, name: str, lease: str) -> None:
        if self._circuit.is_open:
            return
        try:
            await self._redis.zrem(self._keys(name)[0], lease)
        except _SERVER_ERRORS as error:
            self._open_circuit(error)

    async def leases(self, name: str) -> list[str] | None:
        """Who has a turn of the implementation now, for those who look. Never raises; ``None``: it cannot be known."""
        if self._circuit.is_open:
            return None
        try:
            seconds, micros = await self._redis.time()
            now = seconds * _MICRO + micros
            held: Any = await self._redis.zrangebyscore(self._keys(name)[0], f"({now}", "+inf")
        except _SERVER_ERRORS as error:
            self._open_circuit(error)
            return None
        return [lease.decode(errors="replace") for lease in held]

    async def close(self) -> None:
        await self._circuit.stop()
        await self._redis.aclose(close_connection_pool=True)

    async def _ask(self, asking: Awaitable[Any]) -> Any:
        if self._circuit.is_open:
            asking.close()  # type: ignore[attr-defined]  # a coroutine that is not started
            raise LimitsUnavailableError("Redis is away", retry_after=self._circuit.retry_after)
        try:
            return await asking
        except _SERVER_ERRORS as error:
            self._open_circuit(error)
            raise LimitsUnavailableError(f"Redis did not answer: {error}") from error

    def _keys(self, name: str) -> list[str]:
        # The braces make the name the hash tag: in a cluster, both keys lie on one server.
        start = f"famulus:{self._namespace}:{{{name}}}"
        return [f"{start}:turns", f"{start}:rate"]

    def _open_circuit(self, error: Exception) -> None:
        if not self._circuit.is_open:
            log.warning("Redis is away: %s", error, extra={"action": "limits_unavailable"})
        self._circuit.open()

    async def _answers(self) -> bool:
        try:
            await self._redis.ping()
        except _SERVER_ERRORS:
            return False
        log.info("Redis answers again", extra={"action": "limits_available"})
        return True


def _script(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
