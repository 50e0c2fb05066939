"""Runs in Cassandra. The rules of the tables stand in ``cql/schema/0001_runs.cql``.

Of two rows with an equal stamp Cassandra keeps the greater value, column by column. That is harmless because an owner
gives a stamp to one commit only: rows of equal stamp come from the same commit, repeated, and are equal.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from famulus.adapters.cassandra import rows
from famulus.adapters.cassandra.open_runs import OpenRunIndex, bucket_of
from famulus.adapters.cassandra.recent_runs import RecentRunIndex
from famulus.adapters.cassandra.timers import CassandraTimerStore
from famulus.errors import OutputError, StoreUnavailableError
from famulus.ids import RunId, epoch_of
from famulus.ports import Commit, EventRow, RunBirth, RunHead, RunRows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence

    from famulus.adapters.cassandra.database import CassandraDatabase, Write
    from famulus.ids import Stamp

BATCH_BYTES: Final = 4 * 1024 * 1024
"""A commit above it is split. A quarter of what a node takes at all (max_mutation_size, 16 MiB by default).

Cassandra's batch_size_fail_threshold does not apply: a batch on one partition is one mutation (CASSANDRA-10876).
"""
ROW_BYTES: Final = 15 * 1024 * 1024
"""A row above it cannot be stored: a node would cut the connection, again at each retry."""
CONCURRENT_READS: Final = 64
LOAD_ATTEMPTS: Final = 4
LOAD_AGAIN_SECONDS: Final = 0.02


class CassandraRunStore:
    """The `RunStore` of one namespace. Closing the database also finishes what the store does in the background."""

    def __init__(
        self, database: CassandraDatabase, *, namespace: str = "default", batch_bytes: int = BATCH_BYTES
    ) -> None:
        self._database = database
        self._namespace = namespace
        self._batch_bytes = batch_bytes
        self._open = OpenRunIndex(database, namespace=namespace)
        self._recent = RecentRunIndex(database, namespace=namespace)
        self._timers = CassandraTimerStore(database, namespace=namespace)

    async def commit(self, commit: Commit) -> None:
        writes = list(self._row_writes(commit))
        # Before the batch, not with it: a crash between the two must leave an entry without a run, never the reverse.
        await asyncio.gather(*self._hint_writes(commit))
        await self._write(commit, writes)
        if commit.closes:
            self._open.leave(bucket_of(commit.birth), commit.birth.run_id, commit.stamp)

    def _hint_writes(self, commit: Commit) -> Iterator[Coroutine[Any, Any, None]]:
        if commit.first:
            yield self._open.enter(commit.birth, commit.stamp)
            yield self._recent.enter(commit.birth, commit.stamp)
        elif commit.takes_over and not commit.closes:
            # With a higher stamp: neither an earlier owner that ends the run too late removes the entry, nor a removal
            # that is still to come from when the run was closed before.
            yield self._open.enter(commit.birth, commit.stamp)
        if commit.timers:
            yield self._timers.put([replace(timer, stamp=commit.stamp) for timer in commit.timers])

    async def _write(self, commit: Commit, writes: Sequence[Write]) -> None:
        rows_written = sum(write.statement in {"insert_step", "insert_context"} for write in writes)
        head = rows.head_write(self._namespace, commit, rows_written=rows_written)
        batches = list(_split(writes, self._batch_bytes))
        if len(batches) <= 1:
            await self._database.write_partition([head, *writes])
            return
        # Until the head comes, the rows are beyond the stamp of the stored head: no reader looks at them.
        await asyncio.gather(*(self._database.write_partition(batch) for batch in batches))
        await self._database.write_partition([head])

    def _row_writes(self, commit: Commit) -> Iterator[Write]:
        # A batch must not hold a row twice: of equal stamps, each column would keep its greater value.
        run_id, stamp = commit.birth.run_id, commit.stamp
        for step in {step.step_id: step for step in commit.steps}.values():
            yield rows.step_write(self._namespace, run_id, step, stamp)
        for row in {row.key: row for row in commit.context}.values():
            yield rows.context_write(self._namespace, run_id, row, stamp)
        for event in {event.seq: event for event in commit.events}.values():
            yield rows.event_write(self._namespace, run_id, event, stamp)

    async def load(self, run_id: RunId) -> RunRows | None:
        """As the port says. Raises `StoreUnavailableError` while the rows of the last commit cannot all be read.

        The head is read first: what it speaks of is then already there, except where its commit is on its way or was
        cut off, and a replica that has it is away. In that case reading again helps, now or when the replica is back.
        """
        for _ in range(LOAD_ATTEMPTS):
            found = await self._database.execute("select_run", (self._namespace, run_id))
            if not found:
                return None
            birth, head, rows_written = rows.read_run(run_id, found[0])
            run = await self._load_rows(birth, head)
            stamps = [*(step.stamp for step in run.steps), *(row.stamp for row in run.context)]
            if stamps.count(head.stamp) >= rows_written or _has_moved_on(head, stamps):
                return run
            await asyncio.sleep(LOAD_AGAIN_SECONDS)
        raise StoreUnavailableError(
            f"run {run_id!r}: not all rows of its last commit (stamp {head.stamp}) can be read; are all replicas up?",
            retry_after=1.0,
        )

    async def _load_rows(self, birth: RunBirth, head: RunHead) -> RunRows:
        key = (self._namespace, birth.run_id)
        steps, context = await asyncio.gather(
            self._database.all_rows("select_steps", key), self._database.all_rows("select_context", key)
        )
        return RunRows(
            birth=birth,
            head=head,
            steps=[rows.read_step(row) for row in steps],
            context=[rows.read_context(row) for row in context],
        )

    async def heads(self, run_ids: Sequence[RunId]) -> Mapping[RunId, tuple[RunBirth, RunHead]]:
        found: dict[RunId, tuple[RunBirth, RunHead]] = {}
        for start in range(0, len(run_ids), CONCURRENT_READS):
            some = run_ids[start : start + CONCURRENT_READS]
            heads = await asyncio.gather(*map(self._head, some))
            found.update((run_id, head) for run_id, head in zip(some, heads, strict=True) if head)
        return found

    async def _head(self, run_id: RunId) -> tuple[RunBirth, RunHead] | None:
        found = await self._database.execute("select_head", (self._namespace, run_id))
        return rows.read_head(run_id, found[0]) if found else None

    async def events(self, run_id: RunId, *, after: int = -1, limit: int = 1000) -> Sequence[EventRow]:
        key = (self._namespace, run_id)
        found = [rows.read_event(row) for row in await self._database.all_rows("select_events", (*key, after, limit))]
        if len(found) >= limit:
            last = found[-1]
            cut = (*key, last.seq, epoch_of(last.stamp))
            more = await self._database.all_rows("select_event_of_later_epochs", cut)
            found += [rows.read_event(row) for row in more]
        return found

    async def open_runs(self, partition: int, *, known: Callable[[RunId], bool] | None = None) -> AsyncIterator[RunId]:
        """Yield what the index names and the run rows confirm; entries of closed runs are removed on the way.

        An entry without a run is left alone: its first commit may be on its way.
        """
        seen: set[RunId] = set()
        for bucket, mark in (await self._open.buckets(partition)).items():
            empty = True
            async for run_ids in self._open.entries(bucket):
                empty = empty and not run_ids
                unknown = [run_id for run_id in run_ids if known is None or not known(run_id)]
                async for run_id, is_open, stamp in self._openness(unknown):
                    if not is_open:
                        self._open.leave(bucket, run_id, stamp)
                    elif run_id not in seen:
                        seen.add(run_id)
                        yield run_id
            if empty:
                await self._open.drop_empty(bucket, mark)

    async def _openness(self, run_ids: Sequence[RunId]) -> AsyncIterator[tuple[RunId, bool, Stamp]]:
        """Say of those of the runs that exist whether they are open, with the stamps of their last commits."""
        for start in range(0, len(run_ids), CONCURRENT_READS):
            some = run_ids[start : start + CONCURRENT_READS]
            reads = (self._database.execute("select_openness", (self._namespace, run_id)) for run_id in some)
            for run_id, found in zip(some, await asyncio.gather(*reads), strict=True):
                if found:
                    yield (run_id, *rows.read_openness(found[0]))

    async def recent(self, *, limit: int, before: float | None = None) -> Sequence[RunId]:
        return await self._recent.newest(limit=limit, before=before)

    async def all_runs(self) -> AsyncIterator[RunId]:
        async for page in self._database.pages("select_all_runs", ()):
            run_ids = [RunId(run_id) for namespace, run_id in page if namespace == self._namespace]
            heads = await self.heads(run_ids)
            for run_id in run_ids:
                # Without its birth, which is written once and so is the first to expire, it is a run no more.
                if run_id in heads and heads[run_id][0].digest:
                    yield run_id

    async def in_open_index(self, run_ids: Sequence[RunId]) -> frozenset[RunId]:
        heads = await self.heads(run_ids)
        open_ids = [run_id async for run_id, is_open, _ in self._openness(list(heads)) if is_open]
        found: set[RunId] = set()
        for start in range(0, len(open_ids), CONCURRENT_READS):
            some = open_ids[start : start + CONCURRENT_READS]
            named = await asyncio.gather(*(self._open.names(heads[run_id][0]) for run_id in some))
            found.update(run_id for run_id, is_named in zip(some, named, strict=True) if is_named)
        return frozenset(found)


def _has_moved_on(head: RunHead, stamps: Sequence[Stamp]) -> bool:
    """Say whether a later commit has replaced rows since the head was read."""
    return any(stamp > head.stamp for stamp in stamps)


def _split(writes: Sequence[Write], batch_bytes: int) -> Iterator[Sequence[Write]]:
    """Yield the writes in batches of at most that size, or of one write."""
    batch: list[Write] = []
    size = 0
    for write in writes:
        if write.size > ROW_BYTES:
            raise OutputError(f"{write.statement}: {write.size} bytes are more than Cassandra takes ({ROW_BYTES})")
        if batch and size + write.size > batch_bytes:
            yield batch
            batch, size = [], 0
        batch.append(write)
        size += write.size
    if batch:
        yield batch
