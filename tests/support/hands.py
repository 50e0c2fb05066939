"""A clock that a test sets: who sleeps on it wakes in order, and time stands still while anybody works."""

from __future__ import annotations

import asyncio
import heapq
import itertools

SETTLING_TURNS = 25
"""Turns of the event loop after which whoever was woken sleeps again: memory adapters wait for nothing."""


class HandClock:
    """Keeps `famulus.ports.Clock`."""

    def __init__(self, now: float) -> None:
        self._now = now
        self._sleeping: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleeping, (self._now + seconds, next(self._order), woken))
        await woken

    async def settle(self) -> None:
        """Let everybody work until they sleep."""
        for _ in range(SETTLING_TURNS):
            await asyncio.sleep(0)

    async def reach(self, moment: float) -> None:
        """Let time pass until then, waking whoever sleeps shorter."""
        await self.settle()
        while self._sleeping and self._sleeping[0][0] <= moment:
            due, _, woken = heapq.heappop(self._sleeping)
            if not woken.done():
                self._now = max(self._now, due)
                woken.set_result(None)
                await self.settle()
        self._now = max(self._now, moment)

    def jump(self, moment: float) -> None:
        """Let time pass while nobody is there to be woken."""
        self._now = moment
