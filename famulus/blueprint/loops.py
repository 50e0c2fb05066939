"""The loops of a blueprint: what a loop controller sends round, and which loops lie in which.

A loop is a `loop-controller` node that a `continue` edge of its own leads back to. Its *body* is everything that this
edge leads to without passing the controller, or one of a loop around it; loops inside are part of it. Before each round
the body is armed anew, so its nodes run again and joins inside wait again (blueprint specification, section 9).

Of several controllers that lead to each other the outermost is the one that is left for good by its other edges.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from famulus.blueprint.circles import circles
from famulus.blueprint.reach import reached

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from famulus.blueprint.model import Blueprint, Edge
    from famulus.ids import NodeId

CONTROLLER: Final = "loop-controller"
CONTINUE: Final = "continue"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loop:
    controller: NodeId
    around: tuple[NodeId, ...]
    """Controllers of the loops that this one lies in, the outermost first."""
    body: frozenset[NodeId]
    in_order: tuple[NodeId, ...]
    """The body in node order."""
    inside: frozenset[NodeId]
    """The body and the controller."""
    again: frozenset[int]
    """Positions of the edges of the controller that begin another round."""
    entries: frozenset[NodeId]
    """Where these edges lead."""
    back: tuple[NodeId, ...]
    """Nodes of the body with an edge to the controller: they say how a round has ended."""


def find_loops(
    blueprint: Blueprint,
    *,
    edges: Iterable[int],
    following: Mapping[NodeId, Collection[NodeId]],
    reachable: Collection[NodeId],
) -> dict[NodeId, Loop]:
    """Controller to loop, outer ones before those inside. `following` has what each node leads to, fallbacks too."""
    controllers = {node.id: None for node in blueprint.nodes if node.uses == CONTROLLER and node.id in reachable}
    if not controllers:
        return {}
    outgoing: defaultdict[NodeId, list[tuple[int, Edge]]] = defaultdict(list)
    for index in edges:
        outgoing[blueprint.edges[index].source].append((index, blueprint.edges[index]))
    finder = _Finder(following, outgoing, order={node_id: place for place, node_id in enumerate(reachable)})
    finder.search(frozenset(reachable), tuple(controllers), ())
    return finder.found


class _Finder:
    def __init__(
        self,
        following: Mapping[NodeId, Collection[NodeId]],
        outgoing: Mapping[NodeId, list[tuple[int, Edge]]],
        *,
        order: Mapping[NodeId, int],
    ) -> None:
        self.found: dict[NodeId, Loop] = {}
        self._following = following
        self._outgoing = outgoing
        self._order = order

    def search(self, nodes: frozenset[NodeId], controllers: Collection[NodeId], around: tuple[NodeId, ...]) -> None:
        """Find the loops among these nodes, all of which lie in the loops around."""
        left = deque([(nodes, tuple(controllers), around)])
        while left:
            nodes, controllers, around = left.popleft()
            within = {n: [t for t in self._following.get(n, ()) if t in nodes] for n in nodes}
            numbers = circles(within)
            members: defaultdict[int, set[NodeId]] = defaultdict(set)
            for node_id, number in numbers.items():
                members[number].add(node_id)
            for number in dict.fromkeys(numbers[c] for c in controllers):
                circle = members[number]
                inside = [c for c in controllers if c in circle]
                loop = self._outermost(inside, circle, around)
                if loop is None:
                    continue
                self.found[loop.controller] = loop
                rest = tuple(c for c in inside if c != loop.controller)
                if rest:
                    left.append((frozenset(circle - {loop.controller}), rest, (*around, loop.controller)))

    def _outermost(
        self, controllers: Collection[NodeId], circle: Collection[NodeId], around: tuple[NodeId, ...]
    ) -> Loop | None:
        """The loop that has all others of the circle in its body.

        A controller whose `continue` edges do not lead back to it, or only by themselves, is a node like any other.
        """
        loops = (self._loop(head, circle, around) for head in self._heads(controllers, circle))
        return next((loop for loop in loops if loop.back), None)

    def _heads(self, controllers: Collection[NodeId], circle: Collection[NodeId]) -> list[NodeId]:
        leaving = [
            c
            for c in controllers
            if all(edge.target not in circle for _, edge in self._outgoing[c] if edge.action != CONTINUE)
        ]
        return sorted(controllers, key=lambda c: (bool(leaving) and c not in leaving, self._order[c]))

    def _loop(self, head: NodeId, circle: Collection[NodeId], around: tuple[NodeId, ...]) -> Loop:
        again = {
            index: edge.target
            for index, edge in self._outgoing[head]
            if edge.action == CONTINUE or (edge.action is None and edge.condition and edge.target in circle)
        }
        entered = (node_id for node_id in again.values() if node_id in self._following)
        body = reached(entered, self._following, stop={head, *around})
        return Loop(
            controller=head,
            around=around,
            body=body,
            in_order=tuple(node_id for node_id in self._order if node_id in body),
            inside=body | {head},
            again=frozenset(again),
            entries=frozenset(target for target in again.values() if target in body),
            back=tuple(n for n in self._order if n in body and head in self._following.get(n, ())),
        )
