"""An event loop in which everything that is left open is decided by a seed, and in which time costs nothing.

It knows *processes*: whatever runs in the context of one, and all that comes of it. Within a process callbacks run in
the order in which asyncio promises them; which process goes on next is drawn. A process can be frozen, as by SIGSTOP,
and killed. The time moves on when no process has anything to do, to the next moment for which something is set.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Process:
    """What lives and dies together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready: deque[events.Handle] = deque()
        self.is_frozen = False
        self.is_dead = False
        self.context: Context = copy_context()
        self.context.run(PROCESS.set, self)

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return self.context.copy().run(function, *args, **kwargs)

    def spawn(self, body: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return asyncio.get_running_loop().create_task(body, context=self.context.copy())

    def kill(self) -> None:
        self.is_dead = True
        self.ready.clear()


PROCESS: Final[ContextVar[Process | None]] = ContextVar("simulation.process", default=None)


class StandstillError(Exception):
    """Nothing has anything to do, and nothing is set for later."""


class SimulatedLoop(asyncio.BaseEventLoop):
    def __init__(self, random: Random) -> None:
        super().__init__()
        self.world = Process("world")
        self._random = random
        self._processes = [self.world]
        self._moment = 0.0
        self._due: list[tuple[float, float, int, events.TimerHandle]] = []
        self._numbers = itertools.count()
        self._tasks: list[asyncio.Task[Any]] = []
        self.set_task_factory(self._make_task)
        self.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.complaints: list[dict[str, Any]] = []
        """What asyncio would have logged: errors that nobody has asked for."""

    def time(self) -> float:
        return self._moment

    def process(self, name: str) -> Process:
        made = Process(name)
        self._processes.append(made)
        return made

    # -- what asyncio asks of a loop -----------------------------------------------------------------------------------

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> events.Handle:
        owner = (PROCESS.get() if context is None else context.get(PROCESS)) or self.world
        handle = events.Handle(callback, args, self, context)
        if not owner.is_dead:
            owner.ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> events.TimerHandle:
        return self.call_at(self._moment + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> events.TimerHandle:
        handle = events.TimerHandle(when, callback, args, self, context or copy_context())
        # What is due at the same moment comes in any order.
        heapq.heappush(self._due, (when, self._random.random(), next(self._numbers), handle))
        return handle

    def run_in_executor(self, *_: Any) -> Any:
        raise AssertionError("threads have no place in a simulation: their order is nobody's")

    def _timer_handle_cancelled(self, handle: events.TimerHandle) -> None:
        pass

    def _run_once(self) -> None:
        able = [process for process in self._processes if process.ready and not process.is_frozen]
        if not able:
            self._let_time_go_on()
            return
        process = able[0] if len(able) == 1 else able[int(self._random.random() * len(able))]
        ready = process.ready
        # A few at a time: what others do in between is seen by nobody within one callback.
        for _ in range(min(len(ready), 1 + int(self._random.random() * BURST)) if len(able) > 1 else len(ready)):
            if not ready or process.is_frozen:
                return
            handle = ready.popleft()
            if not handle._cancelled:  # type: ignore[attr-defined]
                handle._run()

    def _let_time_go_on(self) -> None:
        while True:
            if not self._due:
                raise StandstillError("nothing is set for later")
            when, _, _, handle = heapq.heappop(self._due)
            if not handle._cancelled:  # type: ignore[attr-defined]
                break
        self._moment = max(self._moment, when)
        self._make_ready(handle)
        while self._due and self._due[0][0] <= self._moment:
            handle = heapq.heappop(self._due)[3]
            if not handle._cancelled:  # type: ignore[attr-defined]
                self._make_ready(handle)

    def _make_ready(self, handle: events.TimerHandle) -> None:
        owner = handle._context.get(PROCESS) or self.world  # type: ignore[attr-defined]
        if not owner.is_dead:
            owner.ready.append(handle)

    def _make_task(self, _: Any, body: Coroutine[Any, Any, T], **options: Any) -> asyncio.Task[T]:
        task = asyncio.Task(body, loop=self, **options)
        self._tasks.append(task)
        if len(self._tasks) >= TASKS_KEPT and not self.world.is_dead:
            self._tasks = [task for task in self._tasks if not task.done()]
        return task

    # -- the end -----------------------------------------------------------------------------------------------------

    def abandon(self) -> None:
        """Close the loop as a machine that is switched off; nothing of what was under way is brought to an end."""
        for process in self._processes:
            process.kill()
        logging.disable()
        events._set_running_loop(self)  # what is cleaned up may set things going: it finds a loop, and goes nowhere
        try:
            for task in self._tasks:  # it grows meanwhile
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    close(task.get_coro())
        finally:
            events._set_running_loop(None)
            logging.disable(logging.NOTSET)
        self._tasks.clear()
        self._due.clear()
        self.close()


BURST: Final = 4
TASKS_KEPT: Final = 4000


def close(body: Any) -> None:
    with contextlib.suppress(BaseException):  # nothing of its clean-up is to happen any more
        body.close()
