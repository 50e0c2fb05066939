"""``famulus verify``: silent about a store that is well, and one line for each thing that somebody broke."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.command_line import Call

from famulus.adapters.memory import MemoryBus
from famulus.settings import Settings

pytestmark = pytest.mark.usefixtures("stored_runs")


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> MemoryBus:
    """Of the servers that repairs are sent to."""
    bus = MemoryBus(partitions=4)

    @asynccontextmanager
    async def open_here(_settings: Settings, **_: Any) -> AsyncIterator[MemoryBus]:
        yield bus

    monkeypatch.setattr("famulus.cli.verify.reachable", lambda settings: settings)
    monkeypatch.setattr("famulus.cli.verify.open_bus", open_here)
    return bus


def execute(statement: str, *parameters: Any) -> None:
    """Break a row by hand."""
    with sqlite3.connect(Path(".famulus") / "famulus.db") as connection:
        assert connection.execute(statement, parameters).rowcount > 0
    connection.close()


def lose_run(run_id: str = "good") -> None:
    """As if the run had left the index of open runs before its end, and its last batch were not there."""
    execute(
        "UPDATE heads SET status = 'running', ended_at = NULL, is_open = 0 WHERE run_id = ?",
        run_id,
    )
    execute("DELETE FROM events WHERE run_id = ? AND type IN ('run.completed', 'step.completed')", run_id)
    execute("DELETE FROM steps WHERE run_id = ?", run_id)


def test_nothing_is_printed_of_runs_that_are_well(call: Call) -> None:
    result = call("verify")

    assert (result.exit_code, result.output) == (0, "")


def test_a_deviation_is_a_line_with_run_step_and_what_it_means(call: Call) -> None:
    execute("UPDATE steps SET status = 'waiting' WHERE run_id = 'good'")

    result = call("verify")

    assert result.exit_code == 1
    assert "good hi: it is waiting, though the run is completed: nobody goes on with it [run.ended_alive]" in (
        result.output.splitlines()
    )


def test_one_run_is_looked_at_alone(call: Call) -> None:
    execute("UPDATE steps SET status = 'waiting' WHERE run_id = 'good'")

    assert call("verify", "--run", "bad").output == ""
    assert call("verify", "--run", "bad", "--run", "good").exit_code == 1


def test_a_run_that_does_not_exist_is_an_error(call: Call) -> None:
    result = call("verify", "--run", "nobody")

    assert result.exit_code == 1
    assert "run 'nobody' does not exist" in result.output


def test_json_is_an_object_a_line(call: Call) -> None:
    lose_run()

    result = call("verify", "--json")

    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(each["run_id"], each["step_id"], each["code"]) for each in told] == [("good", None, "index.lost")]
    assert "no owner looks after it" in told[0]["message"]
    assert told[0]["repaired"] is None


def test_a_repair_asks_the_owner_to_look_after_a_lost_run(call: Call, bus: MemoryBus) -> None:
    lose_run()

    result = call("verify", "--repair")

    assert result.exit_code == 1
    assert "  run good is to be looked after" in result.output.splitlines()
    sent = [msgspec.json.decode(record.value or b"") for partition in bus.jobs for record in partition]
    assert sent == [{"type": "wake", "run_id": "good"}]


def test_what_cannot_be_repaired_is_told_all_the_same_and_nothing_is_sent(call: Call, bus: MemoryBus) -> None:
    execute("UPDATE steps SET status = 'waiting' WHERE run_id = 'good'")

    result = call("verify", "--repair")

    assert result.exit_code == 1
    assert "[run.ended_alive]" in result.output
    assert [record for partition in bus.jobs for record in partition] == []


def test_a_repair_without_servers_says_how_to_start_them(call: Call) -> None:
    result = call("verify", "--repair")

    assert result.exit_code == 1
    assert "famulus dev" in result.output


def test_what_a_row_says_does_not_steer_the_terminal(call: Call) -> None:
    execute("UPDATE steps SET status = ? WHERE run_id = 'odd'", "\x1b[2J")

    result = call("verify")

    assert result.exit_code == 1
    assert "\x1b" not in result.output


def test_a_broker_that_is_away_is_told_and_the_rest_is_looked_at(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BROKERS", "127.0.0.1:1")
    lose_run()

    result = call("verify")

    assert "timers are not looked for" in result.stderr
    assert "[index.lost]" in result.stdout
