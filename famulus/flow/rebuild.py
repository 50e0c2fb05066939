"""The state of a run from what is recorded of it: the same state that its owner had in memory.

What is due is not stored anywhere. It follows from the outcomes that are: a join that is complete but has no row is
pending, a node that an edge fired into but has no row is scheduled. So a crash between a commit and what was to follow
it loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from famulus.flow import decisions as d
from famulus.flow.arrivals import Arrival, JoinProgress
from famulus.flow.batches import item_step_id
from famulus.flow.fold import NOT_BEFORE, arrive, call, complete, put, rearm_on_request, schedule, write
from famulus.flow.joins import Verdict, verdict_of
from famulus.flow.limits import RunLimits
from famulus.flow.state import Ending, RunState, StepState, is_undoing
from famulus.flow.status import RUN_ENDED, RunStatus, StepStatus
from famulus.flow.waiting import TimerKey, TimerKind
from famulus.flow.ways import Ways
from famulus.ids import NodeId, RunId, StepId

if TYPE_CHECKING:
    from famulus.blueprint.graph import Graph
    from famulus.flow.batches import BatchProgress


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
    created_at: float = 0.0,
    ending: Ending | None = None,
    limits: RunLimits | None = None,
) -> RunState:
    """Replay recorded steps and context writes in the order of their sequence numbers, then derive what is due."""
    run = RunState(
        run_id=run_id,
        graph=graph,
        limits=limits or RunLimits(),
        status=status,
        reason=reason,
        created_at=created_at,
        ended_at=ended_at,
        ending=ending,
        context=dict(initial),
    )
    for _, entry in in_order(steps, writes):
        take(run, entry)
    run.next_seq = next_seq
    if status in RUN_ENDED:
        run.timers.clear()
    else:
        _derive_due(run)
    return run


def in_order(steps: Iterable[StepState], writes: Iterable[ContextWrite]) -> list[tuple[int, StepState | ContextWrite]]:
    """What is recorded, with its places in the order of the run."""
    entries: list[tuple[int, StepState | ContextWrite]] = [(write.seq, write) for write in writes]
    entries += [entry for step in steps for entry in _places(step)]
    return sorted(entries, key=itemgetter(0))


def take(run: RunState, entry: StepState | ContextWrite) -> None:
    """Carry one recorded step or write into the state."""
    if isinstance(entry, ContextWrite):
        _replay_write(run, entry)
        return
    put(run, entry)
    if entry.status is StepStatus.COMPLETED:
        complete(run, entry)


def rearm_value(decision: d.Rearm) -> dict[str, Any]:
    """What the context row of the decision holds."""
    nodes, forced = list(decision.nodes), list(decision.forced)
    return {"nodes": nodes, "afresh": decision.afresh, "forced": forced, "at": decision.at}


def _places(step: StepState) -> list[tuple[int, StepState | ContextWrite]]:
    """A step with items is replayed where it got them, for their outcomes are told to it; a `map` ends after that."""
    if step.since is None or step.batch is None:
        return [(step.seq, step)]
    if step.batch.gather is not None or step.since == step.seq:
        return [(step.since, step)]
    return [(step.since, replace(step, status=StepStatus.WAITING)), (step.seq, step)]


def _replay_write(run: RunState, entry: ContextWrite) -> None:
    if not entry.key.startswith(d.REARM_PREFIX):
        write(run, entry.key, entry.value)
        return
    nodes = tuple(NodeId(node_id) for node_id in entry.value["nodes"])
    forced = tuple(NodeId(node_id) for node_id in entry.value["forced"])
    rearm_on_request(run, d.Rearm(nodes, entry.value["afresh"], forced, entry.seq, entry.value.get("at", 0.0)))


def _derive_due(run: RunState) -> None:
    if run.ending is not None:
        run.timers.pop(TimerKey(TimerKind.RUN, StepId("")), None)
        _derive_compensation(run)
        _derive_items(run, [batch for batch in run.batches.values() if is_undoing(batch.step_id)])
        return
    if NOT_BEFORE in run.context:
        return
    started = [node_id for node_id in run.graph.start_nodes if run.is_untouched(node_id)]
    for node_id in (*started, *sorted(run.forced)):
        if run.step_of(node_id) is None:
            schedule(run, run.step_id_of(node_id), node_id)
    _derive_arrivals(run)
    _derive_items(run, list(run.batches.values()))


def _derive_items(run: RunState, batches: Iterable[BatchProgress]) -> None:
    for batch in batches:
        for index in batch.startable(run.limits.items_at_once):
            schedule(run, item_step_id(batch.step_id, index), batch.node_id, item=index)


def _derive_arrivals(run: RunState) -> None:
    ways = Ways(run)
    recorded = [step for step in run.steps.values() if step.item is None and step.seq >= 0]
    pairs = []
    for step in sorted(recorded, key=lambda step: step.seq):
        pairs += [(step.node_id, target) for target in run.targets(step.node_id)]
        _derive_call(run, ways, step)
    for controller in run.rounds:
        entries = sorted(run.graph.loops[controller].entries)
        pairs += [(controller, target) for target in dict.fromkeys((*run.targets(controller), *entries))]
    pairs += [(source, target) for source, targets in run.left.items() for target in targets]
    # Whether a round is over depends on all the rest, so the loops that go round come last.
    for source, target in sorted(pairs, key=lambda pair: run.place_of_turn(pair[1])) if run.rounds else pairs:
        _derive_arrival(run, ways, source, target)


def _derive_arrival(run: RunState, ways: Ways, source: NodeId, target: NodeId) -> None:
    step_id = run.step_id_of(target)
    if step_id in run.steps:
        return
    arrival = ways.arrival(source, target)
    if arrival is None or source not in run.predecessors(target):
        return
    if run.is_counted(target):
        at = max(ways.came_at(source, target), _armed_at(run, target)) if arrival is Arrival.FIRED else 0.0
        arrive(run, step_id, target, {source: arrival}, at=at)
    elif verdict_of(run, target, JoinProgress().counts_with({source: arrival})) is Verdict.START:
        schedule(run, step_id, target)


def _armed_at(run: RunState, node_id: NodeId) -> float:
    """When the present step of a node began to wait, if not from the start: whoever had come by then came then."""
    turns = (run.turned_at.get(controller, 0.0) for controller in run.graph.loops_around(node_id))
    return max(run.rearmed_at.get(node_id, 0.0), *turns, 0.0)


def _derive_call(run: RunState, ways: Ways, step: StepState) -> None:
    """What a step that has ended says to its fallback."""
    fallback = run.graph.fallback_of(step.node_id)
    if fallback is None or run.step_of(fallback) is not None or run.rounds.get(fallback):
        return
    told = ways.call(step.node_id)
    if told is not None:
        call(run, run.step_id_of(fallback), fallback, {step.node_id: told})


def _derive_compensation(run: RunState) -> None:
    for compensation in reversed(run.compensations.values()):
        known = run.steps.get(compensation.undo_step_id)
        if known is None:
            schedule(run, compensation.undo_step_id, compensation.by)
        batch = run.batches.get(compensation.undo_step_id)
        if known is None or known.is_live or (batch is not None and not batch.is_over):
            return
