from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.command_line import Call, CallForJson

from famulus.adapters.memory import MemoryBus

pytestmark = pytest.mark.usefixtures("stored_runs")
HOURLY = ("schedule", "create", "hourly", "greeting", "--cron", "0 * * * *")


def test_a_schedule_is_created_listed_and_shown(call: Call, called_for_json: CallForJson) -> None:
    created = called_for_json(
        *HOURLY, "--timezone", "Europe/Berlin", "--input", '{"name": "ada"}', "--by", "me", "--json"
    )
    listed = called_for_json("schedule", "ls", "--json")
    shown = called_for_json("schedule", "show", "hourly", "--json")

    assert created["outcome"] == "created"
    assert [each["id"] for each in listed] == ["hourly"]
    assert (shown["cron"], shown["timezone"], shown["by"]) == ("0 * * * *", "Europe/Berlin", "me")
    assert (shown["input"], shown["overlap"], shown["catch_up"]) == ({"name": "ada"}, "allow", "last")
    assert len(shown["next"]) == 5
    for text in (call("schedule", "ls").stdout, call("schedule", "show", "hourly").stdout):
        assert "hourly" in text
        assert "0 * * * * (Europe/Berlin)" in text


def test_every_option_reaches_the_schedule(called_for_json: CallForJson) -> None:
    options = {
        "--every": "15m",
        "--anchor": "2026-11-24T00:05:00Z",
        "--version": "1.0.0",
        "--start": "2026-11-24T00:00:00+01:00",
        "--end": "2026-12-24T00:00:00Z",
        "--catch-up": "all",
        "--catch-up-limit": "7",
        "--overlap": "cancel_previous",
    }
    version = called_for_json("blueprint", "ls", "--json")[-1]["version"]
    words = [word for option in {**options, "--version": version}.items() for word in option]

    schedule = called_for_json("schedule", "create", "s", "greeting", *words, "--paused", "--json")["schedule"]

    assert (schedule["every"], schedule["anchor"], schedule["version"]) == (900, 1_795_478_700, version)
    assert (schedule["start"], schedule["end"]) == (1_795_474_800, 1_798_070_400)
    assert (schedule["catch_up"], schedule["catch_up_limit"], schedule["overlap"]) == ("all", 7, "cancel_previous")
    assert (schedule["paused"], schedule["next"]) == (True, [])


def test_the_same_again_changes_nothing_and_another_is_refused(call: Call, called_for_json: CallForJson) -> None:
    called_for_json(*HOURLY, "--json")

    again = called_for_json(*HOURLY, "--json")
    other = call("schedule", "create", "hourly", "greeting", "--every", "1h")
    replaced = called_for_json("schedule", "create", "hourly", "greeting", "--every", "1h", "--replace", "--json")

    assert again["outcome"] == "existing"
    assert other.exit_code == 1
    assert "exists already, with another cron, timezone, every, anchor" in other.stderr
    assert (replaced["outcome"], replaced["schedule"]["every"]) == ("replaced", 3600)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--cron", "61 * * * *"), "cron: '61 * * * *' cannot be read: '61' is no minute"),
        (("--cron", "0 * * * *", "--timezone", "Mars/Base"), "timezone: 'Mars/Base' is not known"),
        (("--every", "soon"), "every: is 'soon', expected whole seconds"),
        ((), "cron: neither it nor `every` is there"),
        (("--cron", "0 * * * *", "--end", "2026-11-24"), "end: '2026-11-24' does not say of which zone it is"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_and_where(call: Call, words: tuple[str, ...], told: str) -> None:
    result = call("schedule", "create", "s", "greeting", *words)

    assert result.exit_code == 1
    assert told in result.stderr
    assert json.loads(call("schedule", "ls", "--json").stdout) == []


def test_a_blueprint_that_is_not_registered_is_refused(call: Call) -> None:
    result = call("schedule", "create", "s", "nobody", "--every", "1h")

    assert result.exit_code == 1
    assert "blueprint 'nobody' is not registered" in result.stderr


def test_pause_and_unpause(call: Call, called_for_json: CallForJson) -> None:
    called_for_json(*HOURLY, "--json")

    assert "is paused" in call("schedule", "pause", "hourly").stdout
    assert called_for_json("schedule", "show", "hourly", "--json")["paused"] is True
    assert "paused" in call("schedule", "ls").stdout
    assert "next: " in call("schedule", "unpause", "hourly").stdout
    assert called_for_json("schedule", "show", "hourly", "--json")["paused"] is False


def test_delete(call: Call, called_for_json: CallForJson) -> None:
    called_for_json(*HOURLY, "--json")

    assert called_for_json("schedule", "delete", "hourly", "--json") == {"deleted": "hourly"}
    assert "No schedule yet" in call("schedule", "ls").stdout


@pytest.mark.parametrize("command", ["show", "pause", "unpause", "delete"])
@pytest.mark.parametrize("schedule_id", ["nobody", "a b", "\x1b[2J"])
def test_one_that_does_not_exist_is_told(call: Call, command: str, schedule_id: str) -> None:
    result = call("schedule", command, schedule_id)

    assert result.exit_code == 1
    assert "does not exist: list the schedules with `famulus schedule ls`" in result.stderr
    assert "\x1b" not in result.output


def test_a_trigger_without_servers_says_how_to_get_them(call: Call, own_folder: Path) -> None:
    result = call("schedule", "trigger", "hourly")

    assert result.exit_code == 1
    assert "famulus dev" in result.stderr


def test_a_trigger_names_who_asks_in_the_record_that_starts_the_run(
    called_for_json: CallForJson, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = MemoryBus()

    @asynccontextmanager
    async def open_here(*_: Any, **__: Any) -> AsyncIterator[MemoryBus]:
        yield bus

    monkeypatch.setattr("famulus.cli.schedule.open_bus", open_here)
    monkeypatch.setattr("famulus.cli.schedule.reachable", lambda settings: settings)
    monkeypatch.setattr("famulus.cli.schedule.user", lambda: "the user")
    monkeypatch.setattr("famulus.cli.schedule.NOTICE_SECONDS", 0.0)
    called_for_json(*HOURLY, "--json")

    called_for_json("schedule", "trigger", "hourly", "--at", "2026-11-24T15:00:00Z", "--by", "ada", "--json")
    called_for_json("schedule", "trigger", "hourly", "--at", "2026-11-24T16:00:00Z", "--json")

    starts = [json.loads(record.value or b"") for records in bus.jobs for record in records]
    assert {start["run_id"]: start["by"] for start in starts} == {
        "hourly:2026-11-24T15:00:00Z": "ada",
        "hourly:2026-11-24T16:00:00Z": "the user",
    }
