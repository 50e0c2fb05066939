"""The events topic: what happened in all runs, counted for the views.

Records are counted in batches, because a write to a table costs more than a hundred records. A batch is acknowledged
after it is written; what is counted and not acknowledged comes again, and the board knows it then.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final, Protocol, cast

import faust
import msgspec
from faust.types import AgentT, EventT, StreamT, TopicT

log = logging.getLogger(__name__)

BATCH_RECORDS: Final = 5000
BATCH_SECONDS: Final = 1.0
RUNS_REMEMBERED: Final = 5000
STEP_COMPLETED: Final = "step.completed"
RUN_ENDED: Final = frozenset({"run.completed", "run.failed", "run.cancelled"})


class Board(Protocol):
    def count(self, partition: int, offset: int, timestamp: float, events: Iterable[tuple[str, str]]) -> None: ...

    def write(self) -> None: ...


class Throughput(Protocol):
    def add(self, *, steps: Iterable[float], runs: Iterable[float], now: float) -> None: ...


class HappenedEvent(msgspec.Struct, gc=False):
    seq: int
    type: str
    at: float


class EventsRecord(msgspec.Struct, gc=False):
    run_id: str
    blueprint_id: str
    events: list[HappenedEvent]


class NewEvents:
    """Tells the events of a record that were not seen yet: the producer may put a record onto the topic twice."""

    def __init__(self, *, runs_remembered: int = RUNS_REMEMBERED) -> None:
        self._runs_remembered = runs_remembered
        self._highest: OrderedDict[str, int] = OrderedDict()

    def of(self, record: EventsRecord) -> list[HappenedEvent]:
        known = self._highest.pop(record.run_id, -1)
        new = [event for event in record.events if event.seq > known]
        self._highest[record.run_id] = max((event.seq for event in new), default=known)
        if len(self._highest) > self._runs_remembered:
            self._highest.popitem(last=False)
        return new


def register(app: faust.App, *, topic: TopicT, board: Board, throughput: Throughput) -> AgentT[bytes]:
    """Count the events of the topic for the run board and the throughput."""

    @app.agent(topic, name="famulus.events")
    async def count_events(stream: StreamT[bytes]) -> None:
        new_events = NewEvents()
        async for batch in cast("faust.Stream[bytes]", stream).take_events(BATCH_RECORDS, within=BATCH_SECONDS):
            try:
                current = [event for event in batch if _is_current(app, event)]
                count(current, new_events, board, throughput)
            except Exception:  # an exception would restart the agent; the views lack this batch, the runs lack nothing
                log.exception("events not counted", extra={"action": "events_not_counted", "records": len(batch)})

    return count_events


def count(batch: Iterable[EventT[bytes]], new_events: NewEvents, board: Board, throughput: Throughput) -> None:
    steps: list[float] = []
    runs: list[float] = []
    for event in batch:
        record = _read(event.value)
        if record is None:
            continue
        message = event.message
        new = new_events.of(record)
        board.count(
            message.partition,
            message.offset,
            message.timestamp,
            [(record.blueprint_id, happened.type) for happened in new],
        )
        steps += [happened.at for happened in new if happened.type == STEP_COMPLETED]
        runs += [happened.at for happened in new if happened.type in RUN_ENDED]
    board.write()
    throughput.add(steps=steps, runs=runs, now=time.time())


def _is_current(app: faust.App, event: EventT[bytes]) -> bool:
    """Records that waited here through a rebalance are delivered again, to whoever has their partition now."""
    generation: int = cast("Any", app).consumer_generation_id
    return event.message.generation_id == generation


def _read(value: bytes | None) -> EventsRecord | None:
    """The record, or ``None`` for what is none: anybody may write to a topic."""
    try:
        return msgspec.json.decode(value or b"", type=EventsRecord)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
