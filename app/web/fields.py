"""Fields of the body or the query of a request. What does not fit is a `RequestError` with every problem."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from famulus.ids import RUN_ID_PATTERN, is_run_id


class RequestError(Exception):
    """A request that cannot be answered as it is."""

    def __init__(
        self, message: str, *, status: int, problems: Collection[str] = (), retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.problems = tuple(problems)


@dataclass(slots=True)
class Fields:
    """Fields of a body or a query; reads on after a problem."""

    given: Mapping[str, Any]
    status: int
    what: str
    problems: list[str] = field(default_factory=list)

    @classmethod
    def of_query(cls, query: Mapping[str, str]) -> Fields:
        return cls(query, status=400, what="the query")

    @classmethod
    async def of_body(cls, request: web.Request, *, may_be_missing: bool = False) -> Fields:
        given = {} if may_be_missing and not request.can_read_body else await json_object(request)
        return cls(given, status=422, what="the body")

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

    def flag(self, name: str) -> bool:
        value = self.given.get(name)
        if value is not None and not isinstance(value, bool):
            self.problem(name, f"is {_kind(value)}, expected true or false")
        return value is True

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


def _kind(value: Any) -> str:
    """What JSON calls it."""
    names: dict[type, str] = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
