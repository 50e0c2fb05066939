"""A run in the hands of a test: what it may be asked, and that nothing happens unasked."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from support.world import blueprint

from famulus import testing
from famulus.builder import flow
from famulus.engine.execution import ExecutionLimits
from famulus.errors import BlueprintError, CommandRefusedError, RunFailedError
from famulus.nodes import NodeContext, Registry, Result, ThreadContext

CHAIN = blueprint("chain", {"a": "a", "b": "b"}, ("a", "b"))
WAITING = blueprint(
    "waiting",
    {
        "sleep": {"uses": "sleep", "params": {"duration": "2h"}},
        "approve": {"uses": "wait", "params": {"signal": "approved", "timeout": "1d", "timeoutAction": "late"}},
        "ship": "ship",
        "remind": "remind",
    },
    ("sleep", "approve"),
    ("approve", "ship"),
    ("approve", "remind", {"action": "late"}),
)


async def test_nothing_happens_between_two_calls() -> None:
    async with testing.run(CHAIN, nodes={"a": 1, "b": 2}) as run:
        await run.step()
        seen = run.facts
        await asyncio.sleep(0.02)

        assert run.facts == seen
        assert [fact.type for fact in seen] == ["run.started"]


async def test_step_goes_to_the_next_fact() -> None:
    async with testing.run(CHAIN, nodes={"a": 1, "b": 2}) as run:
        steps = []
        while facts := await run.step():
            steps.append([str(fact) for fact in facts])

        assert steps == [["run.started"], ["step.completed a"], ["step.completed b", "run.completed"]]


async def test_stubs_stand_in_for_implementations_and_for_nodes() -> None:
    document = blueprint("b", {"a": "work", "b": "work", "c": "work"}, ("a", "b"), ("b", "c"))

    async with testing.run(document, nodes={"work": "as always", "b": {"special": True}}) as run:
        await run.finish()

        assert [run.output(each) for each in "abc"] == ["as always", {"special": True}, "as always"]


async def test_functions_are_called_as_a_worker_calls_them() -> None:
    def thread(amount: int, ctx: ThreadContext) -> int:
        ctx.set("seen", "yes")
        return amount + 1

    async def task(ctx: NodeContext) -> Any:
        return [ctx.input, await ctx.get("seen")]

    async with testing.run(CHAIN, nodes={"a": thread, "b": task}, input={"_inputs.a": {"amount": 41}}) as run:
        assert await run.result() == {"a": 42, "b": [42, "yes"], "seen": "yes"}


async def test_what_is_not_stubbed_comes_from_the_registry() -> None:
    registry = Registry()
    registry.register("a", lambda: "real")
    registry.register("b", lambda: "real")

    async with testing.run(CHAIN, nodes={"b": "stub"}, registry=registry) as run:
        assert await run.result() == {"a": "real", "b": "stub"}
    assert registry["b"].function() == "real"


async def test_a_sequence_fails_first_and_the_retry_waits_in_virtual_time() -> None:
    document = blueprint("b", {"a": {"uses": "a", "config": {"maxRetries": 3, "retryDelay": 3_600_000}}})
    began = time.monotonic()

    async with testing.run(document, nodes={"a": testing.sequence(ValueError("no"), OSError, "yes")}) as run:
        await run.settle()
        assert run.now == 0
        assert not run.completed("a")
        await run.finish()

        assert run.output("a") == "yes"
        assert run.now == pytest.approx(7200, abs=0.01)
        assert [each.attempt for each in run.calls("a")] == [1, 2, 3]
    assert time.monotonic() - began < 60


async def test_takes_lets_virtual_time_go_by() -> None:
    document = blueprint("b", {"a": "a", "b": "b"})

    async with testing.run(document, nodes={"a": testing.takes("3h", "slow"), "b": "fast"}) as run:
        await run.settle()
        assert run.completed("b")
        assert run.status_of("a") is None
        await run.skip("2h")
        assert run.status_of("a") is None
        await run.skip("1h")
        assert run.output("a") == "slow"


async def test_takes_longer_than_the_timeout_of_its_node_fails_it() -> None:
    document = blueprint("b", {"a": {"uses": "a", "config": {"timeout": 60_000}}})

    async with testing.run(document, nodes={"a": testing.takes("3h", "slow")}) as run:
        with pytest.raises(RunFailedError, match="longer than 60000 ms"):
            await run.result()
        assert run.now == pytest.approx(60, abs=0.01)


async def test_time_does_not_skip_over_code_that_is_at_work() -> None:
    document = blueprint("b", {"slow": "slow", "nap": {"uses": "sleep", "params": {"duration": "1h"}}})

    def slow() -> str:
        time.sleep(0.05)
        return "done"

    async with testing.run(document, nodes={"slow": slow}) as run:
        await run.finish()

        assert [fact.step for fact in run.facts if fact.type == "step.completed"] == ["slow", "nap"]


async def test_skipping_and_a_signal() -> None:
    async with testing.run(WAITING, nodes={"ship": "shipped", "remind": None}) as run:
        await run.settle()
        run.assert_waits("sleep")
        await run.skip("2h")
        run.assert_waits("approve")
        await run.signal("approved", {"by": "ada"})

        run.assert_completed("approve", "ship")
        run.assert_skipped("remind")
        run.assert_not_started("remind")
        run.assert_completed()
        assert run.output("approve") == {"by": "ada"}


async def test_finish_lets_a_deadline_pass() -> None:
    async with testing.run(WAITING, nodes={"ship": "shipped", "remind": "reminded"}) as run:
        await run.finish()

        assert run.completed("remind")
        assert run.now == pytest.approx(26 * 3600, abs=0.01)


async def test_resume_chooses_by_its_action() -> None:
    async with testing.run(WAITING, nodes={"ship": "shipped", "remind": "reminded"}) as run:
        await run.settle()
        await run.resume()
        await run.resume("approve", action="late")

        assert run.completed("remind")


async def test_a_refused_command_raises_and_changes_nothing() -> None:
    async with testing.run(WAITING, nodes={"ship": 1, "remind": 1}) as run:
        await run.settle()
        with pytest.raises(CommandRefusedError, match="refuses resume"):
            await run.resume("ship", 5)

        run.assert_waits("sleep")


async def test_pause_unpause_cancel() -> None:
    async with testing.run(WAITING, nodes={"ship": 1, "remind": 1}) as run:
        await run.settle()
        await run.pause()
        assert run.status == "paused"
        await run.unpause()
        await run.cancel("enough")

        run.assert_cancelled()
        assert run.reason == "enough"


async def test_a_failed_step_is_retried_on_request() -> None:
    async with testing.run(CHAIN, nodes={"a": testing.sequence(ValueError("no"), "yes"), "b": 2}) as run:
        await run.finish()
        run.assert_failed()
        run.assert_failed("a")
        await run.retry("a")

        assert await run.result() == {"a": "yes", "b": 2}


async def test_a_child_run_is_followed() -> None:
    parent = blueprint("parent", {"sub": {"uses": "subflow", "params": {"blueprintId": "chain"}}})

    async with testing.run(parent, nodes={"a": 1, "b": Result({"x": 2})}, children=[CHAIN]) as run:
        await run.finish()

        assert run.output("sub") == {"x": 2}
        (child,) = run.children.values()
        assert child.status == "completed"
        assert "child run of chain" in run.trace()


async def test_a_flow_of_the_builder_is_run() -> None:
    made = flow("made").node("a", uses="a").then("b", uses="b")

    async with testing.run(made, nodes={"a": 1, "b": 2}) as run:
        assert await run.result() == {"a": 1, "b": 2}


async def test_what_cannot_be_run_is_refused() -> None:
    with pytest.raises(BlueprintError):
        async with testing.run({"nodes": "none"}):
            pass


async def test_assertions_tell_the_story() -> None:
    async with testing.run(CHAIN, nodes={"a": ValueError("broken"), "b": 2}) as run:
        await run.finish()

        with pytest.raises(AssertionError, match="b should be completed, but is skipped") as told:
            run.assert_completed("b")
        assert "ValueError: broken" in str(told.value)
        with pytest.raises(AssertionError, match="the run should be completed"):
            run.assert_completed()


async def test_asking_a_run_that_has_not_begun() -> None:
    async with testing.run(CHAIN, nodes={"a": 1, "b": 2}) as run:
        assert run.status is None
        with pytest.raises(AssertionError, match="has not begun"):
            _ = run.facts


async def test_trace_reads_as_a_story() -> None:
    document = blueprint(
        "story",
        {
            "charge": {"uses": "charge", "config": {"maxRetries": 2, "retryDelay": 5000}},
            "nap": {"uses": "sleep", "params": {"duration": "1d"}},
        },
        ("charge", "nap"),
    )

    async with testing.run(document, nodes={"charge": testing.sequence(OSError("away"), {"ok": True})}) as run:
        await run.finish()

    assert run.trace().splitlines() == [
        "   00:00:00.000  run                  started",
        "   00:00:00.000  charge               retrying (attempt 2) after 5 s: OSError: away",
        '   00:00:05.000  charge               completed (attempt 2) -> {"ok": true}',
        "   00:00:05.000  nap                  sleeping until 1d 00:00:05.000",
        '1d 00:00:05.000  nap                  completed -> {"ok": true}',
        "1d 00:00:05.000  run                  completed",
    ]


async def test_trace_of_a_sleep_until_a_time_before_the_run_shows_the_begin_of_the_run() -> None:
    document = blueprint("late", {"nap": {"uses": "sleep", "params": {"until": "2001-01-01T00:00:00Z"}}})

    async with testing.run(document) as run:
        await run.finish()

    assert run.trace().splitlines()[1] == "00:00:00.000  nap                  sleeping until 00:00:00.000"


async def test_tasks_of_the_caller_stay_as_they_are() -> None:
    mine = asyncio.create_task(asyncio.sleep(60))

    async with testing.run(CHAIN, nodes={"a": 1, "b": 2}) as run:
        await run.finish()

    assert not mine.done()
    assert asyncio.get_running_loop().get_task_factory() is None
    mine.cancel()


async def test_a_node_that_never_ends_is_named() -> None:
    async def hangs() -> None:
        await asyncio.Event().wait()

    async with testing.run(CHAIN, nodes={"a": hangs, "b": 1}, patience=0.05) as run:
        with pytest.raises(TimeoutError, match="a: at work"):
            await run.finish()


async def test_with_one_slot_others_wait_in_line_while_one_lets_time_go_by() -> None:
    document = blueprint("b", {"a": "slow", "b": "slow", "c": "slow"})
    options = {"execution": ExecutionLimits(steps_per_run=1)}

    async with testing.run(document, nodes={"slow": testing.takes("1h", 1)}, options=options) as run:
        await run.finish()

        assert run.now == pytest.approx(3 * 3600, abs=0.01)
