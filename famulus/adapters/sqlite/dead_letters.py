"""Dead letters in two tables of the file: what they are, and what was done about them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from famulus.adapters.letters import header_bytes, read_headers, read_summary, summary_bytes
from famulus.ports import OPEN, DeadLetter, LetterMark, ListedLetter, StoredLetter

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from famulus.adapters.sqlite.database import SqliteDatabase
    from famulus.ports import LetterPlace

_MARKED: Final = """
    FROM dead_letters l
    LEFT JOIN dead_letter_marks m ON m.namespace = l.namespace AND m.letter_id = l.letter_id
"""
_MARK: Final = "m.state, m.by_whom, m.at AS marked_at, m.note"
INSERT_LETTER: Final = """
    INSERT INTO dead_letters (namespace, letter_id, at, summary, key, value, headers, kept_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (namespace, letter_id) DO NOTHING
"""
SELECT_LETTER: Final = f"""
    SELECT l.summary, l.key, l.value, l.headers, {_MARK} {_MARKED} WHERE l.namespace = ? AND l.letter_id = ?
"""  # the names of columns above
SELECT_NEWEST: Final = f"""
    SELECT l.summary, {_MARK} {_MARKED} WHERE l.namespace = ? AND (l.at < ? OR (l.at = ? AND l.letter_id < ?))
    ORDER BY l.at DESC, l.letter_id DESC LIMIT ?
"""  # as above
UPSERT_MARK: Final = """
    INSERT INTO dead_letter_marks (namespace, letter_id, state, by_whom, at, note) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (namespace, letter_id) DO UPDATE SET
        state = excluded.state, by_whom = excluded.by_whom, at = excluded.at, note = excluded.note
    WHERE excluded.at > dead_letter_marks.at
"""
SELECT_EXPIRED: Final = """
    SELECT letter_id FROM dead_letters WHERE namespace = ? AND kept_at < ? ORDER BY kept_at LIMIT ?
"""
DELETE_LETTER: Final = "DELETE FROM dead_letters WHERE namespace = ? AND letter_id = ?"
DELETE_MARK: Final = "DELETE FROM dead_letter_marks WHERE namespace = ? AND letter_id = ?"
EXPIRED_AT_ONCE: Final = 50
"""Letters that go when one comes: more than one, so that what has expired gets less, and few, so that none waits."""
_END: Final = (1e300, "")


class SqliteDeadLetterStore:
    """Keeps `famulus.ports.DeadLetterStore`. What was kept for so long goes when other letters come."""

    def __init__(
        self,
        database: SqliteDatabase,
        *,
        namespace: str = "default",
        keep_seconds: float | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._namespace = namespace
        self._keep_seconds = keep_seconds
        self._now = now

    async def put(self, letter: DeadLetter) -> None:
        summary = letter.summary
        row = (
            self._namespace,
            summary.letter_id,
            summary.at,
            summary_bytes(summary),
            letter.key,
            letter.value,
            header_bytes(letter.headers),
            now := self._now(),
        )

        def work(connection: sqlite3.Connection) -> None:
            self._expire(connection, now)
            connection.execute(INSERT_LETTER, row)

        await self._database.write(work)

    async def get(self, letter_id: str) -> StoredLetter | None:
        key = (self._namespace, letter_id)
        found = await self._database.read(lambda connection: connection.execute(SELECT_LETTER, key).fetchone())
        if found is None:
            return None
        letter = DeadLetter(
            summary=read_summary(found["summary"]),
            key=found["key"],
            value=found["value"],
            headers=read_headers(found["headers"]),
        )
        return StoredLetter(letter=letter, mark=_mark(found))

    async def newest(self, *, limit: int, before: LetterPlace | None = None) -> Sequence[ListedLetter]:
        at, letter_id = before or _END
        key = (self._namespace, at, at, letter_id, limit)
        found = await self._database.read(lambda connection: connection.execute(SELECT_NEWEST, key).fetchall())
        return [ListedLetter(summary=read_summary(row["summary"]), mark=_mark(row)) for row in found]

    async def mark(self, letter_id: str, mark: LetterMark) -> None:
        row = (self._namespace, letter_id, mark.state, mark.by, mark.at, mark.note)
        await self._database.write(lambda connection: connection.execute(UPSERT_MARK, row))

    def _expire(self, connection: sqlite3.Connection, now: float) -> None:
        if self._keep_seconds is None:
            return
        asked = (self._namespace, now - self._keep_seconds, EXPIRED_AT_ONCE)
        for expired in connection.execute(SELECT_EXPIRED, asked).fetchall():
            key = (self._namespace, expired["letter_id"])
            connection.execute(DELETE_LETTER, key)
            connection.execute(DELETE_MARK, key)


def _mark(row: dict[str, Any]) -> LetterMark:
    if row["state"] is None:
        return OPEN
    return LetterMark(state=row["state"], by=row["by_whom"], at=row["marked_at"], note=row["note"])
