"""What an attempt tells while it runs."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import msgspec
import pytest
from support.world import World, blueprint, eventually

from famulus.engine import streaming
from famulus.engine.reading import RunReader
from famulus.errors import RunNotFoundError
from famulus.ids import RunId
from famulus.nodes import NodeContext, ThreadContext


def told(world: World, kind: str) -> list[dict[str, Any]]:
    records = [msgspec.json.decode(record.value or b"") for events in world.bus.events for record in events]
    return [event for record in records for event in record["events"] if event["type"] == kind]


@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_chunks_are_told_in_order_and_are_not_recorded(kind: str) -> None:
    def tell(ctx: Any) -> str:
        for number in range(50):
            ctx.emit({"token": number})
        return "whole"

    async def in_loop(ctx: NodeContext) -> str:
        return tell(ctx)

    def in_thread(ctx: ThreadContext) -> str:
        return tell(ctx)

    async with World({"f": in_loop if kind == "async" else in_thread}) as world:
        await world.run(blueprint("one", {"a": "f"}))
        chunks = told(world, "step.chunk")
        recorded = await world.reader.events(RunId("r1"))

    assert [(event["index"], event["chunk"]["token"]) for event in chunks] == [(n, n) for n in range(50)]
    assert {(event["seq"], event["step"], event["node"], event["attempt"]) for event in chunks} == {(-1, "a", "a", 1)}
    assert {event.type for event in recorded} & {"step.chunk", "step.progress"} == set()


async def test_of_many_progresses_the_last_is_told_and_few_records_are_sent() -> None:
    async def f(ctx: NodeContext) -> None:
        for number in range(1001):
            ctx.progress(number / 1000, f"item {number}")
            if number % 100 == 0:
                await asyncio.sleep(0.05)

    async with World({"f": f}) as world:
        began = time.monotonic()
        await world.run(blueprint("one", {"a": "f"}))
        took = time.monotonic() - began
        shown = await world.progress.of(RunId("r1"))
        told_progress = told(world, "step.progress")

    # The first at once, the last at the end, and one in each interval between them.
    assert 2 <= len(told_progress) <= 2 + took / streaming.INTERVAL_SECONDS
    assert (told_progress[-1]["fraction"], told_progress[-1]["text"]) == (1.0, "item 1000")
    assert shown["a"].fraction == 1.0


async def test_an_attempt_that_fails_has_told_what_it_had_to_tell() -> None:
    async def f(ctx: NodeContext) -> None:
        ctx.emit("last words")
        raise ValueError("bad")

    async with World({"f": f}) as world:
        await world.run(blueprint("one", {"a": "f"}))
        chunks = told(world, "step.chunk")

    assert [event["chunk"] for event in chunks] == ["last words"]


async def test_what_is_too_much_is_lost_and_can_be_seen_by_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "WAITING_BYTES", 40)

    async with World({}) as world:

        async def f(ctx: NodeContext) -> None:
            for _ in range(10):
                ctx.emit("12345678")
            await eventually(lambda: bool(told(world, "step.chunk")))
            ctx.emit("after")

        world.registry.register("f", f)
        view = await world.run(blueprint("one", {"a": "f"}))
        chunks = told(world, "step.chunk")
        lost = world.engines[0].counts["chunks_lost"]

    assert view.summary.status == "completed"
    assert [event["index"] for event in chunks] == [0, 1, 2, 3, 10]
    assert lost == 6


@pytest.mark.parametrize(
    ("tell", "error"),
    [
        (lambda ctx: ctx.emit(object()), "OutputError"),
        (lambda ctx: ctx.emit("x" * 70_000), "OutputError"),
        (lambda ctx: ctx.progress(1.5), "ValueError"),
        (lambda ctx: ctx.progress(float("nan")), "ValueError"),
    ],
)
async def test_what_cannot_be_told_is_an_error_of_the_node(tell: Any, error: str) -> None:
    async with World({"f": tell}) as world:
        view = await world.run(blueprint("one", {"a": "f"}))

    assert view.steps[0].error["type"] == error


async def test_a_broker_that_is_away_does_not_fail_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    async def f(ctx: NodeContext) -> str:
        ctx.progress(0.5, "half")
        return "done"

    async def away(*_: object) -> None:
        raise streaming.FamulusError("away")

    async with World({"f": f}) as world:
        monkeypatch.setattr(streaming.Watchers, "tell", away)
        view = await world.run(blueprint("one", {"a": "f"}))

    assert view.steps[0].output == "done"
    assert world.engines[0].counts["streams_not_told"] == 1


async def test_the_progress_of_a_step_that_runs_is_shown_with_its_run() -> None:
    go_on = asyncio.Event()

    async def f(ctx: NodeContext) -> None:
        ctx.progress(0.4, "four of ten")
        await go_on.wait()

    async with World({"f": f}) as world:
        await world.push(blueprint("one", {"a": "f"}))
        await world.start("one", "r1")
        reader = RunReader(world.store, world.engines[0].catalog, world.progress)

        async def is_shown() -> bool:
            try:
                view = await reader.show(RunId("r1"))
            except RunNotFoundError:
                return False
            told = view.steps[0].progress
            return told is not None and (told["fraction"], told["text"]) == (0.4, "four of ten")

        await eventually(is_shown)
        go_on.set()
        await world.ended("r1")

        assert (await reader.show(RunId("r1"))).steps[0].progress is None


async def test_a_thread_that_was_given_up_tells_nothing_more() -> None:
    go_on, told_late = threading.Event(), threading.Event()

    def f(ctx: ThreadContext) -> None:
        go_on.wait(20)
        ctx.emit("late")
        told_late.set()

    async with World({"f": f}) as world:
        await world.run(blueprint("one", {"a": {"uses": "f", "config": {"timeout": 20}}}))
        go_on.set()
        await asyncio.to_thread(told_late.wait, 20)
        await asyncio.sleep(0)
        chunks = told(world, "step.chunk")

    assert chunks == []
