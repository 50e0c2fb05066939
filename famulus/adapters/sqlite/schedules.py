"""Schedules in two tables of the file: what is defined, and how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from famulus.adapters.sqlite.statements import (
    DELETE_SCHEDULE,
    DELETE_SCHEDULE_PROGRESS,
    SELECT_SCHEDULE,
    SELECT_SCHEDULES,
    UPSERT_SCHEDULE,
    UPSERT_SCHEDULE_PROGRESS,
)
from famulus.ids import UNSTAMPED, ScheduleId, Stamp
from famulus.ports import ScheduleProgress, StoredSchedule

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from famulus.adapters.sqlite.database import Row, SqliteDatabase


class SqliteScheduleStore:
    """Keeps `famulus.ports.ScheduleStore`."""

    def __init__(self, database: SqliteDatabase, *, namespace: str = "default") -> None:
        self._database = database
        self._namespace = namespace

    async def put(self, schedule: StoredSchedule) -> None:
        row = (self._namespace, schedule.schedule_id, schedule.body, schedule.written_at)
        await self._database.write(lambda connection: connection.execute(UPSERT_SCHEDULE, row))

    async def get(self, schedule_id: ScheduleId) -> StoredSchedule | None:
        found = await self._select(SELECT_SCHEDULE, self._namespace, schedule_id)
        return found[0] if found else None

    async def all(self) -> Sequence[StoredSchedule]:
        return await self._select(SELECT_SCHEDULES, self._namespace)

    async def delete(self, schedule: StoredSchedule) -> None:
        key = (self._namespace, schedule.schedule_id)
        stamp = UNSTAMPED if schedule.progress is None else schedule.progress.stamp

        def remove(connection: sqlite3.Connection) -> None:
            connection.execute(DELETE_SCHEDULE, (*key, schedule.written_at))
            connection.execute(DELETE_SCHEDULE_PROGRESS, (*key, stamp))

        await self._database.write(remove)

    async def advance(self, schedule_id: ScheduleId, progress: ScheduleProgress) -> None:
        row = (
            self._namespace,
            schedule_id,
            progress.last_tick,
            progress.started,
            progress.sent_at,
            progress.waiting,
            progress.stamp,
        )
        await self._database.write(lambda connection: connection.execute(UPSERT_SCHEDULE_PROGRESS, row))

    async def _select(self, statement: str, *key: str) -> Sequence[StoredSchedule]:
        rows: Sequence[Row] = await self._database.read(
            lambda connection: connection.execute(statement, key).fetchall()
        )
        return [_stored(row) for row in rows]


def _stored(row: dict[str, Any]) -> StoredSchedule:
    progress = None
    if row["stamp"] is not None:
        progress = ScheduleProgress(
            last_tick=row["last_tick"],
            started=row["started"],
            sent_at=row["sent_at"],
            waiting=row["waiting"],
            stamp=Stamp(row["stamp"]),
        )
    return StoredSchedule(
        schedule_id=ScheduleId(row["schedule_id"]),
        body=row["body"],
        written_at=row["written_at"],
        progress=progress,
    )
