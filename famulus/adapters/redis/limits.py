"""Turns of implementations in Redis or Valkey: a sorted set of leases and the next cell of a rate for each.

Two scripts change them (`take_turn.lua`, `renew_turns.lua`). A server that is away is not waited for: the circuit opens
and each worker keeps the limits for itself until a probe comes through.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from famulus.adapters.redis.circuit import FIRST_PROBE_SECONDS
from famulus.adapters.redis.server import SERVER_ERRORS, TIMEOUT_SECONDS, Server, script
from famulus.errors import LimitsUnavailableError
from famulus.flow.turns import LEASE_SECONDS, LOOK_AGAIN_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from famulus.flow.turns import Limit

log = logging.getLogger(__name__)

_MICRO: Final = 1_000_000


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
        self._server = Server(
            url,
            timeout_seconds=timeout_seconds,
            first_probe_seconds=first_probe_seconds,
            went=_say_that_it_went,
            came_back=_say_that_it_came_back,
        )
        self._take = self._server.redis.register_script(script("take_turn.lua"))
        self._renew = self._server.redis.register_script(script("renew_turns.lua"))

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
        if self._server.is_away:
            return
        try:
            await self._server.redis.zrem(self._keys(name)[0], lease)
        except SERVER_ERRORS as error:
            self._server.give_up(error)

    async def leases(self, name: str) -> list[str] | None:
        """Who has a turn of the implementation now, for those who look. Never raises; ``None``: it cannot be known."""
        if self._server.is_away:
            return None
        try:
            seconds, micros = await self._server.redis.time()
            now = seconds * _MICRO + micros
            held: Any = await self._server.redis.zrangebyscore(self._keys(name)[0], f"({now}", "+inf")
        except SERVER_ERRORS as error:
            self._server.give_up(error)
            return None
        return [lease.decode(errors="replace") for lease in held]

    async def close(self) -> None:
        await self._server.close()

    async def _ask(self, asking: Awaitable[Any]) -> Any:
        if self._server.is_away:
            asking.close()  # type: ignore[attr-defined]  # a coroutine that is not started
            raise LimitsUnavailableError("Redis is away", retry_after=self._server.retry_after)
        try:
            return await asking
        except SERVER_ERRORS as error:
            self._server.give_up(error)
            raise LimitsUnavailableError(f"Redis did not answer: {error}") from error

    def _keys(self, name: str) -> list[str]:
        # The braces make the name the hash tag: in a cluster, both keys lie on one server.
        start = f"famulus:{self._namespace}:{{{name}}}"
        return [f"{start}:turns", f"{start}:rate"]


def _say_that_it_went(error: Exception) -> None:
    log.warning("Redis is away: %s", error, extra={"action": "limits_unavailable"})


def _say_that_it_came_back() -> None:
    log.info("Redis answers again", extra={"action": "limits_available"})
