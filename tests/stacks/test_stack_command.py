"""``famulus stack`` prints what a shell or a program can use."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from famulus.cli import main
from famulus.cli import stack as stack_module
from famulus.cli.stack import stack
from famulus.stacks import StackError

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENT = {"KAFKA_BROKERS": "127.0.0.1:1", "REDIS_URL": "redis://127.0.0.1:2/0?a=b&c=d"}


class StartedStack:
    """Stands for a RealStack whose servers start at once."""

    def __init__(self, data_dir: Path, **options: object) -> None:
        self.data_dir = data_dir

    def up(self) -> dict[str, str]:
        return ENVIRONMENT

    def down(self) -> list[str]:
        return ["kafka"]


class BrokenStack(StartedStack):
    """Stands for a RealStack on a machine without Java."""

    def up(self) -> dict[str, str]:
        raise StackError("no Java was found")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module, "RealStack", StartedStack)


@pytest.mark.usefixtures("started")
def test_up_prints_lines_for_eval_and_nothing_else(tmp_path: Path) -> None:
    result = CliRunner().invoke(stack, ["up", "--data", str(tmp_path)])

    assert result.stdout == "export KAFKA_BROKERS=127.0.0.1:1\nexport REDIS_URL='redis://127.0.0.1:2/0?a=b&c=d'\n"


@pytest.mark.usefixtures("started")
def test_up_writes_the_variables_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "worker.env"

    CliRunner().invoke(stack, ["up", "--data", str(tmp_path), "--env-file", str(file)])

    assert file.read_text() == "KAFKA_BROKERS=127.0.0.1:1\nREDIS_URL=redis://127.0.0.1:2/0?a=b&c=d\n"


@pytest.mark.usefixtures("started")
def test_json_of_up_is_the_environment(tmp_path: Path) -> None:
    result = CliRunner().invoke(stack, ["up", "--data", str(tmp_path), "--json"])

    assert json.loads(result.stdout) == ENVIRONMENT


@pytest.mark.usefixtures("started")
def test_json_of_down_names_the_stopped_servers(tmp_path: Path) -> None:
    result = CliRunner().invoke(stack, ["down", "--data", str(tmp_path), "--json"])

    assert json.loads(result.stdout) == {"stopped": ["kafka"]}


def test_failure_is_one_message_and_an_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module, "RealStack", BrokenStack)

    result = CliRunner().invoke(main, ["stack", "up", "--data", str(tmp_path)])

    assert result.exit_code == 1
    assert result.stdout == ""
    assert "Error: no Java was found" in result.stderr


def test_status_of_a_stack_never_started_lists_stopped_servers(tmp_path: Path) -> None:
    result = CliRunner().invoke(stack, ["status", "--data", str(tmp_path / "stack"), "--json"])

    servers = json.loads(result.stdout)
    assert [server["name"] for server in servers] == ["kafka", "cassandra", "valkey"]
    assert not any(server["running"] for server in servers)
