"""A schedule: which blueprint is started when, and what becomes of ticks that were missed or that come too soon.

    {"id": "report", "blueprint_id": "daily-report", "version": "2", "input": {"region": "north"},
     "cron": "0 6 * * MON-FRI", "timezone": "Europe/Berlin",      or: "every": "15m", "anchor": "2026-01-01T00:05:00Z",
     "start": "2026-12-01T00:00:00Z", "end": null, "catch_up": "last", "catch_up_limit": 100, "overlap": "allow",
     "paused": false, "by": "ada"}

Only `id`, `blueprint_id` and one of `cron` and `every` must be there. Parsing finds every problem at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from famulus.engine.records import start_record
from famulus.engine.rows import encode
from famulus.engine.scheduling.ticks import Cron, Interval, tick_text
from famulus.errors import ScheduleError
from famulus.ids import BlueprintId, RunId, ScheduleId
from famulus.ports import StoredSchedule

SCHEDULE_ID_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""A run id with room for the time of a tick, and without the colon before it."""
SCHEDULED_AT: Final = "scheduled_at"
"""The key of a run's input that holds the time of its tick."""
DEFAULT_TIMEZONE: Final = "UTC"
CATCH_UP_LIMIT: Final = 100
CATCH_UP_LIMIT_MAX: Final = 1000
CRON_FIELDS: Final = 5
CRON_CHARACTERS: Final = 200
TEXT_CHARACTERS: Final = 500
LONGEST_INTERVAL_SECONDS: Final = 366 * 86_400
LAST_SECOND: Final = 32_503_680_000
"""The year 3000: later times are a mistake."""

_DURATION: Final = re.compile(r"(\d{1,9})([smhd])")
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_GIVEN: Final = (
    "id", "blueprint_id", "version", "input", "cron", "timezone", "every", "anchor", "start", "end", "catch_up",
    "catch_up_limit", "overlap", "paused", "by",
)  # fmt: skip
_KEPT: Final = ("created_at", "active_from")


class CatchUp(StrEnum):
    """What becomes of ticks that nobody was there for."""

    SKIP = "skip"
    LAST = "last"
    """The newest of them is started, unless one that is on time follows."""
    ALL = "all"
    """The newest ones, up to the limit of the schedule."""


class Overlap(StrEnum):
    """What becomes of a tick while the run of the one before has not ended."""

    ALLOW = "allow"
    SKIP = "skip"
    CANCEL_PREVIOUS = "cancel_previous"
    QUEUE = "queue"
    """It waits for that end; ticks that come while one waits are skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    id: ScheduleId
    blueprint_id: BlueprintId
    version: str | None
    """``None``: the version registered last, when a run starts."""
    input: Mapping[str, Any]
    timing: Cron | Interval
    start: float | None
    end: float | None
    """Ticks from start to end, both included."""
    catch_up: CatchUp
    catch_up_limit: int
    overlap: Overlap
    paused: bool
    by: str | None
    """Who wrote it last."""
    created_at: float
    active_from: float
    """Only later ticks count: it was created, unpaused or given another timing then."""

    def run_id(self, tick: int) -> RunId:
        """The same for the same tick, whoever starts it: a second start of it changes nothing."""
        return RunId(f"{self.id}:{tick_text(tick)}")

    def run_input(self, tick: int) -> dict[str, Any]:
        return {**self.input, SCHEDULED_AT: tick_text(tick)}

    def record(self, tick: int) -> bytes:
        """What starts the run of a tick."""
        return start_record(
            self.run_id(tick),
            self.blueprint_id,
            input=self.run_input(tick),
            version=self.version,
            by=f"schedule {self.id}",
        )

    def newest(self, at_most: int, *, after: float, until: float) -> list[int]:
        """As `Timing.newest`, within start and end."""
        begin = max(after, self.active_from, self._before_start)
        until = until if self.end is None else min(until, self.end)
        return self.timing.newest(at_most, after=begin, until=until) if until > begin else []

    def next_ticks(self, count: int, *, after: float) -> tuple[int, ...]:
        """Those that come next, whether or not it is paused; fewer if it ends."""
        found: list[int] = []
        for tick in self.timing.after(max(after, self._before_start)):
            if len(found) == count or (self.end is not None and tick > self.end):
                break
            found.append(tick)
        return tuple(found)

    def document(self) -> dict[str, Any]:
        """As it is given and shown; what was left out stands with its default."""
        cron = self.timing if isinstance(self.timing, Cron) else None
        interval = self.timing if isinstance(self.timing, Interval) else None
        return {
            "id": self.id,
            "blueprint_id": self.blueprint_id,
            "version": self.version,
            "input": dict(self.input),
            "cron": cron and cron.expression,
            "timezone": cron and cron.zone.key,
            "every": interval and interval.every,
            "anchor": interval and interval.anchor,
            "start": self.start,
            "end": self.end,
            "catch_up": str(self.catch_up),
            "catch_up_limit": self.catch_up_limit,
            "overlap": str(self.overlap),
            "paused": self.paused,
            "by": self.by,
        }

    @property
    def _before_start(self) -> float:
        return float("-inf") if self.start is None else self.start - 1e-6


def parse_schedule(document: Mapping[str, Any], *, now: float) -> Schedule:
    """Read a schedule as somebody gives it. Raises `ScheduleError` with every problem: what, where, what to do."""
    fields = _Fields(document)
    fields.only(*_GIVEN)
    return _read(fields, created_at=now, active_from=now)


def decode_schedule(stored: StoredSchedule) -> Schedule:
    """Raises `ScheduleError`, where this machine lacks a time zone that another one has."""
    document = msgspec.json.decode(stored.body)
    kept = {name: float(document[name]) for name in _KEPT}
    return _read(_Fields({name: value for name, value in document.items() if name not in _KEPT}), **kept)


def encode_schedule(schedule: Schedule) -> bytes:
    kept = {name: getattr(schedule, name) for name in _KEPT}
    return encode({**schedule.document(), **kept})


def replacing(schedule: Schedule, old: Schedule) -> Schedule:
    """The schedule as it follows an old one. With the same timing it goes on where the old one is."""
    goes_on = (schedule.timing, schedule.paused) == (old.timing, old.paused)
    return replace(
        schedule, created_at=old.created_at, active_from=old.active_from if goes_on else schedule.active_from
    )


def is_schedule_id(text: str) -> bool:
    return SCHEDULE_ID_PATTERN.fullmatch(text) is not None


def moment_of(value: Any) -> float:
    """An ISO 8601 time with its offset, or seconds since the Unix epoch. Raises `ValueError` for anything else."""
    if isinstance(value, str):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(
                f"{value[:80]!r} is no time, expected something like 2026-11-24T15:00:00Z, or seconds since 1970"
            ) from None
        if at.utcoffset() is None:
            raise ValueError(f"{value!r} does not say of which zone it is, expected an offset or a Z behind it")
        seconds = at.timestamp()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        raise ValueError(f"{str(value)[:80]} is no time, expected a text like 2026-11-24T15:00:00Z, or seconds")  # noqa: TRY004  # one kind of error for the caller
    if not 0 <= seconds <= LAST_SECOND:
        raise ValueError(f"{str(value)[:80]} is not between the years 1970 and 3000")
    return seconds


def _read(fields: _Fields, *, created_at: float, active_from: float) -> Schedule:
    start, end = fields.moment("start"), fields.moment("end")
    if start is not None and end is not None and end < start:
        fields.problem("end", "is before `start`: no time lies between them")
    timing = fields.timing(start or created_at)
    given_id = fields.text("id", required=True) or ""
    if given_id and not is_schedule_id(given_id):
        fields.problem(
            "id", f"{given_id[:120]!r} cannot be the id of a schedule, expected {SCHEDULE_ID_PATTERN.pattern}"
        )
    schedule_input = fields.object("input")
    if SCHEDULED_AT in schedule_input:
        fields.problem("input", f"has the key {SCHEDULED_AT!r}, which each run is given with the time of its tick")
    schedule = Schedule(
        id=ScheduleId(given_id),
        blueprint_id=BlueprintId(fields.text("blueprint_id", required=True) or ""),
        version=fields.text("version"),
        input=schedule_input,
        timing=timing or Interval(1),
        start=start,
        end=end,
        catch_up=CatchUp(fields.one_of("catch_up", CatchUp) or CatchUp.LAST),
        catch_up_limit=fields.whole("catch_up_limit", at_most=CATCH_UP_LIMIT_MAX) or CATCH_UP_LIMIT,
        overlap=Overlap(fields.one_of("overlap", Overlap) or Overlap.ALLOW),
        paused=fields.boolean("paused"),
        by=fields.text("by"),
        created_at=created_at,
        active_from=active_from,
    )
    fields.check(given_id)
    return schedule


class _Fields:
    """The fields of a document; reads on after a problem. What is null was left out."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._problems: list[str] = []

    def problem(self, name: str, message: str) -> None:
        self._problems.append(f"{name}: {message}")

    def only(self, *names: str) -> None:
        for name in self._document:
            if name not in names:
                self.problem(str(name)[:40], f"is not known, expected {', '.join(names)}")

    def check(self, schedule_id: str) -> None:
        if self._problems:
            what = f"schedule {schedule_id[:120]!r}" if schedule_id else "the schedule"
            raise ScheduleError(f"{what} cannot be used: {'; '.join(self._problems)}", problems=self._problems)

    def text(self, name: str, *, required: bool = False) -> str | None:
        value = self._document.get(name)
        if value is None or value == "":
            if required:
                self.problem(name, "is missing, expected a text that is not empty")
            return None
        if not isinstance(value, str):
            self.problem(name, f"is {_shown(value)}, expected a text")
            return None
        if len(value) > TEXT_CHARACTERS:
            self.problem(name, f"has {len(value)} characters, at most {TEXT_CHARACTERS} are accepted")
        return value

    def object(self, name: str) -> dict[str, Any]:
        value = self._document.get(name)
        if isinstance(value, dict):
            return value
        if value is not None:
            self.problem(name, f"is {_shown(value)}, expected an object")
        return {}

    def boolean(self, name: str) -> bool:
        value = self._document.get(name)
        if isinstance(value, bool):
            return value
        if value is not None:
            self.problem(name, f"is {_shown(value)}, expected true or false")
        return False

    def whole(self, name: str, *, at_most: int) -> int | None:
        value = self._document.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value % 1 != 0:
            self.problem(name, f"is {_shown(value)}, expected a whole number")
            return None
        if not 1 <= value <= at_most:
            self.problem(name, f"is {value:g}, expected 1 to {at_most}")
        return int(value)

    def one_of(self, name: str, choices: type[StrEnum]) -> str | None:
        value = self._document.get(name)
        if value is None:
            return None
        if value not in tuple(choices):
            self.problem(name, f"is {_shown(value)}, expected one of {', '.join(choices)}")
            return None
        return str(value)

    def moment(self, name: str) -> float | None:
        value = self._document.get(name)
        if value is None:
            return None
        try:
            return moment_of(value)
        except ValueError as error:
            self.problem(name, str(error))
            return None

    def timing(self, begin: float) -> Cron | Interval | None:
        """``None`` after a problem."""
        cron, every = self._document.get("cron"), self._document.get("every")
        if (cron is None) == (every is None):
            self.problem(
                "cron",
                "neither it nor `every` is there: say when, as `cron` ('0 6 * * *') or as `every` ('15m')"
                if cron is None
                else "it and `every` are both there: take one of them away",
            )
            return None
        if cron is not None:
            if self._document.get("anchor") is not None:
                self.problem("anchor", "belongs to `every`: take it away, a cron expression names its times itself")
            return self._cron(cron, begin)
        if self._document.get("timezone") is not None:
            self.problem("timezone", "belongs to `cron`: take it away, an interval is the same in every zone")
        return self._interval(every)

    def _cron(self, expression: Any, begin: float) -> Cron | None:
        zone = self._zone()
        if not isinstance(expression, str) or len(expression) > CRON_CHARACTERS:
            self.problem("cron", f"is {_shown(expression)}, expected five fields such as '0 6 * * MON-FRI'")
            return None
        parts = expression.split()
        if len(parts) != CRON_FIELDS:
            self.problem(
                "cron",
                f"{expression!r} has {len(parts)} fields, expected five: minute, hour, day of the month, month, day of "
                "the week (for less than a minute there is `every`)",
            )
            return None
        cron = Cron(" ".join(parts), zone or ZoneInfo(DEFAULT_TIMEZONE))
        try:
            CronSim(cron.expression, datetime(2000, 1, 1))  # noqa: DTZ001  # only read
        except (CronSimError, ValueError) as error:
            self.problem("cron", f"{expression!r} cannot be read: {_field_of(error, parts)}")
            return None
        if next(cron.after(begin), None) is None:
            self.problem("cron", f"{expression!r} names a time that does not come within 50 years")
            return None
        return cron

    def _zone(self) -> ZoneInfo | None:
        name = self.text("timezone") or DEFAULT_TIMEZONE
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            self.problem(
                "timezone",
                f"{name[:80]!r} is not known on this machine, expected a name of the tz database such as "
                "'Europe/Berlin' (where the machine has none: pip install tzdata)",
            )
            return None

    def _interval(self, given: Any) -> Interval | None:
        every = _seconds(given)
        if every is None or not 1 <= every <= LONGEST_INTERVAL_SECONDS:
            self.problem(
                "every",
                f"is {_shown(given)}, expected whole seconds or a number with s, m, h or d behind it, such as '15m', "
                "from one second to 366 days",
            )
            every = None
        anchor = self.moment("anchor")
        if anchor is not None and anchor % 1 != 0:
            self.problem("anchor", f"is {_shown(self._document['anchor'])}, expected a whole second")
            return None
        return None if every is None else Interval(every, 0 if anchor is None else int(anchor))


def _seconds(given: Any) -> int | None:
    if isinstance(given, str):
        found = _DURATION.fullmatch(given)
        return int(found[1]) * _UNIT_SECONDS[found[2]] if found else None
    if isinstance(given, bool) or not isinstance(given, int | float) or given % 1 != 0:
        return None
    return int(given)


def _field_of(error: Exception, parts: list[str]) -> str:
    """`cronsim` names the field; here is also said what stands in it."""
    name = str(error).removeprefix("Bad ")
    places = ("minute", "hour", "day-of-month", "month", "day-of-week")
    if name not in places:
        return str(error)
    return f"{parts[places.index(name)]!r} is no {name.replace('-of-', ' of the ')}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004  # a line of a terminal
