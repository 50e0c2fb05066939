"""The command itself: fast, and an error is one message."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.command_line import Call, CallForJson

from famulus.cli.program import COMMANDS


def test_every_command_of_the_help_exists(call: Call) -> None:
    listed = call("--help").stdout

    for name in COMMANDS:
        assert f"  {name} " in listed
        assert call(name, "--help").exit_code == 0, name


def test_help_imports_no_driver() -> None:
    seen = "import sys; from famulus.cli import main; main(['--help'], standalone_mode=False); print(*sys.modules)"

    modules = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True).stdout.split()

    assert not {"faust", "mode", "aiokafka", "cassandra", "redis", "rich", "pydantic", "aiohttp"} & set(modules)


def test_no_arguments_show_the_help(call: Call) -> None:
    result = call()

    assert result.exit_code == 2
    assert "Start here: famulus demo" in result.output


def test_wrong_setting_is_one_line_that_names_the_variable(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAMULUS_WEB_PORT", "many")

    result = call("config", "show")

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: FAMULUS_WEB_PORT: ")
    assert result.stderr.count("\n") == 1


def test_what_was_not_foreseen_is_no_traceback_either(call: Call, own_folder: Path) -> None:
    (own_folder / ".famulus").mkdir()
    (own_folder / ".famulus" / "famulus.db").write_bytes(b"this is no database, for sure" * 100)

    result = call("run", "ls")

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.output


def test_config_shows_values_origins_and_no_secret(
    called_for_json: CallForJson, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://user:hunter2@example:6379/0")

    settings = {each["variable"]: each for each in called_for_json("config", "show", "--json")}

    assert settings["REDIS_URL"] == {
        "variable": "REDIS_URL",
        "value": "redis://***@example:6379/0",
        "origin": "environment",
    }
    assert settings["FAMULUS_WEB_PORT"]["origin"] == "default"


def test_schema_migrate_makes_the_sqlite_file(call: Call, own_folder: Path) -> None:
    assert call("schema", "migrate").exit_code == 0
    assert (own_folder / ".famulus" / "famulus.db").exists()


def test_doctor_says_what_to_do_and_fails_for_what_is_broken(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAMULUS_NODES", "no_such_module")

    result = call("doctor")

    assert result.exit_code == 1
    assert "no_such_module" in result.stdout
    assert "famulus dev" in result.stdout


def test_doctor_finds_nothing_broken_in_an_empty_folder(called_for_json: CallForJson) -> None:
    states = {finding["about"]: finding["state"] for finding in called_for_json("doctor", "--json")}

    assert "fail" not in states.values()
    assert states["python"] == "ok"


def test_dev_refuses_more_workers_than_there_are_partitions(call: Call) -> None:
    result = call("dev", "--workers", "9")

    assert result.exit_code == 2
    assert "FAMULUS_PARTITIONS" in result.stderr
