"""Section 12: what the linter finds, all of it and nothing else, and what the analysis tells."""

from __future__ import annotations

from typing import Any

from conformance.case import LintCase, edge, graph, loop_controller, node, once_more, out_of, with_edges


def issue(code: str, node_id: str | None = None, *, related: str | None = None) -> dict[str, str]:
    found = {"code": code}
    if node_id is not None:
        found["nodeId"] = node_id
    if related is not None:
        found["relatedId"] = related
    return found


def orphan(node_id: str) -> dict[str, str]:
    return issue("ORPHAN_NODE", node_id)


def missing(node_id: str) -> dict[str, str]:
    return issue("MISSING_NODE_IMPLEMENTATION", node_id)


def bad_source(target: str) -> dict[str, str]:
    return issue("INVALID_EDGE_SOURCE", related=target)


def bad_target(source: str) -> dict[str, str]:
    return issue("INVALID_EDGE_TARGET", related=source)


ABC = ["a", "b", "c", "d", "s", "f", "x", "y", "e"]


def clean(claim: str, blueprint: Any, *, spec: str = "12", **given: Any) -> LintCase:
    return LintCase(claim=claim, spec=spec, blueprint=blueprint, names=given.pop("names", ABC), lint=[], **given)


def found(claim: str, blueprint: Any, *issues: dict[str, str], spec: str = "12", **given: Any) -> LintCase:
    return LintCase(claim=claim, spec=spec, blueprint=blueprint, names=given.pop("names", ABC), lint=issues, **given)


def scatter(worker: str) -> Any:
    return node("sc", "batch-scatter", {"workerUsesKey": worker, "gatherNodeId": "ga"})


GATHER = node("ga", "batch-gather", {"gatherNodeId": "ga"})

LINT = [
    clean("a chain is clean", graph("a > b > c")),
    clean("an empty blueprint is clean", {"id": "case", "nodes": [], "edges": []}),
    clean("a single node is clean", graph("a")),
    clean("separate components are clean", graph("a > b", "c > d")),
    clean("a diamond is clean", graph("a > b > d", "a > c > d")),
    clean(
        "maps of nodes and edges are clean",
        {"id": "case", "nodes": {"1": node("a"), "2": node("b")}, "edges": {"1": edge("a", "b")}},
    ),
    clean("a fallback is clean", graph(node("a", fallback="f"), "a > b", "f"), spec="12: a fallback node counts"),
    clean(
        "a loop is clean",
        graph("s > c", loop_controller("c", "go"), once_more("c", "b"), "b > c", out_of("c", "e")),
    ),
    clean(
        "built-in waits are clean",
        graph("a > w > n > h", node("w", "wait"), node("n", "sleep", {"duration": 1}), node("h", "webhook")),
    ),
    clean("a batch is clean", graph("s > sc > ga", scatter("a"), GATHER)),
    clean(
        "a subflow of a known blueprint is clean",
        graph("s > sub", node("sub", "subflow", {"blueprintId": "child"})),
        children={"child": graph("a", blueprint_id="child")},
    ),
    # -- implementations
    found(
        "an implementation that is not registered", graph("a > nope"), missing("nope"), spec="12: uses not registered"
    ),
    found(
        "all implementations that are not registered",
        graph("p > q > r"),
        missing("p"),
        missing("q"),
        missing("r"),
        names=[],
    ),
    found(
        "it is the name in uses that counts", graph(node("a", "other")), missing("a"), spec="12: uses not registered"
    ),
    found("names are case-sensitive", graph(node("a", "A")), missing("a"), spec="12: uses not registered"),
    clean("an implementation may serve many nodes", graph(node("p", "a"), node("q", "a"), "p > q"), names=["a"]),
    # -- batches
    found(
        "a worker that is not registered",
        graph("s > sc > ga", scatter("nope"), GATHER),
        issue("INVALID_BATCH_WORKER_KEY", "sc"),
    ),
    found(
        "the workers of two batches",
        graph(
            "s > sc > ga",
            scatter("nope"),
            GATHER,
            node("sc2", "batch-scatter", {"workerUsesKey": "no2", "gatherNodeId": "ga2"}),
            node("ga2", "batch-gather", {"gatherNodeId": "ga2"}),
            "ga > sc2 > ga2",
        ),
        issue("INVALID_BATCH_WORKER_KEY", "sc"),
        issue("INVALID_BATCH_WORKER_KEY", "sc2"),
    ),
    # -- subflows
    found(
        "a subflow of an unknown blueprint",
        graph("s > sub", node("sub", "subflow", {"blueprintId": "nowhere"})),
        issue("INVALID_SUBFLOW_BLUEPRINT_ID", "sub"),
    ),
    found(
        "a subflow of a blueprint that others know",
        graph("s > sub", node("sub", "subflow", {"blueprintId": "nowhere"})),
        issue("INVALID_SUBFLOW_BLUEPRINT_ID", "sub"),
        children={"child": graph("a", blueprint_id="child")},
    ),
    clean(
        "a subflow without blueprint is not reported",
        graph("s > sub", node("sub", "subflow", {})),
        spec="12: a missing one is not reported",
    ),
    # -- edges. An edge from a nonexistent source counts as incoming, so its target is no start node.
    found("an edge from nowhere", with_edges(graph("a", "b", "a > b"), edge("ghost", "b")), bad_source("b")),
    found("an edge to nowhere", with_edges(graph("a > b"), edge("b", "ghost")), bad_target("b")),
    found(
        "edges from and to nowhere",
        with_edges(graph("a > b > c"), edge("ghost", "c"), edge("a", "spectre")),
        bad_source("c"),
        bad_target("a"),
    ),
    found(
        "two edges to nowhere",
        with_edges(graph("a > b"), edge("a", "ghost"), edge("b", "ghost")),
        bad_target("a"),
        bad_target("b"),
    ),
    found(
        "an edge from nowhere to nowhere",
        with_edges(graph("a > b"), edge("ghost", "spectre")),
        bad_source("spectre"),
        bad_target("ghost"),
    ),
    found(
        "a node into which an edge leads from nowhere is an orphan as well",
        with_edges(graph("a", "b"), edge("ghost", "b")),
        bad_source("b"),
        orphan("b"),
        spec="12; 3: an edge from a nonexistent source counts as incoming",
    ),
    # -- orphans
    found(
        "a cycle beside a start node",
        graph("s", "a > b > a"),
        orphan("a"),
        orphan("b"),
        spec="12: not reachable from a start node",
    ),
    found(
        "what hangs on such a cycle", graph("s", "a > b > a", "b > c"), orphan("a"), orphan("b"), orphan("c"), spec="12"
    ),
    found("a node with an edge to itself beside a start node", graph("s", "a > a"), orphan("a"), spec="12"),
    found(
        "a fallback that a cycle leads back to",
        graph(node("a", fallback="f"), "f > b > f"),
        orphan("f"),
        orphan("b"),
        spec="12: not reachable from a start node; a fallback node counts if it has no incoming edge",
    ),
    clean(
        "a node to which its own fallback leads",
        graph("s", node("a", fallback="f"), "f > a"),
        spec="12: start nodes, a fallback node counts",
    ),
    clean("a node alone with an edge to itself", graph("a > a"), spec="12: in blueprints of two nodes or more"),
    found(
        "a cycle without start node",
        graph("a > b > a"),
        orphan("a"),
        orphan("b"),
        spec="12: not reachable from a start node",
    ),
    clean("a cycle behind a start node", graph("s > a > b > a", node("a", joinStrategy="any")), spec="12"),
    # -- several at once
    found(
        "everything that is wrong is told at once",
        with_edges(
            graph(
                "s > nope > sub",
                node("sub", "subflow", {"blueprintId": "nowhere"}),
                scatter("no-worker"),
                GATHER,
                "s > sc > ga",
                "x > y > x",
            ),
            edge("s", "ghost"),
        ),
        missing("nope"),
        issue("INVALID_SUBFLOW_BLUEPRINT_ID", "sub"),
        issue("INVALID_BATCH_WORKER_KEY", "sc"),
        bad_target("s"),
        orphan("x"),
        orphan("y"),
    ),
]


def analysed(claim: str, blueprint: Any, *, spec: str = "12, Analysis", **expected: Any) -> LintCase:
    return LintCase(claim=claim, spec=spec, blueprint=blueprint, names=ABC, analysis=expected)


ANALYSIS = [
    analysed(
        "a chain",
        graph("a > b > c"),
        startNodeIds=["a"],
        terminalNodeIds=["c"],
        isDag=True,
        cycleCount=0,
        nodeCount=3,
        edgeCount=2,
    ),
    analysed(
        "nothing",
        {"id": "case", "nodes": [], "edges": []},
        startNodeIds=[],
        terminalNodeIds=[],
        isDag=True,
        cycleCount=0,
        nodeCount=0,
        edgeCount=0,
    ),
    analysed(
        "a single node is start and end",
        graph("a"),
        startNodeIds=["a"],
        terminalNodeIds=["a"],
        nodeCount=1,
        edgeCount=0,
    ),
    analysed(
        "a diamond",
        graph("a > b > d", "a > c > d"),
        startNodeIds=["a"],
        terminalNodeIds=["d"],
        isDag=True,
        cycleCount=0,
        nodeCount=4,
        edgeCount=4,
    ),
    analysed(
        "several starts and ends",
        graph("a > c", "b > c", "c > d", "c > e", "x"),
        startNodeIds=["a", "b", "x"],
        terminalNodeIds=["d", "e", "x"],
        nodeCount=6,
        edgeCount=4,
    ),
    analysed(
        "a fallback is a start node of the analysis",
        graph(node("a", fallback="f"), "a > b", "f"),
        startNodeIds=["a", "f"],
        terminalNodeIds=["b", "f"],
        spec="12: a fallback node counts",
    ),
    analysed(
        "a cycle of two",
        graph("a > b > a"),
        startNodeIds=[],
        terminalNodeIds=[],
        isDag=False,
        cycleCount=1,
        nodeCount=2,
        edgeCount=2,
    ),
    analysed(
        "an edge from a node to itself is a cycle", graph("a > a"), isDag=False, cycleCount=1, nodeCount=1, edgeCount=1
    ),
    analysed("two cycles", graph("a > b > a", "x > y > x"), isDag=False, cycleCount=2),
    analysed(
        "one cycle behind a start node",
        graph("s > a > b > a", "b > c"),
        startNodeIds=["s"],
        terminalNodeIds=["c"],
        isDag=False,
        cycleCount=1,
    ),
    analysed(
        "a loop is one cycle",
        graph("s > c", loop_controller("c", "go"), once_more("c", "b"), "b > d > c", out_of("c", "e")),
        startNodeIds=["s"],
        terminalNodeIds=["e"],
        isDag=False,
        cycleCount=1,
        nodeCount=5,
        edgeCount=5,
    ),
    analysed(
        "edges with actions and conditions are edges",
        graph(edge("a", "b", action="x"), edge("a", "b", action="y"), edge("a", "c", condition="p")),
        startNodeIds=["a"],
        terminalNodeIds=["b", "c"],
        isDag=True,
        edgeCount=3,
    ),
    analysed(
        "an edge from nowhere keeps its target from being a start",
        with_edges(graph("a", "b"), edge("ghost", "b")),
        startNodeIds=["a"],
        nodeCount=2,
        spec="12; 3",
    ),
]

LINT_CASES = [*LINT, *ANALYSIS]
