"""A thread that watches the event loop: blocked here for real, for fractions of a second."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.world import eventually

from app.watchdog.looping import BEAT_SECONDS, LoopWatch

ALARM_SECONDS = 0.2
BLOCKED_SECONDS = BEAT_SECONDS + 4 * ALARM_SECONDS


class Told:
    def __init__(self) -> None:
        self.blocked = 0
        self.dead: list[float] = []

    def on_blocked(self) -> None:
        self.blocked += 1


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def watch(told: Told) -> Iterator[LoopWatch]:
    watch = LoopWatch(
        alarm_seconds=ALARM_SECONDS,
        dead_seconds=100.0,
        step_of=lambda task: "pay of run r1" if task is not None and task.get_name() == "pay" else None,
        on_blocked=told.on_blocked,
        on_dead=told.dead.append,
    )
    watch.start()
    yield watch
    watch.stop()


async def block(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251 - that is what is looked for


def messages(caplog: pytest.LogCaptureFixture, action: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if getattr(record, "action", "") == action]


@pytest.mark.usefixtures("watch")
async def test_a_blocked_loop_is_told_with_the_step_and_the_stack(told: Told, caplog: Any) -> None:
    with caplog.at_level(logging.WARNING):
        await asyncio.create_task(block(BLOCKED_SECONDS), name="pay")
        await eventually(lambda: bool(messages(caplog, "loop_free")))

    first = messages(caplog, "loop_blocked")[0]
    assert "step pay of run r1" in first
    assert "in block" in first
    assert "time.sleep(seconds)" in first
    assert told.blocked == 1


async def test_a_loop_that_turns_is_left_alone(watch: LoopWatch, told: Told) -> None:
    for _ in range(10):
        await asyncio.sleep(BEAT_SECONDS / 5)

    assert told.blocked == 0
    assert watch.blocked_until is None


async def test_a_loop_that_stays_blocked_is_given_up(told: Told) -> None:
    watch = LoopWatch(
        alarm_seconds=ALARM_SECONDS,
        dead_seconds=2 * ALARM_SECONDS,
        step_of=lambda _: None,
        on_blocked=told.on_blocked,
        on_dead=told.dead.append,
    )
    watch.start()
    try:
        await block(BLOCKED_SECONDS)
    finally:
        watch.stop()

    assert told.dead
    assert told.dead[0] >= 2 * ALARM_SECONDS
