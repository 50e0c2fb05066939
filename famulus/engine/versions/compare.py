"""What would be different if a run that has come so far went on by another version of its blueprint.

Nothing is executed: what is recorded stays as it is, and the other version is asked what follows from it. Whether a
condition holds is looked at with the context of now; where the edges of a node are the same in both, what fired fired.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from famulus.blueprint.loops import CONTROLLER
from famulus.engine.loader import state_of
from famulus.engine.rows import step_state
from famulus.engine.versions.edges import moved
from famulus.errors import ExpressionError
from famulus.flow.routing import Outcome, choose
from famulus.flow.status import RUN_ENDED, RunStatus, StepStatus

if TYPE_CHECKING:
    from famulus.blueprint.graph import Graph, Route
    from famulus.blueprint.model import Node
    from famulus.flow.state import RunState, StepState
    from famulus.ids import NodeId, StepId
    from famulus.ports import RunRows


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    kind: str
    """`gone`, `renamed`, `changed`, `rerouted`, `starts`, `stops` or `hangs`."""
    step_id: StepId | None
    message: str

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "step": self.step_id, "message": self.message}


def compare(old: Graph, new: Graph, rows: RunRows) -> list[Difference]:
    """Everything that would be different; give visible rows. A run without a difference may go over to the version."""
    run = state_of(old, rows)
    steps = [step_state(row) for row in rows.steps]
    found = [*_gone(steps, new), *_fallbacks(run, new)]
    if found:
        return found  # what the rows speak of is not there: nothing can be derived from them
    found = [*_renamed(run, steps, new), *_changed(run, new)]
    if found:
        return found
    found = list(_rerouted(run, steps, new))
    return found or list(_goes_on(run, _as_if(new, old, rows)))


def _gone(steps: Iterable[StepState], new: Graph) -> Iterator[Difference]:
    for step in steps:
        if step.node_id not in new.nodes:
            yield Difference(
                kind="gone", step_id=step.step_id, message=f"it is {step.status.value}, and its node is not there"
            )


def _fallbacks(run: RunState, new: Graph) -> Iterator[Difference]:
    for step in run.steps.values():
        before, after = run.graph.fallback_of(step.node_id), new.fallback_of(step.node_id)
        if (step.is_handled or step.status is StepStatus.FAILED) and before != after:
            yield Difference(
                kind="changed", step_id=step.step_id, message=f"it has failed; its fallback is {after}, it was {before}"
            )


def _renamed(run: RunState, steps: Iterable[StepState], new: Graph) -> Iterator[Difference]:
    """Steps are named by the loops that their nodes lie in."""
    told: set[NodeId] = set()
    for step in steps:
        node_id = step.node_id
        if node_id not in told and _place(run.graph, node_id) != _place(new, node_id):
            told.add(node_id)
            yield Difference(
                kind="renamed", step_id=step.step_id, message="the loops that its node lies in, or begins, are others"
            )


def _place(graph: Graph, node_id: NodeId) -> object:
    """Where a node lies among the loops, and how those are built."""
    around = graph.loops_around(node_id)
    built = [graph.loops[controller] for controller in (*around, node_id) if controller in graph.loops]
    return around, [(loop.body, loop.entries, frozenset(loop.back)) for loop in built]


def _changed(run: RunState, new: Graph) -> Iterator[Difference]:
    """Of what has begun and not ended, what it is has to stay."""
    for step in run.steps.values():
        if not step.is_live or step.seq < 0:
            continue
        before, after = run.graph.node(step.node_id), new.node(step.node_id)
        names = [name for name in ("uses", "params", "inputs") if getattr(before, name) != getattr(after, name)]
        if names and (_keeps_its_definition(step) or step.step_id in run.batches):
            yield Difference(
                kind="changed",
                step_id=step.step_id,
                message=f"it is {step.status.value} by what its node was: {', '.join(names)} changed",
            )


def _keeps_its_definition(step: StepState) -> bool:
    """Whether a step that is not over is one that will not begin again by the new definition."""
    return step.status not in (StepStatus.SCHEDULED, StepStatus.RETRYING, StepStatus.PARKED, StepStatus.RUNNING)


def _rerouted(run: RunState, steps: Iterable[StepState], new: Graph) -> Iterator[Difference]:
    edges_before, edges_after = _edges(run.graph), _edges(new)
    for step in steps:
        if step.status is not StepStatus.COMPLETED or step.item is not None or step.is_handled:
            continue
        node = new.node(step.node_id)
        if edges_before[node.id] == edges_after[node.id]:
            continue
        before = [run.graph.route(place).target for place in step.fired if run.graph.route(place).source == node.id]
        try:
            after = [route.target for route in _chosen(run, step, node, new.outgoing(node.id))]
        except ExpressionError as error:
            yield Difference(kind="rerouted", step_id=step.step_id, message=f"a condition cannot be evaluated: {error}")
            continue
        if sorted(before) != sorted(after):
            yield Difference(
                kind="rerouted",
                step_id=step.step_id,
                message=f"it led to {_names(before)}, and would lead to {_names(after)}",
            )


def _chosen(run: RunState, step: StepState, node: Node, routes: tuple[Route, ...]) -> list[Route]:
    outcome = Outcome(run=run, node_id=step.node_id, output=step.output, action=step.action, changes={})
    return choose(routes, outcome, conditions_first=node.uses == CONTROLLER)


def _edges(graph: Graph) -> Mapping[NodeId, Counter[tuple[NodeId, str | None, str | None]]]:
    """Of each node the edges that leave it: targets, actions and conditions, in whatever order."""
    found: defaultdict[NodeId, Counter[tuple[NodeId, str | None, str | None]]] = defaultdict(Counter)
    for edge in graph.blueprint.edges:
        found[edge.source][edge.target, edge.action, edge.condition] += 1
    return found


def _as_if(new: Graph, old: Graph, rows: RunRows) -> RunState:
    """The run as the other version would have it from the same rows; one that has ended as if it had not."""
    head = rows.head
    if RunStatus(head.status) in RUN_ENDED:
        head = replace(head, status=RunStatus.RUNNING.value, ended_at=None)
    return state_of(new, replace(moved(rows, old.blueprint, new.blueprint), head=head))


def _goes_on(run: RunState, other: RunState) -> Iterator[Difference]:
    """What the other version would do next, and this one would not, or the other way round."""
    if run.status is RunStatus.COMPLETED:
        for step_id in sorted({*_awaited(other)}):
            yield Difference(kind="starts", step_id=step_id, message="the run has completed, and would go on with it")
        return
    if run.status in RUN_ENDED:
        return  # how it failed or was cancelled it would have as well
    before, after = _awaited(run), _awaited(other)
    for step_id in sorted(after - before):
        yield Difference(kind="starts", step_id=step_id, message="it would start now, and does not in this version")
    for step_id in sorted(before - after):
        yield Difference(kind="stops", step_id=step_id, message="it is due or waits now, and would not")
    if before and not after:
        yield Difference(kind="hangs", step_id=None, message="nothing would be due, and nothing waited for")


def _awaited(run: RunState) -> set[StepId]:
    """What is due, under way or waited for, joins that wait for their count too."""
    return {step.step_id for step in run.steps.values() if step.is_live} | run.pending_joins


def _names(targets: Iterable[NodeId]) -> str:
    return ", ".join(sorted(targets)) or "nothing"
