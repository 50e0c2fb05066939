"""Conditions and transforms: compiled once, evaluated over named values, of which only those are touched that are read.

Two languages. *Paths* are those of the blueprint specification (`result.output.items.0`): a text that is no path is
absent, that is, false. *CEL* is meant by the prefix `cel:`, or for a whole blueprint by `metadata.expressionLanguage`.
In both a value that is missing makes the result `ABSENT`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

from famulus.blueprint.cel_source import prune, survey
from famulus.blueprint.values import ABSENT, walk
from famulus.errors import ExpressionError

if TYPE_CHECKING:
    import cel

Language: TypeAlias = Literal["path", "cel"]
Lookup: TypeAlias = Callable[[str], Any]
"""The value of a top-level name, or `ABSENT`. A mapping may be lazy: only the keys that are read are taken."""

CEL_PREFIX: Final = "cel:"
CEL_ELEMENTS_MAX: Final = 10_000
"""List items and map entries handed to one evaluation."""
CEL_WORK_MAX: Final = 5_000_000
"""Elements times reads, and squared under a macro, since it copies its result and what it reads on every round. Copying
one element was measured at 30 ns, so this is about 0.15 s with the GIL held."""
CEL_DEPTH_MAX: Final = 100
"""Levels of a value handed to CEL. Some tens of thousands overflow the stack of its converter and kill the process."""
CEL_FUNCTIONS: Final = frozenset(
    {
        *("size", "contains", "startsWith", "endsWith", "matches", "type", "dyn"),
        *("int", "uint", "double", "string", "bytes", "timestamp", "duration"),
        *("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"),
        *("getHours", "getMinutes", "getSeconds", "getMilliseconds"),
    }
)

_PATH: Final = re.compile(r"[A-Za-z0-9_$.]+")
_UNDEFINED: Final = re.compile(r"Undefined variable or function: '([^']*)'")
_SYNTAX: Final = re.compile(
    r"ERROR: <input>:([0-9]+):([0-9]+): (?:Syntax error: )?(.*?)(?: expecting \{.*)?$", re.MULTILINE
)
_JSON_SCALARS: Final = (str, int, float, bool, type(None))


class Expression(Protocol):
    """A condition or transform, ready to be evaluated any number of times, from any thread."""

    @property
    def text(self) -> str:
        """As it stands in the blueprint."""

    @property
    def roots(self) -> frozenset[str]:
        """The top-level names that it reads."""

    def evaluate(self, lookup: Lookup) -> Any:
        """Its value, or `ABSENT`. Raises `ExpressionError` for anything that goes wrong but a missing value."""


def compile_expression(text: str, *, language: Language) -> Expression:
    """Prepare an expression. Raises `ExpressionError` for CEL that does not compile; every text compiles as a path."""
    if text.startswith(CEL_PREFIX):
        return CelExpression(text, text.removeprefix(CEL_PREFIX))
    return CelExpression(text, text) if language == "cel" else PathExpression(text)


def is_valid_path(text: str) -> bool:
    """Say whether the text is a path as one is meant to be: what has no name before or behind a dot is a slip.

    It is absent, unless there is a property whose name is empty.
    """
    return _PATH.fullmatch(text) is not None and all(text.split("."))


class PathExpression:
    """Property names and list indexes, split at dots. A name may be empty."""

    __slots__ = ("_path", "roots", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._path = tuple(text.split(".")) if _PATH.fullmatch(text) else ()
        self.roots = frozenset(self._path[:1])

    def evaluate(self, lookup: Lookup) -> Any:
        if not self._path:
            return ABSENT
        value = walk(lookup(self._path[0]), self._path[1:])
        return dict(value) if isinstance(value, Mapping) and not isinstance(value, dict) else value

    def __repr__(self) -> str:
        return f"PathExpression({self.text!r})"


class CelExpression:
    """A program of the Common Expression Language over the values that its text reads."""

    __slots__ = ("_program", "_survey", "roots", "text")

    def __init__(self, text: str, source: str) -> None:
        self.text = text
        self._survey = survey(source)
        self._program = _compile(source, text)
        self.roots = frozenset(self._survey.needs)

    def evaluate(self, lookup: Lookup) -> Any:
        names = {}
        for root, needs in self._survey.needs.items():
            value = lookup(root)
            if value is not ABSENT:
                names[root] = prune(value, needs)
        self._refuse_too_much(names)
        try:
            result = self._program.execute(names)
        except (KeyError, IndexError):
            return ABSENT
        except Exception as error:
            undefined = _UNDEFINED.match(str(error))
            if undefined and undefined[1] in self.roots:
                return ABSENT
            raise ExpressionError(_first_line(error), expression=self.text) from error
        return self._json(result)

    def __repr__(self) -> str:
        return f"CelExpression({self.text!r})"

    def _refuse_too_much(self, names: Mapping[str, Any]) -> None:
        elements = self._count(names)
        work = elements * self._survey.reads * (elements if self._survey.loops else 1)
        if work > CEL_WORK_MAX:
            raise ExpressionError(
                f"it would go through {elements} list items and map entries too often: compute it in a node",
                expression=self.text,
            )

    def _count(self, names: Mapping[str, Any]) -> int:
        """List items and map entries in all the values."""
        count = 0
        level: list[Any] = [names]
        for _ in range(CEL_DEPTH_MAX):
            below: list[Any] = []
            for value in level:
                parts = value.values() if isinstance(value, Mapping) else value
                count += len(parts)
                if count > CEL_ELEMENTS_MAX:
                    raise ExpressionError(
                        f"the values that it reads hold more than {CEL_ELEMENTS_MAX} list items and map entries: "
                        "read a smaller part, or compute it in a node",
                        expression=self.text,
                    )
                below += (part for part in parts if isinstance(part, (Mapping, list)))
            if not below:
                return count
            level = below
        raise ExpressionError(f"the values that it reads nest deeper than {CEL_DEPTH_MAX} levels", expression=self.text)

    def _json(self, result: Any) -> Any:
        """The result, if JSON can hold it."""
        pending = [result]
        while pending:
            value = pending.pop()
            if isinstance(value, dict) and all(isinstance(key, str) for key in value):
                pending += value.values()
            elif isinstance(value, list):
                pending += value
            elif not isinstance(value, _JSON_SCALARS):
                raise ExpressionError(
                    f"the result holds a {type(value).__name__}, which is no JSON: wrap it in string(...)",
                    expression=self.text,
                )
        return result


def _compile(source: str, text: str) -> cel.Program:
    import cel  # noqa: PLC0415  # takes 0.1 s, because it imports its own command line; most blueprints need none of it

    try:
        program = cel.compile(source)
    except Exception as error:
        raise ExpressionError(_syntax_problem(error), expression=text) from error
    unknown = [name for name in program.functions() if name.isidentifier() and name not in CEL_FUNCTIONS]
    if unknown:
        raise ExpressionError(
            f"there is no function {', '.join(unknown)}: known are {', '.join(sorted(CEL_FUNCTIONS))}", expression=text
        )
    rooted = [name for name in program.variables() if name.startswith(".")]
    if rooted:
        raise ExpressionError(f"a name does not begin with a dot: write {rooted[0][1:]}", expression=text)
    return program


def _syntax_problem(error: Exception) -> str:
    found = _SYNTAX.search(str(error))
    return f"{found[3]} at line {found[1]}, column {found[2]}" if found else _first_line(error)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(" .")
