"""Which edges fire when a node has completed, and what they deliver (blueprint specification, sections 4 and 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from famulus.blueprint.values import ABSENT, is_true

if TYPE_CHECKING:
    from famulus.blueprint.graph import Graph, Route
    from famulus.flow.state import RunState
    from famulus.ids import NodeId


@dataclass(frozen=True, slots=True)
class Delivery:
    """An edge that fires, with the value that it brings."""

    route: Route
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a node gave, as conditions and transforms see it: the run's context with this result already in it."""

    run: RunState
    node_id: NodeId
    output: Any
    action: str | None
    changes: Mapping[str, Any]

    def context_value(self, name: str) -> Any:
        if name == self.node_id:
            return self.output
        if name in self.changes:
            return self.changes[name]
        return self.run.context.get(name, ABSENT)

    def in_condition(self, name: str) -> Any:
        """`result` is the result being routed; every other name is a context key, or `context` itself."""
        if name == "result":
            return {"output": self.output} if self.action is None else {"output": self.output, "action": self.action}
        value = self.context_value(name)
        if value is ABSENT and name == "context":
            return OutcomeContext(self)
        return value

    def in_transform(self, name: str) -> Any:
        """Exactly two names: `input` is the output of the edge's own source, `context` the whole context."""
        if name == "input":
            return self.output
        return OutcomeContext(self) if name == "context" else ABSENT


class OutcomeContext(Mapping[str, Any]):
    """The context of a run as a mapping, without copying it."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def __getitem__(self, key: str) -> Any:
        value = self._outcome.context_value(key)
        if value is ABSENT:
            raise KeyError(key)
        return value

    def __iter__(self) -> Any:
        keys = dict.fromkeys((*self._outcome.run.context, *self._outcome.changes, self._outcome.node_id))
        return (key for key in keys if self._outcome.context_value(key) is not ABSENT)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def choose(
    routes: Sequence[Route], outcome: Outcome, *, by_default: bool = True, conditions_first: bool = False
) -> list[Route]:
    """The edges that fire: those with the result's action, or, where none of them does, those without an action.

    All that are selected fire. Edges without an action may be left out. With `conditions_first`, as for a loop
    controller, edges with a condition that holds go before all others.
    Raises `ExpressionError` for a condition that cannot be evaluated.
    """
    if conditions_first:
        holding = [route for route in routes if route.condition is not None and _holds(route, outcome)]
        if holding:
            return holding
    if outcome.action:
        taken = [route for route in routes if route.action == outcome.action and _holds(route, outcome)]
        if taken:
            return taken
    if not by_default:
        return []
    return [route for route in routes if route.action is None and _holds(route, outcome)]


def goes_round(graph: Graph, route: Route) -> bool:
    """Whether the edge begins another round of a loop."""
    loop = graph.loops.get(route.source)
    return loop is not None and route.index in loop.again


def deliver(route: Route, outcome: Outcome) -> Delivery:
    """What the edge brings to its target: the output of its source, or the value of its transform (absent as null)."""
    if route.transform is None:
        return Delivery(route, outcome.output)
    value = route.transform.evaluate(outcome.in_transform)
    return Delivery(route, None if value is ABSENT else value)


def _holds(route: Route, outcome: Outcome) -> bool:
    return route.condition is None or is_true(route.condition.evaluate(outcome.in_condition))
