"""A worker that lacks an implementation neither drops nor fails the step: another one runs it, or it is parked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support.faults import FaultyWorld
from support.world import blueprint, eventually, outputs, statuses

from famulus.engine.engine import Engine
from famulus.errors import RetryAfter
from famulus.flow.status import StepStatus
from famulus.ids import RunId
from famulus.nodes import NodeContext, Registry


async def plain(ctx: NodeContext) -> Any:
    return ctx.node_id


class Deployment(FaultyWorld):
    """Two workers: the owner of run `r1` lacks `new`, the other one may have it."""

    def __init__(self, new: Callable[..., Any] | None = None, **options: Any) -> None:
        super().__init__({"plain": plain}, **{"park_missing_implementations": True, **options})
        self.new = new
        self.calls: list[str] = []

    def part(self) -> tuple[Engine, Engine]:
        first, second = self.engines[0], self.engine("w2")
        self.rebalance({first: [0, 1], second: [2, 3]})
        partition = self.bus.partition_of(RunId("r1"))
        owner, other = (first, second) if partition in (0, 1) else (second, first)
        if self.new is not None:
            self.give(other, self.new)
        return owner, other

    def give(self, engine: Engine, function: Callable[..., Any]) -> None:
        """Another worker with the implementation takes the place of this one."""
        registry = Registry()
        registry.register("plain", plain)
        registry.register("new", function)
        engine.executor.registry = engine.executor._provisions._registry = registry

    async def status_of(self, step_id: str) -> str:
        rows = await self.store.load(RunId("r1"))
        return next((row.status for row in rows.steps if row.step_id == step_id), "") if rows else ""

    async def until_parked(self, step_id: str) -> None:
        async def is_parked() -> bool:
            return await self.status_of(step_id) == "parked"

        await eventually(is_parked)

    async def events(self) -> list[tuple[str, str | None]]:
        return [(event.type, event.data.get("step")) for event in await self.reader.events(RunId("r1"))]


DIAMOND = blueprint(
    "b",
    {"a": "plain", "b": "new", "c": "plain", "d": "new", "e": "plain"},
    ("a", "b"),
    ("a", "c"),
    ("b", "d"),
    ("c", "d"),
    ("d", "e"),
)


@pytest.mark.parametrize("doubled", [False, True])
async def test_what_the_owner_lacks_runs_on_the_worker_that_has_it_and_is_recorded_once(*, doubled: bool) -> None:
    seen: list[tuple[str, Any]] = []

    async def new(ctx: NodeContext) -> Any:
        seen.append((ctx.step_id, ctx.input))
        await ctx.set(f"by_{ctx.node_id}", ctx.idempotency_key)
        return f"new {ctx.node_id}"

    async with Deployment(new, doubled=doubled) as world:
        _, other = world.part()
        await world.push(DIAMOND)
        await world.start("b", "r1")
        view = await world.ended("r1")
        completions = await world.completions("r1")

    assert statuses(view) == dict.fromkeys("abcde", "completed")
    assert outputs(view)["d"] == "new d"
    assert view.context["by_b"] == "r1/b"
    assert completions == dict.fromkeys("abcde", 1)
    assert dict(seen)["b"] == "a"
    assert other.counts["items"] >= 2
    workers = {step.node_id: step.worker for step in view.steps}
    assert workers["b"] == workers["d"] == other.options.worker


async def test_attempts_of_a_lent_step_follow_its_config() -> None:
    attempts: list[int] = []

    async def new(ctx: NodeContext) -> Any:
        attempts.append(ctx.attempt)
        if ctx.attempt < 3:
            raise RetryAfter(0.01) if ctx.attempt == 1 else ValueError("not yet")
        return "at last"

    async with Deployment(new) as world:
        world.part()
        view = await world.run(
            blueprint("b", {"b": {"uses": "new", "config": {"maxRetries": 3, "retryDelay": 5}}}), run_id="r1"
        )

    assert attempts == [1, 2, 3]
    assert outputs(view) == {"b": "at last"}


async def test_items_of_a_map_that_is_not_spread_are_lent_too() -> None:
    async def new(ctx: NodeContext) -> Any:
        return ctx.input * 2

    async with Deployment(new) as world:
        world.part()
        nodes = {"all": {"uses": "map", "inputs": "n", "params": {"uses": "new"}}}
        view = await world.run(blueprint("b", nodes), {"n": [1, 2, 3]}, run_id="r1")

    assert outputs(view) == {"all": [2, 4, 6]}


async def test_what_nobody_has_is_parked_and_fails_nothing() -> None:
    async with Deployment() as world:
        world.part()
        await world.push(DIAMOND)
        await world.start("b", "r1")
        await world.until_parked("b")

        view = await world.reader.show(RunId("r1"))

    assert statuses(view) == {"a": "completed", "b": "parked", "c": "completed", "d": "pending", "e": "pending"}
    assert view.summary.status == "waiting"
    assert "'new'" in (view.steps[1].reason or "")


async def test_a_parked_step_goes_on_when_a_worker_has_it_that_does_not_own_its_run() -> None:
    async def new(ctx: NodeContext) -> Any:
        return "here"

    async with Deployment() as world:
        owner, other = world.part()
        await world.push(DIAMOND)
        await world.start("b", "r1")
        await world.until_parked("b")

        await owner.look_after()  # nobody has it: nothing changes, and nothing is recorded
        await eventually(lambda: not world.handling)
        before = await world.events()
        world.give(other, new)
        await owner.look_after()
        view = await world.ended("r1")

        assert ("step.unparked", "b") not in before
        assert statuses(view) == dict.fromkeys("abcde", "completed")
        assert (await world.completions("r1")) == dict.fromkeys("abcde", 1)


async def test_one_answer_sets_all_steps_going_that_wait_for_the_implementation() -> None:
    async def new(ctx: NodeContext) -> Any:
        return "here"

    nodes = {f"n{number}": "new" for number in range(20)}
    async with Deployment() as world:
        owner, other = world.part()
        await world.push(blueprint("b", nodes))
        await world.start("b", "r1")
        for name in nodes:
            await world.until_parked(name)

        world.give(other, new)
        await owner.look_after()
        view = await world.ended("r1")

    assert set(statuses(view).values()) == {"completed"}
    assert owner.counts["implementations_asked_for"] == 1


async def test_nobody_is_asked_for_a_run_that_is_paused() -> None:
    async with Deployment() as world:
        owner, _ = world.part()
        await world.push(blueprint("b", {"b": "new"}))
        await world.start("b", "r1")
        await world.until_parked("b")
        await world.send({"type": "command", "command": "pause", "run_id": "r1"})

        async def is_paused() -> bool:
            return bool((await world.store.heads([RunId("r1")]))[RunId("r1")][1].status == "paused")

        await eventually(is_paused)
        await owner.look_after()

    assert owner.counts["implementations_asked_for"] == 0


async def test_a_worker_that_dies_with_a_lent_step_is_replaced() -> None:
    gate, tried = asyncio.Event(), asyncio.Event()

    async def new(ctx: NodeContext) -> Any:
        tried.set()
        await gate.wait()
        return "here"

    async with Deployment(new, item_patience_seconds=0.2) as world:
        owner, other = world.part()
        await world.push(blueprint("b", {"b": "new"}))
        await world.start("b", "r1")
        await asyncio.wait_for(tried.wait(), 10)

        await world.crash(other)
        gate.set()
        world.give(owner, new)  # as the deployment goes on
        world.assign(owner, world.partitions)
        view = await world.ended("r1")

    assert outputs(view) == {"b": "here"}


async def test_an_owner_that_dies_with_a_step_lent_is_replaced_and_the_step_recorded_once() -> None:
    gate, tried = asyncio.Event(), asyncio.Event()

    async def new(ctx: NodeContext) -> Any:
        tried.set()
        await gate.wait()
        return "here"

    async with Deployment(new) as world:
        owner, other = world.part()
        await world.push(DIAMOND)
        await world.start("b", "r1")
        await asyncio.wait_for(tried.wait(), 10)

        await world.crash(owner)
        world.assign(other, world.partitions)
        gate.set()
        view = await world.ended("r1")
        completions = await world.completions("r1")

    assert statuses(view) == dict.fromkeys("abcde", "completed")
    assert completions == dict.fromkeys("abcde", 1)


async def test_late_and_forged_outcomes_of_steps_that_are_not_lent_change_nothing() -> None:
    gate = asyncio.Event()

    async def gated(ctx: NodeContext) -> Any:
        await gate.wait()
        return "true"

    async with Deployment() as world:
        owner, _ = world.part()
        world.registry.register("gated", gated)
        await world.push(blueprint("b", {"b": "gated"}))
        await world.start("b", "r1")
        await eventually(lambda: len(owner.steps.attempts) == 1)
        before = owner.counts["stale"]
        told = {"run_id": "r1", "step_id": "b", "attempt": 1, "worker": "x", "at": 1.0, "started_at": 1.0}
        await world.send({"type": "outcome", **told, "status": "succeeded", "output": "forged"})
        await eventually(lambda: owner.counts["stale"] > before)
        gate.set()
        view = await world.ended("r1")

    assert outputs(view) == {"b": "true"}


async def test_a_cancelled_run_does_not_take_what_a_lent_step_came_to() -> None:
    gate, tried = asyncio.Event(), asyncio.Event()

    async def new(ctx: NodeContext) -> Any:
        tried.set()
        await gate.wait()
        return "too late"

    async with Deployment(new) as world:
        owner, _ = world.part()
        await world.push(blueprint("b", {"b": "new"}))
        await world.start("b", "r1")
        await asyncio.wait_for(tried.wait(), 10)
        await world.send({"type": "command", "command": "cancel", "run_id": "r1"})
        await world.ended("r1")
        gate.set()
        await eventually(lambda: not world.handling and not owner.desk.out)

        assert await world.status_of("b") == StepStatus.CANCELLED


async def test_without_parking_the_owner_fails_the_step_itself() -> None:
    async def new(ctx: NodeContext) -> Any:
        return "here"

    async with Deployment(new, park_missing_implementations=False) as world:
        world.part()
        view = await world.run(blueprint("b", {"b": "new"}), run_id="r1")

    assert statuses(view) == {"b": "failed"}
