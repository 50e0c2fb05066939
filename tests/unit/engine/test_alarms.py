"""One heap of alarms, by a clock that moves when it is told to."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from famulus.engine.timers import Alarms
from famulus.flow.waiting import TimerKey, TimerKind
from famulus.ids import RunId, StepId
from famulus.testing.clock import VirtualClock, stand_still

RUN: Final = RunId("r")


def key(step_id: str = "nap") -> TimerKey:
    return TimerKey(TimerKind.STEP, StepId(step_id))


class Bell:
    """Alarms, what has rung when, and the clock."""

    def __init__(self) -> None:
        self.clock = VirtualClock(start=0.0)
        self.rung: list[tuple[float, str]] = []
        self.alarms = Alarms(self.clock, lambda _, key: self.rung.append((self.clock.now(), key.step_id)))

    def set(self, step_id: str, due_at: float) -> None:
        self.alarms.set(RUN, key(step_id), due_at)

    async def until(self, time: float) -> None:
        await stand_still()
        while (due := self.clock.next_due) is not None and due <= time:
            self.clock.move_to(due)
            await stand_still()
        self.clock.move_to(time)
        await stand_still()


async def test_alarms_ring_once_at_their_times_whatever_order_they_were_set_in() -> None:
    bell = Bell()
    for step_id, due_at in [("b", 20.0), ("c", 30.0), ("a", 10.0), ("b2", 20.0)]:
        bell.set(step_id, due_at)

    await bell.until(100.0)

    assert bell.rung == [(10.0, "a"), (20.0, "b"), (20.0, "b2"), (30.0, "c")]
    assert len(bell.alarms) == 0


async def test_an_alarm_that_is_overdue_rings_at_once() -> None:
    bell = Bell()
    bell.clock.move_to(50.0)

    bell.set("late", 10.0)
    await bell.until(50.0)

    assert bell.rung == [(50.0, "late")]


async def test_an_alarm_that_is_set_again_rings_at_its_new_time_only() -> None:
    bell = Bell()
    bell.set("a", 10.0)
    bell.set("b", 50.0)
    await stand_still()

    bell.set("a", 30.0)
    bell.set("b", 20.0)
    await bell.until(100.0)

    assert bell.rung == [(20.0, "b"), (30.0, "a")]


async def test_an_alarm_that_is_set_to_the_same_time_again_rings_once() -> None:
    bell = Bell()
    bell.set("a", 10.0)
    bell.alarms.cancel(RUN, key("a"))
    bell.set("a", 10.0)

    await bell.until(100.0)

    assert bell.rung == [(10.0, "a")]


async def test_a_cancelled_alarm_does_not_ring_and_may_be_cancelled_again() -> None:
    bell = Bell()
    bell.set("a", 10.0)
    bell.set("b", 20.0)

    for _ in range(2):
        bell.alarms.cancel(RUN, key("a"))
    await bell.until(100.0)

    assert bell.rung == [(20.0, "b")]


async def test_an_alarm_that_is_set_while_others_ring_rings_too() -> None:
    bell = Bell()

    def ring(_: RunId, rung: TimerKey) -> None:
        bell.rung.append((bell.clock.now(), rung.step_id))
        if rung.step_id == "first":
            alarms.set(RUN, key("second"), bell.clock.now())
            alarms.set(RUN, key("third"), bell.clock.now() + 5)

    alarms = Alarms(bell.clock, ring)
    alarms.set(RUN, key("first"), 10.0)

    await bell.until(100.0)

    assert bell.rung == [(10.0, "first"), (10.0, "second"), (15.0, "third")]


async def test_a_thousand_alarms_that_are_moved_and_cancelled_leave_no_rest_behind() -> None:
    bell, drawn = Bell(), random.Random(7)
    expected = {}
    for number in range(1000):
        for _ in range(5):
            expected[f"s{number}"] = drawn.uniform(1, 500)
            bell.set(f"s{number}", expected[f"s{number}"])
    for number in range(0, 1000, 3):
        del expected[f"s{number}"]
        bell.alarms.cancel(RUN, key(f"s{number}"))
    assert len(bell.alarms._heap) < 3 * len(bell.alarms)

    await bell.until(1000.0)

    assert bell.rung == sorted((due_at, step_id) for step_id, due_at in expected.items())


async def test_nothing_sleeps_when_no_alarm_is_set_or_all_are_stopped() -> None:
    bell = Bell()
    bell.set("a", 10.0)
    await stand_still()
    bell.alarms.stop()
    await stand_still()

    assert bell.clock.next_due is None
    assert asyncio.all_tasks() == {asyncio.current_task()}
