"""Runs that wait for runs: what goes down to a child, what comes back, and what a crash in between leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from support.faults import FaultyWorld
from support.world import World, blueprint, eventually, outputs, statuses

from famulus.engine.parents import parent_of
from famulus.engine.reading import RunView
from famulus.errors import BusUnavailableError
from famulus.ids import RunId
from famulus.nodes import NodeContext


async def echo(ctx: NodeContext) -> Any:
    return ctx.input


async def double(ctx: NodeContext) -> Any:
    return ctx.input * 2


async def give(ctx: NodeContext) -> Any:
    return ctx.params.get("value")


async def note(ctx: NodeContext) -> Any:
    await ctx.set("noted", ctx.params.get("value"))


async def fail(_: NodeContext) -> None:
    raise ValueError("boom")


NODES: dict[str, Callable[..., Any]] = {"echo": echo, "double": double, "give": give, "note": note, "fail": fail}
CHILD = blueprint("child", {"first": "double", "second": "double"}, ("first", "second"))


def giving(value: Any) -> dict[str, Any]:
    return {"uses": "give", "params": {"value": value}}


def calling(blueprint_id: str, **more: Any) -> dict[str, Any]:
    config = more.pop("config", {})
    return {"uses": "subflow", "params": {"blueprintId": blueprint_id, **more}, "config": config}


def parent(node: dict[str, Any]) -> dict[str, Any]:
    return blueprint("parent", {"begin": giving(3), "call": node, "end": "echo"}, ("begin", "call"), ("call", "end"))


async def reached(world: World, run_id: str, **expected: str) -> RunView:
    """Wait until steps of a run have these statuses."""

    async def has_reached() -> bool:
        if not await world.store.heads([RunId(run_id)]):
            return False
        shown = statuses(await world.reader.show(RunId(run_id)))
        return all(shown[node_id] == status for node_id, status in expected.items())

    await eventually(has_reached)
    return await world.reader.show(RunId(run_id))


async def open_runs(world: World) -> list[RunId]:
    return [run_id for partition in range(4) async for run_id in world.store.open_runs(partition)]


async def nothing_is_open(world: World) -> None:
    async def is_so() -> bool:
        return not await open_runs(world)

    await eventually(is_so)


def command(run_id: str, name: str) -> dict[str, Any]:
    return {"type": "command", "command": name, "run_id": run_id, "by": "me", "reason": "enough"}


# -- values ------------------------------------------------------------------------------------------------------------


async def test_the_input_goes_to_each_start_node_and_the_terminal_output_comes_back() -> None:
    async with World(NODES) as world:
        await world.push(CHILD)
        run = await world.run(parent(calling("child")))
        child = await world.reader.show(RunId("r1.call"))
        heads = await world.store.heads([RunId("r1.call")])
        await nothing_is_open(world)

    assert run.summary.status == "completed"
    assert outputs(run)["call"] == outputs(run)["end"] == 12
    assert outputs(child) == {"first": 6, "second": 12}
    assert [step.child for step in run.steps] == [None, "r1.call", None]
    assert (run.parent, child.as_json()["parent"]) == (None, {"run_id": "r1", "step_id": "call", "depth": 1})
    link = parent_of(heads[RunId("r1.call")][0])
    assert link is not None
    assert (link.run_id, link.step_id, link.depth) == ("r1", "call", 1)


async def test_several_terminals_give_a_map() -> None:
    child = blueprint("child", {"a": "double", "b": giving(None)})

    async with World(NODES) as world:
        await world.push(child)
        run = await world.run(parent(calling("child")))

    assert outputs(run)["call"] == {"a": 6, "b": None}


async def test_inputs_and_outputs_are_mapped_by_name() -> None:
    child = blueprint(
        "child", {"work": {"uses": "double", "inputs": "number"}, "log": {"uses": "note", "params": {"value": 7}}}
    )
    mapped = calling(
        "child",
        inputs={"number": "begin", "text": "word", "missing": "nothing"},
        outputs={"doubled": "work", "logged": "noted", "word2": "text", "none": "nothing"},
    )

    async with World(NODES) as world:
        await world.push(child)
        await world.push(parent(mapped))
        await world.start("parent", "r1", {"word": "hello"})
        run = await world.ended("r1")
        shown = await world.reader.show(RunId("r1.call"))

    assert shown.input == {"number": 3, "text": "hello"}
    assert outputs(run)["call"] == {"doubled": 6, "logged": 7, "word2": "hello"}
    assert {key: run.context[key] for key in ("doubled", "logged", "word2")} == outputs(run)["call"]


async def test_items_that_are_child_runs_begin_with_the_params_of_the_map() -> None:
    child = blueprint("child", {"work": {"uses": "echo", "inputs": {"item": "_inputs.work", "factor": "factor"}}})
    node = {"uses": "map", "params": {"blueprintId": "child", "params": {"factor": 5}}, "inputs": "given"}

    async with World(NODES) as world:
        await world.push(child)
        await world.push(blueprint("parent", {"call": node}))
        await world.start("parent", "r1", {"given": ["a", "b"]})
        run = await world.ended("r1")

    assert outputs(run)["call"] == [{"item": "a", "factor": 5}, {"item": "b", "factor": 5}]


# -- failure -----------------------------------------------------------------------------------------------------------


async def test_a_child_that_fails_fails_the_step_and_names_itself() -> None:
    async with World(NODES) as world:
        await world.push(blueprint("child", {"work": "fail"}))
        run = await world.run(parent(calling("child")))

    assert statuses(run) == {"begin": "completed", "call": "failed", "end": "skipped"}
    assert "r1.call" in (run.steps[1].reason or "")
    assert "work" in (run.steps[1].reason or "")


async def test_a_retry_runs_another_child() -> None:
    calls = []

    async def flaky(ctx: NodeContext) -> str:
        calls.append(ctx.run_id)
        if len(calls) == 1:
            raise ValueError("not yet")
        return "done"

    async with World({**NODES, "flaky": flaky}) as world:
        await world.push(blueprint("child", {"work": "flaky"}))
        run = await world.run(parent(calling("child", config={"maxRetries": 2})))

    assert calls == ["r1.call", "r1.call:try2"]
    assert outputs(run)["call"] == "done"


async def test_an_unknown_blueprint_is_fatal_and_named() -> None:
    document = blueprint(
        "parent",
        {"call": calling("nowhere", config={"maxRetries": 3, "fallback": "instead"}), "instead": giving(1)},
    )

    async with World(NODES) as world:
        run = await world.run(document)

    assert run.summary.status == "failed"
    assert run.steps[0].attempt == 1
    assert "'nowhere', which node 'call' names" in (run.steps[0].reason or "")


async def test_runs_are_nested_to_a_set_depth() -> None:
    document = blueprint("endless", {"again": calling("endless")})

    async with World(NODES, max_subflow_depth=3) as world:
        run = await world.run(document)
        deepest = await world.reader.show(RunId("r1.again.again.again"))
        await nothing_is_open(world)

    assert run.summary.status == "failed"
    assert "more than 3" in (deepest.steps[0].reason or "")
    assert not await world.store.heads([RunId("r1.again.again.again.again")])


async def test_a_run_that_has_the_id_of_a_child_by_chance_is_not_taken_for_it() -> None:
    async with World(NODES) as world:
        await world.push(blueprint("child", {"first": giving("by hand")}))
        await world.start("child", "r1.call")
        await world.ended("r1.call")
        run = await world.run(parent(calling("child")))

    assert run.summary.status == "failed"
    assert "another run has this id" in (run.steps[1].reason or "")


# -- control -----------------------------------------------------------------------------------------------------------


async def test_a_child_that_waits_makes_its_parent_wait_and_is_cancelled_with_it() -> None:
    async with World(NODES) as world:
        await world.push(blueprint("child", {"ask": "wait"}))
        await world.push(parent(calling("child")))
        await world.start("parent", "r1")
        await reached(world, "r1.call", ask="waiting")
        waiting = (await reached(world, "r1", call="waiting")).summary.status
        await world.send(command("r1", "cancel"))
        run, child = await world.ended("r1"), await world.ended("r1.call")
        await nothing_is_open(world)

    assert waiting == "waiting"
    assert (run.summary.status, child.summary.status) == ("cancelled", "cancelled")
    assert child.summary.reason == "parent run r1 is cancelled"


async def test_a_start_that_comes_after_its_parent_has_ended_starts_nothing() -> None:
    async with World(NODES) as world:
        await world.push(CHILD)
        await world.run(parent(giving(1)))
        start = {"run_id": "r1.late", "blueprint_id": "child", "parent": {"run_id": "r1", "step_id": "call"}}
        await world.send(start)
        await eventually(lambda: world.engines[0].counts["orphans"] == 1)

    assert not await world.store.heads([RunId("r1.late")])


@pytest.mark.parametrize("link", [7, {}, {"run_id": 1, "step_id": "a"}, {"run_id": "r"}])
async def test_a_start_with_a_broken_link_becomes_a_dead_letter(link: Any) -> None:
    async with World(NODES) as world:
        await world.push(CHILD)
        await world.send({"run_id": "r9", "blueprint_id": "child", "parent": link})
        await eventually(lambda: len(world.bus.dead_letters) == 1)

    assert world.bus.dead_letters[0].code == "wrong_type"


async def status_of(world: World, run_id: str) -> str:
    heads = await world.store.heads([RunId(run_id)])
    return heads[RunId(run_id)][1].status if RunId(run_id) in heads else "none"


async def has_status(world: World, run_id: str, status: str) -> None:
    async def is_so() -> bool:
        return await status_of(world, run_id) == status

    await eventually(is_so)


async def test_a_pause_and_its_end_are_passed_on() -> None:
    async with World(NODES) as world:
        await world.push(blueprint("child", {"ask": "wait"}))
        await world.push(parent(calling("child")))
        await world.start("parent", "r1")
        await reached(world, "r1.call", ask="waiting")
        await world.send(command("r1", "pause"))
        await has_status(world, "r1.call", "paused")
        await world.send(command("r1", "unpause"))
        await has_status(world, "r1.call", "waiting")
        await world.send({**command("r1.call", "resume"), "output": 5})
        run = await world.ended("r1")

    assert outputs(run)["call"] == 5


async def test_a_failed_step_that_is_retried_runs_another_child() -> None:
    broken = True

    async def flaky(_: NodeContext) -> str:
        if broken:
            raise ValueError("not yet")
        return "done"

    async with World({**NODES, "flaky": flaky}) as world:
        await world.push(blueprint("child", {"work": "flaky"}))
        await world.run(parent(calling("child")))
        broken = False
        await world.send(command("r1", "retry"))
        await has_status(world, "r1", "completed")
        run = await world.ended("r1")
        everyone = await world.store.recent(limit=10)
        await nothing_is_open(world)

    assert outputs(run)["end"] == "done"
    assert sorted(everyone) == ["r1", "r1.call", "r1.call:try2"]


async def test_a_child_that_is_retried_after_its_parent_failed_changes_nothing_of_the_parent() -> None:
    broken = True

    async def flaky(_: NodeContext) -> str:
        if broken:
            raise ValueError("not yet")
        return "done"

    async with World({**NODES, "flaky": flaky}) as world:
        await world.push(blueprint("child", {"work": "flaky"}))
        await world.run(parent(calling("child")))
        broken = False
        await world.send(command("r1.call", "retry"))
        await has_status(world, "r1.call", "completed")
        await nothing_is_open(world)

        assert await status_of(world, "r1") == "failed"


async def test_a_child_that_was_to_be_paused_is_paused_by_the_next_owner() -> None:
    async with FaultyWorld(NODES) as world:
        await world.push(blueprint("child", {"ask": "wait"}))
        await world.push(parent(calling("child")))
        await world.start("parent", "r1")
        await reached(world, "r1.call", ask="waiting")
        first = world.engines[0]
        machine = world.machines[first]
        machine.on_call = lambda name: machine.freeze() if name == "send_job" else None
        await world.send(command("r1", "pause"))
        await has_status(world, "r1", "paused")
        await world.crash(first)
        await world.take_over("w2")
        await has_status(world, "r1.call", "paused")


@pytest.mark.parametrize("limit", ["timeout", "totalTimeout"])
async def test_a_child_that_takes_too_long_is_cancelled_and_fails_the_step(limit: str) -> None:
    async with World(NODES) as world:
        await world.push(blueprint("child", {"ask": "wait"}))
        run = await world.run(parent(calling("child", config={limit: 40})))
        child = await world.ended("r1.call")
        await nothing_is_open(world)

    assert run.summary.status == "failed"
    assert "TimeoutError: child run r1.call took longer" in (run.steps[1].reason or "")
    assert child.summary.status == "cancelled"


async def test_each_attempt_has_its_time() -> None:
    async with World(NODES) as world:
        await world.push(blueprint("child", {"ask": "wait"}))
        await world.run(parent(calling("child", config={"timeout": 40, "maxRetries": 2})))
        children = [await world.ended("r1.call"), await world.ended("r1.call:try2")]

    assert [child.summary.status for child in children] == ["cancelled", "cancelled"]


async def test_a_child_that_took_too_long_is_cancelled_by_the_next_owner() -> None:
    async with FaultyWorld(NODES) as world:
        await world.push(blueprint("child", {"ask": "wait"}))
        await world.push(parent(calling("child", config={"timeout": 200})))
        await world.start("parent", "r1")
        await reached(world, "r1.call", ask="waiting")
        first = world.engines[0]
        machine = world.machines[first]
        machine.on_call = lambda name: machine.freeze() if name == "send_job" else None
        await has_status(world, "r1", "failed")
        await world.crash(first)
        await world.take_over("w2")
        await has_status(world, "r1.call", "cancelled")
        await nothing_is_open(world)


# -- startRun ----------------------------------------------------------------------------------------------------------


async def test_a_started_run_is_not_waited_for() -> None:
    node = {"uses": "startRun", "params": {"blueprintId": "child", "inputs": {"_inputs.first": "begin"}}}

    async with World(NODES) as world:
        await world.push(CHILD)
        run = await world.run(parent(node))
        other = await world.ended("r1.call")
        heads = await world.store.heads([RunId("r1.call")])

    assert outputs(run)["call"] == {"runId": "r1.call"}
    assert outputs(other)["second"] == 12
    assert heads[RunId("r1.call")][0].parent is None


# -- crashes -----------------------------------------------------------------------------------------------------------


SINGLE = parent(calling("child"))
MANY = blueprint(
    "parent",
    {"begin": giving([1, 2, 3]), "call": {"uses": "map", "params": {"blueprintId": "child"}}, "end": "echo"},
    ("begin", "call"),
    ("call", "end"),
)
FORGOTTEN = parent({"uses": "startRun", "params": {"blueprintId": "child"}})


async def _with_crash(document: dict[str, Any], after_calls: int, *, doubled: bool, turns: int) -> tuple[RunView, int]:
    """Run parent and child, with an owner that dies at this call to its servers; how many calls it had made too."""
    async with FaultyWorld(NODES, doubled=doubled) as world:
        await world.push(CHILD)
        await world.push(document)
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
        await world.start("parent", "r1")
        run = await world.ended("r1")
        for child in await world.store.recent(limit=100):
            assert (await world.ended(child)).summary.status == "completed"
        await nothing_is_open(world)
        replacing.cancel()
        assert set((await world.completions("r1")).values()) == {1}
        return run, made


@pytest.mark.parametrize("doubled", [False, True])
@pytest.mark.parametrize("turns", [0, 3])
@pytest.mark.parametrize(
    ("document", "output"),
    [
        pytest.param(SINGLE, 12, id="subflow"),
        pytest.param(MANY, [4, 8, 12], id="map"),
        pytest.param(FORGOTTEN, {"runId": "r1.call"}, id="startRun"),
    ],
)
async def test_a_crash_at_any_call_leaves_the_same_children_and_the_same_end(
    document: dict[str, Any], output: Any, *, doubled: bool, turns: int
) -> None:
    _, calls = await _with_crash(document, 10_000, doubled=doubled, turns=turns)
    assert calls > 10

    for after_calls in range(1, calls + 1):
        run, _ = await _with_crash(document, after_calls, doubled=doubled, turns=turns)

        assert run.summary.status == "completed", after_calls
        assert outputs(run)["end"] == output


async def test_a_parent_that_slept_when_its_owner_died_is_woken_by_its_child() -> None:
    async with FaultyWorld(NODES) as world:
        await world.push(blueprint("child", {"ask": "wait"}))
        await world.push(parent(calling("child")))
        await world.start("parent", "r1")
        await reached(world, "r1.call", ask="waiting")
        await world.crash(world.engines[0])
        await world.take_over("w2")
        await world.send({**command("r1.call", "resume"), "output": 5})
        run = await world.ended("r1")
        await nothing_is_open(world)

    assert outputs(run)["end"] == 5


async def test_a_parent_that_dies_between_its_cancel_and_telling_its_child_still_tells_it() -> None:
    async with FaultyWorld(NODES) as world:
        await world.push(blueprint("child", {"ask": "wait"}))
        await world.push(parent(calling("child")))
        await world.start("parent", "r1")
        await reached(world, "r1.call", ask="waiting")
        first = world.engines[0]
        machine = world.machines[first]
        machine.on_call = lambda name: machine.freeze() if name == "send_job" else None
        await world.send(command("r1", "cancel"))
        await world.ended("r1")
        left_open = await open_runs(world)
        await world.crash(first)
        await world.take_over("w2")
        child = await world.ended("r1.call")
        await nothing_is_open(world)

    assert "r1" in left_open
    assert child.summary.status == "cancelled"


async def test_a_child_is_told_when_the_broker_is_back() -> None:
    async with FaultyWorld(NODES) as world:
        await world.push(CHILD)
        await world.push(parent(calling("child")))
        world.machine.before["send_job"].extend(BusUnavailableError("away") for _ in range(3))
        await world.start("parent", "r1")
        run = await world.ended("r1")

    assert outputs(run)["end"] == 12


LOOKS_OFTEN: dict[str, Any] = {
    "timer_in_memory_seconds": 0.05,
    "timer_lookahead_seconds": 0.02,
    "timer_poll_seconds": 0.02,
    "child_look_seconds": 0.3,
}


@pytest.mark.parametrize("lost", ["start", "child_ended"])
async def test_what_the_broker_acknowledged_and_lost_holds_up_no_parent(lost: str) -> None:
    """The parent is dormant, and out of the index of open runs: but for its timer nobody would look after it."""
    losses: list[bytes] = []
    async with FaultyWorld(NODES, **LOOKS_OFTEN) as world:
        send = world.bus.send_job

        async def send_or_lose(run_id: RunId, value: bytes, **more: Any) -> Any:
            document = msgspec.json.decode(value)
            kind = document.get("command") or document.get("type")
            if kind == lost and (run_id == "r1.call" or lost == "child_ended") and not losses:
                losses.append(value)
                acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                acknowledged.set_result(None)
                return acknowledged
            return await send(run_id, value, **more)

        world.bus.send_job = send_or_lose  # type: ignore[method-assign]
        await world.push(blueprint("child", {"nap": {"uses": "sleep", "params": {"duration": 1500}}, "a": "echo"}))
        await world.push(parent(calling("child")))
        await world.start("parent", "r1")
        run = await world.ended("r1")

    assert len(losses) == 1
    assert run.summary.status == "completed"


async def test_a_parent_that_looks_after_its_child_is_woken_again_when_its_worker_dies_meanwhile() -> None:
    """The timer that woke it stays until there is another one: what it was woken for had not been done."""
    starts: list[asyncio.Future[None]] = []
    async with World(NODES, **LOOKS_OFTEN) as world:
        send = world.bus.send_job

        async def send_or_hang(run_id: RunId, value: bytes, **more: Any) -> Any:
            if run_id != "r1.call" or len(starts) == 2:
                return await send(run_id, value, **more)
            starts.append(asyncio.get_running_loop().create_future())
            if len(starts) == 1:
                starts[0].set_result(None)  # the broker says so, and loses it
            return starts[-1]

        world.bus.send_job = send_or_hang  # type: ignore[method-assign]
        await world.push(CHILD)
        await world.push(parent(calling("child")))
        await world.start("parent", "r1")
        await eventually(lambda: len(starts) == 2)
        for _ in range(50):  # turns of the loop, for what should not happen
            await asyncio.sleep(0)

        (dead,) = world.engines
        dead.revoked()
        world.engines[:] = [world.engine("next")]
        world.engines[0].assigned(range(4))
        run = await world.ended("r1")
        world.engines.append(dead)

    assert run.summary.status == "completed"
