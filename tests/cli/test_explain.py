"""`famulus explain`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from support.command_line import Call, CallForJson
from support.world import World, blueprint, eventually

from famulus.adapters.sqlite import SqliteBlueprintStore, SqliteDatabase, SqliteRunStore
from famulus.ids import RunId


@pytest.fixture
def waiting_run(own_folder: Path) -> None:
    asyncio.run(_wait(own_folder / ".famulus" / "famulus.db"))


async def _wait(path: Path) -> None:
    async with SqliteDatabase(path) as database:
        world = World({"echo": lambda: 1})
        world.store = SqliteRunStore(database)
        world.blueprints = SqliteBlueprintStore(database)  # type: ignore[assignment]
        nodes = {"a": "echo", "ask": {"uses": "wait", "params": {"signal": "evil\x1b[2J"}}, "join": "echo"}
        async with world:
            await world.push(blueprint("b", nodes, ("a", "join"), ("ask", "join")))
            await world.start("b", "r")

            async def is_waiting() -> bool:
                rows = await world.store.load(RunId("r"))
                return rows is not None and any(row.status == "waiting" for row in rows.steps) and len(rows.steps) > 1

            await eventually(is_waiting)


@pytest.mark.usefixtures("waiting_run")
def test_a_run_is_explained_with_one_line_a_step_and_no_command_of_a_terminal(call: Call) -> None:
    result = call("explain", "r")

    assert result.exit_code == 0, result.output
    words = " ".join(result.stdout.split())
    assert "r waiting" in words
    assert "it waits for the signal `evil" in words
    assert "`ask` (waiting) (1 of 2 has come" in words
    assert "\x1b" not in result.stdout


@pytest.mark.usefixtures("waiting_run")
def test_the_json_says_the_same(called_for_json: CallForJson) -> None:
    explanation = called_for_json("explain", "r", "--json")

    assert [(step["step_id"], step["kind"]) for step in explanation["steps"]] == [
        ("ask", "signal"),
        ("join", "predecessors"),
    ]
    assert explanation["steps"][1]["details"]["missing"] == ["ask"]


@pytest.mark.usefixtures("stored_runs")
def test_a_run_that_has_ended_awaits_nothing(call: Call) -> None:
    result = call("explain", "good")

    assert result.exit_code == 0
    assert "nothing is awaited" in result.stdout


@pytest.mark.usefixtures("stored_runs")
def test_a_run_that_does_not_exist_is_exit_code_1(call: Call) -> None:
    result = call("explain", "nowhere", "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["run"][0]["kind"] == "unknown_run"
