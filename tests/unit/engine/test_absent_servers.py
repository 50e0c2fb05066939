"""Store, topics and Redis fail, before or after they have done what was asked: the result is the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from support.faults import FaultyWorld
from support.world import blueprint, eventually, outputs, statuses

from famulus.adapters.memory import MemoryJoins
from famulus.errors import BusUnavailableError, JoinsUnavailableError, RetryableError, StoreUnavailableError
from famulus.flow.arrivals import Arrivals
from famulus.ids import NodeId, RunId
from famulus.nodes import NodeContext
from famulus.ports import JoinKey

DIAMOND = blueprint(
    "diamond",
    {
        "s": "work",
        "a": {"uses": "work", "config": {"maxRetries": 2}},
        "b": "work",
        "dead": "work",
        "j": {"uses": "work", "inputs": {"a": "a", "b": "b"}},
        "end": "work",
    },
    ("s", "a"),
    ("s", "b"),
    ("s", "dead", {"condition": "never"}),
    ("a", "j"),
    ("b", "j"),
    ("dead", "j"),
    ("j", "end"),
)
STATUSES = {**dict.fromkeys(["s", "a", "b", "j", "end"], "completed"), "dead": "skipped"}


def a_world(work: Callable[..., Any] | None = None, **options: Any) -> FaultyWorld:
    async def plain(ctx: NodeContext) -> Any:
        if ctx.node_id == "a" and ctx.attempt == 1:
            raise ValueError("not yet")
        await ctx.set(f"by_{ctx.node_id}", ctx.attempt)
        return ctx.input if ctx.node_id == "j" else ctx.node_id

    return FaultyWorld({"work": work or plain}, **{"announce_seconds": 0.0, **options})


async def ends_as_ever(world: FaultyWorld, run_id: str = "r") -> None:
    view = await world.ended(run_id)
    assert view.summary.status == "completed"
    assert statuses(view) == STATUSES
    assert outputs(view) == {"s": "s", "a": "a", "b": "b", "j": {"a": "a", "b": "b"}, "end": "end"}
    assert {key: view.context[key] for key in view.context if key.startswith("by_")} == {
        "by_s": 1,
        "by_a": 2,
        "by_b": 1,
        "by_j": 1,
        "by_end": 1,
    }
    assert await world.completions(run_id) == dict.fromkeys(["s", "a", "b", "j", "end"], 1)


def away(name: str, times: int) -> list[RetryableError]:
    kind = {"send": BusUnavailableError}.get(name[:4], StoreUnavailableError)
    return [kind(f"{name} is away") for _ in range(times)]


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["commit", "load", "send_job", "send_event", "heads"])
async def test_a_server_that_is_away_for_some_calls_changes_nothing(call: str, when: str, times: int) -> None:
    async with a_world() as world:
        await world.push(DIAMOND)
        getattr(world.machine, when)[call].extend(away(call, times))

        await world.start("diamond", "r")

        await ends_as_ever(world)
        await eventually(lambda: not world.handling)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", range(1, 9))
@pytest.mark.parametrize("call", ["commit", "send_job", "send_event"])
async def test_a_server_that_is_away_for_the_nth_call_changes_nothing(call: str, when: str, nth: int) -> None:
    async with a_world() as world:
        await world.push(DIAMOND)
        machine = world.machine

        def fail_the_nth(name: str) -> None:
            if name == call and machine.calls.count(call) == nth:
                getattr(machine, when)[call].extend(away(call, 2))

        machine.on_call = fail_the_nth

        await world.start("diamond", "r")

        await ends_as_ever(world)
        await eventually(lambda: not world.handling)


async def test_every_record_delivered_twice_changes_nothing() -> None:
    async with a_world() as world:
        world.doubled = True
        await world.push(DIAMOND)

        for i in range(10):
            await world.start("diamond", f"r{i}")

        for i in range(10):
            await ends_as_ever(world, f"r{i}")


async def test_a_topic_that_is_read_again_from_the_start_changes_nothing() -> None:
    async with a_world() as world:
        await world.push(DIAMOND)
        await world.start("diamond", "r")
        await ends_as_ever(world)
        before = await world.reader.show(RunId("r"))

        for records in world.bus.jobs:
            for record in list(records):
                world._deliver(record)

        await eventually(lambda: not world.handling)
        assert await world.reader.show(RunId("r")) == before


async def test_a_dead_letter_that_cannot_be_sent_is_sent_later() -> None:
    async with a_world() as world:
        world.machine.before["send_dead_letter"].extend(away("send", 3))

        record = await world.send(b"{nope", key="r")

        await eventually(lambda: [letter.record for letter in world.bus.dead_letters] == [record])


async def test_a_run_whose_hints_could_not_be_sent_after_a_takeover_is_not_left_alone() -> None:
    gate = asyncio.Event()
    began: set[str] = set()

    async def gated(ctx: NodeContext) -> None:
        began.add(ctx.node_id)
        await gate.wait()

    world = a_world(gated)
    async with world:
        await world.push(blueprint("b", {f"n{i}": "work" for i in range(5)}))
        await world.start("b", "r")
        await eventually(lambda: len(began) == 5)
        await world.crash(world.engines[0])
        for task in list(world.handling):
            task.cancel()
        began.clear()
        two = world.engine("two")
        world.machines[two].before["send_job"].extend(away("send", 3))

        world.assign(two, world.partitions)
        await eventually(lambda: len(began) == 5)
        gate.set()

        assert (await world.ended("r")).summary.status == "completed"


async def test_a_run_is_not_loaded_while_its_last_batch_may_still_be_written() -> None:
    """What it had to tell could not be sent, so the run is given up while a commit of it is on its way."""
    hold = asyncio.Event()
    calls: list[str] = []

    async def work(ctx: NodeContext) -> str:
        calls.append(ctx.node_id)
        return f"{ctx.node_id} {calls.count(ctx.node_id)}"

    world = a_world(work, announce_seconds=0.005)
    store = world.store

    class SlowStore:
        """Its second commit takes as long as the test wants."""

        commits = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def commit(self, commit: Any) -> None:
            self.commits += 1
            if self.commits == 2:
                await hold.wait()
            await store.commit(commit)

    world.store = slow = SlowStore()
    async with world:
        await world.push(blueprint("b", {"a": "work", "b": "work"}, ("a", "b")))
        world.machine.before["send_event"].extend(away("send", 1))
        await world.start("b", "r")
        await eventually(lambda: slow.commits == 2 and not world.machine.before["send_event"])
        for _ in range(20):
            await asyncio.sleep(0.002)
        hold.set()

        view = await world.ended("r")
        events = await world.events_of("r")

    assert outputs(view) == {"a": "a 1", "b": "b 1"}
    assert [event["seq"] for event in events] == sorted({event["seq"] for event in events})
    assert [event["type"] for event in events].count("step.completed") == 2


# -- joins -----------------------------------------------------------------------------------------------------------


class NoJoins:
    """A Redis that is never there."""

    async def arrive(self, key: JoinKey, arrivals: Mapping[NodeId, str]) -> Arrivals:
        raise JoinsUnavailableError("away")

    async def refill(self, key: JoinKey, arrivals: Mapping[NodeId, str]) -> None:
        raise JoinsUnavailableError("away")

    async def forget(self, run_id: RunId, step_ids: Any) -> None: ...


class ForgetfulJoins(MemoryJoins):
    """Emptied before each call."""

    async def arrive(self, key: JoinKey, arrivals: Mapping[NodeId, str]) -> Arrivals:
        self.clear()
        return await super().arrive(key, arrivals)


class BoastfulJoins(MemoryJoins):
    """Counts more than came."""

    async def arrive(self, key: JoinKey, arrivals: Mapping[NodeId, str]) -> Arrivals:
        await super().arrive(key, arrivals)
        return Arrivals(fired=99, dead=99, failed=99)


class StaleJoins(MemoryJoins):
    """Knows the join from another life, in which everybody had come."""

    async def arrive(self, key: JoinKey, arrivals: Mapping[NodeId, str]) -> Arrivals:
        await super().arrive(key, {NodeId(name): "failed" for name in ("a", "b", "dead", "ghost")})
        return await super().arrive(key, arrivals)


class UnsteadyJoins(MemoryJoins):
    """Every other call fails after it was done."""

    calls = 0

    async def arrive(self, key: JoinKey, arrivals: Mapping[NodeId, str]) -> Arrivals:
        counts = await super().arrive(key, arrivals)
        self.calls += 1
        if self.calls % 2:
            raise JoinsUnavailableError("no answer")
        return counts


@pytest.mark.parametrize("joins", [NoJoins, ForgetfulJoins, BoastfulJoins, StaleJoins, UnsteadyJoins])
async def test_whatever_redis_says_the_join_fires_once_and_when_it_should(joins: type[Any]) -> None:
    world = a_world()
    world.joins = joins()
    async with world:
        await world.push(DIAMOND)
        for i in range(3):
            await world.start("diamond", f"r{i}")

        for i in range(3):
            await ends_as_ever(world, f"r{i}")


async def test_a_redis_that_is_emptied_in_the_middle_changes_nothing() -> None:
    gate = asyncio.Event()

    async def work(ctx: NodeContext) -> str:
        if ctx.node_id == "b":
            await gate.wait()
        return ctx.node_id

    world = a_world(work)
    async with world:
        await world.push(DIAMOND)
        await world.start("diamond", "r")

        async def a_is_there() -> bool:
            return statuses(await world.reader.show(RunId("r"))).get("a") == "completed"

        await eventually(lambda: world.engines[0].counts["started"] == 1)
        await eventually(a_is_there)
        world.joins.clear()
        gate.set()

        assert statuses(await world.ended("r")) == STATUSES


async def test_the_joins_of_a_run_that_has_ended_are_forgotten() -> None:
    async with a_world() as world:
        await world.push(DIAMOND)
        await world.start("diamond", "r")
        await ends_as_ever(world)

        await eventually(lambda: not world.joins._joins)


async def test_a_run_that_has_ended_is_not_kept_in_memory() -> None:
    async with a_world() as world:
        await world.push(DIAMOND)
        for i in range(20):
            await world.start("diamond", f"r{i}")
        for i in range(20):
            await world.ended(f"r{i}")

        await eventually(lambda: not world.handling)
        engine = world.engines[0]
        assert (len(engine.runs._sessions), len(engine.runs._doors), len(engine.steps.attempts)) == (0, 0, 0)
