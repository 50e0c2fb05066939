"""What is asked about dead letters, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from famulus.engine.dead_letters.desk import STATES, LetterFilter
from famulus.ports import LetterPlace, LetterSummary

from .requests import RequestError

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


def letters_query(query: Mapping[str, str]) -> LettersQuery:
    problems: list[str] = []
    given = {name: value for name, value in query.items() if name in _NAMES and value}
    state = given.get("state")
    if state is not None and state not in STATES:
        problems.append(f"state: {state[:40]!r}, expected one of {', '.join(STATES)}")
    limit = given.get("limit", str(LETTERS_LIMIT))
    if not limit.isdigit() or not 1 <= int(limit[:9]) <= LETTERS_LIMIT_MAX:
        problems.append(f"limit: {limit[:40]!r}, expected a number from 1 to {LETTERS_LIMIT_MAX}")
    asked = LetterFilter(
        state=state,
        code=given.get("code"),
        topic=given.get("topic"),
        run_id=given.get("run_id"),
        since=_moment(given, "since", problems),
        until=_moment(given, "until", problems),
        text=given.get("text"),
    )
    before = _place(given.get("before"), problems)
    if problems:
        raise RequestError(f"the query does not fit: {'; '.join(problems)}", status=400, problems=problems)
    shown = {name: value for name, value in given.items() if name != "before"}
    return LettersQuery(asked=asked, given=shown, limit=int(limit), before=before)


def is_yes(document: Mapping[str, Any], name: str) -> bool:
    value = document.get(name, False)
    if not isinstance(value, bool):
        raise RequestError(f"the body does not fit: {name}: expected true or false", status=422)
    return value


def _moment(given: Mapping[str, str], name: str, problems: list[str]) -> float | None:
    text = given.get(name)
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
        problems.append(f"{name}: {text[:40]!r}, expected seconds since 1970 or a time such as 2026-11-24T15:00:00Z")
        return None
    return moment.timestamp()


def _place(text: str | None, problems: list[str]) -> LetterPlace | None:
    if text is None:
        return None
    at, _, letter_id = text.partition("/")
    try:
        return LetterPlace(float(at), letter_id)
    except ValueError:
        problems.append(f"before: {text[:40]!r}, expected what `next` has given")
        return None
