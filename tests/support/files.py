"""Files that other processes write to meanwhile."""

from __future__ import annotations

from pathlib import Path


def whole_lines(file: Path) -> list[str]:
    """What is there so far; a line that is just being written over the end of a page may be seen in part."""
    return file.read_text().rpartition("\n")[0].splitlines() if file.exists() else []
