"""How many steps were completed and runs ended lately, in windows of ten seconds.

A key is a worker, so each has its own entries and who reads adds them up. What was counted in the last second before a
worker died is counted again by the next one: this is a gauge, not a ledger.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import faust
from faust.types import EventT

NAME: Final = "throughput"
WINDOW_SECONDS: Final = 10.0
EXPIRES_SECONDS: Final = 600.0
EXPIRE_EARLY: Final = {"segment.ms": 5 * 60 * 1000}
"""The broker deletes whole segments only, and a worker reads what is left before it handles its first record."""


@dataclass(frozen=True, slots=True)
class Window:
    start: float
    """Seconds since the Unix epoch."""
    steps: int
    runs: int


class Throughput:
    def __init__(self, windows: Any, worker: str) -> None:
        self._windows = windows
        self._worker = worker

    def add(self, *, steps: Iterable[float], runs: Iterable[float], now: float) -> None:
        """Add steps completed and runs ended at these times; what has expired is left out."""
        counted: defaultdict[float, Counter[str]] = defaultdict(Counter)
        for name, times in (("steps", steps), ("runs", runs)):
            for at in times:
                counted[_start_of(at)][name] += 1
        for start, counts in counted.items():
            if start > now - EXPIRES_SECONDS:
                window = self._windows.relative_to(start)
                known = window[self._worker].value()
                window[self._worker] = {name: known.get(name, 0) + counts[name] for name in ("steps", "runs")}

    def latest(self, *, count: int, now: float) -> list[Window]:
        """The last windows, oldest first; the newest one is still being filled."""
        newest = _start_of(now)
        totals = {newest - index * WINDOW_SECONDS: Counter[str]() for index in reversed(range(count))}
        for (_worker, (start, _end)), counts in list(self._windows.table.items()):
            if start in totals:
                totals[start].update(counts)
        return [Window(start, counts["steps"], counts["runs"]) for start, counts in totals.items()]


def define(app: faust.App, *, worker: str) -> Throughput:
    """Define the table on the app. Why it has one partition: see `tables.run_board`."""

    async def expire(event: EventT[Any]) -> None:
        """Let windows expire that came by the changelog: Faust forgets only what this process wrote itself."""
        if event.message.value is not None:
            table._maybe_set_key_ttl(table._to_key(event.key), event.message.partition)  # noqa: SLF001  # no public way

    table: Any = app.GlobalTable(
        NAME,
        default=dict,
        partitions=1,
        recovery_buffer_size=1,
        use_partitioner=True,
        on_changelog_event=expire,
        extra_topic_configs=EXPIRE_EARLY,
        help="steps completed and runs ended by worker, in windows",
    )
    return Throughput(table.tumbling(WINDOW_SECONDS, expires=EXPIRES_SECONDS), worker)


def _start_of(at: float) -> float:
    return at - at % WINDOW_SECONDS
