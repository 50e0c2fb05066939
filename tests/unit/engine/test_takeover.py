"""An owner that was paused goes on writing after another one has taken the run over."""

from __future__ import annotations

import asyncio
from typing import Any

from support.faults import FaultyWorld
from support.held import HeldCommits, HeldJoins
from support.world import World, blueprint, eventually

from famulus.engine.engine import Engine
from famulus.engine.seals import visible_rows
from famulus.flow.facts import StepTaken
from famulus.ids import RunId, StepId, epoch_of
from famulus.nodes import NodeContext


async def test_a_late_write_of_an_earlier_owner_does_not_take_a_context_key_away() -> None:
    gate = asyncio.Event()

    async def first(ctx: NodeContext) -> None:
        await ctx.set("key", "of the first step")

    async def second(ctx: NodeContext) -> None:
        await ctx.set("key", "late")

    async def gated(ctx: NodeContext) -> Any:
        await gate.wait()
        return await ctx.get("key")

    document = blueprint(
        "b",
        {"first": "first", "second": "second", "gated": "gated"},
        ("first", "second"),
        ("first", "gated"),
    )
    world = World({"first": first, "second": second, "gated": gated})
    store = world.store
    held = world.store = HeldCommits(store)
    frozen = world.engine("frozen")
    async with world:
        await world.push(document)
        original = frozen.executor.attempt

        async def hold_second(run: Any, step: Any, **more: Any) -> Any:
            fact = await original(run, step, **more)
            if step.node_id == "second":
                held.free.clear()
            return fact

        frozen.executor.attempt = hold_second  # type: ignore[method-assign]
        await world.start("b", "r")
        await eventually(lambda: held.waiting == 1)

        # The frozen worker does not know it, but its partitions are another one's now.
        world.store = store
        world.registry._by_name.pop("second")
        world.registry.register("second", gated)
        owner = world.engine("owner")
        world.engines.remove(frozen)
        owner.assigned(range(4))
        await eventually(lambda: len(owner.steps.attempts) == 2)
        session = owner.runs.live(RunId("r"))
        assert session is not None
        await session.report(_taken())
        held.free.set()
        await eventually(lambda: held.waiting == 0)
        gate.set()
        view = await world.ended("r")
        world.engines.append(frozen)

    assert view.summary.status == "completed"
    assert {step.node_id: step.output for step in view.steps}["gated"] == "of the first step"
    assert view.context["key"] == "of the first step"
    rows = await store.load(RunId("r"))
    assert rows is not None
    assert {epoch_of(row.stamp) for row in visible_rows(rows).context} == {2}


async def test_what_only_a_late_write_of_an_earlier_owner_says_does_not_count() -> None:
    gate, gone_on = asyncio.Event(), asyncio.Event()
    attempts: list[str] = []

    async def first() -> None:
        pass

    async def second(ctx: NodeContext) -> str:
        attempts.append(ctx.step_id)
        if len(attempts) == 1:
            held.free.clear()
            await ctx.set("only-late", "something")
            return "late"
        gone_on.set()
        await gate.wait()
        return "of the owner"

    world = World({"first": first, "second": second})
    store = world.store
    held = world.store = HeldCommits(store)
    frozen = world.engine("frozen")
    async with world:
        await world.push(blueprint("b", {"first": "first", "second": "second"}, ("first", "second")))
        await world.start("b", "r")
        await eventually(lambda: held.waiting == 1)
        # The frozen worker does not know it, but its partitions are another one's now.
        world.store = store
        owner = world.engine("owner")
        world.engines.remove(frozen)
        owner.assigned(range(4))
        await gone_on.wait()

        held.free.set()
        await eventually(lambda: frozen.runs.has_ended(RunId("r")))
        gate.set()
        await eventually(lambda: owner.runs.has_ended(RunId("r")))
        view = await world.reader.show(RunId("r"))
        world.engines.append(frozen)

        assert "only-late" not in view.context
        assert {step.node_id: step.output for step in view.steps}["second"] == "of the owner"


def _taken() -> StepTaken:
    return StepTaken(step_id=StepId("gated"), attempt=1, worker="owner", started_at=0.0, at=0.0)


async def test_an_outcome_says_which_worker_had_it() -> None:
    async def one() -> int:
        return 1

    async def bad() -> None:
        raise ValueError("no")

    async with World({"one": one, "bad": bad}) as world:
        view = await world.run(blueprint("b", {"good": "one", "bad": "bad"}))

    assert {step.node_id: step.worker for step in view.steps} == {"good": "w1", "bad": "w1"}


async def test_nothing_is_written_while_it_is_not_sure_whose_the_partitions_are() -> None:
    async def quick() -> None:
        pass

    sure, asked = False, 0

    def is_current() -> bool:
        nonlocal asked
        asked += 1
        return sure

    async with FaultyWorld({"quick": quick}) as world:
        await world.push(blueprint("one", {"a": "quick"}))
        world.engines[0].revoked()
        world.engines[0].assigned(world.partitions, is_current=is_current)
        await world.start("one", "r1")
        await eventually(lambda: asked > 1)  # a write waits for the answer
        assert "commit" not in world.machine.calls

        sure = True
        view = await world.ended("r1")

    assert view.summary.status == "completed"


async def test_a_late_batch_of_an_owner_in_between_takes_no_outcome_away() -> None:
    """It began with the run before the outcome was stored, and its epoch is the higher one."""
    gate = asyncio.Event()
    world = World({"one": _one, "gated": gate.wait})
    store = world.store
    first, second = HeldCommits(store), HeldCommits(store)
    world.store = first
    frozen = world.engine("first")
    _hold_outcomes(frozen, first)
    async with world:
        await world.push(blueprint("b", {"s": "one", "after": "gated"}, ("s", "after")))
        await world.start("b", "r")
        await eventually(lambda: first.waiting == 1)

        second.free.clear()
        between = _replaced(world, by="second", store=second)
        await eventually(lambda: second.waiting == 1)
        first.free.set()
        await eventually(lambda: first.waiting == 0)

        owner = _replaced(world, by="third", store=store)
        await eventually(lambda: len(owner.steps.attempts) == 1)
        between.revoked()
        second.free.set()
        await eventually(lambda: second.waiting == 0)
        gate.set()
        view = await world.ended("r")
        world.engines += [frozen, between]

    assert view.summary.status == "completed"
    assert [(step.step_id, step.status, step.worker) for step in view.steps] == [
        ("s", "completed", "first"),
        ("after", "completed", "third"),
    ]
    rows = await store.load(RunId("r"))
    assert rows is not None
    assert sorted(epoch_of(row.stamp) for row in rows.steps if row.step_id == "s") == [1, 2]


async def _one() -> int:
    return 1


def _replaced(world: World, *, by: str, store: Any) -> Engine:
    """The owner of everything is another one now, and the one before it does not know."""
    world.store = store
    engine = world.engine(by)
    world.engines[:] = [engine]
    engine.assigned(range(4))
    return engine


def _hold_outcomes(engine: Engine, held: HeldCommits) -> None:
    original = engine.executor.attempt

    async def attempt(run: Any, step: Any, **more: Any) -> Any:
        fact = await original(run, step, **more)
        held.free.clear()
        return fact

    engine.executor.attempt = attempt  # type: ignore[method-assign]


async def test_a_session_that_is_over_takes_no_alarm_away_from_the_next_one() -> None:
    """It waits for a count while its worker loses the run and gets it again, and has more to write then."""
    gate = asyncio.Event()
    world = World({"one": _one, "gated": gate.wait, "fails_once": _fails_first})
    held = world.joins = HeldJoins(world.joins)
    again = {"uses": "fails_once", "config": {"maxRetries": 2, "retryDelay": 300}}
    nodes = {"a": "one", "b": "one", "join": "one", "last": "gated", "again": again}
    async with world:
        engine = world.engines[0]
        await world.push(blueprint("b", nodes, ("a", "join"), ("b", "join")))
        await world.start("b", "r")
        await eventually(lambda: held.waiting == 1 and len(engine.alarms) == 1)
        over = engine.runs.live(RunId("r"))
        assert over is not None
        gate.set()
        await eventually(lambda: len(over._inbox) == 1)

        engine.revoked()
        engine.assigned(range(4))
        await eventually(lambda: engine.runs.live(RunId("r")) is not None and len(engine.alarms) == 1)
        held.free.set()
        view = await world.ended("r")

    assert view.summary.status == "completed"


async def _fails_first(ctx: NodeContext) -> None:
    if ctx.attempt == 1:
        raise ValueError("the first time")
