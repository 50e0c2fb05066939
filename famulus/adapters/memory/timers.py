"""Timers in a dictionary for each partition."""

from __future__ import annotations

import heapq
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from famulus.ports import TimerRow

_Key = tuple[float, str, str, str]


class MemoryTimerStore:
    """Keeps `famulus.ports.TimerStore`. The store of the runs puts the timers of its commits here."""

    def __init__(self) -> None:
        self._timers: defaultdict[int, dict[_Key, TimerRow]] = defaultdict(dict)

    async def due(self, partition: int, *, until: float, limit: int) -> Sequence[TimerRow]:
        timers = self._timers.get(partition, {})
        earliest = heapq.nsmallest(limit, (key for key in timers if key[0] <= until))
        return tuple(timers[key] for key in earliest)

    async def put(self, rows: Sequence[TimerRow]) -> None:
        self.keep(rows)

    def keep(self, rows: Sequence[TimerRow]) -> None:
        for row in rows:
            timers, key = self._timers[row.partition], _key(row)
            known = timers.get(key)
            if known is None or row.stamp > known.stamp:
                timers[key] = row

    async def stored(self, rows: Sequence[TimerRow]) -> Sequence[TimerRow]:
        return tuple(row for row in rows if _key(row) in self._timers.get(row.partition, {}))

    async def fired(self, rows: Sequence[TimerRow]) -> None:
        for row in rows:
            timers, key = self._timers[row.partition], _key(row)
            known = timers.get(key)
            if known is not None and known.stamp <= row.stamp:
                del timers[key]


def _key(row: TimerRow) -> _Key:
    return row.due_at, row.run_id, row.kind, row.step_id
