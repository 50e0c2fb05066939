"""A thread that watches the event loop: blocked here for real, for fractions of a second."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.world import eventually

from app.watchdog.looping import BEAT_SECONDS, LoopWatch

ALARM_SECONDS = 0.2
BLOCKED_SECONDS = 20.0
"""At most: until the thread has told what is asked for."""


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


async def block(until: Callable[[], bool]) -> None:
    end = time.monotonic() + BLOCKED_SECONDS
    while not until() and time.monotonic() < end:
        time.sleep(0.01)  # noqa: ASYNC251 - that is what is looked for


def messages(caplog: pytest.LogCaptureFixture, action: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if getattr(record, "action", "") == action]


@pytest.mark.usefixtures("watch")
async def test_a_blocked_loop_is_told_with_the_step_and_the_stack(told: Told, caplog: Any) -> None:
    def of_the_step() -> list[str]:
        return [message for message in messages(caplog, "loop_blocked") if "step pay of run r1" in message]

    with caplog.at_level(logging.WARNING):
        await asyncio.create_task(block(lambda: len(of_the_step()) >= 2), name="pay")
        await eventually(lambda: bool(messages(caplog, "loop_free")))

    assert len(of_the_step()) >= 2
    assert all("in block" in message for message in of_the_step())
    # Once for each time that it is blocked, however often that is told. A busy machine blocks it too.
    assert 1 <= told.blocked < len(messages(caplog, "loop_blocked"))


async def test_a_loop_that_turns_is_left_alone(watch: LoopWatch, told: Told) -> None:
    longest, turned_at = 0.0, time.monotonic()
    for _ in range(10):
        await asyncio.sleep(BEAT_SECONDS / 5)
        longest, turned_at = max(longest, time.monotonic() - turned_at), time.monotonic()

    is_told = (told.blocked, watch.blocked_until) != (0, None)
    longest = max(longest, time.monotonic() - turned_at)
    assert not is_told or longest >= ALARM_SECONDS, "told of a loop that had turned"


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
        await block(lambda: bool(told.dead))
    finally:
        watch.stop()

    assert told.dead
    assert told.dead[0] >= 2 * ALARM_SECONDS
