"""Commands: what a record of one may look like, and what each does to a run."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from itertools import count
from typing import Any

import msgspec
import pytest
from support.held import HeldCommits
from support.world import World, blueprint, eventually, outputs, statuses

from famulus.blueprint.values import ABSENT
from famulus.engine import commands as c
from famulus.engine.reading import EventView, RunView
from famulus.engine.records import Fork, Start, TimerDueRecord, parse_job
from famulus.errors import BadRecordError
from famulus.ids import RunId
from famulus.nodes import NodeContext, ThreadContext
from famulus.ports import Commit

FORM = {"type": "object", "required": ["amount"], "properties": {"amount": {"type": "number"}}}
APPROVAL = blueprint(
    "approval",
    {
        "begin": "echo",
        "ask": {"uses": "wait", "params": {"signal": "answer", "form": FORM}},
        "other": {"uses": "wait"},
        "after": "echo",
    },
    ("begin", "ask"),
    ("begin", "other"),
    ("ask", "after", {"action": "yes"}),
)


def parsed(document: Mapping[str, Any]) -> Any:
    return parse_job(msgspec.json.encode(document), max_bytes=1_000_000)


def command(name: str, /, **given: Any) -> dict[str, Any]:
    return {"type": "command", "command": name, "run_id": "r", **given}


# -- records -----------------------------------------------------------------------------------------------------------


def test_no_output_is_not_the_output_null() -> None:
    assert parsed(command("resume")).output is ABSENT
    assert parsed(command("resume", output=None)).output is None
    assert parsed(command("resume", step_id="a", output=[1], action="yes")) == c.Resume(
        run_id=RunId("r"),
        step_id="a",
        output=[1],
        action="yes",  # type: ignore[arg-type]  # ids are texts
    )


def test_a_record_that_was_made_is_read_as_it_was_meant() -> None:
    made = c.command_record(
        "cancel", RunId("r"), by="ada", reason="enough", command_id="c1", given={"grace_seconds": 2}
    )

    assert parse_job(made, max_bytes=1000) == c.Cancel(
        run_id=RunId("r"), by="ada", reason="enough", command_id="c1", grace_seconds=2.0
    )


def test_starts_may_have_a_time_and_who_asks() -> None:
    start = {"run_id": "r", "blueprint_id": "b"}

    at = parsed({**start, "start_at": "2026-01-01T00:00:00Z", "by": "ada"})

    assert isinstance(at, Start)
    assert (at.start_at, at.by) == (1767225600.0, "ada")
    assert parsed({**start, "start_at": 17.5}).start_at == 17.5


def test_forks_and_timers_are_read() -> None:
    fork = parsed({"type": "fork", "run_id": "n", "from_run": "r", "from_step": "a", "context": {"x": 1}})
    timer = parsed({"type": "timer", "run_id": "r", "kind": "run"})

    assert isinstance(fork, Fork)
    assert (fork.run_id, fork.from_run, fork.from_step, fork.context) == ("n", "r", "a", {"x": 1})
    assert isinstance(timer, TimerDueRecord)
    assert timer.key == ("run", "")


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (command("explode"), "unknown_command"),
        (command("cancel", grace_seconds="soon"), "wrong_type"),
        (command("cancel", grace_seconds=-1), "out_of_range"),
        (command("cancel", grace_seconds=1e9), "out_of_range"),
        (command("signal"), "missing_field"),
        (command("signal", name=5), "wrong_type"),
        (command("resume", step_id=5), "wrong_type"),
        (command("resume", action=["yes"]), "wrong_type"),
        (command("rerun"), "missing_field"),
        (command("rerun", step_id="a", context=[1]), "wrong_type"),
        (command("rerun", step_id="a", context={"_inputs.a": 1}), "wrong_type"),
        (command("limit", step_id="a"), "missing_field"),
        (command("limit", step_id="a", max_concurrency=0), "out_of_range"),
        (command("limit", step_id="a", max_concurrency=True), "wrong_type"),
        (command("limit", step_id="a", tolerated_failures="many"), "wrong_type"),
        (command("limit", step_id="a", tolerated_failures="101%"), "wrong_type"),
        (command("limit", step_id="a", tolerated_failures=-1), "out_of_range"),
        (command("pause", command_id="x" * 129), "out_of_range"),
        (command("child_ended", step_id="a", child="no id"), "bad_run_id"),
        ({"type": "timer", "run_id": "r", "kind": "tea"}, "unknown_timer_kind"),
        ({"type": "fork", "run_id": "n", "from_run": "r"}, "missing_field"),
        ({"type": "fork", "run_id": "n", "from_run": "no id", "from_step": "a"}, "bad_run_id"),
        ({"run_id": "r", "blueprint_id": "b", "start_at": "tomorrow"}, "wrong_type"),
        ({"run_id": "r", "blueprint_id": "b", "start_at": "2026-01-01T00:00:00"}, "wrong_type"),
        ({"run_id": "r", "blueprint_id": "b", "start_at": True}, "wrong_type"),
    ],
)
def test_what_does_not_fit_is_a_bad_record(document: dict[str, Any], code: str) -> None:
    with pytest.raises(BadRecordError) as caught:
        parsed(document)

    assert caught.value.code == code


# -- a run -------------------------------------------------------------------------------------------------------------


def echo(input: Any) -> Any:
    return input


class Controlled(World):
    def __init__(self, **functions: Any) -> None:
        super().__init__({"echo": echo, **functions})
        self.ids = count()

    async def order(self, name: str, /, **given: Any) -> EventView:
        """Send a command, and wait for the event that says what became of it."""
        command_id = f"c{next(self.ids)}"
        await self.send(command(name, by="ada", **{"command_id": command_id, **given}), key="r")
        wanted = given.get("command_id", command_id)
        found: list[EventView] = []

        async def is_told() -> bool:
            found[:] = [each for each in await self.events() if each.data.get("command_id") == wanted]
            return bool(found)

        await eventually(is_told)
        return found[0]

    async def events(self) -> list[EventView]:
        return list(await self.reader.events(RunId("r")))

    async def view(self) -> RunView:
        return await self.reader.show(RunId("r"))

    async def until(self, **wanted: str) -> RunView:
        """Wait until these steps stand so."""

        async def stand() -> bool:
            now = statuses(await self.view())
            return all(now.get(name) == status for name, status in wanted.items())

        await eventually(stand)
        return await self.view()

    async def starts(self, document: Mapping[str, Any], given: dict[str, Any] | None = None) -> None:
        await self.push(document)
        await self.start(document["id"], "r", given)

        async def is_there() -> bool:
            return RunId("r") in await self.store.heads([RunId("r")])

        await eventually(is_there)


async def test_a_resume_gives_output_and_action_to_the_step_that_waits() -> None:
    async with Controlled() as world:
        await world.starts(APPROVAL)
        await world.until(ask="waiting", other="waiting")

        told = await world.order("resume", step_id="ask", output={"amount": 5}, action="yes")

        assert (told.type, told.data["by"], told.data["step"]) == ("step.resumed", "ada", "ask")
        view = await world.until(after="completed")
        assert outputs(view)["ask"] == {"amount": 5}


async def test_a_resume_that_does_not_fit_the_form_is_refused_with_the_reason() -> None:
    async with Controlled() as world:
        await world.starts(APPROVAL)
        await world.until(ask="waiting", other="waiting")

        for given in ({"output": {"amount": "5"}}, {"output": None}, {}):
            told = await world.order("resume", step_id="ask", **given)
            assert told.type == "command.refused"
            assert "form of step ask" in told.data["reason"]
        signal = await world.order("signal", name="answer", payload={})

        assert signal.type == "command.refused"
        assert statuses(await world.view())["ask"] == "waiting"


async def test_without_a_step_whichever_has_waited_longest_is_resumed() -> None:
    two = blueprint(
        "two",
        {"a": "wait", "b": {"uses": "sleep", "params": {"duration": "1h"}}, "c": "wait"},
        ("a", "c"),
    )
    async with Controlled() as world:
        await world.starts(two)
        await world.until(a="waiting", b="sleeping")
        first, second = [
            event.data["step"] for event in await world.events() if event.type in ("step.waiting", "step.sleeping")
        ]

        told = await world.order("resume", output=1)
        assert told.data["step"] == first
        other = await world.order("resume", output=2)
        assert other.data["step"] == second
        await world.until(c="waiting")
        assert (await world.order("resume", step_id="c")).type == "step.resumed"
        assert (await world.ended("r")).summary.status == "completed"


@pytest.mark.parametrize("step_id", ["begin", "after", "nobody", None])
async def test_a_resume_of_what_does_not_wait_is_refused(step_id: str | None) -> None:
    given = {} if step_id is None else {"step_id": step_id}
    document = blueprint("b", {"begin": "echo", "hold": "never", "after": "echo"}, ("begin", "hold"), ("hold", "after"))

    async with Controlled(never=never) as world:
        await world.starts(document)
        await world.until(begin="completed")

        told = await world.order("resume", **given)

        assert told.type == "command.refused"
        assert told.data["reason"]
        assert (await world.view()).summary.status == "running"


async def never() -> None:
    await asyncio.Event().wait()


async def test_a_second_resume_is_refused() -> None:
    async with Controlled() as world:
        await world.starts(APPROVAL)
        await world.until(ask="waiting")

        assert (await world.order("resume", step_id="other")).type == "step.resumed"
        assert (await world.order("resume", step_id="other")).type == "command.refused"


async def test_a_command_that_is_delivered_twice_is_carried_out_once() -> None:
    twice = blueprint(
        "twice",
        {"a": {"uses": "wait", "params": {"signal": "go"}}, "b": {"uses": "wait", "params": {"signal": "go"}}},
        ("a", "b"),
    )
    async with Controlled() as world:
        await world.starts(twice)
        await world.until(a="waiting")

        for _ in range(3):
            await world.order("signal", name="go", payload=1, command_id="same")
        await world.until(a="completed", b="waiting")
        await eventually(lambda: not world.handling)

        assert [event.type for event in await world.events()].count("signal.received") == 1
        assert statuses(await world.view()) == {"a": "completed", "b": "waiting"}


async def test_a_paused_run_starts_nothing_until_it_goes_on() -> None:
    gate = asyncio.Event()

    async def wait_for_gate() -> int:
        await gate.wait()
        return 1

    document = blueprint("b", {"a": "gate", "b": "echo"}, ("a", "b"))
    async with Controlled(gate=wait_for_gate) as world:
        await world.starts(document)

        assert (await world.order("pause", reason="lunch")).type == "run.paused"
        assert (await world.order("pause")).type == "command.refused"
        gate.set()
        view = await world.until(a="completed")
        assert (view.summary.status, view.summary.reason) == ("paused", "lunch")
        assert statuses(view)["b"] != "completed"

        assert (await world.order("unpause")).type == "run.unpaused"
        assert (await world.ended("r")).summary.status == "completed"


# -- after the end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("cancel", {}),
        ("pause", {}),
        ("unpause", {}),
        ("signal", {"name": "x"}),
        ("resume", {}),
        ("limit", {"step_id": "a", "max_concurrency": 1}),
        ("retry", {}),
        ("rerun", {"step_id": "nobody"}),
    ],
)
@pytest.mark.parametrize("forgotten", [False, True])
async def test_what_cannot_be_done_after_the_end_is_refused(
    name: str,
    given: dict[str, Any],
    forgotten: bool,  # noqa: FBT001
) -> None:
    async with Controlled() as world:
        await world.starts(blueprint("b", {"a": "echo"}))
        before = await world.ended("r")
        await eventually(lambda: not world.handling)
        if forgotten:
            world.engines[0].runs._ended.clear()

        told = await world.order(name, **given)

        assert (told.type, told.data["command"], told.data["by"]) == ("command.refused", name, "ada")
        assert told.data["reason"]
        after = await world.view()
        assert (after.summary.status, after.steps, after.context) == ("completed", before.steps, before.context)
        await eventually(lambda: world.engines[0].runs.in_memory == 0)
        assert [run_id async for run_id in world.store.open_runs(after.partition)] == []


@pytest.mark.parametrize("step_id", [None, "a"])
async def test_a_failed_run_is_retried(step_id: str | None) -> None:
    tries: list[int] = []

    def flaky() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("not yet")
        return "done"

    document = blueprint("b", {"a": "flaky", "b": "echo", "c": "echo"}, ("a", "b"))
    async with Controlled(flaky=flaky) as world:
        await world.starts(document)
        assert (await world.ended("r")).summary.status == "failed"
        await eventually(lambda: not world.handling)

        told = await world.order("retry", **({} if step_id is None else {"step_id": step_id}))

        assert told.type == "step.retry_requested"
        view = await world.until(b="completed")
        assert outputs(view)["b"] == "done"
        assert (await world.ended("r")).summary.status == "completed"


class HeldEnds(HeldCommits):
    """Lets the end of a run wait, once it is asked for."""

    is_asked = False

    async def commit(self, commit: Commit) -> None:
        if self.is_asked and commit.head.status == "failed":
            self.free.clear()
        await super().commit(commit)


async def test_a_command_waits_for_the_end_that_the_one_before_it_has_led_to() -> None:
    """Of one owner, two sessions that write the same run would record different things at the same place."""
    world = Controlled()
    held = world.store = HeldEnds(world.store)
    world.options["announce_seconds"] = 0.0
    async with world:
        await world.starts(blueprint("b", {"a": {"uses": "map", "inputs": "n", "params": {"uses": "echo"}}}), {"n": 1})
        await world.ended("r")
        await eventually(lambda: not world.handling)
        held.is_asked = True

        await world.send(command("retry"))
        await eventually(lambda: held.waiting == 1)
        await world.send(command("cancel"))
        for _ in range(200):  # turns of the loop, for what should not happen
            await asyncio.sleep(0)
        held.is_asked = False
        held.free.set()
        await eventually(lambda: not world.handling)

        assert [event.type for event in await world.events()][-1] == "command.refused"


async def test_a_run_is_run_again_from_a_step_with_another_context() -> None:
    def add(ctx: ThreadContext, input: int) -> int:
        return input + int(ctx.get("more", 1))

    document = blueprint("b", {"a": {"uses": "echo", "inputs": "n"}, "b": "add", "c": "add"}, ("a", "b"), ("b", "c"))
    async with Controlled(add=add) as world:
        await world.starts(document, {"n": 1})
        assert outputs(await world.ended("r"))["c"] == 3
        await eventually(lambda: not world.handling)

        told = await world.order("rerun", step_id="b", context={"more": 10})

        assert told.type == "run.rerun_requested"

        async def is_done() -> bool:
            view = await world.view()
            return view.summary.status == "completed" and view.context["c"] == 21

        await eventually(is_done)
        again = [event.data["step"] for event in await world.events() if event.type == "step.completed"]
        assert again == ["a", "b", "c", "b#2", "c#2"]


# -- cancelling with a grace -------------------------------------------------------------------------------------------


async def test_a_node_that_is_cancelled_with_a_grace_may_come_to_its_end() -> None:
    began, ends = asyncio.Event(), []

    async def polite(ctx: NodeContext) -> None:
        began.set()
        while not ctx.cancelled:  # noqa: ASYNC110  # as a node may that looks from time to time
            await asyncio.sleep(0.001)
        ends.append("by itself")

    async with Controlled(polite=polite) as world:
        await world.starts(blueprint("b", {"a": "polite"}))
        await began.wait()

        await world.order("cancel", grace_seconds=60)

        assert (await world.ended("r")).summary.status == "cancelled"
        await eventually(lambda: ends == ["by itself"])


async def test_a_node_that_goes_on_after_the_grace_is_cancelled() -> None:
    began, seen = asyncio.Event(), []
    cancelled_at = 0.0

    async def stubborn(ctx: NodeContext) -> None:
        nonlocal cancelled_at
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled_at = time.monotonic()
            seen.append(ctx.cancelled)

    async with Controlled(stubborn=stubborn) as world:
        await world.starts(blueprint("b", {"a": "stubborn"}))
        await began.wait()

        asked_at = time.monotonic()
        await world.order("cancel", grace_seconds=0.05)

        await eventually(lambda: seen == [True])
        assert cancelled_at - asked_at >= 0.05


async def test_a_node_in_a_thread_sees_that_it_is_not_wanted() -> None:
    began, ended = threading.Event(), threading.Event()

    def busy(ctx: ThreadContext) -> None:
        began.set()
        while not ctx.cancelled:
            pass
        ended.set()

    async with Controlled(busy=busy) as world:
        await world.starts(blueprint("b", {"a": "busy"}))
        await eventually(began.is_set)

        await world.order("cancel")

        await eventually(ended.is_set)


# -- forking -----------------------------------------------------------------------------------------------------------

LINE = blueprint(
    "line",
    {"a": {"uses": "echo", "inputs": "n"}, "b": "note", "side": "echo", "c": "note"},
    ("a", "b"),
    ("a", "side"),
    ("b", "c"),
)


def noting(ran: list[str]) -> Any:
    def note(ctx: ThreadContext, input: int) -> int:
        ran.append(f"{ctx.run_id}/{ctx.step_id}")
        ctx.set(f"seen_{ctx.node_id}", input)
        return input + int(ctx.get("more", 1))

    return note


async def fork(world: Controlled, step: str, **given: Any) -> RunView:
    record = {"type": "fork", "run_id": "f", "from_run": "r", "from_step": step, "by": "ada", **given}
    await world.send(record, key="f")
    return await world.ended("f")


async def test_a_fork_takes_over_what_was_done_and_runs_the_rest() -> None:
    ran: list[str] = []
    async with Controlled(note=noting(ran)) as world:
        await world.starts(LINE, {"n": 1})
        old = await world.ended("r")
        old_events = await world.events()

        view = await fork(world, "c", context={"more": 10})

        assert view.summary.status == "completed"
        assert (view.summary.run_id, view.digest, view.input) == ("f", old.digest, {"n": 1})
        assert outputs(view) == {"a": 1, "b": 2, "side": 1, "c": 12}
        assert view.context == {"n": 1, "more": 10, "a": 1, "b": 2, "side": 1, "c": 12, "seen_b": 1, "seen_c": 2}
        assert ran == ["r/b", "r/c", "f/c"]
        first = (await world.reader.events(RunId("f")))[0]
        assert (first.type, first.data["from_run"], first.data["from_step"], first.data["by"]) == (
            "run.forked",
            "r",
            "c",
            "ada",
        )
        assert await world.view() == old
        assert await world.events() == old_events


async def test_what_runs_again_in_a_fork_has_left_nothing_in_its_context() -> None:
    seen: list[bool] = []

    async def look(ctx: NodeContext) -> None:
        seen.append(await ctx.has("mark"))
        await ctx.set("mark", 1)

    async with Controlled(look=look) as world:
        await world.starts(blueprint("b", {"a": "look", "b": "look"}, ("a", "b")))
        await world.ended("r")

        await fork(world, "a")

        assert seen == [False, True, False, True]


async def test_a_fork_of_a_failed_run_runs_what_failed_again() -> None:
    broken = True

    def flaky() -> str:
        if broken:
            raise ValueError("broken")
        return "done"

    document = blueprint("b", {"a": "echo", "x": "flaky", "y": "echo", "j": "echo"}, ("a", "x"), ("a", "y"), ("x", "j"))
    async with Controlled(flaky=flaky) as world:
        await world.starts(document)
        assert (await world.ended("r")).summary.status == "failed"
        broken = False

        view = await fork(world, "y")

        assert view.summary.status == "completed"
        assert outputs(view)["j"] == "done"


async def test_a_fork_of_a_run_that_goes_on_leaves_it_going() -> None:
    async with Controlled(note=noting([]), never=never) as world:
        await world.starts(blueprint("b", {"a": "echo", "b": "echo", "w": {"uses": "wait"}}, ("a", "b"), ("a", "w")))
        await world.until(b="completed", w="waiting")

        await world.send({"type": "fork", "run_id": "f", "from_run": "r", "from_step": "b"}, key="f")

        async def waits_too() -> bool:
            return RunId("f") in await world.store.heads([RunId("f")]) and statuses(
                await world.reader.show(RunId("f"))
            ) == {"a": "completed", "b": "completed", "w": "waiting"}

        await eventually(waits_too)
        assert (await world.view()).summary.status == "waiting"
        await world.order("resume")
        assert (await world.ended("r")).summary.status == "completed"


async def test_the_same_fork_again_changes_nothing() -> None:
    ran: list[str] = []
    async with Controlled(note=noting(ran)) as world:
        await world.starts(LINE, {"n": 1})
        await world.ended("r")
        before = await fork(world, "c")

        await fork(world, "c")
        await eventually(lambda: not world.handling)

        assert await world.reader.show(RunId("f")) == before
        assert ran == ["r/b", "r/c", "f/c"]


@pytest.mark.parametrize("step", ["nobody", "skipped"])
async def test_a_fork_from_where_the_run_has_not_come_is_a_dead_letter(step: str) -> None:
    document = blueprint("b", {"a": "echo", "hold": "never", "skipped": "echo"}, ("a", "hold"), ("hold", "skipped"))
    async with Controlled(never=never) as world:
        await world.starts(document)
        await world.until(a="completed")

        await world.send({"type": "fork", "run_id": "f", "from_run": "r", "from_step": step}, key="f")

        await eventually(lambda: bool(world.bus.dead_letters))
        assert "has not come to" in world.bus.dead_letters[0].reason
        assert await world.store.load(RunId("f")) is None


async def test_a_fork_of_a_run_that_does_not_exist_is_a_dead_letter() -> None:
    async with Controlled() as world:
        await world.send({"type": "fork", "run_id": "f", "from_run": "r", "from_step": "a"}, key="f")

        await eventually(lambda: bool(world.bus.dead_letters))
        assert "'r' does not exist" in world.bus.dead_letters[0].reason


async def test_a_forked_run_is_the_same_for_its_next_owner() -> None:
    async with Controlled(note=noting([]), never=never) as world:
        await world.starts(blueprint("b", {"a": "echo", "b": "echo", "w": {"uses": "wait"}}, ("a", "b"), ("b", "w")))
        await world.until(w="waiting")
        await world.send({"type": "fork", "run_id": "f", "from_run": "r", "from_step": "w"}, key="f")

        async def waits() -> bool:
            return RunId("f") in await world.store.heads([RunId("f")]) and statuses(
                await world.reader.show(RunId("f"))
            ) == {"a": "completed", "b": "completed", "w": "waiting"}

        await eventually(waits)
        world.engines[0].revoked()
        world.engines[0].assigned(range(len(world.bus.jobs)))

        await world.send({**command("resume", output=1), "run_id": "f"}, key="f")

        view = await world.ended("f")
        assert (view.summary.status, outputs(view)["w"]) == ("completed", 1)


ALL_KINDS = blueprint(
    "all kinds",
    {
        "items": {"uses": "echo", "inputs": "list"},
        "map": {"uses": "map", "params": {"uses": "double"}},
        "body": "count",
        "loop": {"uses": "loop-controller", "params": {"condition": "cel: context.n < 3"}},
        "again": {"uses": "echo", "inputs": "list"},
        "scatter": {"uses": "batch-scatter", "params": {"workerUsesKey": "double", "gatherNodeId": "gather"}},
        "gather": {"uses": "batch-gather", "params": {"gatherNodeId": "gather"}},
        "end": "echo",
    },
    ("items", "map"),
    ("map", "body"),
    ("body", "loop"),
    ("loop", "body", {"action": "continue"}),
    ("loop", "again", {"action": "break"}),
    ("again", "scatter"),
    ("scatter", "gather"),
    ("gather", "end"),
)


def count_up(ctx: ThreadContext) -> int:
    number = int(ctx.get("n", 0)) + 1
    ctx.set("n", number)
    return number


@pytest.mark.parametrize("rerun", [None, "again"])
@pytest.mark.parametrize("step", ["items", "map", "loop", "again", "scatter", "gather", "end"])
async def test_a_fork_from_any_step_comes_to_the_same_end(step: str, rerun: str | None) -> None:
    def double(input: int) -> int:
        return input * 2

    async with Controlled(double=double, count=count_up) as world:
        await world.starts(ALL_KINDS, {"list": [1, 2, 3]})
        old = await world.ended("r")
        await eventually(lambda: not world.handling)
        if rerun is not None:
            await world.order("rerun", step_id=rerun)
            old = await world.ended("r")

        view = await fork(world, step)

        assert view.summary.status == "completed"
        assert (outputs(view), view.context) == (outputs(old), old.context)
        assert outputs(view)["end"] == [2, 4, 6]
        later = await world.reader.steps(RunId("f"), limit=1000)
        assert len({each.step_id for _, each in later}) == len(later)


async def test_a_fork_from_inside_a_loop_is_refused() -> None:
    async with Controlled(double=echo, count=count_up) as world:
        await world.starts(ALL_KINDS, {"list": [1]})
        await world.ended("r")

        await world.send({"type": "fork", "run_id": "f", "from_run": "r", "from_step": "body"}, key="f")

        await eventually(lambda: bool(world.bus.dead_letters))
        assert "fork from its controller 'loop'" in world.bus.dead_letters[0].reason
