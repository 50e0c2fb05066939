"""`famulus dlq` and `famulus parked`, on the store alone. With a broker: tests/acceptance/test_dead_letters.py."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.command_line import Call, CallForJson
from support.world import World, blueprint, eventually

from famulus.adapters.sqlite import SqliteBlueprintStore, SqliteDatabase, SqliteDeadLetterStore, SqliteRunStore
from famulus.engine.dead_letters.desk import LetterKeeper
from famulus.ids import RunId

EVIL = b"\x1b[2J\x07 \xe2\x80\xae evil"


@pytest.fixture
def letters(own_folder: Path) -> None:
    """Of a record that is no JSON and no text, and of a start of an unknown blueprint, in the file."""
    asyncio.run(_bury(own_folder / ".famulus" / "famulus.db"))


async def _bury(path: Path) -> None:
    async with SqliteDatabase(path) as database, World({}) as world:
        keeper = LetterKeeper(SqliteDeadLetterStore(database))
        world.bus.append_job(0, b"\x00key", b"\xff" + EVIL, headers=(("h\x1b[1m", EVIL),))
        await world.send({"run_id": "late", "blueprint_id": "nobody", "note": EVIL.decode()})
        await eventually(lambda: len(world.bus.letters) == 2)
        for record in world.bus.letters:
            await keeper.keep(record)


@pytest.mark.usefixtures("letters")
def test_letters_are_listed_and_filtered(called_for_json: CallForJson) -> None:
    def codes(*options: str) -> list[str]:
        return sorted(each["code"] for each in called_for_json("dlq", "ls", "--json", *options))

    assert codes() == ["not_json", "unknown_blueprint"]
    assert codes("--run", "late") == ["unknown_blueprint"]
    assert codes("--code", "not_json") == ["not_json"]
    assert codes("--text", "NOBODY") == ["unknown_blueprint"]
    assert codes("--since", "2100-01-01") == []
    assert codes("--state", "dropped") == []


@pytest.mark.usefixtures("letters")
def test_nothing_in_a_letter_steers_the_terminal(call: Call, called_for_json: CallForJson) -> None:
    texts = [call("dlq", "ls").stdout]
    texts += [call("dlq", "show", each["id"]).stdout for each in called_for_json("dlq", "ls", "--json")]

    assert len(texts) == 3
    for text in texts:
        assert not set(text) & {"\x1b", "\x07", "\u202e"}
    assert any("ff 1b 5b 32 4a 07" in text for text in texts)
    assert any('"blueprint_id":"nobody"' in text for text in texts)


@pytest.mark.usefixtures("letters")
def test_a_letter_is_dropped_once_and_can_still_be_shown(call: Call, called_for_json: CallForJson) -> None:
    (poison,) = called_for_json("dlq", "ls", "--json", "--code", "not_json")

    dropped = call("dlq", "drop", poison["id"], "--by", "ada", "--reason", "junk")

    assert dropped.exit_code == 0, dropped.output
    assert [each["code"] for each in called_for_json("dlq", "ls", "--json")] == ["unknown_blueprint"]
    shown = called_for_json("dlq", "show", poison["id"], "--json")
    assert (shown["state"], shown["by"], shown["note"]) == ("dropped", "ada", "junk")


@pytest.mark.usefixtures("letters")
def test_all_that_filters_let_pass_are_dropped(call: Call, called_for_json: CallForJson) -> None:
    assert call("dlq", "drop", "--all").exit_code == 0

    assert called_for_json("dlq", "ls", "--json") == []


@pytest.mark.usefixtures("letters")
def test_which_letters_are_meant_has_to_be_said(call: Call) -> None:
    nothing, both = call("dlq", "drop"), call("dlq", "drop", "x", "--code", "y")

    assert (nothing.exit_code, both.exit_code) == (2, 2)
    assert "say which letters" in nothing.output


@pytest.mark.usefixtures("letters")
def test_an_unknown_letter_is_an_error_that_says_where_to_look(call: Call) -> None:
    result = call("dlq", "show", "nowhere")

    assert result.exit_code == 1
    assert "famulus dlq ls" in result.output


@pytest.mark.usefixtures("letters")
def test_a_start_that_became_a_dead_letter_explains_its_run(call: Call) -> None:
    result = call("explain", "late")

    assert result.exit_code == 1
    assert "became dead letter" in result.stdout
    assert "unknown_blueprint" in result.stdout


@pytest.fixture
def parked_run(own_folder: Path) -> None:
    asyncio.run(_park(own_folder / ".famulus" / "famulus.db"))


async def _park(path: Path) -> None:
    async with SqliteDatabase(path) as database:
        world = World({}, park_missing_implementations=True)
        world.store = SqliteRunStore(database)
        world.blueprints = SqliteBlueprintStore(database)  # type: ignore[assignment]
        async with world:
            await world.push(blueprint("p", {"a": "tax.compute", "b": "tax.other"}))
            await world.start("p", "r")

            async def is_parked() -> bool:
                rows = await world.store.load(RunId("r"))
                return rows is not None and [row.status for row in rows.steps] == ["parked", "parked"]

            await eventually(is_parked)


@pytest.mark.usefixtures("parked_run")
def test_parked_steps_are_listed_with_what_they_wait_for(call: Call, called_for_json: CallForJson) -> None:
    of_one = called_for_json("parked", "ls", "--uses", "tax.other", "--json")

    assert [(each["run_id"], each["step_id"], each["uses"]) for each in of_one] == [("r", "b", "tax.other")]
    assert "tax.compute" in call("parked", "ls").stdout


@pytest.mark.usefixtures("stored_runs")
def test_where_nothing_is_parked_that_is_said(call: Call) -> None:
    assert call("parked", "ls").stdout == "No step is parked.\n"
