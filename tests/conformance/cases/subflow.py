"""Section 9, subflow: a blueprint that runs as a node of another."""

from __future__ import annotations

from typing import Any

from conformance.case import (
    Case,
    Json,
    acts,
    counts_up,
    echo,
    edge,
    fails,
    fails_until,
    gives,
    graph,
    node,
    outage,
    reads,
    writes,
)


def child(*parts: Any, blueprint_id: str = "child") -> Json:
    return graph(*parts, blueprint_id=blueprint_id)


def sub(
    node_id: str = "sub", blueprint_id: str = "child", *, config: Json | None = None, inputs: Any = None, **params: Any
) -> Json:
    return node(node_id, "subflow", {"blueprintId": blueprint_id, **params}, inputs=inputs, **(config or {}))


async def everything(ctx: Any) -> Json:
    return {key: await ctx.get(key) for key in ("x", "y", "secret")}


async def increments(ctx: Any) -> Any:
    return ctx.input + 1


N = {"s": gives({"n": 1}), "z": echo, "x": echo, "y": echo}

PLAIN = [
    Case(
        claim="the input of the node goes to the child's start, and the child's end is its output",
        spec="9, subflow: Without inputs ... Without outputs",
        blueprint=graph(sub(), "s > sub > z"),
        children={"child": child("x > y")},
        nodes={"s": gives(1), "x": increments, "y": increments, "z": increments},
        expect={
            "status": "completed",
            "executed": ["s", "sub", "z"],
            "outputs": {"s": 1, "sub": 3, "z": 4},
            "context": {},
            "errors": [],
            "children": {
                "child": {"status": "completed", "executed": ["x", "y"], "outputs": {"x": 2, "y": 3}, "context": {}}
            },
        },
        everywhere=True,
    ),
    Case(
        claim="the input goes to every start node of the child",
        spec="9, subflow: delivered to every start node of the child",
        blueprint=graph(sub(), "s > sub > z"),
        children={"child": child("a > j", "b > j", node("j", "echo", inputs={"a": "a", "b": "b"}))},
        nodes={**N, "a": echo, "b": echo, "echo": echo},
        expect={"status": "completed", "outputs_has": {"z": {"a": {"n": 1}, "b": {"n": 1}}}},
    ),
    Case(
        claim="several ends of the child make a map",
        spec="9, subflow: a map terminal id -> output if there are several",
        blueprint=graph(sub(), "s > sub > z"),
        children={"child": child("a > x", "a > y")},
        nodes={**N, "a": echo, "x": gives("X"), "y": gives("Y")},
        expect={"status": "completed", "outputs_has": {"sub": {"x": "X", "y": "Y"}, "z": {"x": "X", "y": "Y"}}},
        everywhere=True,
    ),
    Case(
        claim="a child of a single node",
        spec="9, subflow",
        blueprint=graph(sub(), "s > sub > z"),
        children={"child": child("x")},
        nodes=N,
        expect={"status": "completed", "outputs_has": {"sub": {"n": 1}, "z": {"n": 1}}},
    ),
    Case(
        claim="a subflow that starts the run gives nothing to its child",
        spec="9, subflow; 7",
        blueprint=graph(sub(), "sub > z"),
        children={"child": child("x")},
        nodes=N,
        expect={"status": "completed", "outputs": {"sub": None, "z": None}},
    ),
    Case(
        claim="the node's own inputs are what the child gets",
        spec="7; 9, subflow: the node's input is delivered",
        blueprint=graph(sub(inputs={"n": "s.n", "k": "k"}), "s > sub > z"),
        children={"child": child("x")},
        nodes=N,
        initial={"k": "K"},
        expect={"status": "completed", "outputs_has": {"z": {"n": 1, "k": "K"}}},
    ),
    Case(
        claim="a falsy result of the child is its output",
        spec="9, subflow: the output of the child's only terminal node",
        blueprint=graph(sub(), "s > sub > z"),
        children={"child": child("x")},
        nodes={**N, "x": gives(0)},
        expect={"status": "completed", "outputs_has": {"sub": 0, "z": 0}},
    ),
    Case(
        claim="the child does not see the context of its parent",
        spec="9, subflow: The child runs in its own context",
        blueprint=graph(sub(), "sub > z"),
        children={"child": child(node("x", "everything"))},
        nodes={"everything": everything, "z": echo},
        initial={"secret": 1, "x": 2, "y": 3},
        expect={"outputs_has": {"sub": {"x": None, "y": None, "secret": None}}},
    ),
    Case(
        claim="the parent does not see the context of its child",
        spec="9, subflow: The child runs in its own context",
        blueprint=graph(sub(), "sub > z"),
        children={"child": child("x")},
        nodes={"x": writes({"k": "child"}), "z": reads("k")},
        initial={"k": "parent"},
        expect={
            "outputs_has": {"z": "parent"},
            "context": {"k": "parent"},
            "children": {"child": {"context": {"k": "child"}}},
        },
    ),
    Case(
        claim="nodes of parent and child may have the same names",
        spec="9, subflow: The child runs in its own context",
        blueprint=graph(node("x", "one"), sub(), node("y", "echo", inputs="x"), "x > sub > y"),
        children={"child": child(node("x", "two"), node("y", "echo"), "x > y")},
        nodes={"one": gives("parent"), "two": gives("child"), "echo": echo},
        expect={
            "outputs": {"x": "parent", "sub": "child", "y": "parent"},
            "executed": ["sub", "x", "y"],
            "children": {"child": {"outputs": {"x": "child", "y": "child"}, "executed": ["x", "y"]}},
        },
    ),
    Case(
        claim="a child with a choice",
        spec="9, subflow; 4",
        blueprint=graph(sub(), "s > sub > z"),
        children={"child": child(edge("a", "b", action="b"), edge("a", "c", action="c"), "b > y", "c > y")},
        nodes={**N, "a": acts("c"), "b": gives("B"), "c": gives("C")},
        expect={
            "status": "completed",
            "outputs_has": {"z": "C"},
            "children": {"child": {"skipped": ["b"], "executed": ["a", "c", "y"]}},
        },
    ),
    Case(
        claim="conditions behind a subflow see its output",
        spec="4; 9",
        blueprint=graph(
            sub(), "s > sub", edge("sub", "z", condition="result.output.n"), edge("sub", "q", condition="sub.m")
        ),
        children={"child": child("x")},
        nodes={**N, "q": echo},
        expect={"executed": ["s", "sub", "z"], "skipped": ["q"]},
    ),
    Case(
        claim="subflows side by side join",
        spec="9; 6",
        blueprint=graph(
            sub("one", "first"),
            sub("two", "second"),
            "s > one > j",
            "s > two > j",
            node("j", "echo", inputs={"one": "one", "two": "two"}),
        ),
        children={"first": child("x", blueprint_id="first"), "second": child("y", blueprint_id="second")},
        nodes={"s": gives(1), "x": increments, "y": gives("Y"), "echo": echo},
        expect={
            "status": "completed",
            "outputs_has": {"j": {"one": 2, "two": "Y"}},
            "children": {"first": {"status": "completed"}, "second": {"status": "completed"}},
        },
    ),
    Case(
        claim="the same child runs twice, each time on its own",
        spec="9, subflow: The child runs in its own context",
        blueprint=graph(sub("one"), sub("two"), "s > one > two > z"),
        children={"child": child("x")},
        nodes={"s": gives(1), "x": increments, "z": echo},
        expect={"status": "completed", "outputs": {"s": 1, "one": 2, "two": 3, "z": 3}, "counts": {}},
    ),
    Case(
        claim="a child of a child",
        spec="issue, 5: nested",
        blueprint=graph(sub(), "s > sub > z"),
        children={
            "child": child("x", sub("inner", "grandchild"), "x > inner > y"),
            "grandchild": child("g", blueprint_id="grandchild"),
        },
        nodes={"s": gives(1), "x": increments, "y": increments, "g": increments, "z": increments},
        expect={
            "status": "completed",
            "outputs": {"s": 1, "sub": 4, "z": 5},
            "executed": ["s", "sub", "z"],
            "children": {"child": {"executed": ["inner", "x", "y"], "outputs": {"x": 2, "inner": 3, "y": 4}}},
        },
        everywhere=True,
    ),
    Case(
        claim="a subflow in a branch that was not taken runs no child",
        spec="Dead paths",
        blueprint=graph(sub(), edge("s", "sub", condition="no"), "s > z"),
        children={"child": child("x")},
        nodes=N,
        expect={"status": "completed", "executed": ["s", "z"], "skipped": ["sub"]},
    ),
    Case(
        claim="a batch in a child",
        spec="9",
        blueprint=graph(sub(), "s > sub > z"),
        children={
            "child": child(
                node("sc", "batch-scatter", {"workerUsesKey": "increments", "gatherNodeId": "ga"}),
                node("ga", "batch-gather", {"gatherNodeId": "ga"}),
                "x > sc > ga",
            )
        },
        nodes={"s": gives([1, 2, 3]), "x": echo, "increments": increments, "z": echo},
        expect={"status": "completed", "outputs_has": {"sub": [2, 3, 4], "z": [2, 3, 4]}},
    ),
]

MAPPINGS = [
    Case(
        claim="inputs name what the child's context is made of",
        spec="9, subflow: each child key = parent context key",
        blueprint=graph(
            node("sub", "subflow", {"blueprintId": "child", "inputs": {"x": "k", "y": "s"}}), "s > sub > z"
        ),
        children={"child": child(node("c", "everything"))},
        nodes={"s": gives("S"), "everything": everything, "z": echo},
        initial={"k": {"deep": 1}, "secret": "hidden"},
        expect={
            "status": "completed",
            "outputs_has": {"sub": {"x": {"deep": 1}, "y": "S", "secret": None}},
            "children": {"child": {"context": {"x": {"deep": 1}, "y": "S"}}},
        },
        everywhere=True,
    ),
    Case(
        claim="an input that the parent does not have is absent in the child",
        spec="9, subflow: else absent",
        blueprint=graph(node("sub", "subflow", {"blueprintId": "child", "inputs": {"x": "nowhere"}}), "sub > z"),
        children={"child": child(node("c", "everything"))},
        nodes={"everything": everything, "z": echo},
        expect={"status": "completed", "outputs_has": {"sub": {"x": None, "y": None, "secret": None}}},
    ),
    Case(
        claim="with inputs the child's start nodes get nothing delivered",
        spec="9, subflow: Without [inputs]: the node's input is delivered; 7",
        blueprint=graph(node("sub", "subflow", {"blueprintId": "child", "inputs": {"k": "s"}}), "s > sub > z"),
        children={"child": child("x")},
        nodes=N,
        expect={"status": "completed", "outputs": {"s": {"n": 1}, "sub": None, "z": None}},
    ),
    Case(
        claim="the nodes of the child read mapped keys by their inputs",
        spec="7; 9, subflow",
        blueprint=graph(node("sub", "subflow", {"blueprintId": "child", "inputs": {"order": "s"}}), "s > sub > z"),
        children={"child": child(node("x", inputs={"o": "order"}))},
        nodes=N,
        expect={"status": "completed", "outputs_has": {"z": {"o": {"n": 1}}}},
    ),
    Case(
        claim="a dotted parent key is no path",
        spec="9, subflow: no paths; 2: a dot in a key is not a path",
        blueprint=graph(node("sub", "subflow", {"blueprintId": "child", "inputs": {"x": "a.b"}}), "sub > z"),
        children={"child": child(node("c", "everything"))},
        nodes={"everything": everything, "z": echo},
        initial={"a.b": "whole"},
        expect={"status": "completed", "outputs_has": {"sub": {"x": "whole", "y": None, "secret": None}}},
    ),
    Case(
        claim="outputs name what the parent gets: outputs of the child's nodes, else its context",
        spec="9, subflow: With outputs",
        blueprint=graph(
            node("sub", "subflow", {"blueprintId": "child", "outputs": {"from_node": "x", "from_key": "k"}}),
            node("z", "sees"),
            "s > sub > z",
        ),
        children={"child": child("x > y")},
        nodes={"s": gives(1), "x": writes({"k": "K"}, "X"), "y": gives("Y"), "sees": reads("from_node")},
        expect={"status": "completed", "outputs_has": {"z": "X"}, "context": {"from_node": "X", "from_key": "K"}},
        everywhere=True,
    ),
    Case(
        claim="an output overwrites the parent's context key",
        spec="9, subflow: each parent context key = child's node output",
        blueprint=graph(node("sub", "subflow", {"blueprintId": "child", "outputs": {"k": "x"}}), "sub > z"),
        children={"child": child("x")},
        nodes={"x": gives("child"), "z": reads("k")},
        initial={"k": "parent"},
        expect={"outputs_has": {"z": "child"}, "context": {"k": "child"}},
    ),
    Case(
        claim="other keys of the child stay in the child",
        spec="9, subflow: The child runs in its own context",
        blueprint=graph(node("sub", "subflow", {"blueprintId": "child", "outputs": {"k": "k"}}), "sub > z"),
        children={"child": child("x")},
        nodes={"x": writes({"k": 1, "private": 2}), "z": gives("Z")},
        expect={"context": {"k": 1}},
    ),
    Case(
        claim="inputs and outputs together",
        spec="9, subflow",
        blueprint=graph(
            node("sub", "subflow", {"blueprintId": "child", "inputs": {"n": "a"}, "outputs": {"total": "y"}}),
            "a > sub > z",
            node("z", inputs={"total": "total"}),
        ),
        children={"child": child(node("x", inputs="n"), "x > y")},
        nodes={"a": gives(5), "x": increments, "y": increments, "z": echo},
        expect={"status": "completed", "outputs_has": {"z": {"total": 7}}, "context": {"total": 7}},
    ),
    Case(
        claim="mappings through two levels",
        spec="9, subflow; issue, 5: nested",
        blueprint=graph(
            node("sub", "subflow", {"blueprintId": "child", "inputs": {"n": "k"}, "outputs": {"up": "m"}}), "sub > z"
        ),
        children={
            "child": child(
                node("inner", "subflow", {"blueprintId": "grandchild", "inputs": {"n": "n"}, "outputs": {"m": "g"}})
            ),
            "grandchild": child(node("g", "increments", inputs="n"), blueprint_id="grandchild"),
        },
        nodes={"increments": increments, "z": reads("up")},
        initial={"k": 1},
        expect={"status": "completed", "outputs_has": {"z": 2}, "context": {"k": 1, "up": 2}},
    ),
]

FAILURES = [
    Case(
        claim="a child that fails fails the node",
        spec="9, subflow: A child that does not complete fails the node; 11: the id of the subflow node",
        blueprint=graph(sub(), "s > sub > z"),
        children={"child": child("x > y")},
        nodes={**N, "x": fails()},
        expect={
            "status": "failed",
            "errors": ["sub"],
            "executed": ["s", "sub"],
            "skipped": ["z"],
            "children": {"child": {"status": "failed", "errors": ["x"]}},
        },
        everywhere=True,
    ),
    Case(
        claim="a child that fails leaves the parent's other branches alone",
        spec="8: independent branches run to their end; 9",
        blueprint=graph(sub(), "s > sub > z", "s > p > q"),
        children={"child": child("x")},
        nodes={**N, "x": fails(), "p": echo, "q": echo},
        expect={"status": "failed", "errors": ["sub"], "executed": ["p", "q", "s", "sub"]},
    ),
    Case(
        claim="the whole child runs again when the node is tried again",
        spec="9, subflow: retries (whole child again)",
        blueprint=graph(sub(config={"maxRetries": 2}), "s > sub > z"),
        children={"child": child("x > y")},
        nodes={"s": gives(1), "x": echo, "y": outage(1, "Y"), "z": echo},
        expect={
            "status": "completed",
            "attempts": {"sub": 2},
            "counts": {},
            "outputs_has": {"sub": "Y", "z": "Y"},
            "errors": [],
        },
    ),
    Case(
        claim="a child that fails in every attempt fails the node",
        spec="9, subflow: retries (whole child again)",
        blueprint=graph(sub(config={"maxRetries": 3}), "s > sub > z"),
        children={"child": child("x")},
        nodes={**N, "x": fails()},
        expect={"status": "failed", "errors": ["sub"], "attempts": {"sub": 3}, "executed_without": ["z"]},
    ),
    Case(
        claim="a fallback stands in for a child that fails",
        spec="9, subflow: fallback of the node apply",
        blueprint=graph(sub(config={"fallback": "f"}), "s > sub > z", "f"),
        children={"child": child("x")},
        nodes={**N, "x": fails(), "f": gives("F")},
        expect={"status": "completed", "errors": [], "outputs": {"s": {"n": 1}, "sub": None, "f": "F", "z": "F"}},
        everywhere=True,
    ),
    Case(
        claim="a node of the child is tried again within the child",
        spec="8; 9",
        blueprint=graph(sub(), "s > sub > z"),
        children={"child": child(node("x", maxRetries=3))},
        nodes={**N, "x": fails_until(3, "X")},
        expect={
            "status": "completed",
            "attempts": {},
            "outputs_has": {"z": "X"},
            "children": {"child": {"attempts": {"x": 3}, "status": "completed"}},
        },
    ),
    Case(
        claim="a failure that the child handles is none of its parent's",
        spec="8: A handled failure is no error of the run; 9",
        blueprint=graph(sub(), "s > sub > z"),
        children={"child": child(node("x", fallback="f"), "x > y", "f > y")},
        nodes={**N, "x": fails(), "f": gives("F")},
        expect={"status": "completed", "errors": [], "outputs_has": {"z": "F"}},
    ),
    Case(
        claim="a failure two levels down goes up to the top",
        spec="9; 11: a failed child: the id of the subflow node",
        blueprint=graph(sub(), "s > sub > z"),
        children={"child": child(sub("inner", "grandchild")), "grandchild": child("g", blueprint_id="grandchild")},
        nodes={**N, "g": fails()},
        expect={
            "status": "failed",
            "errors": ["sub"],
            "children": {"child": {"status": "failed", "errors": ["inner"]}},
        },
    ),
    Case(
        claim="the fallback in the middle catches a failure two levels down",
        spec="8; 9",
        blueprint=graph(sub(), "s > sub > z"),
        children={
            "child": child(sub("inner", "grandchild", config={"fallback": "f"}), "inner > y", "f"),
            "grandchild": child("g", blueprint_id="grandchild"),
        },
        nodes={**N, "g": fails(), "f": gives("F")},
        expect={
            "status": "completed",
            "errors": [],
            "children": {"child": {"status": "completed", "outputs_has": {"y": "F"}}},
        },
    ),
    Case(
        claim="an unknown implementation in a child fails the node, which has its fallback",
        spec="8; 9, subflow: A child that does not complete fails the node",
        blueprint=graph(sub(config={"fallback": "f"}), "s > sub > z", "f"),
        children={"child": child(node("x", "no-such-thing"))},
        nodes={**N, "f": gives("F")},
        expect={"status": "completed", "outputs_has": {"z": "F"}},
    ),
]

WAITING = [
    Case(
        claim="a child that waits makes its parent wait",
        spec="9, subflow: A child that awaits makes the parent await at the subflow node",
        blueprint=graph(sub(), "s > sub > z"),
        children={"child": child(node("w", "wait"), "x > w > y")},
        nodes=N,
        expect={
            "status": "awaiting",
            "awaiting": ["sub"],
            "executed": ["s", "sub"],
            "children": {"child": {"status": "awaiting", "awaiting": ["w"], "executed": ["w", "x"]}},
        },
        everywhere=True,
    ),
    Case(
        claim="a resume of the parent goes on with the child",
        spec="10 [R]: a child of `subflow` is not continued",
        blueprint=graph(sub(), "s > sub > z"),
        children={"child": child(node("w", "wait"), "x > w > y")},
        nodes=N,
        resume=[{"output": "from outside"}],
        expect={
            "status": "completed",
            "outputs_has": {"sub": "from outside", "z": "from outside"},
            "executed": ["s", "sub", "z"],
            "children": {"child": {"status": "completed", "outputs_has": {"w": "from outside", "y": "from outside"}}},
        },
        everywhere=True,
    ),
    Case(
        claim="a resume of the subflow node goes on with the child",
        spec="10 [R]: a child of `subflow` is not continued",
        blueprint=graph(sub(), "s > sub > z"),
        children={"child": child(node("w", "wait"), "x > w > y")},
        nodes={**N, "y": counts_up("n")},
        resume=[{"node": "sub", "output": 5}],
        expect={"status": "completed", "outputs_has": {"z": 1}, "children": {"child": {"outputs_has": {"w": 5}}}},
    ),
    Case(
        claim="the action of a resume chooses in the child",
        spec="10 [R]: it selects action edges; a child of `subflow` is not continued",
        blueprint=graph(sub(), "s > sub > z"),
        children={
            "child": child(
                node("w", "wait"), edge("w", "x", action="yes"), edge("w", "y", action="no"), "x > t", "y > t"
            )
        },
        nodes={**N, "x": gives("X"), "y": gives("Y"), "t": echo},
        resume=[{"action": "no", "output": 1}],
        expect={"status": "completed", "outputs_has": {"z": "Y"}, "children": {"child": {"skipped": ["x"]}}},
    ),
    Case(
        claim="a child that waits twice is resumed twice",
        spec="10: A node may await again later (sequence, loop)",
        blueprint=graph(sub(), "s > sub > z"),
        children={
            "child": child(
                node("w", "wait"), node("v", "wait"), "x > w > v > y", node("y", inputs={"w": "w", "v": "v"})
            )
        },
        nodes=N,
        resume=[{"output": 1}, {"output": 2}],
        expect={"status": "completed", "outputs_has": {"z": {"w": 1, "v": 2}}, "counts": {}},
    ),
    Case(
        claim="other branches of the parent go on while its child waits",
        spec="10 [R]: one awaiting node stops all other branches",
        blueprint=graph(sub(), "s > sub > j", "s > p > q > j"),
        children={"child": child(node("w", "wait"))},
        nodes={**N, "p": echo, "q": echo, "j": echo},
        expect={"status": "awaiting", "awaiting": ["sub"], "executed": ["p", "q", "s", "sub"]},
    ),
    Case(
        claim="a join behind a child that waited starts when both have come",
        spec="10 [R]: joins after the resumed node are not checked",
        blueprint=graph(sub(), "s > sub > j", "s > p > j", node("j", "echo", inputs={"sub": "sub", "p": "p"})),
        children={"child": child(node("w", "wait"))},
        nodes={**N, "p": gives("P"), "echo": echo},
        resume=[{"output": "W"}],
        expect={"status": "completed", "outputs_has": {"j": {"sub": "W", "p": "P"}}, "counts": {}},
    ),
    Case(
        claim="a child two levels down that waits makes the top wait, and is reached",
        spec="9, subflow; 10 [R]",
        blueprint=graph(sub(), "s > sub > z"),
        children={
            "child": child(sub("inner", "grandchild"), "inner > y"),
            "grandchild": child(node("w", "wait"), blueprint_id="grandchild"),
        },
        nodes=N,
        resume=[{"output": "deep"}],
        expect={"status": "completed", "outputs_has": {"sub": "deep", "z": "deep"}},
    ),
    Case(
        claim="a child that sleeps is woken by the timer of its parent's run",
        spec="9, sleep; issue: for a `sleep` it stands for the timer",
        blueprint=graph(sub(), "s > sub > z"),
        children={"child": child(node("w", "sleep", {"duration": 20}), "x > w > y")},
        nodes=N,
        resume=[{}],
        expect={"status": "completed", "outputs_has": {"z": {"n": 1}}},
    ),
    Case(
        claim="a child that fails after it was resumed fails the node",
        spec="9, subflow: A child that does not complete fails the node",
        blueprint=graph(sub(), "s > sub > z"),
        children={"child": child(node("w", "wait"), "w > x")},
        nodes={**N, "x": fails()},
        resume=[{}],
        expect={"status": "failed", "errors": ["sub"], "children": {"child": {"status": "failed", "errors": ["x"]}}},
    ),
    Case(
        claim="mapped outputs come from a child that waited",
        spec="9, subflow: With outputs; 10",
        blueprint=graph(
            node("sub", "subflow", {"blueprintId": "child", "inputs": {"n": "k"}, "outputs": {"answer": "w"}}),
            "sub > z",
        ),
        children={"child": child(node("w", "wait"))},
        nodes={"z": reads("answer")},
        initial={"k": 1},
        resume=[{"output": "yes"}],
        expect={"status": "completed", "outputs_has": {"z": "yes"}, "context": {"k": 1, "answer": "yes"}},
    ),
]

CASES = [*PLAIN, *MAPPINGS, *FAILURES, *WAITING]
