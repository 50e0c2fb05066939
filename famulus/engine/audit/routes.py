"""Edges that are recorded as fired exist, and lead from the step that fired them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus.blueprint.loops import CONTROLLER
from famulus.flow.status import StepStatus

if TYPE_CHECKING:
    from famulus.blueprint.graph import Graph, Route
    from famulus.engine.audit.subject import Subject
    from famulus.flow.state import StepState
    from famulus.ids import NodeId


def fired_edges(subject: Subject) -> None:
    for step in subject.steps.values():
        if not step.fired or step.seq <= subject.migrated_at:
            continue
        if step.status is not StepStatus.COMPLETED:
            message = f"edges of it fired ({_listed(step)}), though it is {step.status.value}"
            subject.deviates(step.step_id, "edge.not_completed", message)
        elif len(set(step.fired)) < len(step.fired):
            subject.deviates(step.step_id, "edge.twice", f"an edge of it fired twice ({_listed(step)})")
        speaks_for = _speaks_for(subject.graph, step.node_id)
        for index in step.fired:
            route = _route(subject.graph, index)
            if route is None:
                message = f"edge {index} fired, which the blueprint does not have"
                subject.deviates(step.step_id, "edge.unknown", message)
            elif route.source not in speaks_for:
                message = f"edge {index} fired, which leads from {route.source}"
                subject.deviates(step.step_id, "edge.of_another", message)
            elif not _fits_action(subject.graph, step, route):
                message = f"edge {index} fired for action {route.action!r}, the step has given {step.action!r}"
                subject.deviates(step.step_id, "edge.action", message)


def _route(graph: Graph, index: int) -> Route | None:
    try:
        return graph.route(index)
    except KeyError:
        return None


def _fits_action(graph: Graph, step: StepState, route: Route) -> bool:
    """A loop goes by conditions first; what a fallback stands in for has edges of its own."""
    if route.source != step.node_id or step.is_handled or graph.node(step.node_id).uses == CONTROLLER:
        return True
    return route.action is None or route.action == step.action


def _speaks_for(graph: Graph, node_id: NodeId) -> set[NodeId]:
    """The node itself, and those that it may stand in for."""
    found = {node_id}
    left = [node_id]
    while left:
        new = set(graph.fallback_for.get(left.pop(), ())) - found
        found |= new
        left += new
    return found


def _listed(step: StepState) -> str:
    return ", ".join(map(str, step.fired))
