"""Forms of waiting steps as fields of a page, and what was filled in as the value that the form asks for.

A form is a JSON Schema. Of an object with simple properties each becomes a field; anything else is filled in as JSON.
Whether it fits, the owner of the run says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgspec

from famulus.blueprint import ABSENT

from .fields import RequestError

FIELDS_MAX: Final = 50
PREFIX: Final = "field."
WHOLE: Final = "output"
"""The field that takes the whole value as JSON."""


class FieldKind(StrEnum):
    TEXT = "text"
    NUMBER = "number"
    CHECKBOX = "checkbox"
    SELECT = "select"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    name: str
    """Of the property."""
    title: str
    kind: FieldKind
    is_required: bool
    choices: tuple[str, ...] = ()
    """Of a select, as JSON."""

    @property
    def input_name(self) -> str:
        return f"{PREFIX}{self.name}"


def fields_of(form: Mapping[str, Any] | None) -> tuple[FormField, ...]:
    """Empty where the value is filled in as JSON."""
    properties = None if form is None else form.get("properties")
    if not isinstance(properties, Mapping) or not 0 < len(properties) <= FIELDS_MAX:
        return ()
    required = (form or {}).get("required")
    names = required if isinstance(required, list) else ()
    return tuple(_field(name, schema, is_required=name in names) for name, schema in properties.items())


def payload_of(form: Mapping[str, Any] | None, filled_in: Mapping[str, Any]) -> Any:
    """The value that was filled in; `ABSENT` if nothing was. Raises `RequestError` for what is no JSON."""
    fields = fields_of(form)
    if not fields:
        return _json(WHOLE, str(filled_in.get(WHOLE, "")))
    values = {field.name: _value(field, filled_in.get(field.input_name)) for field in fields}
    return {name: value for name, value in values.items() if value is not ABSENT}


def _field(name: str, schema: Any, *, is_required: bool) -> FormField:
    known = schema if isinstance(schema, Mapping) else {}
    choices = known.get("enum")
    kind = {
        "string": FieldKind.TEXT,
        "number": FieldKind.NUMBER,
        "integer": FieldKind.NUMBER,
        "boolean": FieldKind.CHECKBOX,
    }.get(str(known.get("type")), FieldKind.JSON)
    told: tuple[str, ...] = ()
    if isinstance(choices, list) and choices:
        kind, told = FieldKind.SELECT, tuple(msgspec.json.encode(choice).decode() for choice in choices)
    title = known.get("title")
    return FormField(
        name=name,
        title=title if isinstance(title, str) and title else name,
        kind=kind,
        is_required=is_required,
        choices=told,
    )


def _value(field: FormField, given: Any) -> Any:
    if field.kind is FieldKind.CHECKBOX:
        return given is not None
    text = "" if given is None else str(given)
    match field.kind:
        case FieldKind.TEXT:
            return text or ABSENT
        case FieldKind.NUMBER:
            return _number(text)
        case _:
            return _json(field.name, text)


def _number(text: str) -> Any:
    """What is no number stays a text, and does not fit the form then."""
    if not text:
        return ABSENT
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text
    return text if isinstance(value, bool) or not isinstance(value, int | float) else value


def _json(name: str, text: str) -> Any:
    if not text.strip():
        return ABSENT
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RequestError(f"{name} is not JSON: {error}", status=422) from error
