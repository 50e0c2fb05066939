"""How code of the users is called: `async def` on the event loop, `def` in a thread."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any

from famulus.nodes.context import NodeContext, NodeInfo, ThreadContext
from famulus.nodes.signature import code_of


class Caller:
    """Has the threads of a worker in which nodes run."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="famulus-node")

    async def call(self, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Call either kind of function; a context among the arguments becomes the kind that it expects."""
        is_async = inspect.iscoroutinefunction(code_of(function))
        kind = NodeContext if is_async else ThreadContext
        given = [kind.of(each) if isinstance(each, NodeInfo) else each for each in args]
        named = {name: kind.of(each) if isinstance(each, NodeInfo) else each for name, each in named.items()}
        if is_async:
            return await function(*given, **named)
        return await self.in_thread(partial(function, *given, **named))

    async def in_thread(self, call: Callable[[], Any]) -> Any:
        returned, error = await asyncio.get_running_loop().run_in_executor(
            self._threads, copy_context().run, caught, call
        )
        if error is not None:
            raise error
        return returned

    def close(self) -> None:
        """Let go of the threads. What still runs in one is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def caught(call: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """Call in a thread. A future cannot carry every error: with `StopIteration` it would never be done."""
    try:
        return call(), None
    except BaseException as error:  # noqa: BLE001  # raised again by who awaits it
        return None, error
