"""What is asked about dead letters, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aiohttp import web

from famulus.engine.dead_letters.desk import STATES, LetterFilter
from famulus.ports import LetterPlace, LetterSummary

from .callers import asker
from .fields import Fields
from .requests import BY_API, REASON_CHARACTERS

LETTERS_LIMIT: Final = 50
LETTERS_LIMIT_MAX: Final = 500
_NAMES: Final = ("state", "code", "topic", "run_id", "since", "until", "text", "limit", "before")


@dataclass(frozen=True, slots=True, kw_only=True)
class LettersQuery:
    asked: LetterFilter
    given: Mapping[str, str]
    """As it was given, without `before`."""
    limit: int
    before: LetterPlace | None

    def next(self, last: LetterSummary) -> dict[str, str]:
        return {**self.given, "before": f"{last.at!r}/{last.letter_id}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterRequest:
    by: str
    again: bool
    reason: str | None


def letters_query(query: Mapping[str, str]) -> LettersQuery:
    given = {name: value for name, value in query.items() if name in _NAMES and value}
    fields = Fields.of_query(given)
    limit = fields.number("limit", int, at_least=1, at_most=LETTERS_LIMIT_MAX) or LETTERS_LIMIT
    asked = LetterFilter(
        state=fields.one_of("state", STATES),
        code=given.get("code"),
        topic=given.get("topic"),
        run_id=given.get("run_id"),
        since=_moment(fields, "since"),
        until=_moment(fields, "until"),
        text=given.get("text"),
    )
    before = _place(fields, "before")
    fields.check()
    shown = {name: value for name, value in given.items() if name != "before"}
    return LettersQuery(asked=asked, given=shown, limit=limit, before=before)


async def letter_request(request: web.Request, *names: str) -> LetterRequest:
    """Who asks, and these of the others; the body may be left out."""
    fields = await Fields.of_body(request, may_be_missing=True)
    given_by = fields.text("by", at_most=REASON_CHARACTERS)
    again, reason = fields.flag("again"), fields.text("reason", at_most=REASON_CHARACTERS)
    fields.only("by", *names)
    fields.check()
    return LetterRequest(by=asker(request, given_by, BY_API), again=again, reason=reason)


def _moment(fields: Fields, name: str) -> float | None:
    text = fields.given.get(name)
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        fields.problem(name, f"{text[:40]!r}, expected seconds since 1970 or a time such as 2026-11-24T15:00:00Z")
        return None
    return moment.timestamp()


def _place(fields: Fields, name: str) -> LetterPlace | None:
    text = fields.given.get(name)
    if text is None:
        return None
    at, _, letter_id = text.partition("/")
    try:
        return LetterPlace(float(at), letter_id)
    except ValueError:
        fields.problem(name, f"{text[:40]!r}, expected what `next` has given")
        return None
