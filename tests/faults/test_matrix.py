"""The page about the fault matrix names tests that exist, and leaves out no row."""

from __future__ import annotations

import re

import pytest
from support.servers import ROOT

PAGE = (ROOT / "docs/explanation/fault-matrix.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_the_matrix_names_a_test_that_exists(file: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_the_matrix_has_every_row() -> None:
    assert re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE) == [str(row) for row in range(1, 33)]
