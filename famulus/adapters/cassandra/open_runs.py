"""The index of open runs: entries by partition and minute, removed some time after their run has ended.

An entry is a hint. It is written before its run and removed after the run was closed, so a crash leaves entries too
many, never too few; whoever reads the index looks at the run row as well.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from famulus.adapters.cassandra.database import CassandraDatabase, Write
from famulus.errors import StoreUnavailableError
from famulus.ids import RunId, Stamp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from famulus.ports import RunBirth

log = logging.getLogger(__name__)

BUCKET_SECONDS: Final = 60
"""Why a minute: see ``cql/schema/0002_indexes.cql``."""
REMOVAL_SECONDS: Final = 1.0
"""How long removals are collected: those of a bucket then go as one batch, and a run's end does not wait for them."""
REMOVALS_PER_BATCH: Final = 500
SETTLED_SECONDS: Final = 600
"""After its end a bucket gets no new runs any more: an owner's run starts at the time of its own clock. Runs that were
closed may come back into it for as long as they live."""
KNOWN_BUCKETS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Bucket:
    partition: int
    start: int
    """Seconds since the Unix epoch."""

    @property
    def is_settled(self) -> bool:
        return time.time() >= self.start + BUCKET_SECONDS + SETTLED_SECONDS


class OpenRunIndex:
    """Enters runs, removes them in the background, and lists what is there."""

    def __init__(self, database: CassandraDatabase, *, namespace: str) -> None:
        self._database = database
        self._namespace = namespace
        self._known: set[Bucket] = set()
        self._leaving: dict[tuple[Bucket, RunId], Stamp] = {}
        self._remover: asyncio.Task[None] | None = None
        database.before_close(self.close)

    async def enter(self, birth: RunBirth, stamp: Stamp) -> None:
        """Enter a run, and its bucket if this process has not done so yet."""
        bucket = bucket_of(birth)
        entry = (self._namespace, bucket.partition, bucket.start, birth.run_id, stamp, stamp)
        await asyncio.gather(self._enter_bucket(bucket), self._database.execute("insert_open_run", entry))

    async def _enter_bucket(self, bucket: Bucket) -> None:
        # A bucket that is long over may have left the directory since this process has entered it.
        if bucket in self._known and not bucket.is_settled:
            return
        now = time.time_ns() // 1000
        entry = (self._namespace, bucket.partition, bucket.start, now, now)
        await self._database.execute("insert_open_bucket", entry)
        if len(self._known) >= KNOWN_BUCKETS:
            self._known.clear()
        self._known.add(bucket)

    def leave(self, bucket: Bucket, run_id: RunId, stamp: Stamp) -> None:
        """Have an entry removed soon. One that is entered later, with a higher stamp, stays."""
        self._leaving[bucket, run_id] = stamp
        if self._remover is None or self._remover.done():
            self._remover = asyncio.create_task(self._remove_soon(), name="famulus.cassandra.open_runs")

    async def buckets(self, partition: int) -> Mapping[Bucket, int]:
        """Return the buckets that may hold entries, each with the mark that `drop_empty` wants."""
        rows = await self._database.all_rows("select_open_buckets", (self._namespace, partition))
        return {Bucket(partition, start): mark for start, mark in rows}

    async def entries(self, bucket: Bucket) -> AsyncIterator[Sequence[RunId]]:
        """Yield the runs of a bucket page by page."""
        key = (self._namespace, bucket.partition, bucket.start)
        async for rows in self._database.pages("select_open_runs", key):
            yield [RunId(run_id) for (run_id,) in rows]

    async def names(self, birth: RunBirth) -> bool:
        """Say whether a reader of the index would come upon the run."""
        bucket = bucket_of(birth)
        key = (self._namespace, bucket.partition, bucket.start)
        entry, listed = await asyncio.gather(
            self._database.execute("select_open_run", (*key, birth.run_id)),
            self._database.execute("select_open_bucket", key),
        )
        return bool(entry and listed)

    async def drop_empty(self, bucket: Bucket, mark: int) -> None:
        """Take a bucket that was found empty out of the directory, unless runs may still enter it.

        The removal is as old as the entry that was read: if somebody enters the bucket now, that entry is younger.
        """
        if not bucket.is_settled:
            return
        self._known.discard(bucket)
        await self._database.execute("delete_open_bucket", (mark, self._namespace, bucket.partition, bucket.start))

    async def close(self) -> None:
        """Remove what is left to remove. What cannot be removed now is found by the next reader of the index."""
        if self._remover is not None:
            self._remover.cancel()
            await asyncio.gather(self._remover, return_exceptions=True)
        try:
            await self._remove_now()
        except StoreUnavailableError:
            log.warning(
                "Left %s ended runs in the index of open runs: Cassandra does not answer",
                len(self._leaving),
                extra={"action": "open_runs_left", "count": len(self._leaving)},
            )

    async def _remove_soon(self) -> None:
        while self._leaving:
            await asyncio.sleep(REMOVAL_SECONDS)
            try:
                await self._remove_now()
            except StoreUnavailableError as error:
                log.debug("Ended runs leave the index of open runs later: %s", error)

    async def _remove_now(self) -> None:
        by_bucket: defaultdict[Bucket, list[tuple[RunId, Stamp]]] = defaultdict(list)
        for (bucket, run_id), stamp in self._leaving.items():
            by_bucket[bucket].append((run_id, stamp))
        for bucket, removals in by_bucket.items():
            for start in range(0, len(removals), REMOVALS_PER_BATCH):
                await self._remove(bucket, removals[start : start + REMOVALS_PER_BATCH])

    async def _remove(self, bucket: Bucket, removals: Sequence[tuple[RunId, Stamp]]) -> None:
        await self._database.write_partition(
            Write("delete_open_run", (stamp, self._namespace, bucket.partition, bucket.start, run_id))
            for run_id, stamp in removals
        )
        for run_id, stamp in removals:
            if self._leaving.get((bucket, run_id)) == stamp:
                del self._leaving[bucket, run_id]


def bucket_of(birth: RunBirth) -> Bucket:
    return Bucket(birth.partition, int(birth.created_at // BUCKET_SECONDS) * BUCKET_SECONDS)
