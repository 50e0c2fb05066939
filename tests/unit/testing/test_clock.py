"""Time that moves when it is told to, and only when nothing else does."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from famulus.testing.clock import START, Pace, VirtualClock, stand_still


async def sleeper(clock: VirtualClock, seconds: float, woken: list[float]) -> None:
    await clock.sleep(seconds)
    woken.append(seconds)


def pace_of(clock: VirtualClock, *, busy: str = "", patience: float = 60.0) -> Pace:
    return Pace(clock, busy=lambda: busy, progress=lambda: 0, patience_seconds=patience)


async def test_sleepers_wake_in_the_order_of_their_times() -> None:
    clock, woken = VirtualClock(), list[float]()
    tasks = [asyncio.create_task(sleeper(clock, seconds, woken)) for seconds in (30, 10, 20)]
    await stand_still()

    pace = pace_of(clock)
    assert await pace.go_on()
    assert (woken, clock.now()) == ([10], START + 10)
    clock.move_to(START + 100)
    await stand_still()

    assert woken == [10, 20, 30]
    assert not await pace.go_on()
    await asyncio.gather(*tasks)


async def test_time_does_not_pass_a_limit() -> None:
    clock = VirtualClock()
    task = asyncio.create_task(clock.sleep(60))

    assert not await pace_of(clock).go_on(until=START + 59)
    assert clock.now() == START
    task.cancel()


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = VirtualClock()
    task = asyncio.create_task(clock.sleep(60))
    await stand_still()
    assert clock.has_asleep(task)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert clock.next_due is None
    assert not clock.has_asleep(task)


async def test_nothing_to_wait_for_takes_no_time() -> None:
    clock = VirtualClock()
    await clock.sleep(0)
    await clock.sleep(-5)

    assert clock.now() == START


async def chain(steps: list[int]) -> None:
    for number in range(500):
        await asyncio.sleep(0)
        steps.append(number)


async def test_it_stands_still_only_when_a_long_chain_has_come_to_its_end() -> None:
    steps: list[int] = []

    task = asyncio.create_task(chain(steps))
    assert await stand_still()

    assert len(steps) == 500
    await task


async def test_what_turns_round_and_round_is_given_up() -> None:
    async def spin() -> None:
        for _ in itertools.count():
            await asyncio.sleep(0)

    task = asyncio.create_task(spin())

    assert not await stand_still()
    task.cancel()


async def test_others_who_ask_whether_it_stands_still_do_not_keep_it_from_that() -> None:
    """Each would otherwise be what the others see go on, until all give up."""
    steps: list[int] = []

    async def asks() -> tuple[bool, int]:
        return await stand_still(), len(steps)

    task = asyncio.create_task(chain(steps))

    assert await asyncio.gather(*(asks() for _ in range(20))) == [(True, 500)] * 20
    assert await stand_still()
    await task


async def test_code_at_work_makes_time_follow_and_patience_ends() -> None:
    clock, woken = VirtualClock(), list[float]()
    task = asyncio.create_task(sleeper(clock, 0.01, woken))

    with pytest.raises(TimeoutError, match="step x: at work for more than"):
        await pace_of(clock, busy="step x", patience=0.05).settle()

    assert woken == [0.01]
    assert 0.01 < clock.now() - START < 5
    await task
