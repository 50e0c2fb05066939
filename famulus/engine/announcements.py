"""What the topics are told of a run, a moment after its rows: hints of what is due, and events of what happened.

The owner runs what is due itself, so a hint is for whoever owns the run if this worker dies. Most steps are over before
anybody could read one. So hints wait a moment, and a step that is recorded by then needs none: its successors do. What
a record on the topic has set going is finished only when every step that is still due has its hint there; until then
the record itself is not acknowledged, and a crash brings it back. Events wait as long, and share one record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final

import msgspec

from famulus.engine.records import step_record
from famulus.faultpoints import K7, K8, ON, reach
from famulus.flow.decisions import RecordEvent, RunStep
from famulus.ids import RunId, StepId
from famulus.ports import Bus, RunBirth

EVENTS_RECORD_BYTES: Final = 128 * 1024
"""A run may skip 10,000 steps in one moment; no topic takes what is told of that as one record."""


class Announcements:
    """Of one run. Only rows that are durable may be announced."""

    def __init__(self, bus: Bus, birth: RunBirth, *, delay_seconds: float, failed: Callable[[], None]) -> None:
        self._bus = bus
        self._birth = birth
        self._delay_seconds = delay_seconds
        self._failed = failed
        self._hints: dict[StepId, RunStep] = {}
        self._events: list[RecordEvent] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._sending: set[asyncio.Task[None]] = set()

    def due(self, step: RunStep) -> None:
        self._hints[step.step_id] = step

    def settled(self, step_id: StepId) -> None:
        """The step is not due any more, and that is recorded."""
        self._hints.pop(step_id, None)

    def happened(self, events: Iterable[RecordEvent]) -> None:
        self._events.extend(events)

    def let_wait(self, reporters: Iterable[asyncio.Future[None]]) -> None:
        """Resolve these when everything noted up to now is on the topics, or fail them if it cannot be put there."""
        self._waiting.extend(reporters)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._delay_seconds, self.make_now)

    def make_now(self) -> None:
        """Announce what is noted, without waiting any longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        hints, self._hints = self._hints, {}
        events, self._events = self._events, []
        waiting, self._waiting = self._waiting, []
        if not (hints or events or waiting):
            return
        task = asyncio.create_task(self._send(list(hints.values()), events, waiting))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, hints: list[RunStep], events: list[RecordEvent], waiting: list[asyncio.Future[None]]) -> None:
        try:
            run_id = self._birth.run_id
            if ON and hints and len(hints) + len(events) > 1:
                await (await self._send_hint(hints.pop()))
                reach(K7, run_id)
            sends = [await self._send_hint(hint) for hint in hints]
            sends += [await self._bus.send_event(run_id, record) for record in self._events_records(run_id, events)]
            for send in sends:
                await send
            if ON:
                reach(K8, run_id)
        except BaseException as error:
            self._failed()
            fail(waiting, error)
            if not isinstance(error, Exception):
                raise
            return
        for reporter in waiting:
            if not reporter.done():
                reporter.set_result(None)

    async def _send_hint(self, hint: RunStep) -> Awaitable[None]:
        run_id = self._birth.run_id
        return await self._bus.send_job(run_id, step_record(run_id, hint.step_id, hint.attempt))

    def _events_records(self, run_id: RunId, events: Iterable[RecordEvent]) -> Iterator[bytes]:
        about = {"run_id": run_id, "blueprint_id": self._birth.blueprint_id, "version": self._birth.version}
        share: list[msgspec.Raw] = []
        size = 0
        for event in events:
            told = msgspec.json.encode({"seq": event.seq, "type": event.type, "at": event.at, **event.data})
            if share and size + len(told) > EVENTS_RECORD_BYTES:
                yield msgspec.json.encode({**about, "events": share})
                share, size = [], 0
            share.append(msgspec.Raw(told))
            size += len(told)
        if share:
            yield msgspec.json.encode({**about, "events": share})


def fail(waiting: Iterable[asyncio.Future[None]], error: BaseException) -> None:
    for reporter in waiting:
        if reporter.done():
            continue
        if isinstance(error, asyncio.CancelledError):
            reporter.cancel()
        else:
            reporter.set_exception(error)
