"""What the embedded store promises beyond the ports: to share a file, to survive a kill, to say what is wrong."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from famulus.adapters.sqlite import (
    SqliteBlueprintStore,
    SqliteDatabase,
    SqliteEpochs,
    SqliteRunStore,
    SqliteTimerStore,
)
from famulus.errors import StoreUnavailableError, TerminalError
from famulus.ids import BlueprintId, Digest, Epoch, RunId, stamp_of
from famulus.ports import StoredBlueprint

if TYPE_CHECKING:
    from pathlib import Path

TAKE_EPOCHS = """
import asyncio, sys
from famulus.adapters.sqlite import SqliteDatabase, SqliteEpochs, database

database.BUSY_TIMEOUT_SECONDS = 60  # who holds the lock may get no time

async def main():
    async with SqliteDatabase(sys.argv[1]) as database:
        epochs = SqliteEpochs(database)
        for _ in range(50):
            print(await epochs.take(), flush=True)

asyncio.run(main())
"""

# Says each epoch once it is durable, until it is killed.
TAKE_EPOCHS_FOR_EVER = TAKE_EPOCHS.replace("for _ in range(50)", "while True")


async def test_the_folder_and_the_file_are_created(tmp_path: Path) -> None:
    async with SqliteDatabase(tmp_path / "state" / "famulus.db") as database:
        assert await SqliteEpochs(database).take() == 1


async def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "famulus.db")
    for expected in (1, 2):
        await database.open()
        assert await SqliteEpochs(database).take() == expected
        await database.close()
    await database.close()


async def test_what_waits_is_written_before_closing(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "famulus.db")
    await database.open()
    waiting = [asyncio.ensure_future(SqliteEpochs(database).take()) for _ in range(20)]
    await asyncio.sleep(0)

    await database.close()

    assert sorted(await asyncio.gather(*waiting)) == list(range(1, 21))


async def test_a_closed_database_is_unavailable(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "famulus.db")

    with pytest.raises(StoreUnavailableError, match="is not open"):
        await SqliteEpochs(database).take()
    with pytest.raises(StoreUnavailableError, match="is not open"):
        await SqliteRunStore(database).load(RunId("run-1"))


async def test_a_locked_file_is_unavailable_until_it_is_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("famulus.adapters.sqlite.database.BUSY_TIMEOUT_SECONDS", 0.05)
    async with SqliteDatabase(tmp_path / "famulus.db") as database:
        epochs = SqliteEpochs(database)
        with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            results = await asyncio.gather(*(epochs.take() for _ in range(10)), return_exceptions=True)
            assert {type(result) for result in results} == {StoreUnavailableError}
            assert "locked" in str(results[0])
            # Readers do not wait for who writes.
            assert await SqliteRunStore(database).load(RunId("run-1")) is None
            other.execute("ROLLBACK")

        assert await epochs.take() == 1


async def test_a_file_that_somebody_else_writes_for_long_is_opened_and_read(tmp_path: Path) -> None:
    file = tmp_path / "famulus.db"
    async with SqliteDatabase(file) as database:
        assert await SqliteEpochs(database).take() == 1

    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with SqliteDatabase(file) as database:
            assert await SqliteRunStore(database).load(RunId("r")) is None


async def test_a_full_disk_is_unavailable_until_there_is_room(tmp_path: Path) -> None:
    async with SqliteDatabase(tmp_path / "famulus.db") as database:
        blueprints = SqliteBlueprintStore(database)
        large = StoredBlueprint(
            blueprint_id=BlueprintId("large"), version="1", digest=Digest("d"), body=bytes(10**6), registered_at=1.0
        )
        await database.write(lambda connection: connection.execute("PRAGMA max_page_count = 50").fetchall())

        results = await asyncio.gather(blueprints.put(large), SqliteEpochs(database).take(), return_exceptions=True)
        # What was too large fails; its neighbour in the group fitted.
        assert isinstance(results[0], StoreUnavailableError)
        assert "full" in str(results[0])
        assert results[1] == 1

        await database.write(lambda connection: connection.execute("PRAGMA max_page_count = 1000000").fetchall())
        assert await blueprints.put(large) == large


async def test_a_file_of_a_newer_famulus_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "famulus.db"
    with closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA user_version = 99")

    with pytest.raises(TerminalError, match="schema version 99"):
        await SqliteDatabase(path).open()

    with closing(sqlite3.connect(path)) as untouched:
        assert untouched.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


async def test_a_file_of_an_earlier_famulus_is_brought_up_to_date_with_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "famulus.db"
    with closing(sqlite3.connect(path)) as earlier:
        earlier.executescript(files("famulus.adapters.sqlite").joinpath("schema.sql").read_text(encoding="utf-8"))
        earlier.executescript(
            "INSERT INTO births VALUES ('default', 'r', 'order', '1', 'd', '{}', 'e', 3, 1.5, 7);"
            "INSERT INTO heads VALUES ('default', 'r', 'running', NULL, 2.5, NULL, '{}', 4, 3, 1, 7);"
            "INSERT INTO steps VALUES ('default', 'r', 's', 's', 'completed', 1, 0, '1', NULL, '[]', NULL, NULL, 'w',"
            " 1.5, 2.5, 7);"
            f"INSERT INTO context VALUES ('default', 'r', 'k', '2', 1, {stamp_of(Epoch(5), 1)});"
            f"INSERT INTO events VALUES ('default', 'r', 2, 'step.completed', 2.5, '{{}}', {stamp_of(Epoch(5), 1)});"
            "PRAGMA user_version = 1;"
        )

    async with SqliteDatabase(path) as database:
        store = SqliteRunStore(database)
        rows = await store.load(RunId("r"))
        events = await store.events(RunId("r"))
        assert [run_id async for run_id in store.open_runs(3)] == ["r"]
        assert list(await SqliteTimerStore(database).due(3, until=10.0, limit=10)) == []

    assert rows is not None
    assert (rows.birth.parent, rows.head.ending, rows.steps[0].extra) == (None, None, None)
    assert (rows.head.next_seq, rows.steps[0].worker) == (4, "w")
    assert [(row.key, row.value) for row in rows.context] == [("k", "2")]
    assert [(event.seq, event.type) for event in events] == [(2, "step.completed")]


async def test_a_path_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="unable to open"):
        await SqliteDatabase(tmp_path).open()


def test_several_processes_share_a_new_file(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", TAKE_EPOCHS, str(tmp_path / "famulus.db")]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]

    outputs = [worker.communicate(timeout=180)[0] for worker in workers]

    taken = [[int(line) for line in output.split()] for output in outputs]
    assert [worker.returncode for worker in workers] == [0] * 4
    assert sorted(epoch for turn in taken for epoch in turn) == list(range(1, 201))
    for turn in taken:
        assert turn == sorted(turn)


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TAKE_EPOCHS_FOR_EVER, str(tmp_path / "famulus.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:  # noqa: ASYNC220 - nothing else runs here
        assert worker.stdout is not None
        for _ in range(30):
            acknowledged = int(worker.stdout.readline())
        worker.send_signal(signal.SIGKILL)
        worker.wait()

    async with SqliteDatabase(tmp_path / "famulus.db") as database:
        assert await SqliteEpochs(database).take() > acknowledged
