"""The callables of a case as implementations of nodes."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, TypeAlias

from famulus.conformance.case import Case
from famulus.nodes import NodeContext, Result

Implementation: TypeAlias = Callable[[NodeContext], Awaitable[Result]]
Completing: TypeAlias = Callable[[NodeContext], Awaitable[None]]


def implementations_of(case: Case, *, completing: Completing) -> dict[str, Implementation]:
    """Name -> what calls the callable of that name; `completing` is awaited between its end and that of the step."""
    limit = asyncio.Semaphore(case.concurrency) if case.concurrency else nullcontext()
    return {name: _implementation(function, case, limit, completing) for name, function in case.nodes.items()}


def _implementation(
    function: Callable[..., Any], case: Case, limit: AbstractAsyncContextManager[Any], completing: Completing
) -> Implementation:
    is_async = inspect.iscoroutinefunction(function)

    async def call(ctx: NodeContext) -> Result:
        async with limit:
            if not is_async and case.is_timed(ctx.blueprint_id, ctx.node_id):
                given = await asyncio.to_thread(function, ctx)  # so that its time can run out
            else:
                given = function(ctx)
            result = _result(await given if inspect.isawaitable(given) else given)
        await completing(ctx)
        return result

    return call


def _result(given: Any) -> Result:
    if isinstance(given, Result):
        return given
    if not isinstance(given, dict | list | str) and hasattr(given, "output") and hasattr(given, "action"):
        return Result(output=given.output, action=given.action)
    return Result(output=given)
