"""Where a run stands is what its steps say, and the events of the run tell the same."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final

from famulus.engine.audit.outcomes import PROGRESS
from famulus.engine.audit.subject import FORKED, MIGRATED, RETRY_REQUESTED
from famulus.engine.loader import state_of
from famulus.flow.deciding import Deciding
from famulus.flow.status import RUN_ENDED, RunStatus
from famulus.flow.waiting import TimerKey, TimerKind
from famulus.ids import StepId

if TYPE_CHECKING:
    from famulus.engine.audit.subject import Subject

ENDS: Final = {f"run.{status.value}": status for status in RUN_ENDED}
BEGINNINGS: Final = frozenset({"run.started", "run.scheduled", FORKED})
GOES_ON: Final = frozenset({RETRY_REQUESTED, "run.rerun_requested"})
"""What operators ask for, and what a run that has ended lives again by."""
_START: Final = TimerKey(TimerKind.START, StepId(""))
_OF_A_LIVE_RUN: Final = (
    PROGRESS
    | ENDS.keys()
    | {"join.deadline_passed", "signal.received", "run.paused", "run.unpaused", "run.compensating", MIGRATED}
)
"""Other events may be news of a run that has ended, now or in a later version."""


def nothing_is_live_after_the_end(subject: Subject) -> None:
    if subject.head.status not in RUN_ENDED:
        return
    for step in subject.steps.values():
        if step.is_live:
            message = f"it is {step.status.value}, though the run is {subject.head.status}: nobody goes on with it"
            subject.deviates(step.step_id, "run.ended_alive", message)


def ended_at(subject: Subject) -> None:
    if (subject.head.ended_at is None) == (subject.head.status in RUN_ENDED):
        message = f"the run is {subject.head.status}, and its end is {subject.head.ended_at}"
        subject.deviates(None, "run.end_time", message)


def status_is_that_of_the_steps(subject: Subject) -> None:
    """Say what the heart would do now, were it asked: a run that is well has had all of it done."""
    if subject.state is None:
        return
    run = subject.state
    if run.status in RUN_ENDED:
        if run.status is RunStatus.COMPLETED and run.failures:
            message = f"the run is completed, though step {run.first_failure} failed with nothing to stand in for it"
            subject.deviates(run.first_failure, "run.completed_in_spite", message)
        return
    if not run.live and _START not in run.timers and _would_end(subject):
        message = f"the run is {run.status.value}, and nothing of it is live or due: it waits for nothing"
        subject.deviates(None, "run.waits_for_nothing", message)
        return
    if any(key.kind is TimerKind.JOIN and at <= subject.head.updated_at for key, at in run.timers.items()):
        return  # a join that started at its deadline has no row yet, and would start by it again
    on = Deciding(copy.copy(run), subject.head.updated_at)  # of which only the status is changed
    on.note_whether_waiting()
    if on.decided:
        message = f"the run is {run.status.value}, but its steps say {on.run.status.value}"
        subject.deviates(None, "run.status_wrong", message)


def _would_end(subject: Subject) -> bool:
    run = state_of(subject.graph, subject.rows, limits=subject.limits)
    on = Deciding(run, subject.head.updated_at)
    on.end_if_nothing_is_live()
    return bool(on.decided)


def events_of_the_run(subject: Subject) -> None:
    """It begins once; it ends, and goes on after that only on request; head and events say the same."""
    ended: str | None = None
    paused = False
    for place, event in enumerate(subject.events):
        if (place == 0) != (event.type in BEGINNINGS):
            message = f"event {event.seq} is {event.type}: " + (
                "a run begins otherwise" if place == 0 else "a run begins once"
            )
            subject.deviates(None, "run.begins", message)
        if ended is not None and event.type in _OF_A_LIVE_RUN:
            message = f"event {event.seq} is {event.type}, though the run had ended ({ended}) and nobody let it go on"
            subject.deviates(event.step_id, "run.after_the_end", message)
        if event.type in GOES_ON:
            ended = None
        if event.type in ENDS:
            ended, paused = event.type, False
        elif event.type in ("run.paused", "run.unpaused", "run.compensating"):
            paused = event.type == "run.paused"
    _head_agrees(subject, ended, paused=paused)


def _head_agrees(subject: Subject, ended: str | None, *, paused: bool) -> None:
    status = subject.head.status
    told = None if ended is None else ENDS[ended]
    if (told or status in RUN_ENDED) and told != status:
        message = f"the run is {status}, but its events say {'that it has not ended' if told is None else told.value}"
        subject.deviates(None, "run.status_untold", message)
    elif told is None and paused != (status == RunStatus.PAUSED):
        message = f"the run is {status}, but its events say that it is {'paused' if paused else 'not paused'}"
        subject.deviates(None, "run.status_untold", message)
