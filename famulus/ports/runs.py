"""Where runs are kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol

from famulus.ids import RunId
from famulus.ports.rows import Commit, EventRow, RunBirth, RunHead, RunRows


class RunStore(Protocol):
    """Runs with their steps, context and events. The partition of every row is the run."""

    async def commit(self, commit: Commit) -> None:
        """Write all rows of the batch, all or none of them. Rows with a higher stamp stay as they are.

        A row of a step, a context key or an event replaces one of the same epoch alone: what owners of different epochs
        wrote stands side by side, so that a late write of an owner that has lost the run takes nothing away.

        A first commit also enters the run into the index of open runs and of recent runs, before or with the batch,
        so that no stored run is missing there; one that closes leaves the open index some time after the batch. One
        that takes over keeps the run in the open index against an earlier owner that closes it late, and enters a run
        again that was closed, before or with the batch: a run that was closed is written only so.
        """
        ...

    async def load(self, run_id: RunId) -> RunRows | None:
        """Birth, head, steps and context of a run, without its events; ``None`` if no commit of it was stored.

        Of each step and key there may be several rows, of different epochs.
        """
        ...

    async def heads(self, run_ids: Sequence[RunId]) -> Mapping[RunId, tuple[RunBirth, RunHead]]:
        """Birth and head of those of the runs that exist; the input may be left empty."""
        ...

    async def events(self, run_id: RunId, *, after: int = -1, limit: int = 1000) -> Sequence[EventRow]:
        """Events with a sequence number above ``after``, ascending, before seals are applied.

        There may be several of a number, of different epochs: then all of them are there, whatever the limit.
        """
        ...

    def open_runs(self, partition: int, *, known: Callable[[RunId], bool] | None = None) -> AsyncIterator[RunId]:
        """Every run of the partition whose last commit did not close it; may also name some that are closed. No order.

        Those that the caller knows are left out, and cost no look at their rows: it asks often, and knows most of them.
        """
        ...

    async def recent(self, *, limit: int, before: float | None = None) -> Sequence[RunId]:
        """Runs by `created_at`, newest first, created strictly before the given time."""
        ...

    def all_runs(self) -> AsyncIterator[RunId]:
        """Every stored run, whatever the indexes say of it. No order. It goes through the whole store: for audits."""
        ...

    async def in_open_index(self, run_ids: Sequence[RunId]) -> frozenset[RunId]:
        """Those of the runs that `open_runs` would name for the partition of their birth."""
        ...
