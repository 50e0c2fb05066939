"""Whether the event loop turns, and what keeps it from that: watched by a thread, for the loop cannot watch itself.

While the loop is blocked nothing else of this worker goes on: no step, no record, no commit, no view. The consumer has
a loop and a thread of its own and stays in its group, so the partitions stay here; they move only when the group is
shared out anew meanwhile, for this worker does not answer then.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

log = logging.getLogger(__name__)

BEAT_SECONDS: Final = 0.25
LATE_SECONDS: Final = 1.0
"""When the thread itself comes so late, the whole process had no time, and that says nothing about the loop."""
FRAMES_SHOWN: Final = 25


class LoopWatch:
    """Tells of a loop that is blocked after `alarm_seconds`, again whenever that has doubled, and when it is over.

    `on_dead` is called, by the thread, when it has lasted for `dead_seconds`.
    """

    def __init__(
        self,
        *,
        alarm_seconds: float,
        dead_seconds: float,
        step_of: Callable[[asyncio.Task[Any] | None], str | None],
        on_blocked: Callable[[], None],
        on_dead: Callable[[float], None],
    ) -> None:
        self._alarm_seconds = alarm_seconds
        self._dead_seconds = dead_seconds
        self._step_of = step_of
        self._on_blocked = on_blocked
        self._on_dead = on_dead
        self._beat_at = 0.0
        self._told_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.lag_seconds = 0.0
        """By how much the last beat came too late."""
        self.blocked_until: float | None = None
        """When the loop was found blocked the last time, by the monotonic clock."""

    def start(self) -> None:
        """Watch the running loop."""
        self._loop = asyncio.get_running_loop()
        self._owner = threading.get_ident()
        self._beat_at = time.monotonic()
        self._beat()
        self._thread = threading.Thread(target=self._watch, name="famulus-loop-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is not None:
            self._thread.join(timeout=2 * BEAT_SECONDS)

    def _beat(self) -> None:
        now = time.monotonic()
        self.lag_seconds = max(0.0, now - self._beat_at - BEAT_SECONDS)
        self._beat_at = now
        if not self._stopping.is_set():
            self._timer = self._loop.call_later(BEAT_SECONDS, self._beat)

    def _watch(self) -> None:
        looked_at = time.monotonic()
        while not self._stopping.wait(BEAT_SECONDS):
            now = time.monotonic()
            if now - looked_at > BEAT_SECONDS + LATE_SECONDS:
                log.warning(
                    "this process had no time for %.1f s: it was stopped, or code that holds the interpreter ran",
                    now - looked_at,
                    extra={"action": "process_paused", "seconds": round(now - looked_at, 1)},
                )
                self._beat_at = now  # the loop gets its chance first
            looked_at = now
            self._look(now - self._beat_at - BEAT_SECONDS, now)

    def _look(self, blocked: float, now: float) -> None:
        if blocked < self._alarm_seconds:
            if self._told_at:
                log.warning("the event loop turns again", extra={"action": "loop_free"})
                self._told_at = 0.0
            return
        self.blocked_until = now
        if blocked >= self._dead_seconds:
            self._tell(blocked, fatal=True)
            self._on_dead(blocked)
        elif blocked >= 2 * self._told_at:
            if not self._told_at:
                self._on_blocked()
            self._told_at = blocked
            self._tell(blocked, fatal=False)

    def _tell(self, blocked: float, *, fatal: bool) -> None:
        frame = sys._current_frames().get(self._owner)  # noqa: SLF001 - there is no other way
        step = self._step_of(asyncio.current_task(self._loop)) or _step_of_frames(frame)
        who = "code that is no step" if step is None else f"step {step}"
        stack = "".join(traceback.format_stack(frame, limit=None)[-FRAMES_SHOWN:]) if frame is not None else ""
        del frame
        log.log(
            logging.CRITICAL if fatal else logging.ERROR,
            "the event loop is blocked for %.1f s by %s; nothing else of this worker goes on meanwhile. "
            "Code that waits belongs into a `def` node, which has a thread of its own:\n%s",
            blocked,
            who,
            stack,
            extra={"action": "loop_blocked", "step": step, "seconds": round(blocked, 1)},
        )


def _step_of_frames(frame: FrameType | None) -> str | None:
    """The step of an attempt that is called somewhere in the stack: its code may run in a task of its own."""
    while frame is not None:
        if frame.f_code.co_name == "_attempt" and frame.f_code.co_filename.endswith("execution.py"):
            run, step = frame.f_locals.get("run"), frame.f_locals.get("step")
            if run is not None and step is not None:
                return f"{step.step_id} of run {run.run_id}"
        frame = frame.f_back
    return None
