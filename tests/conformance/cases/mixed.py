"""Several constructs in one blueprint, as they come in practice."""

from __future__ import annotations

from typing import Any

from conformance.case import (
    Case,
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

W = node("w", "wait")


async def total(ctx: Any) -> int:
    return sum(ctx.input)


async def half_of_even(ctx: Any) -> int:
    if ctx.input % 2:
        raise ValueError("odd")
    return int(ctx.input) // 2


async def doubled(ctx: Any) -> Any:
    return ctx.input * 2


async def which_round(ctx: Any) -> dict[str, bool]:
    n = (await ctx.get("i") or 0) + 1
    await ctx.set("i", n)
    await ctx.set("go", n < 4)
    return {"one": n == 1, "two": n == 2, "rest": n > 2}


async def price(ctx: Any) -> dict[str, Any]:
    return {"price": 10 * ctx.input["amount"], "big": ctx.input["amount"] > 5}


async def range_of(ctx: Any) -> list[int]:
    return list(range(ctx.input))


async def up_to_three(ctx: Any) -> list[int]:
    n = await ctx.get("i")
    return list(range(n))


def scattering(worker: str, node_id: str = "sc", gather: str = "ga", **params: Any) -> list[Any]:
    return [
        node(node_id, "batch-scatter", {"workerUsesKey": worker, "gatherNodeId": gather, **params}),
        node(gather, "batch-gather", {"gatherNodeId": gather}),
    ]


def sub(node_id: str, blueprint_id: str, **config: Any) -> Any:
    return node(node_id, "subflow", {"blueprintId": blueprint_id}, **config)


def looping(blueprint_id: str, *body: Any, first: str, last: str) -> Any:
    return graph(
        loop_controller("c", "go"),
        "t > c",
        once_more("c", first),
        edge(last, "c"),
        out_of("c", "e"),
        *body,
        blueprint_id=blueprint_id,
    )


CASES = [
    Case(
        claim="an order that is approved, shipped and told of",
        spec="4, 6, 7, 10",
        blueprint=graph(
            node("price", inputs="order"),
            node("approve", "wait"),
            node("ship", inputs={"order": "order", "price": "price.price"}),
            node("mail", "echo", inputs={"by": "approve.by"}),
            node("done", "echo", inputs={"ship": "ship", "mail": "mail"}),
            edge("price", "approve", condition="result.output.big"),
            edge("price", "ship", condition="order.small"),
            edge("approve", "ship", action="yes"),
            edge("approve", "refuse", action="no"),
            edge("approve", "mail", action="yes"),
            "ship > done",
            "mail > done",
        ),
        nodes={"price": price, "ship": echo, "echo": echo, "refuse": gives("refused")},
        initial={"order": {"amount": 7, "small": False}},
        resume=[{"action": "yes", "output": {"by": "Ada"}}],
        expect={
            "status": "completed",
            "executed": ["approve", "done", "mail", "price", "ship"],
            "skipped": ["refuse"],
            "outputs_has": {
                "done": {"ship": {"order": {"amount": 7, "small": False}, "price": 70}, "mail": {"by": "Ada"}},
            },
            "context": {"order": {"amount": 7, "small": False}},
        },
        everywhere=True,
    ),
    Case(
        claim="the same order refused",
        spec="4, 6, 10",
        blueprint=graph(
            node("price", inputs="order"),
            node("approve", "wait"),
            edge("price", "approve", condition="result.output.big"),
            edge("approve", "ship", action="yes"),
            edge("approve", "refuse", action="no"),
            "ship > done",
            "refuse > done",
        ),
        nodes={"price": price, "ship": gives("shipped"), "refuse": gives("refused"), "done": echo},
        initial={"order": {"amount": 7}},
        resume=[{"action": "no"}],
        expect={
            "status": "completed",
            "executed": ["approve", "done", "price", "refuse"],
            "skipped": ["ship"],
            "outputs_has": {"done": "refused"},
        },
    ),
    Case(
        claim="a loop in a child",
        spec="9",
        blueprint=graph(sub("one", "child"), "s > one > z"),
        children={"child": looping("child", "b > n", first="b", last="n")},
        nodes={"s": gives(3), "t": writes({"go": True}), "b": echo, "n": counts_up("i", 3), "e": reads("i"), "z": echo},
        expect={
            "status": "completed",
            "outputs": {"s": 3, "one": 3, "z": 3},
            "counts": {},
            "children": {"child": {"counts": {"b": 3, "c": 4, "n": 3}}},
        },
        everywhere=True,
    ),
    Case(
        claim="a loop with a batch in a child",
        spec="9 [R]",
        blueprint=graph(sub("one", "child"), "s > one > z"),
        children={
            "child": looping("child", *scattering("echo"), "n > list > sc > ga > note", first="n", last="note"),
        },
        nodes={
            "s": gives(1),
            "t": writes({"go": True}),
            "n": counts_up("i", 3),
            "list": up_to_three,
            "echo": echo,
            "note": notes("seen"),
            "e": reads("seen"),
            "z": echo,
        },
        expect={"status": "completed", "outputs_has": {"z": [[0], [0, 1], [0, 1, 2]]}},
    ),
    Case(
        claim="a map whose items are children with loops",
        spec="9; issue, 3",
        blueprint=graph(node("m", "map", {"blueprintId": "child"}), "s > m > z"),
        children={"child": looping("child", "n", first="n", last="n")},
        nodes={"s": gives([1, 2, 3]), "t": writes({"go": True}), "n": counts_up("i", 2), "e": reads("i"), "z": echo},
        expect={"status": "completed", "outputs_has": {"m": [2, 2, 2], "z": [2, 2, 2]}, "counts": {}},
    ),
    Case(
        claim="a batch behind a wait takes the list that the resume brought",
        spec="9; 10",
        blueprint=graph(W, *scattering("double"), "s > w > sc > ga > z"),
        nodes={"s": gives(1), "double": doubled, "z": echo},
        resume=[{"output": [1, 2, 3]}],
        expect={"status": "completed", "batches": {"sc": [2, 4, 6]}, "outputs_has": {"z": [2, 4, 6]}},
    ),
    Case(
        claim="a wait in parallel with a batch",
        spec="9; 10 [R]",
        blueprint=graph(
            W, *scattering("echo"), "s > sc > ga > j", "s > w > j", node("j", "echo", inputs={"ga": "ga", "w": "w"})
        ),
        nodes={"s": gives([1, 2]), "echo": echo},
        resume=[{"output": "W"}],
        expect={
            "status": "completed",
            "counts": {},
            "batches": {"sc": [1, 2]},
            "outputs_has": {"j": {"ga": [1, 2], "w": "W"}},
        },
        everywhere=True,
    ),
    Case(
        claim="a batch has come to its end while another branch waits",
        spec="9; 10 [R]: one awaiting node stops all other branches",
        blueprint=graph(W, *scattering("echo", chunkSize=1), "s > sc > ga > z", "s > w"),
        nodes={"s": gives([1, 2, 3]), "echo": echo, "z": echo},
        expect={"status": "awaiting", "awaiting": ["w"], "outputs_has": {"ga": [1, 2, 3], "z": [1, 2, 3]}},
    ),
    Case(
        claim="a loop has come to its end while another branch waits",
        spec="9; 10 [R]: one awaiting node stops all other branches",
        blueprint=graph(
            W, loop_controller("c", "go"), "s > c", "s > w", once_more("c", "b"), "b > c", out_of("c", "e")
        ),
        nodes={"s": gives(1), "b": counts_up("i", 3), "e": gives("end")},
        initial={"go": True},
        expect={"status": "awaiting", "awaiting": ["w"], "counts": {"b": 3, "c": 4}, "outputs_has": {"e": "end"}},
    ),
    Case(
        claim="a wait behind a loop",
        spec="9; 10",
        blueprint=graph(
            W, loop_controller("c", "go"), "s > c", once_more("c", "b"), "b > c", out_of("c", "w"), "w > z"
        ),
        nodes={"s": gives(1), "b": counts_up("i", 2), "z": echo},
        initial={"go": True},
        resume=[{"output": "W"}],
        expect={"status": "completed", "counts": {"b": 2, "c": 3}, "outputs_has": {"w": "W", "z": "W"}},
    ),
    Case(
        claim="a wait before a loop",
        spec="9; 10",
        blueprint=graph(W, loop_controller("c", "w.go"), "s > w > c", once_more("c", "b"), "b > c", out_of("c", "z")),
        nodes={"s": gives(1), "b": writes({"w": {"go": False}}), "z": gives("Z")},
        resume=[{"output": {"go": True}}],
        expect={"status": "completed", "counts": {"c": 2}, "outputs_has": {"z": "Z"}},
    ),
    Case(
        claim="a child that waits inside a loop of the parent",
        spec="9; 10 [R]",
        blueprint=graph(
            loop_controller("c", "go"),
            "s > c",
            once_more("c", "b"),
            sub("one", "child"),
            "b > one > n > c",
            out_of("c", "e"),
        ),
        children={"child": graph(W, "x > w", blueprint_id="child")},
        nodes={"s": gives(1), "b": counts_up("i", 2), "x": echo, "n": notes("seen"), "e": gives("end")},
        initial={"go": True},
        resume=[{"output": "first"}, {"output": "second"}],
        expect={
            "status": "completed",
            "counts": {"b": 2, "c": 3, "n": 2, "one": 2},
            "context": {"go": False, "i": 2, "seen": ["first", "second"]},
        },
        everywhere=True,
    ),
    Case(
        claim="a child with a loop that waits in every round",
        spec="9; 10 [R]",
        blueprint=graph(sub("one", "child"), "s > one > z"),
        children={"child": looping("child", W, "w > n", first="w", last="n")},
        nodes={"s": gives(1), "t": writes({"go": True}), "n": counts_up("i", 2), "e": reads("i"), "z": echo},
        resume=[{"output": 1}, {"output": 2}],
        expect={
            "status": "completed",
            "outputs_has": {"z": 2},
            "counts": {},
            "children": {"child": {"counts": {"c": 3, "n": 2, "w": 2}}},
        },
    ),
    Case(
        claim="a fallback that is a subflow",
        spec="8; 9",
        blueprint=graph(node("a", fallback="f"), sub("f", "child"), "s > a > z"),
        children={"child": graph("x", blueprint_id="child")},
        nodes={"s": gives(1), "a": fails(), "x": gives("rescued"), "z": echo},
        expect={"status": "completed", "errors": [], "outputs": {"s": 1, "a": None, "f": "rescued", "z": "rescued"}},
        everywhere=True,
    ),
    Case(
        claim="a failed batch and a fallback of nobody",
        spec="8; 9: the gather never runs, the run fails",
        blueprint=graph(*scattering("half"), "s > sc > ga > z", "s > x"),
        nodes={"s": gives([2, 3, 4]), "half": half_of_even, "z": echo, "x": echo},
        expect={"status": "failed", "executed": ["s", "sc", "x"], "skipped": ["ga", "z"]},
    ),
    Case(
        claim="a failure, a handled failure and a wait in one run",
        spec="8; 10 [R]; 11",
        blueprint=graph(
            node("a", fallback="f"), "f", W, "s > a > b", "s > x > y", "s > w > z", node("t", maxRetries=2), "s > t"
        ),
        nodes={
            "s": gives("S"),
            "a": fails(),
            "f": gives("F"),
            "b": echo,
            "x": fails(),
            "y": echo,
            "z": echo,
            "t": fails_until(2, "T"),
        },
        resume=[{"output": "W"}],
        expect={
            "status": "failed",
            "errors": ["x"],
            "executed": ["a", "b", "f", "s", "t", "w", "x", "z"],
            "skipped": ["y"],
            "attempts": {"t": 2},
            "counts": {},
            "outputs": {"s": "S", "a": None, "f": "F", "b": "F", "t": "T", "w": "W", "z": "W"},
        },
        everywhere=True,
    ),
    Case(
        claim="a subflow as one branch of a diamond with a choice",
        spec="6; 9",
        blueprint=graph(
            sub("one", "child"),
            edge("s", "one", action="deep"),
            edge("s", "flat", action="flat"),
            "one > j",
            "flat > j",
            "j > z",
        ),
        children={"child": graph("x > y", blueprint_id="child")},
        nodes={"s": acts("deep", 5), "x": echo, "y": echo, "flat": gives("F"), "j": echo, "z": echo},
        expect={
            "status": "completed",
            "executed": ["j", "one", "s", "z"],
            "skipped": ["flat"],
            "outputs_has": {"z": 5},
        },
    ),
    Case(
        claim="a router that sends three rounds three ways",
        spec="4; 9",
        blueprint=graph(
            loop_controller("c", "go"),
            "s > c",
            once_more("c", "b"),
            edge("b", "one", condition="b.one"),
            edge("b", "two", condition="b.two"),
            edge("b", "rest", condition="b.rest"),
            "one > j",
            "two > j",
            "rest > j",
            "j > c",
            out_of("c", "e"),
        ),
        nodes={
            "s": gives(1),
            "b": which_round,
            "one": notes("path", 1),
            "two": notes("path", 2),
            "rest": notes("path", "rest"),
            "j": echo,
            "e": gives("end"),
        },
        initial={"go": True},
        expect={
            "status": "completed",
            "counts": {"b": 4, "c": 5, "j": 4, "rest": 2},
            "skipped": [],
            "context_has": {"path": [1, 2, "rest", "rest"]},
        },
    ),
    Case(
        claim="a batch, then a reduction, then a choice",
        spec="4; 9",
        blueprint=graph(
            *scattering("double"),
            "s > list > sc > ga > total",
            edge("total", "many", condition="result.output"),
            edge("total", "none", action="none"),
        ),
        nodes={"s": gives(4), "list": range_of, "double": echo, "total": total, "many": echo, "none": echo},
        expect={
            "status": "completed",
            "executed": ["ga", "list", "many", "s", "sc", "total"],
            "skipped": ["none"],
            "outputs_has": {"total": 6, "many": 6},
        },
    ),
    Case(
        claim="nothing of a cancelled run goes on behind its batch",
        spec="3; 9",
        blueprint=graph(*scattering("echo"), "s > sc > ga > y > z"),
        nodes={"s": gives([1, 2]), "echo": echo, "y": echo, "z": echo},
        cancel={"after": "y"},
        expect={"status": "cancelled", "executed_without": ["z"], "outputs_has": {"ga": [1, 2]}},
    ),
    Case(
        claim="a parent that is cancelled while other branches are there",
        spec="3",
        blueprint=graph("s > a > b", "s > c > d"),
        nodes={"s": writes({"k": 1}), "a": echo, "b": echo, "c": echo, "d": echo},
        cancel={"after": "s"},
        expect={"status": "cancelled", "context": {"k": 1}, "executed": ["s"], "errors": []},
    ),
]
