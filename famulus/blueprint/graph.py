"""A blueprint prepared for execution. Built once for a digest and only read afterwards."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote

from famulus.blueprint.expressions import Expression, Language, compile_expression
from famulus.blueprint.loops import CONTINUE, CONTROLLER, Loop
from famulus.blueprint.reach import reached
from famulus.blueprint.standins import told_at_once
from famulus.blueprint.topology import Topology, topology_of
from famulus.errors import BlueprintError, ExpressionError
from famulus.ids import NodeId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from famulus.blueprint.model import Blueprint, Node
    from famulus.ids import Digest

T = TypeVar("T")
_MARKS: Final = frozenset("[]#~")
"""What the ids of steps have besides the ids of nodes: ``work[2]``, ``work#2``, ``undo~work``."""
_UNMISTAKABLE: Final = "".join(chr(code) for code in range(32, 127) if chr(code) not in "[]#~")


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
    terminal_nodes: tuple[NodeId, ...]
    """Nodes that no edge leaves for a known node."""
    joins: tuple[NodeId, ...]
    """Nodes with several predecessors."""
    _topology: Topology
    _routes: Mapping[int, Route]
    _outgoing: Mapping[NodeId, tuple[Route, ...]]
    _incoming: Mapping[NodeId, tuple[Route, ...]]
    _successors: Mapping[NodeId, tuple[NodeId, ...]]
    _predecessors: Mapping[NodeId, tuple[NodeId, ...]]
    _fallback_of: Mapping[NodeId, NodeId]
    _callers: Mapping[NodeId, tuple[NodeId, ...]]
    _waited_for: frozenset[NodeId]
    _told_at_once: Mapping[NodeId, frozenset[NodeId]]
    _loops_around: Mapping[NodeId, tuple[NodeId, ...]]
    _round_predecessors: Mapping[tuple[NodeId, NodeId], tuple[NodeId, ...]]
    _controllers_after: Mapping[NodeId, tuple[NodeId, ...]]
    _scatters_of: Mapping[NodeId, tuple[NodeId, ...]]
    _after_loops: Mapping[tuple[NodeId, NodeId], tuple[NodeId, ...]]
    step_names: Mapping[NodeId, str]
    """How nodes are called in the ids of steps whose own id could be taken for a round, an item or the like."""
    compensations: frozenset[NodeId]
    """Nodes that undo others."""
    run_timeout_ms: int | None
    fails_fast: bool
    """A step that fails for good ends the run; otherwise independent branches come to their end first."""

    @property
    def start_nodes(self) -> tuple[NodeId, ...]:
        """Where a run begins, in node order; without a node that has no incoming edge: the entries of the cycles."""
        return self._topology.start_nodes

    @property
    def reachable(self) -> frozenset[NodeId]:
        """The nodes that a run can come to. A cycle beside a real start node is not among them."""
        return self._topology.reachable

    @property
    def cycles(self) -> tuple[tuple[NodeId, ...], ...]:
        return self._topology.cycles

    @property
    def is_dag(self) -> bool:
        return not self.cycles

    @property
    def fallback_for(self) -> Mapping[NodeId, tuple[NodeId, ...]]:
        """Fallback node to the other nodes that name it, in node order. Unknown fallbacks are left out."""
        return self._topology.fallback_for

    @property
    def loops(self) -> Mapping[NodeId, Loop]:
        """Controller to loop, outer ones before those inside."""
        return self._topology.loops

    def loops_around(self, node_id: NodeId) -> tuple[NodeId, ...]:
        """The controllers of the loops that have the node in their body, the outermost first."""
        return self._loops_around.get(node_id, ())

    def controllers_after(self, node_id: NodeId) -> tuple[NodeId, ...]:
        """The loop controllers that the node leads back to."""
        return self._controllers_after.get(node_id, ())

    def round_predecessors(self, controller: NodeId, node_id: NodeId) -> tuple[NodeId, ...] | None:
        """What a node waits for in a round that its controller began, where that differs from its first time.

        So for a node at which a loop is entered before the controller has been asked; ``None`` for others.
        """
        return self._round_predecessors.get((controller, node_id))

    def scatters_of(self, node_id: NodeId) -> tuple[NodeId, ...]:
        """The `batch-scatter` nodes whose items a `batch-gather` node waits for, in node order."""
        return self._scatters_of.get(node_id, ())

    def compensation_of(self, node_id: NodeId) -> NodeId | None:
        """The node that undoes this one, if it names another known node."""
        undoing = self.nodes[node_id].config.compensate
        return undoing if undoing in self.nodes and undoing != node_id else None

    def fallback_of(self, node_id: NodeId) -> NodeId | None:
        """The node that stands in for this one when it fails, if it names another known node."""
        return self._fallback_of.get(node_id)

    def callers(self, node_id: NodeId) -> tuple[NodeId, ...]:
        """The nodes that may need this one as their fallback, in node order: not those that it leads to itself."""
        return self._callers.get(node_id, ())

    def may_call(self, node_id: NodeId) -> bool:
        """Whether the node's fallback waits to hear if it is needed."""
        return node_id in self._waited_for

    def is_counted(self, node_id: NodeId) -> bool:
        """Whether more than one arrival may decide about the node: it is a join, or somebody's fallback."""
        return len(self._predecessors[node_id]) > 1 or node_id in self.fallback_for

    def told_at_once(self, node_id: NodeId) -> frozenset[NodeId]:
        """The successors that do not wait for the node's fallback when it fails, because they lead to the fallback."""
        return self._told_at_once.get(node_id, frozenset())

    def comes_after_loops(self, fallback: NodeId, source: NodeId) -> tuple[NodeId, ...]:
        """The controllers of loops that the fallback lies in, and that have to be left for this predecessor to come."""
        return self._after_loops.get((fallback, source), ())

    def node(self, node_id: NodeId) -> Node:
        return self.nodes[node_id]

    def route(self, index: int) -> Route:
        """The route of an edge by its position in the blueprint; an edge that a later equal one replaces has none."""
        return self._routes[index]

    def outgoing(self, node_id: NodeId) -> tuple[Route, ...]:
        """Routes to known nodes, in edge order."""
        return self._outgoing[node_id]

    def incoming(self, node_id: NodeId) -> tuple[Route, ...]:
        """All routes into the node, in edge order: also those that close a cycle or can never fire."""
        return self._incoming[node_id]

    def successors(self, node_id: NodeId) -> tuple[NodeId, ...]:
        """The nodes that wait for this one, each once, in edge order: not those that it leads back to."""
        return self._successors[node_id]

    def predecessors(self, node_id: NodeId) -> tuple[NodeId, ...]:
        """The nodes that a join counts, each once, in edge order.

        Left out are sources that only close a cycle, and sources that no run can reach, since nobody ever settles them.
        """
        return self._predecessors[node_id]


def build_graph(blueprint: Blueprint, digest: Digest) -> Graph:
    """Prepare the blueprint. Raises `BlueprintError` with every expression that does not compile, for a loop without a
    `continue` edge, and for a cycle in a blueprint that is strict.
    """
    nodes = {node.id: node for node in blueprint.nodes}
    topology = topology_of(blueprint)
    _check_cycles(blueprint, topology)
    routes = _routes(blueprint, topology)
    outgoing = _grouped(nodes, ((route.source, route) for route in routes if route.target in nodes))
    incoming = _grouped(nodes, ((route.target, route) for route in routes))
    predecessors = {
        node_id: tuple(
            dict.fromkeys(route.source for route in into if not route.back and route.source in topology.visited)
        )
        for node_id, into in incoming.items()
    }
    scatters = _scatters(blueprint)
    for gather, sources in scatters.items():
        if gather in predecessors:
            predecessors[gather] = tuple(
                dict.fromkeys((*predecessors[gather], *(source for source in sources if source in topology.visited)))
            )
    successors = _grouped(nodes, ((source, node_id) for node_id, sources in predecessors.items() for source in sources))
    around = _loops_around(topology)
    fallback_of = {
        node_id: fallback
        for fallback, ids in topology.fallback_for.items()
        for node_id in ids
        if set(around.get(fallback, ())) <= set(around.get(node_id, ()))  # else: which of its rounds would stand in?
    }
    callers = {
        fallback: tuple(
            n for n in ids if n in fallback_of and n in topology.visited and (n, fallback) not in topology.back
        )
        for fallback, ids in topology.fallback_for.items()
    }
    return Graph(
        blueprint=blueprint,
        digest=digest,
        nodes=MappingProxyType(nodes),
        terminal_nodes=tuple(node_id for node_id in nodes if not outgoing[node_id]),
        joins=tuple(node_id for node_id, sources in predecessors.items() if len(sources) > 1),
        _topology=topology,
        _routes={route.index: route for route in routes},
        _outgoing=outgoing,
        _incoming=incoming,
        _successors=successors,
        _predecessors=predecessors,
        _fallback_of=fallback_of,
        _callers=callers,
        _waited_for=frozenset(node_id for ids in callers.values() for node_id in ids),
        _told_at_once=told_at_once(successors, fallback_of, callers),
        _loops_around=around,
        _round_predecessors=_round_predecessors(topology, routes, predecessors),
        _controllers_after=_grouped(
            nodes, ((source, loop.controller) for loop in topology.loops.values() for source in loop.back)
        )
        if topology.loops
        else {},
        _scatters_of=scatters,
        _after_loops=_after_loops(topology, around, callers, predecessors, successors),
        step_names={
            node_id: quote(node_id, safe=_UNMISTAKABLE).replace("~", "%7E")  # which `quote` leaves alone
            for node_id in nodes
            if not _MARKS.isdisjoint(node_id)
        },
        compensations=frozenset(node.config.compensate for node in blueprint.nodes if node.config.compensate in nodes),
        run_timeout_ms=_milliseconds(blueprint.metadata.get("timeout")),
        fails_fast=blueprint.metadata.get("failurePolicy") == "failFast",
    )


def _check_cycles(blueprint: Blueprint, topology: Topology) -> None:
    """Refuse what the specification has refused before anything runs."""
    if blueprint.metadata.get("strict") is True and topology.cycles:
        cycle = " -> ".join([*topology.cycles[0], topology.cycles[0][0]])
        raise BlueprintError(
            f"blueprint {blueprint.id!r} is strict, but has a cycle: {cycle}; take an edge out, or metadata.strict"
        )
    going_on = {edge.source for edge in blueprint.edges if edge.action == CONTINUE}
    for node in blueprint.nodes:
        if node.uses == CONTROLLER and node.id in topology.reachable and node.id not in going_on:
            raise BlueprintError(
                f"blueprint {blueprint.id!r}: the loop controller {node.id!r} has no edge with action "
                f"{CONTINUE!r}; add one into the body of the loop"
            )


def _loops_around(topology: Topology) -> dict[NodeId, tuple[NodeId, ...]]:
    around: defaultdict[NodeId, list[NodeId]] = defaultdict(list)
    for loop in topology.loops.values():
        for node_id in loop.body:
            around[node_id].append(loop.controller)
    return {node_id: tuple(controllers) for node_id, controllers in around.items()}


def _round_predecessors(
    topology: Topology, routes: Iterable[Route], predecessors: Mapping[NodeId, tuple[NodeId, ...]]
) -> dict[tuple[NodeId, NodeId], tuple[NodeId, ...]]:
    return {
        (route.source, route.target): (*(n for n in predecessors[route.target] if n in loop.body), route.source)
        for route in routes
        if (loop := topology.loops.get(route.source)) and route.index in loop.again and route.back
    }


def _after_loops(
    topology: Topology,
    around: Mapping[NodeId, tuple[NodeId, ...]],
    callers: Mapping[NodeId, tuple[NodeId, ...]],
    predecessors: Mapping[NodeId, tuple[NodeId, ...]],
    successors: Mapping[NodeId, tuple[NodeId, ...]],
) -> dict[tuple[NodeId, NodeId], tuple[NodeId, ...]]:
    """Of fallbacks that are called in rounds: the predecessors that lie behind the loop, with its controller."""
    outside: defaultdict[NodeId, list[tuple[NodeId, NodeId]]] = defaultdict(list)
    for fallback in (each for each, ids in callers.items() if ids):
        for controller in around.get(fallback, ()):
            loop = topology.loops[controller]
            outside[controller] += [
                (fallback, source)
                for source in predecessors[fallback]
                if source not in loop.body and not (source == controller and fallback in loop.entries)
            ]
    found: defaultdict[tuple[NodeId, NodeId], list[NodeId]] = defaultdict(list)
    for controller, pairs in outside.items():
        behind = reached(successors[controller], successors, stop=topology.loops[controller].inside) if pairs else ()
        for pair in pairs:
            if pair[1] == controller or pair[1] in behind:
                found[pair].append(controller)
    return {pair: tuple(controllers) for pair, controllers in found.items()}


def _scatters(blueprint: Blueprint) -> dict[NodeId, tuple[NodeId, ...]]:
    found: defaultdict[NodeId, list[NodeId]] = defaultdict(list)
    controllers = {node.id for node in blueprint.nodes if node.uses == CONTROLLER}
    for node in blueprint.nodes:
        gather = node.params.get("gatherNodeId")
        if node.uses != "batch-scatter" or not isinstance(gather, str):
            continue
        if gather != node.id and gather not in controllers:  # a loop waits for its rounds, not for items
            found[NodeId(gather)].append(node.id)
    return {gather: tuple(ids) for gather, ids in found.items()}


def _milliseconds(given: object) -> int | None:
    return int(given) if isinstance(given, int | float) and not isinstance(given, bool) and given > 0 else None


def expression_language(blueprint: Blueprint) -> Language:
    """What expressions without a prefix are written in."""
    return "cel" if blueprint.metadata.get("expressionLanguage") == "cel" else "path"


def _routes(blueprint: Blueprint, topology: Topology) -> list[Route]:
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
    for index in topology.edges:
        edge = blueprint.edges[index]
        routes.append(
            Route(
                index=index,
                source=edge.source,
                target=edge.target,
                action=edge.action,
                condition=compiled(edge.condition, f"edges[{index}].condition"),
                transform=compiled(edge.transform, f"edges[{index}].transform"),
                back=(edge.source, edge.target) in topology.back,
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
