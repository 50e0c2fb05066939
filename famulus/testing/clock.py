"""Time that moves when it is told to.

Keeps `famulus.ports.Clock`: whatever the engine waits for in time, it waits for here. A moment of this clock lasts as
long as the program needs for it; then the next one in which something is due comes at once, were it days later.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final
from weakref import WeakKeyDictionary

PATIENCE_SECONDS: Final = 60.0
START: Final = 1_767_225_600.0
"""2026-01-01T00:00:00Z: a time that can be read in a trace, and that is the same every time."""


class VirtualClock:
    def __init__(self, start: float = START) -> None:
        self.start = start
        self._now = start
        self._numbers = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._asleep: set[asyncio.Task[object]] = set()

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Return when the clock has gone on by so much; with nothing to wait for, after one turn of the event loop."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._numbers), woken))
        task = asyncio.current_task()
        if task is not None:
            self._asleep.add(task)
        try:
            await woken
        finally:
            if task is not None:
                self._asleep.discard(task)

    @property
    def next_due(self) -> float | None:
        """When the next sleeper is to wake; ``None``: nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():  # cancelled
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def has_asleep(self, task: asyncio.Task[object]) -> bool:
        """Whether the task sleeps here, and so does nothing but let time go by."""
        return task in self._asleep

    def move_to(self, time: float) -> None:
        """Let it be that time, if it is not later already, and wake whom it wakes, in the order of their times."""
        self._now = max(self._now, time)
        while (due := self.next_due) is not None and due <= self._now:
            _, _, woken = heapq.heappop(self._sleepers)
            woken.set_result(None)


CLOCK: Final[ContextVar[VirtualClock | None]] = ContextVar("famulus.testing.clock", default=None)
"""For the code of a node: the clock that it lets time go by on."""


class Pace:
    """Lets the program run until it stands still, then time go on: the two are never mixed up.

    It stands still when the event loop has nothing to run and no code of a node is at work. Such code may wait for
    threads and servers in real time; the clock follows real time then, so that whatever is to interrupt it does.
    """

    def __init__(
        self,
        clock: VirtualClock,
        *,
        busy: Callable[[], str],
        progress: Callable[[], int],
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """`busy`: what code is at work, empty if none; `progress`: a number that grows while a run goes on."""
        self._clock = clock
        self._busy = busy
        self._progress = progress
        self._patience_seconds = patience_seconds

    async def settle(self) -> None:
        """Return when nothing goes on any more without time, or somebody outside.

        Raises `TimeoutError` when a node has worked for longer than the patience.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        seen = began
        while True:
            before = self._progress()
            if not await stand_still() and self._progress() != before:
                continue
            busy = self._busy()
            if not busy:
                return
            now = loop.time()
            if now - began > self._patience_seconds:
                raise TimeoutError(f"{busy}: at work for more than {self._patience_seconds:g} s of real time")
            await asyncio.sleep(_LOOK_SECONDS)
            now = loop.time()
            self._clock.move_to(self._clock.now() + now - seen)
            seen = now

    async def go_on(self, *, until: float | None = None) -> bool:
        """Let time go on to the next moment in which something is due, and what is due happen.

        `False` when there is none, up to the given time.
        """
        await self.settle()
        due = self._clock.next_due
        if due is None or (until is not None and due > until):
            return False
        self._clock.move_to(due)
        await self.settle()
        return True


async def stand_still() -> bool:
    """Return when the event loop has nothing else to run at the moment; `False` if that takes too long.

    Others who ask for the same do not count: several stages may be on one loop.
    """
    loop = asyncio.get_running_loop()
    ready = getattr(loop, "_ready", None)
    if ready is None:  # another kind of loop: it does not say, so give every chain of callbacks time to come through
        for _ in range(_TURNS_UNSEEN):
            await asyncio.sleep(0)
        return True
    still = 0
    _ASKING[loop] = _ASKING.get(loop, 0) + 1
    try:
        for _ in range(_TURNS_MOST):  # code that turns round and round waits for something else
            await asyncio.sleep(0)
            # Of each other one that asks, its next turn. What is due at once in real time becomes ready one turn later.
            still = still + 1 if len(ready) < _ASKING[loop] else 0
            if still == _TURNS_STILL:
                return True
        return False
    finally:
        _ASKING[loop] -= 1


_ASKING: Final = WeakKeyDictionary[asyncio.AbstractEventLoop, int]()
"""How many ask at the moment whether a loop stands still."""
_LOOK_SECONDS: Final = 0.0005
_TURNS_STILL: Final = 3
_TURNS_UNSEEN: Final = 200
_TURNS_MOST: Final = 20_000
