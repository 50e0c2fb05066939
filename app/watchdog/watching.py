"""The watchdog of a worker: looks, judges, and does what follows.

It restarts the consumer, and in the end the whole worker by ending it: nothing that is recorded depends on it, for the
next owner goes on with what the rows say. Servers that are away are waited for, and are no reason to end.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NoReturn

from famulus.adapters.faust.recovering import end_recovery
from famulus.adapters.faust.reopening import reopen_consumer
from famulus.adapters.faust.transport import forget_topics
from famulus.adapters.kafka.topics import ensure_topics
from famulus.errors import FamulusError
from famulus.transports import kafka_options

from .judging import TOPIC_MISSING, Action, Judge, Trouble, Verdict
from .looking import Onlooker
from .looping import LoopWatch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..worker import FamulusApp  # noqa: TID252  # in a wheel, these folders lie inside a package

log = logging.getLogger(__name__)

EXIT_CODE: Final = 70
"""Of a worker that the watchdog has ended; as `EX_SOFTWARE` of sysexits.h."""
RESTART_PATIENCE_SECONDS: Final = 30.0
TOPIC_PATIENCE_SECONDS: Final = 15.0
LATELY_SECONDS: Final = 5.0


class Watchdog:
    """Of one application. Reads the settings when it is started."""

    def __init__(self, app: FamulusApp) -> None:
        self._app = app
        settings = app.settings
        self._judge = Judge(patience_seconds=settings.watch_patience_seconds)
        self._onlooker = Onlooker(app)
        self._loop_watch = LoopWatch(
            alarm_seconds=settings.loop_alarm_seconds,
            dead_seconds=settings.loop_dead_seconds,
            step_of=self._step_of,
            on_blocked=lambda: self._count("loop_blocked"),
            on_dead=self._loop_is_dead,
        )
        self._task: asyncio.Task[None] | None = None
        self._told: dict[str, float] = {}
        self.troubles: tuple[Trouble, ...] = ()
        self.gives_up: str | None = None
        """Why this worker is about to end itself."""

    # -- for the views and the metrics ---------------------------------------------------------------------------------

    @property
    def loop_lag_seconds(self) -> float:
        return self._loop_watch.lag_seconds

    def reasons_against_ready(self) -> list[str]:
        reasons = [trouble.detail for trouble in self.troubles]
        if self._onlooker.broker_error is not None:
            reasons.append(self._onlooker.broker_error)
        until = self._loop_watch.blocked_until
        if until is not None and time.monotonic() - until < LATELY_SECONDS:
            reasons.append("the event loop was blocked a moment ago")
        return reasons

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._loop_watch.start()
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        self._loop_watch.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            await self._onlooker.close()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._app.settings.watch_seconds)
            try:
                await self._look()
            except Exception:  # it is the last one to go
                log.exception("the watchdog could not look", extra={"action": "watchdog_failed"})

    async def _look(self) -> None:
        sight = await self._onlooker.look()
        verdict = self._judge.judge(sight)
        self._tell(verdict)
        if sight.missing:
            # A topic that is gone does not come back by itself: there is nothing to be patient for.
            forget_topics(self._app, sight.missing)
            await self._make_topics(sight.missing)
            await self._restart_consumer()
        elif verdict.action is Action.END_RECOVERY:
            end_recovery(self._app)
        elif verdict.action is Action.RESTART_CONSUMER:
            await self._restart_consumer()
        elif verdict.action is Action.GIVE_UP:
            await self._give_up("; ".join(trouble.detail for trouble in verdict.troubles))

    def _tell(self, verdict: Verdict) -> None:
        """Each trouble once, however long it lasts; and that it is over."""
        known = {(trouble.kind, trouble.about) for trouble in self.troubles}
        self.troubles = verdict.troubles
        for trouble in verdict.troubles:
            if (trouble.kind, trouble.about) not in known:
                self._alarm(trouble.kind, trouble.detail)
        if known and not verdict.troubles:
            log.warning("the worker is well again", extra={"action": "watchdog_relieved"})

    def _alarm(self, kind: str, detail: str) -> None:
        self._count(f"alarm_{kind}")
        log.error("watchdog: %s", detail, extra={"action": kind})

    def _count(self, what: str) -> None:
        if self._app.is_running:
            self._app.engine.counts[what] += 1

    # -- what is done --------------------------------------------------------------------------------------------------

    async def _make_topics(self, missing: Iterable[str]) -> None:
        """Make topics anew that were deleted, as large as they were. What was on them is derived from the rows."""
        for topic in missing:
            self._alarm(TOPIC_MISSING, f"the topic {topic!r} does not exist any more; it is created anew")
        most = self._onlooker.most_partitions
        specs = [replace(spec, partitions=most.get(spec.name, spec.partitions)) for spec in self._onlooker.specs]
        try:
            await ensure_topics(
                self._app.settings.kafka_brokers or "",
                specs,
                patience=TOPIC_PATIENCE_SECONDS,
                options=kafka_options(self._app.settings),
            )
        except FamulusError as error:
            log.error("topics cannot be made: %s", error, extra={"action": "topics_not_made"})  # noqa: TRY400

    async def _restart_consumer(self) -> None:
        self._count("consumer_restarts")
        log.warning("the consumer is restarted", extra={"action": "consumer_restarted"})
        try:
            await reopen_consumer(self._app, patience=RESTART_PATIENCE_SECONDS)
        except FamulusError as error:
            log.error("the consumer was not restarted: %s", error, extra={"action": "restart_failed"})  # noqa: TRY400
        self._judge.restarted(time.monotonic())

    async def _give_up(self, reason: str) -> NoReturn:
        """Let steps that run come to their end, as on SIGTERM, but report failure: the supervisor is to start anew."""
        self.gives_up = reason
        log.critical("the worker gives up: %s", reason, extra={"action": "watchdog_gave_up"})
        try:
            async with asyncio.timeout(self._app.settings.drain_seconds):
                await self._app.let_steps_end()
        finally:
            _end()

    def _loop_is_dead(self, blocked: float) -> None:
        """By the thread: nothing that the loop would have to do can be waited for."""
        self.gives_up = f"the event loop is blocked for {blocked:.0f} s"
        log.critical("the worker gives up: %s", self.gives_up, extra={"action": "watchdog_gave_up"})
        _end()

    def _step_of(self, task: asyncio.Task[Any] | None) -> str | None:
        if task is None or not self._app.is_running:
            return None
        engine = self._app.engine
        return engine.steps.attempts.name_of(task) or engine.items.attempts.name_of(task)


def _end() -> NoReturn:
    logging.shutdown()
    os._exit(EXIT_CODE)
