"""What is asked of runs and schedules, read and checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from famulus.flow.status import RunStatus
from famulus.ids import RUN_ID_PATTERN, RunId, is_run_id

from .callers import asker
from .fields import Fields, RequestError

RUNS_LIMIT: Final = 50
RUNS_LIMIT_MAX: Final = 500
EVENTS_LIMIT: Final = 1000
EVENTS_LIMIT_MAX: Final = 10_000
BY_PAGE: Final = "web page"
"""Who asks, where a button was pressed."""
BY_API: Final = "api"
"""Who asks, where a program does not say."""
STEPS_LIMIT: Final = 500
STEPS_LIMIT_MAX: Final = 5000
REASON_CHARACTERS: Final = 500
COMMAND_ID_CHARACTERS: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsQuery:
    limit: int = RUNS_LIMIT
    before: float | None = None
    status: str | None = None
    blueprint: str | None = None

    def parameters(self, **changes: Any) -> dict[str, str]:
        """As a query string has them; what is not given is left out."""
        known: dict[str, Any] = {"status": self.status, "blueprint": self.blueprint, "before": self.before}
        if self.limit != RUNS_LIMIT:
            known["limit"] = self.limit
        known |= changes
        return {name: str(value) for name, value in known.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceQuery:
    """So many that come after this place in the order of a run."""

    after: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    blueprint_id: str
    version: str | None
    run_id: str | None
    input: dict[str, Any]
    start_at: str | float | None
    """As it is given; the record says what does not fit."""
    by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRequest:
    given: Mapping[str, Any]
    """What belongs to the command itself."""
    by: str
    reason: str | None
    command_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkRequest:
    from_step: str
    context: dict[str, Any]
    run_id: str | None
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerRequest:
    at: str | float | None
    """The time of the tick, as it is given; ``None``: now."""
    by: str


def run_id_of(text: str) -> RunId:
    """The id out of a path."""
    if not is_run_id(text):
        raise RequestError(f"{text[:200]!r} cannot be a run id, expected {RUN_ID_PATTERN.pattern}", status=400)
    return RunId(text)


def runs_query(query: Mapping[str, str]) -> RunsQuery:
    fields = Fields.of_query(query)
    asked = RunsQuery(
        limit=fields.number("limit", int, at_least=1, at_most=RUNS_LIMIT_MAX) or RUNS_LIMIT,
        before=fields.number("before", float, at_least=0, at_most=1e12),
        status=fields.one_of("status", tuple(RunStatus)),
        blueprint=query.get("blueprint") or None,
    )
    fields.check()
    return asked


def events_query(query: Mapping[str, str]) -> PlaceQuery:
    return _place(query, limit=EVENTS_LIMIT, limit_max=EVENTS_LIMIT_MAX)


def steps_query(query: Mapping[str, str]) -> PlaceQuery:
    return _place(query, limit=STEPS_LIMIT, limit_max=STEPS_LIMIT_MAX)


async def start_request(request: web.Request) -> StartRequest:
    fields = await Fields.of_body(request)
    asked = StartRequest(
        run_id=fields.run_id("run_id"),
        blueprint_id=fields.text("blueprint_id", required=True) or "",
        version=fields.text("version"),
        input=fields.object("input"),
        start_at=fields.time("start_at"),
        by=asker(request, fields.text("by", at_most=REASON_CHARACTERS), "") or None,
    )
    fields.only("blueprint_id", "version", "run_id", "input", "start_at", "by")
    fields.check()
    return asked


async def command_request(request: web.Request, *, by: str, fields: Collection[str]) -> CommandRequest:
    """Who asks and why, and these fields; all may be left out here, and so may the body."""
    read = await Fields.of_body(request, may_be_missing=True)
    given_by = read.text("by", at_most=REASON_CHARACTERS)
    reason = read.text("reason", at_most=REASON_CHARACTERS)
    command_id = read.text("command_id", at_most=COMMAND_ID_CHARACTERS)
    read.only("by", "reason", "command_id", *fields)
    read.check()
    given = {name: read.given[name] for name in fields if name in read.given}
    return CommandRequest(given=given, by=asker(request, given_by, by), reason=reason, command_id=command_id)


async def fork_request(request: web.Request, *, by: str) -> ForkRequest:
    fields = await Fields.of_body(request)
    asked = ForkRequest(
        from_step=fields.text("from_step", required=True) or "",
        context=fields.object("context"),
        run_id=fields.run_id("run_id"),
        by=asker(request, fields.text("by", at_most=REASON_CHARACTERS), by),
    )
    fields.only("from_step", "context", "run_id", "by")
    fields.check()
    return asked


async def asked_by(request: web.Request, *, default: str) -> str:
    """Who asks; the body may be left out."""
    fields = await Fields.of_body(request, may_be_missing=True)
    by = fields.text("by", at_most=REASON_CHARACTERS)
    fields.only("by")
    fields.check()
    return asker(request, by, default)


async def trigger_request(request: web.Request, *, by: str) -> TriggerRequest:
    """The body may be left out."""
    fields = await Fields.of_body(request, may_be_missing=True)
    asked = TriggerRequest(at=fields.time("at"), by=asker(request, fields.text("by", at_most=REASON_CHARACTERS), by))
    fields.only("at", "by")
    fields.check()
    return asked


def _place(query: Mapping[str, str], *, limit: int, limit_max: int) -> PlaceQuery:
    fields = Fields.of_query(query)
    after = fields.number("after", int, at_least=-1, at_most=2**53)
    wanted = fields.number("limit", int, at_least=1, at_most=limit_max)
    fields.check()
    return PlaceQuery(after=-1 if after is None else after, limit=wanted or limit)
