"""The command line in a folder of its own, and a store with runs in it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.command_line import Call, CallForJson
from support.world import World, blueprint

from famulus.adapters.sqlite import SqliteBlueprintStore, SqliteDatabase, SqliteRunStore
from famulus.cli import main


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No settings from the shell or a `.env` file, and data of no other test."""
    for name in ("KAFKA_BROKERS", "CASSANDRA_CONTACT_POINTS", "REDIS_URL", "FAMULUS_NODES", "FAMULUS_BLUEPRINTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("FAMULUS_DATA_DIR", raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call() -> Call:
    def invoke(*arguments: str, input: str | None = None) -> Result:
        return CliRunner().invoke(main, list(arguments), input=input)

    return invoke


@pytest.fixture
def called_for_json(call: Call) -> CallForJson:
    def invoke(*arguments: str) -> Any:
        result = call(*arguments)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return invoke


@pytest.fixture
def stored_runs(own_folder: Path) -> None:
    """Three runs in the SQLite file where commands look: `good`, `bad`, and `odd` with a terminal's commands in it."""
    asyncio.run(_fill(own_folder / ".famulus" / "famulus.db"))


async def _fill(path: Path) -> None:
    def greet(name: str) -> str:
        return f"hello {name}"

    def fail() -> None:
        raise ValueError("no luck\x1b[2J")

    async with SqliteDatabase(path) as database:
        world = World({"greet": greet, "fail": fail})
        world.store = SqliteRunStore(database)
        world.blueprints = SqliteBlueprintStore(database)  # type: ignore[assignment]
        async with world:
            nodes = {"hi": {"uses": "greet", "inputs": {"name": "name"}}}
            await world.run(blueprint("greeting", nodes), {"name": "ada"}, run_id="good")
            await world.run(blueprint("failing", {"try": "fail", "then": "fail"}, ("try", "then")), run_id="bad")
            await world.run(blueprint("greeting", nodes), {"name": "\x1b]0;evil\x07\u202e"}, run_id="odd")
