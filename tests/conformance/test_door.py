"""The door for outside trials: what it takes, what it gives back, and in which words."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import pytest
from conformance.case import edge, fails, gives, graph, node

from famulus.conformance import lint_case, run_case
from famulus.conformance.case import read_case, with_names
from famulus.errors import BlueprintError
from famulus.nodes import Result

KEYS = {
    "status",
    "outputs",
    "context",
    "executed",
    "counts",
    "attempts",
    "errors",
    "awaiting",
    "skipped",
    "batches",
    "children",
}


async def test_a_report_has_every_key() -> None:
    report = await run_case(graph("a > b"), {"a": gives(1), "b": gives(2)}, {"x": 1, "_hidden": 2})

    assert report == {
        "status": "completed",
        "outputs": {"a": 1, "b": 2},
        "context": {"x": 1},
        "executed": ["a", "b"],
        "counts": {},
        "attempts": {},
        "errors": [],
        "awaiting": [],
        "skipped": [],
        "batches": {},
        "children": {},
    }
    assert report.keys() == KEYS


@dataclass
class OtherResult:
    """As another library may have it."""

    output: Any
    action: str | None = None


async def test_callables_may_give_back_many_things() -> None:
    async def sets(ctx: Any) -> None:
        await ctx.set("seen", [ctx.input, dict(ctx.params), ctx.attempt, await ctx.has("x"), await ctx.get("x")])
        await ctx.delete("x")

    def awaits(ctx: Any) -> Any:
        return gives({"output": 1, "action": 2})(ctx)

    report = await run_case(
        graph(node("a", params={"p": 1}), "a > b > c > d > e"),
        {
            "a": sets,
            "b": lambda _: OtherResult({"output": "kept"}),
            "c": lambda _: Result(3),
            "d": awaits,
            "e": lambda ctx: ctx.input,
        },
        {"x": 7},
    )

    assert report["outputs"] == {
        "a": None,
        "b": {"output": "kept"},
        "c": 3,
        "d": {"output": 1, "action": 2},
        "e": {"output": 1, "action": 2},
    }
    assert report["context"] == {"seen": [None, {"p": 1}, 1, True, 7]}


async def test_a_sync_callable_that_takes_too_long_is_timed_out() -> None:
    report = await run_case(graph(node("a", timeout=30)), {"a": lambda _: time.sleep(0.3)})

    assert report["errors"] == ["a"]


@pytest.mark.parametrize("uses", ["map", "startRun", "sleep", "wait", "subflow"])
async def test_a_callable_goes_before_a_built_in_node_of_its_name(uses: str) -> None:
    params = {"uses": "a", "blueprintId": "kid", "duration": 1}
    blueprint = graph(node("m", uses, params), "a > m > z")
    nodes = {"a": gives(1), uses: lambda ctx: dict(ctx.params), "z": lambda ctx: ctx.input}

    report = await run_case(blueprint, nodes)
    cut = await run_case(blueprint, nodes, cancel={"after": "m"})

    assert (report["status"], report["outputs"]) == ("completed", {"a": 1, "m": params, "z": params})
    assert (cut["status"], cut["outputs"]) == ("cancelled", {"a": 1, "m": params})


def test_a_callable_keeps_its_params_where_cases_are_given_names_of_their_own() -> None:
    blueprint = graph(node("m", "map", {"uses": "a", "blueprintId": "kid"}), node("n", "sleep", {"duration": 1}))
    case = read_case(
        blueprint, {"map": gives(1), "a": gives(2)}, None, children=None, resume=None, cancel=None, options=None
    )

    named = with_names(case, blueprint_name=lambda known: f"c-{known}", node_name=lambda uses: f"c:{uses}")

    assert [each.uses for each in named.blueprint.nodes] == ["c:map", "sleep"]
    assert named.blueprint.nodes[0].params == {"uses": "a", "blueprintId": "kid"}


async def test_retries_are_attempts_and_no_starts() -> None:
    calls: list[int] = []

    async def flaky(ctx: Any) -> str:
        calls.append(ctx.attempt)
        if ctx.attempt < 3:
            raise ValueError("not yet")
        return "at last"

    began = time.monotonic()
    report = await run_case(graph(node("a", maxRetries=3, retryDelay=3_600_000)), {"a": flaky})

    assert (report["attempts"], report["counts"], calls) == ({"a": 3}, {}, [1, 2, 3])
    assert time.monotonic() - began < 2


async def test_a_sleep_waits_for_its_entry_of_resume() -> None:
    blueprint = graph(node("nap", "sleep", {"duration": "1s"}), "s > nap > z")
    nodes = {"s": gives("S"), "z": lambda ctx: ctx.input}

    waiting = await run_case(blueprint, nodes)
    resumed = await run_case(blueprint, nodes, resume=[{}])
    with_null = await run_case(blueprint, nodes, resume=[{"node": "nap", "output": None}])

    assert (waiting["status"], waiting["awaiting"], waiting["executed"]) == ("awaiting", ["nap"], ["nap", "s"])
    assert resumed["outputs"] == {"s": "S", "nap": "S", "z": "S"}
    assert with_null["outputs"] == {"s": "S", "nap": None, "z": None}


async def test_what_is_resumed_in_vain_uses_up_its_entry() -> None:
    blueprint = graph(node("w", "wait"), "w > z")

    report = await run_case(blueprint, {"z": gives("Z")}, resume=[{"node": "z", "output": 1}, {"output": 2}])

    assert report["outputs"] == {"w": 2, "z": "Z"}


async def test_a_child_is_resumed_through_its_parent() -> None:
    parent = graph(node("sub", "subflow", {"blueprintId": "kid"}), blueprint_id="parent")
    kid = graph(node("w", "wait"), "w > z", blueprint_id="whatever it calls itself")

    waiting = await run_case(parent, {"z": gives("Z")}, children={"kid": kid})
    done = await run_case(parent, {"z": gives("Z")}, children={"kid": kid}, resume=[{"node": "sub", "output": 5}])

    assert (waiting["status"], waiting["awaiting"]) == ("awaiting", ["sub"])
    assert waiting["children"]["kid"]["awaiting"] == ["w"]
    assert done["children"]["kid"]["outputs"] == {"w": 5, "z": "Z"}
    assert done["outputs"] == {"sub": "Z"}


async def test_cancelling() -> None:
    nodes = {"a": gives(1), "b": gives(2)}

    before = await run_case(graph("a > b"), nodes, {"x": 1}, cancel={"before": True})
    after = await run_case(graph("a > b"), nodes, {"x": 1}, cancel={"after": "a"})

    assert (before["status"], before["executed"], before["context"]) == ("cancelled", [], {"x": 1})
    assert (after["status"], after["executed"], after["outputs"]) == ("cancelled", ["a"], {"a": 1})


async def test_concurrency_is_an_option() -> None:
    at_work: list[int] = []
    most: list[int] = []

    async def work(_: Any) -> None:
        at_work.append(1)
        most.append(len(at_work))
        await asyncio.sleep(0.002)
        at_work.pop()

    blueprint = graph(*(node(name, "work") for name in "abcdef"))
    await run_case(blueprint, {"work": work}, options={"concurrency": 2})

    assert max(most) == 2


async def test_what_is_refused_has_failed_and_what_is_none_raises() -> None:
    cycle = graph("a > b > a")
    nodes = {"a": gives(1), "b": gives(2)}

    refused = await run_case(cycle, nodes, {"x": 1}, options={"strict": True})

    assert refused.keys() == KEYS
    assert (refused["status"], refused["executed"], refused["context"]) == ("failed", [], {"x": 1})
    with pytest.raises(BlueprintError):
        await run_case({"nodes": [{"id": 5}]}, nodes)
    with pytest.raises(ValueError, match="expected memory, embedded or real"):
        await run_case(cycle, nodes, stack="paper")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "document",
    [None, 5, [graph("a")], "a > b", {**graph("a"), "metadata": [1]}, {**graph("a"), "metadata": "strict"}],
)
async def test_a_document_of_another_kind_is_no_blueprint(document: Any) -> None:
    parent = graph(node("sub", "subflow", {"blueprintId": "kid"}))

    with pytest.raises(BlueprintError):
        await run_case(document, {"a": gives(1)}, options={"strict": True})
    with pytest.raises(BlueprintError):
        await run_case(parent, {"a": gives(1)}, children={"kid": document})


@pytest.mark.parametrize("document", [None, 5, [graph("a")], "a > b"])
def test_lint_of_a_document_of_another_kind_raises(document: Any) -> None:
    with pytest.raises(BlueprintError):
        lint_case(document, ["a"])


async def test_a_handled_failure_is_no_error() -> None:
    handled = await run_case(
        graph(node("a", fallback="f"), node("f"), "a > z"), {"a": fails(), "f": gives("F"), "z": lambda ctx: ctx.input}
    )

    assert (handled["status"], handled["errors"]) == ("completed", [])
    assert handled["outputs"] == {"a": None, "f": "F", "z": "F"}


async def test_many_cases_at_once() -> None:
    reports = await asyncio.gather(
        *(run_case(graph("a > b"), {"a": gives(number), "b": lambda ctx: ctx.input}) for number in range(50))
    )

    assert [report["outputs"]["b"] for report in reports] == list(range(50))
    assert asyncio.get_running_loop().get_task_factory() is None


def test_lint_has_the_codes_of_the_specification() -> None:
    blueprint = graph("a > b", edge("b", "nowhere"), node("n", "sleep"))
    blueprint = {**blueprint, "nodes": [each for each in blueprint["nodes"] if each["id"] != "nowhere"]}

    report = lint_case(blueprint, ["a"])

    assert {(each["code"], each.get("nodeId"), each.get("relatedId")) for each in report["lint"]} == {
        ("MISSING_NODE_IMPLEMENTATION", "b", None),
        ("INVALID_EDGE_TARGET", None, "b"),
    }
    assert report["analysis"] == {
        "startNodeIds": ["n", "a"],
        "terminalNodeIds": ["n"],
        "isDag": True,
        "cycleCount": 0,
        "nodeCount": 3,
        "edgeCount": 2,
    }
    assert len(lint_case(blueprint, ["a"], every=True)["lint"]) > len(report["lint"])


def test_lint_of_what_cannot_be_read_raises() -> None:
    with pytest.raises(BlueprintError):
        lint_case({"nodes": [{"uses": "a"}], "edges": []}, [])
