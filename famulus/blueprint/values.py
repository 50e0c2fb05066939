"""JSON values as blueprints see them: absent is not null, and truth is JavaScript's.

The rules are those of the blueprint specification, section 4 (conditions) and 7 (paths into outputs).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final

INDEX_DIGITS_MAX: Final = 9
SHOWN_CHARACTERS: Final = 60


class Absent(Enum):
    """The value that is not there. Falsy, and never stored: an absent output is recorded as null."""

    ABSENT = "absent"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = Absent.ABSENT


def is_true(value: Any) -> bool:
    """False are `false`, 0, "", null, absent and NaN; everything else is true, also `[]`, `{}` and "0"."""
    if value is None or value is ABSENT or value is False:
        return False
    if isinstance(value, (int, float)):
        return value != 0 and not math.isnan(value)
    if isinstance(value, str):
        return value != ""
    return True


def walk(value: Any, path: Sequence[str]) -> Any:
    """Follow property names and list indexes into JSON data; `ABSENT` where the path breaks. Only data is visible."""
    for segment in path:
        if isinstance(value, Mapping):
            value = value.get(segment, ABSENT)
        elif isinstance(value, list):
            value = value[int(segment)] if _is_index(segment) and int(segment) < len(value) else ABSENT
        else:
            return ABSENT
    return value


def shown(value: Any) -> str:
    """The value as messages about it show it: short, whatever it holds."""
    match value:
        case None:
            return "missing"
        case Mapping():
            return "an object"
        case list() | tuple():
            return "a list"
        case bool():
            return str(value).lower()
        case _:
            text = repr(value)
            return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def _is_index(segment: str) -> bool:
    return (
        segment.isascii()
        and segment.isdigit()
        and (segment == "0" or not segment.startswith("0"))
        and len(segment) <= INDEX_DIGITS_MAX
    )
