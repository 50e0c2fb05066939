"""Which edges a completed step fires: its own, and those of failed steps that it stands in for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus.blueprint.loops import CONTROLLER
from famulus.flow.routing import Delivery, Outcome, choose, deliver, goes_round

if TYPE_CHECKING:
    from collections.abc import Sequence

    from famulus.blueprint.graph import Route
    from famulus.flow.deciding import Deciding
    from famulus.ids import NodeId


def routed(on: Deciding, outcome: Outcome, stood_for: Sequence[NodeId]) -> list[Delivery]:
    """What fires for a node that has completed: its own edges first, then those of the nodes it stands in for.

    Raises `ExpressionError`, and `OutputError` for a transform's value that cannot be stored.
    """
    node_id = outcome.node_id
    behind = [route for each in stood_for for route in on.graph.outgoing(each)]
    by_action = choose(behind, outcome, by_default=False)
    own = choose(
        on.graph.outgoing(node_id),
        outcome,
        by_default=not by_action,
        conditions_first=on.graph.node(node_id).uses == CONTROLLER,
    )
    by_default = not any(route.action for route in own)
    fired = [*own, *_fired_behind(on, by_action or choose(behind, outcome, by_default=by_default))]
    return [delivered(on, deliver(route, outcome)) for route in fired]


def routed_behind(on: Deciding, outcome: Outcome, stood_for: Sequence[NodeId], *, by_default: bool) -> list[Delivery]:
    """What fires of the edges of nodes that the one with this outcome stands in for.

    They and its own edges are chosen from together: an edge without action fires only if none of both has its
    action. A loop is sent round by its controller alone.
    """
    behind = [route for each in stood_for for route in on.graph.outgoing(each)]
    fired = _fired_behind(on, choose(behind, outcome, by_default=by_default))
    return [delivered(on, deliver(route, outcome)) for route in fired]


def _fired_behind(on: Deciding, chosen: Sequence[Route]) -> list[Route]:
    return [
        route
        for route in chosen
        if route.target not in on.graph.told_at_once(route.source) and not goes_round(on.graph, route)
    ]


def delivered(on: Deciding, delivery: Delivery) -> Delivery:
    if delivery.route.transform is not None:
        on.run.limits.deliverable(delivery.value)
    return delivery
