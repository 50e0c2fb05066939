"""The attempts that run in this worker, by run and step.

They outlive the session that started them: after a rebalance that gives the partition back, an attempt goes on and
reports to the run as it was loaded anew. Where the partition went to another worker, the attempt is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

from famulus.ids import RunId, StepId
from famulus.nodes.cancellation import CANCELLATION, Cancellation

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunningAttempt:
    attempt: int
    partition: int
    task: asyncio.Task[None]
    cancellation: Cancellation = field(default_factory=Cancellation)


class Attempts:
    def __init__(self) -> None:
        self._running: dict[tuple[RunId, StepId], RunningAttempt] = {}
        self._given_up: set[asyncio.Task[None]] = set()
        """Cancelled, and not yet over: they are in nobody's way when their partition comes back."""
        self._patience: dict[RunId, float] = {}
        """Of runs that are about to be cancelled: how many seconds their attempts have to come to an end."""

    def __len__(self) -> int:
        return len(self._running) + len(self._given_up)

    def start(
        self,
        run_id: RunId,
        step_id: StepId,
        *,
        attempt: int,
        partition: int,
        body: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        """Run the body for the step, unless this attempt of it runs already."""
        key = (run_id, step_id)
        known = self._running.get(key)
        if known is not None and known.attempt == attempt:
            return
        cancellation, context = Cancellation(), copy_context()
        context.run(CANCELLATION.set, cancellation)
        task = asyncio.create_task(body(), context=context)
        self._running[key] = RunningAttempt(attempt, partition, task, cancellation)
        task.add_done_callback(lambda done: self._ended(key, done))

    def task_of(self, run_id: RunId, step_id: StepId) -> asyncio.Task[None] | None:
        running = self._running.get((run_id, step_id))
        return None if running is None else running.task

    def name_of(self, task: asyncio.Task[Any]) -> str | None:
        """Which step a task is an attempt of, if it is one. Any thread may ask."""
        for (run_id, step_id), running in list(self._running.items()):
            if running.task is task:
                return f"{step_id} of run {run_id}"
        return None

    @contextmanager
    def patience(self, run_id: RunId, seconds: float) -> Iterator[None]:
        """Let attempts of the run that are stopped meanwhile have so long to come to an end by themselves."""
        self._patience[run_id] = seconds
        try:
            yield
        finally:
            self._patience.pop(run_id, None)

    def stop(self, run_id: RunId, step_id: StepId) -> None:
        """Tell the attempt that it is not wanted any more, and cancel it when its grace is over."""
        running = self._running.get((run_id, step_id))
        if running is None:
            return
        running.cancellation.request()
        grace = self._patience.get(run_id, 0.0)
        if grace <= 0:
            running.task.cancel()
            return
        hard = asyncio.get_running_loop().call_later(grace, running.task.cancel)
        running.task.add_done_callback(lambda _: hard.cancel())

    def keep_only(self, partitions: frozenset[int]) -> None:
        """Cancel what runs for partitions that belong to another worker now."""
        for key, running in list(self._running.items()):
            if running.partition not in partitions:
                del self._running[key]
                self._given_up.add(running.task)
                running.task.add_done_callback(self._given_up.discard)
                running.task.cancel()

    def wait(self, timeout: float) -> Awaitable[object]:
        """Wait until nothing runs, or the time is over."""
        tasks = {running.task for running in self._running.values()}
        return asyncio.wait(tasks, timeout=timeout) if tasks else asyncio.sleep(0)

    async def cancel_all(self) -> None:
        tasks = [*self._given_up, *(running.task for running in self._running.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, key: tuple[RunId, StepId], task: asyncio.Task[None]) -> None:
        known = self._running.get(key)
        if known is not None and known.task is task:  # the next attempt may have taken its place
            del self._running[key]
        if not task.cancelled() and task.exception() is not None:
            log.error(
                "an attempt could not be reported; its step stays due",
                exc_info=task.exception(),
                extra={"action": "attempt_lost", "run_id": key[0], "step_id": key[1]},
            )
