"""A server that nobody depends on: calls to it are short, and while it is away it is not asked at all."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from famulus.adapters.redis.circuit import Circuit

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT_SECONDS: Final = 0.5
CONNECTIONS: Final = 4
HEALTH_CHECK_SECONDS: Final = 30
RESP_PROTOCOL: Final = 2
"""Redis, Valkey and the proxies before them all speak it; what is asked here needs nothing newer."""
SERVER_ERRORS: Final = (RedisError, OSError, TimeoutError)


class Server:
    """Made without touching the server; use it on one event loop, and close it."""

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float,
        first_probe_seconds: float,
        went: Callable[[Exception], None],
        came_back: Callable[[], None],
        connections: int = CONNECTIONS,
    ) -> None:
        """`redis://`, `rediss://` (TLS) and `unix://` URLs; a password in it is never logged.

        `went` is called with the reason when the server is given up, `came_back` when it answers again.
        """
        pool = BlockingConnectionPool.from_url(
            url,
            protocol=RESP_PROTOCOL,
            max_connections=connections,
            timeout=timeout_seconds,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            health_check_interval=HEALTH_CHECK_SECONDS,
            # Once more, at once: an idle connection may have been cut by a server that has restarted since.
            retry=Retry(NoBackoff(), 1),
        )
        self.redis = Redis.from_pool(pool)
        self._went = went
        self._came_back = came_back
        self._circuit = Circuit(self._answers, first_probe_seconds=first_probe_seconds)

    @property
    def is_away(self) -> bool:
        return self._circuit.is_open

    @property
    def retry_after(self) -> float:
        """Seconds after which it may be worth to ask again."""
        return self._circuit.retry_after

    def give_up(self, error: Exception) -> None:
        """Ask no more until a probe has come through."""
        if not self._circuit.is_open:
            self._went(error)
        self._circuit.open()

    async def close(self) -> None:
        await self._circuit.stop()
        await self.redis.aclose(close_connection_pool=True)

    async def _answers(self) -> bool:
        try:
            await self.redis.ping()
        except SERVER_ERRORS:
            return False
        self._came_back()
        return True


def script(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
