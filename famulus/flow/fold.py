"""Carry decisions into the state of a run: the only place that changes a `RunState`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from famulus.blueprint.values import ABSENT
from famulus.flow import decisions as d
from famulus.flow.arrivals import Arrival, JoinProgress
from famulus.flow.joins import Verdict, verdict_of
from famulus.flow.state import RunState, StepState
from famulus.flow.status import RUN_ENDED, StepStatus
from famulus.ids import NodeId, StepId


def fold(run: RunState, decided: Iterable[d.Decision]) -> None:
    """Change the state as the decisions say. Order matters; the cost is that of the decisions, not of the run."""
    for decision in decided:
        match decision:
            case d.RecordStep(step):
                put(run, step)
                run.next_seq = max(run.next_seq, step.seq + 1)
                if step.status is StepStatus.COMPLETED:
                    complete(run, step)
            case d.WriteContext(key, value, seq):
                write(run, key, value)
                run.next_seq = max(run.next_seq, seq + 1)
            case d.RecordEvent(seq=seq):
                run.next_seq = max(run.next_seq, seq + 1)
            case d.SetStatus(status, reason, at):
                run.status, run.reason = status, reason
                run.ended_at = at if status in RUN_ENDED else None
            case d.RunStep(step_id, node_id, attempt, _):
                schedule(run, step_id, node_id, attempt)
            case d.ArriveAtJoin(step_id, arrivals):
                arrive(run, step_id, arrivals)
            case d.CallFallback(step_id, calls):
                call(run, step_id, calls)
            case d.StopStep():
                pass


def complete(run: RunState, step: StepState) -> None:
    """Make a completed step's output visible: under its own name, and as the input of those its edges lead to.

    The edges of a step that its fallback stands in for deliver what the fallback gave.
    """
    run.context[step.node_id] = step.output
    speaker = run.speaker_of(step) or step
    for index in step.fired:
        route = run.graph.route(index)
        if route.transform is None:
            run.context[f"_inputs.{route.target}"] = speaker.output
        else:
            # The value itself comes as a context row of its own, for it was computed from the context of that moment.
            run.bound.add(route.target)


def write(run: RunState, key: str, value: object) -> None:
    if value is ABSENT:
        run.context.pop(key, None)
    else:
        run.context[key] = value


def schedule(run: RunState, step_id: StepId, node_id: NodeId, attempt: int) -> None:
    """Note that the step is due. A step that was recorded as retrying keeps its record."""
    known = run.steps.get(step_id)
    if known is None:
        put(run, StepState(step_id=step_id, node_id=node_id, status=StepStatus.SCHEDULED, attempt=attempt))


def arrive(run: RunState, step_id: StepId, arrivals: Mapping[NodeId, Arrival]) -> None:
    """Let predecessors come to a join, and remember it as pending if that decides it."""
    run.joins.setdefault(step_id, JoinProgress()).add(arrivals)
    _note_if_decided(run, step_id)


def call(run: RunState, step_id: StepId, calls: Mapping[NodeId, Arrival]) -> None:
    """Let nodes say whether they need their fallback, and remember it as pending if that decides it."""
    run.joins.setdefault(step_id, JoinProgress())
    run.calls.setdefault(step_id, JoinProgress()).add(calls)
    _note_if_decided(run, step_id)


def _note_if_decided(run: RunState, step_id: StepId) -> None:
    calls = run.calls.get(step_id, JoinProgress()).counts
    if verdict_of(run.graph, NodeId(step_id), run.joins[step_id].counts, calls) is not Verdict.WAIT:
        run.pending_joins.add(step_id)


def put(run: RunState, step: StepState) -> None:
    """Set a step, and keep the counts that are derived from it."""
    before = run.steps.get(step.step_id)
    run.live += step.is_live - (before is not None and before.is_live)
    run.steps[step.step_id] = step
    run.pending_joins.discard(step.step_id)
    run.joins.pop(step.step_id, None)
    run.calls.pop(step.step_id, None)
    if step.status is StepStatus.FAILED and run.first_failure is None:
        run.first_failure = step.step_id
