"""Pages and JSON. All that is shown was written by others: it is escaped, and what is invisible in it made visible."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from famulus.blueprint import ABSENT
from famulus.engine.durations import duration_text

from .callers import FORM_TOKEN, caller_of, may_operate

FOLDER: Final = Path(__file__).parent
STATIC: Final = FOLDER / "static"
CUT_CHARACTERS: Final = 240
CUT_PARAGRAPH_CHARACTERS: Final = 6000

_READER: ContextVar[web.Request | None] = ContextVar("famulus.reader", default=None)
FORM_FIELD: Final = "form_token"
"""The field of a form that shows that it is one of ours."""

_INVISIBLE: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
"""Control characters, those that turn the direction of text, and half surrogate pairs."""


def json_response(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        headers=headers,
        content_type="application/json",
        charset="utf-8",
    )


@contextmanager
def shown_to(request: web.Request) -> Iterator[None]:
    """Pages that are rendered meanwhile are for whoever sends the request."""
    token = _READER.set(request)
    try:
        yield
    finally:
        _READER.reset(token)


def page(template: str, *, status: int = 200, **shown: Any) -> web.Response:
    text = _environment().get_template(template).render(**shown)
    return web.Response(text=text, status=status, content_type="text/html")


def visible(value: Any) -> Any:
    """Text, with what cannot be seen written as its code point."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
    return value


def cut(text: str | None, characters: int = CUT_CHARACTERS) -> str:
    text = text or ""
    return text if len(text) <= characters else f"{text[:characters]}…"


def is_cut(text: str | None, characters: int = CUT_CHARACTERS) -> bool:
    return len(text or "") > characters


def as_json(value: Any) -> str:
    """In one line; empty for what is absent."""
    return "" if value is ABSENT else msgspec.json.encode(value).decode()


def as_json_paragraph(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def clock(at: float | None) -> str:
    """UTC, to the second."""
    return "" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"


def instant(at: float) -> str:
    """UTC, to the millisecond."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]


def duration(seconds: float | None) -> str:
    """To a tenth of a second."""
    return duration_text(seconds, decimals=1)


def bars(values: Sequence[float], *, height: int) -> list[int]:
    """Heights of a bar chart; what is not nothing can be seen."""
    highest = max(values, default=0) or 1
    return [max(1, round(value / highest * height)) if value else 0 for value in values]


def _form_token() -> Markup:
    """The field that every form needs which changes something; empty where nobody has logged in."""
    token = _reader(lambda request: request.get(FORM_TOKEN))
    return Markup('<input type="hidden" name="{}" value="{}">').format(FORM_FIELD, token) if token else Markup()


def _reader(ask: Callable[[web.Request], Any]) -> Any:
    request = _READER.get()
    return None if request is None else ask(request)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cut": cut, "clock": clock, "instant": instant, "duration": duration, "json": as_json}
    environment.filters["json_paragraph"] = as_json_paragraph
    environment.tests["cut"] = is_cut
    environment.globals["form_token"] = _form_token
    environment.globals["reader"] = lambda: _reader(caller_of)
    environment.globals["may_operate"] = lambda: _reader(may_operate)
    environment.globals["CUT_PARAGRAPH"] = CUT_PARAGRAPH_CHARACTERS
    return environment
