"""What is printed. Data of runs and blueprints comes from anywhere: nothing in it may steer the terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import click

VALUE_CHARACTERS: Final = 100

# C0 and C1 controls (ESC and CSI begin a terminal's commands), and what changes the direction of writing.
_STEERING: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

STATUS_STYLES: Final[Mapping[str, str]] = {
    "pending": "dim",
    "not_run": "dim",
    "scheduled": "cyan",
    "running": "blue",
    "retrying": "yellow",
    "sleeping": "magenta",
    "waiting": "yellow",
    "paused": "yellow",
    "parked": "magenta",
    "completed": "green",
    "failed": "bold red",
    "skipped": "dim",
    "cancelled": "dim red",
}

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def plain(text: str) -> str:
    """The text without what steers a terminal; lines and tabs stay."""
    return _STEERING.sub("\ufffd", text)


def one_line(text: str, *, limit: int = VALUE_CHARACTERS) -> str:
    """The text as one line of at most so many characters."""
    line = " ".join(plain(text).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def value_text(value: Any, *, limit: int = VALUE_CHARACTERS) -> str:
    """A JSON value as one short line."""
    return one_line(json.dumps(value, ensure_ascii=False, default=str), limit=limit)


def print_json(value: Any) -> None:
    """Indented, and ASCII alone, so that it can be printed anywhere."""
    click.echo(json.dumps(value, indent=2, default=str))


def print_json_line(value: Any) -> None:
    click.echo(json.dumps(value, default=str))


def clock_text(at: float | None) -> str:
    """Date and time of day here."""
    return "" if at is None else f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S}"
