"""Where rules meet: what one would not think of at first."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from conformance.case import (
    Case,
    Fresh,
    acts,
    counts_up,
    echo,
    edge,
    fails,
    fails_until,
    gives,
    graph,
    loop_controller,
    node,
    notes,
    once_more,
    out_of,
    reads,
    writes,
)

from famulus.nodes import Result

W = node("w", "wait")
N = {"s": gives("S"), "z": echo, "a": echo, "b": echo}


def plain(ctx: Any) -> Any:
    return [ctx.input, ctx.attempt]


def adds(ctx: Any, *, more: int) -> Any:
    return ctx.input + more


class Doubles:
    async def __call__(self, ctx: Any) -> Any:
        return ctx.input * 2


async def route(ctx: Any) -> Result:
    n = (await ctx.get("i") or 0) + 1
    await ctx.set("i", n)
    await ctx.set("go", n < 4)
    return Result(output=n, action="skip" if n % 2 else "work")


async def less_one(ctx: Any) -> Any:
    return ctx.input - 1


async def fails_in_round_two(ctx: Any) -> Any:
    if await ctx.get("i") == 2:
        raise ValueError("two")
    return "fine"


async def only_small(ctx: Any) -> Any:
    if ctx.input > 2:
        raise ValueError("large")
    return ctx.input


async def spoils(ctx: Any) -> str:
    ctx.input["list"].append("spoilt")
    return "spoilt"


async def spoils_params(ctx: Any) -> Any:
    given = list(ctx.params["list"])
    ctx.params["list"].append("spoilt")
    if ctx.attempt == 1:
        raise ValueError("once more")
    return given


async def cancels_itself(ctx: Any) -> None:
    raise asyncio.CancelledError


def list_in_first_round() -> Any:
    rounds = iter((1, 2))

    async def give(ctx: Any) -> Any:
        number = next(rounds)
        for key, value in (("first", number == 1), ("later", number == 2), ("go", number == 1)):
            await ctx.set(key, value)
        return [1, 2]

    return give


async def start_of_outer(ctx: Any) -> None:
    """Three outer rounds; the inner loop begins anew in each."""
    n = (await ctx.get("i") or 0) + 1
    for key, value in (("i", n), ("outer", n < 3), ("j", 0), ("inner", True)):
        await ctx.set(key, value)


SHAPES = [
    Case(
        claim="a chain of two hundred nodes",
        spec="3",
        blueprint=graph(" > ".join(f"n{i:03}" for i in range(200))),
        nodes={**{f"n{i:03}": echo for i in range(200)}, "n000": gives("first")},
        expect={"status": "completed", "outputs_has": {"n199": "first"}, "counts": {}},
    ),
    Case(
        claim="a dead path of a hundred nodes",
        spec="Dead paths: and so on downwards",
        blueprint=graph(
            edge("s", "n000", condition="no"), " > ".join(f"n{i:03}" for i in range(100)) + " > j", "s > b > j"
        ),
        nodes={**N, **{f"n{i:03}": echo for i in range(100)}, "j": echo},
        expect={"status": "completed", "executed": ["b", "j", "s"], "skipped": [f"n{i:03}" for i in range(100)]},
    ),
    Case(
        claim="a fan of a hundred nodes joins once",
        spec="6",
        blueprint=graph(*(f"s > p{i} > j" for i in range(100))),
        nodes={**N, **{f"p{i}": gives(i) for i in range(100)}, "j": counts_up("n")},
        expect={"status": "completed", "context": {"n": 1}, "counts": {}},
    ),
    Case(
        claim="every node leads to every later one",
        spec="6",
        blueprint=graph(*(edge(f"n{i}", f"n{j}") for i in range(6) for j in range(i + 1, 6))),
        nodes={f"n{i}": notes("order", i) for i in range(6)},
        expect={"status": "completed", "context": {"order": [0, 1, 2, 3, 4, 5]}, "counts": {}},
    ),
    *(
        Case(
            claim=f"the id {name!r} is an id like any other",
            spec="1, Node: id",
            blueprint=graph(node(name, "one"), node("z", "echo"), edge(name, "z")),
            nodes={"one": gives(1), "echo": echo},
            expect={"status": "completed", "outputs": {name: 1, "z": 1}, "executed": sorted([name, "z"])},
        )
        for name in ("a.b", "a[0]", "a#2", "undo~a", "__proto__", "constructor", "a > b", "None")
    ),
    Case(
        claim="ids that look like rounds of a loop are other nodes",
        spec="1, Node: id; 9",
        blueprint=graph(
            loop_controller("c", "go"),
            "s > c",
            once_more("c", "b"),
            "b > c",
            out_of("c", "z"),
            node("b[1]", "one"),
            "s > b[1]",
        ),
        nodes={**N, "b": counts_up("i", 2), "one": gives("one")},
        initial={"go": True},
        expect={"status": "completed", "counts": {"b": 2, "c": 3}, "outputs_has": {"b[1]": "one", "b": 2}},
    ),
    Case(
        claim="implementations may be plain functions, lambdas, partials and objects",
        spec="issue: callables of the public node interface",
        blueprint=graph("s > p > q > r > t"),
        nodes={"s": lambda ctx: 1, "p": functools.partial(adds, more=2), "q": Doubles(), "r": plain, "t": echo},
        expect={"status": "completed", "outputs": {"s": 1, "p": 3, "q": 6, "r": [6, 1], "t": [6, 1]}},
    ),
    Case(
        claim="a plain function that raises has failed",
        spec="8",
        blueprint=graph("s > a"),
        nodes={"s": lambda ctx: 1, "a": lambda ctx: ctx.input["x"]},
        expect={"status": "failed", "errors": ["a"], "outputs": {"s": 1}},
    ),
]

FALLBACKS = [
    Case(
        claim="an unused fallback with a branch of its own does not block a join",
        spec="8 [R]: an unused fallback does not block",
        blueprint=graph("s > a > j", node("a", fallback="f"), "f > g > h > j"),
        nodes={**N, "f": gives("F"), "g": echo, "h": echo, "j": echo},
        expect={"status": "completed", "executed": ["a", "j", "s"], "outputs": {"s": "S", "a": "S", "j": "S"}},
    ),
    Case(
        claim="a used fallback with a branch of its own is joined once",
        spec="8, Fallback",
        blueprint=graph("s > a > j", node("a", fallback="f"), "f > g > h > j"),
        nodes={**N, "a": fails(), "f": gives("F"), "g": echo, "h": echo, "j": counts_up("n")},
        expect={"status": "completed", "executed": ["a", "f", "g", "h", "j", "s"], "counts": {}, "context": {"n": 1}},
    ),
    Case(
        claim="the fallback of a node behind a branch not taken does not block a join",
        spec="8 [R]; Dead paths",
        blueprint=graph(edge("s", "a", condition="no"), node("a", fallback="f"), "f > j", "s > b > j"),
        nodes={**N, "f": gives("F"), "j": echo},
        expect={"status": "completed", "executed": ["b", "j", "s"], "outputs": {"s": "S", "b": "S", "j": "S"}},
    ),
    Case(
        claim="an unused fallback of two nodes does not block a join",
        spec="8 [R]: an unused fallback does not block",
        blueprint=graph("s > a > j", "s > b > j", node("a", fallback="f"), node("b", fallback="f"), "f > j"),
        nodes={**N, "f": gives("F"), "j": counts_up("n")},
        expect={"status": "completed", "executed": ["a", "b", "j", "s"], "context": {"n": 1}},
    ),
    Case(
        claim="a fallback of two nodes of which one fails is joined with both",
        spec="8; 4.1 [R]",
        blueprint=graph("s > a > j", "s > b > j", node("a", fallback="f"), node("b", fallback="f"), "f > j"),
        nodes={**N, "a": fails(), "f": gives("F"), "j": counts_up("n")},
        expect={"status": "completed", "executed": ["a", "b", "f", "j", "s"], "context": {"n": 1}, "counts": {}},
    ),
    Case(
        claim="both branches of a diamond with fallbacks of their own",
        spec="8, Fallback [R]: it waits for the fallback",
        blueprint=graph(
            "s > a > j",
            "s > b > j",
            node("a", fallback="f"),
            node("b", fallback="g"),
            "f",
            "g",
            node("j", "echo", inputs={"f": "f", "g": "g", "a": "a"}),
        ),
        nodes={**N, "a": fails(), "b": fails(), "f": gives("F"), "g": gives("G"), "echo": echo},
        expect={
            "status": "completed",
            "errors": [],
            "outputs_has": {"j": {"f": "F", "g": "G", "a": None}},
            "counts": {},
        },
    ),
    Case(
        claim="one branch falls back and the other one fails",
        spec="8 [R]; 6",
        blueprint=graph("s > a > j", "s > b > j", node("a", fallback="f"), "f"),
        nodes={**N, "a": fails(), "b": fails(), "f": gives("F"), "j": echo},
        expect={"status": "failed", "errors": ["b"], "executed": ["a", "b", "f", "s"], "skipped": ["j"]},
    ),
    Case(
        claim="an action of the fallback that no edge has takes the default edges of the failed node",
        spec="8, Fallback; 4.4",
        blueprint=graph(node("a", fallback="f"), "f", edge("a", "b", action="good"), edge("a", "d")),
        nodes={"a": fails(), "f": acts("other", "F"), "b": echo, "d": echo},
        expect={"status": "completed", "executed": ["a", "d", "f"], "skipped": ["b"]},
    ),
    Case(
        claim="an action of the fallback that nothing answers to ends the branch",
        spec="8, Fallback; 4.5 [R]",
        blueprint=graph(node("a", fallback="f"), "f", edge("a", "b", action="good")),
        nodes={"a": fails(), "f": acts("other"), "b": echo},
        expect={"status": "completed", "executed": ["a", "f"], "skipped": ["b"], "errors": []},
    ),
    Case(
        claim="two nodes that fall back on each other come to an end",
        spec="8: unhandled failures (the fallback's too) fail the run",
        blueprint=graph("s > a > z", node("a", fallback="f"), node("f", fallback="a")),
        nodes={**N, "a": fails(), "f": fails()},
        expect={"executed": ["a", "f", "s"], "counts": {}, "executed_without": ["z"]},
    ),
    Case(
        claim="a fallback of a fallback that fails fails the run",
        spec="8 [R]: unhandled failures (the fallback's too)",
        blueprint=graph("s > a > z", node("a", fallback="f"), node("f", fallback="g"), "g"),
        nodes={**N, "a": fails(), "f": fails(), "g": fails()},
        expect={"status": "failed", "errors_has": ["g"], "executed": ["a", "f", "g", "s"], "executed_without": ["z"]},
    ),
    Case(
        claim="a join that names the failed node's fallback waits also when the fallback waits",
        spec="8 [R]; 10",
        blueprint=graph("s > a > j", "s > b > j", node("a", fallback="w"), W),
        nodes={**N, "a": fails(), "j": echo},
        expect={"status": "awaiting", "awaiting": ["w"], "executed": ["a", "b", "s", "w"], "errors": []},
    ),
    Case(
        claim="a fallback in a child waits, and the parent is resumed",
        spec="8; 9; 10 [R]",
        blueprint=graph(node("sub", "subflow", {"blueprintId": "child"}), "s > sub > z"),
        children={"child": graph(node("x", fallback="w"), W, "x > y", "w > y", blueprint_id="child")},
        nodes={**N, "x": fails(), "y": echo},
        resume=[{"output": "by hand"}],
        expect={"status": "completed", "outputs_has": {"z": "by hand"}, "errors": []},
    ),
]

LOOPS = [
    Case(
        claim="the break edge of an inner loop may lead to the outer controller",
        spec="9 [R]: the whole body, inner loops included",
        blueprint=graph(
            loop_controller("o", "outer"),
            loop_controller("c", "inner"),
            "s > o",
            once_more("o", "q"),
            "q > c",
            once_more("c", "b"),
            "b > c",
            out_of("c", "o"),
            out_of("o", "e"),
        ),
        nodes={"s": gives(1), "q": start_of_outer, "b": counts_up("j", 2, "inner"), "e": gives("end")},
        initial={"outer": True},
        expect={"status": "completed", "counts": {"b": 6, "c": 9, "o": 4, "q": 3}, "outputs_has": {"e": "end"}},
        everywhere=True,
    ),
    Case(
        claim="a body may go straight back to the controller or take a longer way",
        spec="4.3; 9",
        blueprint=graph(
            loop_controller("c", "go"),
            "s > c",
            once_more("c", "b"),
            edge("b", "c", action="skip"),
            edge("b", "d", action="work"),
            "d > f > c",
            out_of("c", "e"),
        ),
        nodes={"s": gives(1), "b": route, "d": notes("seen"), "f": echo, "e": gives("end")},
        initial={"go": True},
        expect={
            "status": "completed",
            "counts": {"b": 4, "c": 5, "d": 2, "f": 2},
            "context": {"go": False, "i": 4, "seen": [2, 4]},
            "skipped": [],
        },
        everywhere=True,
    ),
    Case(
        claim="a late branch of one round does not start the any-join of the next",
        spec="An any join starts once per run (per loop round)",
        blueprint=graph(
            loop_controller("c", "go"),
            "s > c",
            once_more("c", "b"),
            "b > j",
            "b > l > m > k > j",
            node("j", joinStrategy="any"),
            "j > c",
            out_of("c", "e"),
        ),
        nodes={"s": gives(1), "b": counts_up("i", 4), "l": echo, "m": echo, "k": echo, "j": echo, "e": gives("end")},
        initial={"go": True},
        expect={"status": "completed", "counts_has": {"b": 4, "c": 5, "j": 4}, "errors": []},
    ),
    Case(
        claim="a loop of which no node is a start is entered at the first of the list",
        spec="3: No start node but a cycle; 9",
        blueprint=graph(node("b"), loop_controller("c", "go"), "b > c", once_more("c", "b"), out_of("c", "e")),
        nodes={"b": counts_up("i", 3), "e": gives("end")},
        expect={"status": "completed", "executed": ["b", "c", "e"], "counts": {"b": 3, "c": 3}},
    ),
    Case(
        claim="two waits in one round are both waited for in every round",
        spec="9: joins inside wait again; 10",
        blueprint=graph(
            loop_controller("c", "go"),
            W,
            node("v", "wait"),
            "s > c",
            once_more("c", "b"),
            "b > w > j",
            "b > v > j",
            node("j", inputs={"w": "w", "v": "v"}),
            "j > c",
            out_of("c", "e"),
        ),
        nodes={"s": gives(1), "b": counts_up("i", 2), "j": notes("seen"), "e": gives("end")},
        initial={"go": True},
        resume=[
            {"node": "w", "output": 1},
            {"node": "v", "output": 2},
            {"node": "v", "output": 3},
            {"node": "w", "output": 4},
        ],
        expect={
            "status": "completed",
            "counts": {"b": 2, "c": 3, "j": 2, "v": 2, "w": 2},
            "context_has": {"seen": [{"w": 1, "v": 2}, {"w": 4, "v": 3}]},
        },
    ),
    Case(
        claim="an any-join in the body passes over the branch that failed, and the run fails in the end",
        spec="6; 8; 9",
        blueprint=graph(
            loop_controller("c", "go"),
            "s > c",
            once_more("c", "b"),
            "b > l > j",
            "b > r > j",
            node("j", joinStrategy="any"),
            "j > c",
            out_of("c", "e"),
        ),
        nodes={
            **N,
            "s": gives(1),
            "b": counts_up("i", 3),
            "l": echo,
            "r": fails_in_round_two,
            "j": echo,
            "e": gives("end"),
        },
        initial={"go": True},
        expect={
            "status": "failed",
            "errors": ["r"],
            "counts_has": {"b": 3, "c": 4, "j": 3},
            "outputs_has": {"e": "end"},
        },
    ),
    Case(
        claim="a choice inside the loop decides by what the round has made",
        spec="4; 9",
        blueprint=graph(
            loop_controller("c", "go"),
            "s > c",
            once_more("c", "b"),
            edge("b", "x", condition="go"),
            edge("b", "y", condition="last"),
            "x > j",
            "y > j",
            "j > c",
            out_of("c", "e"),
        ),
        nodes={
            **N,
            "b": counts_up("i", 3),
            "x": notes("path", "x"),
            "y": notes("path", "y"),
            "j": echo,
            "e": reads("path"),
        },
        initial={"go": True},
        # `last` is nobody's: in the last round nothing fires, and the branch ends there
        expect={"status": "completed", "counts": {"b": 3, "c": 3, "j": 2, "x": 2}, "executed_without": ["e", "y"]},
    ),
    Case(
        claim="nodes after the loop that the body reaches too are part of the body",
        spec="9: everything reachable from the continue target without passing a loop controller",
        blueprint=graph(
            loop_controller("c", "go"),
            "s > c",
            once_more("c", "b"),
            "b > d > f",
            "f > c",
            edge("d", "log", action="never"),
            out_of("c", "log"),
            node("log", joinStrategy="any"),
        ),
        nodes={**N, "b": counts_up("i", 3), "d": echo, "f": echo, "log": counts_up("logged")},
        initial={"go": True},
        expect={"status": "completed", "counts": {"b": 3, "c": 4, "d": 3, "f": 3}, "context_has": {"logged": 1}},
    ),
    Case(
        claim="a cancelled loop stops in its round",
        spec="3: Cancelling between steps; 9",
        blueprint=graph(loop_controller("c", "go"), "s > c", once_more("c", "b"), "b > d > c", out_of("c", "e")),
        nodes={"s": gives(1), "b": counts_up("i", 3), "d": echo, "e": gives("end")},
        initial={"go": True},
        cancel={"after": "b"},
        expect={"status": "cancelled", "counts": {}, "executed": ["b", "c", "s"], "context": {"go": True, "i": 1}},
    ),
    *(
        Case(
            claim=f"a loop controller with {told} fails",
            spec="issue, Bad input: fails the step",
            blueprint=graph(
                node("c", "loop-controller", params, joinStrategy="any"),
                "s > c",
                once_more("c", "b"),
                "b > c",
                out_of("c", "e"),
            ),
            nodes={**N, "e": gives("end")},
            initial={"go": True},
            expect={"status": "failed", "executed_without": ["b", "e"]},
        )
        for told, params in (
            ("no condition", {}),
            ("a condition that is no text", {"condition": True}),
            ("no rounds", {"condition": "go", "maxRounds": 0}),
        )
    ),
]

CHILDREN = [
    Case(
        claim="a blueprint may be its own child",
        spec="issue, 5: nested to a set depth",
        blueprint=graph(node("sub", "subflow", {"blueprintId": "child"}), "s > sub > z"),
        children={
            "child": graph(
                "x",
                node("again", "subflow", {"blueprintId": "child"}),
                edge("x", "again", condition="result.output"),
                blueprint_id="child",
            )
        },
        nodes={"s": gives(4), "x": less_one, "z": gives("Z")},
        expect={"status": "completed", "executed": ["s", "sub", "z"], "errors": []},
    ),
    Case(
        claim="a blueprint that is its own child without end fails",
        spec="issue, 5: nested to a set depth",
        blueprint=graph(node("sub", "subflow", {"blueprintId": "child"}), "s > sub > z"),
        children={
            "child": graph("x", node("again", "subflow", {"blueprintId": "child"}), "x > again", blueprint_id="child")
        },
        nodes={"s": gives(4), "x": echo, "z": gives("Z")},
        expect={"status": "failed", "errors": ["sub"], "executed": ["s", "sub"]},
    ),
    Case(
        claim="two children that wait side by side are resumed by the names of their nodes",
        spec="9; 10 [R]",
        blueprint=graph(
            node("one", "subflow", {"blueprintId": "child"}),
            node("two", "subflow", {"blueprintId": "child"}),
            "s > one > j",
            "s > two > j",
            node("j", "echo", inputs={"one": "one", "two": "two"}),
        ),
        children={"child": graph(W, blueprint_id="child")},
        nodes={**N, "echo": echo},
        resume=[{"node": "two", "output": 2}, {"node": "one", "output": 1}],
        expect={"status": "completed", "outputs_has": {"j": {"one": 1, "two": 2}}, "counts": {}},
        everywhere=True,
    ),
    Case(
        claim="two waits in one child are both waited for",
        spec="9; 10",
        blueprint=graph(node("sub", "subflow", {"blueprintId": "child"}), "s > sub > z"),
        children={
            "child": graph(
                W,
                node("v", "wait"),
                "w > j",
                "v > j",
                node("j", "echo", inputs={"w": "w", "v": "v"}),
                blueprint_id="child",
            )
        },
        nodes={**N, "echo": echo},
        resume=[{"output": 1}],
        expect={
            "status": "awaiting",
            "awaiting": ["sub"],
            "children": {"child": {"status": "awaiting", "executed": ["v", "w"]}},
        },
    ),
    Case(
        claim="map of children that wait is awaited until all are resumed",
        spec="issue, 3 and 5",
        blueprint=graph(node("m", "map", {"blueprintId": "child"}), "s > m > z"),
        children={"child": graph(W, blueprint_id="child")},
        nodes={**N, "s": gives([1, 2])},
        resume=[{"output": "x"}, {"output": "x"}],
        expect={"status": "completed", "outputs_has": {"m": ["x", "x"], "z": ["x", "x"]}},
    ),
    Case(
        claim="map of children that wait makes the run wait at the map",
        spec="issue, 3 and 5",
        blueprint=graph(node("m", "map", {"blueprintId": "child"}), "s > m > z"),
        children={"child": graph(W, blueprint_id="child")},
        nodes={**N, "s": gives([1, 2])},
        resume=[{"output": "x"}],
        expect={"status": "awaiting", "awaiting": ["m"], "executed": ["m", "s"]},
    ),
    Case(
        claim="a run that is started and not waited for",
        spec="issue, 5: startRun fire-and-forget too",
        blueprint=graph(node("go", "startRun", {"blueprintId": "child"}), "s > go > z"),
        children={"child": graph("x", blueprint_id="child")},
        nodes={**N, "x": gives("X"), "z": gives("Z")},
        expect={"status": "completed", "executed": ["go", "s", "z"], "children": {"child": {"status": "completed"}}},
    ),
    Case(
        claim="a run that is started and fails is no failure here",
        spec="issue, 5: startRun fire-and-forget too",
        blueprint=graph(node("go", "startRun", {"blueprintId": "child"}), "s > go > z"),
        children={"child": graph("x", blueprint_id="child")},
        nodes={**N, "x": fails(), "z": gives("Z")},
        expect={"status": "completed", "errors": [], "children": {"child": {"status": "failed", "errors": ["x"]}}},
    ),
    Case(
        claim="a run cancelled behind a subflow",
        spec="3; 9",
        blueprint=graph(node("sub", "subflow", {"blueprintId": "child"}), "s > sub > z > y"),
        children={"child": graph("x", blueprint_id="child")},
        nodes={**N, "x": echo, "y": echo},
        cancel={"after": "z"},
        expect={"status": "cancelled", "executed": ["s", "sub", "z"], "outputs_has": {"sub": "S"}},
    ),
    Case(
        claim="a run cancelled directly after a built-in node",
        spec="3; issue: cancel is {after: node}",
        blueprint=graph(node("sub", "subflow", {"blueprintId": "child"}), "s > sub > z > y"),
        children={"child": graph("x", blueprint_id="child")},
        nodes={**N, "x": echo, "y": echo},
        cancel={"after": "sub"},
        expect={"status": "cancelled", "executed": ["s", "sub"], "outputs": {"s": "S", "sub": "S"}},
    ),
    Case(
        claim="a run cancelled after a wait that was resumed",
        spec="3; 10; issue: cancel is {after: node}",
        blueprint=graph(W, "s > w > z > y"),
        nodes={**N, "y": echo},
        resume=[{"output": 1}],
        cancel={"after": "w"},
        expect={"status": "cancelled", "executed": ["s", "w"], "outputs": {"s": "S", "w": 1}},
    ),
    Case(
        claim="a run cancelled after a subflow behind which a wait would begin",
        spec="3; issue: cancel is {after: node}",
        blueprint=graph(node("sub", "subflow", {"blueprintId": "child"}), W, "s > sub > w > z"),
        children={"child": graph("x", blueprint_id="child")},
        nodes={**N, "x": echo},
        cancel={"after": "sub"},
        expect={"status": "cancelled", "executed": ["s", "sub"], "awaiting": [], "outputs": {"s": "S", "sub": "S"}},
    ),
    Case(
        claim="a run cancelled after a wait behind which a child would be started",
        spec="3; issue: cancel is {after: node}",
        blueprint=graph(W, node("sub", "subflow", {"blueprintId": "child"}), "s > w > sub > z"),
        children={"child": graph("x", blueprint_id="child")},
        nodes={**N, "x": echo},
        resume=[{"output": 1}],
        cancel={"after": "w"},
        expect={"status": "cancelled", "executed": ["s", "w"], "children": {}, "outputs": {"s": "S", "w": 1}},
    ),
    Case(
        claim="a run cancelled after a gather behind which a wait would begin",
        spec="3; 9; issue: cancel is {after: node}",
        blueprint=graph(
            node("c", "batch-scatter", {"workerUsesKey": "x", "gatherNodeId": "g"}, inputs="items"),
            node("g", "batch-gather", {"gatherNodeId": "g"}),
            W,
            "c > g > w",
        ),
        nodes={**N, "x": echo},
        initial={"items": [1, 2]},
        cancel={"after": "g"},
        expect={"status": "cancelled", "executed": ["c", "g"], "batches": {"c": [1, 2]}, "outputs_has": {"g": [1, 2]}},
    ),
    Case(
        claim="a run cancelled after a built-in node that ends its branch, while another branch waits",
        spec="3; 10; issue: cancel is {after: node}",
        blueprint=graph(node("sub", "subflow", {"blueprintId": "child"}), W, "s > sub", "s > w > z"),
        children={"child": graph("x", blueprint_id="child")},
        nodes={**N, "x": echo},
        cancel={"after": "sub"},
        expect={"status": "cancelled", "executed": ["s", "sub", "w"], "awaiting": []},
    ),
    Case(
        claim="a loop cancelled after a built-in node of its body does not go round",
        spec="3; 9; issue: cancel is {after: node}",
        blueprint=graph(
            loop_controller("c", "go"),
            node("sub", "subflow", {"blueprintId": "child"}),
            "s > c",
            once_more("c", "b"),
            "b > sub > c",
            out_of("c", "e"),
        ),
        children={"child": graph("x", blueprint_id="child")},
        nodes={"s": gives(1), "b": counts_up("i", 3), "x": echo, "e": gives("end")},
        initial={"go": True},
        cancel={"after": "sub"},
        expect={"status": "cancelled", "executed": ["b", "c", "s", "sub"], "counts": {}},
    ),
    Case(
        claim="a run that is cancelled after a built-in node is compensated",
        spec="3; issue, 1: when the run fails or is cancelled",
        blueprint=graph(node("a", compensate="undo_a"), W, "a > w > z", "undo_a"),
        nodes={**N, "a": gives(1), "undo_a": notes("undone", "a")},
        resume=[{"output": 1}],
        cancel={"after": "w"},
        expect={"status": "cancelled", "executed_without": ["z"], "context": {"undone": ["a"]}},
    ),
    Case(
        claim="a built-in node that failed and has its fallback is none to be cancelled after",
        spec="3; 8; issue: cancel is {after: node}",
        blueprint=graph(node("w", "sleep", {"duration": "soon"}, fallback="f"), "f", "s > w > z"),
        nodes={**N, "f": gives("F")},
        cancel={"after": "w"},
        expect={"status": "completed", "executed": ["f", "s", "w", "z"], "errors": []},
    ),
    Case(
        claim="a run cancelled while another branch waits",
        spec="3; 10",
        blueprint=graph(W, "s > w", "s > a > b"),
        nodes=N,
        cancel={"after": "a"},
        expect={"status": "cancelled", "awaiting": [], "executed_without": ["b"]},
    ),
]

WAITING = [
    Case(
        claim="a batch waits while items of it do",
        spec="9; 10; issue: awaiting are the ids of the nodes that wait",
        blueprint=graph(
            node("c", "batch-scatter", {"workerUsesKey": "wait", "gatherNodeId": "g"}, inputs="items"),
            node("g", "batch-gather", {"gatherNodeId": "g"}),
            "c > g",
        ),
        initial={"items": [1, 2]},
        resume=[{"output": 5}],
        expect={"status": "awaiting", "awaiting": ["c"], "executed": ["c"], "batches": {"c": [5, None]}},
    ),
    Case(
        claim="a batch whose items waited is gathered when all have been resumed",
        spec="9; 10",
        blueprint=graph(
            node("c", "batch-scatter", {"workerUsesKey": "wait", "gatherNodeId": "g"}, inputs="items"),
            node("g", "batch-gather", {"gatherNodeId": "g"}),
            "c > g",
        ),
        initial={"items": [1, 2]},
        resume=[{"output": 5}, {"output": 6}],
        expect={"status": "completed", "awaiting": [], "outputs_has": {"g": [5, 6]}},
    ),
    Case(
        claim="a resume of a node that nobody knows is refused, and the run waits on",
        spec="10: Refused ... run unchanged",
        blueprint=graph(W, "s > w > z"),
        nodes=N,
        resume=[{"node": "nobody", "output": 1}],
        expect={"status": "awaiting", "awaiting": ["w"], "outputs": {"s": "S"}, "executed": ["s", "w"]},
    ),
    Case(
        claim="a resume of a node that has completed is refused, and the next one is taken",
        spec="10: Refused when ... that node is not awaiting",
        blueprint=graph(W, "s > w > z"),
        nodes=N,
        resume=[{"node": "s", "output": "again"}, {"output": 2}],
        expect={"status": "completed", "outputs": {"s": "S", "w": 2, "z": 2}, "counts": {}},
    ),
    Case(
        claim="a resume of a node that has not been reached is refused",
        spec="10: Refused when ... that node is not awaiting",
        blueprint=graph(W, node("v", "wait"), "s > w > v > z"),
        nodes=N,
        resume=[{"node": "v", "output": 1}],
        expect={"status": "awaiting", "awaiting": ["w"], "outputs": {"s": "S"}, "executed": ["s", "w"]},
    ),
    Case(
        claim="a second resume of the same node is refused",
        spec="10: Refused; issue: Resuming what does not wait, twice",
        blueprint=graph(W, node("v", "wait"), "s > w", "s > v"),
        nodes=N,
        resume=[{"node": "w", "output": 1}, {"node": "w", "output": 2}],
        expect={"status": "awaiting", "awaiting": ["v"], "outputs": {"s": "S", "w": 1}},
    ),
    Case(
        claim="a resume that does not fit the form is refused, and the next one is taken",
        spec="issue, 2: a wait may carry a form; a resume that does not fit is refused",
        blueprint=graph(
            node(
                "w", "wait", {"form": {"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}}}
            ),
            "s > w > z",
        ),
        nodes=N,
        resume=[{"output": {}}, {"output": {"ok": "yes"}}, {"output": {"ok": True}}],
        expect={"status": "completed", "outputs_has": {"z": {"ok": True}}},
    ),
    Case(
        claim="a wait that nobody ends in time goes on with its action",
        spec="issue, 2: wait with optional deadline and action on expiry",
        blueprint=graph(
            node("w", "wait", {"timeout": "1h", "timeoutAction": "late"}),
            "s > w",
            edge("w", "a", action="late"),
            edge("w", "b"),
        ),
        nodes={**N, "a": gives("A")},
        expect={"status": "completed", "executed": ["a", "s", "w"], "skipped": ["b"]},
    ),
    Case(
        claim="a wait that nobody ends in time fails without an action for it",
        spec="issue, 2; interfaces: else expiry fails the step",
        blueprint=graph(node("w", "wait", {"timeout": 1000}), "s > w > z"),
        nodes=N,
        expect={"status": "failed", "errors": ["w"], "executed": ["s", "w"]},
    ),
    Case(
        claim="a wait that nobody ends in time has its fallback",
        spec="issue, 2; 8, Fallback",
        blueprint=graph(node("w", "wait", {"timeout": 1000}, fallback="f"), "s > w > z", "f"),
        nodes={**N, "f": gives("F")},
        expect={"status": "completed", "outputs_has": {"z": "F"}},
    ),
    Case(
        claim="a wait that is ended in time has no deadline any more",
        spec="issue, 2",
        blueprint=graph(
            node("w", "wait", {"timeout": "1h", "timeoutAction": "late"}),
            "s > w",
            edge("w", "a", action="late"),
            edge("w", "b"),
        ),
        nodes=N,
        resume=[{"output": 1}],
        expect={"status": "completed", "executed": ["b", "s", "w"], "skipped": ["a"], "outputs_has": {"b": 1}},
    ),
    Case(
        claim="a join goes on at its deadline with what is there",
        spec="issue, 6: each with optional deadline",
        blueprint=graph(
            W, "s > a > j", "s > w > j", node("j", "echo", inputs={"a": "a", "w": "w"}, joinDeadline=1000), "j > z"
        ),
        nodes={**N, "echo": echo},
        expect={
            "status": "awaiting",
            "awaiting": ["w"],
            "outputs_has": {"j": {"a": "S", "w": None}, "z": {"a": "S", "w": None}},
        },
    ),
    Case(
        claim="a join that is complete before its deadline starts once",
        spec="issue, 6: each with optional deadline",
        blueprint=graph("s > a > j", "s > b > j", node("j", joinDeadline=1000)),
        nodes={**N, "j": counts_up("n")},
        expect={"status": "completed", "context": {"n": 1}, "counts": {}},
    ),
    Case(
        claim="a run that takes longer than its timeout fails",
        spec="issue, 1: timeout ... per run",
        blueprint=graph(W, "s > w > z", timeout=1000),
        nodes=N,
        expect={"status": "failed", "executed": ["s", "w"]},
    ),
    Case(
        claim="a step that takes longer than its total timeout fails",
        spec="issue, 1: timeout ... per step with all attempts",
        blueprint=graph(node("a", maxRetries=100, retryDelay=1000, totalTimeout=2500)),
        nodes={"a": fails_until(50)},
        expect={"status": "failed", "errors": ["a"], "attempts": {"a": 3}},
    ),
    Case(
        claim="a sleep may last until a time",
        spec="issue, 2: until a time",
        blueprint=graph(node("n", "sleep", {"until": "2030-01-01T00:00:00Z"}), "s > n > z"),
        nodes=N,
        resume=[{}],
        expect={"status": "completed", "outputs": {"s": "S", "n": "S", "z": "S"}},
    ),
    *(
        Case(
            claim=f"a sleep of {params} fails",
            spec="interfaces: Exactly one of the two",
            blueprint=graph(node("n", "sleep", params), "s > n > z"),
            nodes=N,
            resume=[{}],
            expect={"status": "failed", "errors": ["n"], "executed_without": ["z"]},
        )
        for params in (
            {"duration": 1, "until": "2030-01-01T00:00:00Z"},
            {"until": "tomorrow"},
            {"until": "2030-01-01T00:00:00"},
        )
    ),
]

OTHERS = [
    Case(
        claim="a scatter may have other successors than its gather",
        spec="9",
        blueprint=graph(
            node("sc", "batch-scatter", {"workerUsesKey": "echo", "gatherNodeId": "ga"}),
            node("ga", "batch-gather", {"gatherNodeId": "ga"}),
            "s > sc > ga > z",
            "sc > log",
        ),
        nodes={**N, "s": gives([1, 2]), "echo": echo, "log": gives("logged")},
        expect={"status": "completed", "executed": ["ga", "log", "s", "sc", "z"], "outputs_has": {"z": [1, 2]}},
    ),
    *(
        Case(
            claim=f"a chunk size of {size!r} fails the scatter",
            spec="issue, Bad input; interfaces: chunkSize (>= 1)",
            blueprint=graph(
                node("sc", "batch-scatter", {"workerUsesKey": "echo", "gatherNodeId": "ga", "chunkSize": size}),
                node("ga", "batch-gather", {"gatherNodeId": "ga"}),
                "s > sc > ga",
            ),
            nodes={"s": gives([1, 2]), "echo": echo},
            expect={"status": "failed", "errors": ["sc"], "executed_without": ["ga"]},
        )
        for size in (0, -1, "two", 1.5)
    ),
    Case(
        claim="steps that completed before a run was cancelled are compensated",
        spec="issue, 1: when the run fails or is cancelled",
        blueprint=graph(
            node("a", compensate="undo_a"), node("b", compensate="undo_b"), "a > b > c", "undo_a", "undo_b"
        ),
        nodes={
            "a": gives(1),
            "b": gives(2),
            "c": gives(3),
            "undo_a": notes("undone", "a"),
            "undo_b": notes("undone", "b"),
        },
        cancel={"after": "b"},
        expect={"status": "cancelled", "executed_without": ["c"], "context": {"undone": ["b", "a"]}},
    ),
    Case(
        claim="a condition may ask for the output of a skipped node, which is absent",
        spec="4: unknown first name",
        blueprint=graph(
            edge("s", "a", condition="no"), "s > b", edge("b", "x", condition="a"), edge("b", "y", condition="b")
        ),
        nodes={**N, "x": echo, "y": echo},
        expect={"status": "completed", "executed": ["b", "s", "y"], "skipped": ["a", "x"]},
    ),
    Case(
        claim="an edge with an action and an edge without lead to the same join",
        spec="4; 6",
        blueprint=graph("s > a", "s > b", edge("a", "j", action="x"), edge("a", "k"), "b > j"),
        nodes={**N, "a": acts("x"), "j": counts_up("n"), "k": echo},
        expect={"status": "completed", "executed": ["a", "b", "j", "s"], "skipped": ["k"], "context": {"n": 1}},
    ),
    Case(
        claim="a node reads what all three branches wrote",
        spec="2: Writes of parallel nodes must all survive",
        blueprint=graph(
            "s > p > j", "s > q > j", "s > r > j", node("j", "echo", inputs={"p": "kp", "q": "kq", "r": "kr"})
        ),
        nodes={**N, "p": writes({"kp": 1}), "q": writes({"kq": 2}), "r": writes({"kr": 3}), "echo": echo},
        expect={"outputs_has": {"j": {"p": 1, "q": 2, "r": 3}}},
    ),
]

ROUNDS = [
    Case(
        claim="a join in the body with a predecessor from before the loop joins in every round",
        spec="6, all; 9: joins inside wait again",
        blueprint=graph(
            loop_controller("c", "go"),
            "s > c",
            "s > x",
            once_more("c", "b"),
            "b > j",
            "x > j",
            node("j", inputs={"b": "b", "x": "x"}),
            "j > c",
            out_of("c", "e"),
        ),
        nodes={**N, "x": gives("X"), "b": counts_up("i", 3), "j": notes("seen"), "e": gives("end")},
        initial={"go": True},
        expect={
            "status": "completed",
            "counts": {"b": 3, "c": 4, "j": 3},
            "context_has": {"seen": [{"b": 1, "x": "X"}, {"b": 2, "x": "X"}, {"b": 3, "x": "X"}]},
        },
        everywhere=True,
    ),
    Case(
        claim="a join in the body waits for a predecessor from before the loop that comes late",
        spec="6, all; 9",
        blueprint=graph(
            loop_controller("c", "go"),
            "s > c",
            "s > x1 > x2 > x3 > x",
            once_more("c", "b"),
            "b > j",
            "x > j",
            "j > c",
            out_of("c", "e"),
        ),
        nodes={
            **N,
            **{f"x{i}": echo for i in (1, 2, 3)},
            "x": gives("X"),
            "b": counts_up("i", 3),
            "j": counts_up("n"),
            "e": gives("end"),
        },
        initial={"go": True},
        expect={"status": "completed", "counts": {"b": 3, "c": 4, "j": 3}, "context_has": {"n": 3}},
    ),
    Case(
        claim="a join in the body with a predecessor from before the loop that was not taken",
        spec="Dead paths; 9",
        blueprint=graph(
            loop_controller("c", "go"),
            "s > c",
            edge("s", "x", condition="no"),
            once_more("c", "b"),
            "b > j",
            "x > j",
            "j > c",
            out_of("c", "e"),
        ),
        nodes={**N, "x": gives("X"), "b": counts_up("i", 3), "j": counts_up("n"), "e": gives("end")},
        initial={"go": True},
        expect={"status": "completed", "skipped": ["x"], "counts": {"b": 3, "c": 4, "j": 3}},
    ),
    Case(
        claim="a join in an inner body with a predecessor in the outer one joins in every round",
        spec="6, all; 9",
        blueprint=graph(
            loop_controller("o", "outer"),
            loop_controller("c", "inner"),
            "s > o",
            once_more("o", "q"),
            "q > c",
            "q > x > j",
            once_more("c", "b"),
            "b > j > c",
            out_of("c", "p"),
            "p > o",
            out_of("o", "e"),
        ),
        nodes={
            "s": gives(1),
            "q": start_of_outer,
            "x": echo,
            "b": counts_up("j", 2, "inner"),
            "j": counts_up("n"),
            "p": echo,
            "e": gives("end"),
        },
        initial={"outer": True},
        expect={
            "status": "completed",
            "counts": {"b": 6, "c": 9, "j": 6, "o": 4, "p": 3, "q": 3, "x": 3},
            "context_has": {"n": 6},
        },
    ),
    Case(
        claim="two branches of the body that both lead back to the controller make one evaluation a round",
        spec="9: joinStrategy any; An any join starts once per run (per loop round)",
        blueprint=graph(
            loop_controller("c", "go"),
            "s > c",
            once_more("c", "b"),
            "b > l > c",
            "b > r > c",
            out_of("c", "e"),
        ),
        nodes={**N, "b": counts_up("i", 3), "l": echo, "r": echo, "e": gives("end")},
        initial={"go": True},
        expect={
            "status": "completed",
            "counts": {"b": 3, "c": 4, "l": 3, "r": 3},
            "executed": ["b", "c", "e", "l", "r", "s"],
        },
    ),
    Case(
        claim="a loop with two start nodes before it is entered once",
        spec="9; An any join starts once per run (per loop round)",
        blueprint=graph(loop_controller("c", "go"), "s > c", "t > c", once_more("c", "b"), "b > c", out_of("c", "e")),
        nodes={**N, "t": gives("T"), "b": counts_up("i", 3), "e": gives("end")},
        initial={"go": True},
        expect={"status": "completed", "executed": ["b", "c", "e", "s", "t"], "counts": {"b": 3, "c": 4}},
    ),
    Case(
        claim="an action chooses within the body, and each branch has a different length",
        spec="4.3; 6; 9",
        blueprint=graph(
            loop_controller("c", "go"),
            "s > c",
            once_more("c", "b"),
            edge("b", "x", action="skip"),
            edge("b", "y", action="work"),
            "y > y2 > y3 > j",
            "x > j",
            "j > c",
            out_of("c", "e"),
        ),
        nodes={
            **N,
            "b": route,
            "x": notes("seen", "x"),
            "y": echo,
            "y2": echo,
            "y3": notes("seen", "y"),
            "j": echo,
            "e": reads("seen"),
        },
        initial={"go": True},
        expect={
            "status": "completed",
            "counts": {"b": 4, "c": 5, "j": 4, "x": 2, "y": 2, "y2": 2, "y3": 2},
            "outputs_has": {"e": ["x", "y", "x", "y"]},
            "skipped": [],
        },
    ),
    Case(
        claim="a join behind the loop has a predecessor in front of the loop and one beside it",
        spec="6; 9",
        blueprint=graph(
            loop_controller("c", "go"),
            "s > c",
            "s > j",
            "s > x > j",
            once_more("c", "b"),
            "b > c",
            out_of("c", "j"),
            "j > z",
        ),
        nodes={**N, "x": echo, "b": counts_up("i", 2), "j": counts_up("n")},
        initial={"go": True},
        expect={"status": "completed", "counts": {"b": 2, "c": 3}, "context_has": {"n": 1}},
    ),
    Case(
        claim="a thousand rounds",
        spec="9: No maximum of rounds",
        blueprint=graph(loop_controller("c", "go"), "s > c", once_more("c", "b"), "b > c", out_of("c", "e")),
        nodes={**N, "b": counts_up("i", 1000), "e": gives("end")},
        initial={"go": True},
        expect={"status": "completed", "counts": {"b": 1000, "c": 1001}},
    ),
    Case(
        claim="the calls of a node that is tried again in one round are counted over all rounds",
        spec="issue: attempts (id -> calls, where retried)",
        blueprint=graph(
            loop_controller("c", "go"),
            "s > c",
            once_more("c", "b"),
            "b > d > c",
            node("d", maxRetries=3),
            out_of("c", "e"),
        ),
        nodes={**N, "b": counts_up("i", 2), "d": fails_until(2, "D"), "e": gives("end")},
        initial={"go": True},
        expect={"status": "completed", "counts": {"b": 2, "c": 3, "d": 2}, "attempts": {"d": 4}},
    ),
    Case(
        claim="a batch that the last round did not reach is told of as the round left it that did",
        spec="9; issue: batches is {scatter: outputs of its items}",
        blueprint=graph(
            loop_controller("c", "go"),
            node("sc", "batch-scatter", {"workerUsesKey": "x", "gatherNodeId": "g"}, inputs="b"),
            node("g", "batch-gather", {"gatherNodeId": "g"}),
            "s > c",
            once_more("c", "b"),
            edge("b", "sc", condition="first"),
            edge("b", "c", condition="later"),
            "sc > g > c",
            out_of("c", "e"),
        ),
        nodes={**N, "b": Fresh(list_in_first_round), "x": echo, "e": echo},
        initial={"go": True},
        expect={
            "status": "completed",
            "counts": {"b": 2, "c": 3},
            "batches": {"sc": [1, 2]},
            "outputs_has": {"g": [1, 2]},
            "skipped": [],
        },
    ),
    Case(
        claim="a scatter that failed and has its fallback has no batch",
        spec="8, Fallback; issue: batches is {scatter: outputs of its items}",
        blueprint=graph(
            node("sc", "batch-scatter", {"workerUsesKey": "x", "gatherNodeId": "g"}, inputs="items", fallback="f"),
            node("g", "batch-gather", {"gatherNodeId": "g"}),
            "f",
            "sc > g",
        ),
        nodes={"x": echo, "f": gives("F")},
        initial={"items": {"no": "list"}},
        expect={"status": "completed", "batches": {}, "outputs": {"sc": None, "f": "F", "g": []}},
    ),
    Case(
        claim="what the last round did not reach keeps the output of the round that did",
        spec="2: _outputs.<id>; 9",
        blueprint=graph(
            loop_controller("c", "go"),
            "s > c",
            once_more("c", "b"),
            edge("b", "x", action="skip"),
            edge("b", "y", action="work"),
            "x > j",
            "y > j",
            "j > c",
            out_of("c", "e"),
            node("e", inputs={"x": "x", "y": "y"}),
        ),
        nodes={**N, "b": route, "x": echo, "y": echo, "j": echo, "e": echo},
        initial={"go": True},
        expect={"status": "completed", "outputs_has": {"e": {"x": 3, "y": 4}, "x": 3, "y": 4, "b": 4}, "skipped": []},
    ),
]

GIVEN = [
    Case(
        claim="properties that are null count as not given",
        spec="1: optional",
        blueprint={
            "id": "case",
            "nodes": [
                {"id": "a", "uses": "a", "params": None, "inputs": None, "config": None},
                {
                    "id": "b",
                    "uses": "b",
                    "config": {"fallback": None, "timeout": None, "joinStrategy": None, "retryDelay": None},
                },
            ],
            "edges": [{"source": "a", "target": "b", "action": None, "condition": None, "transform": None}],
            "metadata": None,
        },
        nodes=N,
        expect={"status": "completed", "executed": ["a", "b"]},
    ),
    Case(
        claim="a blueprint may leave its edges out",
        spec="1, Blueprint",
        blueprint={"id": "case", "nodes": [node("a"), node("b")]},
        nodes=N,
        expect={"status": "completed", "executed": ["a", "b"]},
    ),
    Case(
        claim="a number that is none is false",
        spec="4: false are ... NaN",
        blueprint=graph(
            "s > a", edge("a", "b", condition="result.output.n"), edge("a", "z", condition="result.output.m")
        ),
        nodes={**N, "a": gives({"n": float("nan"), "m": 1})},
        expect={"executed": ["a", "s", "z"], "skipped": ["b"]},
    ),
    Case(
        claim="an output that is no value of JSON fails the node",
        spec="2; 8",
        blueprint=graph("s > a > b"),
        nodes={**N, "a": gives(object())},
        expect={"status": "failed", "errors": ["a"], "executed": ["a", "s"]},
    ),
    Case(
        claim="a tuple is a list",
        spec="1",
        blueprint=graph("s > a > b", node("b", inputs="a.1")),
        nodes={**N, "a": gives((1, 2))},
        expect={"status": "completed", "outputs_has": {"a": [1, 2], "b": 2}},
    ),
    Case(
        claim="a batch of a thousand items",
        spec="9",
        blueprint=graph(
            node("sc", "batch-scatter", {"workerUsesKey": "echo", "gatherNodeId": "ga", "chunkSize": 300}),
            node("ga", "batch-gather", {"gatherNodeId": "ga"}),
            "s > sc > ga",
        ),
        nodes={"s": gives(list(range(1000))), "echo": echo},
        expect={"status": "completed", "outputs_has": {"ga": list(range(1000))}},
    ),
    Case(
        claim="the workers of a batch that fails in part keep their places",
        spec="9; issue: batches (scatter id -> outputs in item order)",
        blueprint=graph(
            node("m", "map", {"uses": "picky", "toleratedFailures": 1}, maxRetries=2),
            "s > m > z",
        ),
        nodes={**N, "s": gives([3, 1, 2]), "picky": only_small},
        expect={"status": "completed", "outputs_has": {"m": [None, 1, 2]}, "errors": []},
    ),
    Case(
        claim="what a node changes in its input changes nothing of its source",
        spec="5: The source output is unchanged",
        blueprint=graph("s > a > b", node("b", inputs="s")),
        nodes={**N, "s": gives({"list": [1]}), "a": spoils},
        expect={"status": "completed", "outputs_has": {"s": {"list": [1]}, "b": {"list": [1]}}},
    ),
    Case(
        claim="params that a node changes are whole again in its next attempt",
        spec="1: params",
        blueprint=graph(
            node("a", "spoil", {"list": [1]}, maxRetries=2), node("b", "spoil", {"list": [5]}, maxRetries=2)
        ),
        nodes={"spoil": spoils_params},
        expect={"status": "completed", "outputs": {"a": [1], "b": [5]}},
    ),
    Case(
        claim="a cancellation that a node makes up itself is a failure",
        spec="8: A raised error",
        blueprint=graph("s > a > b", "s > z"),
        nodes={**N, "a": cancels_itself},
        expect={"status": "failed", "errors": ["a"], "executed": ["a", "s", "z"]},
    ),
]

CASES = [*ROUNDS, *GIVEN, *SHAPES, *FALLBACKS, *LOOPS, *CHILDREN, *WAITING, *OTHERS]
