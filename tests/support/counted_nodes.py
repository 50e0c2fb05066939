"""Implementations for tests with real workers. Every call appends one line to the file that EXECUTIONS names.

The line is written at once and in one piece, so that it survives kill -9 and two workers can share the file. Gates are
files in the same folder.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path
from typing import Any

from famulus.nodes import NodeContext, ThreadContext, node

FILE = Path(os.environ.get("EXECUTIONS", os.devnull))
SOME_SECONDS = (0.02, 0.08)
"""How long a branch takes: long enough for a fault to find many of them at work."""


def count(ctx: NodeContext | ThreadContext) -> None:
    with FILE.open("ab", buffering=0) as file:
        file.write(f"{ctx.run_id}\t{ctx.step_id}\t{ctx.attempt}\t{os.getpid()}\n".encode())


@node("tests.quick")
async def quick(ctx: NodeContext) -> str:
    count(ctx)
    return ctx.node_id


@node("tests.branch")
async def branch(ctx: NodeContext) -> str:
    """Take some time, and wait until the gate that the params may name is open."""
    count(ctx)
    if gate := ctx.params.get("gate"):
        await _opened(gate)
    await asyncio.sleep(random.uniform(*SOME_SECONDS))
    await ctx.set(f"done_{ctx.node_id}", ctx.node_id)
    return ctx.node_id


@node("tests.branch_in_thread")
def branch_in_thread(ctx: ThreadContext) -> str:
    count(ctx)
    time.sleep(random.uniform(*SOME_SECONDS))
    ctx.set(f"done_{ctx.node_id}", ctx.node_id)
    return ctx.node_id


@node("tests.gather")
async def gather(ctx: NodeContext) -> Any:
    """What all branches left behind: a join that fired too early has less."""
    count(ctx)
    return [number for number in range(10) if await ctx.has(f"done_b{number}")]


@node("tests.gated")
async def gated(ctx: NodeContext) -> str:
    """Wait until the gate that the params name is open."""
    count(ctx)
    await _opened(ctx.params["gate"])
    return ctx.node_id


@node("tests.at_gate")
async def at_gate(ctx: NodeContext) -> Any:
    """Give the input, a number, back. Items from `params.from` on wait at the gate `half`, from `rest` on at `rest`."""
    count(ctx)
    await asyncio.sleep(random.uniform(*SOME_SECONDS))
    if ctx.input >= ctx.params.get("from", 20):  # an item of a scatter has no params
        await _opened("half")
    if "rest" in ctx.params and ctx.input >= ctx.params["rest"]:
        await _opened("rest")
    return ctx.input


@node("tests.round")
async def next_round(ctx: NodeContext) -> int:
    """Count the rounds of a loop. Those that `half_at` and `rest_at` name wait at the gates `half` and `rest`."""
    count(ctx)
    number = (await ctx.get("round", 0)) + 1
    for gate in ("half", "rest"):
        if number == ctx.params[f"{gate}_at"]:
            await _opened(gate)
    await ctx.set("round", number)
    return int(number)


@node("tests.flaky")
async def flaky(ctx: NodeContext) -> int:
    """Fail so many attempts as the params say."""
    count(ctx)
    if ctx.attempt <= ctx.params["fails"]:
        raise ValueError("as told")
    return ctx.attempt


@node("tests.large")
async def large(ctx: NodeContext) -> str:
    """A text of so many bytes as the params say."""
    count(ctx)
    return "x" * int(ctx.params["bytes"])


@node("tests.length")
async def length(ctx: NodeContext) -> int:
    """The length of the input, once the gate `gate` is open."""
    count(ctx)
    await _opened("gate")
    return len(ctx.input)


@node("tests.unserialisable")
async def unserialisable(ctx: NodeContext) -> object:
    count(ctx)
    return object()


@node("tests.raising")
async def raising(ctx: NodeContext) -> None:
    count(ctx)
    raise ValueError("as told")


async def _opened(gate: str) -> None:
    file = FILE.with_name(gate)
    while not file.exists():  # noqa: ASYNC110 - opened by another process
        await asyncio.sleep(0.02)
