"""What is recorded of a step and the events that tell of it are written in one batch: they say the same."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from famulus.engine.audit.subject import RETRY_REQUESTED, Told
from famulus.engine.inheritance import may_change
from famulus.flow.batches import batch_id_of
from famulus.flow.status import StepStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from famulus.engine.audit.subject import Subject
    from famulus.flow.state import StepState
    from famulus.ids import StepId

COMPLETED, FAILED, SKIPPED = "step.completed", "step.failed", "step.skipped"
PROGRESS: Final = frozenset(
    {
        "step.started",
        "step.retrying",
        "step.sleeping",
        "step.waiting",
        "step.parked",
        "step.unparked",
        "step.inherited",
        "step.quarantined",
        "step.released",
        "step.resumed",
        "step.timed_out",
        "batch.scattered",
        COMPLETED,
        FAILED,
        SKIPPED,
    }
)
"""Events that tell of a step itself, rather than of what somebody asked of it."""
HELD: Final = frozenset({"step.inherited", "step.quarantined", "step.released"})
"""What is held against a step that is due; its status stays."""
_TOLD_AT_ONCE: Final[Mapping[StepStatus, frozenset[str]]] = {
    StepStatus.RUNNING: frozenset({"step.started", *HELD}),
    StepStatus.SLEEPING: frozenset({"step.sleeping"}),
    StepStatus.WAITING: frozenset({"step.waiting"}),
    StepStatus.PARKED: frozenset({"step.parked"}),
    StepStatus.RETRYING: frozenset({"step.retrying", "step.unparked", *HELD}),
    StepStatus.COMPLETED: frozenset({COMPLETED}),
    StepStatus.FAILED: frozenset({FAILED}),
    StepStatus.SKIPPED: frozenset({SKIPPED}),
}
"""The event that follows the row in the order of the run."""


def rows_have_events(subject: Subject) -> None:
    at = {event.seq: event for event in subject.events}
    for step in subject.steps.values():
        if step.status is StepStatus.SCHEDULED:
            subject.deviates(step.step_id, "step.stored_as_due", "it is stored as scheduled, which nothing ever is")
        elif subject.is_own(step.seq) and not _is_told(subject, step, at):
            message = f"it is recorded as {step.status.value} (place {step.seq}), and no event tells of that"
            subject.deviates(step.step_id, "event.missing", f"{message}: row and event were not written together")


def _is_told(subject: Subject, step: StepState, at: Mapping[int, Told]) -> bool:
    if step.status is StepStatus.CANCELLED:
        return True  # what ends the run or the wait tells of it
    if step.is_handled:
        return any(event.type == FAILED and "fallback" in event.data for event in subject.of_step.get(step.step_id, ()))
    if step.batch is not None and step.since is not None and step.since != step.seq:
        # Recorded again with other limits, or with its items to be tried again.
        told = subject.of_step.get(step.step_id, ())
        if step.status in (StepStatus.WAITING, StepStatus.COMPLETED):
            wanted = "batch.scattered" if step.status is StepStatus.WAITING else COMPLETED
            return any(event.type == wanted for event in told)
    follows = at.get(step.seq + 1)
    if follows is not None and follows.step_id == step.step_id and follows.type in _TOLD_AT_ONCE[step.status]:
        row = subject.stored[step.step_id]
        return may_change(row) or follows.stamp == row.stamp  # a later owner writes what may change with its own
    if step.status is StepStatus.RETRYING:
        return any(event.type == RETRY_REQUESTED and event.seq < step.seq for event in subject.events)
    return False


def events_have_rows(subject: Subject) -> None:
    retried = max((event.seq for event in subject.events if event.type == RETRY_REQUESTED), default=-1)
    for step_id, told in subject.of_step.items():
        last = next((event for event in reversed(told) if event.type in (COMPLETED, FAILED, SKIPPED)), None)
        if last is None or (last.type != COMPLETED and retried > last.seq):
            continue
        step = subject.steps.get(step_id)
        if step is None:
            message = f"event {last.seq} says {last.type}, and the step has no row: its outcome is lost"
            subject.deviates(step_id, "outcome.lost", message)
        elif not _fits(last, step):
            message = f"event {last.seq} says {last.type}, its row says {step.status.value}: another one was recorded"
            subject.deviates(step_id, "outcome.replaced", message)


def _fits(last: Told, step: StepState) -> bool:
    if last.type == FAILED and "fallback" in last.data:
        return step.is_handled
    wanted = {COMPLETED: StepStatus.COMPLETED, FAILED: StepStatus.FAILED, SKIPPED: StepStatus.SKIPPED}[last.type]
    return step.status is wanted and (last.type == SKIPPED or last.data.get("attempt") == step.attempt)


def one_outcome(subject: Subject) -> None:
    """A step completes once, and fails once for each time that it was tried again on request."""
    for step_id, told in subject.of_step.items():
        types = Counter(event.type for event in told)
        if types[COMPLETED] > 1:
            subject.deviates(step_id, "outcome.twice", f"it has completed {types[COMPLETED]} times")
        if types[FAILED] > 1 + subject.retries:
            message = f"it has failed for good {types[FAILED]} times, and was tried again on request {subject.retries}"
            subject.deviates(step_id, "outcome.twice", message)
        done = next((event for event in told if event.type == COMPLETED), None)
        after = None if done is None else next((e for e in told if e.seq > done.seq and e.type in PROGRESS), None)
        if done is not None and after is not None and after.type != COMPLETED:
            message = f"event {after.seq} says {after.type}, though it had completed (event {done.seq})"
            subject.deviates(step_id, "outcome.not_final", message)


def attempts(subject: Subject) -> None:
    """No step is tried more often than its node says, but for those times that somebody has asked for."""
    for step in subject.steps.values():
        most = _most_attempts(subject, step) + subject.retries
        if step.attempt > most and subject.is_by_blueprint(step.seq):
            subject.deviates(step.step_id, "attempts.too_many", f"it is at attempt {step.attempt} of {most}")
    for step_id, told in subject.of_step.items():
        tried = 0
        for event in told:
            attempt = event.data.get("attempt")
            if not isinstance(attempt, int) or event.type not in PROGRESS:
                continue
            if attempt < tried:
                message = f"event {event.seq} ({event.type}) is of attempt {attempt}, after one of attempt {tried}"
                subject.deviates(step_id, "attempts.backwards", message)
            tried = attempt


def _most_attempts(subject: Subject, step: StepState) -> int:
    if step.item is not None and _gathered(subject, batch_id_of(step)):
        return 1
    return subject.graph.node(step.node_id).config.max_attempts


def _gathered(subject: Subject, batch_id: StepId) -> bool:
    batch = subject.steps.get(batch_id)
    return batch is not None and batch.batch is not None and batch.batch.gather is not None
