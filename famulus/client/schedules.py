"""Schedules, as a program defines and sees them. See docs/howto/schedules.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from famulus.client.run import DEFAULT_ASKER, Run
from famulus.client.transport import Transport
from famulus.engine.scheduling.book import ScheduleView
from famulus.errors import InputError


class Schedules:
    """The schedules of an installation: `Famulus.schedules`."""

    def __init__(self, transport: Transport) -> None:
        self._schedules = transport.schedules
        self._transport = transport

    async def create(
        self,
        schedule_id: str,
        blueprint_id: str,
        input: Mapping[str, Any] | None = None,
        *,
        version: str | None = None,
        cron: str | None = None,
        timezone: str | None = None,
        every: str | float | timedelta | None = None,
        anchor: str | float | datetime | None = None,
        start: str | float | datetime | None = None,
        end: str | float | datetime | None = None,
        catch_up: str | None = None,
        catch_up_limit: int | None = None,
        overlap: str | None = None,
        paused: bool = False,
        by: str | None = DEFAULT_ASKER,
        replace: bool = False,
    ) -> ScheduleView:
        """Start runs of a blueprint at the ticks of ``cron`` or ``every``; give one of them.

        The same schedule again changes nothing; another one of the same id takes its place with ``replace``, else it is
        a `ScheduleConflictError`. Raises `ScheduleError` with every problem, `BlueprintNotFoundError`,
        `BadRecordError`.
        """
        document = {
            "id": schedule_id,
            "blueprint_id": blueprint_id,
            "version": version,
            "input": dict(input or {}),
            "cron": cron,
            "timezone": timezone,
            "every": every.total_seconds() if isinstance(every, timedelta) else every,
            "anchor": _moment("anchor", anchor),
            "start": _moment("start", start),
            "end": _moment("end", end),
            "catch_up": catch_up,
            "catch_up_limit": catch_up_limit,
            "overlap": overlap,
            "paused": paused,
            "by": by,
        }
        given = {name: value for name, value in document.items() if value is not None}
        return (await self._schedules.create(given, replace_old=replace)).schedule

    async def list(self) -> Sequence[ScheduleView]:
        """By id, each with its last run."""
        return await self._schedules.all()

    async def get(self, schedule_id: str) -> ScheduleView:
        """With its next ticks and its newest runs. Raises `ScheduleNotFoundError`."""
        return await self._schedules.show(schedule_id)

    async def pause(self, schedule_id: str, *, by: str = DEFAULT_ASKER) -> ScheduleView:
        """Let it start nothing more. Ticks that pass meanwhile are not made up for. Raises `ScheduleNotFoundError`."""
        return await self._schedules.pause(schedule_id, by=by)

    async def unpause(self, schedule_id: str, *, by: str = DEFAULT_ASKER) -> ScheduleView:
        """Let it tick again, from now on. Raises `ScheduleNotFoundError`."""
        return await self._schedules.unpause(schedule_id, by=by)

    async def delete(self, schedule_id: str) -> None:
        """Remove it; runs that it has started go on. Raises `ScheduleNotFoundError`."""
        await self._schedules.delete(schedule_id)

    async def trigger(
        self, schedule_id: str, *, at: str | float | datetime | None = None, by: str = DEFAULT_ASKER
    ) -> Run:
        """Start its run of a time, by default of now, under the id that a tick of that time has.

        Neither pause nor overlap are asked. With the same time again nothing new is started.
        """
        started = await self._schedules.trigger(schedule_id, at=_moment("at", at), by=by)
        return Run(started.run_id, self._transport, started.outcome)


def _moment(name: str, given: str | float | datetime | None) -> str | float | None:
    if not isinstance(given, datetime):
        return given
    if given.tzinfo is None:
        raise InputError(f"`{name}` is a datetime without a zone: give it one, such as datetime.UTC")
    return given.timestamp()
