"""How many runs of each blueprint stand where, over all workers.

A key is a process, which alone writes it: the events that it has counted, and up to where in each partition. Who reads
adds all of them up. So a partition that moves needs no hand-over, and nothing is lost where a worker reads the table
late. Counts and positions change in one write, so what is delivered again after a crash is not counted again.

The counts begin where the events topic begins. A run whose start lies before that is counted when it ends.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import faust

NAME: Final = "run_board"
RUN_STARTED: Final = "run.started"
RUN_ENDED: Final = {"run.completed": "completed", "run.failed": "failed", "run.cancelled": "cancelled"}
"""Event type -> status."""
COMPACT_EARLY: Final = {"segment.ms": 10 * 60 * 1000, "min.cleanable.dirty.ratio": 0.1}
"""A worker reads the changelog before it handles its first record, so it should stay short."""


class Position(NamedTuple):
    """Of a record in its partition."""

    offset: int
    timestamp: float

    def is_covered_by(self, last: Position) -> bool:
        """Whether it was counted before. A lower offset at a later time is that of a topic that began anew."""
        return self.offset <= last.offset and self.timestamp <= last.timestamp


class RunBoard:
    def __init__(self, table: Any, process: str) -> None:
        self._table = table
        self._process = process
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._positions: dict[str, Position] = {}
        self._changed = False

    def count(self, partition: int, offset: int, timestamp: float, events: Iterable[tuple[str, str]]) -> None:
        """Count a record of the events topic: blueprint id and event type of each event. `write` follows."""
        position = Position(offset, timestamp)
        own = self._positions.get(str(partition))
        goes_on = own is not None and offset == own.offset + 1
        if not goes_on and any(position.is_covered_by(last) for last in self._known_positions(str(partition))):
            return
        self._positions[str(partition)] = Position(offset, max(timestamp, own.timestamp) if own else timestamp)
        for blueprint_id, event_type in events:
            if event_type == RUN_STARTED or event_type in RUN_ENDED:
                self._counts[blueprint_id][event_type] += 1
                self._changed = True

    def write(self) -> None:
        """Put what has changed into the table."""
        if self._changed:
            counts = {blueprint_id: dict(counts) for blueprint_id, counts in self._counts.items()}
            self._table[self._process] = {"counts": counts, "positions": dict(self._positions)}
            self._changed = False

    def totals(self) -> dict[str, dict[str, int]]:
        """Blueprint id -> status -> number of runs, over all workers."""
        totals: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for value in list(self._table.values()):
            for blueprint_id, counts in value["counts"].items():
                totals[blueprint_id].update(counts)
        return {blueprint_id: _by_status(totals[blueprint_id]) for blueprint_id in sorted(totals)}

    def _known_positions(self, partition: str) -> Iterator[Position]:
        """Up to where this process and any other has counted the partition."""
        if partition in self._positions:
            yield self._positions[partition]
        for value in self._table.values():
            if partition in value["positions"]:
                yield Position(*value["positions"][partition])


def _by_status(counts: Counter[str]) -> dict[str, int]:
    ended = {status: counts[event_type] for event_type, status in RUN_ENDED.items()}
    return {"running": max(0, counts[RUN_STARTED] - sum(ended.values())), **ended}


def define(app: faust.App) -> RunBoard:
    """Define the table on the app.

    Its changelog has one partition, because a global table of several instances may recover for ever otherwise (see
    the docstring of `faust.GlobalTable`). The partitioner finds it: the source has more partitions than that.
    """
    table = app.GlobalTable(
        NAME,
        partitions=1,
        recovery_buffer_size=1,
        use_partitioner=True,
        extra_topic_configs=COMPACT_EARLY,
        help="events of runs by process and blueprint",
    )
    return RunBoard(table, process=uuid.uuid4().hex)
