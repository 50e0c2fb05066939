"""Every construct of a blueprint, with a crash before and after every call of the store."""

from __future__ import annotations

from typing import Any

import pytest
from conformance.case import (
    Json,
    edge,
    fails_until,
    gives,
    graph,
    loop_controller,
    node,
    once_more,
    out_of,
)

from famulus import testing
from famulus.errors import NonRetryableError


async def echo(ctx: Any) -> Any:
    return ctx.input


async def counts(ctx: Any) -> int:
    """How often it has been here, kept in the run itself."""
    number = await ctx.get("n", 0) + 1
    await ctx.set("n", number)
    await ctx.set("again", number < 3)
    return int(number)


async def refuses(ctx: Any) -> None:
    raise NonRetryableError(f"refused {ctx.input}")


LOOP = graph(loop_controller("c", "again"), "s > c", once_more("c", "b"), "b > c", out_of("c", "e"))

CONSTRUCTS: dict[str, tuple[Json, Json]] = {
    "retry": (graph(node("a", maxRetries=3, retryDelay=1000), "a > z"), {"a": fails_until(3), "z": echo}),
    "fallback": (graph(node("a", fallback="f"), node("f"), "a > z"), {"a": refuses, "f": gives(1), "z": echo}),
    "choice": (
        graph(edge("a", "b", action="x"), edge("a", "c"), "b > j", "c > j"),
        {"a": gives(1, "x"), "b": echo, "c": echo, "j": echo},
    ),
    "any": (
        graph("a > b > j", "a > c > j", node("j", joinStrategy="any"), "j > z"),
        {"a": gives(1), "b": gives(2), "c": gives(2), "j": echo, "z": echo},
    ),
    "sleep and wait": (
        graph(node("nap", "sleep", {"duration": "2h"}), node("w", "wait"), "a > nap > w > z"),
        {"a": gives(1), "z": echo},
    ),
    "loop": (LOOP, {"s": counts, "b": counts, "e": echo}),
    "fallback behind the loop": (
        graph(
            loop_controller("c", "again"),
            node("d", fallback="e"),
            "s > c",
            once_more("c", "b"),
            "b > d > c",
            out_of("c", "e"),
            out_of("c", "x"),
            "x > e > z",
        ),
        {"s": counts, "b": counts, "d": refuses, "x": echo, "e": echo, "z": echo},
    ),
    "batch": (
        graph(
            node("sc", "batch-scatter", {"workerUsesKey": "work", "gatherNodeId": "g", "chunkSize": 2}),
            node("g", "batch-gather", {"gatherNodeId": "g"}),
            "s > sc > g > z",
        ),
        {"s": gives([1, 2, 3]), "work": echo, "z": echo},
    ),
    "map": (
        graph(node("m", "map", {"uses": "work", "maxConcurrency": 2}, maxRetries=2, retryDelay=100), "s > m > z"),
        {"s": gives([1, 2, 3]), "work": fails_until(2, 5), "z": echo},
    ),
    "subflow": (
        graph(node("sub", "subflow", {"blueprintId": "kid"}), "s > sub > z"),
        {"s": gives(1), "x": echo, "y": echo, "z": echo},
    ),
    "map of subflows": (
        graph(node("m", "map", {"blueprintId": "kid"}), "s > m > z"),
        {"s": gives([1, 2]), "x": echo, "y": echo, "z": echo},
    ),
    "failed child": (
        graph(node("sub", "subflow", {"blueprintId": "kid"}), "s > sub > z"),
        {"s": gives(1), "x": echo, "y": refuses, "z": echo},
    ),
    "compensation": (
        graph(node("a", compensate="undo"), node("b", compensate="undo"), node("undo"), "a > b > c"),
        {"a": gives(1), "b": gives(2), "c": refuses, "undo": echo},
    ),
    "failure": (graph("a > b > z", "a > c"), {"a": gives(1), "b": refuses, "c": echo, "z": echo}),
}
KID = graph(node("w", "wait", {"timeout": "1h", "timeoutAction": "late"}), "x > w > y", blueprint_id="kid")


@pytest.mark.parametrize(("blueprint", "nodes"), CONSTRUCTS.values(), ids=CONSTRUCTS)
async def test_crashes_change_nothing(blueprint: Json, nodes: Json) -> None:
    report = await testing.crash_test(blueprint, nodes, children=[KID], answers={"w": 7})

    report.assert_ok()
    assert report.status in ("completed", "failed")
    assert report.crashes > 4
