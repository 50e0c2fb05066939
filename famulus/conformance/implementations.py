"""The callables of a case as implementations of nodes."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any, Protocol, TypeAlias

from famulus.conformance.case import Case
from famulus.nodes import NodeContext, Result

Implementation: TypeAlias = Callable[[NodeContext], Awaitable[Result]]
Caller: TypeAlias = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]


class Attendant(Protocol):
    """Awaited while a step is at work: after its code was called, before the step has its end."""

    async def completing(self, ctx: NodeContext) -> None: ...


async def call_here(call: Callable[[], Awaitable[Any]]) -> Any:
    return await call()


def caller_on(loop: asyncio.AbstractEventLoop) -> Caller:
    """What calls on that loop, from another one: callables share what they have with whoever runs the case."""

    async def call_there(call: Callable[[], Awaitable[Any]]) -> Any:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call_here(call), loop))

    return call_there


def implementations_of(case: Case, attendant: Attendant, *, caller: Caller = call_here) -> dict[str, Implementation]:
    """Name -> what calls the callable of that name, with the attendant after it."""
    limit = asyncio.Semaphore(case.concurrency) if case.concurrency else nullcontext()
    return {name: _implementation(function, case, limit, attendant, caller) for name, function in case.nodes.items()}


def _implementation(
    function: Callable[..., Any],
    case: Case,
    limit: AbstractAsyncContextManager[Any],
    attendant: Attendant,
    caller: Caller,
) -> Implementation:
    is_async = inspect.iscoroutinefunction(function)

    async def call(ctx: NodeContext) -> Any:
        if not is_async and case.is_timed(ctx.blueprint_id, ctx.node_id):
            given = await asyncio.to_thread(function, ctx)  # so that its time can run out
        else:
            given = function(ctx)
        return await given if inspect.isawaitable(given) else given

    async def implementation(ctx: NodeContext) -> Result:
        async with limit:
            result = _result(await caller(partial(call, ctx)))
        await attendant.completing(ctx)
        return result

    return implementation


def _result(given: Any) -> Result:
    if isinstance(given, Result):
        return given
    if not isinstance(given, dict | list | str) and hasattr(given, "output") and hasattr(given, "action"):
        return Result(output=given.output, action=given.action)
    return Result(output=given)
