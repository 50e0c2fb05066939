"""The state of a run from what is recorded of it: the same state that its owner had in memory.

What is due is not stored anywhere. It follows from the outcomes that are: a join that is complete but has no row is
pending, a node that an edge fired into but has no row is scheduled. So a crash between a commit and what was to follow
it loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from famulus.flow.arrivals import Arrival, JoinProgress
from famulus.flow.fold import arrive, call, complete, put, schedule, write
from famulus.flow.joins import Verdict, verdict_of
from famulus.flow.state import RunState, StepState
from famulus.flow.status import RUN_ENDED, RunStatus, StepStatus
from famulus.ids import NodeId, RunId, StepId

if TYPE_CHECKING:
    from famulus.blueprint.graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextWrite:
    key: str
    value: Any
    """`ABSENT`: the key was deleted."""
    seq: int


def rebuild(
    graph: Graph,
    *,
    run_id: RunId,
    status: RunStatus,
    reason: str | None,
    ended_at: float | None,
    initial: Mapping[str, Any],
    steps: Iterable[StepState],
    writes: Iterable[ContextWrite],
    next_seq: int,
) -> RunState:
    """Replay recorded steps and context writes in the order of their sequence numbers, then derive what is due."""
    run = RunState(run_id=run_id, graph=graph, status=status, reason=reason, ended_at=ended_at, context=dict(initial))
    ways = _Ways(run)
    entries: list[StepState | ContextWrite] = [*steps, *writes]
    for entry in sorted(entries, key=attrgetter("seq")):
        if isinstance(entry, ContextWrite):
            write(run, entry.key, entry.value)
            continue
        put(run, _with_cause(ways, entry))
        if entry.status is StepStatus.COMPLETED:
            complete(run, entry)
            ways.note_fired(entry)
    run.next_seq = next_seq
    if status not in RUN_ENDED:
        _derive_due(run, ways)
    return run


def _with_cause(ways: _Ways, step: StepState) -> StepState:
    if step.status is not StepStatus.SKIPPED:
        return step
    came = (ways.arrival(source, step.node_id) for source in ways.run.graph.predecessors(step.node_id))
    return replace(step, blocked=Arrival.FAILED in came)


def _derive_due(run: RunState, ways: _Ways) -> None:
    for node_id in run.graph.start_nodes:
        schedule(run, StepId(node_id), node_id, 1)
    for step in sorted(run.steps.values(), key=attrgetter("seq")):
        for target in run.graph.successors(step.node_id):
            arrival = ways.arrival(step.node_id, target)
            if StepId(target) in run.steps or arrival is None:
                continue
            if run.graph.is_counted(target):
                arrive(run, StepId(target), {step.node_id: arrival})
            elif _starts(run, target, step.node_id, arrival):
                schedule(run, StepId(target), target, 1)
        _derive_call(run, step)


def _derive_call(run: RunState, step: StepState) -> None:
    """What a step that has ended says to its fallback."""
    fallback = run.graph.fallback_of(step.node_id)
    if fallback is None or step.is_live or StepId(fallback) in run.steps:
        return
    if step.is_handled:
        call(run, StepId(fallback), {step.node_id: Arrival.FIRED})
    elif run.graph.may_call(step.node_id):
        call(run, StepId(fallback), {step.node_id: Arrival.DEAD})


def _starts(run: RunState, node_id: NodeId, source: NodeId, arrival: Arrival) -> bool:
    """Whether a node starts by the arrival of its only predecessor."""
    return verdict_of(run.graph, node_id, JoinProgress().counts_with({source: arrival})) is Verdict.START


class _Ways:
    """How predecessors have come to nodes."""

    def __init__(self, run: RunState) -> None:
        self.run = run
        self._fired: set[tuple[NodeId, NodeId]] = set()
        """Source and target of the edges that fired, whoever's result made them."""

    def arrival(self, source: NodeId, target: NodeId) -> Arrival | None:
        """How a predecessor has come to a node; ``None`` while it may still come."""
        step = self.run.steps.get(StepId(source))
        if step is None or step.is_live:
            return None
        if step.is_handled and target in self.run.graph.told_at_once(source):
            return Arrival.DEAD
        speaker = self.run.speaker_of(step)
        if speaker is None or speaker.is_live:
            return None
        match speaker.status:
            case StepStatus.COMPLETED:
                return Arrival.FIRED if (source, target) in self._fired else Arrival.DEAD
            case StepStatus.SKIPPED:
                return Arrival.FAILED if speaker.blocked else Arrival.DEAD
            case _:
                return Arrival.FAILED

    def note_fired(self, step: StepState) -> None:
        routes = (self.run.graph.route(index) for index in step.fired)
        self._fired.update((route.source, route.target) for route in routes)
