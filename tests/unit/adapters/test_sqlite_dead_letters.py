"""Dead letters in SQLite do not fill the disk for ever."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib.resources import files
from pathlib import Path

from famulus.adapters.sqlite import SqliteDatabase, SqliteDeadLetterStore
from famulus.adapters.sqlite.database import MIGRATIONS
from famulus.adapters.sqlite.dead_letters import EXPIRED_AT_ONCE
from famulus.ports import DeadLetter, LetterMark, LetterSummary

DAY = 86_400.0
NOW = 1_800_000_000.0


def letter(name: str, *, at: float = NOW) -> DeadLetter:
    summary = LetterSummary(
        letter_id=name, at=at, code="not_json", reason="no JSON", topic="jobs", partition=0, offset=1
    )
    return DeadLetter(summary=summary, key=None, value=b"\xff")


class Kept:
    """A store whose time a test sets."""

    def __init__(self, database: SqliteDatabase) -> None:
        self.time = NOW
        self.store = SqliteDeadLetterStore(database, keep_seconds=30 * DAY, now=lambda: self.time)

    async def names(self) -> list[str]:
        return sorted(each.summary.letter_id for each in await self.store.newest(limit=1000))


async def test_what_was_kept_for_long_goes_with_its_mark_when_another_letter_comes(tmp_path: Path) -> None:
    async with SqliteDatabase(tmp_path / "famulus.db") as database:
        kept = Kept(database)
        await kept.store.put(letter("old"))
        await kept.store.mark("old", LetterMark(state="dropped", by="ada", at=NOW))
        kept.time += 20 * DAY
        await kept.store.put(letter("young"))
        kept.time += 11 * DAY
        await kept.store.put(letter("new"))

        assert await kept.names() == ["new", "young"]
        await kept.store.put(letter("old"))
        stored = await kept.store.get("old")
        assert stored is not None
        assert stored.mark.state == "open"


async def test_the_time_that_a_record_claims_makes_no_letter_expire(tmp_path: Path) -> None:
    async with SqliteDatabase(tmp_path / "famulus.db") as database:
        kept = Kept(database)
        await kept.store.put(letter("of-1970", at=0.0))
        await kept.store.put(letter("of-2100", at=4e9))

        assert await kept.names() == ["of-1970", "of-2100"]


async def test_many_that_have_expired_go_little_by_little_and_faster_than_they_come(tmp_path: Path) -> None:
    async with SqliteDatabase(tmp_path / "famulus.db") as database:
        kept = Kept(database)
        for number in range(EXPIRED_AT_ONCE + 10):
            await kept.store.put(letter(f"old-{number}"))
        kept.time += 31 * DAY

        await kept.store.put(letter("new-1"))
        assert len(await kept.names()) == 10 + 1
        await kept.store.put(letter("new-2"))
        assert await kept.names() == ["new-1", "new-2"]


async def test_letters_of_a_file_from_before_have_their_whole_time(tmp_path: Path) -> None:
    path = tmp_path / "famulus.db"
    before = MIGRATIONS.index("dead_letters_kept.sql")
    with closing(sqlite3.connect(path)) as earlier:
        for name in MIGRATIONS[:before]:
            earlier.executescript(files("famulus.adapters.sqlite").joinpath(name).read_text(encoding="utf-8"))
        earlier.executescript(f"PRAGMA user_version = {before};")
    async with SqliteDatabase(tmp_path / "other.db") as other:
        await SqliteDeadLetterStore(other).put(letter("old", at=1.0))
        columns = "namespace, letter_id, at, summary, key, value, headers"
        (row,) = await other.read(lambda found: found.execute(f"SELECT {columns} FROM dead_letters").fetchall())
    with closing(sqlite3.connect(path)) as earlier:
        earlier.execute(f"INSERT INTO dead_letters ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", tuple(row.values()))
        earlier.commit()

    async with SqliteDatabase(path) as database:
        store = SqliteDeadLetterStore(database, keep_seconds=DAY)
        await store.put(letter("new"))

        assert sorted(each.summary.letter_id for each in await store.newest(limit=9)) == ["new", "old"]
