# ruff: noqa: FBT003 - booleans are values like others here
"""Section 9, loop-controller: rounds, what runs again in them, and what comes after.

`counts` are starts of a node id over all rounds. Outputs and context are those of the last round.
"""

from __future__ import annotations

from typing import Any

from conformance.case import (
    Case,
    acts,
    counts_up,
    echo,
    edge,
    fails,
    gives,
    graph,
    loop_controller,
    node,
    notes,
    once_more,
    out_of,
    outage,
    reads,
)

from famulus.nodes import Result


def loop(*parts: Any, condition: str = "go", body: str = "b", end: str = "b", **params: Any) -> Any:
    """`s > c`, the controller; from there into `body`, from `end` back, and out to `e`."""
    return graph(
        loop_controller("c", condition, **params),
        "s > c",
        once_more("c", body),
        edge(end, "c"),
        out_of("c", "e"),
        *parts,
    )


def rounds(n: int, key: str = "i") -> Any:
    """Counts in `key`, and lets `go` be true for `n` rounds."""
    return counts_up(key, n)


GO = {"go": True}
N = {"s": gives("S"), "e": echo}


async def even_or_odd(ctx: Any) -> Result:
    return Result(output=ctx.input, action="odd" if await ctx.get("i") % 2 else "even")


async def fails_in_round_two(ctx: Any) -> Any:
    n = (await ctx.get("i") or 0) + 1
    if n == 2:
        raise ValueError("round two")
    await ctx.set("i", n)
    return n


async def fails_first_in_round_two(ctx: Any) -> Any:
    if await ctx.get("i") == 2 and ctx.attempt == 1:
        raise ValueError("round two")
    return await ctx.get("i")


async def fails_when_even(ctx: Any) -> Any:
    if await ctx.get("i") % 2 == 0:
        raise ValueError("even")
    return "body"


async def one_more_than_before(ctx: Any) -> Any:
    value = (await ctx.get("b") or 0) + 1
    await ctx.set("go", value < 3)
    return value


async def exits_in_round_three(ctx: Any) -> Any:
    n = (await ctx.get("i") or 0) + 1
    await ctx.set("i", n)
    return Result(output=n, action="exit") if n == 3 else n


async def list_of_round(ctx: Any) -> list[int]:
    n = await ctx.get("i")
    return [10 * n, 10 * n + 1]


async def again_until_three(ctx: Any) -> dict[str, Any]:
    n = (await ctx.get("i") or 0) + 1
    await ctx.set("i", n)
    return {"n": n, "again": n < 3}


async def start_inner(ctx: Any) -> None:
    """The inner loop of an outer round `i` has `i - 1` rounds."""
    n = await ctx.get("i") or 0
    await ctx.set("i", n + 1)
    await ctx.set("j", 0)
    await ctx.set("inner", n > 0)


async def inner_work(ctx: Any) -> Any:
    j = await ctx.get("j") + 1
    await ctx.set("j", j)
    await ctx.set("inner", j < await ctx.get("i") - 1)
    return j


async def three_outer_rounds(ctx: Any) -> None:
    await ctx.set("outer", await ctx.get("i") < 3)


def sets(key: str, value: Any) -> Any:
    async def set_key(ctx: Any) -> Any:
        await ctx.set(key, value)
        return value

    return set_key


def reset(counter: str, flag: str) -> Any:
    async def start_anew(ctx: Any) -> None:
        await ctx.set(counter, 0)
        await ctx.set(flag, True)

    return start_anew


ROUNDS = [
    Case(
        claim="three rounds are four evaluations",
        spec="9: n rounds = n+1 evaluations",
        blueprint=loop(),
        nodes={**N, "b": rounds(3)},
        initial=GO,
        expect={
            "status": "completed",
            "executed": ["b", "c", "e", "s"],
            "counts": {"b": 3, "c": 4},
            "skipped": [],
            "errors": [],
            "attempts": {},
            "context": {"go": False, "i": 3},
            "outputs": {"s": "S", "b": 3, "c": None, "e": None},
        },
        everywhere=True,
    ),
    Case(
        claim="one round is two evaluations",
        spec="9: n rounds = n+1 evaluations",
        blueprint=loop(),
        nodes={**N, "b": rounds(1)},
        initial=GO,
        expect={
            "status": "completed",
            "executed": ["b", "c", "e", "s"],
            "counts": {"c": 2},
            "context": {"go": False, "i": 1},
        },
    ),
    Case(
        claim="a condition that is false at first is zero rounds",
        spec="9: false at first = zero rounds",
        blueprint=loop(),
        nodes={**N, "b": rounds(3)},
        initial={"go": False},
        expect={
            "status": "completed",
            "executed": ["c", "e", "s"],
            "counts": {},
            "skipped": ["b"],
            "outputs": {"s": "S", "c": None, "e": None},
            "context": {"go": False},
        },
        everywhere=True,
    ),
    Case(
        claim="a condition that nobody has is zero rounds",
        spec="9: path over the context; 4: unknown first name is absent",
        blueprint=loop(),
        nodes={**N, "b": rounds(3)},
        expect={"status": "completed", "executed": ["c", "e", "s"], "skipped": ["b"]},
    ),
    *(
        Case(
            claim=f"a loop ends when its condition is {value!r}",
            spec="9; 4: Truth is JavaScript's",
            blueprint=loop(),
            nodes={**N, "b": sets("go", value)},
            initial=GO,
            expect={"status": "completed", "counts": {"c": 2}, "executed": ["b", "c", "e", "s"]},
        )
        for value in (False, 0, "", None)
    ),
    *(
        Case(
            claim=f"a loop begins when its condition is {value!r}",
            spec="9; 4: Truth is JavaScript's",
            blueprint=loop(),
            nodes={**N, "b": sets("go", False)},
            initial={"go": value},
            expect={"status": "completed", "counts": {"c": 2}, "executed": ["b", "c", "e", "s"]},
        )
        for value in (1, "0", "false", [], {})
    ),
    *(
        Case(
            claim=f"{condition!r} is no path, so it is zero rounds",
            spec="9: path over the context; 4",
            blueprint=loop(condition=condition),
            nodes={**N, "b": rounds(3)},
            initial={**GO, "i": 0},
            expect={"status": "completed", "executed": ["c", "e", "s"]},
        )
        for condition in ("i < 3", "!go", "go == true", "context['go']")
    ),
    Case(
        claim="a loop controller has no `result`",
        spec="9: path over the context alone, no `result`",
        blueprint=loop(condition="result"),
        nodes={**N, "b": rounds(3)},
        expect={"status": "completed", "executed": ["c", "e", "s"]},
    ),
    Case(
        claim="the condition may be a path into a context value",
        spec="9: condition (path over the context)",
        blueprint=loop(condition="state.more.0"),
        nodes={**N, "b": sets("state", {"more": [0]})},
        initial={"state": {"more": [1]}},
        expect={"status": "completed", "counts": {"c": 2}},
    ),
    Case(
        claim="the condition may be a path into the output of a node of the body",
        spec="9; 4: every node output is also a bare context key",
        blueprint=loop(condition="b.again"),
        nodes={**N, "b": again_until_three},
        initial={"b": {"again": True}},
        expect={"status": "completed", "counts": {"b": 3, "c": 4}},
    ),
    Case(
        claim="the condition may be the output of the node before the loop",
        spec="9; 4",
        blueprint=loop(condition="s.go"),
        nodes={"s": gives({"go": False}), "e": echo, "b": rounds(3)},
        expect={"executed": ["c", "e", "s"], "skipped": ["b"]},
    ),
    Case(
        claim="fifty rounds",
        spec="9: No maximum of rounds",
        blueprint=loop(),
        nodes={**N, "b": rounds(50)},
        initial=GO,
        expect={"status": "completed", "counts": {"b": 50, "c": 51}, "context": {"go": False, "i": 50}},
    ),
    Case(
        claim="a limit of rounds that is reached fails the run",
        spec="issue, 4: a limit of rounds per loop; hitting one fails the run",
        blueprint=loop(maxRounds=3),
        nodes={**N, "b": rounds(10)},
        initial=GO,
        expect={"status": "failed", "executed_without": ["e"], "context_has": {"i": 3}},
    ),
    Case(
        claim="a limit of rounds that is not exceeded does nothing",
        spec="issue, 4: a limit of rounds per loop",
        blueprint=loop(maxRounds=3),
        nodes={**N, "b": rounds(3)},
        initial=GO,
        expect={"status": "completed", "counts": {"b": 3, "c": 4}},
    ),
    Case(
        claim="a loop controller that starts the run",
        spec="9",
        blueprint=graph(
            loop_controller("c", "go"), once_more("c", "b"), edge("b", "c"), out_of("c", "e"), cycleEntryPoints=["c"]
        ),
        nodes={"b": rounds(2), "e": gives("end")},
        initial=GO,
        expect={"status": "completed", "counts": {"b": 2, "c": 3}, "outputs_has": {"e": "end"}},
    ),
]

DELIVERY = [
    Case(
        claim="what comes after the loop gets null",
        spec="9: so the node after the loop gets null unless the break edge has a transform",
        blueprint=loop(),
        nodes={"s": gives("S"), "b": rounds(2), "e": echo},
        initial=GO,
        expect={"outputs_has": {"e": None}},
    ),
    Case(
        claim="a transform on the break edge hands on what the context has",
        spec="9: unless the break edge has a transform",
        blueprint=graph(
            loop_controller("c", "go"), "s > c", once_more("c", "b"), "b > c", out_of("c", "e", transform="context.i")
        ),
        nodes={**N, "b": rounds(3)},
        initial=GO,
        expect={"outputs_has": {"e": 3}},
        everywhere=True,
    ),
    Case(
        claim="a transform on the break edge hands on the body's last output",
        spec="9; 5: context.nodeId",
        blueprint=graph(
            loop_controller("c", "b.again"),
            "s > c",
            once_more("c", "b"),
            "b > c",
            out_of("c", "e", transform="context.b.n"),
        ),
        nodes={**N, "b": again_until_three},
        initial={"b": {"again": 1}},
        expect={"outputs_has": {"e": 3}},
    ),
    Case(
        claim="what comes after the loop reads the body's last output by its inputs",
        spec="7; 9",
        blueprint=loop(node("e", inputs={"b": "b", "i": "i"})),
        nodes={**N, "b": rounds(3)},
        initial=GO,
        expect={"outputs_has": {"e": {"b": 3, "i": 3}}},
    ),
    Case(
        claim="the first node of the body gets nothing from the continue edge",
        spec="9: Condition true: action continue, output absent",
        blueprint=loop("b > d", end="d"),
        nodes={"s": gives("S"), "b": notes("got"), "d": rounds(2), "e": echo},
        initial=GO,
        expect={"context": {"got": [None, None], "go": False, "i": 2}},
    ),
    Case(
        claim="the nodes of the body read their inputs anew in every round",
        spec="7; 9: so its nodes run again",
        blueprint=loop(node("d", inputs={"i": "i"}), "b > d", end="d"),
        nodes={**N, "b": rounds(3), "d": notes("seen")},
        initial=GO,
        expect={"context": {"seen": [{"i": 1}, {"i": 2}, {"i": 3}], "go": False, "i": 3}},
    ),
    Case(
        claim="along the body the output of this round is handed on",
        spec="5; 9",
        blueprint=loop("b > d > f", end="f"),
        nodes={**N, "b": rounds(3), "d": echo, "f": notes("seen")},
        initial=GO,
        expect={"context_has": {"seen": [1, 2, 3]}, "counts": {"b": 3, "c": 4, "d": 3, "f": 3}},
        everywhere=True,
    ),
    Case(
        claim="a node of the body finds its last output in the context",
        spec="2: the bare key <id> = output; 9",
        blueprint=loop(),
        nodes={**N, "b": one_more_than_before},
        initial=GO,
        expect={"outputs_has": {"b": 3}, "counts": {"b": 3, "c": 4}},
    ),
    Case(
        claim="several nodes come after the loop",
        spec="9; 4.3",
        blueprint=loop(out_of("c", "f"), "e > g", "f > g"),
        nodes={**N, "b": rounds(2), "f": echo, "g": counts_up("n")},
        initial=GO,
        expect={"status": "completed", "counts": {"b": 2, "c": 3}, "context_has": {"n": 1}},
    ),
]

BODIES = [
    Case(
        claim="every node of the body runs in every round",
        spec="9: the body is re-armed, so its nodes run again",
        blueprint=loop("b > d > f > g", end="g"),
        nodes={**N, "b": rounds(3), "d": echo, "f": echo, "g": echo},
        initial=GO,
        expect={"status": "completed", "counts": {"b": 3, "c": 4, "d": 3, "f": 3, "g": 3}},
    ),
    Case(
        claim="a join in the body waits in every round",
        spec="9: joins inside wait again",
        blueprint=loop("b > l > x > j", "b > r > j", node("j", inputs={"x": "x", "r": "r"}), end="j"),
        nodes={**N, "b": rounds(3), "l": echo, "x": echo, "r": echo, "j": notes("seen")},
        initial=GO,
        expect={
            "status": "completed",
            "counts": {"b": 3, "c": 4, "j": 3, "l": 3, "r": 3, "x": 3},
            "context_has": {"seen": [{"x": 1, "r": 1}, {"x": 2, "r": 2}, {"x": 3, "r": 3}]},
        },
        everywhere=True,
    ),
    Case(
        claim="an any-join in the body starts once in every round",
        spec="An any join starts once per run (per loop round)",
        blueprint=loop("b > l > j", "b > r > j", "j > k", "l > k", "r > k", node("j", joinStrategy="any"), end="k"),
        nodes={**N, "b": rounds(3), "l": echo, "r": echo, "j": counts_up("n"), "k": echo},
        initial=GO,
        expect={
            "status": "completed",
            "counts": {"b": 3, "c": 4, "j": 3, "k": 3, "l": 3, "r": 3},
            "context_has": {"n": 3},
        },
    ),
    Case(
        claim="a join behind a choice runs in every round, whichever branch was taken",
        spec="Dead paths; 9",
        blueprint=loop(
            "b > q", edge("q", "even", action="even"), edge("q", "odd", action="odd"), "even > j", "odd > j", end="j"
        ),
        nodes={**N, "b": rounds(5), "q": even_or_odd, "even": notes("evens"), "odd": notes("odds"), "j": echo},
        initial=GO,
        expect={
            "status": "completed",
            "counts": {"b": 5, "c": 6, "even": 2, "j": 5, "odd": 3, "q": 5},
            "skipped": [],
            "context_has": {"evens": [2, 4], "odds": [1, 3, 5]},
        },
        everywhere=True,
    ),
    Case(
        claim="a branch of the body that is never taken is skipped",
        spec="Dead paths; 9",
        blueprint=loop("b > d > j", edge("b", "never", condition="no"), "never > j", end="j"),
        nodes={**N, "b": rounds(3), "d": echo, "never": echo, "j": echo},
        initial=GO,
        expect={
            "status": "completed",
            "executed": ["b", "c", "d", "e", "j", "s"],
            "skipped": ["never"],
            "counts": {"b": 3, "c": 4, "d": 3, "j": 3},
        },
    ),
    Case(
        claim="two continue edges lead into two branches that join",
        spec="9; 4.3",
        blueprint=loop("b > j", once_more("c", "d"), "d > j", end="j"),
        nodes={**N, "b": rounds(3), "d": echo, "j": counts_up("n")},
        initial=GO,
        expect={"status": "completed", "counts": {"b": 3, "c": 4, "d": 3, "j": 3}, "context_has": {"n": 3}},
    ),
    Case(
        claim="a branch that leads nowhere belongs to the body",
        spec="9: everything reachable from the continue target without passing a loop controller",
        blueprint=loop("b > side > tail"),
        nodes={**N, "b": rounds(1), "side": echo, "tail": counts_up("n")},
        initial=GO,
        expect={"status": "completed", "executed": ["b", "c", "e", "s", "side", "tail"], "counts": {"c": 2}},
    ),
    Case(
        claim="a branch that leads nowhere runs in every round when the round waits for it",
        spec="9: everything reachable from the continue target without passing a loop controller",
        blueprint=loop("b > d > side", "d > f", node("side"), end="f"),
        nodes={**N, "b": rounds(2), "d": echo, "side": echo, "f": echo},
        initial=GO,
        expect={"status": "completed", "counts_has": {"b": 2, "c": 3, "d": 2, "f": 2}},
    ),
    Case(
        claim="the body may leave the loop by an action of its own",
        spec="4.3; 6, any",
        blueprint=loop(edge("b", "e", action="exit"), node("e", joinStrategy="any")),
        nodes={"s": gives("S"), "b": exits_in_round_three, "e": echo},
        initial=GO,
        expect={
            "status": "completed",
            "counts": {"b": 3, "c": 3},
            "outputs_has": {"e": 3},
            "executed": ["b", "c", "e", "s"],
        },
    ),
    Case(
        claim="a body that goes nowhere ends the loop",
        spec="4.5 [R]: the branch ends there",
        blueprint=graph(
            loop_controller("c", "go"),
            "s > c",
            once_more("c", "b"),
            edge("b", "c", condition="b.again"),
            out_of("c", "e"),
        ),
        nodes={**N, "b": again_until_three},
        initial=GO,
        expect={"status": "completed", "executed": ["b", "c", "s"], "counts": {"b": 3, "c": 3}},
    ),
    Case(
        claim="a failing body fails the run",
        spec="9: A failing body fails the run",
        blueprint=loop(),
        nodes={**N, "b": fails()},
        initial=GO,
        expect={"status": "failed", "errors": ["b"], "executed": ["b", "c", "s"], "counts": {}},
        everywhere=True,
    ),
    Case(
        claim="a body that fails in a later round fails the run there",
        spec="9: A failing body fails the run",
        blueprint=loop(),
        nodes={**N, "b": fails_in_round_two},
        initial=GO,
        expect={
            "status": "failed",
            "errors": ["b"],
            "executed": ["b", "c", "s"],
            "counts": {"b": 2, "c": 2},
            "context": {"go": True, "i": 1},
        },
    ),
    Case(
        claim="a failing body leaves other branches alone",
        spec="8: independent branches run to their end; 9",
        blueprint=loop("s > x > y"),
        nodes={**N, "b": fails(), "x": echo, "y": echo},
        initial=GO,
        expect={"status": "failed", "errors": ["b"], "executed": ["b", "c", "s", "x", "y"], "executed_without": ["e"]},
    ),
    Case(
        claim="a node of the body has its attempts in the round in which it fails",
        spec="8; 9",
        blueprint=loop(node("d", maxRetries=2), "b > d", end="d"),
        nodes={**N, "b": rounds(3), "d": fails_first_in_round_two},
        initial=GO,
        expect={"status": "completed", "counts": {"b": 3, "c": 4, "d": 3}, "outputs_has": {"d": 3}, "errors": []},
    ),
    Case(
        claim="a fallback stands in for a node of the body in every round",
        spec="8, Fallback; 9",
        blueprint=loop(node("d", fallback="f"), "b > d > g", "f", end="g"),
        nodes={**N, "b": rounds(3), "d": fails(), "f": gives("F"), "g": notes("seen")},
        initial=GO,
        expect={
            "status": "completed",
            "errors": [],
            "counts": {"b": 3, "c": 4, "d": 3, "f": 3, "g": 3},
            "context_has": {"seen": ["F", "F", "F"]},
        },
        everywhere=True,
    ),
    Case(
        claim="a fallback that leads back to the controller itself",
        spec="8, Fallback; 9",
        blueprint=loop(node("d", fallback="f"), "b > d", "f", end="d"),
        nodes={**N, "b": rounds(3), "d": fails(), "f": gives("F")},
        initial=GO,
        expect={"status": "completed", "errors": [], "counts": {"b": 3, "c": 4, "d": 3, "f": 3}},
    ),
    Case(
        claim="what comes after the loop may be the fallback of a node of the body, and does not wait for its end",
        spec="8, Fallback: starts at once if its own predecessors are complete; 9",
        blueprint=graph(
            loop_controller("c", "go"),
            node("d", fallback="e"),
            "s > c",
            once_more("c", "b"),
            "b > d > c",
            out_of("c", "e"),
            "e > z",
        ),
        nodes={
            "s": gives(1),
            "b": counts_up("i", 3),
            "d": outage(2, "D"),
            "e": counts_up("handled"),
            "z": reads("handled"),
        },
        initial={"go": True},
        expect={
            "status": "completed",
            "executed": ["b", "c", "d", "e", "s", "z"],
            "counts": {"b": 3, "c": 4, "d": 3, "e": 3, "z": 3},
            "errors": [],
            "skipped": [],
            "outputs_has": {"d": "D", "z": 3},
        },
    ),
    Case(
        claim="the fallback of a node of the body may lie farther behind the loop, and does not wait for its end",
        spec="8, Fallback; 9",
        blueprint=graph(
            loop_controller("c", "go"),
            node("d", fallback="e"),
            "s > c",
            once_more("c", "b"),
            "b > d > c",
            out_of("c", "x"),
            "x > e",
        ),
        nodes={"s": gives(1), "b": counts_up("i", 3), "d": outage(2, "D"), "x": echo, "e": counts_up("handled")},
        initial={"go": True},
        expect={
            "status": "completed",
            "executed": ["b", "c", "d", "e", "s", "x"],
            "counts": {"b": 3, "c": 4, "d": 3, "e": 3},
            "errors": [],
            "skipped": [],
        },
    ),
    Case(
        claim="a fallback is used in the rounds that need it",
        spec="8, Fallback; 9",
        blueprint=loop(node("d", fallback="f"), "b > d > g", "f", end="g"),
        nodes={**N, "b": rounds(3), "d": fails_when_even, "f": gives("F"), "g": notes("seen")},
        initial=GO,
        expect={
            "status": "completed",
            "counts": {"b": 3, "c": 4, "d": 3, "g": 3},
            "executed": ["b", "c", "d", "e", "f", "g", "s"],
            "context_has": {"seen": ["body", "F", "body"]},
        },
    ),
    Case(
        claim="every round scatters its batch afresh",
        spec="9 [R]: every round of a loop scatters afresh",
        blueprint=loop(
            node("sc", "batch-scatter", {"workerUsesKey": "echo", "gatherNodeId": "ga"}, inputs="list"),
            node("ga", "batch-gather", {"gatherNodeId": "ga"}),
            "b > list > sc > ga > n",
            end="n",
        ),
        nodes={**N, "b": rounds(3), "list": list_of_round, "echo": echo, "n": notes("seen")},
        initial=GO,
        expect={
            "status": "completed",
            "counts": {"b": 3, "c": 4, "ga": 3, "list": 3, "n": 3, "sc": 3},
            "context_has": {"seen": [[10, 11], [20, 21], [30, 31]]},
        },
        everywhere=True,
    ),
    Case(
        claim="every round maps its items afresh",
        spec="issue, 3 and 4",
        blueprint=loop(node("m", "map", {"uses": "echo"}), "b > list > m > n", end="n"),
        nodes={**N, "b": rounds(2), "list": list_of_round, "echo": echo, "n": notes("seen")},
        initial=GO,
        expect={
            "status": "completed",
            "counts": {"b": 2, "c": 3, "list": 2, "m": 2, "n": 2},
            "context_has": {"seen": [[10, 11], [20, 21]]},
        },
    ),
    Case(
        claim="a chunked batch in every round",
        spec="9 [R]",
        blueprint=loop(
            node("sc", "batch-scatter", {"workerUsesKey": "echo", "gatherNodeId": "ga", "chunkSize": 1}),
            node("ga", "batch-gather", {"gatherNodeId": "ga", "outputKey": "all"}),
            "b > list > sc > ga > n",
            end="n",
        ),
        nodes={**N, "b": rounds(2), "list": list_of_round, "echo": echo, "n": notes("seen")},
        initial=GO,
        expect={
            "status": "completed",
            "counts_has": {"ga": 2, "sc": 2},
            "context_has": {"seen": [[10, 11], [20, 21]], "all": [20, 21]},
        },
    ),
    Case(
        claim="every round runs its child anew",
        spec="9: subflow; loops",
        blueprint=loop(node("sub", "subflow", {"blueprintId": "child"}), "b > sub > n", end="n"),
        children={"child": graph("x > y", blueprint_id="child")},
        nodes={**N, "b": rounds(3), "x": echo, "y": echo, "n": notes("seen")},
        initial=GO,
        expect={
            "status": "completed",
            "counts": {"b": 3, "c": 4, "n": 3, "sub": 3},
            "context_has": {"seen": [1, 2, 3]},
        },
        everywhere=True,
    ),
    Case(
        claim="every round may wait",
        spec="10: A node may await again later (sequence, loop)",
        blueprint=loop(node("w", "wait"), "b > w > n", end="n"),
        nodes={**N, "b": rounds(3), "n": notes("seen")},
        initial=GO,
        resume=[{"output": "one"}, {"output": "two"}, {"output": "three"}],
        expect={
            "status": "completed",
            "counts": {"b": 3, "c": 4, "n": 3, "w": 3},
            "context_has": {"seen": ["one", "two", "three"]},
        },
        everywhere=True,
    ),
    Case(
        claim="a loop waits in its second round",
        spec="10: A node may await again later (sequence, loop)",
        blueprint=loop(node("w", "wait"), "b > w > n", end="n"),
        nodes={**N, "b": rounds(3), "n": notes("seen")},
        initial=GO,
        resume=[{"output": "one"}],
        expect={
            "status": "awaiting",
            "awaiting": ["w"],
            "counts": {"b": 2, "c": 2, "w": 2},
            "context_has": {"seen": ["one"], "i": 2},
            "executed_without": ["e"],
        },
    ),
    Case(
        claim="a wait may itself be the end of the body",
        spec="9; 10",
        blueprint=loop(node("w", "wait"), "b > w", end="w"),
        nodes={**N, "b": rounds(2)},
        initial=GO,
        resume=[{}, {}],
        expect={"status": "completed", "counts": {"b": 2, "c": 3, "w": 2}},
    ),
    Case(
        claim="every round may sleep",
        spec="9, sleep; 10",
        blueprint=loop(node("w", "sleep", {"duration": 20}), "b > w > n", end="n"),
        nodes={**N, "b": rounds(2), "n": notes("seen")},
        initial=GO,
        resume=[{}, {}],
        expect={"status": "completed", "counts": {"b": 2, "c": 3, "n": 2, "w": 2}, "context_has": {"seen": [1, 2]}},
    ),
    Case(
        claim="the action with which a wait is resumed chooses in every round",
        spec="10 [R]: it selects action edges; 9",
        blueprint=loop(
            node("w", "wait"),
            "b > w",
            edge("w", "ok", action="ok"),
            edge("w", "no", action="no"),
            "ok > j",
            "no > j",
            end="j",
        ),
        nodes={**N, "b": rounds(3), "ok": notes("told", "ok"), "no": notes("told", "no"), "j": echo},
        initial=GO,
        resume=[{"action": "ok"}, {"action": "no"}, {"action": "ok"}],
        expect={
            "status": "completed",
            "counts": {"b": 3, "c": 4, "j": 3, "ok": 2, "w": 3},
            "context_has": {"told": ["ok", "no", "ok"]},
        },
    ),
]


def nested(*parts: Any, outer_end: str = "p") -> Any:
    """Outer controller `o`, whose body is `q`, then the loop of `c` around `b`, then `p`; `e` comes after all."""
    return graph(
        loop_controller("o", "outer"),
        loop_controller("c", "inner"),
        "s > o",
        once_more("o", "q"),
        "q > c",
        once_more("c", "b"),
        "b > c",
        out_of("c", "p"),
        edge(outer_end, "o"),
        out_of("o", "e"),
        *parts,
    )


NESTED = [
    Case(
        claim="an inner loop goes its rounds in every round of the outer one",
        spec="9 [R]: the whole body, inner loops included",
        blueprint=nested(),
        nodes={
            "s": gives(1),
            "q": reset("j", "inner"),
            "b": counts_up("j", 3, "inner"),
            "p": counts_up("i", 2, "outer"),
            "e": gives("end"),
        },
        initial={"outer": True},
        expect={
            "status": "completed",
            "executed": ["b", "c", "e", "o", "p", "q", "s"],
            "counts": {"b": 6, "c": 8, "o": 3, "p": 2, "q": 2},
            "context": {"outer": False, "inner": False, "i": 2, "j": 3},
            "skipped": [],
        },
        everywhere=True,
    ),
    Case(
        claim="nodes after an inner loop run in every round of the outer one",
        spec="9 [R]: Outer-body nodes after an inner loop",
        blueprint=nested("p > r > t", outer_end="t"),
        nodes={
            "s": gives(1),
            "q": reset("j", "inner"),
            "b": counts_up("j", 2, "inner"),
            "p": notes("seen", "p"),
            "r": notes("seen", "r"),
            "t": counts_up("i", 3, "outer"),
            "e": gives("end"),
        },
        initial={"outer": True},
        expect={
            "status": "completed",
            "counts": {"b": 6, "c": 9, "o": 4, "p": 3, "q": 3, "r": 3, "t": 3},
            "context_has": {"seen": ["p", "r"] * 3},
        },
    ),
    Case(
        claim="an inner loop may have another number of rounds each time, zero too",
        spec="9",
        blueprint=nested(),
        nodes={"s": gives(1), "q": start_inner, "b": inner_work, "p": three_outer_rounds, "e": gives("end")},
        initial={"outer": True},
        expect={
            "status": "completed",
            "counts": {"b": 3, "c": 6, "o": 4, "p": 3, "q": 3},
            "skipped": [],
            "context": {"outer": False, "inner": False, "i": 3, "j": 2},
        },
    ),
    Case(
        claim="an outer loop of zero rounds does not enter the inner one",
        spec="9: false at first = zero rounds",
        blueprint=nested(),
        nodes={"s": gives(1), "q": echo, "b": echo, "p": echo, "e": gives("end")},
        initial={"outer": False, "inner": True},
        expect={"status": "completed", "executed": ["e", "o", "s"], "skipped": ["b", "c", "p", "q"], "counts": {}},
    ),
    Case(
        claim="an inner loop of zero rounds in every round of the outer one",
        spec="9: false at first = zero rounds",
        blueprint=nested(),
        nodes={"s": gives(1), "q": echo, "b": echo, "p": counts_up("i", 3, "outer"), "e": gives("end")},
        initial={"outer": True, "inner": False},
        expect={
            "status": "completed",
            "executed": ["c", "e", "o", "p", "q", "s"],
            "skipped": ["b"],
            "counts": {"c": 3, "o": 4, "p": 3, "q": 3},
        },
    ),
    Case(
        claim="a failure in an inner loop fails the run",
        spec="9: A failing body fails the run",
        blueprint=nested(),
        nodes={"s": gives(1), "q": reset("j", "inner"), "b": fails(), "p": echo, "e": gives("end")},
        initial={"outer": True},
        expect={"status": "failed", "errors": ["b"], "executed": ["b", "c", "o", "q", "s"], "counts": {}},
    ),
    Case(
        claim="three loops inside each other",
        spec="9 [R]: the whole body, inner loops included",
        blueprint=graph(
            loop_controller("o", "outer"),
            loop_controller("m", "middle"),
            loop_controller("c", "inner"),
            "s > o",
            once_more("o", "q"),
            "q > m",
            once_more("m", "r"),
            "r > c",
            once_more("c", "b"),
            "b > c",
            out_of("c", "t"),
            "t > m",
            out_of("m", "p"),
            "p > o",
            out_of("o", "e"),
        ),
        nodes={
            "s": gives(1),
            "q": reset("j", "middle"),
            "r": reset("k", "inner"),
            "b": counts_up("k", 2, "inner"),
            "t": counts_up("j", 2, "middle"),
            "p": counts_up("i", 2, "outer"),
            "e": gives("end"),
        },
        initial={"outer": True},
        expect={
            "status": "completed",
            "counts": {"b": 8, "c": 12, "m": 6, "o": 3, "p": 2, "q": 2, "r": 4, "t": 4},
            "outputs_has": {"e": "end"},
        },
        everywhere=True,
    ),
    Case(
        claim="an inner loop whose controller follows on the outer one",
        spec="9",
        blueprint=graph(
            loop_controller("o", "outer"),
            loop_controller("c", "inner"),
            "s > q",
            "q > o",
            once_more("o", "c"),
            once_more("c", "b"),
            "b > c",
            out_of("c", "p"),
            "p > o",
            out_of("o", "e"),
        ),
        nodes={
            "s": gives(1),
            "q": reset("j", "inner"),
            "b": counts_up("j", 2, "inner"),
            "p": counts_up("i", 2, "outer"),
            "e": gives("end"),
        },
        initial={"outer": True},
        # the second outer round finds `inner` false
        expect={"status": "completed", "counts": {"b": 2, "c": 4, "o": 3, "p": 2}},
    ),
    Case(
        claim="two inner loops one after another in the body of an outer one",
        spec="9 [R]: the whole body, inner loops included",
        blueprint=graph(
            loop_controller("o", "outer"),
            loop_controller("c", "inner"),
            loop_controller("d", "inner2"),
            "s > o",
            once_more("o", "q"),
            "q > c",
            once_more("c", "b"),
            "b > c",
            out_of("c", "r"),
            "r > d",
            once_more("d", "t"),
            "t > d",
            out_of("d", "p"),
            "p > o",
            out_of("o", "e"),
        ),
        nodes={
            "s": gives(1),
            "q": reset("j", "inner"),
            "b": counts_up("j", 2, "inner"),
            "r": reset("k", "inner2"),
            "t": counts_up("k", 1, "inner2"),
            "p": counts_up("i", 2, "outer"),
            "e": gives("end"),
        },
        initial={"outer": True},
        expect={
            "status": "completed",
            "counts": {"b": 4, "c": 6, "d": 4, "o": 3, "p": 2, "q": 2, "r": 2, "t": 2},
        },
    ),
    Case(
        claim="a join in the outer body waits for an inner loop and a branch beside it",
        spec="9: joins inside wait again; 6",
        blueprint=nested("q > x > p", node("p", joinStrategy="all")),
        nodes={
            "s": gives(1),
            "q": reset("j", "inner"),
            "b": counts_up("j", 2, "inner"),
            "x": echo,
            "p": counts_up("i", 2, "outer"),
            "e": gives("end"),
        },
        initial={"outer": True},
        expect={"status": "completed", "counts": {"b": 4, "c": 6, "o": 3, "p": 2, "q": 2, "x": 2}},
    ),
    Case(
        claim="a batch in an inner loop",
        spec="9 [R]: every round of a loop scatters afresh",
        blueprint=graph(
            loop_controller("o", "outer"),
            loop_controller("c", "inner"),
            node("sc", "batch-scatter", {"workerUsesKey": "echo", "gatherNodeId": "ga"}),
            node("ga", "batch-gather", {"gatherNodeId": "ga"}),
            "s > o",
            once_more("o", "q"),
            "q > c",
            once_more("c", "b"),
            "b > list > sc > ga > n > c",
            out_of("c", "p"),
            "p > o",
            out_of("o", "e"),
        ),
        nodes={
            "s": gives(1),
            "q": reset("j", "inner"),
            "b": counts_up("j", 2, "inner"),
            "list": gives([1, 2]),
            "echo": echo,
            "n": notes("seen"),
            "p": counts_up("i", 2, "outer"),
            "e": gives("end"),
        },
        initial={"outer": True},
        expect={
            "status": "completed",
            "counts": {"b": 4, "c": 6, "ga": 4, "list": 4, "n": 4, "o": 3, "p": 2, "q": 2, "sc": 4},
            "context_has": {"seen": [[1, 2]] * 4},
        },
    ),
    Case(
        claim="a wait in an inner loop",
        spec="10: A node may await again later (sequence, loop)",
        blueprint=graph(
            loop_controller("o", "outer"),
            loop_controller("c", "inner"),
            node("w", "wait"),
            "s > o",
            once_more("o", "q"),
            "q > c",
            once_more("c", "w"),
            "w > b > c",
            out_of("c", "p"),
            "p > o",
            out_of("o", "e"),
        ),
        nodes={
            "s": gives(1),
            "q": reset("j", "inner"),
            "b": counts_up("j", 2, "inner"),
            "p": counts_up("i", 2, "outer"),
            "e": gives("end"),
        },
        initial={"outer": True},
        resume=[{}, {}, {}, {}],
        expect={"status": "completed", "counts": {"b": 4, "c": 6, "o": 3, "p": 2, "q": 2, "w": 4}},
    ),
]


def do_while(*parts: Any, last: str = "b", condition: str = "b.again") -> Any:
    """The body `b` is entered first, from `s`; the controller comes behind it and leads back into it."""
    return graph(
        node("b", joinStrategy="any"),
        loop_controller("c", condition),
        "s > b",
        edge(last, "c"),
        once_more("c", "b"),
        out_of("c", "e"),
        *parts,
    )


DO_WHILE = [
    Case(
        claim="a body that is entered first runs before the first evaluation",
        spec="9; An any join starts once per run (per loop round)",
        blueprint=do_while(),
        nodes={**N, "b": again_until_three},
        expect={
            "status": "completed",
            "executed": ["b", "c", "e", "s"],
            "counts": {"b": 3, "c": 3},
            "context": {"i": 3},
            "outputs": {"s": "S", "b": {"n": 3, "again": False}, "c": None, "e": None},
            "skipped": [],
        },
        everywhere=True,
    ),
    Case(
        claim="a body that is entered first runs once when the condition is false",
        spec="9",
        blueprint=do_while(condition="no"),
        nodes={**N, "b": again_until_three},
        expect={"status": "completed", "executed": ["b", "c", "e", "s"], "counts": {}, "context": {"i": 1}},
    ),
    Case(
        claim="a long body that is entered first runs whole in every round",
        spec="9",
        blueprint=do_while("b > d > f", last="f"),
        nodes={**N, "b": again_until_three, "d": echo, "f": echo},
        expect={"status": "completed", "counts": {"b": 3, "c": 3, "d": 3, "f": 3}},
    ),
    Case(
        claim="a body that is entered first has its first input from before and then from the controller",
        spec="5; 9",
        blueprint=do_while("b > n", last="n", condition="go"),
        nodes={**N, "b": notes("got"), "n": counts_up("i", 3)},
        expect={"status": "completed", "context": {"got": ["S", None, None], "i": 3, "go": False}},
    ),
    Case(
        claim="a diamond in a body that is entered first joins in every round",
        spec="9: joins inside wait again",
        blueprint=do_while("b > l > j", "b > r > j", last="j"),
        nodes={**N, "b": again_until_three, "l": echo, "r": echo, "j": counts_up("n")},
        expect={"status": "completed", "counts": {"b": 3, "c": 3, "j": 3, "l": 3, "r": 3}, "context": {"i": 3, "n": 3}},
    ),
    Case(
        claim="a body that is entered in the middle",
        spec="9; An any join starts once per run (per loop round)",
        blueprint=graph(
            node("d", joinStrategy="any"),
            loop_controller("c", "go"),
            "s > d > c",
            once_more("c", "b"),
            "b > d",
            out_of("c", "e"),
        ),
        nodes={**N, "d": counts_up("i", 3), "b": echo},
        expect={"status": "completed", "counts": {"b": 2, "c": 3, "d": 3}},
    ),
    Case(
        claim="an inner loop whose body is entered first, in every round of an outer loop",
        spec="9 [R]",
        blueprint=graph(
            loop_controller("o", "outer"),
            node("b", joinStrategy="any"),
            loop_controller("c", "inner"),
            "s > o",
            once_more("o", "q"),
            "q > b > c",
            once_more("c", "b"),
            out_of("c", "p"),
            "p > o",
            out_of("o", "e"),
        ),
        nodes={
            "s": gives(1),
            "q": reset("j", "inner"),
            "b": counts_up("j", 2, "inner"),
            "p": counts_up("i", 2, "outer"),
            "e": gives("end"),
        },
        initial={"outer": True},
        expect={"status": "completed", "counts": {"b": 4, "c": 4, "o": 3, "p": 2, "q": 2}},
    ),
    Case(
        claim="a wait in a body that is entered first",
        spec="9; 10",
        blueprint=do_while(node("w", "wait"), "b > w", last="w"),
        nodes={**N, "b": again_until_three},
        resume=[{}, {}, {}],
        expect={"status": "completed", "counts": {"b": 3, "c": 3, "w": 3}},
    ),
]

AROUND = [
    Case(
        claim="one loop after another",
        spec="9",
        blueprint=graph(
            loop_controller("c", "go"),
            loop_controller("d", "on"),
            "s > c",
            once_more("c", "b"),
            "b > c",
            out_of("c", "m"),
            "m > d",
            once_more("d", "f"),
            "f > d",
            out_of("d", "e"),
        ),
        nodes={**N, "b": rounds(2), "m": sets("on", True), "f": counts_up("k", 3, "on")},
        initial=GO,
        expect={"status": "completed", "counts": {"b": 2, "c": 3, "d": 4, "f": 3}},
    ),
    Case(
        claim="a loop directly after another",
        spec="9",
        blueprint=graph(
            loop_controller("c", "go"),
            loop_controller("d", "on"),
            "s > c",
            once_more("c", "b"),
            "b > c",
            out_of("c", "d"),
            once_more("d", "f"),
            "f > d",
            out_of("d", "e"),
        ),
        nodes={**N, "b": rounds(2), "f": counts_up("k", 2, "on")},
        initial={**GO, "on": True},
        expect={"status": "completed", "counts": {"b": 2, "c": 3, "d": 3, "f": 2}},
    ),
    Case(
        claim="two loops side by side join",
        spec="9; 6",
        blueprint=graph(
            loop_controller("c", "go"),
            loop_controller("d", "on"),
            "s > c",
            "s > d",
            once_more("c", "b"),
            "b > c",
            out_of("c", "j"),
            once_more("d", "f"),
            "f > d",
            out_of("d", "j"),
            "j > e",
        ),
        nodes={**N, "b": rounds(2), "f": counts_up("k", 4, "on"), "j": counts_up("n")},
        initial={**GO, "on": True},
        expect={
            "status": "completed",
            "counts": {"b": 2, "c": 3, "d": 5, "f": 4},
            "context_has": {"n": 1, "i": 2, "k": 4},
        },
    ),
    Case(
        claim="a join waits for a loop and a branch beside it",
        spec="6; 9",
        blueprint=loop("s > x > j", "e > j", node("j", inputs={"x": "x", "i": "i"})),
        nodes={**N, "b": rounds(3), "x": gives("X"), "j": echo},
        initial=GO,
        expect={"status": "completed", "counts": {"b": 3, "c": 4}, "outputs_has": {"j": {"x": "X", "i": 3}}},
        everywhere=True,
    ),
    Case(
        claim="a join that the break edge leads to directly waits for the loop",
        spec="6; 9",
        blueprint=loop("s > x > e", node("e", inputs={"x": "x", "i": "i"})),
        nodes={**N, "b": rounds(3), "x": gives("X")},
        initial=GO,
        expect={"status": "completed", "counts": {"b": 3, "c": 4}, "outputs_has": {"e": {"x": "X", "i": 3}}},
    ),
    Case(
        claim="a loop in a branch that was not taken is skipped, and the join behind it runs",
        spec="Dead paths; loop back-edges are not counted",
        blueprint=graph(
            loop_controller("c", "go"),
            edge("s", "c", condition="no"),
            once_more("c", "b"),
            "b > c",
            out_of("c", "j"),
            "s > x > j",
        ),
        nodes={"s": gives("S"), "b": rounds(2), "x": gives("X"), "j": echo},
        initial=GO,
        expect={"status": "completed", "executed": ["j", "s", "x"], "skipped": ["b", "c"], "outputs_has": {"j": "X"}},
        everywhere=True,
    ),
    Case(
        claim="a loop behind a failure is not entered",
        spec="8; 9",
        blueprint=loop(),
        nodes={"s": fails(), "b": rounds(2), "e": echo},
        initial=GO,
        expect={"status": "failed", "errors": ["s"], "executed": ["s"], "outputs": {}},
    ),
    Case(
        claim="a loop behind a fallback is entered",
        spec="8; 9",
        blueprint=loop(node("s", fallback="f"), "f"),
        nodes={"s": fails(), "f": gives("F"), "b": rounds(2), "e": echo},
        initial=GO,
        expect={"status": "completed", "errors": [], "counts": {"b": 2, "c": 3}},
    ),
    Case(
        claim="a loop with two ways in is entered once",
        spec="9: joinStrategy any; An any join starts once per run (per loop round)",
        blueprint=graph(
            loop_controller("c", "go"),
            "s > x",
            edge("x", "c", action="left"),
            edge("x", "y", action="right"),
            "y > c",
            once_more("c", "b"),
            "b > c",
            out_of("c", "e"),
        ),
        nodes={**N, "x": acts("right"), "y": echo, "b": rounds(2)},
        initial=GO,
        expect={"status": "completed", "executed": ["b", "c", "e", "s", "x", "y"], "counts": {"b": 2, "c": 3}},
    ),
    Case(
        claim="an edge of a loop controller with neither action nor condition fires if no other does",
        spec="4.3 and 4.4",
        blueprint=graph(loop_controller("c", "go"), "s > c", once_more("c", "b"), "b > c", "c > e"),
        nodes={**N, "b": rounds(2)},
        initial=GO,
        expect={"status": "completed", "executed": ["b", "c", "e", "s"], "counts": {"b": 2, "c": 3}},
    ),
    Case(
        claim="a loop in a subflow",
        spec="9",
        blueprint=graph(
            node("sub", "subflow", {"blueprintId": "child", "inputs": {"go": "go"}, "outputs": {"total": "i"}}),
            "sub > z",
        ),
        children={
            "child": graph(
                loop_controller("c", "go"),
                "s > c",
                once_more("c", "b"),
                "b > c",
                out_of("c", "e"),
                blueprint_id="child",
            )
        },
        nodes={**N, "b": rounds(3), "z": gives("Z")},
        initial=GO,
        expect={
            "status": "completed",
            "executed": ["sub", "z"],
            "context": {"go": True, "total": 3},
            "children": {"child": {"status": "completed", "counts": {"b": 3, "c": 4}}},
        },
    ),
]

CASES = [*ROUNDS, *DELIVERY, *BODIES, *NESTED, *DO_WHILE, *AROUND]
