"""Reads single params of a built-in node, each with its range and a message that says what is expected."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from famulus.blueprint.expressions import Expression, Language, compile_expression
from famulus.blueprint.forms import form_problem
from famulus.blueprint.model import Node
from famulus.blueprint.secret_names import secret_name
from famulus.blueprint.times import milliseconds_of, seconds_of
from famulus.blueprint.values import shown
from famulus.errors import ExpressionError, ParameterError
from famulus.ids import BlueprintId

COUNT_MAX: Final = 1_000_000_000
"""Of rounds, items in a chunk, items at the same time, and items that may fail."""

_SHARE: Final = re.compile(r"(?:100(?:\.0+)?|[0-9]{1,2}(?:\.[0-9]{1,9})?)%")


class ParamReader:
    """Reads on after a problem, with a harmless value in place of the one that is wrong."""

    def __init__(self, node: Node, language: Language) -> None:
        self.problems: list[ParameterError] = []
        self.language = language
        self._node = node

    def given(self, name: str) -> Any:
        value = self._node.params.get(name)
        return None if value == "" else value

    def problem(self, name: str, problem: str) -> None:
        self.problems.append(ParameterError(self._node.id, name, problem))

    def wrong(self, name: str, found: Any, expected: str) -> None:
        self.problem(name, f"is {shown(found)}, expected {expected}")

    def one_of(self, first: str, second: str, expected: str) -> None:
        """Refuse both of two params, and neither. A missing one is the first of them."""
        if self.given(first) is None and self.given(second) is None:
            self.wrong(first, None, expected)
        elif self.given(first) is not None and self.given(second) is not None:
            self.problem(second, f"is given beside params.{first}, expected one of the two")

    def text(self, name: str, *, expected: str = "a text") -> str | None:
        value = self.given(name)
        if value is None or isinstance(value, str):
            return value
        self.wrong(name, value, expected)
        return None

    def secret(self, name: str) -> str | None:
        """A reference; its value is no business of a blueprint."""
        text = self.text(name, expected="secret://NAME")
        if text is not None and secret_name(text) is None:
            self.problem(name, "is no reference to a secret, expected secret://NAME")
            return None
        return text

    def required_text(self, name: str, expected: str) -> str:
        if self.given(name) is None:
            self.wrong(name, None, expected)
        return self.text(name, expected=expected) or ""

    def count(self, name: str, *, least: int = 1) -> int | None:
        value = self.given(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and least <= value <= COUNT_MAX):
            return value
        self.wrong(name, value, f"a whole number from {least} to {COUNT_MAX}")
        return None

    def flag(self, name: str) -> bool:
        value = self.given(name)
        if value is None or isinstance(value, bool):
            return value is True
        self.wrong(name, value, "true or false")
        return False

    def duration(self, name: str) -> int | None:
        value = self.given(name)
        try:
            return None if value is None else milliseconds_of(value)
        except ValueError as error:
            self.problem(name, f"is {shown(value)}, {error}")
            return None

    def time(self, name: str) -> float | None:
        value = self.given(name)
        try:
            return None if value is None else seconds_of(value)
        except ValueError as error:
            self.problem(name, f"is {shown(value)}, {error}")
            return None

    def object(self, name: str, expected: str = "an object") -> Mapping[str, Any] | None:
        value = self.given(name)
        if value is None or isinstance(value, Mapping):
            return value
        self.wrong(name, value, expected)
        return None

    def keys(self, name: str) -> Mapping[str, str] | None:
        """Names of keys, by keys."""
        keys = self.object(name, "an object of texts")
        wrong = [key for key, value in (keys or {}).items() if not isinstance(value, str) or not value]
        for key in wrong:
            self.wrong(f"{name}.{key}", (keys or {})[key], "the name of a key")
        return None if wrong else keys

    def form(self) -> Mapping[str, Any] | None:
        form = self.given("form")
        problem = None if form is None else form_problem(form)
        if problem is None:
            return form if isinstance(form, Mapping) else None
        if isinstance(form, Mapping):
            self.problem("form", problem)
        else:
            self.problem("form", f"is {shown(form)}, {problem}")
        return None

    def condition(self) -> Expression:
        text = self.required_text("condition", "what has to hold for another round")
        try:
            return compile_expression(text or "_", language="path" if not text else self.language)
        except ExpressionError as error:
            self.problem("condition", f"cannot be used: {error}")
            return compile_expression("_", language="path")

    def blueprint_id(self) -> BlueprintId:
        return BlueprintId(self.required_text("blueprintId", "the id of a blueprint"))

    def version(self) -> str | None:
        """Numbers are versions too, as in the metadata."""
        value = self.given("version")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(int(value) if float(value).is_integer() else value)
        return self.text("version", expected="a text or number")

    def tolerated(self) -> int | str:
        value = self.given("toleratedFailures")
        if not isinstance(value, str):
            whole = int(value) if isinstance(value, float) and value.is_integer() else value
            if whole is None:
                return 0
            if isinstance(whole, int) and not isinstance(whole, bool) and 0 <= whole <= COUNT_MAX:
                return whole
        elif _SHARE.fullmatch(value):
            return value
        self.wrong("toleratedFailures", value, 'a whole number from 0, or a share of 0 to 100 such as "10%"')
        return 0
