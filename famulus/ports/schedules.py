"""Where schedules are kept, and how far they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from famulus.ids import UNSTAMPED, ScheduleId, Stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleProgress:
    """How far the owner of a schedule has come. Ticks are whole seconds since the Unix epoch."""

    last_tick: int
    """Nothing is left to do for this tick and earlier ones, but for the one that waits."""
    started: int | None = None
    """The newest tick whose run was started."""
    sent_at: float | None = None
    """When that was."""
    waiting: int | None = None
    """The tick whose run is started when the run before it has ended."""
    stamp: Stamp = UNSTAMPED


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSchedule:
    schedule_id: ScheduleId
    body: bytes
    """JSON object: what is started, and when."""
    written_at: float
    """Seconds since the Unix epoch, to the microsecond, by the clock of the writer."""
    progress: ScheduleProgress | None = None


class ScheduleStore(Protocol):
    """Schedules with their progress. Whoever defines them writes the one, their owner the other: neither the other's.

    Two that define a schedule at the same moment may each see itself first; the one with the later `written_at` stays.
    """

    async def put(self, schedule: StoredSchedule) -> None:
        """Store id, body and time; what was written later stays as it is. The progress is left alone."""
        ...

    async def get(self, schedule_id: ScheduleId) -> StoredSchedule | None: ...

    async def all(self) -> Sequence[StoredSchedule]:
        """By id, with their progress."""
        ...

    async def delete(self, schedule: StoredSchedule) -> None:
        """Remove a schedule as it was read, with its progress: what was written later stays."""
        ...

    async def advance(self, schedule_id: ScheduleId, progress: ScheduleProgress) -> None:
        """Store the progress; one with a higher stamp stays as it is. It may outlive its schedule."""
        ...
