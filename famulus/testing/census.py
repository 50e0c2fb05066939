"""Which tasks belong to which part of a program, so that a part can be ended as a process is killed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_FAMILY: Final[ContextVar[Family | None]] = ContextVar("famulus.testing.family", default=None)
_CANCELLED_MOST: Final = 10


class Family:
    """The tasks that are made by whatever runs in `context`, and by those tasks, and so on."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[Any]] = set()
        self._context = copy_context()
        self._context.run(_FAMILY.set, self)

    @property
    def context(self) -> Context:
        return self._context.copy()

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return self.context.run(function, *args, **kwargs)

    def add(self, task: asyncio.Task[Any]) -> None:
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def cancel(self) -> None:
        for task in list(self.tasks):
            task.cancel()

    async def end(self) -> None:
        """Cancel every task, again where one lingers, until none is left."""
        for _ in range(_CANCELLED_MOST):
            self.cancel()
            if self.tasks:
                await asyncio.wait(self.tasks, timeout=1.0)
            if not self.tasks:
                return


class Census:
    """The task factory of an event loop that tells families of their tasks; one for all who count on the loop."""

    def __init__(self, before: Any) -> None:
        self.users = 0
        self.before = before

    def __call__(self, loop: asyncio.AbstractEventLoop, coro: Any, /, **options: Any) -> asyncio.Future[Any]:
        make = self.before or _task
        task: asyncio.Task[Any] = make(loop, coro, **options)
        context: Context | None = options.get("context")
        family = _FAMILY.get() if context is None else context.get(_FAMILY)
        if family is not None:
            family.add(task)
        return task


def begin_census() -> Census:
    """Count the tasks of the running loop, until `end_census`."""
    loop = asyncio.get_running_loop()
    known: object = loop.get_task_factory()
    census = known if isinstance(known, Census) else Census(known)
    loop.set_task_factory(census)
    census.users += 1
    return census


def end_census(census: Census) -> None:
    census.users -= 1
    loop = asyncio.get_running_loop()
    known: object = loop.get_task_factory()
    if not census.users and known is census:
        loop.set_task_factory(census.before)


def _task(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
    return asyncio.Task(coro, loop=loop, **options)
