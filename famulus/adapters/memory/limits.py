"""Turns kept in this process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from famulus.flow.turns import LEASE_SECONDS, Limit, TurnBook

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class MemoryLimits:
    """Keeps `famulus.ports.Limits`."""

    def __init__(self, *, lease_seconds: float = LEASE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._book = TurnBook(lease_seconds=lease_seconds)
        self._clock = clock

    async def take(self, limit: Limit, lease: str) -> float:
        return self._book.take(limit, lease, now=self._clock())

    async def renew(self, held: Mapping[str, str]) -> None:
        for lease, name in held.items():
            self._book.renew(name, lease, now=self._clock())

    async def give_back(self, name: str, lease: str) -> None:
        self._book.give_back(name, lease)

    def clear(self) -> None:
        """Lose everything, as a Redis that was flushed."""
        self._book.clear()
