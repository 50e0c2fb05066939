"""Schedules for those who define and look at them: what the API, the command line and clients do.

Nothing here lets a schedule tick; its owner does (`famulus.engine.schedules`), and sees what is written here when it
reads the list the next time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import msgspec

from famulus.engine.catalog import Catalog
from famulus.engine.records import parse_job
from famulus.engine.scheduling.definition import (
    Schedule,
    decode_schedule,
    encode_schedule,
    is_schedule_id,
    moment_of,
    parse_schedule,
    replacing,
)
from famulus.engine.scheduling.ticks import tick_text
from famulus.engine.starting import RunStarter, Started
from famulus.errors import InputError, ScheduleConflictError, ScheduleError, ScheduleNotFoundError
from famulus.ids import RunId, ScheduleId
from famulus.ports import RunStore, ScheduleStore, StoredSchedule

NEXT_SHOWN: Final = 5
RUNS_SHOWN: Final = 10
RUNS_LOOKED_FOR: Final = 20
"""Of the newest ticks, so many are looked up for runs that were started."""
START_SECONDS: Final = 5.0
"""How long a trigger waits to see its run recorded."""
MICROSECOND: Final = 1e-6


class ScheduleOutcome(StrEnum):
    CREATED = "created"
    EXISTING = "existing"
    """It was there, and is the same."""
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledRun:
    run_id: RunId
    scheduled_at: int
    status: str | None
    """``None``: its start is on the topic, no worker has recorded it yet."""

    def as_json(self) -> dict[str, Any]:
        return {"run_id": self.run_id, "scheduled_at": tick_text(self.scheduled_at), "status": self.status}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleView:
    """A schedule, and how far it is. Ticks are whole seconds since the Unix epoch."""

    definition: Mapping[str, Any]
    """As it is given, with the defaults of what was left out."""
    next_ticks: tuple[int, ...]
    """Empty while it is paused, and after its end."""
    last_tick: int | None
    """Nothing is left to do for it and earlier ones."""
    waiting: int | None
    """The tick that waits for the run before it to end."""
    runs: tuple[ScheduledRun, ...]
    """The newest ones, newest first; in a list, the last one alone."""
    problem: str | None = None
    """Why it does not tick here."""

    @property
    def id(self) -> str:
        return str(self.definition["id"])

    @property
    def timing(self) -> str:
        """Its cron expression with the zone, or its interval, as a person reads it."""
        if self.definition.get("cron"):
            return f"{self.definition['cron']} ({self.definition['timezone']})"
        return f"every {self.definition['every']} s"

    @property
    def is_paused(self) -> bool:
        return bool(self.definition["paused"])

    def as_json(self) -> dict[str, Any]:
        return {
            **self.definition,
            "next": [tick_text(tick) for tick in self.next_ticks],
            "last_tick": None if self.last_tick is None else tick_text(self.last_tick),
            "waiting": None if self.waiting is None else tick_text(self.waiting),
            "runs": [run.as_json() for run in self.runs],
            "problem": self.problem,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    outcome: ScheduleOutcome
    schedule: ScheduleView


class ScheduleBook:
    def __init__(
        self,
        store: ScheduleStore,
        *,
        runs: RunStore,
        catalog: Catalog,
        now: Callable[[], float],
        max_record_bytes: int = 1_000_000,
    ) -> None:
        self._store = store
        self._runs = runs
        self._catalog = catalog
        self._now = now
        self._max_record_bytes = max_record_bytes

    async def create(self, document: Mapping[str, Any], *, replace_old: bool = False) -> Registered:
        """Register a schedule. The same one again changes nothing; another one takes its place only if asked to.

        Raises `ScheduleError` with every problem, `ScheduleConflictError`, `BlueprintNotFoundError`, and
        `BadRecordError` for an input that fits into no record.
        """
        schedule = parse_schedule(document, now=self._now())
        parse_job(schedule.record(int(self._now())), max_bytes=self._max_record_bytes)
        await self._catalog.find(schedule.blueprint_id, schedule.version)
        old = await self._store.get(schedule.id)
        if old is None:
            return Registered(outcome=ScheduleOutcome.CREATED, schedule=await self._write(schedule, None))
        before = _document(old)
        differing = [name for name, value in schedule.document().items() if name != "by" and before.get(name) != value]
        if not differing:
            return Registered(outcome=ScheduleOutcome.EXISTING, schedule=await self._view(old, runs=RUNS_LOOKED_FOR))
        if not replace_old:
            raise ScheduleConflictError(schedule.id, differing)
        return Registered(outcome=ScheduleOutcome.REPLACED, schedule=await self._write(_following(schedule, old), old))

    async def all(self) -> Sequence[ScheduleView]:
        """By id, each with its last run."""
        return [await self._view(stored, runs=0) for stored in await self._store.all()]

    async def show(self, schedule_id: str) -> ScheduleView:
        """Raises `ScheduleNotFoundError`."""
        return await self._view(await self._stored(schedule_id), runs=RUNS_LOOKED_FOR)

    async def pause(self, schedule_id: str, *, by: str | None = None) -> ScheduleView:
        """Let it start nothing more. Ticks that pass meanwhile are not made up for. Again changes nothing.

        Raises `ScheduleNotFoundError`, `ScheduleError`.
        """
        return await self._turn(schedule_id, paused=True, by=by)

    async def unpause(self, schedule_id: str, *, by: str | None = None) -> ScheduleView:
        """Let it tick again, from now on. Errors as `pause`."""
        return await self._turn(schedule_id, paused=False, by=by)

    async def delete(self, schedule_id: str) -> None:
        """Remove it; runs that it has started go on. Raises `ScheduleNotFoundError`."""
        await self._store.delete(await self._stored(schedule_id))

    async def _stored(self, schedule_id: str) -> StoredSchedule:
        found = await self._store.get(ScheduleId(schedule_id)) if is_schedule_id(schedule_id) else None
        if found is None:
            raise ScheduleNotFoundError(schedule_id[:120])
        return found

    async def _turn(self, schedule_id: str, *, paused: bool, by: str | None) -> ScheduleView:
        stored = await self._stored(schedule_id)
        schedule = decode_schedule(stored)
        if schedule.paused == paused:
            return await self._view(stored, runs=RUNS_LOOKED_FOR)
        turned = replace(schedule, paused=paused, by=by or schedule.by, active_from=self._now())
        return await self._write(turned, stored)

    async def _write(self, schedule: Schedule, old: StoredSchedule | None) -> ScheduleView:
        # Later than what was read, whatever the clock of this machine says.
        written_at = self._now() if old is None else max(self._now(), old.written_at + MICROSECOND)
        stored = StoredSchedule(
            schedule_id=schedule.id,
            body=encode_schedule(schedule),
            written_at=written_at,
            progress=None if old is None else old.progress,
        )
        await self._store.put(stored)
        return await self._view(stored, runs=RUNS_LOOKED_FOR)

    async def _view(self, stored: StoredSchedule, *, runs: int) -> ScheduleView:
        """With the runs of so many of its newest ticks, but with the last one at any rate."""
        progress = stored.progress
        try:
            schedule = decode_schedule(stored)
        except ScheduleError as error:
            return ScheduleView(
                definition=_document(stored),
                next_ticks=(),
                last_tick=None if progress is None else progress.last_tick,
                waiting=None if progress is None else progress.waiting,
                runs=(),
                problem=str(error),
            )
        begin = max(schedule.active_from, 0 if progress is None else progress.last_tick)
        return ScheduleView(
            definition=schedule.document(),
            next_ticks=() if schedule.paused else schedule.next_ticks(NEXT_SHOWN, after=begin),
            last_tick=None if progress is None else progress.last_tick,
            waiting=None if progress is None else progress.waiting,
            runs=await self._runs_of(schedule, stored, runs),
        )

    async def _runs_of(self, schedule: Schedule, stored: StoredSchedule, looked_for: int) -> tuple[ScheduledRun, ...]:
        if stored.progress is None:
            return ()
        started = stored.progress.started
        looked = schedule.timing.newest(looked_for, after=schedule.created_at, until=stored.progress.last_tick)
        ticks = sorted({*looked, *([] if started is None else [started])}, reverse=True)
        heads = await self._runs.heads([schedule.run_id(tick) for tick in ticks])
        found = [
            ScheduledRun(run_id=run_id, scheduled_at=tick, status=heads[run_id][1].status if run_id in heads else None)
            for tick in ticks
            if (run_id := schedule.run_id(tick)) in heads or tick == started
        ]
        return tuple(found[:RUNS_SHOWN])


class StartingBook(ScheduleBook):
    """A book that can also start runs out of turn; it needs the topic for that."""

    def __init__(
        self,
        store: ScheduleStore,
        *,
        runs: RunStore,
        catalog: Catalog,
        starter: RunStarter,
        now: Callable[[], float],
        max_record_bytes: int = 1_000_000,
    ) -> None:
        super().__init__(store, runs=runs, catalog=catalog, now=now, max_record_bytes=max_record_bytes)
        self.starter = starter

    async def trigger(
        self,
        schedule_id: str,
        *,
        at: str | float | None = None,
        by: str | None = None,
        patience_seconds: float = START_SECONDS,
    ) -> Started:
        """Start its run of a time, by default of now: under the id that a tick of that time has, so safe to repeat.

        The run tells who asked. Neither pause nor overlap are asked. Raises `ScheduleNotFoundError`, `InputError` for
        what is no time, and what `RunStarter.start` raises.
        """
        schedule = decode_schedule(await self._stored(schedule_id))
        try:
            tick = int(moment_of(self._now() if at is None else at))
        except ValueError as error:
            raise InputError(f"`at`: {error}") from error
        return await self.starter.start(
            schedule.blueprint_id,
            version=schedule.version,
            input=schedule.run_input(tick),
            run_id=schedule.run_id(tick),
            by=by,
            patience_seconds=patience_seconds,
        )


def _document(stored: StoredSchedule) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(stored.body)
    return {name: value for name, value in document.items() if name not in ("created_at", "active_from")}


def _following(schedule: Schedule, old: StoredSchedule) -> Schedule:
    try:
        return replacing(schedule, decode_schedule(old))
    except ScheduleError:  # the old one cannot be read here: the new one begins now
        return schedule
