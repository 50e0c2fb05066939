"""What is to be done for a schedule now: which ticks are due, and what becomes of one while a run before it lasts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from famulus.engine.scheduling.definition import CatchUp, Overlap, Schedule
from famulus.ports import ScheduleProgress

ON_TIME_SECONDS: Final = 60.0
"""A tick that is found so late is started whatever the catch-up policy: a worker died, another one took over."""
SENT_SECONDS: Final = 60.0
"""A run whose start was sent so lately counts as running though no owner has recorded it yet."""


@dataclass(frozen=True, slots=True)
class Due:
    """The ticks between the last one that was dealt with and now."""

    ticks: tuple[int, ...]
    """Those to be dealt with, in order."""
    newest: int | None
    """The newest of all; ``None``: there is none."""
    missed: int | None
    """The newest of those that are left out. Its run may be there: an owner may have died behind its start."""


def due(schedule: Schedule, progress: ScheduleProgress, now: float) -> Due:
    most = schedule.catch_up_limit + int(ON_TIME_SECONDS) + 1
    found = schedule.newest(most, after=progress.last_tick, until=now)
    on_time = [tick for tick in found if tick >= now - ON_TIME_SECONDS]
    late = found[: len(found) - len(on_time)]
    match schedule.catch_up:
        case CatchUp.ALL:
            taken = late[-schedule.catch_up_limit :]
        case CatchUp.LAST:
            taken = [] if on_time else late[-1:]
        case CatchUp.SKIP:
            taken = []
    left = late[: len(late) - len(taken)]
    return Due((*taken, *on_time), found[-1] if found else None, left[-1] if left else None)


class Standing(Enum):
    """How the run before a tick stands."""

    OVER = auto()
    """It has ended, or there is none."""
    RUNNING = auto()
    SENT = auto()
    """Its start is on the topic, and no owner has recorded it yet."""


class Action(Enum):
    START = auto()
    CANCEL_AND_START = auto()
    LEAVE_OUT = auto()
    LET_WAIT = auto()
    """Until the run before has ended."""
    LOOK_AGAIN = auto()
    """In a moment: what is not recorded yet cannot be cancelled."""


def action(overlap: Overlap, standing: Standing, *, one_waits: bool) -> Action:
    """What becomes of a tick; ``one_waits`` says whether an earlier one waits already."""
    if overlap is Overlap.QUEUE and one_waits:
        return Action.LEAVE_OUT
    if overlap is Overlap.ALLOW or standing is Standing.OVER:
        return Action.START
    match overlap:
        case Overlap.SKIP:
            return Action.LEAVE_OUT
        case Overlap.QUEUE:
            return Action.LET_WAIT
        case Overlap.CANCEL_PREVIOUS:
            return Action.CANCEL_AND_START if standing is Standing.RUNNING else Action.LOOK_AGAIN
