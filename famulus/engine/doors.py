"""One at a time finds, loads or creates a run, in the order in which they ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from famulus.ids import RunId


@dataclass(slots=True)
class _Door:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Doors:
    def __init__(self) -> None:
        self._doors: dict[RunId, _Door] = {}

    def __len__(self) -> int:
        """Of how many runs somebody is inside or waits."""
        return len(self._doors)

    @asynccontextmanager
    async def of(self, run_id: RunId) -> AsyncIterator[None]:
        """Nobody else is inside the door of this run meanwhile."""
        door = self._doors.setdefault(run_id, _Door())
        door.users += 1
        try:
            async with door.lock:
                yield
        finally:
            door.users -= 1
            if not door.users:
                self._doors.pop(run_id, None)
