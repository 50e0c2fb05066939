"""Middleware around one attempt, in the order that `famulus.nodes.middleware` tells."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

from famulus.engine.calling import Caller
from famulus.nodes import NodeContext, Result
from famulus.nodes.context import NodeInfo
from famulus.nodes.middleware import Layers, Middleware

Calling: TypeAlias = Callable[[], Awaitable[Any]]


def layered(calling: Calling, layers: Layers, ctx: NodeInfo, caller: Caller) -> Calling:
    """The call of a node with everything that is around it."""
    inside = partial(_before_and_after, calling, layers, ctx, caller)
    for each in reversed(layers.around):
        inside = partial(_around, each, ctx, inside)
    return inside


async def _around(each: Middleware, ctx: NodeInfo, inside: Calling) -> Any:
    return await each.function(NodeContext.of(ctx), inside)


async def _before_and_after(calling: Calling, layers: Layers, ctx: NodeInfo, caller: Caller) -> Result:
    result: Result | None = None
    error: BaseException | None = None
    try:
        for each in layers.before:
            await caller.call(each.function, ctx)
        returned = await calling()
        result = returned if isinstance(returned, Result) else Result(returned)
    except BaseException as raised:  # noqa: BLE001  # raised again below, when all have been told
        error = raised
    for each in reversed(layers.after):
        try:
            await caller.call(each.function, ctx, result, error)
        except BaseException as raised:  # noqa: BLE001
            error = error or raised
    if error is not None:
        raise error
    return result or Result()
