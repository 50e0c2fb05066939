"""Fields of a record's value. What does not fit is a `BadRecordError` with a stable code."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from famulus.errors import BadRecordError
from famulus.ids import RUN_ID_PATTERN, RunId, is_run_id

SECONDS_MAX = 1e11
"""Of a time since the Unix epoch: the year 5138."""


def run_id(document: Mapping[str, Any], name: str = "run_id") -> RunId:
    given = text(document, name)
    if not is_run_id(given):
        raise BadRecordError(f"`{name}` is {shown(given)}, expected {RUN_ID_PATTERN.pattern}", code="bad_run_id")
    return RunId(given)


def text(document: Mapping[str, Any], name: str, *, default: str | None = None) -> str:
    """An empty text counts as not given."""
    given = optional_text(document, name)
    if given is not None:
        return given
    if default is None:
        raise BadRecordError(f"`{name}` is missing, expected a text that is not empty", code="missing_field")
    return default


def optional_text(document: Mapping[str, Any], name: str) -> str | None:
    value = document.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise BadRecordError(f"`{name}` is {shown(value)}, expected a string", code="wrong_type")
    return value


def mapping(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name)
    if value is not None and not isinstance(value, dict):
        raise BadRecordError(f"`{name}` is {shown(value)}, expected an object", code="wrong_type")
    return value or {}


def whole_number(document: Mapping[str, Any], name: str, *, at_least: int, at_most: int) -> int | None:
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadRecordError(f"`{name}` is {shown(value)}, expected a whole number", code="wrong_type")
    if not at_least <= value <= at_most:
        raise BadRecordError(f"`{name}` is {shown(value)}, expected {at_least} to {at_most}", code="out_of_range")
    return value


def seconds(document: Mapping[str, Any], name: str, *, at_most: float) -> float | None:
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise BadRecordError(f"`{name}` is {shown(value)}, expected a number of seconds", code="wrong_type")
    if not 0 <= value <= at_most:
        raise BadRecordError(f"`{name}` is {shown(value)}, expected 0 to {at_most:g} seconds", code="out_of_range")
    return float(value)


def time(document: Mapping[str, Any], name: str) -> float | None:
    """Seconds since the Unix epoch, given so or as a time of ISO 8601 with its offset."""
    value = document.get(name)
    if not isinstance(value, str):
        return seconds(document, name, at_most=SECONDS_MAX)
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError as error:
        raise BadRecordError(f"`{name}` is {shown(value)}, expected a time of ISO 8601", code="wrong_type") from error
    if parsed.tzinfo is None:
        raise BadRecordError(f"`{name}` is {shown(value)}, expected an offset or Z with it", code="wrong_type")
    return parsed.timestamp()


def shown(value: Any) -> str:
    told = repr(value)
    return told if len(told) <= 80 else f"{told[:77]}..."  # noqa: PLR2004  # a line of a terminal
