"""Implementations that no worker likes: they end its process, block its loop, or take very long."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time

from support.counted_nodes import FILE, count

from famulus.nodes import NodeContext, ThreadContext, node

DEADLY_ITEM = 7


@node("heavy.exit")
async def leave(ctx: NodeContext) -> None:
    """End the process, unless the code has been mended meanwhile."""
    count(ctx)
    if not FILE.with_name("mended").exists():
        os._exit(3)


@node("heavy.numbers")
async def numbers(ctx: NodeContext) -> list[int]:
    return list(range(ctx.params["count"]))


@node("heavy.picky")
async def leave_for_one(ctx: NodeContext) -> int:
    """End the process for one item of many, unless the code has been mended meanwhile."""
    count(ctx)
    if ctx.input == DEADLY_ITEM and not FILE.with_name("mended").exists():
        os._exit(3)
    await asyncio.sleep(0.05)
    return int(ctx.input)


@node("heavy.segfault")
def segfault(ctx: ThreadContext) -> None:
    count(ctx)
    ctypes.memset(0, 1, 1)


@node("heavy.block")
async def block_the_loop(ctx: NodeContext) -> str:
    """What an `async def` node must not do."""
    count(ctx)
    time.sleep(ctx.params["seconds"])  # noqa: ASYNC251 - that is the point
    return str(os.getpid())


@node("heavy.long")
async def take_long(ctx: NodeContext) -> str:
    """Go on until the gate `long` is open."""
    count(ctx)
    while not FILE.with_name("long").exists():  # noqa: ASYNC110 - opened by another process
        await asyncio.sleep(0.05)
    return str(os.getpid())


@node("heavy.nap")
async def nap(ctx: NodeContext) -> str:
    count(ctx)
    await asyncio.sleep(0.3)
    return "slept"
