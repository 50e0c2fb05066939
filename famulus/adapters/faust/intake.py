"""From a Faust stream to a handler: many records at once, acknowledged in order.

The rules of this file:

* A record is acknowledged when it and all records before it in its partition are finished (`offsets.py`).
* What the handler raises is infrastructure. The record is tried again until it goes through, and holds its slot
  meanwhile: that is the back-pressure. Only when its partition was revoked is it left to the next owner.
* At most ``concurrency`` records run and at most ``window`` wait for their acknowledgement. Beyond that the stream is
  not read, its queue fills, and the consumer pauses its partitions.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from famulus.adapters.faust.offsets import Delivery, OffsetWindow, Ticket
from famulus.errors import RetryableError
from famulus.faultpoints import K0, K9, ON, reach
from famulus.ports import Record

if TYPE_CHECKING:
    import faust
    from faust.types import EventT, StreamT
    from faust.types.tuples import Message

log = logging.getLogger(__name__)

Handler = Callable[[Record], Awaitable[None] | None]
"""Handles one record; ``None`` instead of an awaitable says that the record is finished already."""

FINISHED_REMEMBERED: Final = 2000
FIRST_RETRY_SECONDS: Final = 0.1
LONGEST_RETRY_SECONDS: Final = 30.0


def retry_delay(attempt: int, error: Exception) -> float:
    """Seconds until the next attempt: what the error asks for, else doubled each time; half of it jitter."""
    seconds = error.retry_after if isinstance(error, RetryableError) else None
    if seconds is None:
        seconds = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(attempt, 16))
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, hides nothing


@dataclass(slots=True)
class IntakeCounts:
    """What happened since the start of the worker."""

    admitted: int = 0
    finished: int = 0
    acknowledged: int = 0
    rebound: int = 0
    """Delivered again while they ran here."""
    repeated: int = 0
    """Delivered again after they finished here."""
    retried: int = 0
    """Attempts that ended in an exception."""
    abandoned: int = 0
    """Left to the next owner of their partition."""


class Intake:
    """Runs each record of a stream through a handler; see the rules of this module."""

    def __init__(
        self,
        handler: Handler,
        *,
        concurrency: int,
        window: int,
        delay: Callable[[int, Exception], float] = retry_delay,
        forgets: bool = True,
    ) -> None:
        """`forgets`: a record that has finished here is handled again when it comes again after a rebalance."""
        self._handler = handler
        self._window_limit = window
        self._delay = delay
        self._slots = asyncio.Semaphore(concurrency)
        self._room = asyncio.Event()
        self._room.set()
        memory = min(window, FINISHED_REMEMBERED)
        self._partitions: defaultdict[tuple[str, int], OffsetWindow[Any]] = defaultdict(
            lambda: OffsetWindow(memory=memory, forgets=forgets)
        )
        self._unacknowledged = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._admitting = True
        self.counts = IntakeCounts()

    @property
    def running(self) -> int:
        """How many records run now, those waiting for their next attempt included."""
        return len(self._tasks)

    @property
    def is_full(self) -> bool:
        """No more records are started for now, so the stream is not read."""
        return self._slots.locked() or not self._room.is_set()

    @property
    def unacknowledged(self) -> int:
        """How many records of the present assignment are delivered and not acknowledged."""
        return self._unacknowledged

    async def drain_stream(self, stream: StreamT[bytes]) -> None:
        """Run every record of the stream, for ever. The body of an agent."""
        app: Any = stream.app  # the signal's type asks handlers for *args
        app.on_partitions_revoked.connect(self._on_partitions_revoked)
        with_own_acks = cast("faust.Stream[bytes]", stream).noack()
        async for _ in with_own_acks:
            event = with_own_acks.current_event
            if event is not None:
                await self.admit(event)
            if not self._admitting:
                # Ending here would restart the agent. Reading on would pass over records that are never acknowledged.
                await asyncio.get_running_loop().create_future()

    async def admit(self, event: EventT[Any]) -> None:
        """Start the record of an event; returns when it has started, is finished, or is refused."""
        await self._room.wait()
        await self._slots.acquire()
        if not self._admitting or not _is_current(event):
            self._slots.release()
            return

        message = event.message
        partition = self._partitions[message.tp]
        before = len(partition)
        delivery, ticket = partition.deliver(
            message.offset,
            event,
            fingerprint=hash((message.timestamp, message.key, message.value)),
            generation=message.generation_id,
        )
        self._resize(len(partition) - before)
        if delivery is Delivery.NEW:
            self.counts.admitted += 1
            self._start(partition, ticket, record_of(message))
            return
        self._slots.release()
        if delivery is Delivery.RUNNING:
            self.counts.rebound += 1
            return
        self.counts.repeated += 1
        self._acknowledge(partition)

    def take_back(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Acknowledge nothing more of these partitions until they are delivered again. What runs, runs on."""
        for name in partitions:
            partition = self._partitions.get(name)
            if partition is not None:
                self._resize(-len(partition))
                partition.take_back()

    def stop_admitting(self) -> None:
        """Start no more records. What was delivered and not started stays unacknowledged, for the next owner."""
        self._admitting = False

    async def drain(self, timeout: float) -> int:  # noqa: ASYNC109 - what does not end in time is cancelled, not an error
        """Stop admitting and wait for what runs; cancel the rest and return how many that were.

        A cancelled record stays unacknowledged, so its next owner runs it.
        """
        self.stop_admitting()
        if not self._tasks:
            return 0
        _, left = await asyncio.wait(self._tasks, timeout=timeout)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        return len(left)

    def _start(self, partition: OffsetWindow[Any], ticket: Ticket[Any], record: Record) -> None:
        """Run a record that holds a slot. A task is made only when there is something to wait for."""
        try:
            if ON:
                reach(K0, _named(record.key))
            pending = self._handler(record)
        except Exception as error:  # noqa: BLE001 - the edge to the engine: retried like one raised later
            pending = _raise(error)
        if pending is None:
            self._finish(partition, ticket)
            self._slots.release()
            return
        task = asyncio.create_task(self._run(partition, ticket, record, pending))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(
        self, partition: OffsetWindow[Any], ticket: Ticket[Any], record: Record, pending: Awaitable[None]
    ) -> None:
        try:
            if await self._until_handled(ticket, record, pending):
                self._finish(partition, ticket)
            else:
                self.counts.abandoned += 1
        finally:  # a cancelled record is not finished: it stays unacknowledged
            if not ticket.finished:
                partition.abandon(ticket)
            self._slots.release()

    async def _until_handled(self, ticket: Ticket[Any], record: Record, pending: Awaitable[None] | None) -> bool:
        """Try until the record is handled; ``False`` when its partition is revoked or this worker stops before that."""
        attempt = 0
        while True:
            try:
                if pending is not None:
                    await pending
            except Exception as error:
                self.counts.retried += 1
                if not (ticket.bound and self._admitting):
                    log.info(
                        "%s/%d@%d is left to the next owner of its partition",
                        record.topic,
                        record.partition,
                        record.offset,
                        extra={"action": "record_abandoned", "error": repr(error)},
                    )
                    return False
                delay = self._delay(attempt, error)
                attempt += 1
                log.warning(
                    "%s/%d@%d did not go through at attempt %d, next one in %.1f s: %s",
                    record.topic,
                    record.partition,
                    record.offset,
                    attempt,
                    delay,
                    error,
                    exc_info=None if isinstance(error, RetryableError) else error,
                    extra={"action": "record_retried", "attempt": attempt},
                )
                await asyncio.sleep(delay)
                pending = self._call(record)
            else:
                return True

    async def _call(self, record: Record) -> None:
        """Call the handler inside the awaitable, so that one that raises at once is one more failed attempt."""
        pending = self._handler(record)
        if pending is not None:
            await pending

    def _finish(self, partition: OffsetWindow[Any], ticket: Ticket[Any]) -> None:
        partition.finish(ticket)
        self.counts.finished += 1
        self._acknowledge(partition)

    def _acknowledge(self, partition: OffsetWindow[Any]) -> None:
        events = partition.ripe()
        for event in events:
            if ON:
                reach(K9, _named(event.message.key))
            event.ack()
        self.counts.acknowledged += len(events)
        self._resize(-len(events))

    def _resize(self, difference: int) -> None:
        """Keep count of the windows, and open or close the way in."""
        self._unacknowledged += difference
        if self._unacknowledged < self._window_limit:
            self._room.set()
        else:
            self._room.clear()

    async def _on_partitions_revoked(self, _app: faust.App, revoked: Iterable[tuple[str, int]], **_: Any) -> None:
        self.take_back(revoked)


def _is_current(event: EventT[Any]) -> bool:
    """False for a record whose partition was revoked while it waited for its slot: it will be delivered again."""
    app = cast("faust.App", event.app)
    return app.flow_control.is_active() and event.message.generation_id == app.consumer_generation_id


def record_of(message: Message) -> Record:
    """The raw record, whatever serializers the topic has."""
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        headers=tuple(cast("Iterable[tuple[str, bytes | None]]", message.headers or ())),
        timestamp=message.timestamp,
    )


def _named(key: bytes | None) -> str:
    """The run that a record is about, as far as its key says."""
    return (key or b"").decode(errors="replace")


async def _raise(error: Exception) -> None:
    raise error
