"""Partitions change hands: in the middle of runs, while an owner is frozen, when one dies."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import Any

import msgspec
import pytest
from support.faults import FaultyWorld
from support.world import blueprint, eventually, outputs, statuses

from famulus.engine.records import step_record
from famulus.engine.seals import visible_events, visible_rows
from famulus.errors import StoreUnavailableError
from famulus.ids import NodeId, RunId, StepId, epoch_of
from famulus.nodes import NodeContext
from famulus.ports import StepRow

FAN = blueprint(
    "fan",
    {"s": "work", **{f"w{i}": "work" for i in range(10)}, "j": "work", "end": "work"},
    *((("s", f"w{i}")) for i in range(10)),
    *(((f"w{i}", "j", {"transform": "input"})) for i in range(10)),
    ("j", "end"),
)
ALL_DONE = dict.fromkeys([node["id"] for node in FAN["nodes"]], "completed")
ONCE = dict.fromkeys(ALL_DONE, 1)


class Work:
    """A node that gives its name and lets others go first, and counts how often it is called."""

    def __init__(self, random: Random | None = None) -> None:
        self.calls: Counter[str] = Counter()
        self._random = random

    async def __call__(self, ctx: NodeContext) -> str:
        self.calls[f"{ctx.run_id}/{ctx.step_id}"] += 1
        for _ in range(self._random.randrange(5) if self._random else 1):
            await asyncio.sleep(0)
        await ctx.set(f"by_{ctx.node_id}", ctx.attempt)
        return ctx.node_id


def a_world(work: Any, **options: Any) -> FaultyWorld:
    return FaultyWorld({"work": work}, **{"announce_seconds": 0.0, **options})


async def ends_well(world: FaultyWorld, run_id: str = "r") -> None:
    view = await world.ended(run_id)
    assert statuses(view) == ALL_DONE
    assert outputs(view) == {node_id: node_id for node_id in ALL_DONE}
    assert {f"by_{node_id}" for node_id in ALL_DONE} <= view.context.keys()
    assert await world.completions(run_id) == ONCE


# -- rebalances ------------------------------------------------------------------------------------------------------


async def test_a_run_goes_on_with_another_owner_and_back_again() -> None:
    gates = {name: asyncio.Event() for name in "abc"}
    reached: set[str] = set()

    async def gated(ctx: NodeContext) -> str:
        reached.add(ctx.node_id)
        await gates[ctx.node_id].wait()
        return ctx.node_id

    world = FaultyWorld({"gated": gated})
    one, two = world.engine("one"), world.engine("two")
    async with world:
        await world.push(blueprint("b", dict.fromkeys("abc", "gated"), ("a", "b"), ("b", "c")))
        await world.start("b", "r")
        for node_id, next_owner in (("a", two), ("b", one), ("c", two)):
            await eventually(lambda node_id=node_id: node_id in reached)
            world.rebalance({one: [], two: [], next_owner: world.partitions})
            gates[node_id].set()

        view = await world.ended("r")

        assert outputs(view) == {"a": "a", "b": "b", "c": "c"}
        assert await world.completions("r") == {"a": 1, "b": 1, "c": 1}


async def test_a_node_that_runs_when_the_partition_comes_back_is_not_run_again() -> None:
    gate = asyncio.Event()
    work: list[str] = []

    async def gated(ctx: NodeContext) -> str:
        work.append(ctx.node_id)
        await gate.wait()
        return "done"

    world = FaultyWorld({"gated": gated})
    async with world:
        await world.push(blueprint("b", {"a": "gated"}))
        await world.start("b", "r")
        await eventually(lambda: bool(work))

        for _ in range(3):
            world.rebalance({world.engines[0]: world.partitions})
        gate.set()

        assert outputs(await world.ended("r")) == {"a": "done"}
        assert work == ["a"]


async def test_a_node_that_is_slow_to_stop_is_run_again_when_its_partition_comes_back() -> None:
    calls: list[str] = []
    let_go = asyncio.Event()

    async def slow_to_stop() -> str:
        calls.append("called")
        if len(calls) > 1:
            return "second"
        try:
            await asyncio.Event().wait()
        finally:
            await let_go.wait()
        return "never"

    world = FaultyWorld({"f": slow_to_stop})
    one = world.engine("one")
    async with world:
        await world.push(blueprint("b", {"a": "f"}))
        await world.start("b", "r")
        await eventually(lambda: bool(calls))

        world.rebalance({one: []})
        await asyncio.sleep(0)
        world.rebalance({one: world.partitions})

        try:
            assert outputs(await world.ended("r")) == {"a": "second"}
        finally:
            let_go.set()


@pytest.mark.parametrize("seed", range(5))
async def test_many_rebalances_at_any_moment_change_no_result(seed: int) -> None:
    random = Random(seed)
    work = Work(random)
    world = a_world(work)
    engines = [world.engine("one"), world.engine("two")]
    run_ids = [f"r{i}" for i in range(8)]
    async with world:
        await world.push(FAN)
        for run_id in run_ids:
            await world.start("fan", run_id)
        for _ in range(15):
            for _ in range(random.randrange(30)):
                await asyncio.sleep(0)
            shares: dict[Any, list[int]] = {engine: [] for engine in engines}
            for partition in world.partitions:
                shares[random.choice(engines)].append(partition)
            world.rebalance(shares)

        for run_id in run_ids:
            await ends_well(world, run_id)


# -- frozen owners ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 2, 3, 4, 5])
async def test_nothing_that_a_frozen_owner_writes_later_is_seen(after: int) -> None:
    work = Work(Random(after))
    world = a_world(work)
    async with world:
        await world.push(FAN)
        frozen = world.engines[0]
        machine = world.machine
        commits: list[int] = []

        def freeze_in_commit(name: str) -> None:
            commits.append(1) if name == "commit" else None
            if len(commits) == after:
                machine.freeze()

        machine.on_call = freeze_in_commit
        await world.start("fan", "r")
        await eventually(lambda: len(commits) >= after)
        machine.on_call = lambda _: None

        await world.take_over("two")
        await ends_well(world)
        finished = await world.reader.show(RunId("r"))
        told = await world.events_of("r")
        machine.thaw()
        await eventually(lambda: machine.calls.count("commit") >= after)
        for _ in range(50):
            await asyncio.sleep(0)

        assert await world.reader.show(RunId("r")) == finished
        assert await world.events_of("r") == told
        assert frozen.partitions  # it has not been told anything


async def test_what_a_frozen_owner_writes_while_the_next_one_runs_is_not_seen() -> None:
    gate = asyncio.Event()
    epoch_of_call: list[str] = []

    async def first(ctx: NodeContext) -> str:
        epoch_of_call.append("first")
        await ctx.set("who", len(epoch_of_call))
        return f"call {len(epoch_of_call)}"

    async def gated() -> str:
        await gate.wait()
        return "gated"

    world = FaultyWorld({"first": first, "gated": gated})
    async with world:
        await world.push(blueprint("b", {"a": "first", "b": "gated"}, ("a", "b")))
        machine = world.machine
        # The start is recorded, the outcome of `a` is not: it is on its way.
        machine.on_call = lambda name: machine.freeze() if name == "commit" and epoch_of_call else None
        await world.start("b", "r")
        await eventually(lambda: bool(epoch_of_call))
        await eventually(lambda: machine.calls.count("commit") == 2)

        owner = await world.take_over("two")
        await eventually(lambda: len(epoch_of_call) == 2)
        await eventually(lambda: owner.steps.attempts.task_of(RunId("r"), StepId("b")) is not None)
        machine.on_call = lambda _: None
        machine.thaw()
        for _ in range(50):
            await asyncio.sleep(0)
        between = await world.reader.show(RunId("r"))
        gate.set()
        view = await world.ended("r")

        assert outputs(between) == {"a": "call 2"}
        assert outputs(view) == {"a": "call 2", "b": "gated"}
        assert view.context["who"] == 2
        assert await world.completions("r") == {"a": 1, "b": 1}
        rows = await world.store.load(RunId("r"))
        seen = visible_rows(rows)
        later = [row for row in (*seen.steps, *seen.context) if epoch_of(row.stamp) == 1]
        assert later == []
        events = visible_events(await world.store.events(RunId("r")), rows.head)
        assert [event.seq for event in events] == sorted({event.seq for event in events})


async def test_an_owner_that_cannot_get_an_epoch_waits_and_then_goes_on() -> None:
    world = a_world(Work())
    async with world:
        await world.push(FAN)
        two = world.engine("two")
        world.machines[two].before["take"].extend(StoreUnavailableError("away") for _ in range(3))
        await world.start("fan", "r")
        await world.crash(world.engines[0])
        world.assign(two, world.partitions)

        await ends_well(world)


# -- crashes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [1, 2, 3, 4, 5, 7, 10, 15, 20, 25, 30])
async def test_an_owner_that_dies_at_any_call_is_followed_by_one_that_ends_the_run(call: int) -> None:
    work = Work(Random(call))
    world = a_world(work)
    async with world:
        await world.push(FAN)
        machine = world.machine
        machine.on_call = lambda _: machine.freeze() if len(machine.calls) >= call else None
        await world.start("fan", "r")
        await eventually(lambda: len(machine.calls) >= call)
        await world.crash(world.engines[0])
        await world.take_over("two")

        await ends_well(world)
        assert max(work.calls.values()) <= 2


@pytest.mark.parametrize("seed", range(6))
async def test_owners_that_die_one_after_the_other_leave_no_run_and_fire_no_join_twice(seed: int) -> None:
    random = Random(seed)
    work = Work(random)
    world = a_world(work, announce_seconds=random.choice([0.0, 0.001, 0.05]))
    run_ids = [f"r{i}" for i in range(10)]
    async with world:
        await world.push(FAN)
        owner = world.engines[0]
        for run_id in run_ids:
            await world.start("fan", run_id)
        for death in range(5):
            calls = len(world.machines[owner].calls) + random.randrange(1, 120)
            machine = world.machines[owner]

            async def is_reached(machine: Any = machine, calls: int = calls) -> bool:
                return len(machine.calls) >= calls or await all_over(world, run_ids)

            await eventually(is_reached)
            await world.crash(owner)
            if random.random() < 0.5:
                world.joins.clear()
            owner = await world.take_over(f"w{death}")

        for run_id in run_ids:
            await ends_well(world, run_id)


async def all_over(world: FaultyWorld, run_ids: list[str]) -> bool:
    heads = await world.store.heads([RunId(run_id) for run_id in run_ids])
    return len(heads) == len(run_ids) and all(head.ended_at is not None for _, head in heads.values())


async def test_a_run_whose_records_are_all_gone_is_found_by_its_next_owner() -> None:
    world = a_world(Work())
    async with world:
        await world.push(FAN)
        machine = world.machine
        machine.on_call = lambda name: machine.freeze() if name == "commit" and machine.calls.count(name) == 3 else None
        await world.start("fan", "r")
        await eventually(lambda: machine.calls.count("commit") == 3)
        await world.crash(world.engines[0])
        for task in list(world.handling):
            task.cancel()

        await world.take_over("two")

        await ends_well(world)


async def test_one_run_that_cannot_be_read_keeps_no_other_from_going_on() -> None:
    gate = asyncio.Event()

    async def gated() -> None:
        await gate.wait()

    world = FaultyWorld({"gated": gated}, loads_at_once=1)
    world.is_audited = False  # a row is made unreadable
    good = [f"good{i}" for i in range(12)]
    async with world:
        await world.push(blueprint("b", {"a": "gated", "b": "gated"}))
        for run_id in ("unreadable", *good):
            await world.start("b", run_id)

        async def are_stored() -> bool:
            return len(await world.store.heads([RunId(run_id) for run_id in ("unreadable", *good)])) == 1 + len(good)

        await eventually(are_stored)
        await world.crash(world.engines[0])
        for task in list(world.handling):
            task.cancel()
        spoil(world.store, RunId("unreadable"))

        await world.take_over("two")
        gate.set()

        for run_id in good:
            assert (await world.ended(run_id)).summary.status == "completed"
        await eventually(lambda: not world.handling)
        assert {letter.code for letter in world.bus.dead_letters} <= {"unreadable_run"}


def spoil(store: Any, run_id: RunId) -> None:
    """As a worker of a later version may write it: a status that this one does not know."""
    run = store._runs[run_id]
    run.steps[StepId("a")] = StepRow(
        step_id=StepId("a"), node_id=NodeId("a"), status="dreaming", attempt=1, seq=1, stamp=run.head.head.stamp
    )


# -- long steps ------------------------------------------------------------------------------------------------------


async def test_a_long_step_is_recorded_as_running_and_its_record_handed_over() -> None:
    gate = asyncio.Event()

    async def long() -> str:
        await gate.wait()
        return "done"

    world = FaultyWorld({"long": long}, taken_seconds=0.01, handover_seconds=0.02, announce_seconds=0.0)
    async with world:
        await world.push(blueprint("b", {"a": "long"}))
        await world.start("b", "r")

        await eventually(lambda: world.engines[0].counts["handed_over"] >= 1)
        await eventually(lambda: not world.handling)
        running = await world.reader.show(RunId("r"))
        gate.set()
        view = await world.ended("r")

    assert (running.steps[0].status, running.steps[0].worker) == ("running", "w1")
    assert outputs(view) == {"a": "done"}
    assert view.steps[0].attempt == 1


async def test_a_long_step_whose_worker_dies_is_run_by_the_next_owner_with_the_same_attempt() -> None:
    gate = asyncio.Event()
    attempts: list[int] = []

    async def long(ctx: NodeContext) -> str:
        attempts.append(ctx.attempt)
        await gate.wait()
        return ctx.idempotency_key

    world = FaultyWorld({"long": long}, taken_seconds=0.01, handover_seconds=0.02, announce_seconds=0.0)
    async with world:
        await world.push(blueprint("b", {"a": "long"}))
        await world.start("b", "r")
        await eventually(lambda: world.engines[0].counts["handed_over"] >= 1)
        await eventually(lambda: not world.handling)

        await world.crash(world.engines[0])
        await world.take_over("two")
        await eventually(lambda: len(attempts) == 2)
        gate.set()

        assert outputs(await world.ended("r")) == {"a": "r/a"}
        assert attempts == [1, 1]
        assert await world.completions("r") == {"a": 1}


async def test_a_slow_step_holds_up_no_other_run_of_its_partition() -> None:
    gate = asyncio.Event()

    async def slow() -> None:
        await gate.wait()

    world = FaultyWorld({"slow": slow, "work": Work()})
    async with world:
        await world.push(blueprint("b", {"a": "slow"}))
        await world.push(FAN)
        await world.start("b", "r")
        partition = world.bus.partition_of(RunId("r"))
        others = [name for i in range(50) if world.bus.partition_of(RunId(name := f"o{i}")) == partition][:5]
        for run_id in others:
            await world.start("fan", run_id)

        for run_id in others:
            await ends_well(world, run_id)
        gate.set()


# -- stopping --------------------------------------------------------------------------------------------------------


async def test_a_step_that_its_worker_gave_up_when_it_stopped_is_due_for_the_next_one() -> None:
    calls: list[int] = []
    gate = asyncio.Event()

    async def gated() -> str:
        calls.append(1)
        await gate.wait()
        return "done"

    world = FaultyWorld({"gated": gated})
    async with world:
        await world.push(blueprint("b", {"a": "gated"}))
        await world.start("b", "r")
        await eventually(lambda: bool(calls))

        await world.engines[0].stop(0)
        gate.set()
        await world.take_over("two")

        assert outputs(await world.ended("r")) == {"a": "done"}
        assert len(calls) == 2


async def test_a_worker_that_stops_waits_for_what_runs_as_long_as_it_may() -> None:
    gate = asyncio.Event()
    began = asyncio.Event()

    async def gated() -> str:
        began.set()
        await gate.wait()
        return "done"

    world = FaultyWorld({"gated": gated})
    async with world:
        await world.push(blueprint("b", {"a": "gated", "b": "gated"}, ("a", "b")))
        await world.start("b", "r")
        await began.wait()

        stopping = asyncio.create_task(world.engines[0].stop(20))
        await asyncio.sleep(0)
        gate.set()
        await stopping
        view = await world.reader.show(RunId("r"))

        assert statuses(view) == {"a": "completed", "b": "scheduled"}
        await world.take_over("two")
        assert outputs(await world.ended("r")) == {"a": "done", "b": "done"}


async def test_an_outcome_on_its_way_to_the_store_when_the_partition_comes_back_is_not_lost() -> None:
    """The new session reads the run before the commit of the old one is there."""
    gate, hold = asyncio.Event(), asyncio.Event()
    calls: list[str] = []

    async def work(ctx: NodeContext) -> str:
        calls.append(ctx.node_id)
        if ctx.node_id == "a":
            await gate.wait()
        return ctx.node_id

    world = FaultyWorld({"work": work}, taken_seconds=0.005, handover_seconds=0.01)
    store = world.store

    class HeldStore:
        held = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def commit(self, commit: Any) -> None:
            if gate.is_set() and not hold.is_set():
                self.held += 1
                await hold.wait()
            await store.commit(commit)

    world.store = slow = HeldStore()
    async with world:
        await world.push(blueprint("b", {"a": "work", "b": "work"}, ("a", "b")))
        await world.start("b", "r")
        await eventually(lambda: world.engines[0].counts["handed_over"] >= 1)
        await eventually(lambda: not world.handling)
        gate.set()
        await eventually(lambda: slow.held == 1)

        world.rebalance({world.engines[0]: world.partitions})
        await eventually(lambda: world.engines[0].runs.live(RunId("r")) is not None)
        hold.set()

        assert outputs(await world.ended("r")) == {"a": "a", "b": "b"}
        assert await world.completions("r") == {"a": 1, "b": 1}
        assert calls == ["a", "b"]


async def test_no_node_runs_before_the_outcome_that_enables_it_is_recorded() -> None:
    """A hint that an earlier owner left behind comes while the commit of the predecessor is on its way."""
    calls: list[str] = []
    gate = asyncio.Event()

    async def work(ctx: NodeContext) -> None:
        calls.append(ctx.node_id)
        if ctx.node_id == "a":
            await gate.wait()

    async with FaultyWorld({"work": work}, announce_seconds=0.0) as world:
        await world.push(blueprint("b", {"a": "work", "b": "work"}, ("a", "b")))
        await world.start("b", "r")
        await eventually(lambda: calls == ["a"] and world.machine.calls.count("send_event") == 1)
        world.machine.on_call = lambda name: world.machine.freeze() if name == "commit" else None
        gate.set()
        await eventually(lambda: world.machine.calls.count("commit") == 2)

        await world.send(msgspec.json.decode(step_record(RunId("r"), StepId("b"), 1)), key="r")
        for _ in range(100):
            await asyncio.sleep(0)
        before = list(calls)
        world.machine.on_call = lambda _: None
        world.machine.thaw()

        await world.ended("r")
        await eventually(lambda: not world.handling)
        assert (before, calls) == (["a"], ["a", "b"])
