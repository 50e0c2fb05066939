"""What there is around a run that keeps it going: the index of open runs, rows of timers, webhooks, its family.

All of it can be behind for a moment, as long as things are on their way. So what is late counts only after a while.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from famulus.engine.audit.starts import DEADLINE_PASSED
from famulus.engine.parents import parent_of
from famulus.flow.status import RUN_ENDED, RunStatus, StepStatus
from famulus.flow.waiting import ForChild, ForWebhook, TimerKey, TimerKind
from famulus.ids import RunId, StepId
from famulus.ports import Hook, RunBirth, RunHead, TimerRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from famulus.engine.audit.subject import Subject
    from famulus.flow.state import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What was found around a run that has not ended."""

    now: float
    grace: float
    """Seconds by which something may be late."""
    at_rest: bool = False
    """No worker has anything left to do: what is due is stuck."""
    in_open_index: bool
    timers: frozenset[TimerKey] | None
    """Those of the run's timers that have a row, at their time; ``None``: it was not looked for them."""
    hooks: Mapping[str, Hook | None] = field(default_factory=dict)
    """By digest, those that were looked for."""
    relatives: Mapping[RunId, tuple[RunBirth, RunHead]] = field(default_factory=dict)
    """Its parent and the children that it waits for, where they exist."""

    def is_late(self, since: float) -> bool:
        return self.now - since > self.grace


def timer_rows(subject: Subject, partition: int) -> Mapping[TimerKey, TimerRow]:
    """The rows that the timers of the run would have."""
    run = subject.state
    return (
        {}
        if run is None
        else {
            key: TimerRow(
                partition=partition,
                due_at=due_at,
                run_id=run.run_id,
                kind=key.kind.value,
                step_id=key.step_id,
                stamp=subject.head.stamp,
            )
            for key, due_at in run.timers.items()
        }
    )


def hooks_of(subject: Subject) -> Mapping[StepId, str]:
    """The digests of the webhooks that steps wait for."""
    return {step_id: waits.token_digest for step_id, waits in _waiting(subject.state) if isinstance(waits, ForWebhook)}


def relatives_of(subject: Subject) -> tuple[RunId, ...]:
    parent = parent_of(subject.rows.birth)
    children = [waits.run_id for _, waits in _waiting(subject.state) if isinstance(waits, ForChild)]
    return (*children, *(() if parent is None else (parent.run_id,)))


def look_around(subject: Subject, around: Around) -> None:
    """The rules. A run that has ended needs nothing any more."""
    run = subject.state
    if run is None or run.status in RUN_ENDED:
        return
    if not around.in_open_index:
        _is_dormant(subject, run, around)
    _nothing_is_overdue(subject, run, around)
    _webhooks_are_known(subject, run, around)
    _children_are_heard(subject, run, around)
    _parent_has_not_left(subject, run, around)
    if around.at_rest and run.status is not RunStatus.PAUSED:
        _nothing_is_due(subject, run)


def _is_dormant(subject: Subject, run: RunState, around: Around) -> None:
    parked = next((step.step_id for step in run.steps.values() if step.status is StepStatus.PARKED), None)
    if run.status is RunStatus.RUNNING or run.pending_joins or parked is not None:
        message = "something of it is to be done, and it is not in the index of open runs: no owner looks after it"
        subject.deviates(parked, "index.lost", message)
        return
    for key, due_at in run.timers.items():
        if around.timers is not None and key not in around.timers:
            message = f"it sleeps until {due_at:.3f} ({key.kind.value}), and no row of a timer will wake it"
            subject.deviates(key.step_id or None, "timer.missing", message)


def _nothing_is_overdue(subject: Subject, run: RunState, around: Around) -> None:
    for key, due_at in run.timers.items():
        if around.is_late(due_at) and not _has_rung(subject, run, key, around):
            message = f"its time came {around.now - due_at:.0f} s ago ({key.kind.value}), and nothing came of it"
            subject.deviates(key.step_id or None, "timer.overdue", f"{message}: does a worker own its partition?")


def _has_rung(subject: Subject, run: RunState, key: TimerKey, around: Around) -> bool:
    """Whether the step may run by now, or stand in line, without a row that says so."""
    if key.kind is TimerKind.STEP:
        return around.in_open_index and run.steps[key.step_id].status is StepStatus.RETRYING
    told = subject.of_step.get(key.step_id, ()) if key.kind is TimerKind.JOIN else ()
    return any(event.type == DEADLINE_PASSED for event in told)


def _webhooks_are_known(subject: Subject, run: RunState, around: Around) -> None:
    for step_id, digest in hooks_of(subject).items():
        if digest not in around.hooks:
            continue
        hook = around.hooks[digest]
        if hook is None:
            subject.deviates(step_id, "hook.missing", "it waits for a webhook that the store does not know")
        elif (hook.run_id, hook.step_id) != (run.run_id, step_id):
            message = f"the webhook that it waits for belongs to {hook.run_id} {hook.step_id}"
            subject.deviates(step_id, "hook.of_another", message)


def _children_are_heard(subject: Subject, run: RunState, around: Around) -> None:
    for step_id, waits in _waiting(run):
        if not isinstance(waits, ForChild) or not around.is_late(subject.head.updated_at):
            continue
        child = around.relatives.get(waits.run_id)
        if child is None and not around.in_open_index:
            message = f"it waits for the child run {waits.run_id}, which was never started"
            subject.deviates(step_id, "child.missing", message)
        elif child is not None and child[1].status in RUN_ENDED and around.is_late(child[1].updated_at):
            message = f"it waits for the child run {waits.run_id}, which is {child[1].status}"
            subject.deviates(step_id, "child.unheard", message)


def _parent_has_not_left(subject: Subject, run: RunState, around: Around) -> None:
    """A child is cancelled with its parent; one that is undoing what it did comes to the end of that first."""
    parent = parent_of(subject.rows.birth)
    found = None if parent is None else around.relatives.get(parent.run_id)
    if parent is None or found is None or run.ending is not None:
        return
    head = found[1]
    if head.status in RUN_ENDED and around.is_late(head.updated_at) and around.is_late(subject.head.updated_at):
        message = f"its parent run {parent.run_id} is {head.status}, and it goes on"
        subject.deviates(None, "child.orphan", message)


def _nothing_is_due(subject: Subject, run: RunState) -> None:
    for step in run.steps.values():
        if step.is_due:
            subject.deviates(step.step_id, "step.stuck", f"it is {step.status.value}, and nobody runs it")
    for step_id in run.pending_joins:
        subject.deviates(step_id, "step.stuck", "it has been reached by all that it needs, and nobody starts it")


def _waiting(run: RunState | None) -> Iterator[tuple[StepId, object]]:
    if run is not None:
        for step in run.steps.values():
            if step.status is StepStatus.WAITING:
                yield step.step_id, step.waiting_for
