"""Nodes whose effects are counted by idempotency key, for workers that are killed in the middle of them.

The sink is a file, named by EFFECTS: each effect is one line, written at once and in one piece, so that it survives
kill -9 and any number of workers can share the file.
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from typing import Any

from famulus.nodes import NodeContext, node

FILE = Path(os.environ.get("EFFECTS", os.devnull))
SOME_SECONDS = (0.015, 0.04)
"""How long a node takes after its effect: longer than a hint waits, so that the topics are told of it."""


async def effect(ctx: NodeContext) -> None:
    count(ctx)
    await asyncio.sleep(random.uniform(*SOME_SECONDS))


def count(ctx: NodeContext) -> None:
    with FILE.open("ab", buffering=0) as file:
        file.write(f"{ctx.idempotency_key}\t{ctx.attempt}\t{os.getpid()}\n".encode())


@node("effect.step")
async def step(ctx: NodeContext) -> str:
    await effect(ctx)
    await ctx.set(f"done_{ctx.node_id}", value=True)
    return ctx.node_id


@node("effect.gather")
async def gather(ctx: NodeContext) -> list[str]:
    """Those of `params.of` that have left something behind: a join that fires too early finds fewer."""
    await effect(ctx)
    return [node_id for node_id in ctx.params["of"] if await ctx.has(f"done_{node_id}")]


@node("effect.double")
async def double(ctx: NodeContext) -> int:
    await effect(ctx)
    return 2 * int(ctx.input)


@node("effect.round")
async def next_round(ctx: NodeContext) -> int:
    await effect(ctx)
    number = int(await ctx.get("round", 0)) + 1
    await ctx.set("round", number)
    return number


@node("effect.pass_on")
async def pass_on(ctx: NodeContext) -> Any:
    await effect(ctx)
    return ctx.input


@node("effect.flaky")
async def flaky(ctx: NodeContext) -> int:
    """Fail so many attempts as the params say."""
    await effect(ctx)
    if ctx.attempt <= ctx.params["fails"]:
        raise ValueError("as told")
    return ctx.attempt
