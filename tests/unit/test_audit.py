"""The audit of what is pinned: what it fails for, and what it only says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def audit() -> Any:
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci/audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


KNOWN = {"name": "jinja2", "version": "3.1.6", "vulns": []}
SKIPPED = {"name": "famulus", "skip_reason": "not found"}
BAD = {"name": "redis", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}


@pytest.mark.parametrize(
    ("dependencies", "code", "words"),
    [
        ([KNOWN], 0, "1 packages, 0 vulnerabilities"),
        ([KNOWN, SKIPPED], 0, "1 not known there: famulus"),
        ([KNOWN, BAD], 1, "VULNERABLE: redis 1.0: PYSEC-1, mended in 1.1"),
    ],
)
def test_a_known_vulnerability_is_a_failure(
    audit: Any, capsys: pytest.CaptureFixture[str], dependencies: list[Any], code: int, words: str
) -> None:
    assert audit.judge({"dependencies": dependencies}, "pypi") == code
    assert words in capsys.readouterr().out


def test_that_nobody_answers_is_said_and_no_failure(audit: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.judge(None, "pypi") == 0
    assert "NOT AUDITED" in capsys.readouterr().out
    assert not audit.answered(None)
    assert not audit.answered({"dependencies": [SKIPPED]})
    assert audit.answered({"dependencies": [KNOWN]})


def test_the_probe_is_a_whole_requirement_of_the_lock_file(audit: Any) -> None:
    pin = audit.first_pin((ROOT / "requirements.lock").read_text())

    assert "==" in pin.splitlines()[0]
    assert "--hash=sha256:" in pin
    assert not pin.rstrip().endswith("\\")
