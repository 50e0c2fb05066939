"""What is changed from the command line and no row tells leaves a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.command_line import Call

HELLO = {"id": "hello", "metadata": {"version": "7"}, "nodes": [{"id": "hi", "uses": "greet"}], "edges": []}


def lines(folder: Path) -> list[dict[str, Any]]:
    path = folder / ".famulus" / "audit.log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def hello(own_folder: Path) -> str:
    (own_folder / "hello.json").write_text(json.dumps(HELLO))
    return "hello.json"


def test_who_registers_a_blueprint_is_told(call: Call, own_folder: Path, hello: str) -> None:
    assert call("blueprint", "push", hello, "--by", "ada").exit_code == 0

    (line,) = lines(own_folder)
    assert (line["action"], line["what"], line["by"]) == ("audit", "blueprint push", "ada")
    assert (line["blueprint"], line["version"]) == ("hello", "7")
    assert (own_folder / ".famulus" / "audit.log").stat().st_mode & 0o777 == 0o600


def test_a_blueprint_that_is_refused_leaves_no_line(call: Call, own_folder: Path, hello: str) -> None:
    call("blueprint", "push", hello)
    (own_folder / hello).write_text(json.dumps({**HELLO, "nodes": [{"id": "other", "uses": "greet"}]}))

    assert call("blueprint", "push", hello).exit_code == 1

    assert len(lines(own_folder)) == 1


def test_who_deletes_a_schedule_is_told(call: Call, own_folder: Path, hello: str) -> None:
    call("blueprint", "push", hello)
    call("schedule", "create", "hourly", "hello", "--every", "1h")

    assert call("schedule", "delete", "hourly", "--by", "bob").exit_code == 0
    assert call("schedule", "delete", "hourly", "--by", "bob").exit_code == 1

    line = lines(own_folder)[-1]
    assert (line["what"], line["by"], line["schedule"]) == ("schedule delete", "bob", "hourly")
    assert len(lines(own_folder)) == 2


def test_a_file_that_cannot_be_written_does_not_undo_what_was_done(call: Call, own_folder: Path, hello: str) -> None:
    (own_folder / ".famulus" / "audit.log").mkdir(parents=True)

    pushed = call("blueprint", "push", hello)

    assert pushed.exit_code == 0
    assert "not written to" in pushed.stderr
    assert "hello" in call("blueprint", "ls").stdout
