"""Blueprints that are drawn from choices, of every construct, and the code of their nodes.

The sober ones are built from blocks one behind another, as `support.constructs` builds them for Hypothesis: whatever
runs first, such a run must come to the same end. The wild ones (`support.wild`) come to whatever they come to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from simulation.choices import Choices
from support.constructs import CHILD, INITIAL, Sketch, counted, done
from support.documents import blueprint
from support.wild import wild_document

from famulus.nodes import NodeContext, Result

BLOCKS = (
    *("task", "task", "fork", "choice", "map", "loop", "wait", "sleep", "subflow", "scatter", "undone", "spread"),
    *("fork", "joined", "wait"),
)
CHILD_ID = "child"
SIGNAL = "go"
FAIL = 9


def sober(choices: Choices) -> dict[str, Any]:
    sketch = Sketch()
    last = _task(choices, sketch)
    for _ in range(4):
        last = _block(choices, sketch, last, depth=2)
        if not choices.chance(55):
            break
    return blueprint("b", sketch.nodes, *sketch.edges)


def wild(choices: Choices) -> dict[str, Any]:
    document = wild_document(_AsRandom(choices), most=6)  # type: ignore[arg-type]
    for node in document["nodes"]:
        if node["config"].get("joinStrategy") != "n_of_m":
            node["config"].pop("joinCount", None)
        if node["uses"] == "subflow":
            node["params"]["blueprintId"] = CHILD_ID
    return document


def child() -> dict[str, Any]:
    return dict(CHILD)


def given(document: Mapping[str, Any]) -> dict[str, Any]:
    return {**INITIAL, "few": [], "more": False, "flag": True, "wild": document["id"] == "wild"}


def _block(choices: Choices, sketch: Sketch, last: str, *, depth: int) -> str:  # a table of blocks
    match choices.of(BLOCKS) if depth else "task":
        case "choice":
            return _choice(choices, sketch, last, depth=depth)
        case "fork":
            return _fork(choices, sketch, last, depth=depth)
        case "joined":
            return _joined(choices, sketch, last)
        case "loop":
            return _loop(choices, sketch, last, depth=depth)
        case "scatter":
            return _scatter(choices, sketch, last)
        case "map":
            node_id = _map(choices, sketch)
        case "spread":
            params = {"uses": "task", "spread": True, "maxConcurrency": choices.between(1, 3)}
            node_id = sketch.add("spread", "map", inputs="items", params=params)
        case "wait":
            params = {"signal": SIGNAL} if choices.chance(40) else {}
            node_id = sketch.add("wait", "wait", params=params)
        case "sleep":
            node_id = sketch.add("sleep", "sleep", params={"duration": choices.of([0, 20, 20_000])})
        case "subflow":
            node_id = sketch.add("sub", "subflow", params={"blueprintId": CHILD_ID})
        case "undone":
            undo = sketch.add("undo", "task")
            node_id = sketch.add("did", "task", config={"compensate": undo})
        case _:
            node_id = _task(choices, sketch)
    sketch.edge(last, node_id)
    return node_id


def _task(choices: Choices, sketch: Sketch) -> str:
    fails = choices.of([0, 0, 0, 0, 0, 0, 0, 1, 1, FAIL])
    config: dict[str, Any] = {}
    if fails:
        config |= {"maxRetries": 3, "retryDelay": choices.of([0, 10, 8000])}
        if choices.chance(50):
            config["fallback"] = sketch.add("help", "task")
    return sketch.add("task", "task", config=config, params={"fails": fails, "takes": choices.of([0, 0, 0, 0.05, 4])})


def _map(choices: Choices, sketch: Sketch) -> str:
    failing, tolerated = choices.of([([], 0), ([], 0), ([2], 0), ([2], 1), ([2], "50%")])
    # One that fails stops the others: which of them had ended by then depends on the order.
    most = choices.between(1, 3) if tolerated or not failing else 1
    params = {
        "uses": "task",
        "params": {"fails_for": failing},
        "toleratedFailures": tolerated,
        "maxConcurrency": most,
    }
    return sketch.add("map", "map", inputs="items", params=params)


def _choice(choices: Choices, sketch: Sketch, last: str, *, depth: int) -> str:
    chooser = sketch.add("choose", "task", params={"action": choices.of(["left", "right", "other"])})
    sketch.edge(last, chooser)
    end = sketch.add("joined", "task")
    for action in ("left", "right"):
        first = sketch.add(action, "task")
        sketch.edge(chooser, first, action=action)
        sketch.edge(_block(choices, sketch, first, depth=depth - 1), end)
    default = sketch.add("default", "task")
    sketch.edge(chooser, default)
    sketch.edge(default, end)
    return end


def _fork(choices: Choices, sketch: Sketch, last: str, *, depth: int) -> str:
    config: dict[str, Any] = {"joinStrategy": choices.of(["all", "all", "any", "all_settled", "n_of_m"])}
    branches = choices.between(2, 4)
    if config["joinStrategy"] == "n_of_m":
        config["joinCount"] = choices.between(1, branches)
    end = sketch.add("join", "task", config=config, inputs="items")
    for _ in range(branches):
        sketch.edge(_block(choices, sketch, last, depth=depth - 1), end)
    return end


def _joined(choices: Choices, sketch: Sketch, last: str) -> str:
    """Branches that differ in length, with an edge that is never taken, to one join."""
    end = sketch.add("join", "task", config={"joinStrategy": choices.of(["all", "all_settled", "any"])}, inputs="items")
    near = sketch.add("near", "task")
    far = sketch.add("far", "task", params={"takes": choices.of([0, 0.05, 4])})
    sketch.edge(last, near)
    sketch.edge(last, far)
    beyond = sketch.add("beyond", "task")
    sketch.edge(far, beyond)
    sketch.edge(near, end)
    sketch.edge(beyond, end)
    never = sketch.add("never", "task")
    sketch.edge(last, never, condition="nothing.is.there")
    sketch.edge(never, end)
    return end


def _loop(choices: Choices, sketch: Sketch, last: str, *, depth: int) -> str:
    key = f"more{len(sketch.nodes)}"
    gate = sketch.add("gate", "set", params={"key": key, "value": choices.of([True, True, False])})
    loop = sketch.add("loop", "loop-controller", params={"condition": key}, config={"joinStrategy": "any"})
    body = sketch.add("count", "count", params={"key": key, "rounds": choices.between(1, 3)})
    end = sketch.add("after", "task")
    sketch.edge(last, gate)
    sketch.edge(gate, loop)
    sketch.edge(loop, body, action="continue")
    sketch.edge(_block(choices, sketch, body, depth=depth - 1), loop)
    sketch.edge(loop, end, action="break")
    return end


def _scatter(choices: Choices, sketch: Sketch, last: str) -> str:
    gather = sketch.add("gather", "batch-gather")
    sketch.nodes[gather]["params"] = {"gatherNodeId": gather}
    params: dict[str, Any] = {"workerUsesKey": "task", "gatherNodeId": gather}
    if choices.chance(50):
        params["chunkSize"] = choices.between(1, 2)
    scatter = sketch.add("scatter", "batch-scatter", inputs="items", params=params)
    sketch.edge(last, scatter)
    sketch.edge(scatter, gather)
    return gather


class _AsRandom:
    """As much of `random.Random` as `support.wild` asks for."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices

    def randint(self, least: int, most: int) -> int:
        return self._choices.between(least, most)

    def choice(self, values: Any) -> Any:
        return self._choices.of(values)

    def random(self) -> float:
        """Never small where a choice is simple: what is rare in a blueprint is not simple."""
        return 0.99 - self._choices.below(100) / 100


# -- what the nodes do -----------------------------------------------------------------------------------------------


Effect = Callable[[NodeContext], None]


def implementations(effect: Effect) -> Mapping[str, Any]:
    """The code of all nodes; every call has an effect in the world outside, which is told of it."""

    async def task(ctx: NodeContext) -> Result:
        effect(ctx)
        await asyncio.sleep(ctx.params.get("takes", 0))
        return done(ctx.params, ctx.input if not isinstance(ctx.input, dict) else None, ctx.attempt)

    async def count(ctx: NodeContext) -> None:
        effect(ctx)
        for key, value in counted(ctx.params, await ctx.get(f"n_{ctx.params['key']}")).items():
            await ctx.set(key, value)

    async def set_key(ctx: NodeContext) -> None:
        effect(ctx)
        await ctx.set(ctx.params["key"], ctx.params["value"])

    return {"task": task, "count": count, "set": set_key}
