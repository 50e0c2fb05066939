"""Code around nodes: its order, and that what it raises counts as the node's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support.world import World, blueprint, outputs

from famulus.nodes import NodeContext, Result, ThreadContext, middleware
from famulus.nodes.middleware import middleware_of


async def run(functions: dict[str, Any], *around: Callable[..., Any], **config: Any) -> Any:
    nodes = {f"n_{name}": {"uses": name, "config": config} for name in functions}
    async with World(functions) as world:
        for each in around:
            assert world.registry.add_middleware(each)
        return await world.run(blueprint("one", nodes))


def noting(name: str, called: list[str], *, order: int = 0) -> list[Callable[..., Any]]:
    @middleware("around", order=order)
    async def around(ctx: NodeContext, call: Callable[[], Any]) -> Any:
        called.append(f"{name} in")
        result = await call()
        called.append(f"{name} out")
        return result

    @middleware("before", order=order)
    def before(ctx: ThreadContext) -> None:
        called.append(f"{name} before")

    @middleware("after", order=order)
    async def after(ctx: NodeContext, result: Result | None, error: BaseException | None) -> None:
        called.append(f"{name} after {result and result.output} {error}")

    return [after, before, around]


@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_the_order_is_around_before_node_after(kind: str) -> None:
    called: list[str] = []

    def f() -> int:
        called.append("node")
        return 7

    async def async_f() -> int:
        return f()

    await run({"f": f if kind == "thread" else async_f}, *noting("second", called, order=1), *noting("first", called))

    assert called == [
        "first in",
        "second in",
        "first before",
        "second before",
        "node",
        "second after 7 None",
        "first after 7 None",
        "second out",
        "first out",
    ]


async def test_middleware_for_named_nodes_leaves_others_alone() -> None:
    @middleware(only="f")
    async def shout(ctx: NodeContext, call: Callable[[], Any]) -> Any:
        result = await call()
        return Result(result.output.upper() if isinstance(result, Result) else result.upper(), action="shouted")

    view = await run({"f": lambda: "f", "g": lambda: "g"}, shout)

    assert outputs(view) == {"n_f": "F", "n_g": "g"}


async def test_middleware_may_answer_for_the_node_and_writes_to_its_context() -> None:
    called: list[int] = []

    @middleware()
    async def cached(ctx: NodeContext, call: Callable[[], Any]) -> Any:
        await ctx.set("cached", value=True)
        return "from the cache"

    view = await run({"f": lambda: called.append(1)}, cached)

    assert outputs(view) == {"n_f": "from the cache"}
    assert view.context["cached"] is True
    assert called == []


@pytest.mark.parametrize("when", ["before", "after", "around"])
async def test_an_error_of_middleware_fails_the_attempt(when: Any) -> None:
    attempts: list[int] = []

    async def broken(ctx: NodeContext, *_: Any) -> Any:
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            raise ConnectionError("from the middleware")
        return await _[0]() if when == "around" else None

    view = await run({"f": lambda: "done"}, middleware(when)(broken), maxRetries=2)

    assert outputs(view) == {"n_f": "done"}
    assert attempts == [1, 2]


async def test_after_is_told_of_errors_even_if_another_one_fails() -> None:
    called: list[str] = []

    @middleware("after")
    def fails(ctx: ThreadContext, result: Any, error: Any) -> None:
        raise ValueError("second")

    def f() -> None:
        raise ConnectionError("first")

    view = await run({"f": f}, *noting("m", called), fails)

    assert view.steps[0].error["message"] == "first"
    assert called[-1] == "m after None first"


async def test_the_time_of_middleware_is_time_of_the_attempt() -> None:
    @middleware()
    async def slow(ctx: NodeContext, call: Callable[[], Any]) -> Any:
        await asyncio.Event().wait()

    view = await run({"f": lambda: 1}, slow, timeout=20)

    assert "20 ms" in view.steps[0].reason


@pytest.mark.parametrize(
    ("when", "function", "message"),
    [
        ("around", lambda ctx, call: None, "async def"),
        ("before", lambda: None, r"called with \(ctx\)"),
        ("after", lambda ctx: None, "result, error"),
        ("during", lambda ctx: None, "before"),
    ],
)
def test_middleware_that_cannot_be_called_is_refused(when: Any, function: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        middleware(when)(function)


def test_a_function_without_the_mark_is_no_middleware() -> None:
    assert middleware_of(len) is None
    assert middleware_of(object()) is None
