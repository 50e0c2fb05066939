"""Requests, read and checked. What does not fit is a `RequestError` with every problem that was found."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from aiohttp import web

from famulus.flow.status import RunStatus
from famulus.ids import RUN_ID_PATTERN, RunId, is_run_id

from .callers import asker

RUNS_LIMIT: Final = 50
RUNS_LIMIT_MAX: Final = 500
EVENTS_LIMIT: Final = 1000
EVENTS_LIMIT_MAX: Final = 10_000
BY_PAGE: Final = "web page"
"""Who asks, where a button was pressed."""
STEPS_LIMIT: Final = 500
STEPS_LIMIT_MAX: Final = 5000
REASON_CHARACTERS: Final = 500
COMMAND_ID_CHARACTERS: Final = 128


class RequestError(Exception):
    """A request that cannot be answered as it is."""

    def __init__(
        self, message: str, *, status: int, problems: Collection[str] = (), retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.problems = tuple(problems)


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
class EventsQuery:
    after: int = -1
    limit: int = EVENTS_LIMIT


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


def run_id_of(text: str) -> RunId:
    """The id out of a path."""
    if not is_run_id(text):
        raise RequestError(f"{text[:200]!r} cannot be a run id, expected {RUN_ID_PATTERN.pattern}", status=400)
    return RunId(text)


def runs_query(query: Mapping[str, str]) -> RunsQuery:
    fields = _Fields(query, status=400, what="the query")
    asked = RunsQuery(
        limit=fields.number("limit", int, at_least=1, at_most=RUNS_LIMIT_MAX) or RUNS_LIMIT,
        before=fields.number("before", float, at_least=0, at_most=1e12),
        status=fields.one_of("status", tuple(RunStatus)),
        blueprint=query.get("blueprint") or None,
    )
    fields.check()
    return asked


def events_query(query: Mapping[str, str]) -> EventsQuery:
    fields = _Fields(query, status=400, what="the query")
    after = fields.number("after", int, at_least=-1, at_most=2**53)
    limit = fields.number("limit", int, at_least=1, at_most=EVENTS_LIMIT_MAX)
    fields.check()
    return EventsQuery(after=-1 if after is None else after, limit=limit or EVENTS_LIMIT)


async def start_request(request: web.Request) -> StartRequest:
    fields = _Fields(await json_object(request), status=422, what="the body")
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
    read = _Fields(await json_object(request) if request.can_read_body else {}, status=422, what="the body")
    given_by = read.text("by", at_most=REASON_CHARACTERS)
    reason = read.text("reason", at_most=REASON_CHARACTERS)
    command_id = read.text("command_id", at_most=COMMAND_ID_CHARACTERS)
    read.only("by", "reason", "command_id", *fields)
    read.check()
    given = {name: read.given[name] for name in fields if name in read.given}
    return CommandRequest(given=given, by=asker(request, given_by, by), reason=reason, command_id=command_id)


async def fork_request(request: web.Request, *, by: str) -> ForkRequest:
    fields = _Fields(await json_object(request), status=422, what="the body")
    asked = ForkRequest(
        from_step=fields.text("from_step", required=True) or "",
        context=fields.object("context"),
        run_id=fields.run_id("run_id"),
        by=asker(request, fields.text("by", at_most=REASON_CHARACTERS), by),
    )
    fields.only("from_step", "context", "run_id", "by")
    fields.check()
    return asked


def steps_query(query: Mapping[str, str]) -> EventsQuery:
    fields = _Fields(query, status=400, what="the query")
    after = fields.number("after", int, at_least=-1, at_most=2**53)
    limit = fields.number("limit", int, at_least=1, at_most=STEPS_LIMIT_MAX)
    fields.check()
    return EventsQuery(after=-1 if after is None else after, limit=limit or STEPS_LIMIT)


async def asked_by(request: web.Request, *, default: str) -> str:
    """Who asks; the body may be left out."""
    fields = _Fields(await json_object(request) if request.can_read_body else {}, status=422, what="the body")
    by = fields.text("by", at_most=REASON_CHARACTERS)
    fields.only("by")
    fields.check()
    return asker(request, by, default)


async def trigger_request(request: web.Request) -> str | float | None:
    """The time of the tick, as it is given; the body may be left out."""
    given = await json_object(request) if request.can_read_body else {}
    fields = _Fields(given, status=422, what="the body")
    at = given.get("at")
    if at is not None and (isinstance(at, bool) or not isinstance(at, str | int | float)):
        fields.problem("at", f"is {_kind(at)}, expected a time such as 2026-11-24T15:00:00Z, or seconds since 1970")
    fields.only("at")
    fields.check()
    return at


async def json_bytes(request: web.Request) -> bytes:
    """The body, which must be declared as JSON: a form of another site cannot do that."""
    if request.content_type != "application/json":
        raise RequestError(
            f"the body is declared as {request.content_type}, expected Content-Type: application/json", status=415
        )
    return await request.read()


async def json_object(request: web.Request) -> dict[str, Any]:
    body = await json_bytes(request)
    try:
        document = msgspec.json.decode(body)
    except RecursionError as error:
        raise RequestError("the body is nested too deeply", status=400) from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise RequestError(f"the body is not JSON: {error}", status=400) from error
    if not isinstance(document, dict):
        raise RequestError(f"the body is {_kind(document)}, expected a JSON object", status=400)
    return document


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(slots=True)
class _Fields:
    """Fields of a body or a query; reads on after a problem."""

    given: Mapping[str, Any]
    status: int
    what: str
    problems: list[str] = field(default_factory=list)

    def problem(self, name: str, message: str) -> None:
        self.problems.append(f"{name}: {message}")

    def text(self, name: str, *, required: bool = False, at_most: int | None = None) -> str | None:
        value = self.given.get(name)
        if value is None or value == "":
            if required:
                self.problem(name, "is missing, expected a text that is not empty")
            return None
        if not isinstance(value, str):
            self.problem(name, f"is {_kind(value)}, expected a string")
            return None
        if at_most is not None and len(value) > at_most:
            self.problem(name, f"has {len(value)} characters, at most {at_most} are accepted")
        return value

    def run_id(self, name: str) -> str | None:
        value = self.text(name)
        if value is not None and not is_run_id(value):
            self.problem(name, f"{value[:200]!r} cannot be a run id, expected {RUN_ID_PATTERN.pattern}")
        return value

    def time(self, name: str) -> str | float | None:
        value = self.given.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, str | int | float)):
            self.problem(
                name, f"is {_kind(value)}, expected a time such as 2026-11-24T15:00:00Z, or seconds since 1970"
            )
            return None
        return value

    def object(self, name: str) -> dict[str, Any]:
        value = self.given.get(name)
        if isinstance(value, dict):
            return value
        if value is not None:
            self.problem(name, f"is {_kind(value)}, expected an object")
        return {}

    def number(
        self, name: str, kind: Callable[[str], int] | Callable[[str], float], *, at_least: float, at_most: float
    ) -> Any:
        text = self.given.get(name)
        if text is None or text == "":
            return None
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not at_least <= value <= at_most:
            self.problem(name, f"{text[:40]!r}, expected a number from {at_least:g} to {at_most:g}")
            return None
        return value

    def one_of(self, name: str, choices: Collection[str]) -> str | None:
        value: str | None = self.given.get(name) or None
        if value is not None and value not in choices:
            self.problem(name, f"{value[:40]!r}, expected one of {', '.join(choices)}")
        return value

    def only(self, *names: str) -> None:
        for name in self.given:
            if name not in names:
                self.problem(name[:40], f"is not known, expected {', '.join(names)}")

    def check(self) -> None:
        if self.problems:
            raise RequestError(
                f"{self.what} does not fit: {'; '.join(self.problems)}", status=self.status, problems=self.problems
            )


def _kind(value: Any) -> str:
    """What JSON calls it."""
    names: dict[type, str] = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
