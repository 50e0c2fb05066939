"""Tests that a document names, as `tests/folder/file.py::name`."""

from __future__ import annotations

import re
from pathlib import Path

from support.servers import ROOT

NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def named_in(page: Path) -> list[tuple[str, str]]:
    """File and name of each, sorted."""
    return sorted(set(NAMED.findall(page.read_text())))


def is_there(file: str, name: str) -> bool:
    path = ROOT / file
    return path.is_file() and re.search(rf"^(async )?def {name}\(", path.read_text(), re.MULTILINE) is not None
