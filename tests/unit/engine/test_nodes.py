"""Whatever a node does, its step has an outcome and the run an end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from support.world import World, blueprint, outputs, statuses

from famulus.engine.execution import ExecutionLimits
from famulus.errors import NonRetryableError
from famulus.ids import RunId
from famulus.nodes import NodeContext, Result, ThreadContext

ONE = blueprint("one", {"a": "f", "b": "after"}, ("a", "b"))


def after(input: Any) -> Any:
    return input


async def outcome(function: Callable[..., Any], **config: Any) -> Any:
    """The step that runs the function; node `b` follows it."""
    document = blueprint("one", {"a": {"uses": "f", "config": config}, "b": "after"}, ("a", "b"))
    async with World({"f": function, "after": after}) as world:
        view = await world.run(document, {"key": "initial"})
        expected = {"completed": "completed", "failed": "skipped"}[statuses(view)["a"]]
        assert statuses(view)["b"] == expected
        return next(step for step in view.steps if step.node_id == "a")


# -- what it raises --------------------------------------------------------------------------------------------------


class OddError(BaseException):
    pass


class UntellableError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


ERRORS = [
    ValueError("bad"),
    KeyError("k"),
    StopIteration("stop"),
    StopAsyncIteration("stop"),
    GeneratorExit("exit"),
    SystemExit(1),
    KeyboardInterrupt("stop"),
    OddError("odd"),
    BaseExceptionGroup("many", [OddError("odd"), ValueError("bad")]),
    asyncio.CancelledError("cancelled"),
    TimeoutError("its own"),
    RecursionError("deep"),
    MemoryError("much"),
    UntellableError(),
    ValueError("surrogate \ud800 in the message"),
    ValueError("x" * 2_000_000),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_whatever_a_node_raises_fails_its_step_with_the_name_of_the_error(
    error: BaseException, kind: str
) -> None:
    async def in_loop() -> None:
        raise error

    def in_thread() -> None:
        raise error

    step = await outcome(in_loop if kind == "async" else in_thread)

    assert step.status == "failed"
    told = step.reason + step.error["message"]
    assert type(error).__name__ in told or isinstance(error, StopIteration | StopAsyncIteration)
    assert len(step.reason) < 3000


@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_a_node_is_tried_as_often_as_allowed_with_the_same_idempotency_key(kind: str) -> None:
    seen: list[tuple[int, str]] = []

    def note(ctx: Any) -> int:
        seen.append((ctx.attempt, ctx.idempotency_key))
        if len(seen) < 3:
            raise OddError("not yet")
        return len(seen)

    async def in_loop(ctx: NodeContext) -> int:
        return note(ctx)

    def in_thread(ctx: ThreadContext) -> int:
        return note(ctx)

    step = await outcome(in_loop if kind == "async" else in_thread, maxRetries=5)

    assert (step.status, step.output, step.attempt, step.error) == ("completed", 3, 3, None)
    assert seen == [(attempt, "r1/a") for attempt in (1, 2, 3)]


async def test_a_non_retryable_error_ends_the_step_at_once() -> None:
    calls: list[int] = []

    async def f() -> None:
        calls.append(1)
        raise NonRetryableError("never")

    step = await outcome(f, maxRetries=5)

    assert (step.status, len(calls)) == ("failed", 1)


async def test_an_error_is_told_with_the_frames_of_the_nodes_own_code() -> None:
    def deep() -> None:
        raise ValueError("bad")

    async def f() -> None:
        deep()

    step = await outcome(f)

    assert "in deep" in step.error["traceback"]
    assert "famulus/engine" not in step.error["traceback"]


async def test_an_error_that_a_node_raises_because_its_worker_stops_is_not_recorded() -> None:
    began = asyncio.Event()

    async def f() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("the connection was closed") from None

    async with World({"f": f, "after": after}) as world:
        await world.push(ONE)
        await world.start("one", "r1")
        await began.wait()
        await world.engines[0].stop(0)
        view = await world.reader.show(RunId("r1"))

    assert statuses(view)["a"] == "scheduled"


# -- timeouts --------------------------------------------------------------------------------------------------------


async def test_an_async_node_that_takes_too_long_is_stopped_and_fails() -> None:
    ended: list[str] = []

    async def f() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")

    step = await outcome(f, timeout=20)

    assert step.status == "failed"
    assert "20 ms" in step.reason
    assert ended == ["cleaned up"]


async def test_a_thread_that_takes_too_long_fails_its_step_and_its_late_result_is_not_recorded() -> None:
    go_on = threading.Event()

    def f() -> str:
        go_on.wait(20)
        return "late"

    try:
        step = await outcome(f, timeout=20)
    finally:
        go_on.set()

    assert (step.status, "20 ms" in step.reason) == ("failed", True)


async def test_every_attempt_has_the_whole_timeout() -> None:
    calls: list[int] = []

    async def f() -> str:
        calls.append(1)
        if len(calls) < 3:
            await asyncio.Event().wait()
        return "done"

    step = await outcome(f, timeout=20, maxRetries=20)

    assert (step.status, step.output) == ("completed", "done")
    assert step.attempt >= 3


# -- what it returns -------------------------------------------------------------------------------------------------


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def own_loop() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


class Opaque:
    pass


UNSTORABLE = {
    "object": Opaque,
    "function": lambda: len,
    "in a map": lambda: {"deep": [Opaque()]},
    "too large": lambda: "x" * 64 * 1024 * 1024,
    "contains itself": own_loop,
    "20,000 deep": lambda: nested(20_000),
    "just too deep": lambda: nested(900),
    "surrogate": lambda: "\ud800",
    "surrogate in a key": lambda: {"\ud800": 1},
    "odd key": lambda: {(1, 2): 3},
    "action that is no text": lambda: Result(1, action=5),  # type: ignore[arg-type]
    "action with a surrogate": lambda: Result(1, action="\ud800"),
    "unstorable result": lambda: Result(Opaque(), action="x"),
    "huge number": lambda: 10**5000,
    "huge number in a list": lambda: [10**5000],
}


@pytest.mark.parametrize("name", UNSTORABLE)
@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_an_output_that_cannot_be_stored_fails_the_step_without_another_attempt(name: str, kind: str) -> None:
    calls: list[int] = []

    def f() -> Any:
        calls.append(1)
        return UNSTORABLE[name]()

    async def async_f() -> Any:
        return f()

    step = await outcome(async_f if kind == "async" else f, maxRetries=3)

    assert (step.status, len(calls)) == ("failed", 1)
    assert "OutputError" in step.reason


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (None, None),
        (True, True),
        (2**100, 2**100),
        (1.5, 1.5),
        ("åß", "åß"),
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
        ({1: "x"}, {"1": "x"}),
        ((1, 2), [1, 2]),
        ({7}, [7]),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z"),
        (float("nan"), None),
        (nested(100), nested(100)),
        (Result({"x": 1}, action="go"), {"x": 1}),
    ],
)
async def test_an_output_is_stored_and_read_back_as_json(value: Any, stored: Any) -> None:
    async def f() -> Any:
        return value

    assert (await outcome(f)).output == stored


async def test_a_numbers_own_type_is_not_kept() -> None:
    import http  # noqa: PLC0415

    async def f() -> Any:
        return http.HTTPStatus.OK

    step = await outcome(f)

    assert type(step.output) is int


# -- what it writes --------------------------------------------------------------------------------------------------


async def test_a_node_that_writes_what_cannot_be_stored_fails() -> None:
    async def f(ctx: NodeContext) -> None:
        await ctx.set("key", Opaque())

    step = await outcome(f)

    assert (step.status, "OutputError" in step.reason) == ("failed", True)


@pytest.mark.parametrize("key", [5, None, "", "\ud800", "k" * 100_000, ("a",)])
async def test_a_context_key_that_cannot_be_stored_fails_the_step(key: Any) -> None:
    async def f(ctx: NodeContext) -> None:
        await ctx.set(key, 1)

    step = await outcome(f)

    assert (step.status, "OutputError" in step.reason) == ("failed", True)


async def test_the_next_node_sees_writes_and_deletions_and_other_runs_do_not() -> None:
    async def f(ctx: NodeContext) -> None:
        assert await ctx.get("key") in ("initial", None)
        await ctx.set("new", [1])
        await ctx.delete("key")

    def see(ctx: ThreadContext) -> Any:
        return [ctx.has("key"), ctx.get("new"), ctx.get("_outputs.a", "absent"), ctx.get("_inputs.b")]

    async with World({"f": f, "after": see}) as world:
        view = await world.run(ONE, {"key": "initial"})
        await world.start("one", "r2")
        other = await world.ended("r2")

    assert outputs(view)["b"] == [False, [1], None, None]
    assert view.context == {"new": [1], "a": None, "b": [False, [1], None, None]}
    assert other.summary.status == "completed"


async def test_a_node_that_changes_what_it_was_given_changes_nothing_for_others() -> None:
    async def spoil(ctx: NodeContext, input: Any, params: dict[str, Any]) -> None:
        (await ctx.get("shared")).append("spoiled")
        input["list"].append("spoiled")
        params["list"].append("spoiled")

    async def give() -> Any:
        return {"list": [1]}

    async def see(ctx: NodeContext, input: Any, params: dict[str, Any]) -> Any:
        return [await ctx.get("shared"), input, params]

    nodes = {
        "give": "give",
        "one": {"uses": "spoil", "params": {"list": [2]}},
        "two": {"uses": "see", "params": {"list": [3]}, "inputs": "give"},
    }
    async with World({"spoil": spoil, "give": give, "see": see}) as world:
        view = await world.run(blueprint("b", nodes, ("give", "one"), ("one", "two")), {"shared": [0]})

    assert outputs(view)["two"] == [[0], {"list": [1]}, {"list": [3]}]
    assert view.context["shared"] == [0]


async def test_a_value_changed_after_it_was_returned_is_stored_as_it_was() -> None:
    kept: list[int] = [1]

    async def f(ctx: NodeContext) -> Any:
        await ctx.set("kept", kept)
        return kept

    async def change() -> None:
        kept.append(2)

    async with World({"f": f, "after": change}) as world:
        view = await world.run(ONE)

    assert (outputs(view)["a"], view.context["kept"]) == ([1], [1])


async def test_an_input_that_does_not_fit_fails_the_step_and_names_node_and_parameter() -> None:
    async def f(amount: int) -> None: ...

    step = await outcome(f, maxRetries=3)

    assert (step.status, step.attempt) == ("failed", 1)
    assert "'a'" in step.reason
    assert "'amount'" in step.reason


async def test_no_more_steps_run_at_once_than_allowed() -> None:
    running: list[int] = []
    most: list[int] = []

    async def f() -> None:
        running.append(1)
        most.append(len(running))
        await asyncio.sleep(0)
        running.pop()

    nodes = {f"n{i}": "f" for i in range(20)}
    async with World({"f": f}, execution=ExecutionLimits(steps=3)) as world:
        view = await world.run(blueprint("b", nodes))

    assert view.summary.status == "completed"
    assert max(most) == 3


async def test_a_node_made_by_hand_without_params_runs() -> None:
    from famulus.blueprint.model import Blueprint, Node  # noqa: PLC0415
    from famulus.ids import BlueprintId, NodeId  # noqa: PLC0415

    async def f() -> int:
        return 1

    async with World({"f": f}) as world:
        by_hand = Blueprint(id=BlueprintId("b"), version="1", nodes=(Node(id=NodeId("a"), uses="f"),))
        await world.engines[0].catalog.register(by_hand)
        await world.start("b", "r1")
        view = await world.ended("r1")

    assert outputs(view) == {"a": 1}


async def test_a_generator_is_no_output() -> None:
    async def f() -> AsyncIterator[int]:
        yield 1

    step = await outcome(f)

    assert step.status == "failed"
