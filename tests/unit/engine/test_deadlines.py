"""How long an attempt may take, and what its errors say of another one."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from support.world import RealClock, World, blueprint

from famulus.blueprint.model import NodeConfig
from famulus.engine.deadline import Deadline
from famulus.engine.failures import describe
from famulus.errors import HeartbeatTimeout
from famulus.nodes import NodeContext, NonRetryableError, RetryAfter, ThreadContext
from famulus.testing.clock import VirtualClock, stand_still


async def outcome(function: Any, **config: Any) -> Any:
    async with World({"f": function}) as world:
        view = await world.run(blueprint("one", {"a": {"uses": "f", "config": config}}))
        return view.steps[0]


# -- errors ----------------------------------------------------------------------------------------------------------


class FarError(ConnectionError):
    pass


def test_an_error_is_told_with_its_base_classes_nearest_first() -> None:
    assert describe(FarError("x")).bases == ("ConnectionError", "OSError", "Exception")
    assert describe(KeyboardInterrupt()).bases == ()


async def fact_of(function: Any) -> Any:
    """What the run is told of the only attempt."""
    facts: list[Any] = []
    async with World({"f": function}) as world:
        executor = world.engines[0].executor
        attempt = executor.attempt

        async def noted(*given: Any, **named: Any) -> Any:
            facts.append(await attempt(*given, **named))
            return facts[-1]

        executor.attempt = noted  # type: ignore[method-assign]
        await world.run(blueprint("one", {"a": "f"}))
    return facts[0]


@pytest.mark.parametrize("delay", [0.25, timedelta(milliseconds=250)])
async def test_retry_after_asks_for_another_attempt_after_its_time(delay: Any) -> None:
    async def f() -> str:
        raise RetryAfter(delay, "the service is busy")

    fact = await fact_of(f)

    assert (fact.retryable, fact.retry_after_ms) == (True, 250)
    assert (fact.error.type, fact.error.message) == ("RetryAfter", "the service is busy")


async def test_a_non_retryable_error_says_so() -> None:
    async def f() -> None:
        raise NonRetryableError("never")

    fact = await fact_of(f)

    assert (fact.retryable, fact.retry_after_ms) == (False, None)


@pytest.mark.parametrize("delay", [-1, float("nan"), float("inf"), timedelta(seconds=-1)])
def test_retry_after_refuses_a_time_that_is_none(delay: Any) -> None:
    with pytest.raises(ValueError, match="RetryAfter"):
        RetryAfter(delay)


async def test_retry_after_without_attempts_left_fails_the_step() -> None:
    async def f() -> None:
        raise RetryAfter(0.001, "busy")

    step = await outcome(f)

    assert step.status == "failed"
    assert step.error["type"] == "RetryAfter"


# -- heartbeats ------------------------------------------------------------------------------------------------------


async def test_an_attempt_that_does_not_beat_is_tried_again() -> None:
    attempts: list[int] = []

    async def f(ctx: NodeContext) -> str:
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            await asyncio.Event().wait()
        return "done"

    # More than one, for on a busy machine the next may have no time to begin either.
    step = await outcome(f, maxRetries=20, heartbeatTimeout=30)

    assert (step.status, step.output, attempts[:1]) == ("completed", "done", [1])
    assert step.attempt > 1


@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_an_attempt_that_beats_may_take_longer_than_its_heartbeat_timeout(kind: str) -> None:
    async def in_loop(ctx: NodeContext) -> str:
        for _ in range(45):
            await asyncio.sleep(0.05)
            ctx.heartbeat()
        return "done"

    def in_thread(ctx: ThreadContext) -> str:
        for _ in range(45):
            time.sleep(0.05)
            ctx.heartbeat()
        return "done"

    step = await outcome(in_loop if kind == "async" else in_thread, heartbeatTimeout=2000)

    assert (step.status, step.output) == ("completed", "done")


async def test_a_thread_that_does_not_beat_is_left_alone_and_its_late_result_ignored() -> None:
    go_on = threading.Event()

    def f() -> str:
        go_on.wait(20)
        return "late"

    try:
        step = await outcome(f, heartbeatTimeout=30)
    finally:
        go_on.set()

    assert (step.status, step.error["type"]) == ("failed", "HeartbeatTimeout")
    assert "30 ms" in step.reason


async def test_progress_and_chunks_are_heartbeats() -> None:
    async def f(ctx: NodeContext) -> str:
        for number in range(45):
            await asyncio.sleep(0.05)
            ctx.progress(number / 45) if number % 2 else ctx.emit(number)
        return "done"

    assert (await outcome(f, heartbeatTimeout=2000)).status == "completed"


# -- the step with all its attempts ----------------------------------------------------------------------------------


async def test_the_total_timeout_cuts_an_attempt_short_and_is_the_last() -> None:
    attempts: list[int] = []

    async def f(ctx: NodeContext) -> None:
        attempts.append(ctx.attempt)
        await asyncio.sleep(0.06)
        if len(attempts) > 1:
            await asyncio.Event().wait()
        raise ConnectionError("again")

    step = await outcome(f, maxRetries=50, timeout=10_000, totalTimeout=2000)

    assert (step.status, step.error["type"], attempts) == ("failed", "TimeoutError", [1, 2])
    assert "2000 ms in all" in step.reason


async def test_the_timeout_of_an_attempt_counts_where_it_is_shorter_than_what_is_left() -> None:
    step = await outcome(asyncio.Event().wait, timeout=20, totalTimeout=10_000)

    assert "the attempt took longer than 20 ms" in step.reason


async def test_a_timeout_of_the_nodes_own_is_not_taken_for_that_of_the_step() -> None:
    async def f() -> None:
        raise TimeoutError("its own")

    step = await outcome(f, timeout=10_000, totalTimeout=10_000, heartbeatTimeout=10_000)

    assert step.error["message"] == "its own"


async def test_an_attempt_that_begins_after_the_total_timeout_is_the_last() -> None:
    deadline = Deadline(NodeConfig(total_timeout_ms=100), RealClock(), already_seconds=0.1)

    with pytest.raises(TimeoutError, match="in all"):
        deadline.check()

    assert deadline.is_final


async def test_time_is_that_of_the_engine_so_days_may_go_by_in_a_moment() -> None:
    clock = VirtualClock()
    deadline = Deadline(NodeConfig(timeout_ms=86_400_000, heartbeat_ms=3_600_000), clock)
    attempt = asyncio.create_task(deadline.within(asyncio.Event().wait()))

    for _ in range(20):
        await stand_still()
        clock.move_to(clock.now() + 1800)
        deadline.beat()
    await stand_still()
    assert not attempt.done()

    clock.move_to(clock.now() + 3600)
    with pytest.raises(HeartbeatTimeout, match="3600000 ms"):
        await attempt
    assert not deadline.is_final
