"""The types of the fixtures with which tests call commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from click.testing import Result

Call = Callable[..., Result]
"""`call("run", "ls")`; `stdout` and `stderr` of the result are apart."""
CallForJson = Callable[..., Any]
"""The same for a command that succeeds and prints JSON: what it printed."""
