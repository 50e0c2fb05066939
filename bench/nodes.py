"""The implementations that the benchmarks run. With `EXEC_LOG` set, every call appends one line to that file.

A line is ``run TAB node TAB x TAB pid TAB milliseconds``, written at once, so that it survives kill -9: the format of
the reference's benchmark, which counts executions the same way.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from famulus.nodes import NodeContext, Result, node

_LOG = os.open(os.environ["EXEC_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT) if "EXEC_LOG" in os.environ else None
_BIG = "x" * 50 * 1024


def _mark(ctx: NodeContext) -> None:
    if _LOG is not None:
        line = f"{ctx.run_id}\t{ctx.node_id}\tx\t{os.getpid()}\t{int(time.time() * 1000)}\n"
        os.write(_LOG, line.encode())


@node("noop")
async def noop(ctx: NodeContext) -> int:
    _mark(ctx)
    return 1


@node("decide")
async def decide(ctx: NodeContext) -> dict[str, bool]:
    _mark(ctx)
    return {"yes": True, "no": False}


@node("big50k")
async def big50k(ctx: NodeContext) -> str:
    _mark(ctx)
    return _BIG


@node("pause")
async def pause(ctx: NodeContext) -> dict[str, Any]:
    """Take `params.ms` milliseconds without using the processor."""
    _mark(ctx)
    await asyncio.sleep(ctx.params.get("ms", 10) / 1000)
    return {"ms": ctx.params.get("ms", 10)}


@node("round")
async def count_rounds(ctx: NodeContext) -> int:
    """One round of a loop: `left` counts down."""
    _mark(ctx)
    left = int(await ctx.get("left")) - 1
    await ctx.set("left", left)
    return left


@node("descend")
async def descend(ctx: NodeContext) -> Result:
    """Take the way to one level deeper, until `depth` has counted down."""
    _mark(ctx)
    depth = int(await ctx.get("depth")) - 1
    await ctx.set("depth", depth)
    return Result(depth, action="deeper" if depth else "back")
