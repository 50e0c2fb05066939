"""Section 11: the status in the end; and runs that are refused."""

from __future__ import annotations

from conformance.case import (
    Case,
    acts,
    echo,
    edge,
    fails,
    gives,
    graph,
    loop_controller,
    node,
    once_more,
    out_of,
)

W = node("w", "wait")
N = {"s": gives("S"), "a": echo, "b": echo, "z": echo}

NOTHING_RAN = {"executed": [], "outputs": {}, "counts": {}}

CASES = [
    Case(
        claim="an empty blueprint completes",
        spec="11: An empty blueprint completes",
        blueprint={"id": "case", "nodes": [], "edges": []},
        initial={"k": 1},
        expect={"status": "completed", **NOTHING_RAN, "context": {"k": 1}, "errors": [], "awaiting": [], "skipped": []},
        everywhere=True,
    ),
    Case(
        claim="an empty blueprint of maps completes",
        spec="1; 11",
        blueprint={"id": "case", "nodes": {}, "edges": {}},
        expect={"status": "completed", **NOTHING_RAN},
    ),
    Case(
        claim="a run of which a branch ends early completes",
        spec="4.5 [R]; 11",
        blueprint=graph("s > a", edge("a", "b", action="never")),
        nodes=N,
        expect={"status": "completed", "errors": []},
    ),
    Case(
        claim="a run that waits is awaiting although a node has failed",
        spec="11: awaiting if any node awaits; else failed",
        blueprint=graph(W, "s > w > z", "s > a"),
        nodes={**N, "a": fails()},
        expect={"status": "awaiting", "awaiting": ["w"], "errors": ["a"], "executed": ["a", "s", "w"]},
        everywhere=True,
    ),
    Case(
        claim="a failed start node beside a waiting one",
        spec="11: awaiting if any node awaits",
        blueprint=graph(W, "a", "w > z"),
        nodes={**N, "a": fails()},
        expect={"status": "awaiting", "errors": ["a"]},
    ),
    Case(
        claim="a run is failed if any node failed, whatever else completed",
        spec="11: else failed if any node failed",
        blueprint=graph("s > a > z", "s > b"),
        nodes={**N, "b": fails()},
        expect={"status": "failed", "errors": ["b"], "outputs": {"s": "S", "a": "S", "z": "S"}},
    ),
    Case(
        claim="errors are sorted ids",
        spec="11; issue: errors (sorted ids of failed nodes)",
        blueprint=graph("z", "b", "a", "s"),
        nodes={"z": fails(), "b": fails(), "a": fails(), "s": gives(1)},
        expect={"status": "failed", "errors": ["a", "b", "z"], "executed": ["a", "b", "s", "z"]},
    ),
    Case(
        claim="a node whose predecessors all failed is no error itself",
        spec="11: Errors carry the failed node's id; Dead paths: skipped with that reason",
        blueprint=graph("a > j", "b > j", "j > z"),
        nodes={**N, "a": fails(), "b": fails(), "j": echo},
        expect={"status": "failed", "errors": ["a", "b"], "skipped": ["j", "z"], "executed": ["a", "b"]},
    ),
    Case(
        claim="a cancelled run is cancelled although a node has failed before",
        spec="3; 11: cancelled see 3",
        blueprint=graph("s > x > y > t > b", "a"),
        nodes={**N, "a": fails(), "x": echo, "y": echo, "t": echo},
        cancel={"after": "t"},
        expect={"status": "cancelled", "executed_without": ["b"]},
    ),
    # -- refused before anything runs
    Case(
        claim="with strict a graph with a cycle is refused before anything runs",
        spec="3: Option strict",
        blueprint=graph("a > b > a"),
        nodes=N,
        options={"strict": True},
        initial={"k": 1},
        expect={"status": "failed", **NOTHING_RAN, "context": {"k": 1}},
    ),
    Case(
        claim="with strict a cycle behind a start node is refused too",
        spec="3: a graph with any cycle",
        blueprint=graph("s > a > b > a", node("a", joinStrategy="any")),
        nodes=N,
        options={"strict": True},
        expect={"status": "failed", **NOTHING_RAN},
    ),
    Case(
        claim="with strict a cycle beside a start node is refused too",
        spec="3: a graph with any cycle",
        blueprint=graph("s", "a > b > a"),
        nodes=N,
        options={"strict": True},
        expect={"status": "failed", **NOTHING_RAN},
    ),
    Case(
        claim="with strict an edge from a node to itself is refused",
        spec="3: a graph with any cycle",
        blueprint=graph("s > a > a"),
        nodes=N,
        options={"strict": True},
        expect={"status": "failed", **NOTHING_RAN},
    ),
    Case(
        claim="with strict a loop is refused",
        spec="3: a graph with any cycle",
        blueprint=graph("s > c", loop_controller("c", "go"), once_more("c", "b"), "b > c", out_of("c", "z")),
        nodes=N,
        options={"strict": True},
        expect={"status": "failed", **NOTHING_RAN},
    ),
    Case(
        claim="without strict a cycle is not refused",
        spec="3",
        blueprint=graph("a > b > a"),
        nodes=N,
        options={"strict": False},
        expect={"status": "completed", "executed": ["a", "b"]},
    ),
    Case(
        claim="a loop controller without continue edge is refused",
        spec="9: without one the run is refused",
        blueprint=graph("s > c", loop_controller("c", "go"), out_of("c", "z")),
        nodes=N,
        expect={"status": "failed", **NOTHING_RAN},
    ),
    # -- what the status is not changed by
    Case(
        claim="a run completes though some of its nodes are behind a branch not taken",
        spec="11",
        blueprint=graph(edge("s", "a", action="x"), edge("s", "b", action="y"), "a > z"),
        nodes={**N, "s": acts("y", 1)},
        expect={"status": "completed", "executed": ["b", "s"], "skipped": ["a", "z"]},
    ),
    Case(
        claim="a webhook waits or fails, it does not complete by itself",
        spec="9, webhook; issue, 2",
        blueprint=graph(node("h", "webhook"), "s > h > z"),
        nodes=N,
        expect={"executed_has": ["s"], "executed_without": ["z"], "outputs": {"s": "S"}},
    ),
]
