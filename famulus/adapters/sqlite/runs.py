"""Runs in four tables of the file, one for each kind of row; see `schema.sql` and `statements.py`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from famulus.adapters.sqlite.statements import (
    SELECT_ALL_PAGE,
    SELECT_BIRTH,
    SELECT_CONTEXT,
    SELECT_EVENTS,
    SELECT_HEAD,
    SELECT_OPEN_PAGE,
    SELECT_OPENNESS,
    SELECT_RECENT,
    SELECT_STEPS,
    UPSERT_BIRTH,
    UPSERT_CONTEXT,
    UPSERT_EVENT,
    UPSERT_HEAD,
    UPSERT_STEP,
    UPSERT_TIMER,
)
from famulus.adapters.sqlite.timers import timer_columns
from famulus.ids import RunId, epoch_of
from famulus.ports import ContextRow, EventRow, RunBirth, RunHead, RunRows, StepRow

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from famulus.adapters.sqlite.database import Row, SqliteDatabase
    from famulus.ports import Commit

OPEN_PAGE_RUNS: Final = 500
ALL_PAGE_RUNS: Final = 1000


class SqliteRunStore:
    """Keeps `famulus.ports.RunStore`. A run leaves the index of open runs in the transaction that closes it."""

    def __init__(self, database: SqliteDatabase, *, namespace: str = "default") -> None:
        self._database = database
        self._namespace = namespace

    async def commit(self, commit: Commit) -> None:
        upserts = self._upserts(commit)

        def apply(connection: sqlite3.Connection) -> None:
            for statement, rows in upserts:
                connection.executemany(statement, rows)

        await self._database.write(apply)

    async def load(self, run_id: RunId) -> RunRows | None:
        return await self._database.read(lambda connection: self._select_run(connection, run_id))

    async def heads(self, run_ids: Sequence[RunId]) -> Mapping[RunId, tuple[RunBirth, RunHead]]:
        def select(connection: sqlite3.Connection) -> dict[RunId, tuple[RunBirth, RunHead]]:
            asked = ((run_id, self._select_birth_and_head(connection, run_id)) for run_id in run_ids)
            return {run_id: found for run_id, found in asked if found is not None}

        return await self._database.read(select)

    async def events(self, run_id: RunId, *, after: int = -1, limit: int = 1000) -> Sequence[EventRow]:
        rows = await self._select(SELECT_EVENTS, run_id, after, limit)
        return [EventRow(**row) for row in rows]

    async def open_runs(self, partition: int, *, known: Callable[[RunId], bool] | None = None) -> AsyncIterator[RunId]:
        last = ""
        while page := await self._select(SELECT_OPEN_PAGE, partition, last, OPEN_PAGE_RUNS):
            for row in page:
                if known is None or not known(row["run_id"]):
                    yield RunId(row["run_id"])
            last = page[-1]["run_id"]

    async def recent(self, *, limit: int, before: float | None = None) -> Sequence[RunId]:
        rows = await self._select(SELECT_RECENT, math.inf if before is None else before, limit)
        return [RunId(row["run_id"]) for row in rows]

    async def all_runs(self) -> AsyncIterator[RunId]:
        last = ""
        while page := await self._select(SELECT_ALL_PAGE, last, ALL_PAGE_RUNS):
            for row in page:
                yield RunId(row["run_id"])
            last = page[-1]["run_id"]

    async def in_open_index(self, run_ids: Sequence[RunId]) -> frozenset[RunId]:
        def select(connection: sqlite3.Connection) -> frozenset[RunId]:
            asked = (
                (run_id, connection.execute(SELECT_OPENNESS, (self._namespace, run_id)).fetchone())
                for run_id in run_ids
            )
            return frozenset(run_id for run_id, row in asked if row is not None and row["is_open"])

        return await self._database.read(select)

    async def _select(self, statement: str, *parameters: Any) -> list[Row]:
        key = (self._namespace, *parameters)
        return await self._database.read(lambda connection: connection.execute(statement, key).fetchall())

    def _select_run(self, connection: sqlite3.Connection, run_id: RunId) -> RunRows | None:
        found = self._select_birth_and_head(connection, run_id)
        if found is None:
            return None
        birth, head = found
        key = (self._namespace, run_id)
        return RunRows(
            birth=birth,
            head=head,
            steps=[_step_of(row) for row in connection.execute(SELECT_STEPS, key)],
            context=[ContextRow(**row) for row in connection.execute(SELECT_CONTEXT, key)],
        )

    def _select_birth_and_head(self, connection: sqlite3.Connection, run_id: RunId) -> tuple[RunBirth, RunHead] | None:
        key = (self._namespace, run_id)
        birth = connection.execute(SELECT_BIRTH, key).fetchone()
        head = connection.execute(SELECT_HEAD, key).fetchone()
        if birth is None or head is None:
            return None
        return RunBirth(**birth), _head_of(head)

    def _upserts(self, commit: Commit) -> list[tuple[str, list[tuple[Any, ...]]]]:
        """Statements with their rows, taken from the commit at once: what the caller changes later does not matter."""
        key, stamp = (self._namespace, commit.birth.run_id), commit.stamp
        versioned = (*key, epoch_of(stamp))
        upserts = [
            (UPSERT_BIRTH, [(*key, *_birth_columns(commit.birth), stamp)] if commit.first else []),
            (UPSERT_HEAD, [(*key, *_head_columns(commit), stamp)]),
            (UPSERT_STEP, [(*versioned, *_step_columns(step), stamp) for step in commit.steps]),
            (UPSERT_CONTEXT, [(*versioned, row.key, row.value, row.seq, stamp) for row in commit.context]),
            (UPSERT_EVENT, [(*versioned, e.seq, e.type, e.at, e.data, stamp) for e in commit.events]),
            (UPSERT_TIMER, timer_columns(self._namespace, (replace(timer, stamp=stamp) for timer in commit.timers))),
        ]
        return [(statement, rows) for statement, rows in upserts if rows]


def _birth_columns(birth: RunBirth) -> tuple[Any, ...]:
    return (
        birth.blueprint_id,
        birth.version,
        birth.digest,
        birth.input,
        birth.input_digest,
        birth.partition,
        birth.created_at,
        birth.parent,
    )


def _head_columns(commit: Commit) -> tuple[Any, ...]:
    head = commit.head
    return (
        head.status,
        head.reason,
        head.updated_at,
        head.ended_at,
        msgspec.json.encode(dict(head.seals)).decode(),
        head.next_seq,
        head.ending,
        commit.birth.partition,
        not commit.closes,
    )


def _step_columns(step: StepRow) -> tuple[Any, ...]:
    return (
        step.step_id,
        step.node_id,
        step.status,
        step.attempt,
        step.seq,
        step.output,
        step.action,
        msgspec.json.encode(step.fired).decode(),
        step.reason,
        step.error,
        step.worker,
        step.started_at,
        step.ended_at,
        step.extra,
    )


def _head_of(row: Row) -> RunHead:
    return RunHead(**{**row, "seals": msgspec.json.decode(row["seals"], type=dict[int, int])})


def _step_of(row: Row) -> StepRow:
    return StepRow(**{**row, "fired": msgspec.json.decode(row["fired"], type=tuple[int, ...])})
