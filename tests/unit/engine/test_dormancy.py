"""Runs that wait sleep in the store: they take no memory, are not looked after, and wake by a timer or a record."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from support.faults import FaultyWorld
from support.leaping import LeapingClock
from support.world import World, blueprint, eventually, statuses

from famulus.engine.execution import ExecutionLimits
from famulus.engine.reading import is_ended
from famulus.errors import RunNotFoundError, StoreUnavailableError
from famulus.flow.status import RunStatus
from famulus.ids import RunId, StepId
from famulus.nodes import NodeContext
from famulus.ports import TimerRow

TIMES: dict[str, Any] = {
    "timer_in_memory_seconds": 0.15,
    "timer_lookahead_seconds": 0.1,
    "timer_poll_seconds": 0.02,
    "announce_seconds": 0.0,
}
LATE_SECONDS = 20.0
"""Of a thousand at once, on a busy machine: a hundred times as many as wake one by one in so many looks."""
HOUR = 3600.0
"""Longer than a busy machine takes until a run is asleep: time goes by when a test says so."""


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> LeapingClock:
    """That of all engines."""
    clock = LeapingClock()
    monkeypatch.setattr("support.faults.RealClock", lambda: clock)
    return clock


async def echo(ctx: NodeContext) -> Any:
    return ctx.input


async def hold() -> None:
    await asyncio.Event().wait()


def a_world(**options: Any) -> FaultyWorld:
    return FaultyWorld({"echo": echo, "hold": hold}, **{**TIMES, **options})


def napping(seconds: float = HOUR, *, more: dict[str, Any] | None = None) -> dict[str, Any]:
    nap = {"uses": "sleep", "params": {"duration": round(seconds * 1000)}}
    return blueprint(
        "napping", {"before": "echo", "nap": nap, "after": "echo", **(more or {})}, ("before", "nap"), ("nap", "after")
    )


WAITING = blueprint(
    "waiting",
    {"before": "echo", "ask": {"uses": "wait", "params": {"signal": "go"}}, "after": "echo"},
    ("before", "ask"),
    ("ask", "after"),
)


async def open_runs(world: World) -> set[str]:
    return {run_id for partition in range(4) async for run_id in world.store.open_runs(partition)}


async def timers(world: World) -> list[TimerRow]:
    return [row for partition in range(4) for row in await world.timers.due(partition, until=2e10, limit=10_000)]


async def asleep(world: World, *run_ids: str) -> None:
    """Wait until these runs, and no others, are dormant."""
    await eventually(lambda: are_asleep(world, *run_ids))


async def are_asleep(world: World, *run_ids: str) -> bool:
    heads = await world.store.heads([RunId(run_id) for run_id in run_ids])
    dormant = sum(head.status in (RunStatus.WAITING, RunStatus.PAUSED) for _, head in heads.values())
    in_memory = sum(engine.runs.in_memory for engine in world.engines)
    return dormant == len(run_ids) and not in_memory


async def has_ended(world: World, run_id: str) -> bool:
    return any(is_ended(head.status) for _, head in (await world.store.heads([RunId(run_id)])).values())


async def rests(world: World, run_id: str) -> bool:
    return await are_asleep(world, run_id) or await has_ended(world, run_id)


async def signal(world: World, run_id: str, payload: Any = "yes") -> None:
    await world.send(
        {"type": "command", "command": "signal", "run_id": run_id, "name": "go", "payload": payload, "by": "test"}
    )


# -- going to sleep and waking up --------------------------------------------------------------------------------------


async def test_a_run_that_sleeps_long_takes_no_memory_and_goes_on_in_time(clock: LeapingClock) -> None:
    async with a_world() as world:
        await world.push(napping())
        await world.start("napping", "r", {"x": 1})
        await asleep(world, "r")
        assert await open_runs(world) == set()
        (timer,) = await timers(world)

        clock.leap(HOUR)
        view = await world.ended("r")

        assert statuses(view) == {"before": "completed", "nap": "completed", "after": "completed"}
        (woke_at,) = [step.ended_at for step in view.steps if step.node_id == "nap"]
        assert woke_at >= timer.due_at
        await eventually(lambda: _no_timers(world))


async def _no_timers(world: World) -> bool:
    return await timers(world) == []


async def test_a_run_that_sleeps_shortly_stays_in_memory_and_stores_no_timer(clock: LeapingClock) -> None:
    async with a_world(timer_in_memory_seconds=2 * HOUR) as world:
        await world.push(napping())
        await world.start("napping", "r")
        await eventually(lambda: len(world.engines[0].alarms) == 1)

        assert await timers(world) == []
        assert await open_runs(world) == {"r"}
        clock.leap(HOUR)
        assert (await world.ended("r")).summary.status == "completed"


async def test_a_run_that_waits_for_a_signal_sleeps_until_it_comes() -> None:
    async with a_world() as world:
        await world.push(WAITING)
        await world.start("waiting", "r")
        await asleep(world, "r")
        assert await open_runs(world) == set()
        assert await timers(world) == []

        await signal(world, "r")

        assert statuses(await world.ended("r"))["after"] == "completed"


@pytest.mark.parametrize(
    ("node", "status"),
    [
        ({"uses": "refuse", "config": {"maxRetries": 2, "retryDelay": 3_600_000}}, "retrying"),
        ({"uses": "sleep", "params": {"duration": "1h"}}, "sleeping"),
        ({"uses": "wait", "params": {"timeout": "1h"}}, "waiting"),
        ({"uses": "webhook"}, "waiting"),
        ({"uses": "subflow", "params": {"blueprintId": "waiting"}}, "waiting"),
        ({"uses": "map", "params": {"uses": "sleep", "params": {"duration": "1h"}}}, "waiting"),
    ],
    ids=["retry", "sleep", "wait", "webhook", "subflow", "map"],
)
async def test_what_waits_holds_no_slot_and_others_go_on(node: dict[str, Any], status: str) -> None:
    async def refuse() -> None:
        raise ValueError("not now")

    execution = ExecutionLimits(steps=1, steps_per_run=1)
    options = {**TIMES, "execution": execution}
    async with FaultyWorld({"echo": echo, "refuse": refuse}, **options) as world:
        await world.push(WAITING)
        await world.push(blueprint("slow", {"give": "echo", "slow": {**node, "inputs": "items"}}))
        for number in range(5):
            await world.start("slow", f"r{number}", {"items": [1, 2, 3]})
            await eventually(lambda number=number: _is(world, f"r{number}", "slow", status))

        view = await world.run(blueprint("quick", {"a": "echo", "b": "echo"}, ("a", "b")), run_id="quick")

        assert statuses(view) == {"a": "completed", "b": "completed"}


async def _is(world: World, run_id: str, step_id: str, status: str) -> bool:
    with suppress(RunNotFoundError):
        return statuses(await world.reader.show(RunId(run_id))).get(step_id) == status
    return False


async def test_a_hundred_waiting_runs_take_no_memory_and_all_go_on() -> None:
    async with a_world() as world:
        await world.push(WAITING)
        runs = [f"r{number}" for number in range(100)]
        for run_id in runs:
            await world.start("waiting", run_id)
        await asleep(world, *runs)
        assert world.engines[0].counts["runs_asleep"] == 100

        for run_id in runs:
            await signal(world, run_id)

        for run_id in runs:
            await world.ended(run_id)


async def test_the_record_of_the_step_before_the_sleep_is_finished_without_loading_the_run() -> None:
    async with a_world(announce_seconds=0.01) as world:
        await world.push(WAITING)
        await world.start("waiting", "r")
        await asleep(world, "r")
        await eventually(lambda: not world.handling and not world._in_hand)

        assert world.engines[0].counts["loaded"] == 0


async def test_a_signal_that_comes_while_the_run_falls_asleep_is_not_lost() -> None:
    for turns in range(12):
        async with a_world() as world:
            world.machine.turns = turns
            await world.push(WAITING)

            def signal_with_the_commit(name: str, world: FaultyWorld = world) -> None:
                session = world.engines[0].runs.live(RunId("r"))
                if name == "commit" and session is not None and session.run.status is RunStatus.WAITING:
                    asyncio.get_running_loop().create_task(signal(world, "r"))
                    world.machine.on_call = lambda _: None

            world.machine.on_call = signal_with_the_commit
            await world.start("waiting", "r")

            view = await world.ended("r")
            assert statuses(view)["after"] == "completed"


async def test_a_run_that_was_loaded_for_nothing_sleeps_again() -> None:
    async with a_world() as world:
        await world.push(WAITING)
        await world.start("waiting", "r")
        await asleep(world, "r")
        await world.start("waiting", "r")  # as it is already
        await eventually(lambda: world.engines[0].counts["repeated_starts"] == 1)
        assert world.engines[0].runs.in_memory == 1

        await asleep(world, "r")

        assert await open_runs(world) == set()


async def test_a_paused_run_sleeps_when_what_runs_has_come_to_its_end() -> None:
    gate = asyncio.Event()

    async def gated(ctx: NodeContext) -> Any:
        await gate.wait()
        return ctx.input

    async with FaultyWorld({"gated": gated, "echo": echo}, **TIMES) as world:

        def is_paused() -> bool:
            session = world.engines[0].runs.live(RunId("r"))
            return session is not None and session.run.status is RunStatus.PAUSED

        await world.push(blueprint("gated", {"a": "gated", "b": "echo"}, ("a", "b")))
        await world.start("gated", "r")
        await eventually(lambda: world.engines[0].runs.in_memory == 1)
        await world.send({"type": "command", "command": "pause", "run_id": "r", "by": "test", "reason": "why not"})
        await eventually(is_paused)
        gate.set()
        await asleep(world, "r")
        assert await open_runs(world) == set()

        await world.send({"type": "command", "command": "unpause", "run_id": "r", "by": "test"})

        assert statuses(await world.ended("r")) == {"a": "completed", "b": "completed"}


async def test_a_run_with_a_step_at_work_beside_the_sleeping_one_stays_in_memory() -> None:
    async with a_world() as world:
        await world.push(napping(more={"work": "hold"}))
        await world.start("napping", "r")
        await eventually(lambda: len(world.engines[0].alarms) == 1)
        await asyncio.sleep(0.2)

        assert world.engines[0].runs.in_memory == 1
        assert await open_runs(world) == {"r"}
        assert len(await timers(world)) == 1


async def test_timers_of_a_run_that_ends_before_they_are_due_are_removed() -> None:
    document = {**WAITING, "metadata": {"timeout": 60_000}}
    async with a_world() as world:
        await world.push(document)
        await world.start("waiting", "r")
        await asleep(world, "r")
        assert [row.kind for row in await timers(world)] == ["run"]

        await signal(world, "r")
        await world.ended("r")

        await eventually(lambda: _no_timers(world))


async def test_a_run_that_is_started_for_later_sleeps_until_then(clock: LeapingClock) -> None:
    async with a_world() as world:
        await world.push(blueprint("later", {"a": "echo"}))
        begins = clock.now() + HOUR
        await world.send({"run_id": "r", "blueprint_id": "later", "start_at": begins})
        await asleep(world, "r")

        clock.leap(HOUR)
        view = await world.ended("r")

        assert view.steps[0].started_at is not None
        assert view.steps[0].started_at >= begins


# -- crashes and outages -----------------------------------------------------------------------------------------------


async def test_a_timer_that_became_due_while_nobody_was_there_fires_as_soon_as_somebody_is(
    clock: LeapingClock,
) -> None:
    async with a_world() as world:
        await world.push(napping())
        await world.start("napping", "r")
        await asleep(world, "r")
        await world.crash(world.engines[0])
        clock.leap(2 * HOUR)

        owner = await world.take_over("w2")

        assert statuses(await world.ended("r"))["after"] == "completed"
        assert owner.counts["timers"] == 1


@pytest.mark.parametrize("call", ["due", "load", "commit", "fired"])
async def test_a_timer_survives_a_store_that_is_away_for_a_moment(call: str, clock: LeapingClock) -> None:
    async with a_world() as world:
        await world.push(napping())
        await world.start("napping", "r")
        await asleep(world, "r")

        world.machine.before[call].extend(StoreUnavailableError("away") for _ in range(3))
        clock.leap(HOUR)

        assert statuses(await world.ended("r"))["after"] == "completed"
        await eventually(lambda: _no_timers(world))


@pytest.mark.parametrize("moment", ["load", "commit"])
async def test_a_run_whose_owner_dies_while_it_wakes_up_is_woken_by_the_next_one(
    moment: str, clock: LeapingClock
) -> None:
    """The row is still there: it goes only when the run has recorded that it has woken up."""
    async with a_world() as world:
        await world.push(napping())
        await world.start("napping", "r")
        await asleep(world, "r")
        engine, died = world.engines[0], asyncio.Event()

        def die(name: str) -> None:
            if name == moment:
                world.machine.freeze()
                died.set()

        world.machine.on_call = die
        clock.leap(HOUR)
        await asyncio.wait_for(died.wait(), 20)
        await world.crash(engine)
        assert len(await timers(world)) == 1
        assert await open_runs(world) == set()

        await world.take_over("w2")

        assert statuses(await world.ended("r"))["after"] == "completed"


@pytest.mark.parametrize("lost", [False, True], ids=["before it was made", "after it was made"])
@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("name", ["commit", "load", "fired"])
async def test_a_run_that_sleeps_and_waits_survives_a_crash_at_each_call_of_the_store(
    name: str, number: int, clock: LeapingClock, *, lost: bool
) -> None:
    document = blueprint(
        "both",
        {"nap": {"uses": "sleep", "params": {"duration": "1h"}}, "ask": WAITING["nodes"][1], "after": "echo"},
        ("nap", "ask"),
        ("ask", "after"),
    )
    async with a_world() as world:
        await world.push(document)
        crashed, calls = asyncio.Event(), 0

        def die(called: str) -> None:
            nonlocal calls
            calls += called == name
            if calls == number and not crashed.is_set():
                crashed.set()
                world.machine.freeze()

        world.machine.on_call = die
        world.machine.answers_are_lost = lost
        await world.start("both", "r")
        await signal(world, "r")

        await eventually(lambda: crashed.is_set() or rests(world, "r"))
        clock.leap(HOUR)
        await eventually(lambda: crashed.is_set() or has_ended(world, "r"))
        await world.crash(world.engines[0])

        await world.take_over("w2")

        await eventually(lambda: rests(world, "r"))
        clock.leap(HOUR)
        view = await world.ended("r")
        assert statuses(view) == {"nap": "completed", "ask": "completed", "after": "completed"}
        await eventually(lambda: _no_timers(world))


async def test_a_timer_of_a_run_that_does_not_exist_is_removed() -> None:
    async with a_world() as world:
        partition = world.bus.partition_of(RunId("nobody"))
        row = TimerRow(partition=partition, due_at=1.0, run_id=RunId("nobody"), kind="step", step_id=StepId("nap"))
        await world.timers.put([row])

        await eventually(lambda: _no_timers(world))


async def test_a_timer_in_the_partition_of_a_smaller_topic_reaches_the_owner_of_the_run(
    clock: LeapingClock,
) -> None:
    async with a_world() as world:
        await world.push(napping())
        await world.start("napping", "r")
        await asleep(world, "r")
        (row,) = await timers(world)
        other = (row.partition + 1) % 4
        await world.timers.fired([row])
        await world.timers.put(
            [TimerRow(partition=other, due_at=row.due_at, run_id=row.run_id, kind=row.kind, step_id=row.step_id)]
        )
        clock.leap(HOUR)

        assert statuses(await world.ended("r"))["after"] == "completed"
        await eventually(lambda: _no_timers(world))


async def test_a_parked_step_keeps_its_run_open_for_a_worker_that_can_run_it() -> None:
    async with FaultyWorld({}, **TIMES, park_missing_implementations=True) as world:
        await world.push(blueprint("parked", {"a": "unknown"}))
        await world.start("parked", "r")

        async def is_parked() -> bool:
            found = await world.store.load(RunId("r"))
            return found is not None and [step.status for step in found.steps] == ["parked"]

        await eventually(is_parked)
        await asyncio.sleep(0.1)

        assert await open_runs(world) == {"r"}


async def test_a_run_is_not_loaded_before_it_would_stay_in_memory(clock: LeapingClock) -> None:
    async with a_world(timer_lookahead_seconds=2 * HOUR) as world:
        await world.push(napping())
        await world.start("napping", "r")
        await asleep(world, "r")
        await asyncio.sleep(0.3)
        assert world.engines[0].counts["loaded"] == 0

        clock.leap(HOUR)
        await world.ended("r")

        assert world.engines[0].counts["loaded"] == 1


async def test_runs_stay_in_memory_while_they_wait_if_that_is_wanted(clock: LeapingClock) -> None:
    async with a_world(timer_in_memory_seconds=float("inf")) as world:
        await world.push(napping())
        await world.start("napping", "r")
        await eventually(lambda: len(world.engines[0].alarms) == 1)

        assert await timers(world) == []
        assert await open_runs(world) == {"r"}
        clock.leap(HOUR)
        assert statuses(await world.ended("r"))["after"] == "completed"


# -- many at once ------------------------------------------------------------------------------------------------------


async def test_a_thousand_runs_that_wake_in_the_same_second_are_hardly_late(clock: LeapingClock) -> None:
    async with a_world(timer_in_memory_seconds=2.0, timer_lookahead_seconds=1.5, timer_poll_seconds=0.2) as world:
        await world.push(
            blueprint("later", {"nap": {"uses": "sleep", "params": {"duration": "1h"}}, "a": "echo"}, ("nap", "a"))
        )
        runs = [f"r{number}" for number in range(1000)]
        for run_id in runs:
            await world.start("later", run_id)
        await asleep(world, *runs)
        due = {row.run_id: row.due_at for row in await timers(world)}

        clock.leap(min(due.values()) - clock.now())
        for run_id in runs:
            await world.ended(run_id)

        late = []
        for run_id in runs:
            rows = await world.store.load(RunId(run_id))
            (ended_at,) = [step.ended_at for step in rows.steps if step.step_id == "nap"]
            late.append(ended_at - due[RunId(run_id)])
        late.sort()
        assert late[0] >= 0
        assert late[989] < LATE_SECONDS, late[-20:]
