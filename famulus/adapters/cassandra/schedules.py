"""Schedules in Cassandra: what is defined by the time of writing, how far it is by the stamps of owners.

How: see ``cql/schema/0006_schedules.cql``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from famulus.ids import ScheduleId, Stamp
from famulus.ports import ScheduleProgress, StoredSchedule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from famulus.adapters.cassandra.database import CassandraDatabase


class CassandraScheduleStore:
    """The `ScheduleStore` of one namespace."""

    def __init__(self, database: CassandraDatabase, *, namespace: str = "default") -> None:
        self._database = database
        self._namespace = namespace

    async def put(self, schedule: StoredSchedule) -> None:
        definition, stamp = (schedule.body, schedule.written_at), _microseconds(schedule)
        await self._database.execute(
            "insert_schedule", (self._namespace, schedule.schedule_id, definition, stamp, stamp)
        )

    async def get(self, schedule_id: ScheduleId) -> StoredSchedule | None:
        key = (self._namespace, schedule_id)
        defined, reached = await asyncio.gather(
            self._database.execute("select_schedule", key), self._database.execute("select_schedule_progress", key)
        )
        return _stored(defined[0], dict(reached)) if defined else None

    async def all(self) -> Sequence[StoredSchedule]:
        key = (self._namespace,)
        defined, reached = await asyncio.gather(
            self._database.all_rows("select_schedules", key),
            self._database.all_rows("select_all_schedule_progress", key),
        )
        progress: dict[str, Any] = dict(reached)
        return [_stored(row, progress) for row in defined]

    async def delete(self, schedule: StoredSchedule) -> None:
        key = (self._namespace, schedule.schedule_id)
        await self._database.execute("delete_schedule", (_microseconds(schedule), *key))
        if schedule.progress is not None:
            await self._database.execute("delete_schedule_progress", (schedule.progress.stamp, *key))

    async def advance(self, schedule_id: ScheduleId, progress: ScheduleProgress) -> None:
        reached = (progress.last_tick, progress.started, progress.sent_at, progress.waiting, progress.stamp)
        await self._database.execute(
            "insert_schedule_progress", (self._namespace, schedule_id, reached, progress.stamp, progress.stamp)
        )


def _microseconds(schedule: StoredSchedule) -> int:
    return round(schedule.written_at * 1_000_000)


def _stored(row: Any, progress: dict[str, Any]) -> StoredSchedule:
    schedule_id, definition = row
    reached = progress.get(schedule_id)
    return StoredSchedule(
        schedule_id=ScheduleId(schedule_id),
        body=definition.body,
        written_at=definition.written_at,
        progress=None if reached is None else _progress(reached),
    )


def _progress(reached: Any) -> ScheduleProgress:
    return ScheduleProgress(
        last_tick=reached.last_tick,
        started=reached.started,
        sent_at=reached.sent_at,
        waiting=reached.waiting,
        stamp=Stamp(reached.stamp),
    )
