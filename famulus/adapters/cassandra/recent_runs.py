"""The index of runs by creation, in buckets of ten minutes and newest first. Nothing is ever removed from it."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from famulus.ids import RunId, Stamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from famulus.adapters.cassandra.database import CassandraDatabase
    from famulus.ports import RunBirth

BUCKET_SECONDS: Final = 600
"""At a thousand runs a second a bucket stays below 100 MB, as a partition should."""
READ_AHEAD_BUCKETS: Final = 8
KNOWN_BUCKETS: Final = 10_000
LAST_BUCKET: Final = 2**63 - 1


class RecentRunIndex:
    def __init__(self, database: CassandraDatabase, *, namespace: str) -> None:
        self._database = database
        self._namespace = namespace
        self._known: set[int] = set()

    async def enter(self, birth: RunBirth, stamp: Stamp) -> None:
        """Enter a run, and its bucket if this process has not done so yet."""
        bucket = _bucket_of(birth.created_at)
        entry = (self._namespace, bucket, birth.created_at, birth.run_id, stamp, stamp)
        await asyncio.gather(
            self._enter_bucket(bucket, stamp),
            self._database.execute("insert_recent_run", entry),
        )

    async def _enter_bucket(self, bucket: int, stamp: Stamp) -> None:
        if bucket in self._known:
            return
        await self._database.execute("insert_recent_bucket", (self._namespace, bucket, stamp, stamp))
        if len(self._known) >= KNOWN_BUCKETS:
            self._known.clear()
        self._known.add(bucket)

    async def newest(self, *, limit: int, before: float | None) -> Sequence[RunId]:
        """Return up to ``limit`` runs that were created strictly before the given time, newest first."""
        end = math.inf if before is None else before
        last = LAST_BUCKET if before is None else _bucket_of(before)
        found: list[RunId] = []
        ahead: list[int] = []
        async for page in self._database.pages("select_recent_buckets", (self._namespace, last)):
            for (bucket,) in page:
                ahead.append(bucket)
                if len(ahead) == READ_AHEAD_BUCKETS:
                    found += await self._read(ahead, end, limit)
                    ahead = []
                if len(found) >= limit:
                    return found[:limit]
        found += await self._read(ahead, end, limit)
        return found[:limit]

    async def _read(self, buckets: Sequence[int], end: float, limit: int) -> list[RunId]:
        each = await asyncio.gather(
            *(
                self._database.all_rows("select_recent_runs", (self._namespace, bucket, end, limit))
                for bucket in buckets
            )
        )
        return [RunId(run_id) for rows in each for (run_id,) in rows]


def _bucket_of(created_at: float) -> int:
    return int(created_at // BUCKET_SECONDS) * BUCKET_SECONDS
