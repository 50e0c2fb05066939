"""The page about the fault matrix names tests that exist, and leaves out no row."""

from __future__ import annotations

import re

import pytest
from support.named_tests import is_there, named_in
from support.servers import ROOT

PAGE = ROOT / "docs/explanation/fault-matrix.md"
NAMED = named_in(PAGE)


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_the_matrix_names_a_test_that_exists(file: str, name: str) -> None:
    assert is_there(file, name)


def test_the_matrix_has_every_row() -> None:
    assert re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE) == [str(row) for row in range(1, 33)]
