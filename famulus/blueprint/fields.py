"""Values of a document, each read as what it should be. Every problem is noted, and named by its path."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, cast

from famulus.blueprint.times import MILLISECONDS_MAX
from famulus.blueprint.values import SHOWN_CHARACTERS, shown
from famulus.ids import NodeId

ID_CHARACTERS_MAX: Final = 256
JSON_DEPTH_MAX: Final = 100

INVALID_BLUEPRINT: Final = "INVALID_BLUEPRINT"

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


class Problem(NamedTuple):
    """What is wrong with a document, and where."""

    path: str
    message: str
    code: str = INVALID_BLUEPRINT
    node_id: str | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


@dataclass(slots=True)
class Fields:
    """Reads on after a problem, with a harmless value in place of the one that is wrong."""

    problems: list[Problem] = field(default_factory=list)
    incomplete: bool = False
    """Something could not be read at all, and was left out."""

    def problem(self, path: str, message: str, *, code: str = INVALID_BLUEPRINT, node_id: str | None = None) -> None:
        self.problems.append(Problem(path, message, code, node_id))

    def wrong(self, path: str, found: Any, expected: str) -> None:
        self.problem(path, f"{told(found)}, expected {expected}")

    def entries(self, path: str, given: Any, limit: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The objects of a list, or the values of a map."""
        values = list(given.values()) if isinstance(given, Mapping) else given
        if not isinstance(values, (list, tuple)):
            self.incomplete = True
            self.wrong(path, given, "a list of objects")
            return
        if len(values) > limit:
            self.incomplete = True
            self.problem(path, f"found {len(values)} of them, at most {limit} are accepted")
            return
        for index, value in enumerate(values):
            if isinstance(value, Mapping):
                yield f"{path}[{index}]", value
            else:
                self.incomplete = True
                self.wrong(f"{path}[{index}]", value, "an object")

    def object(self, path: str, given: Any) -> dict[str, Any]:
        if given is None:
            return {}
        if not isinstance(given, Mapping):
            self.wrong(path, given, "an object")
            return {}
        try:
            return cast("dict[str, Any]", _plain(given, JSON_DEPTH_MAX))
        except ValueError as error:
            self.problem(path, str(error))
            return {}

    def identity(self, path: str, given: Any, *, expected: str = "a string") -> str | None:
        expected = f"{expected} of at most {ID_CHARACTERS_MAX} characters without control characters"
        if isinstance(given, str) and 0 < len(given) <= ID_CHARACTERS_MAX and not _CONTROL.search(given):
            return given
        if isinstance(given, str) and len(given) > ID_CHARACTERS_MAX:
            self.problem(path, f"found {len(given)} characters, expected {expected}")
        else:
            self.wrong(path, given, expected)
        return None

    def required_text(self, path: str, given: Any, expected: str) -> str:
        if isinstance(given, str) and given and not _SURROGATE.search(given):
            return given
        self.wrong(path, given, expected)
        return ""

    def text(self, path: str, given: Any, *, expected: str = "a string") -> str | None:
        return None if given in (None, "") else self.required_text(path, given, expected) or None

    def whole_number(self, path: str, given: Any, limit: int, *, least: int = 0) -> int | None:
        if given is None:
            return None
        if isinstance(given, float) and given.is_integer():
            given = int(given)
        if isinstance(given, int) and not isinstance(given, bool) and least <= given <= limit:
            return given
        self.wrong(path, given, f"a whole number from {least} to {limit}")
        return None

    def milliseconds(self, path: str, given: Any) -> int | None:
        """Zero stands for no limit, or no delay."""
        return self.whole_number(path, given, MILLISECONDS_MAX) or None

    def number(self, path: str, given: Any, least: int, most: int) -> float | None:
        if given is None:
            return None
        if isinstance(given, (int, float)) and not isinstance(given, bool) and least <= given <= most:
            return float(given)
        self.wrong(path, given, f"a number from {least} to {most}")
        return None

    def names(self, path: str, given: Any) -> tuple[str, ...]:
        if given is None:
            return ()
        if isinstance(given, (list, tuple)):
            names = (self.required_text(f"{path}[{i}]", name, "the name of a class") for i, name in enumerate(given))
            return tuple(name for name in names if name)
        self.wrong(path, given, "a list of names of error classes")
        return ()

    def node_id(self, path: str, given: Any) -> NodeId | None:
        text = self.text(path, given)
        return None if text is None else NodeId(text)

    def choice(self, path: str, given: Any, choices: Sequence[str]) -> str | None:
        if given in (None, ""):
            return None
        if isinstance(given, str) and given in choices:
            return given
        self.wrong(path, given, f"one of {', '.join(choices)}")
        return None


def told(value: Any) -> str:
    """What was found, for a message."""
    return "missing" if value is None else f"found {shown(value)}"


def _plain(value: Any, depth: int) -> Any:
    """The value as dicts, lists and scalars, nested no deeper than so many levels. Raises `ValueError`."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise ValueError("holds half of a surrogate pair, expected valid Unicode")
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if depth == 0:
        raise ValueError(f"nests deeper than {JSON_DEPTH_MAX} levels, expected less")
    if isinstance(value, (list, tuple)):
        return [_plain(part, depth - 1) for part in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {_plain(key, depth): _plain(part, depth - 1) for key, part in value.items()}
    raise ValueError(f"holds a {type(value).__name__} ({value!r:.{SHOWN_CHARACTERS}}), expected JSON values")
