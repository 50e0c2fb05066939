"""Commands while owners die: each is carried out once, whatever was lost and delivered again."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from support.faults import FaultyWorld
from support.world import blueprint, eventually, statuses

from famulus.errors import RunNotFoundError
from famulus.ids import RunId
from famulus.nodes import NodeContext

LINE = blueprint(
    "line",
    {
        "first": {"uses": "wait", "params": {"signal": "go"}},
        "second": {"uses": "wait", "params": {"signal": "go"}},
        "work": "work",
        "end": "echo",
    },
    ("first", "second"),
    ("second", "work"),
    ("work", "end"),
)
FORKED = {"type": "fork", "run_id": "f", "from_run": "r", "from_step": "work", "context": {"ready": 7}}


def command(name: str, /, **given: Any) -> dict[str, Any]:
    return {"type": "command", "command": name, "run_id": "r", "command_id": name, **given}


def echo(input: Any) -> Any:
    return input


async def work(ctx: NodeContext) -> int:
    ready = await ctx.get("ready", 0)
    if not ready:
        raise ValueError("not ready")
    return int(ready)


async def stands(world: FaultyWorld, run_id: str, status: str, **steps: str) -> None:
    async def so() -> bool:
        try:
            view = await world.reader.show(RunId(run_id))
        except RunNotFoundError:
            return False
        known = statuses(view)
        return view.summary.status == status and all(known.get(name) == each for name, each in steps.items())

    await eventually(so)


async def _controlled(world: FaultyWorld) -> None:
    """Ask for one thing after the other, each when the last one has shown."""
    await world.start("line", "r")
    await stands(world, "r", "waiting", first="waiting")
    await world.send(command("signal", name="go", payload=1, command_id="one"), key="r")
    await stands(world, "r", "waiting", first="completed", second="waiting")
    await world.send(command("pause"), key="r")
    await stands(world, "r", "paused")
    await world.send(command("unpause"), key="r")
    await stands(world, "r", "waiting")
    await world.send(command("resume", output=2), key="r")
    await stands(world, "r", "failed", work="failed")
    await world.send(command("rerun", step_id="work", context={"ready": 5}), key="r")
    await stands(world, "r", "completed", work="completed", end="completed")
    await world.send(command("cancel"), key="r")
    await world.send(FORKED, key="f")
    await stands(world, "f", "completed", end="completed")


async def _with_crash(after_calls: int, *, doubled: bool, turns: int) -> int:
    """The same with an owner that dies at this call to its servers; returns how many calls it had made."""
    async with FaultyWorld({"echo": echo, "work": work}, doubled=doubled) as world:
        await world.push(LINE)
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
        await _controlled(world)

        async def is_quiet() -> bool:
            return not world.handling and (await world.events_of("r"))[-1]["type"] == "command.refused"

        await eventually(is_quiet)
        replacing.cancel()
        await _check(world)
        return made


async def _check(world: FaultyWorld) -> None:
    told = Counter(event["type"] for event in await world.events_of("r"))
    assert {name: told[name] for name in ("signal.received", "run.paused", "run.unpaused", "step.resumed")} == {
        "signal.received": 1,
        "run.paused": 1,
        "run.unpaused": 1,
        "step.resumed": 1,
    }
    assert (told["run.rerun_requested"], told["command.refused"], told["run.failed"], told["run.completed"]) == (
        1,
        1,
        1,
        1,
    )
    view = await world.reader.show(RunId("r"))
    assert {key: view.context[key] for key in ("first", "second", "work", "end")} == {
        "first": 1,
        "second": 2,
        "work": 5,
        "end": 5,
    }
    fork = await world.reader.show(RunId("f"))
    assert (fork.context["first"], fork.context["second"], fork.context["end"]) == (1, 2, 7)
    assert (await world.completions("f")) == {"work#2": 1, "end#2": 1}
    assert Counter(event["type"] for event in await world.events_of("f"))["run.forked"] == 1


@pytest.mark.parametrize("doubled", [False, True])
@pytest.mark.parametrize("turns", [0, 3])
async def test_a_crash_at_any_call_leaves_every_command_carried_out_once(*, doubled: bool, turns: int) -> None:
    calls = await _with_crash(10_000, doubled=doubled, turns=turns)
    assert calls > 20

    for after_calls in range(1, calls + 1):
        await _with_crash(after_calls, doubled=doubled, turns=turns)
