"""Durations and points in time as a blueprint writes them, without a clock."""

from __future__ import annotations

import math
import re
from typing import Any, Final

DURATION: Final = 'milliseconds as a number from 0, or a text such as "10s", "5m", "2h" or "1d"'
TIME: Final = 'seconds since 1970 as a number, or an ISO time with an offset such as "2026-07-01T12:00:00Z"'
MILLISECONDS_MAX: Final = 10 * 366 * 24 * 3_600_000

_UNITS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION: Final = re.compile(r"([0-9]{1,15})([smhd])")
_HOUR: Final = "([01][0-9]|2[0-3])"
_SIXTY: Final = "([0-5][0-9])"
_TIME: Final = re.compile(
    rf"([0-9]{{4}})-(0[1-9]|1[0-2])-([0-3][0-9])[T ]{_HOUR}:{_SIXTY}(?::{_SIXTY}(?:[.,]([0-9]{{1,9}}))?)?"
    rf"(?:[Zz]|([+-]){_HOUR}:?{_SIXTY})"
)
_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_SECONDS_MAX: Final = 253_402_300_800
"""The end of the year 9999."""


def milliseconds_of(given: Any) -> int:
    """The duration in whole milliseconds, rounded up. Raises `ValueError` that says what is expected."""
    if isinstance(given, str):
        found = _DURATION.fullmatch(given)
        amount = int(found[1]) * _UNITS[found[2]] if found else -1
    else:
        amount = math.ceil(given) if _is_number(given) and given >= 0 else -1
    if not 0 <= amount <= MILLISECONDS_MAX:
        raise ValueError(f"expected {DURATION}, at most ten years")
    return amount


def seconds_of(given: Any) -> float:
    """The time in seconds since the Unix epoch. Raises `ValueError` that says what is expected."""
    seconds: float | None = None
    if isinstance(given, str):
        seconds = _iso_seconds(given)
    elif _is_number(given):
        seconds = float(given)
    if seconds is None or not 0 <= seconds < _SECONDS_MAX:
        raise ValueError(f"expected {TIME}")
    return seconds


def _is_number(given: Any) -> bool:
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        return False
    return isinstance(given, int) or math.isfinite(given)


def _iso_seconds(text: str) -> float | None:
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute = (int(part) for part in found.group(1, 2, 3, 4, 5))
    if year == 0 or not 1 <= day <= _days_in(year, month):
        return None
    second, fraction = int(found[6] or 0), float(f"0.{found[7] or 0}")
    offset = (int(found[9] or 0) * 60 + int(found[10] or 0)) * (-60 if found[8] == "-" else 60)
    return _days_before(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second + fraction - offset


def _days_in(year: int, month: int) -> int:
    is_leap_february = _DAYS[month - 1] == min(_DAYS) and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return _DAYS[month - 1] + is_leap_february


def _days_before(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01, in the Gregorian calendar."""
    before = year - 1
    leap_days = before // 4 - before // 100 + before // 400
    in_year = sum(_days_in(year, each) for each in range(1, month))
    return before * 365 + leap_days + in_year + day - 1 - 719_162
