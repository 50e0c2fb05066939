"""Looks at the rows all the time: which runs are open, which have moved, and how long it takes them after a fault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from support.findings import Records

from famulus.engine.reading import is_ended
from famulus.errors import RetryableError

LOOK_SECONDS: Final = 0.5


@dataclass(slots=True)
class Recovery:
    """Of the runs that were open when a fault ended, those that have not moved yet."""

    kind: str
    ended_at: float
    waiting: set[str]
    seconds: float | None = None
    """From the end of the fault until all of them had moved; ``None`` while some have not."""


@dataclass
class Watch:
    records: Records
    accepted: Mapping[str, object]
    now: Callable[[], float]
    ended: set[str] = field(default_factory=set)
    recoveries: list[Recovery] = field(default_factory=list)
    moved_at: list[float] = field(default_factory=list)
    """Moments at which any run was seen to have moved."""
    _places: dict[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def open_runs(self) -> list[str]:
        return [run_id for run_id in self.accepted if run_id not in self.ended]

    def fault_ended(self, kind: str) -> None:
        self.recoveries.append(Recovery(kind, self.now(), set(self.open_runs)))

    async def look_for_ever(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        asked = self.open_runs
        try:
            places = await self.records.progress(asked)
        except RetryableError:
            return  # the store is one of those that are made to stop
        now = self.now()
        moved = {run_id for run_id, place in places.items() if self._places.get(run_id) != place}
        if moved:
            self.moved_at.append(now)
        self._places.update(places)
        self.ended |= {run_id for run_id, (status, _) in places.items() if is_ended(status)}
        for recovery in self.recoveries:
            recovery.waiting -= moved
            if recovery.seconds is None and not recovery.waiting:
                recovery.seconds = now - recovery.ended_at

    def longest_stop(self, since: float, until: float) -> float:
        """The longest time in which no run moved."""
        moments = [since, *(at for at in self.moved_at if since < at < until), until]
        return max(later - earlier for earlier, later in pairwise(moments))
