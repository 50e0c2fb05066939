"""The page about tests: its tests pass, and what it says is printed is printed."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs/howto/test-workflows.md"
FILES: dict[str, str] = dict(
    re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
)
PRINTED = re.findall(r"<!-- printed by: (\S+) -->\n```\w+\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of the page lie in the current folder."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("test_")])
async def test_documented_tests_pass(name: str) -> None:
    module: dict[str, Any] = {"__name__": name}
    exec(FILES[name], module)

    tests = [value for key, value in module.items() if key.startswith("test_") and inspect.iscoroutinefunction(value)]
    assert tests
    for test in tests:
        await test()


@pytest.mark.parametrize(("name", "text"), PRINTED)
async def test_documented_programs_print_what_the_page_says(
    name: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    module: dict[str, Any] = {"__name__": name}
    exec(FILES[name], module)

    await module["main"]()

    assert capsys.readouterr().out == text
