"""What comes on the jobs topic: good and bad. A bad record becomes a dead letter, and the next one is handled."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from support.faults import FaultyWorld
from support.world import World, blueprint, eventually, outputs, statuses

from famulus.engine.commands import cancel_record
from famulus.engine.records import step_record
from famulus.errors import OutputError
from famulus.ids import RunId, StepId
from famulus.ports import FORWARDED, Record

ECHO = blueprint("echo", {"a": {"uses": "echo", "inputs": "x"}, "b": "echo"}, ("a", "b"))
PAIR = blueprint("pair", {"a": "echo", "b": "echo"})


def echo(input: Any) -> Any:
    return input


def a_world(**options: Any) -> World:
    return World({"echo": echo}, **options)


def start_of(run_id: str, **more: Any) -> dict[str, Any]:
    return {"run_id": run_id, "blueprint_id": "echo", "input": {"x": 1}, **more}


def partition_key(world: World, partition: int) -> str:
    """A run id whose partition is this one."""
    return next(name for i in range(1000) if world.bus.partition_of(RunId(name := f"next{i}")) == partition)


async def next_is_handled(world: World, bad: Record) -> None:
    """A good record behind the bad one, on the same partition."""
    run_id = partition_key(world, bad.partition)
    await world.send(start_of(run_id), key=run_id)
    view = await world.ended(run_id)
    assert view.summary.status == "completed"


DEEP = b'{"run_id": "r", "blueprint_id": "echo", "input": {"x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}}"
QUITE_DEEP = b'{"run_id": "r", "blueprint_id": "echo", "input": {"x": ' + b"[" * 900 + b"]" * 900 + b"}}"

BAD: dict[str, tuple[Any, str]] = {
    "null": (None, "null_value"),
    "empty": (b"", "not_json"),
    "not json": (b"{nope", "not_json"),
    "not utf-8": (b'{"run_id": "\xff\xfe"}', "not_json"),
    "half a surrogate": (b'{"run_id": "r", "blueprint_id": "\\ud800"}', "not_json"),
    "two documents": (b"{} {}", "not_json"),
    "list": (b"[]", "not_an_object"),
    "text": (b'"start"', "not_an_object"),
    "number out of range": (b'{"run_id": "r", "blueprint_id": "echo", "input": {"x": 1e999}}', "not_json"),
    "2 MB": (start_of("r", input={"x": "y" * 2_000_000}), "too_large"),
    "20,000 deep": (DEEP, "too_deep"),
    "900 deep": (QUITE_DEEP, "too_deep"),
    "nothing in it": ({}, "missing_field"),
    "no run id": ({"blueprint_id": "echo"}, "missing_field"),
    "no blueprint": ({"run_id": "r"}, "missing_field"),
    "run id of another type": ({"run_id": 5, "blueprint_id": "echo"}, "wrong_type"),
    "blueprint of another type": ({"run_id": "r", "blueprint_id": ["echo"]}, "wrong_type"),
    "input of another type": (start_of("r", input=[1]), "wrong_type"),
    "version of another type": (start_of("r", version=1), "wrong_type"),
    "unknown blueprint": (start_of("r", blueprint_id="nope"), "unknown_blueprint"),
    "unknown version": (start_of("r", version="9.9"), "unknown_blueprint"),
    "blueprint id of 900 KB": (start_of("r", blueprint_id="n" * 900_000), "unknown_blueprint"),
    "unknown type": (start_of("r", type="dance"), "unknown_record_type"),
    "type that is a list": (start_of("r", type=[]), "unknown_record_type"),
    "type that is null": (start_of("r", type=None), "unknown_record_type"),
    "unknown command": ({"type": "command", "command": "explode", "run_id": "r"}, "unknown_command"),
    "command of 900 KB": ({"type": "command", "command": "x" * 900_000, "run_id": "r"}, "unknown_command"),
    "command of another type": ({"type": "command", "command": {}, "run_id": "r"}, "wrong_type"),
    "cancel of an unknown run": ({"type": "command", "command": "cancel", "run_id": "r"}, "unknown_run"),
    "step of an unknown run": ({"type": "step", "step_id": "a", "run_id": "r"}, "unknown_run"),
    "wake of an unknown run": ({"type": "wake", "run_id": "r"}, "unknown_run"),
    "step without id": ({"type": "step", "run_id": "r"}, "missing_field"),
    "flowcraft without blueprint": ({"runId": "r", "nodeId": "a"}, "missing_field"),
    "flowcraft with a wrong id": ({"runId": 5, "blueprintId": "echo", "nodeId": "a"}, "wrong_type"),
    **{
        f"run id {name}": ({"run_id": run_id, "blueprint_id": "echo"}, code)
        for name, run_id, code in (
            ("empty", "", "missing_field"),
            ("with a space", "a b", "bad_run_id"),
            ("with a slash", "../etc", "bad_run_id"),
            ("with a line feed", "a\n", "bad_run_id"),
            ("with nul", "a\x00", "bad_run_id"),
            ("not ascii", "Läufer", "bad_run_id"),
            ("of 129 characters", "x" * 129, "bad_run_id"),
            ("of 900 KB", "x" * 900_000, "bad_run_id"),
        )
    },
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_record_becomes_a_dead_letter_and_the_next_one_is_handled(name: str) -> None:
    given, code = BAD[name]
    async with a_world() as world:
        await world.push(ECHO)

        bad = await world.send(given, key="r")

        await next_is_handled(world, bad)
        await eventually(lambda: bool(world.bus.dead_letters))
        assert [(letter.record, letter.code) for letter in world.bus.dead_letters] == [(bad, code)]
        assert 0 < len(world.bus.dead_letters[0].reason) <= 2000
        assert await world.store.load(RunId("r")) is None


@pytest.mark.parametrize(
    "more",
    [
        {"type": "start"},
        {"version": None},
        {"version": ""},
        {"input": None, "x": 1},
        {"unheard_of": {"deep": [1]}, "flowcraft": True},
        {"blueprint_id": "echo", "nodeId": "a"},
    ],
)
async def test_a_start_needs_no_more_than_run_and_blueprint_and_ignores_what_it_does_not_know(
    more: dict[str, Any],
) -> None:
    async with a_world() as world:
        await world.push(ECHO)

        await world.send(start_of("r", **more), key="r")

        view = await world.ended("r")
        assert statuses(view) == {"a": "completed", "b": "completed"}
        assert world.bus.dead_letters == []


@pytest.mark.parametrize("run_id", ["-", "a.b:c_d-e", "0", "x" * 128, "..", "__proto__", "NULL"])
async def test_an_odd_run_id_of_allowed_characters_is_a_run_id(run_id: str) -> None:
    async with a_world() as world:
        await world.push(ECHO)

        await world.send(start_of(run_id), key=run_id)

        assert outputs(await world.ended(run_id)) == {"a": 1, "b": 1}


async def test_odd_blueprint_and_node_ids_work() -> None:
    odd = blueprint("Übung / №1", {"a b": "echo", "ö.x[1]": "echo"}, ("a b", "ö.x[1]"))
    async with a_world() as world:
        view = await world.run(odd)

    assert statuses(view) == {"a b": "completed", "ö.x[1]": "completed"}


async def test_a_flowcraft_job_starts_the_run_and_its_siblings_find_it() -> None:
    async with a_world() as world:
        await world.push(PAIR)

        for node_id in ("a", "b"):
            await world.send({"runId": "r", "blueprintId": "pair", "nodeId": node_id}, key="r")

        view = await world.ended("r")
        await eventually(lambda: not world.handling)
        events = await world.reader.events(RunId("r"))
    assert statuses(view) == {"a": "completed", "b": "completed"}
    assert [event.type for event in events].count("run.started") == 1
    assert "run.start_refused" not in [event.type for event in events]


# -- keys and partitions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, b"another key"])
async def test_a_record_on_the_wrong_partition_is_forwarded_and_says_where_it_came_from(key: bytes | None) -> None:
    async with a_world() as world:
        await world.push(ECHO)
        right = world.bus.partition_of(RunId("r"))
        wrong = (right + 1) % 4

        record = world.bus.append_job(wrong, key, msgspec.json.encode(start_of("r")), headers=[("trace", b"1")])

        view = await world.ended("r")
        assert view.partition == right
        forwarded = next(r for r in world.bus.jobs[right] if dict(r.headers).get(FORWARDED))
        assert dict(forwarded.headers) == {"trace": b"1", FORWARDED: f"jobs/{wrong}/{record.offset}".encode()}
        assert (forwarded.key, forwarded.value) == (b"r", record.value)


async def test_a_record_is_not_forwarded_for_ever_when_broker_and_bus_disagree() -> None:
    async with a_world() as world:
        bus = world.bus

        async def send_to_another(run_id: RunId, value: bytes, *, headers: Any = ()) -> Any:
            bus.append_job((bus.partition_of(run_id) + 1) % 4, run_id.encode(), value, headers=headers)
            taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            taken.set_result(None)
            return taken

        bus.send_job = send_to_another  # type: ignore[method-assign]
        await send_to_another(RunId("r"), msgspec.json.encode(start_of("r")))

        await eventually(lambda: [letter.code for letter in bus.dead_letters] == ["misrouted"])


async def test_a_record_that_is_too_large_to_be_forwarded_becomes_a_dead_letter() -> None:
    """It is as large as its topic takes; with the header that tells where it came from it would be larger."""
    async with a_world() as world:
        await world.push(ECHO)
        wrong = (world.bus.partition_of(RunId("r")) + 1) % 4

        async def refuse(*_: object, **__: object) -> None:
            raise OutputError("larger than the topic takes")

        world.bus.send_job = refuse  # type: ignore[method-assign, assignment]
        world.bus.append_job(wrong, b"r", msgspec.json.encode(start_of("r")))

        await eventually(lambda: [letter.code for letter in world.bus.dead_letters] == ["too_large"])


async def test_a_record_without_key_on_the_right_partition_is_handled_there() -> None:
    async with a_world() as world:
        await world.push(ECHO)

        world.bus.append_job(world.bus.partition_of(RunId("r")), None, msgspec.json.encode(start_of("r")))

        await world.ended("r")
        assert world.engines[0].counts["forwarded"] == 0


# -- starting twice --------------------------------------------------------------------------------------------------


async def refusals(world: World, run_id: str = "r") -> list[str]:
    return [e.data["detail"] for e in await world.reader.events(RunId(run_id)) if e.type == "run.start_refused"]


@pytest.mark.parametrize("ended", [False, True])
async def test_a_second_start_with_the_same_input_changes_nothing(ended: bool) -> None:  # noqa: FBT001
    async with a_world() as world:
        await world.push(ECHO)
        await world.send(start_of("r", input={"x": 1, "y": 2}), key="r")
        if ended:
            await world.ended("r")
        before = await world.reader.events(RunId("r")) if ended else None

        await world.send(start_of("r", input={"y": 2, "x": 1}), key="r")

        await world.ended("r")
        await eventually(lambda: world.engines[0].counts["repeated_starts"] == 1)
        after = await world.reader.events(RunId("r"))
        assert [event.type for event in after].count("run.started") == 1
        assert await refusals(world) == []
        assert before in (None, after)


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize(
    ("more", "detail"),
    [
        ({"input": {"x": 2}}, "another input"),
        ({"input": {}}, "another input"),
        ({"blueprint_id": "pair"}, "another blueprint"),
        ({"blueprint_id": "not even known"}, "another blueprint"),
        ({"version": "2"}, "another version"),
        ({"input": {"x": 2}, "flowcraft": True}, "another input"),
    ],
)
async def test_a_second_start_that_differs_is_recorded_as_refused_and_changes_nothing_else(
    more: dict[str, Any],
    detail: str,
    ended: bool,  # noqa: FBT001
) -> None:
    async with a_world() as world:
        await world.push(ECHO)
        await world.push(PAIR)
        await world.send(start_of("r"), key="r")
        before = await world.ended("r") if ended else None

        await world.send(start_of("r", **more), key="r")
        await eventually(lambda: world.engines[0].counts["repeated_starts"] == 1)

        after = await world.ended("r")
        await eventually(lambda: not world.handling)
        assert len(await refusals(world)) == 1
        assert detail in (await refusals(world))[0]
        assert outputs(after) == {"a": 1, "b": 1}
        if before is not None:
            assert after.summary.ended_at == before.summary.ended_at
            assert after.summary.status == before.summary.status
        assert world.bus.dead_letters == []


async def test_every_one_of_many_refused_starts_of_an_ended_run_is_recorded() -> None:
    async with a_world() as world:
        await world.push(ECHO)
        await world.send(start_of("r"), key="r")
        await world.ended("r")

        for i in range(5):
            await world.send(start_of("r", input={"x": i + 100}), key="r")

        await eventually(lambda: world.engines[0].counts["repeated_starts"] == 5)
        await eventually(lambda: not world.handling)
        assert len(await refusals(world)) == 5
        assert world.engines[0].counts["runs_completed"] == 1


async def test_a_refused_start_says_no_more_than_a_line_can_hold() -> None:
    async with a_world() as world:
        await world.push(ECHO)
        await world.send(start_of("r"), key="r")
        await world.ended("r")

        await world.send(start_of("r", blueprint_id="n" * 900_000), key="r")

        await eventually(lambda: world.engines[0].counts["repeated_starts"] == 1)
        await eventually(lambda: not world.handling)
        assert len((await refusals(world))[0]) <= 2000


# -- cancelling ------------------------------------------------------------------------------------------------------


async def test_a_run_that_is_cancelled_right_after_its_start_is_cancelled() -> None:
    never = asyncio.Event()

    async def wait() -> None:
        await never.wait()

    async with World({"wait": wait}) as world:
        await world.push(blueprint("b", {"a": "wait", "b": "wait"}, ("a", "b")))
        await world.start("b", "r")
        await world.send(msgspec.json.decode(cancel_record(RunId("r"), by="me", reason="enough")), key="r")

        view = await world.ended("r")
        assert (view.summary.status, view.summary.reason) == ("cancelled", "enough")
        assert statuses(view) == {"a": "cancelled", "b": "not_run"}
        await eventually(lambda: not len(world.engines[0].steps.attempts))
        assert world.bus.dead_letters == []


async def test_what_a_run_has_not_come_to_is_pending_and_once_it_has_ended_not_run() -> None:
    document = blueprint("b", {"a": {"uses": "echo", "config": {"compensate": "undo"}}, "b": "hold", "undo": "echo"})
    document["edges"] = [{"source": "a", "target": "b"}]
    held, let_go = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        held.set()
        await let_go.wait()

    async with World({"echo": echo, "hold": hold}) as world:
        await world.push(document)
        await world.start("b", "r")
        await asyncio.wait_for(held.wait(), 10)
        assert statuses(await world.reader.show(RunId("r")))["undo"] == "pending"
        let_go.set()

        assert statuses(await world.ended("r")) == {"a": "completed", "b": "completed", "undo": "not_run"}


async def test_cancelling_in_flight_stops_the_node_and_keeps_the_context() -> None:
    began, stopped = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with World({"wait": wait, "echo": echo}) as world:
        await world.push(blueprint("b", {"a": {"uses": "echo", "inputs": "x"}, "b": "wait"}, ("a", "b")))
        await world.start("b", "r", {"x": 5})
        await began.wait()

        await world.send({"type": "command", "command": "cancel", "run_id": "r"}, key="r")

        view = await world.ended("r")
        await stopped.wait()
        assert statuses(view) == {"a": "completed", "b": "cancelled"}
        assert view.context == {"x": 5, "a": 5}


async def test_a_cancel_before_the_start_is_a_dead_letter_and_the_start_runs() -> None:
    async with a_world() as world:
        await world.push(ECHO)

        await world.send({"type": "command", "command": "cancel", "run_id": "r"}, key="r")
        await world.send(start_of("r"), key="r")

        assert (await world.ended("r")).summary.status == "completed"
        assert [letter.code for letter in world.bus.dead_letters] == ["unknown_run"]


@pytest.mark.parametrize("forgotten", [False, True])
async def test_a_cancel_after_the_end_is_refused_and_changes_nothing(forgotten: bool) -> None:  # noqa: FBT001
    async with a_world() as world:
        await world.push(ECHO)
        await world.send(start_of("r"), key="r")
        before = await world.ended("r")
        await eventually(lambda: not world.handling)
        if forgotten:
            world.engines[0].runs._ended.clear()

        await world.send({"type": "command", "command": "cancel", "run_id": "r"}, key="r")

        async def is_refused() -> bool:
            return (await world.reader.events(RunId("r")))[-1].type == "command.refused"

        await eventually(is_refused)
        after = await world.reader.show(RunId("r"))
        assert replace(after, summary=replace(after.summary, updated_at=before.summary.updated_at)) == before
        assert world.engines[0].runs.in_memory == 0
        assert world.bus.dead_letters == []


async def test_a_cancel_with_a_reason_of_a_megabyte_cancels() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    async with World({"wait": wait}) as world:
        await world.push(blueprint("b", {f"n{i}": "wait" for i in range(10)}))
        await world.start("b", "r")
        command = {"type": "command", "command": "cancel", "run_id": "r", "reason": "y" * 900_000, "by": "z" * 50_000}
        await world.send(command, key="r")

        view = await world.ended("r")
        assert view.summary.status == "cancelled"
        assert len(view.summary.reason or "") <= 2000


@pytest.mark.parametrize(
    "command", [{"type": "command", "command": "cancel", "run_id": "r"}, {"type": "wake", "run_id": "r"}]
)
async def test_a_command_that_comes_while_the_end_of_a_run_is_being_written_is_no_dead_letter(
    command: dict[str, str],
) -> None:
    gate = asyncio.Event()

    async def gated() -> None:
        await gate.wait()

    async with FaultyWorld({"gated": gated}, announce_seconds=0.0) as world:
        await world.push(blueprint("b", {"a": "gated"}))
        await world.start("b", "r")
        await eventually(lambda: world.machine.calls.count("send_event") == 1)
        world.machine.on_call = lambda name: world.machine.freeze() if name == "commit" else None
        gate.set()
        await eventually(lambda: world.machine.calls.count("commit") == 2)

        await world.send(command, key="r")
        for _ in range(100):
            await asyncio.sleep(0)
        world.machine.on_call = lambda _: None
        world.machine.thaw()

        assert (await world.ended("r")).summary.status == "completed"
        await eventually(lambda: not world.handling)
        assert world.bus.dead_letters == []


# -- hints -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step_id", ["a", "b", "not there", "a[1]", "x" * 100_000, "\x00"])
async def test_a_hint_for_what_is_not_due_changes_nothing(step_id: str) -> None:
    gate = asyncio.Event()
    calls: list[str] = []

    async def gated() -> None:
        calls.append("called")
        await gate.wait()

    async with FaultyWorld({"gated": gated, "echo": echo}) as world:
        await world.push(blueprint("b", {"a": "gated", "b": "echo"}, ("a", "b")))
        await world.start("b", "r")
        await eventually(lambda: bool(calls))

        for _ in range(3):
            world.bus.append_job(
                world.bus.partition_of(RunId("r")), b"r", step_record(RunId("r"), StepId(step_id), attempt=7)
            )
        gate.set()

        view = await world.ended("r")
        await eventually(lambda: not world.handling)
        assert statuses(view) == {"a": "completed", "b": "completed"}
        assert calls == ["called"]
        assert await world.completions("r") == {"a": 1, "b": 1}


# -- implementations that are not there ------------------------------------------------------------------------------


async def test_an_unknown_implementation_fails_its_step_when_it_is_reached() -> None:
    document = blueprint(
        "b", {"a": "echo", "b": {"uses": "nowhere", "config": {"maxRetries": 5}}, "c": "echo"}, ("a", "b"), ("b", "c")
    )
    async with a_world() as world:
        view = await world.run(document)

    assert statuses(view) == {"a": "completed", "b": "failed", "c": "skipped"}
    step = view.steps[1]
    assert (step.attempt, "'nowhere'" in (step.reason or ""), "echo" in (step.reason or "")) == (1, True, True)


async def test_an_unknown_implementation_parks_its_step_until_a_worker_has_it() -> None:
    document = blueprint("b", {"a": "echo", "b": "later", "c": "echo"}, ("a", "b"), ("b", "c"), ("a", "c"))
    world = FaultyWorld({"echo": echo}, park_missing_implementations=True)
    async with world:
        await world.push(document)
        await world.start("b", "r")

        async def is_parked() -> bool:
            rows = await world.store.load(RunId("r"))
            return rows is not None and any(row.status == "parked" for row in rows.steps)

        await eventually(is_parked)
        parked = await world.reader.show(RunId("r"))
        await world.send(step_record(RunId("r"), StepId("b"), 1), key="r")
        world.registry.register("later", echo)
        await world.crash(world.engines[0])
        await world.take_over("w2")

        view = await world.ended("r")
        events = [event["type"] for event in await world.events_of("r")]
    assert statuses(parked) == {"a": "completed", "b": "parked", "c": "pending"}
    assert "'later'" in (parked.steps[1].reason or "")
    assert statuses(view) == {"a": "completed", "b": "completed", "c": "completed"}
    assert view.steps[1].reason is None
    assert (events.count("step.parked"), events.count("step.unparked")) == (1, 1)


async def test_a_parked_step_does_not_keep_other_runs_waiting() -> None:
    async with a_world(park_missing_implementations=True) as world:
        await world.push(blueprint("b", {"a": "nowhere"}))
        await world.push(ECHO)
        await world.start("b", "parked")
        await world.start("echo", "r")

        assert (await world.ended("r")).summary.status == "completed"


# -- versions --------------------------------------------------------------------------------------------------------


async def test_a_run_goes_on_with_the_version_that_it_started_with() -> None:
    gate = asyncio.Event()

    async def gated() -> None:
        await gate.wait()

    one = blueprint("b", {"a": "gated", "old": "echo"}, ("a", "old"), metadata={"version": "1"})
    two = blueprint("b", {"a": "echo", "new": "echo"}, ("a", "new"), metadata={"version": "2"})
    world = FaultyWorld({"gated": gated, "echo": echo})
    async with world:
        await world.push(one)
        await world.start("b", "r1")
        await eventually(lambda: world.engines[0].counts["started"] == 1)
        await world.push(two)
        await world.start("b", "r2")
        await world.send({"run_id": "r3", "blueprint_id": "b", "version": "1"}, key="r3")
        await world.ended("r2")
        await world.crash(world.engines[0])
        gate.set()
        await world.take_over("w2")

        assert statuses(await world.ended("r1")) == {"a": "completed", "old": "completed"}
        assert statuses(await world.ended("r2")) == {"a": "completed", "new": "completed"}
        assert statuses(await world.ended("r3")) == {"a": "completed", "old": "completed"}
