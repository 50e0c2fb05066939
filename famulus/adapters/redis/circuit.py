"""Who failed is not asked again until a probe has come through: a dead server costs nobody any waiting."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

FIRST_PROBE_SECONDS: Final = 1.0
LAST_PROBE_SECONDS: Final = 10.0
"""The delay between probes doubles up to here."""


class Circuit:
    """Closed while the server answers. Once open, it is probed in the background until it does again."""

    def __init__(
        self, probe: Callable[[], Awaitable[bool]], *, first_probe_seconds: float = FIRST_PROBE_SECONDS
    ) -> None:
        self._probe = probe
        self._first_probe_seconds = first_probe_seconds
        self._delay = 0.0
        self._probing: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return self._probing is not None

    @property
    def retry_after(self) -> float:
        """Seconds after which it may be worth to ask again."""
        return self._delay

    def open(self) -> None:
        """Ask no more. Opening again does nothing."""
        if self._probing is None:
            self._delay = self._first_probe_seconds
            self._probing = asyncio.create_task(self._probe_until_it_answers())

    async def stop(self) -> None:
        """End the probing."""
        probing, self._probing = self._probing, None
        if probing is not None:
            probing.cancel()
            await asyncio.wait([probing])

    async def _probe_until_it_answers(self) -> None:
        await asyncio.sleep(self._delay)
        while not await self._probe():
            self._delay = min(2 * self._delay, LAST_PROBE_SECONDS)
            await asyncio.sleep(self._delay)
        self._probing = None
