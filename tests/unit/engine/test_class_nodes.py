"""Nodes that are classes: their phases, what is called when, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.world import World, blueprint, eventually

from famulus.flow.facts import ErrorInfo
from famulus.ids import RunId
from famulus.nodes import NodeContext, NonRetryableError, Registry, Result, ThreadContext


async def outcome(node: Any, given: Any = None, **config: Any) -> Any:
    document = blueprint("one", {"a": {"uses": "f", "inputs": "given", "config": config, "params": {"rate": 2}}})
    async with World({"f": node}) as world:
        view = await world.run(document, {"given": given})
        return view.steps[0], view.context


async def test_phases_run_in_order_and_hand_on_what_they_return() -> None:
    called: list[str] = []

    class Charge:
        def prep(self, ctx: ThreadContext) -> Any:
            called.append("prep")
            return ctx.input * ctx.params["rate"]

        async def exec(self, prepared: int) -> int:
            called.append("exec")
            return prepared + 1

        async def post(self, ctx: NodeContext, prepared: int, result: int) -> Result:
            called.append("post")
            await ctx.set("seen", [prepared, result])
            return Result(result, action="go")

        def fallback(self, ctx: ThreadContext, error: Exception) -> None:
            called.append("fallback")

        def recover(self, ctx: ThreadContext, error: Any) -> None:
            called.append("recover")

    step, context = await outcome(Charge, 20)

    assert (step.status, step.output, step.action) == ("completed", 41, "go")
    assert context["seen"] == [40, 41]
    assert called == ["prep", "exec", "post"]


async def test_exec_alone_is_enough_and_gets_the_input_and_the_context_if_it_asks() -> None:
    class Plain:
        def exec(self, prepared: Any, ctx: ThreadContext) -> Any:
            return [prepared, ctx.attempt]

    step, _ = await outcome(Plain, {"x": 1})

    assert step.output == [{"x": 1}, 1]


async def test_the_constructor_is_filled_like_a_function_and_each_attempt_has_its_own_instance() -> None:
    instances: list[Any] = []

    class Counting:
        def __init__(self, rate: int) -> None:
            self.rate = rate
            instances.append(self)

        def exec(self, prepared: Any) -> int:
            if len(instances) < 3:
                raise ConnectionError("again")
            return self.rate

    step, _ = await outcome(Counting, maxRetries=3)

    assert step.output == 2
    assert len({id(instance) for instance in instances}) == 3


async def test_recover_is_told_how_the_attempt_before_failed() -> None:
    told: list[Any] = []

    class Recovering:
        async def recover(self, ctx: NodeContext, error: ErrorInfo | None) -> None:
            told.append((ctx.attempt, error and error.type, error and error.message))

        def prep(self, ctx: ThreadContext) -> None:
            told.append("prep")

        def exec(self, prepared: Any, ctx: ThreadContext) -> str:
            if ctx.attempt < 3:
                raise ConnectionError(f"attempt {ctx.attempt}")
            return "done"

    step, _ = await outcome(Recovering, maxRetries=3)

    assert step.output == "done"
    assert told == [
        "prep",
        (2, "ConnectionError", "attempt 1"),
        "prep",
        (3, "ConnectionError", "attempt 2"),
        "prep",
    ]


@pytest.mark.parametrize("phase", ["prep", "exec", "post"])
async def test_fallback_stands_in_after_the_last_attempt_wherever_it_failed(phase: str) -> None:
    errors: list[str] = []

    class Failing:
        def fail(self, name: str) -> None:
            if phase == name:
                raise ConnectionError(name)

        def prep(self, ctx: ThreadContext) -> None:
            ctx.set("tried", ctx.attempt)
            self.fail("prep")

        def exec(self, prepared: Any) -> None:
            self.fail("exec")

        def post(self, ctx: ThreadContext, prepared: Any, result: Any) -> None:
            self.fail("post")

        def fallback(self, ctx: ThreadContext, error: Exception) -> Result:
            errors.append(f"{ctx.attempt} {error}")
            return Result("stood in", action="other")

    step, context = await outcome(Failing, maxRetries=2)

    assert (step.status, step.output, step.action, step.attempt) == ("completed", "stood in", "other", 2)
    assert errors == [f"2 {phase}"]
    assert context["tried"] == 2


async def test_fallback_follows_an_error_that_is_not_retried_and_a_timeout() -> None:
    class Never:
        async def exec(self, prepared: Any) -> None:
            raise NonRetryableError("never")

        async def fallback(self, ctx: NodeContext, error: Exception) -> str:
            return f"{type(error).__name__} at {ctx.attempt}"

    class Slow(Never):
        async def exec(self, prepared: Any) -> None:
            await asyncio.Event().wait()

    assert (await outcome(Never, maxRetries=5))[0].output == "NonRetryableError at 1"
    assert (await outcome(Slow, timeout=20))[0].output == "TimeoutError at 1"


async def test_a_fallback_that_fails_fails_the_step_though_attempts_are_left() -> None:
    calls: list[int] = []

    class Worse:
        def exec(self, prepared: Any) -> None:
            calls.append(1)
            raise NonRetryableError("first")

        def fallback(self, ctx: ThreadContext, error: Exception) -> None:
            raise ConnectionError("second") from error

    step, _ = await outcome(Worse, maxRetries=5)

    assert (step.status, step.error["message"], len(calls)) == ("failed", "second", 1)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"prep": lambda self, ctx: None}, "no method exec"),
        ({"exec": lambda self: None}, "exec must take 1"),
        ({"exec": lambda self, prepared: None, "post": lambda self, ctx: None}, "post must take 3"),
        ({"exec": lambda self, prepared: None, "fallback": lambda self: None}, "fallback must take 2"),
    ],
)
def test_phases_that_cannot_be_called_are_refused_when_they_are_registered(body: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Registry().register("f", type("Broken", (), body))


async def test_recover_is_called_when_the_worker_of_the_attempt_before_has_died() -> None:
    told: list[Any] = []
    began = asyncio.Event()

    class Recovering:
        def recover(self, ctx: ThreadContext, error: ErrorInfo | None) -> None:
            told.append((ctx.attempt, error))

        async def exec(self, prepared: Any) -> str:
            if not began.is_set():
                began.set()
                await asyncio.Event().wait()
            return "done"

    world = World({"f": Recovering}, taken_seconds=0.01)
    first, second = world.engine("w1"), world.engine("w2")
    async with world:
        await world.push(blueprint("one", {"a": "f"}))
        await world.start("one", "r1")
        await began.wait()
        await eventually(lambda: is_taken(world))
        first.assigned([])
        second.assigned(range(4))
        view = await world.ended("r1")

    assert (view.steps[0].output, view.steps[0].worker, view.steps[0].attempt) == ("done", "w2", 1)
    assert told == [(1, None)]


async def is_taken(world: World) -> bool:
    rows = await world.store.load(RunId("r1"))
    return bool(rows) and any(step.status == "running" for step in rows.steps)
