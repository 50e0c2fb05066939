"""Nodes that tell a secret wherever they can."""

from __future__ import annotations

import logging
from typing import Any

from famulus.nodes import NodeContext, Result, ThreadContext, node

log = logging.getLogger("leaky")


@node("leaky.everywhere")
async def everywhere(ctx: NodeContext) -> Result:
    key = ctx.params["key"]
    log.warning("leaked by the log: %s", key, extra={"field": key, "nested": {"a": [key]}})
    ctx.progress(0.5, f"leaked by progress: {key}")
    ctx.emit({"leaked": [key]})
    await ctx.set("leaked", {"key": key, f"in a key: {key}": 1})
    await ctx.set(f"key {key}", 1)
    return Result({"leaked": key, "url": f"https://x/?key={key}", "params": ctx.params}, action=f"go {key}")


@node("leaky.raises")
def raises(ctx: ThreadContext) -> None:
    key = ctx.params["key"]
    try:
        _fail(key)
    except KeyError as error:
        log.exception("leaked by a traceback")
        raise ValueError(f"leaked by the error: {key} {ctx.params!r}") from error


def _fail(key: str) -> None:
    raise KeyError(key)


@node("leaky.item")
def item(ctx: ThreadContext) -> Any:
    return [ctx.input, ctx.params["key"]]


@node("leaky.process", cpu_bound=True)
def process(ctx: ThreadContext) -> Any:
    log.warning("leaked by the log of a process: %s", ctx.params["key"])
    return {"leaked": ctx.params["key"], "input": ctx.input}
