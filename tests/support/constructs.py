"""Random blueprints of all constructs: tasks that fail, diamonds, joins, loops, batches, waits, child runs, undoing.

Built from blocks one behind another, so that what a run comes to does not depend on what runs first: the same
blueprint must give the same report on every stack. Nodes do what their params say, in the heart alone
(`ConstructPlay`) as well as in a worker (`IMPLEMENTATIONS`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypothesis import strategies as st
from support.documents import blueprint
from support.heart import graph_of
from support.play import Play

from famulus.flow import facts as f
from famulus.flow.state import RunState, StepState
from famulus.flow.status import RUN_ENDED, RunStatus
from famulus.flow.tasks import task_of
from famulus.flow.waiting import ForChild, TimerKind
from famulus.nodes import NodeContext, Result

CHILD: Mapping[str, Any] = blueprint("child", {"in": {"uses": "task"}, "out": {"uses": "task"}}, ("in", "out"))
BLOCKS = ("task", "task", "task", "choice", "fork", "loop", "scatter", "map", "wait", "sleep", "subflow", "undone")


@dataclass(slots=True)
class Sketch:
    """Nodes and edges, while they are put together."""

    nodes: dict[str, Any] = field(default_factory=dict)
    edges: list[tuple[Any, ...]] = field(default_factory=list)

    def add(self, kind: str, uses: str, *, config: Mapping[str, Any] | None = None, **more: Any) -> str:
        node_id = f"{kind}{len(self.nodes)}"
        self.nodes[node_id] = {"uses": uses, "config": dict(config or {}), **more}
        return node_id

    def edge(self, source: str, target: str, **more: Any) -> None:
        self.edges.append((source, target, more))


@st.composite
def documents(draw: st.DrawFn, *, most: int = 4, waits: bool = True) -> dict[str, Any]:
    sketch = Sketch()
    last = _task(draw, sketch)
    for _ in range(draw(st.integers(1, most))):
        last = _block(draw, sketch, last, depth=2, waits=waits)
    return blueprint("b", sketch.nodes, *sketch.edges)


def _block(draw: st.DrawFn, sketch: Sketch, last: str, *, depth: int, waits: bool) -> str:
    kinds = [kind for kind in BLOCKS if waits or kind not in ("wait", "sleep")]
    kind = draw(st.sampled_from(kinds if depth else ["task"]))
    match kind:
        case "choice":
            return _choice(draw, sketch, last, depth=depth, waits=waits)
        case "fork":
            return _fork(draw, sketch, last, depth=depth, waits=waits)
        case "loop":
            return _loop(draw, sketch, last, depth=depth, waits=waits)
        case "scatter":
            return _scatter(draw, sketch, last)
        case "map":
            failing, tolerated = draw(st.sampled_from([([], 0), ([2], 0), ([2], 1), ([2], "50%")]))
            node_id = sketch.add(
                "map",
                "map",
                inputs="items",
                params={
                    "uses": "task",
                    "params": {"fails_for": failing},
                    "toleratedFailures": tolerated,
                    # One that fails stops the others: which of them had ended by then depends on the order.
                    "maxConcurrency": draw(st.integers(1, 3)) if tolerated or not failing else 1,
                },
            )
        case "wait":
            node_id = sketch.add("wait", "wait")
        case "sleep":
            node_id = sketch.add("sleep", "sleep", params={"duration": draw(st.sampled_from([0, 20]))})
        case "subflow":
            node_id = sketch.add("sub", "subflow", params={"blueprintId": "child"})
        case "undone":
            undo = sketch.add("undo", "task")
            node_id = sketch.add("did", "task", config={"compensate": undo})
        case _:
            node_id = _task(draw, sketch)
    sketch.edge(last, node_id)
    return node_id


def _task(draw: st.DrawFn, sketch: Sketch) -> str:
    """A node that fails some times; one in ten for good, perhaps with somebody to stand in."""
    fails = draw(st.sampled_from([0, 0, 0, 0, 0, 0, 1, 1, 9]))
    config: dict[str, Any] = {"maxRetries": 3, "retryDelay": draw(st.sampled_from([0, 0, 10]))}
    if fails and draw(st.booleans()):
        config["fallback"] = sketch.add("help", "task")
    return sketch.add("task", "task", config=config, params={"fails": fails})


def _choice(draw: st.DrawFn, sketch: Sketch, last: str, *, depth: int, waits: bool) -> str:
    chooser = sketch.add("choose", "task", params={"action": draw(st.sampled_from(["left", "right", "other"]))})
    sketch.edge(last, chooser)
    end = sketch.add("joined", "task")
    for action in ("left", "right"):
        first = sketch.add(action, "task")
        sketch.edge(chooser, first, action=action)
        sketch.edge(_block(draw, sketch, first, depth=depth - 1, waits=waits), end)
    default = sketch.add("default", "task")
    sketch.edge(chooser, default)
    sketch.edge(default, end)
    return end


def _fork(draw: st.DrawFn, sketch: Sketch, last: str, *, depth: int, waits: bool) -> str:
    policy = draw(st.sampled_from(["all", "all", "all_settled"]))
    end = sketch.add("join", "task", config={"joinStrategy": policy}, inputs="items")
    for _ in range(draw(st.integers(2, 3))):
        sketch.edge(_block(draw, sketch, last, depth=depth - 1, waits=waits), end)
    return end


def _loop(draw: st.DrawFn, sketch: Sketch, last: str, *, depth: int, waits: bool) -> str:
    key = f"more{len(sketch.nodes)}"
    gate = sketch.add("gate", "set", params={"key": key, "value": draw(st.sampled_from([True, True, False]))})
    loop = sketch.add("loop", "loop-controller", params={"condition": key}, config={"joinStrategy": "any"})
    body = sketch.add("count", "count", params={"key": key, "rounds": draw(st.integers(1, 3))})
    end = sketch.add("after", "task")
    sketch.edge(last, gate)
    sketch.edge(gate, loop)
    sketch.edge(loop, body, action="continue")
    sketch.edge(_block(draw, sketch, body, depth=depth - 1, waits=waits), loop)
    sketch.edge(loop, end, action="break")
    return end


def _scatter(draw: st.DrawFn, sketch: Sketch, last: str) -> str:
    gather = sketch.add("gather", "batch-gather")
    sketch.nodes[gather]["params"] = {"gatherNodeId": gather}
    params: dict[str, Any] = {"workerUsesKey": "task", "gatherNodeId": gather}
    if draw(st.booleans()):
        params["chunkSize"] = draw(st.integers(1, 2))
    scatter = sketch.add("scatter", "batch-scatter", inputs="items", params=params)
    sketch.edge(last, scatter)
    sketch.edge(scatter, gather)
    return gather


INITIAL: Mapping[str, Any] = {"items": [1, 2, 3]}


class TaskError(Exception):
    pass


def done(params: Mapping[str, Any], given: Any, attempt: int) -> Result:
    """What a `task` does: it fails so many attempts, or for some items; then it gives a value and perhaps an action."""
    if attempt <= params.get("fails", 0) or given in params.get("fails_for", ()):
        raise TaskError("as it was told")
    return Result({"done": True}, action=params.get("action"))


def counted(params: Mapping[str, Any], before: Any) -> dict[str, Any]:
    """What a `count` writes: whether its loop goes round once more. It begins anew when it has said no."""
    n = (before or 0) + 1
    more = n < params["rounds"]
    return {f"n_{params['key']}": n if more else 0, params["key"]: more}


async def task(ctx: NodeContext) -> Result:
    return done(ctx.params, ctx.input, ctx.attempt)


async def count(ctx: NodeContext) -> None:
    for key, value in counted(ctx.params, await ctx.get(f"n_{ctx.params['key']}")).items():
        await ctx.set(key, value)


async def set_key(ctx: NodeContext) -> None:
    await ctx.set(ctx.params["key"], ctx.params["value"])


IMPLEMENTATIONS: Mapping[str, Any] = {"task": task, "count": count, "set": set_key}


class ConstructPlay(Play):
    """Plays such a blueprint to its end: whatever waits is let go on, in any order."""

    def __init__(self, document: Mapping[str, Any], *, random: Random, crashes: bool = True) -> None:
        nodes = {node["id"]: {k: v for k, v in node.items() if k != "id"} for node in document["nodes"]}
        edges = [
            (e["source"], e["target"], {k: v for k, v in e.items() if k not in ("source", "target")})
            for e in document["edges"]
        ]
        functions = {"task": lambda given, run, step: done(_params(run, step), given, step.attempt)}
        super().__init__(graph_of(nodes, *edges), functions, INITIAL, random=random, crashes=crashes)

    def attempt(self, step: StepState) -> f.Fact:
        found = task_of(self.run, step)
        if found.uses not in ("count", "set"):
            return super().attempt(step)
        self.executed.append(step.node_id)
        params = found.params
        if found.uses == "set":
            return self.succeeded(step, None, **{params["key"]: params["value"]})
        return self.succeeded(step, None, **counted(params, self.run.context.get(f"n_{params['key']}")))

    def to_the_end(self) -> ConstructPlay:
        self.go()
        for _ in range(500):
            if self.run.status in RUN_ENDED:
                return self
            self.let_go_on()
            self.go()
        raise AssertionError(f"the run does not end: {self.heart.statuses}")

    def let_go_on(self) -> None:
        waiting = sorted(
            (step for step in self.run.steps.values() if step.is_live and step.batch is None), key=lambda s: s.seq
        )
        step = self.random.choice([each for each in waiting if not each.is_due])
        if isinstance(step.waiting_for, ForChild):
            self.tell(
                f.ChildEnded(
                    step_id=step.step_id,
                    child=step.waiting_for.run_id,
                    status=RunStatus.COMPLETED,
                    output={"done": True},
                    changes={},
                    reason=None,
                    at=self.heart.now(),
                )
            )
        elif step.wake_at is not None:
            self.heart.wake(step.step_id, TimerKind.STEP)
            self.check()
        else:
            self.resume(step.step_id, {"done": True})


def _params(run: RunState, step: StepState) -> Mapping[str, Any]:
    return task_of(run, step).params
