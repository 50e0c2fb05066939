"""What follows from a fact: the heart of famulus.

`advance` takes the state of a run on, and returns the decisions that did it. It waits for nothing, asks no clock and
draws no random number; the same state and fact give the same decisions on every worker. A fact that the state does not
expect (doubled, late, of an attempt that is over, of a run that has ended) gives none. So delivering twice is harmless,
and there is nothing to lock.

    fact ─> advance ─> decisions, each folded into the state ─> one batch in the store, then successors, joins, events

Branches that are not taken are dead paths: each completed, skipped or failed node tells every successor how it comes
(`Arrival`), and a node whose predecessors have all come without firing is skipped, and so on downwards. A failure is
passed on as such, so a join behind it is not started by the other branch. Nothing stalls, and a run has ended when no
step is live.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from famulus.flow import control, outcomes, quarantine, suspensions
from famulus.flow import decisions as d
from famulus.flow import facts as f
from famulus.flow.deciding import REASON_CHARACTERS, Deciding
from famulus.flow.fold import NOT_BEFORE
from famulus.flow.joins import Verdict
from famulus.flow.status import RUN_ENDED, RunStatus, StepStatus

if TYPE_CHECKING:
    from famulus.flow.state import RunState

_NEWS_AFTER_THE_END = (f.StartRefused, f.CommandRefused, f.RetryRequested, f.RerunRequested)


def advance(run: RunState, fact: f.Fact) -> list[d.Decision]:
    """Take the state on by what follows from the fact, and return that; an empty list if it is not news."""
    if run.status in RUN_ENDED and not isinstance(fact, _NEWS_AFTER_THE_END):
        return []
    on = Deciding(run, fact.at)
    _decide(on, fact)
    if run.status not in RUN_ENDED:
        if on.too_long is not None:
            on.cancel_live(on.too_long)
            on.end(RunStatus.FAILED, on.too_long)
        on.turn_idle_loops()
        on.note_whether_waiting()
    return on.decided


def _decide(on: Deciding, fact: f.Fact) -> None:  # noqa: C901, PLR0912  # a table of facts
    match fact:
        case f.RunStarted():
            _run_started(on, fact)
        case f.StepTaken():
            outcomes.step_taken(on, fact)
        case f.StepSucceeded():
            outcomes.step_succeeded(on, fact)
        case f.StepFailed():
            outcomes.step_failed(on, fact)
        case f.StepSuspended():
            suspensions.step_suspended(on, fact)
        case f.BatchScattered():
            suspensions.batch_scattered(on, fact)
        case f.TimerDue():
            suspensions.timer_due(on, fact)
        case f.StepResumed():
            suspensions.step_resumed(on, fact)
        case f.SignalReceived():
            suspensions.signal_received(on, fact)
        case f.ChildEnded():
            suspensions.child_ended(on, fact)
        case f.BatchLimited():
            suspensions.batch_limited(on, fact)
        case f.StepParked():
            _step_parked(on, fact)
        case f.StepUnparked():
            _step_unparked(on, fact)
        case f.StepsInherited() | f.StepQuarantined() | f.StepReleased():
            quarantine.decide(on, fact)
        case f.JoinCounted():
            _join_counted(on, fact)
        case f.CancelRequested():
            control.cancel_requested(on, fact)
        case f.PauseRequested():
            control.pause_requested(on, fact)
        case f.UnpauseRequested():
            control.unpause_requested(on, fact)
        case f.RetryRequested():
            control.retry_requested(on, fact)
        case f.RerunRequested():
            control.rerun_requested(on, fact)
        case f.CommandRefused():
            control.refuse(on, fact.command, fact.by, fact.reason[:REASON_CHARACTERS])
        case f.StartRefused():
            on.event("run.start_refused", {"detail": fact.detail[:REASON_CHARACTERS]})
        case _:
            assert_never(fact)


def _run_started(on: Deciding, fact: f.RunStarted) -> None:
    if on.run.steps or on.run.next_seq:
        return
    blueprint = on.graph.blueprint
    told = {"blueprint": blueprint.id, "version": blueprint.version}
    if fact.by:
        told["by"] = fact.by[:REASON_CHARACTERS]
    if fact.not_before is not None and fact.not_before > fact.at:
        on.event("run.scheduled", {**told, "at": fact.not_before})
        on.write(NOT_BEFORE, fact.not_before)
        on.set_status(RunStatus.WAITING)
        return
    on.event("run.started", told)
    suspensions.begin(on)


def _step_parked(on: Deciding, fact: f.StepParked) -> None:
    known = outcomes.due(on, fact.step_id, fact.attempt)
    if known is None:
        return
    on.record(known, status=StepStatus.PARKED, attempt=fact.attempt, reason=fact.reason)
    on.event("step.parked", on.about(known, reason=fact.reason))


def _step_unparked(on: Deciding, fact: f.StepUnparked) -> None:
    known = on.run.steps.get(fact.step_id)
    if known is None or known.status is not StepStatus.PARKED or known.suspicion is not None:
        return  # one that has spent its crash budget is tried again by whoever asks for that, and by nobody else
    on.record(known, status=StepStatus.RETRYING, reason=None)
    on.event("step.unparked", on.about(known))
    on.decide(d.RunStep(known.step_id, known.node_id, known.attempt, known.item))


def _join_counted(on: Deciding, fact: f.JoinCounted) -> None:
    if fact.step_id not in on.run.pending_joins:
        return
    progress = on.run.joins[fact.step_id]
    node_id = on.run.join_nodes[fact.step_id]
    # A count may be behind the rows, never ahead of them: what it has more was not recorded.
    counts = fact.counts.at_most(progress.counts)
    if on.verdict(node_id, counts) is Verdict.WAIT:
        if on.run.rounds.get(node_id):
            on.decide(d.ArriveAtJoin(fact.step_id, node_id, {}, fact.at))
        return
    on.resolve_join(node_id, counts)
    on.end_if_nothing_is_live()
