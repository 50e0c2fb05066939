"""Timers in a table of the file, clustered by when they are due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from famulus.adapters.sqlite.statements import DELETE_TIMER, SELECT_DUE_TIMERS, SELECT_TIMER, UPSERT_TIMER
from famulus.ports import TimerRow

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from famulus.adapters.sqlite.database import SqliteDatabase


class SqliteTimerStore:
    """Keeps `famulus.ports.TimerStore`."""

    def __init__(self, database: SqliteDatabase, *, namespace: str = "default") -> None:
        self._database = database
        self._namespace = namespace

    async def due(self, partition: int, *, until: float, limit: int) -> Sequence[TimerRow]:
        key = (self._namespace, partition, until, limit)
        rows = await self._database.read(lambda connection: connection.execute(SELECT_DUE_TIMERS, key).fetchall())
        return [TimerRow(**row) for row in rows]

    async def put(self, rows: Sequence[TimerRow]) -> None:
        await self._execute(UPSERT_TIMER, rows)

    async def stored(self, rows: Sequence[TimerRow]) -> Sequence[TimerRow]:
        keys = [values[:-1] for values in timer_columns(self._namespace, rows)]

        def select(connection: sqlite3.Connection) -> list[TimerRow]:
            return [
                row
                for row, key in zip(rows, keys, strict=True)
                if connection.execute(SELECT_TIMER, key).fetchone() is not None
            ]

        return await self._database.read(select)

    async def fired(self, rows: Sequence[TimerRow]) -> None:
        await self._execute(DELETE_TIMER, rows)

    async def _execute(self, statement: str, rows: Sequence[TimerRow]) -> None:
        values = timer_columns(self._namespace, rows)

        def apply(connection: sqlite3.Connection) -> None:
            connection.executemany(statement, values)

        await self._database.write(apply)


def timer_columns(namespace: str, rows: Iterable[TimerRow]) -> list[tuple[Any, ...]]:
    return [(namespace, row.partition, row.due_at, row.run_id, row.kind, row.step_id, row.stamp) for row in rows]
