"""Timers in buckets of a minute of their time, with a directory of the buckets that may hold some.

How: see ``cql/schema/0005_waiting.cql``.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from famulus.adapters.cassandra.database import CassandraDatabase, Write
from famulus.ids import RunId, Stamp, StepId
from famulus.ports import TimerRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

BUCKET_SECONDS: Final = 60
SETTLED_SECONDS: Final = 600
"""An empty bucket stays in the directory so long after its end: clocks differ, and writes are late."""
ROWS_PER_BATCH: Final = 500
CONCURRENT_READS: Final = 64
KNOWN_BUCKETS: Final = 10_000


@dataclass(frozen=True, slots=True)
class TimerBucket:
    partition: int
    start: int
    """Seconds since the Unix epoch."""

    @property
    def is_over(self) -> bool:
        return time.time() > self.start + BUCKET_SECONDS


class CassandraTimerStore:
    """The `TimerStore` of one namespace."""

    def __init__(self, database: CassandraDatabase, *, namespace: str = "default") -> None:
        self._database = database
        self._namespace = namespace
        self._known: set[TimerBucket] = set()

    async def due(self, partition: int, *, until: float, limit: int) -> Sequence[TimerRow]:
        """As the port says. Buckets that are found empty long after their end leave the directory on the way."""
        buckets = await self._database.all_rows(
            "select_timer_buckets", (self._namespace, partition, _bucket_start(until))
        )
        found: list[TimerRow] = []
        for start, mark in buckets:
            bucket = TimerBucket(partition, start)
            rows = await self._timers(bucket, until=until, limit=limit - len(found))
            if not rows and time.time() > start + BUCKET_SECONDS + SETTLED_SECONDS:
                await self._drop(bucket, mark)
            found += rows
            if len(found) >= limit:
                break
        return found

    async def _timers(self, bucket: TimerBucket, *, until: float, limit: int) -> list[TimerRow]:
        key = (self._namespace, bucket.partition, bucket.start, until, limit)
        return [
            TimerRow(
                partition=bucket.partition,
                due_at=due_at,
                run_id=RunId(run_id),
                kind=kind,
                step_id=StepId(step_id),
                stamp=Stamp(stamp),
            )
            for due_at, run_id, kind, step_id, stamp in await self._database.all_rows("select_timers", key)
        ]

    async def put(self, rows: Sequence[TimerRow]) -> None:
        by_bucket = _by_bucket(rows)
        # Before their timers: a crash between the two leaves a bucket too many, which is dropped when it is over.
        await asyncio.gather(*map(self._enter_bucket, by_bucket))
        await self._write("insert_timer", by_bucket)

    async def stored(self, rows: Sequence[TimerRow]) -> Sequence[TimerRow]:
        found: list[TimerRow] = []
        for start in range(0, len(rows), CONCURRENT_READS):
            some = rows[start : start + CONCURRENT_READS]
            are_there = await asyncio.gather(*map(self._is_stored, some))
            found += [row for row, is_there in zip(some, are_there, strict=True) if is_there]
        return found

    async def _is_stored(self, row: TimerRow) -> bool:
        bucket = TimerBucket(row.partition, _bucket_start(row.due_at))
        key = (self._namespace, bucket.partition, bucket.start)
        timer, listed = await asyncio.gather(
            self._database.execute("select_timer", (*key, row.due_at, row.run_id, row.kind, row.step_id)),
            self._database.execute("select_timer_bucket", key),
        )
        return bool(timer and listed)

    async def fired(self, rows: Sequence[TimerRow]) -> None:
        await self._write("delete_timer", _by_bucket(rows))

    async def _write(self, statement: str, by_bucket: Mapping[TimerBucket, Sequence[TimerRow]]) -> None:
        batches = (batch for bucket, rows in by_bucket.items() for batch in self._batches(statement, bucket, rows))
        await asyncio.gather(*(self._database.write_partition(batch) for batch in batches))

    def _batches(self, statement: str, bucket: TimerBucket, rows: Sequence[TimerRow]) -> Iterator[list[Write]]:
        for first in range(0, len(rows), ROWS_PER_BATCH):
            yield [
                Write(statement, self._values(statement, bucket, row)) for row in rows[first : first + ROWS_PER_BATCH]
            ]

    def _values(self, statement: str, bucket: TimerBucket, row: TimerRow) -> tuple[Any, ...]:
        key = (self._namespace, bucket.partition, bucket.start, row.due_at, row.run_id, row.kind, row.step_id)
        return (*key, row.stamp, row.stamp) if statement == "insert_timer" else (row.stamp, *key)

    async def _enter_bucket(self, bucket: TimerBucket) -> None:
        # One that is over may have left the directory since this process has entered it.
        if bucket in self._known and not bucket.is_over:
            return
        now = time.time_ns() // 1000
        entry = (self._namespace, bucket.partition, bucket.start, now, now)
        await self._database.execute("insert_timer_bucket", entry)
        if len(self._known) >= KNOWN_BUCKETS:
            self._known.clear()
        self._known.add(bucket)

    async def _drop(self, bucket: TimerBucket, mark: int) -> None:
        """Take a bucket out of the directory as it was read: one that is entered now is younger, and stays."""
        await self._database.execute("delete_timer_bucket", (mark, self._namespace, bucket.partition, bucket.start))


def _by_bucket(rows: Iterable[TimerRow]) -> Mapping[TimerBucket, Sequence[TimerRow]]:
    found: defaultdict[TimerBucket, list[TimerRow]] = defaultdict(list)
    for row in rows:
        found[TimerBucket(row.partition, _bucket_start(row.due_at))].append(row)
    return found


def _bucket_start(at: float) -> int:
    return int(at // BUCKET_SECONDS) * BUCKET_SECONDS
