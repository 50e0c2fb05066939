"""When something becomes due: alarms for runs in memory, and rows for all that is farther away.

    commit with timers ─> run sleeps in the store ─> TimerReader reads its row a little ahead ─> Runs.open ─> Alarms
                                                                                                                │
                                    the row is removed <─ committed <─ session: TimerDue <──────────────────────┘

A row is a hint to load a run; the run itself says what is due. So the rule that this file guards: a row stays until the
run that it is for has recorded that it is not waiting for it any more, or has ended, or does not exist. A crash between
any two of the arrows leaves the row, and whoever owns the run next reads it.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias, cast
from zlib import crc32

from famulus.errors import OwnershipLostError, RetryableError, TerminalError
from famulus.flow.waiting import TimerKey, TimerKind
from famulus.ids import StepId
from famulus.ports import TimerRow

if TYPE_CHECKING:
    from famulus.engine.runs import Runs
    from famulus.engine.tenure import Tenure
    from famulus.ids import RunId, Stamp
    from famulus.ports import Bus, Clock, TimerStore

log = logging.getLogger(__name__)

NAP_SECONDS: Final = 60.0
"""The clock of the machine may be set: so long at most an alarm relies on what it said."""
HEAP_SLACK: Final = 64
PAGE_ROWS: Final = 500
AGAIN_SECONDS: Final = 60.0
"""A run that cannot be loaded is tried again after so long."""

LOOK: Final = "look"
"""The kind of a row that wakes a run to look whether what it waits for is still there. No timer of a run is of it."""
LOOK_SECONDS: Final = 600.0

RowKey: TypeAlias = tuple[int, float, str, str, str]


# -- alarms ----------------------------------------------------------------------------------------------------------


class Alarms:
    """Rings at the times that were set. One heap, and one task that sleeps until the earliest of them.

    It sleeps by the clock of the engine, so that a clock that skips over idle time finds it there.
    """

    def __init__(
        self, clock: Clock, ring: Callable[[RunId, TimerKey], None], *, nap_seconds: float = NAP_SECONDS
    ) -> None:
        self._clock = clock
        self._ring = ring
        self._nap_seconds = nap_seconds
        self._due: dict[tuple[RunId, TimerKey], float] = {}
        self._heap: list[tuple[float, int, RunId, TimerKey]] = []
        """Ordered by time, then as they were set. What is not in `_due` at that time any more is left out."""
        self._numbers = itertools.count()
        self._task: asyncio.Task[None] | None = None
        self._asleep_until: float | None = None

    def __len__(self) -> int:
        return len(self._due)

    def set(self, run_id: RunId, key: TimerKey, due_at: float) -> None:
        """Ring once at that time, and not at the one that was set before."""
        self._due[run_id, key] = due_at
        heapq.heappush(self._heap, (due_at, next(self._numbers), run_id, key))
        if self._task is None:
            self._begin()
        elif self._asleep_until is not None and due_at < self._asleep_until:
            self._task.cancel()
            self._begin()

    def cancel(self, run_id: RunId, key: TimerKey) -> None:
        self._due.pop((run_id, key), None)
        if len(self._heap) > 2 * len(self._due) + HEAP_SLACK:
            self._heap = [entry for entry in self._heap if self._is_set(entry)]
            heapq.heapify(self._heap)

    def stop(self) -> None:
        self._due.clear()
        self._heap.clear()
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _begin(self) -> None:
        self._asleep_until = None
        self._task = asyncio.create_task(self._run(), name="famulus.alarms")

    async def _run(self) -> None:
        while (earliest := self._earliest()) is not None:
            wait = earliest - self._clock.now()
            if wait > 0:
                self._asleep_until = earliest
                await self._clock.sleep(min(wait, self._nap_seconds))
                self._asleep_until = None
            else:
                _, _, run_id, key = heapq.heappop(self._heap)
                del self._due[run_id, key]
                self._ring(run_id, key)
        self._task = None

    def _earliest(self) -> float | None:
        while self._heap and not self._is_set(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _is_set(self, entry: tuple[float, int, RunId, TimerKey]) -> bool:
        due_at, _, run_id, key = entry
        return self._due.get((run_id, key)) == due_at


# -- the timers of runs in memory ------------------------------------------------------------------------------------


class TimerDesk:
    """What all sessions share: the alarms, and the rows that are to be removed."""

    def __init__(self, store: TimerStore, alarms: Alarms, *, in_memory_seconds: float) -> None:
        self.alarms = alarms
        self._store = store
        self.in_memory_seconds = in_memory_seconds
        self._obsolete: dict[RowKey, TimerRow] = {}

    @property
    def lets_runs_sleep(self) -> bool:
        """Whether runs leave the memory while they wait."""
        return self.in_memory_seconds != math.inf

    def is_far(self, due_at: float, now: float) -> bool:
        """Whether so much time is left that the run need not be in memory."""
        return due_at - now > self.in_memory_seconds

    def drop(self, row: TimerRow) -> None:
        """Remove the row with the next sweep: nobody waits for it any more, and that is recorded."""
        self._obsolete[row_key(row)] = row

    def is_dropped(self, row: TimerRow) -> bool:
        return row_key(row) in self._obsolete

    async def sweep(self) -> None:
        """Remove what was dropped. Raises `RetryableError`; then it is dropped still."""
        rows = dict(self._obsolete)
        if not rows:
            return
        await self._store.fired(list(rows.values()))
        for key, row in rows.items():
            if self._obsolete.get(key) is row:
                del self._obsolete[key]


class RunTimers:
    """The timers of one session: those that are set in memory, and those that have a row."""

    __slots__ = ("_desk", "_look", "_partition", "_rows", "_run_id", "_set")

    def __init__(self, desk: TimerDesk, run_id: RunId, partition: int) -> None:
        self._desk = desk
        self._run_id = run_id
        self._partition = partition
        self._set: dict[TimerKey, float] = {}
        self._rows: dict[TimerKey, TimerRow] = {}
        self._look: TimerRow | None = None

    def unstored(self, timers: Mapping[TimerKey, float], stamp: Stamp, *, now: float) -> tuple[TimerRow, ...]:
        """The rows that a commit of this stamp has to bring, for the timers that are far away and have none yet."""
        if not timers:
            return ()
        return tuple(
            self._row(key, due_at, stamp)
            for key, due_at in timers.items()
            if self._desk.is_far(due_at, now) and self._due_of_row(key) != due_at
        )

    def look(self, stamp: Stamp, *, now: float, every: float) -> TimerRow:
        """A row that wakes the run in some time, at most twice as long.

        Its time depends on the run alone, so that one that often goes to sleep has one row, and not all runs wake at
        once.
        """
        phase = crc32(self._run_id.encode()) % 1000 / 1000 * every
        due_at = ((now - phase) // every + 2) * every + phase
        return replace(self._row(TimerKey(TimerKind.RUN, StepId("")), due_at, stamp), kind=LOOK)

    def stored(self, rows: Sequence[TimerRow]) -> None:
        """These rows are in the store; what they replace is not needed any more."""
        for row in rows:
            if row.kind == LOOK:
                self._look_by(row)
                continue
            key = key_of(row)
            known = self._rows.get(key)
            if known is not None and known.due_at != row.due_at:
                self._desk.drop(known)
            self._rows[key] = row

    def follow(self, timers: Mapping[TimerKey, float]) -> None:
        """Set the alarms as the run has its timers now, all that led to it being durable."""
        if self._set != timers:
            for key in [key for key in self._set if key not in timers]:
                del self._set[key]
                self._desk.alarms.cancel(self._run_id, key)
            for key, due_at in timers.items():
                if self._set.get(key) != due_at:
                    self._set[key] = due_at
                    self._desk.alarms.set(self._run_id, key, due_at)
        for key in [key for key, row in self._rows.items() if timers.get(key) != row.due_at]:
            self._desk.drop(self._rows.pop(key))

    def adopt(self, row: TimerRow) -> None:
        """The row was found in the store: it is to be removed when the run does not wait for it any more.

        One that woke the run to look stays until the run has another one: what it was woken for may not be done yet.
        """
        if row.kind == LOOK:
            self._look_by(row)
        else:
            self._rows[key_of(row)] = row

    def _look_by(self, row: TimerRow) -> None:
        """Of two such rows the later one is enough."""
        known = self._look
        if known is None or known.due_at == row.due_at:
            self._look = row
            return
        earlier, self._look = sorted((known, row), key=lambda each: each.due_at)
        self._desk.drop(earlier)

    def are_far(self, timers: Mapping[TimerKey, float], *, now: float) -> bool:
        """Whether the run may sleep in the store until the first of them."""
        return self._desk.lets_runs_sleep and all(self._desk.is_far(due_at, now) for due_at in timers.values())

    def silence(self) -> None:
        """The session is over: its rows stay, for whoever has the run next."""
        for key in self._set:
            self._desk.alarms.cancel(self._run_id, key)
        self._set.clear()

    def _row(self, key: TimerKey, due_at: float, stamp: Stamp) -> TimerRow:
        return TimerRow(
            partition=self._partition,
            due_at=due_at,
            run_id=self._run_id,
            kind=key.kind.value,
            step_id=key.step_id,
            stamp=stamp,
        )

    def _due_of_row(self, key: TimerKey) -> float | None:
        row = self._rows.get(key)
        return None if row is None else row.due_at


def key_of(row: TimerRow) -> TimerKey:
    """What a row is for. For a kind that a later version has added, no run of this one waits."""
    return TimerKey(cast("TimerKind", row.kind), row.step_id)  # a text compares as its kind does


def row_key(row: TimerRow) -> RowKey:
    return row.partition, row.due_at, row.run_id, row.kind, row.step_id


# -- runs that sleep in the store ------------------------------------------------------------------------------------


class TimerReader:
    """Loads runs for which something is about to be due."""

    def __init__(
        self,
        runs: Runs,
        desk: TimerDesk,
        store: TimerStore,
        *,
        bus: Bus,
        clock: Clock,
        lookahead_seconds: float,
        poll_seconds: float,
        loads_at_once: int,
    ) -> None:
        self._runs = runs
        self._desk = desk
        self._store = store
        self._bus = bus
        self._clock = clock
        self._lookahead_seconds = lookahead_seconds
        self._poll_seconds = poll_seconds
        self._slots = asyncio.Semaphore(loads_at_once)
        self._not_before: dict[RunId, float] = {}
        """Runs that could not be loaded, and when they are tried again."""

    async def tend(self, tenure: Tenure) -> None:
        """Read from time to time, until the tenure is over."""
        while self._desk.lets_runs_sleep and not tenure.over:
            try:
                await self.read()
            except OwnershipLostError:
                pass
            except RetryableError as error:
                log.warning("timers not read: %s", error, extra={"action": "timers_retried"})
            except Exception:
                # Whatever it is: if this ended, no run would wake up any more.
                log.exception("timers not read", extra={"action": "timers_retried"})
            await self._clock.sleep(self._poll_seconds)

    async def read(self) -> None:
        """Load every run of the owned partitions for which a timer is due soon, and remove rows that are obsolete.

        Raises `RetryableError` when the store is away, or in the end when some runs could not be loaded now.
        """
        tenure = self._runs.tenure
        if not tenure.partitions:
            return
        await tenure.ready()
        await self._desk.sweep()
        reads = (self._read_partition(partition) for partition in sorted(tenure.partitions))
        for failed in await asyncio.gather(*reads, return_exceptions=True):
            if failed is not None:
                raise failed

    async def _read_partition(self, partition: int) -> BaseException | None:
        """Do it for one partition; a run that could not be loaded now keeps no other from it."""
        until = self._clock.now() + self._lookahead_seconds
        seen: set[RowKey] = set()
        failed: BaseException | None = None
        staying = 0
        while True:
            # Rows that runs in memory wait for stay, and come again before the others.
            limit = staying + PAGE_ROWS
            rows = await self._store.due(partition, until=until, limit=limit)
            fresh = [row for row in rows if row_key(row) not in seen]
            seen.update(map(row_key, fresh))
            outcomes = await asyncio.gather(*map(self._stays, fresh), return_exceptions=True)
            gone = [row for row, stays in zip(fresh, outcomes, strict=True) if stays is False]
            if gone:
                await self._store.fired(gone)
            staying += len(fresh) - len(gone)
            failed = failed or next((outcome for outcome in outcomes if isinstance(outcome, BaseException)), None)
            if len(rows) < limit or not fresh:
                return failed

    async def _stays(self, row: TimerRow) -> bool:
        """Whether the row is needed still: a run waits for it, or could not be asked."""
        if self._desk.is_dropped(row) or self._not_before.get(row.run_id, 0.0) > self._clock.now():
            return True
        session = self._runs.live(row.run_id)
        if session is not None:
            return session.waits_for(row)
        if self._runs.has_ended(row.run_id):
            return False
        async with self._slots:
            return await self._load(row)

    async def _load(self, row: TimerRow) -> bool:
        partition = self._bus.partition_of(row.run_id)
        if partition != row.partition:
            # The topic has got more partitions since the timer was set: it is for the owner of the run's new one.
            await self._store.put([replace(row, partition=partition)])
            return False
        try:
            session = await self._runs.open(row.run_id, row.partition)
        except TerminalError as error:
            self._not_before[row.run_id] = self._clock.now() + AGAIN_SECONDS
            log.error(  # noqa: TRY400  # its message says it all, and comes again each time
                "run %s cannot be loaded, though something of it is due: %s",
                row.run_id,
                error,
                extra={"action": "load_failed", "run_id": row.run_id},
            )
            return True
        self._not_before.pop(row.run_id, None)
        return session is not None and session.waits_for(row)
