from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command_line import Call, CallForJson

from famulus.cli.story import status_text

STEERING = ("\x1b", "\x07", "\u202e", "\x9b")


def test_a_step_that_an_ended_run_left_out_reads_not_run() -> None:
    assert status_text("not_run").plain == "not run"


@pytest.mark.usefixtures("stored_runs")
class TestStoredRuns:
    def test_ls_shows_the_newest_first(self, called_for_json: CallForJson) -> None:
        runs = called_for_json("run", "ls", "--json")

        assert [(each["run_id"], each["status"]) for each in runs] == [
            ("odd", "completed"),
            ("bad", "failed"),
            ("good", "completed"),
        ]

    def test_ls_filters(self, called_for_json: CallForJson) -> None:
        assert [each["run_id"] for each in called_for_json("run", "ls", "--status", "failed", "--json")] == ["bad"]
        assert len(called_for_json("run", "ls", "--blueprint", "greeting", "--json")) == 2
        assert len(called_for_json("run", "ls", "--limit", "1", "--json")) == 1

    def test_show_tells_the_story(self, call: Call) -> None:
        told = call("run", "show", "bad").stdout

        for word in ("failed", "ValueError", "no luck", "step.failed", "run.started", "skipped"):
            assert word in told

    def test_show_as_json_holds_steps_context_and_events(self, called_for_json: CallForJson) -> None:
        shown = called_for_json("run", "show", "good", "--json")

        assert shown["steps"][0]["output"] == "hello ada"
        assert shown["context"]["hi"] == "hello ada"
        assert [event["type"] for event in shown["events"]] == ["run.started", "step.completed", "run.completed"]

    def test_show_draws_the_run_with_where_its_steps_stand(self, call: Call) -> None:
        drawn = call("run", "show", "--mermaid", "bad").stdout

        assert drawn.startswith("flowchart TD\n")
        assert "class n0 failed" in drawn
        assert "class n1 skipped" in drawn

    @pytest.mark.parametrize("run_id", ["odd", "bad"])
    @pytest.mark.parametrize("form", [[], ["--json"]])
    def test_nothing_in_the_data_steers_the_terminal(self, call: Call, run_id: str, form: list[str]) -> None:
        shown = call("run", "show", run_id, *form).stdout

        assert not any(character in shown for character in STEERING)

    @pytest.mark.parametrize(("run_id", "code"), [("good", 0), ("bad", 1)])
    def test_watch_of_an_ended_run_ends_with_its_code(self, call: Call, run_id: str, code: int) -> None:
        assert call("run", "watch", run_id).exit_code == code

    def test_watch_as_json_prints_events_and_then_the_run(self, call: Call) -> None:
        result = call("run", "watch", "bad", "--json")

        *events, last = map(json.loads, result.stdout.splitlines())
        assert result.exit_code == 1
        assert events[0]["type"] == "run.started"
        assert events[-1]["type"] == "run.failed"
        assert last["status"] == "failed"

    def test_unknown_run_is_said_to_be_unknown(self, call: Call) -> None:
        for command in ("show", "watch"):
            result = call("run", command, "nobody")
            assert result.exit_code == 1
            assert "'nobody' does not exist" in result.stderr


def test_looking_makes_no_database(call: Call, own_folder: Path) -> None:
    result = call("run", "ls")

    assert result.exit_code == 1
    assert "famulus dev" in result.stderr
    assert list(own_folder.iterdir()) == []


def test_start_without_servers_says_how_to_get_them(call: Call) -> None:
    result = call("run", "start", "greeting")

    assert result.exit_code == 1
    assert "famulus dev" in result.stderr


@pytest.mark.parametrize("given", ["[1]", "{", "null", '"text"', "\ud800", "[" * 100_000])
def test_input_that_is_no_object_is_wrong_usage(call: Call, given: str) -> None:
    assert call("run", "start", "greeting", "--input", given).exit_code == 2


def test_input_from_a_file_that_does_not_exist_is_wrong_usage(call: Call) -> None:
    result = call("run", "start", "greeting", "--input", "@missing.json")

    assert result.exit_code == 2
    assert "missing.json" in result.stderr
