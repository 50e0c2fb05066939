from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.blueprint.graph import Graph, build_graph
from famulus.blueprint.model import Blueprint, Edge, Node, NodeConfig
from famulus.errors import BlueprintError
from famulus.ids import BlueprintId, Digest, NodeId

EdgeLike = tuple[str, str] | Edge


def blueprint(
    nodes: Iterable[str], edges: Iterable[EdgeLike] = (), *, fallbacks: dict[str, str] | None = None, **metadata: Any
) -> Blueprint:
    named = {node_id: NodeId(fallback) for node_id, fallback in (fallbacks or {}).items()}
    return Blueprint(
        id=BlueprintId("b"),
        version="1",
        nodes=tuple(
            Node(id=NodeId(node_id), uses="x", config=NodeConfig(fallback=named.get(node_id))) for node_id in nodes
        ),
        edges=tuple(edge if isinstance(edge, Edge) else edge_of(*edge) for edge in edges),
        metadata=metadata,
    )


def edge_of(source: str, target: str, **properties: str) -> Edge:
    return Edge(source=NodeId(source), target=NodeId(target), **properties)


def graph(*args: Any, **kwargs: Any) -> Graph:
    return build_graph(blueprint(*args, **kwargs), Digest("d"))


def text(*node_ids: str) -> tuple[NodeId, ...]:
    return tuple(NodeId(node_id) for node_id in node_ids)


def test_a_run_starts_at_the_nodes_without_incoming_edge_in_node_order() -> None:
    assert graph("cab", ["ab"]).start_nodes == text("c", "a")


def test_an_edge_from_nowhere_counts_as_incoming_but_not_for_a_join() -> None:
    built = graph("ab", [("ghost", "a"), ("b", "a")])

    assert built.start_nodes == text("b")
    assert built.predecessors(NodeId("a")) == text("b")
    assert [route.source for route in built.incoming(NodeId("a"))] == ["ghost", "b"]


def test_an_edge_to_nowhere_leads_nowhere() -> None:
    built = graph("a", [("a", "ghost")])

    assert built.outgoing(NodeId("a")) == ()
    assert built.terminal_nodes == text("a")


def test_a_fallback_is_no_start_node() -> None:
    built = graph("abf", ["ab"], fallbacks={"a": "f", "b": "f"})

    assert built.start_nodes == text("a")
    assert built.fallback_for == {"f": ("a", "b")}


def test_a_node_that_is_its_own_fallback_starts() -> None:
    built = graph("a", fallbacks={"a": "a"})

    assert built.start_nodes == text("a")
    assert built.fallback_for == {}


def test_of_equal_edges_the_last_counts() -> None:
    built = graph(
        "ab",
        [
            edge_of("a", "b", transform="input.x"),
            edge_of("a", "b", condition="c"),
            edge_of("a", "b", transform="input.y"),
        ],
    )

    routes = built.outgoing(NodeId("a"))

    assert [route.index for route in routes] == [1, 2]
    assert routes[1].transform is not None
    assert routes[1].transform.text == "input.y"
    assert built.route(2) is routes[1]
    with pytest.raises(KeyError):
        built.route(0)


def test_several_edges_between_two_nodes_are_one_predecessor() -> None:
    built = graph("ab", [edge_of("a", "b", action="x"), edge_of("a", "b", action="y")])

    assert built.predecessors(NodeId("b")) == text("a")
    assert built.successors(NodeId("a")) == text("b")


def test_the_head_of_a_loop_does_not_wait_for_the_loop() -> None:
    built = graph("shbx", ["sh", "hb", "bh", "hx"])

    assert built.predecessors(NodeId("h")) == text("s")
    assert built.successors(NodeId("b")) == ()
    assert [route.index for route in built.outgoing(NodeId("b")) if route.back] == [2]
    assert built.cycles == (("h", "b"),)
    assert not built.is_dag


def test_the_head_of_a_loop_behind_a_fallback_is_where_the_fallback_comes_in() -> None:
    built = graph("abhf", ["fh", "hb", "bh"], fallbacks={"a": "f"})

    assert built.predecessors(NodeId("h")) == text("f")
    assert built.predecessors(NodeId("b")) == text("h")


def test_a_node_may_lead_to_itself() -> None:
    built = graph("sa", ["sa", "aa"])

    assert built.predecessors(NodeId("a")) == text("s")
    assert built.cycles == (("a",),)


def test_without_start_node_each_cycle_is_entered_at_its_first_node() -> None:
    assert graph("abcd", ["ab", "ba", "cd", "dc"]).start_nodes == text("a", "c")


def test_a_cycle_is_entered_at_the_entry_point_that_the_metadata_names() -> None:
    built = graph("abc", ["ab", "bc", "ca"], cycleEntryPoints=["c", "b", "ghost"])

    assert built.start_nodes == text("b")
    assert built.predecessors(NodeId("b")) == ()
    assert built.predecessors(NodeId("a")) == text("c")


def test_beside_a_real_start_node_a_cycle_is_not_entered_and_no_join_waits_for_it() -> None:
    built = graph("sabj", ["ab", "ba", "sj", "bj"])

    assert built.start_nodes == text("s")
    assert built.reachable == {"s", "j"}
    assert built.predecessors(NodeId("j")) == text("s")


def test_an_empty_blueprint_has_no_start() -> None:
    assert graph("").start_nodes == ()


def test_unknown_nodes_are_key_errors() -> None:
    with pytest.raises(KeyError):
        graph("a").node(NodeId("b"))


def test_every_expression_that_does_not_compile_is_reported() -> None:
    edges = [edge_of("a", "b", condition="cel:a ==="), edge_of("a", "ghost", transform="cel:f(")]

    with pytest.raises(BlueprintError) as caught:
        graph("ab", edges)

    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "edges[0].condition",
        "edges[1].transform",
    ]


def test_the_metadata_makes_cel_the_language_of_the_blueprint() -> None:
    built = graph("ab", [edge_of("a", "b", condition="x == 1")], expressionLanguage="cel")

    condition = built.outgoing(NodeId("a"))[0].condition

    assert condition is not None
    assert condition.evaluate({"x": 1}.__getitem__) is True


@pytest.mark.parametrize("closing", [False, True])
def test_a_chain_of_20000_nodes_is_built_in_linear_time(*, closing: bool) -> None:
    ids = [f"n{number}" for number in range(20_000)]
    edges = [*pairwise(ids), *((node_id, ids[0]) for node_id in ids if closing)]
    began = time.process_time()

    built = graph(ids, edges, cycleEntryPoints=ids[10_000:])

    assert time.process_time() - began < 10
    assert built.is_dag is not closing


small_ids = st.sampled_from(["a", "b", "c", "d", "e", "ghost"])
small_blueprints = st.builds(
    blueprint,
    st.lists(small_ids.filter(lambda node_id: node_id != "ghost"), unique=True),
    st.lists(st.tuples(small_ids, small_ids), max_size=12),
    fallbacks=st.dictionaries(small_ids, small_ids, max_size=3),
    cycleEntryPoints=st.lists(small_ids, max_size=2),
)


def reached(bp: Blueprint, node_id: NodeId) -> set[NodeId]:
    """What can be reached from a node in one step or more."""
    known = {node.id for node in bp.nodes}
    found: set[NodeId] = set()
    last = {node_id}
    while last:
        last = {e.target for e in bp.edges if e.source in last and e.target in known} - found
        found |= last
    return found


@given(small_blueprints)
def test_start_nodes_follow_the_specification(bp: Blueprint) -> None:
    built = build_graph(bp, Digest("d"))

    expected = [
        node.id
        for node in bp.nodes
        if not any(edge.target == node.id for edge in bp.edges)
        and not any(other.config.fallback == node.id and other.id != node.id for other in bp.nodes)
    ]
    on_cycles = {node.id for node in bp.nodes if node.id in reached(bp, node.id)}
    if expected:
        assert list(built.start_nodes) == expected
    else:
        assert set(built.start_nodes) <= on_cycles
        assert bool(built.start_nodes) is bool(on_cycles)
        assert all(set(cycle) & set(built.start_nodes) for cycle in built.cycles)
    assert built.is_dag is not bool(on_cycles)


@given(small_blueprints)
def test_without_the_edges_that_lead_back_there_is_no_cycle(bp: Blueprint) -> None:
    built = build_graph(bp, Digest("d"))

    forward = tuple(
        bp.edges[route.index]
        for node in bp.nodes
        for route in built.outgoing(node.id)
        if not route.back and route.target in built.nodes
    )
    stripped = Blueprint(id=bp.id, version="1", nodes=bp.nodes, edges=forward)

    assert not any(node.id in reached(stripped, node.id) for node in bp.nodes)


@given(small_blueprints)
def test_successors_and_predecessors_are_the_same_relation_where_a_run_can_come(bp: Blueprint) -> None:
    built = build_graph(bp, Digest("d"))

    down = {(node_id, target) for node_id in built.reachable for target in built.successors(node_id)}
    up = {(source, node.id) for node in bp.nodes for source in built.predecessors(node.id)}

    assert down == up
