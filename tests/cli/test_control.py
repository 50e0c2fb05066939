"""The commands that ask something of a run, with a worker in the same process."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.command_line import Call, CallForJson
from support.world import World, blueprint, eventually

from famulus.adapters.sqlite import SqliteBlueprintStore, SqliteDatabase, SqliteEpochs, SqliteRunStore
from famulus.engine.reading import RunReader
from famulus.engine.starting import RunStarter
from famulus.ids import RunId
from famulus.settings import Settings

HOLD = blueprint(
    "hold", {"a": "echo", "w": {"uses": "wait", "params": {"signal": "go"}}, "b": "echo"}, ("a", "w"), ("w", "b")
)
FAILS = blueprint("fails", {"x": "fail"})


def echo(input: Any) -> Any:
    return input


def fail() -> None:
    raise ValueError("no luck")


@pytest.fixture(autouse=True)
def worker(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command finds its servers, and a worker that owns the runs `held`, `ended` and `failed`."""

    @asynccontextmanager
    async def open_here(_settings: Settings) -> AsyncIterator[tuple[RunStarter, RunReader]]:
        async with SqliteDatabase(own_folder / "famulus.db") as database:
            world = World({"echo": echo, "fail": fail})
            world.store = SqliteRunStore(database)
            world.blueprints = SqliteBlueprintStore(database)  # type: ignore[assignment]  # another store of the port
            world.epochs = SqliteEpochs(database)  # type: ignore[assignment]  # as above
            async with world:
                await _prepare(world)
                starter = RunStarter(world.store, world.engines[0].catalog, world.bus)
                yield starter, world.reader

    monkeypatch.setattr("famulus.cli.control.open_starter", open_here)
    monkeypatch.setattr("famulus.cli.run.open_starter", open_here)


async def _prepare(world: World) -> None:
    for document in (HOLD, FAILS):
        await world.push(document)
    if await world.store.load(RunId("held")) is None:
        await world.start("hold", "held")
        await world.start("fails", "failed")
        await world.ended("failed")

    async def is_settled() -> bool:
        view = await world.reader.show(RunId("held"))
        return view.summary.status in ("waiting", "paused", "completed", "cancelled")

    await eventually(is_settled)


def test_each_command_is_accepted_and_said_to_be(call: Call) -> None:
    for arguments in (
        ("pause", "held", "--reason", "lunch"),
        ("unpause", "held"),
        ("signal", "held", "other", "--payload", "[1]"),
        ("resume", "held", "--step", "w", "--output", '{"n": 1}', "--action", "yes"),
        ("retry", "failed"),
        ("rerun", "failed", "x", "--context", '{"n": 1}'),
    ):
        result = call("run", *arguments)

        assert result.exit_code == 0, (arguments, result.output)
        assert f"accepts {arguments[0]}" in result.stdout


def test_a_cancel_with_a_grace_is_accepted(called_for_json: CallForJson) -> None:
    told = called_for_json("run", "cancel", "held", "--reason", "enough", "--by", "ada", "--grace", "2", "--json")

    assert (told["run_id"], told["requested"], told["outcome"]) == ("held", "cancel", "accepted")
    assert (told["by"], told["reason"]) == ("ada", "enough")


def test_a_refusal_is_an_error_with_the_reason(call: Call) -> None:
    for arguments, reason in (
        (("resume", "held", "--step", "a"), "it does not wait"),
        (("unpause", "held"), "it is not paused"),
        (("limit", "held", "w", "--max-concurrency", "2"), "no items"),
        (("cancel", "failed"), "has ended"),
        (("fork", "held", "b"), "has not come to"),
        (("pause", "nobody"), "'nobody' does not exist"),
    ):
        result = call("run", *arguments)

        assert result.exit_code == 1, arguments
        assert reason in result.stderr


def test_a_fork_is_a_new_run(called_for_json: CallForJson, call: Call) -> None:
    told = called_for_json("run", "fork", "held", "w", "--id", "new", "--json")

    assert told == {"run_id": "new", "from_run": "held", "outcome": "started"}
    assert "exists already" in call("run", "fork", "held", "w", "--id", "new").stdout


def test_a_start_for_later_begins_then(call: Call, called_for_json: CallForJson) -> None:
    at = time.time() + 3600

    assert called_for_json("run", "start", "hold", "--at", str(at), "--json")["outcome"] == "started"
    assert call("run", "start", "hold", "--at", "tomorrow").exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("signal", "held", "go", "--payload", "{"),
        ("resume", "held", "--output", "{"),
        ("resume", "held", "--output", "@missing.json"),
        ("rerun", "held", "a", "--context", "[1]"),
        ("limit", "held", "w"),
        ("limit", "held", "w", "--max-concurrency", "many"),
        ("signal", "held"),
        ("rerun", "held"),
        ("fork", "held"),
        ("cancel", "held", "--grace", "soon"),
    ],
)
def test_wrong_usage_is_said(call: Call, arguments: tuple[str, ...]) -> None:
    assert call("run", *arguments).exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("limit", "held", "w", "--max-concurrency", "0"),
        ("limit", "held", "w", "--tolerated-failures", "a lot"),
        ("cancel", "held", "--grace", "-1"),
        ("rerun", "held", "a", "--context", '{"_x": 1}'),
    ],
)
def test_values_out_of_range_are_errors(call: Call, arguments: tuple[str, ...]) -> None:
    result = call("run", *arguments)

    assert result.exit_code == 1
    assert "expected" in result.stderr or "not to be set" in result.stderr


def test_json_and_text_say_the_same(called_for_json: CallForJson) -> None:
    told: Any = called_for_json("run", "pause", "held", "--json")

    assert (told["requested"], told["outcome"], bool(told["command_id"])) == ("pause", "accepted", True)


def test_runs_are_rehearsed_against_a_version_and_go_over_to_it(call: Call, own_folder: Path) -> None:
    call("run", "unpause", "held")  # makes the runs
    data = own_folder / ".famulus"
    data.mkdir()
    for file in own_folder.glob("famulus.db*"):
        (data / file.name).symlink_to(file)
    nodes = {node["id"]: node for node in HOLD["nodes"]}
    for version, edges in (("2", [("a", "w"), ("w", "b"), ("b", "c")]), ("3", [("w", "b"), ("b", "c")])):
        document = blueprint("hold", {**nodes, "c": {"uses": "nobody"}}, *edges, metadata={"version": version})
        (own_folder / f"v{version}.json").write_text(json.dumps(document))

    good, bad = call("blueprint", "rehearse", "v2.json"), call("blueprint", "rehearse", "v3.json", "--run", "held")
    pushed = call("blueprint", "push", "v2.json", "v3.json")
    refused = call("blueprint", "migrate", "held", "nobody", "--to", "3")
    accepted = call("run", "migrate", "held", "--to", "2")

    assert (good.exit_code, bad.exit_code, pushed.exit_code) == (0, 1, 0), (good.output, bad.output, pushed.output)
    assert "1 runs against hold version 2: 1 of 1 in flight can go over to it" in good.stdout
    assert "a: it led to w, and would lead to nothing" in bad.stdout
    assert refused.exit_code == 1
    assert "would lead to nothing" in refused.stderr
    assert "nobody" in refused.stderr
    assert accepted.exit_code == 0, accepted.output
    assert "accepts migrate" in accepted.stdout
