"""Nodes for child processes: they are found there by the name of this module."""

from __future__ import annotations

import logging
import os
import signal
import time
from dataclasses import dataclass
from typing import Any

from famulus.nodes import NonRetryableError, Result, RetryAfter, ThreadContext, node


@dataclass
class Span:
    start: int
    end: int


@node("add", cpu_bound=True)
def add(span: Span) -> int:
    return sum(range(span.start, span.end))


@node("which", cpu_bound=True)
def which() -> int:
    return os.getpid()


@node("context", cpu_bound=True, reads=["known", "missing"])
def context(ctx: ThreadContext, key: str = "known") -> Result:
    ctx.set("written", [ctx.get(key), ctx.get("missing", "nothing"), ctx.has("missing")])
    ctx.delete("known")
    ctx.progress(0.5, "half")
    ctx.emit({"part": 1})
    return Result(ctx.idempotency_key, action="go")


@node("die", cpu_bound=True)
def die(ctx: ThreadContext) -> str:
    if ctx.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


@node("fail", cpu_bound=True)
def fail(ctx: ThreadContext, how: str) -> None:
    ctx.set("tried", ctx.attempt)
    raise {"value": ValueError("bad"), "never": NonRetryableError("never"), "odd": OddError("a", "b")}.get(
        how, RetryAfter(2.5, "later")
    )


@node("hang", cpu_bound=True)
def hang(ctx: ThreadContext) -> str:
    if ctx.attempt == 1:
        time.sleep(60)
    return "done"


@node("beat", cpu_bound=True)
def beat(ctx: ThreadContext) -> str:
    for _ in range(20):
        time.sleep(0.02)
        ctx.heartbeat()
    return "done"


@node("odd", cpu_bound=True)
def odd() -> Any:
    return object()


class OddError(Exception):
    """Cannot be made from what it keeps."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


@node("leak", cpu_bound=True)
def leak(ctx: ThreadContext) -> None:
    logging.getLogger("a.node").warning("the key is %s", ctx.params["key"])
    ctx.set("key", ctx.params["key"])
    raise ValueError(f"raised with {ctx.params['key']}")
