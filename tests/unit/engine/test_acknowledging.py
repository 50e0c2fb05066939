"""A record is acknowledged when every step that it made due is recorded or announced; and not much later."""

from __future__ import annotations

import asyncio
from typing import Any

from support.faults import FaultyWorld
from support.world import blueprint, eventually, outputs

from famulus.errors import OutputError
from famulus.ids import RunId


async def test_a_step_that_waits_for_its_next_attempt_holds_no_record() -> None:
    async def fails() -> None:
        raise ValueError("not yet")

    world = FaultyWorld({"fails": fails}, handover_seconds=0.02, announce_seconds=0.0)
    async with world:
        await world.push(blueprint("b", {"a": {"uses": "fails", "config": {"maxRetries": 3, "retryDelay": 3_600_000}}}))
        await world.start("b", "r")

        async def is_retrying() -> bool:
            run = await world.store.load(RunId("r"))
            return run is not None and [step.status for step in run.steps] == ["retrying"]

        await eventually(is_retrying)
        await eventually(lambda: not world.handling)


async def test_a_hint_is_not_acknowledged_when_the_outcome_of_its_step_could_not_be_written() -> None:
    gate = asyncio.Event()
    ran = 0

    async def work() -> str:
        nonlocal ran
        ran += 1
        await gate.wait()
        return "done"

    world = FaultyWorld({"work": work}, announce_seconds=0.0)
    async with world:
        await world.push(blueprint("b", {"a": "work"}))
        await world.start("b", "r")
        records = world.engines[0].counts
        await eventually(lambda: records["records"] == 2 and len(world.handling) == 1)  # the hint waits

        world.machine.before["commit"].append(ValueError("a bug in the store"))
        gate.set()
        view = await world.ended("r")

    assert outputs(view) == {"a": "done"}


async def test_a_record_of_which_nothing_can_be_stored_becomes_a_dead_letter() -> None:
    async def work() -> None:
        pass

    world = FaultyWorld({"work": work}, announce_seconds=0.0)
    async with world:
        await world.push(blueprint("b", {"a": "work"}))
        world.machine.before["commit"].append(OutputError("larger than the store takes"))

        await world.start("b", "r")

        await eventually(lambda: [letter.code for letter in world.bus.dead_letters] == ["cannot_be_handled"])
        await world.start("b", "next")
        await world.ended("next")


async def test_events_that_are_too_many_for_one_record_are_sent_in_several() -> None:
    async def work(ctx: Any) -> None:
        pass

    leaves = [f"leaf-{i}" for i in range(2000)]
    skipping = blueprint(
        "b", {"a": "work", **dict.fromkeys(leaves, "work")}, *(("a", leaf, {"condition": "never"}) for leaf in leaves)
    )
    world = FaultyWorld({"work": work}, announce_seconds=0.0)
    async with world:
        await world.push(skipping)
        await world.start("b", "r")
        await world.ended("r")
        await eventually(lambda: not world.handling)
        records = [record.value or b"" for partition in world.bus.events for record in partition]

    assert max(map(len, records)) < 200_000
    assert sum(record.count(b"step.skipped") for record in records) == len(leaves)
