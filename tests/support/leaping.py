"""A clock that goes on by itself, and lets hours go by in a moment when a test says so."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress


class LeapingClock:
    """Keeps `famulus.ports.Clock`."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._leapt = asyncio.Event()

    def now(self) -> float:
        return time.time() + self._ahead

    async def sleep(self, seconds: float) -> None:
        until = self.now() + seconds
        while (left := until - self.now()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._leapt.wait()
        if seconds <= 0:
            await asyncio.sleep(0)

    def leap(self, seconds: float) -> None:
        """Let so much time go by, and wake whoever has slept for long enough."""
        self._ahead += seconds
        self._leapt.set()
        self._leapt = asyncio.Event()
