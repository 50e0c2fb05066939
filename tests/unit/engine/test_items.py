"""Items that are spread: run by any worker, recorded by the owner of their run."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from support.faults import FaultyWorld
from support.world import World, blueprint, eventually, outputs

from famulus import testing
from famulus.engine.execution import ExecutionLimits
from famulus.engine.reading import StepView
from famulus.engine.records import parse_job
from famulus.errors import BadRecordError, BusUnavailableError
from famulus.ids import RunId, StepId
from famulus.nodes import NodeContext, Registry, Result


async def give(ctx: NodeContext) -> Any:
    await ctx.set("factor", 3)
    return ctx.params["value"]


async def echo(ctx: NodeContext) -> Any:
    return ctx.input


async def triple(ctx: NodeContext) -> int:
    await asyncio.sleep(0)
    return int(ctx.input * await ctx.get("factor"))


def spread(count: int, *, config: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    """`begin` gives the items, `each` runs `item` for them, and `end` is a join behind both."""
    return blueprint(
        "big",
        {
            "begin": {"uses": "give", "params": {"value": list(range(count))}},
            "each": {"uses": "map", "params": {"uses": "item", "spread": True, **params}, "config": config or {}},
            "end": "echo",
        },
        ("begin", "each"),
        ("each", "end"),
        ("begin", "end"),
    )


def shared(world: FaultyWorld) -> None:
    """Two engines, each with half of the partitions."""
    first, second = world.engines[0], world.engine("w2")
    world.rebalance({first: [0, 1], second: [2, 3]})


async def steps_of(world: World) -> Sequence[StepView]:
    """Every step of the run, items among them."""
    return [step for _, step in await world.reader.steps(RunId("r1"), limit=1000)]


async def reason_of(world: World, step_id: str) -> str:
    return next(step.reason for step in await steps_of(world) if step.step_id == step_id) or ""


async def owner_of(world: FaultyWorld, run_id: str) -> Any:
    partition = world.bus.partition_of(RunId(run_id))
    return next(engine for engine in world.engines if partition in engine.partitions)


@pytest.mark.parametrize("doubled", [False, True])
async def test_items_run_on_all_workers_and_are_recorded_once(*, doubled: bool) -> None:
    async with FaultyWorld({"give": give, "echo": echo, "item": triple}, doubled=doubled) as world:
        shared(world)
        await world.push(spread(200))
        await world.start("big", "r1")
        run = await world.ended("r1")
        completions = await world.completions("r1")

        assert run.summary.status == "completed"
        assert outputs(run)["each"] == [3 * number for number in range(200)]
        assert min(engine.counts["items"] for engine in world.engines) > 20
        assert len(completions) == 203
        assert set(completions.values()) == {1}
        assert {step.worker for step in await steps_of(world) if step.item is not None} == {"w1", "w2"}
        await eventually(lambda: not any(engine.desk.out for engine in world.engines))


async def test_no_more_items_are_out_than_the_map_allows() -> None:
    at_once, most = 0, 0

    async def item(ctx: NodeContext) -> Any:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.002)
        at_once -= 1
        return ctx.input

    async with FaultyWorld({"give": give, "echo": echo, "item": item}, items_at_once=9) as world:
        shared(world)
        await world.push(spread(30, maxConcurrency=4))
        await world.start("big", "r1")
        run = await world.ended("r1")

    assert outputs(run)["each"] == list(range(30))
    assert most == 4


async def test_an_item_that_is_out_takes_no_slot_of_the_owner() -> None:
    gate, began = asyncio.Event(), []

    async def item(ctx: NodeContext) -> Any:
        began.append(ctx.input)
        await gate.wait()
        return ctx.input

    functions = {"give": give, "echo": echo, "item": item}
    async with FaultyWorld(functions, execution=ExecutionLimits(steps=1)) as world:
        owner, other = world.engines[0], world.engine("w2")
        world.rebalance({owner: [world.bus.partition_of(RunId("r1"))], other: []})
        world.assign(owner, [world.bus.partition_of(RunId("r1"))])
        world._owners.update({p: other for p in world.partitions if p != world.bus.partition_of(RunId("r1"))})
        await world.push(spread(10))
        await world.start("big", "r1")
        await eventually(lambda: owner.desk.out == 10)
        await eventually(lambda: sum(len(engine.items.attempts) for engine in world.engines) == 10)
        await eventually(lambda: len(began) == 2)
        gate.set()
        run = await world.ended("r1")

    assert run.summary.status == "completed"


async def test_a_worker_that_dies_with_items_in_hand_loses_none() -> None:
    tried: Counter[int] = Counter()
    gate = asyncio.Event()

    async def item(ctx: NodeContext) -> Any:
        tried[ctx.input] += 1
        await gate.wait()
        return ctx.input

    async with FaultyWorld({"give": give, "echo": echo, "item": item}) as world:
        shared(world)
        await world.push(spread(60))
        await world.start("big", "r1")
        owner = await owner_of(world, "r1")
        await eventually(lambda: len(tried) == 60)
        other = next(engine for engine in world.engines if engine is not owner)
        in_hand = len(other.items.attempts)
        await world.crash(other)
        gate.set()
        world.assign(owner, world.partitions)
        run = await world.ended("r1")
        completions = await world.completions("r1")

    assert in_hand > 10
    assert outputs(run)["each"] == list(range(60))
    assert set(completions.values()) == {1}


async def test_an_owner_that_dies_with_items_out_is_replaced() -> None:
    gate = asyncio.Event()

    async def item(ctx: NodeContext) -> Any:
        await gate.wait()
        return ctx.input

    async with FaultyWorld({"give": give, "echo": echo, "item": item}) as world:
        shared(world)
        await world.push(spread(60))
        await world.start("big", "r1")
        owner = await owner_of(world, "r1")
        await eventually(lambda: sum(len(engine.items.attempts) for engine in world.engines) == 60)
        other = next(engine for engine in world.engines if engine is not owner)
        await world.crash(owner)
        world.assign(other, world.partitions)
        gate.set()
        run = await world.ended("r1")
        completions = await world.completions("r1")

    assert outputs(run)["each"] == list(range(60))
    assert set(completions.values()) == {1}


async def _with_crash(after_calls: int, *, doubled: bool, turns: int) -> int:
    """A run whose owner dies at this call to its servers; how many calls it had made."""
    async with FaultyWorld({"give": give, "echo": echo, "item": triple}, doubled=doubled) as world:
        await world.push(spread(3))
        first = world.engines[0]
        machine = world.machines[first]
        machine.turns = turns
        died = asyncio.Event()
        made = 0

        def count(_: str) -> None:
            nonlocal made
            made += 1
            if made == after_calls:
                machine.freeze()
                died.set()

        async def replace() -> None:
            await died.wait()
            await world.crash(first)
            await world.take_over("w2")

        machine.on_call = count
        replacing = asyncio.create_task(replace())
        await world.start("big", "r1")
        run = await world.ended("r1")
        completions = await world.completions("r1")
        replacing.cancel()

    assert run.summary.status == "completed", after_calls
    assert outputs(run)["each"] == [0, 3, 6]
    assert set(completions.values()) == {1}
    return made


@pytest.mark.parametrize("doubled", [False, True])
@pytest.mark.parametrize("turns", [0, 3])
async def test_a_crash_at_any_call_leaves_the_same_end(*, doubled: bool, turns: int) -> None:
    calls = await _with_crash(10_000, doubled=doubled, turns=turns)
    assert calls > 15

    for after_calls in range(1, calls + 1):
        await _with_crash(after_calls, doubled=doubled, turns=turns)


async def test_the_crash_test_for_blueprints_of_users_knows_items_that_are_spread() -> None:
    document = spread(4, config={"maxRetries": 2, "retryDelay": 90_000})

    def nodes() -> dict[str, Any]:
        async def item(ctx: NodeContext) -> int:
            if ctx.input == 2 and ctx.attempt == 1:
                raise OSError("away")
            return int(ctx.input * await ctx.get("factor"))

        return {"give": give, "echo": echo, "item": item}

    report = await testing.crash_test(document, nodes)

    report.assert_ok()
    assert report.status == "completed"


async def test_a_record_that_was_lost_is_sent_again() -> None:
    async with World({"give": give, "echo": echo, "item": triple}, item_patience_seconds=0.1) as world:
        send, lost = world.bus.send_item, []

        async def lose_first(key: str, value: bytes, *, beyond: int = 0) -> Any:
            if key not in lost:
                lost.append(key)
                return await world.bus.send_event(RunId("r1"), b"{}")  # acknowledged, and on no topic of items
            return await send(key, value, beyond=beyond)

        world.bus.send_item = lose_first  # type: ignore[method-assign]
        run = await world.run(spread(5))

        assert outputs(run)["each"] == [0, 3, 6, 9, 12]
        assert world.engines[0].counts["items_sent_again"] >= 5


async def test_an_item_that_runs_for_longer_than_the_patience_is_not_sent_again() -> None:
    async def item(ctx: NodeContext) -> Any:
        await asyncio.sleep(3.0)
        return ctx.input

    async with FaultyWorld(
        {"give": give, "echo": echo, "item": item}, item_patience_seconds=1.5, taken_seconds=0.02, handover_seconds=0.1
    ) as world:
        await world.push(spread(3))
        await world.start("big", "r1")
        run = await world.ended("r1")
        events = await world.events_of("r1")

        assert outputs(run)["each"] == [0, 1, 2]
        assert world.engines[0].counts["items_sent_again"] == 0
        assert world.engines[0].counts["items"] == 3
        begun = [event["step"] for event in events if event["type"] == "step.started"]
        assert sorted(step for step in begun if step.startswith("each[")) == ["each[0]", "each[1]", "each[2]"]


async def test_a_failed_item_is_tried_again_as_the_node_says_and_sees_what_it_wrote() -> None:
    tried: list[tuple[int, int, Any, str]] = []

    async def item(ctx: NodeContext) -> Any:
        tried.append((ctx.input, ctx.attempt, await ctx.get(f"seen_{ctx.input}"), ctx.idempotency_key))
        if ctx.input == 1 and ctx.attempt < 3:
            await ctx.set("seen_1", ctx.attempt)
            raise ValueError("boom")
        return Result(ctx.input, action="ignored")

    async with World({"give": give, "echo": echo, "item": item}) as world:
        run = await world.run(spread(3, config={"maxRetries": 3, "retryOn": ["ValueError"]}))

    assert outputs(run)["each"] == [0, 1, 2]
    assert [each for each in tried if each[0] == 1] == [
        (1, attempt, before, "r1/each[1]") for attempt, before in ((1, None), (2, 1), (3, 2))
    ]


async def test_what_fails_for_good_fails_the_map_with_its_reason() -> None:
    async def item(ctx: NodeContext) -> Any:
        if ctx.input == 1:
            raise ValueError("boom")
        return ctx.input

    async with World({"give": give, "echo": echo, "item": item}) as world:
        run = await world.run(spread(3, toleratedFailures=0, maxConcurrency=1))

        assert run.summary.status == "failed"
        assert await reason_of(world, "each[1]") == "ValueError: boom"
        assert "1 of 3 items failed" in await reason_of(world, "each")


async def test_failed_items_that_are_tried_once_more_are_not_met_by_their_old_outcomes() -> None:
    failing = True

    async def item(ctx: NodeContext) -> Any:
        if ctx.input == 1 and failing:
            raise ValueError("boom")
        return ctx.input

    async with World({"give": give, "echo": echo, "item": item}) as world:
        run = await world.run(spread(3))
        assert run.summary.status == "failed"
        old = [
            record.value for records in world.bus.jobs for record in records if b'"outcome"' in (record.value or b"")
        ]
        failing = False
        await world.send({"type": "command", "command": "retry", "run_id": "r1", "by": "ada"})
        for value in old:
            await (await world.bus.send_job(RunId("r1"), value or b""))

        async def completed() -> bool:
            return (await world.reader.show(RunId("r1"))).summary.status == "completed"

        await eventually(completed)
        run = await world.reader.show(RunId("r1"))

    assert outputs(run)["each"] == [0, 1, 2]


@pytest.mark.parametrize("park", [False, True])
async def test_an_item_is_passed_on_to_a_worker_that_can_run_it(*, park: bool) -> None:
    async with FaultyWorld({"give": give, "echo": echo, "item": triple}, park_missing_implementations=park) as world:
        shared(world)
        without = await owner_of(world, "r1")
        registry = without.executor.registry = without.executor._provisions._registry = Registry()
        registry.register("give", give)
        registry.register("echo", echo)
        await world.push(spread(40))
        await world.start("big", "r1")
        run = await world.ended("r1")

        assert outputs(run)["each"] == [3 * number for number in range(40)]
        assert without.counts["items"] == 0
        assert without.counts["items_passed_on"] > 0


async def test_an_item_that_no_worker_can_run_fails() -> None:
    async with FaultyWorld({"give": give, "echo": echo}) as world:
        shared(world)
        await world.push(spread(2))
        await world.start("big", "r1")
        run = await world.ended("r1")
        reasons = [step.reason or "" for step in await steps_of(world) if step.item is not None]

    assert run.summary.status == "failed"
    assert any("no implementation is registered under 'item'" in reason for reason in reasons)


async def test_a_cancelled_run_takes_no_notice_of_what_its_items_come_to() -> None:
    gate = asyncio.Event()

    async def item(ctx: NodeContext) -> Any:
        await gate.wait()
        return ctx.input

    async with World({"give": give, "echo": echo, "item": item}) as world:
        await world.push(spread(4))
        await world.start("big", "r1")
        engine = world.engines[0]
        await eventually(lambda: len(engine.items.attempts) == 4)
        await world.send({"type": "command", "command": "cancel", "run_id": "r1", "by": "ada"})
        run = await world.ended("r1")
        stale = engine.counts["stale"]
        gate.set()
        await eventually(lambda: engine.counts["stale"] >= stale + 4)

        assert run.summary.status == "cancelled"
        assert engine.desk.out == 0
        assert not world.bus.dead_letters


@pytest.mark.parametrize(("compensate", "handover"), [(False, 0.05), (True, 0.05), (False, 30)])
async def test_items_of_a_cancelled_run_are_told_and_then_stopped_on_whichever_worker(
    *, compensate: bool, handover: float
) -> None:
    told: list[int] = []
    stopped: list[int] = []
    gate = asyncio.Event()

    async def item(ctx: NodeContext) -> Any:
        try:
            while True:
                if ctx.cancelled and ctx.input not in told:
                    told.append(ctx.input)
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            stopped.append(ctx.input)
            raise

    async def undo(ctx: NodeContext) -> None:
        await gate.wait()

    functions = {"give": give, "echo": echo, "item": item, "undo": undo}
    options = {"item_patience_seconds": 3.0, "taken_seconds": 0.02, "handover_seconds": handover}
    async with FaultyWorld(functions, **options) as world:
        shared(world)
        document = spread(40)
        if compensate:
            document["nodes"].append({"id": "undo", "uses": "undo"})
            document["nodes"][0]["config"] = {"compensate": "undo"}
        await world.push(document)
        await world.start("big", "r1")
        await eventually(lambda: sum(len(engine.items.attempts) for engine in world.engines) == 40)
        assert all(len(engine.items.attempts) for engine in world.engines)

        await world.send({"type": "command", "command": "cancel", "run_id": "r1", "by": "ada"})
        await eventually(lambda: len(stopped) == 40)
        gate.set()
        run = await world.ended("r1")

        assert run.summary.status == "cancelled"
        assert sorted(told) == sorted(stopped) == list(range(40))
        assert any(step.step_id == "undo~begin" for step in run.steps) == compensate
        await eventually(lambda: not any(len(engine.items.attempts) for engine in world.engines))
        if handover > 1:
            await eventually(lambda: sum(engine.counts["stale"] for engine in world.engines) >= 40)
        assert not world.bus.dead_letters


async def test_an_outcome_that_no_topic_takes_fails_the_item() -> None:
    async def item(ctx: NodeContext) -> Any:
        await ctx.set("much", "x" * 900)
        return "y" * 900

    async with World({"give": give, "echo": echo, "item": item}, max_record_bytes=1500) as world:
        await world.run(spread(1))

        assert (await reason_of(world, "each[0]")).startswith("OutputError: output and context changes of the item")


async def test_a_broker_that_is_away_is_waited_for() -> None:
    async with FaultyWorld({"give": give, "echo": echo, "item": triple}) as world:
        world.machine.before["send_item"].extend([BusUnavailableError("away")] * 3)
        await world.push(spread(5))
        await world.start("big", "r1")
        run = await world.ended("r1")

    assert outputs(run)["each"] == [0, 3, 6, 9, 12]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"{}", "unknown_record_type"),
        (b"\xff", "not_json"),
        (b'{"type": "item", "run_id": "r1"}', "wrong_type"),
        (b'{"type":"item","run_id":"/","step_id":"e[0]","item":0,"attempt":1,"uses":"item","seq":1}', "bad_run_id"),
        (b'{"type":"item","run_id":"no","step_id":"e[0]","item":0,"attempt":1,"uses":"item","seq":1}', "unknown_run"),
    ],
)
async def test_what_is_no_item_is_a_dead_letter(value: bytes, code: str) -> None:
    async with World({"item": triple}) as world:
        await (await world.bus.send_item("r1/0", value))
        await eventually(lambda: bool(world.bus.dead_letters))

        assert [letter.code for letter in world.bus.dead_letters] == [code]


async def test_an_outcome_of_what_is_no_item_changes_nothing() -> None:
    gate = asyncio.Event()

    async def slow(ctx: NodeContext) -> Any:
        await gate.wait()
        return "its own"

    async with World({"slow": slow}) as world:
        await world.push(blueprint("one", {"only": "slow"}))
        await world.start("one", "r1")
        await eventually(lambda: len(world.engines[0].steps.attempts) == 1)
        outcome = {"step_id": "only", "attempt": 1, "worker": "w9", "at": 1.0, "started_at": 1.0, "status": "succeeded"}
        await world.send({"type": "outcome", "run_id": "r1", "output": "forged", **outcome})
        await eventually(lambda: world.engines[0].counts["stale"] > 0)
        gate.set()
        run = await world.ended("r1")

    assert outputs(run) == {"only": "its own"}


def test_an_outcome_that_does_not_fit_is_refused() -> None:
    with pytest.raises(BadRecordError, match="does not fit"):
        parse_job(msgspec.json.encode({"type": "outcome", "run_id": "r1", "step_id": StepId("e[0]")}), max_bytes=1000)


async def test_an_item_whose_outcome_was_recorded_and_not_told_is_not_sent_for_ever() -> None:
    """The run has ended by what the outcome led to when its record comes again."""
    async with World({"give": give, "echo": echo, "item": echo}, item_patience_seconds=0.1) as world:
        desk = world.engines[0].desk
        record = desk.record

        async def fails_afterwards(session: Any, told: Any) -> None:
            desk.record = record  # type: ignore[method-assign]
            await session.report(told.fact())
            await world.ended("r1")
            raise BusUnavailableError("the hints of what followed")

        desk.record = fails_afterwards  # type: ignore[method-assign]
        await world.push(spread(1))
        await world.start("big", "r1")

        assert outputs(await world.ended("r1"))["each"] == [0]
        await eventually(lambda: desk.out == 0)
