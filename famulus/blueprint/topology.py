"""How the nodes of a blueprint hang together: where a run starts, what it can reach, which edges close a cycle.

Needs no expression to compile, so that the linter can use it on a blueprint that cannot run. Linear time, no recursion:
a chain of 10,000 nodes is as good as one of ten.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from famulus.blueprint.loops import find_loops

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from famulus.blueprint.loops import Loop
    from famulus.blueprint.model import Blueprint, Node
    from famulus.ids import NodeId

CYCLES_LISTED: Final = 100
"""A blueprint may hold more cycles than nodes. All of them are found, and this many are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    edges: tuple[int, ...]
    """Positions of the edges that count: of those equal in source, target, action and condition the last."""
    start_nodes: tuple[NodeId, ...]
    """Nodes that no edge enters and no other node names as its fallback or compensation.

    Without any the entries of the cycles.
    """
    reachable: frozenset[NodeId]
    """The nodes that a run can come to, from its start nodes along edges and fallbacks."""
    visited: frozenset[NodeId]
    """Of these, the nodes that it comes to by itself: not those that only undo others."""
    cycles: tuple[tuple[NodeId, ...], ...]
    """At most `CYCLES_LISTED`, each from its first node in depth-first order over the node list."""
    back: frozenset[tuple[NodeId, NodeId]]
    """Source and target of the edges and fallbacks that close a cycle, seen from the start nodes."""
    fallback_for: Mapping[NodeId, tuple[NodeId, ...]]
    """Fallback node to the other nodes that name it, in node order. Unknown fallbacks are left out."""
    loops: Mapping[NodeId, Loop]
    """Controller to loop, outer ones before those inside."""


def topology_of(blueprint: Blueprint) -> Topology:
    nodes = {node.id: node for node in blueprint.nodes}
    edges = _edges_that_count(blueprint)
    following: dict[NodeId, dict[NodeId, None]] = {node_id: {} for node_id in nodes}
    entered: set[NodeId] = set()
    for index in edges:
        edge = blueprint.edges[index]
        entered.add(edge.target)
        if edge.source in nodes and edge.target in nodes:
            following[edge.source][edge.target] = None

    fallback_for = _fallback_for(nodes)
    cycles, entries = _cycles(nodes, following, _entry_points(blueprint))
    undoing = {node.config.compensate for node in nodes.values() if node.config.compensate != node.id}
    standing_by = {*fallback_for, *undoing}
    start_nodes = tuple(node_id for node_id in nodes if node_id not in entered and node_id not in standing_by)

    # A fallback is followed like an edge: it is a way into the graph, and a loop behind it must be met at its head.
    for fallback, node_ids in fallback_for.items():
        for node_id in node_ids:
            following[node_id][fallback] = None
    search = _Search(following.__getitem__)
    back = set(search.closings_from(start_nodes or entries))
    reached = [node_id for node_id in nodes if node_id in search.done]
    reachable = frozenset(reached) | {node_id for node_id in nodes if node_id in undoing}
    back.update(search.closings_from(nodes))
    return Topology(
        edges=edges,
        start_nodes=start_nodes or entries,
        reachable=reachable,
        visited=frozenset(reached),
        cycles=cycles,
        back=frozenset((closing.source, closing.target) for closing in back),
        fallback_for=fallback_for,
        loops=find_loops(blueprint, edges=edges, following=following, reachable=reached),
    )


def _edges_that_count(blueprint: Blueprint) -> tuple[int, ...]:
    last = {(edge.source, edge.target, edge.action, edge.condition): i for i, edge in enumerate(blueprint.edges)}
    return tuple(sorted(last.values()))


def _fallback_for(nodes: Mapping[NodeId, Node]) -> dict[NodeId, tuple[NodeId, ...]]:
    found: defaultdict[NodeId, list[NodeId]] = defaultdict(list)
    for node in nodes.values():
        fallback = node.config.fallback
        if fallback is not None and fallback in nodes and fallback != node.id:
            found[fallback].append(node.id)
    return {fallback: tuple(node_ids) for fallback, node_ids in found.items()}


def _entry_points(blueprint: Blueprint) -> frozenset[str]:
    given = blueprint.metadata.get("cycleEntryPoints")
    if not isinstance(given, (list, tuple)):
        return frozenset()
    return frozenset(entry for entry in given if isinstance(entry, str))


def _cycles(
    nodes: Iterable[NodeId], following: Mapping[NodeId, Iterable[NodeId]], entry_points: frozenset[str]
) -> tuple[tuple[tuple[NodeId, ...], ...], tuple[NodeId, ...]]:
    """The first cycles that a depth-first search over the node list meets, and where a run enters each of them all."""
    listed: list[tuple[NodeId, ...]] = []
    entries: dict[NodeId, None] = {}
    search = _Search(following.__getitem__, marked=entry_points)
    for closing in search.closings_from(nodes):
        entries[closing.entry] = None
        if len(listed) < CYCLES_LISTED:
            listed.append(tuple(search.path_from(closing.target)))
    return tuple(listed), tuple(entries)


class _Closing(NamedTuple):
    """An edge that leads back to a node on the path to its source."""

    source: NodeId
    target: NodeId
    entry: NodeId
    """The first marked node on the path from the target on; without one the target."""


class _Search:
    """A depth-first search with its own stack in place of recursion."""

    def __init__(
        self, successors: Callable[[NodeId], Iterable[NodeId]], *, marked: Collection[str] = frozenset()
    ) -> None:
        self.done: set[NodeId] = set()
        self._successors = successors
        self._marked = marked
        self._path: list[NodeId] = []
        self._depth_of: dict[NodeId, int] = {}
        self._open: list[Iterator[NodeId]] = []
        self._marked_depths: list[int] = []

    def closings_from(self, roots: Iterable[NodeId]) -> Iterator[_Closing]:
        """Visit what was not visited yet; while a closing is handled, the path leads to its source."""
        for root in roots:
            if root not in self.done:
                self._enter(root)
            while self._path:
                successor = next(self._open[-1], None)
                if successor is None:
                    self._leave()
                elif successor in self._depth_of:
                    yield _Closing(self._path[-1], successor, self._entry(successor))
                elif successor not in self.done:
                    self._enter(successor)

    def path_from(self, node_id: NodeId) -> Sequence[NodeId]:
        return self._path[self._depth_of[node_id] :]

    def _enter(self, node_id: NodeId) -> None:
        depth = self._depth_of[node_id] = len(self._path)
        if node_id in self._marked:
            self._marked_depths.append(depth)
        self._path.append(node_id)
        self._open.append(iter(self._successors(node_id)))

    def _leave(self) -> None:
        self._open.pop()
        node_id = self._path.pop()
        self.done.add(node_id)
        if self._depth_of.pop(node_id) in self._marked_depths[-1:]:
            self._marked_depths.pop()

    def _entry(self, target: NodeId) -> NodeId:
        mark = bisect_left(self._marked_depths, self._depth_of[target])
        return self._path[self._marked_depths[mark]] if mark < len(self._marked_depths) else target
