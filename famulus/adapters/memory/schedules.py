"""Schedules in two dictionaries: what is defined, and how far it is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from famulus.ids import ScheduleId
    from famulus.ports import ScheduleProgress, StoredSchedule


class MemoryScheduleStore:
    """Keeps `famulus.ports.ScheduleStore`. Workers of one test share the object."""

    def __init__(self) -> None:
        self._defined: dict[ScheduleId, StoredSchedule] = {}
        self._progress: dict[ScheduleId, ScheduleProgress] = {}

    async def put(self, schedule: StoredSchedule) -> None:
        known = self._defined.get(schedule.schedule_id)
        if known is None or schedule.written_at > known.written_at:
            self._defined[schedule.schedule_id] = schedule

    async def get(self, schedule_id: ScheduleId) -> StoredSchedule | None:
        known = self._defined.get(schedule_id)
        return None if known is None else replace(known, progress=self._progress.get(schedule_id))

    async def all(self) -> Sequence[StoredSchedule]:
        return [replace(self._defined[each], progress=self._progress.get(each)) for each in sorted(self._defined)]

    async def delete(self, schedule: StoredSchedule) -> None:
        known = self._defined.get(schedule.schedule_id)
        if known is not None and known.written_at <= schedule.written_at:
            del self._defined[schedule.schedule_id]
        progress = self._progress.get(schedule.schedule_id)
        if progress is not None and schedule.progress is not None and progress.stamp <= schedule.progress.stamp:
            del self._progress[schedule.schedule_id]

    async def advance(self, schedule_id: ScheduleId, progress: ScheduleProgress) -> None:
        known = self._progress.get(schedule_id)
        if known is None or progress.stamp > known.stamp:
            self._progress[schedule_id] = progress
