"""The page about the promises has each of them, and names tests and mutants that exist."""

from __future__ import annotations

import re

import pytest
from mutations import mutants
from support.named_tests import is_there, named_in
from support.servers import ROOT

PAGE = ROOT / "docs/promises.md"
NAMED = named_in(PAGE)
PROMISES = [f"P{number}" for number in range(1, 11)]
SECTIONS = dict(re.findall(r"^## (P\d+) [^\n]*\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL))
MUTANT = re.compile(r"`mutants\.(\w+)`")


def test_every_promise_has_its_section() -> None:
    assert list(SECTIONS) == PROMISES


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_the_promises_name_a_test_that_exists(file: str, name: str) -> None:
    assert is_there(file, name)


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_has_a_test_a_mutant_and_a_figure(promise: str) -> None:
    section = SECTIONS[promise]

    assert re.search(r"`tests/[\w/]+\.py::\w+`", section)
    assert MUTANT.search(section)
    assert re.search(r"^Figure: ", section, re.MULTILINE)


def test_the_mutants_that_are_named_are_all_that_there_are() -> None:
    named = set(MUTANT.findall(PAGE.read_text()))
    made = {
        name
        for name, each in vars(mutants).items()
        if callable(each) and getattr(each, "__module__", "") == mutants.__name__ and name != "changed"
    }

    assert named == made
