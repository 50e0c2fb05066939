"""A blueprint prepared for execution: who follows whom, where a run starts, which edges close a cycle.

Built once for a digest and only read afterwards. Building takes linear time and no recursion, so that a chain of
10,000 nodes is as good as one of ten.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from famulus.blueprint.expressions import Expression, Language, compile_expression
from famulus.errors import BlueprintError, ExpressionError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from famulus.blueprint.model import Blueprint, Node
    from famulus.ids import Digest, NodeId

CYCLES_LISTED: Final = 100
"""A blueprint may hold more cycles than nodes; all of them are found, and this many are listed."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Route:
    """An edge with its expressions compiled."""

    index: int
    """Its position in `Blueprint.edges`."""
    source: NodeId
    target: NodeId
    action: str | None = None
    condition: Expression | None = None
    transform: Expression | None = None
    back: bool = False
    """It closes a cycle: the join of its target does not wait for it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """Made by `build_graph`. A node id that the blueprint does not hold raises `KeyError`."""

    blueprint: Blueprint
    digest: Digest
    nodes: Mapping[NodeId, Node]
    start_nodes: tuple[NodeId, ...]
    """Where a run begins. Without a node that has no incoming edge: the entries of the cycles."""
    terminal_nodes: tuple[NodeId, ...]
    """Nodes that no edge leaves for a known node."""
    cycles: tuple[tuple[NodeId, ...], ...]
    """At most `CYCLES_LISTED` of them, each from its first node in depth-first order over the node list."""
    fallback_for: Mapping[NodeId, tuple[NodeId, ...]]
    """Fallback node to the other nodes that name it, in node order; unknown fallbacks are left out."""
    _routes: Mapping[int, Route]
    _outgoing: Mapping[NodeId, tuple[Route, ...]]
    _incoming: Mapping[NodeId, tuple[Route, ...]]
    _predecessors: Mapping[NodeId, tuple[NodeId, ...]]

    @property
    def is_dag(self) -> bool:
        return not self.cycles

    def node(self, node_id: NodeId) -> Node:
        return self.nodes[node_id]

    def route(self, index: int) -> Route:
        """The route of an edge by its position in the blueprint; an edge that a later equal one replaces has none."""
        return self._routes[index]

    def outgoing(self, node_id: NodeId) -> tuple[Route, ...]:
        """Routes to known nodes, in edge order."""
        return self._outgoing[node_id]

    def incoming(self, node_id: NodeId) -> tuple[Route, ...]:
        """All routes into the node, in edge order: also back edges, and those from unknown nodes, which never fire."""
        return self._incoming[node_id]

    def predecessors(self, node_id: NodeId) -> tuple[NodeId, ...]:
        """The nodes that a join counts: distinct known sources, without those that come in by back edges only."""
        return self._predecessors[node_id]


def build_graph(blueprint: Blueprint, digest: Digest) -> Graph:
    """Prepare the blueprint. Raises `BlueprintError` with every expression that does not compile."""
    nodes = {node.id: node for node in blueprint.nodes}
    fallback_for = _fallback_for(nodes)
    edges = _last_of_equal_edges(blueprint)
    following: dict[NodeId, dict[NodeId, None]] = {node_id: {} for node_id in nodes}
    entered: set[NodeId] = set()
    for index in edges:
        edge = blueprint.edges[index]
        entered.add(edge.target)
        if edge.source in nodes and edge.target in nodes:
            following[edge.source][edge.target] = None

    cycles, entries = _cycles(nodes, following, _entry_points(blueprint))
    start_nodes = tuple(node_id for node_id in nodes if node_id not in entered and node_id not in fallback_for)
    if not start_nodes:
        start_nodes = entries
    back = _back_edges(nodes, following, start_nodes)
    routes = _routes(blueprint, edges, back)
    outgoing = _grouped(nodes, ((route.source, route) for route in routes if route.target in nodes))
    incoming = _grouped(nodes, ((route.target, route) for route in routes))
    return Graph(
        blueprint=blueprint,
        digest=digest,
        nodes=MappingProxyType(nodes),
        start_nodes=start_nodes,
        terminal_nodes=tuple(node_id for node_id in nodes if not outgoing[node_id]),
        cycles=cycles,
        fallback_for=MappingProxyType(fallback_for),
        _routes={route.index: route for route in routes},
        _outgoing=outgoing,
        _incoming=incoming,
        _predecessors={
            node_id: tuple(dict.fromkeys(route.source for route in into if route.source in nodes and not route.back))
            for node_id, into in incoming.items()
        },
    )


def expression_language(blueprint: Blueprint) -> Language:
    """What expressions without a prefix are written in."""
    return "cel" if blueprint.metadata.get("expressionLanguage") == "cel" else "path"


def _fallback_for(nodes: Mapping[NodeId, Node]) -> dict[NodeId, tuple[NodeId, ...]]:
    named = ((node.config.fallback, node.id) for node in nodes.values())
    found: defaultdict[NodeId, list[NodeId]] = defaultdict(list)
    for fallback, node_id in named:
        if fallback is not None and fallback in nodes and fallback != node_id:
            found[fallback].append(node_id)
    return {fallback: tuple(node_ids) for fallback, node_ids in found.items()}


def _last_of_equal_edges(blueprint: Blueprint) -> list[int]:
    """The positions of the edges that count: of those with the same source, target, action and condition the last."""
    last = {(edge.source, edge.target, edge.action, edge.condition): i for i, edge in enumerate(blueprint.edges)}
    return sorted(last.values())


def _entry_points(blueprint: Blueprint) -> frozenset[str]:
    given = blueprint.metadata.get("cycleEntryPoints")
    return (
        frozenset(entry for entry in given if isinstance(entry, str))
        if isinstance(given, (list, tuple))
        else frozenset()
    )


def _routes(blueprint: Blueprint, edges: Iterable[int], back: set[tuple[NodeId, NodeId]]) -> list[Route]:
    language = expression_language(blueprint)
    problems: list[str] = []

    def compiled(text: str | None, path: str) -> Expression | None:
        if text is None:
            return None
        try:
            return compile_expression(text, language=language)
        except ExpressionError as error:
            problems.append(f"{path}: {error}")
            return None

    routes = []
    for index in edges:
        edge = blueprint.edges[index]
        routes.append(
            Route(
                index=index,
                source=edge.source,
                target=edge.target,
                action=edge.action,
                condition=compiled(edge.condition, f"edges[{index}].condition"),
                transform=compiled(edge.transform, f"edges[{index}].transform"),
                back=(edge.source, edge.target) in back,
            )
        )
    if problems:
        raise BlueprintError(
            f"blueprint {blueprint.id!r} has expressions that do not compile: {'; '.join(problems)}", problems=problems
        )
    return routes


def _grouped(nodes: Iterable[NodeId], pairs: Iterable[tuple[NodeId, T]]) -> dict[NodeId, tuple[T, ...]]:
    groups: dict[NodeId, list[T]] = {node_id: [] for node_id in nodes}
    for node_id, value in pairs:
        if node_id in groups:
            groups[node_id].append(value)
    return {node_id: tuple(values) for node_id, values in groups.items()}


def _back_edges(
    nodes: Mapping[NodeId, Node], following: Mapping[NodeId, Iterable[NodeId]], start_nodes: Iterable[NodeId]
) -> set[tuple[NodeId, NodeId]]:
    """Source and target of the edges that close a cycle, seen from where a run starts.

    A fallback is followed like an edge: it is a way into the graph, and a loop behind it must be met at its head.
    """

    def successors(node_id: NodeId) -> Iterable[NodeId]:
        yield from following[node_id]
        fallback = nodes[node_id].config.fallback
        if fallback is not None and fallback in nodes:
            yield fallback

    return {(closing.path[-1], closing.path[closing.head]) for closing in _closings([*start_nodes, *nodes], successors)}


def _cycles(
    nodes: Iterable[NodeId], following: Mapping[NodeId, Iterable[NodeId]], entry_points: frozenset[str]
) -> tuple[tuple[tuple[NodeId, ...], ...], tuple[NodeId, ...]]:
    """The first cycles that a depth-first search over the node list meets, and where a run enters each of them all."""
    listed: list[tuple[NodeId, ...]] = []
    entries: dict[NodeId, None] = {}
    for closing in _closings(nodes, following.__getitem__, marked=entry_points):
        entries[closing.path[closing.entry]] = None
        if len(listed) < CYCLES_LISTED:
            listed.append(tuple(closing.path[closing.head :]))
    return tuple(listed), tuple(entries)


class _Closing(NamedTuple):
    """An edge from the end of the path back to one of its nodes."""

    path: Sequence[NodeId]
    """From the root of the search; it changes when the search goes on."""
    head: int
    """Where on the path the edge leads."""
    entry: int
    """The first marked node from the head on; without one the head itself."""


def _closings(
    roots: Iterable[NodeId],
    successors: Callable[[NodeId], Iterable[NodeId]],
    *,
    marked: Collection[str] = (),
) -> Iterator[_Closing]:
    """Search depth first, and yield each edge that leads back to a node on the path."""
    path = _Path(successors, marked)
    done: set[NodeId] = set()
    for root in roots:
        if root not in done:
            path.enter(root)
        while path.nodes:
            successor = path.next_successor()
            if successor is None:
                done.add(path.leave())
            elif successor in path.depth_of:
                yield path.closing(successor)
            elif successor not in done:
                path.enter(successor)


class _Path:
    """The way from the root of a depth-first search to where it stands; it replaces the stack of a recursion."""

    def __init__(self, successors: Callable[[NodeId], Iterable[NodeId]], marked: Collection[str]) -> None:
        self.nodes: list[NodeId] = []
        self.depth_of: dict[NodeId, int] = {}
        self._successors = successors
        self._open: list[Iterator[NodeId]] = []
        self._marked = marked
        self._marked_depths: list[int] = []

    def enter(self, node_id: NodeId) -> None:
        depth = self.depth_of[node_id] = len(self.nodes)
        if node_id in self._marked:
            self._marked_depths.append(depth)
        self.nodes.append(node_id)
        self._open.append(iter(self._successors(node_id)))

    def next_successor(self) -> NodeId | None:
        return next(self._open[-1], None)

    def leave(self) -> NodeId:
        self._open.pop()
        node_id = self.nodes.pop()
        if self.depth_of.pop(node_id) in self._marked_depths[-1:]:
            self._marked_depths.pop()
        return node_id

    def closing(self, target: NodeId) -> _Closing:
        head = self.depth_of[target]
        mark = bisect_left(self._marked_depths, head)
        return _Closing(self.nodes, head, self._marked_depths[mark] if mark < len(self._marked_depths) else head)
