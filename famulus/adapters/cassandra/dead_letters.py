"""Dead letters in Cassandra: each by its id, a list by time without their bytes, and what was done about them.

How: see ``cql/schema/0009_dead_letters.cql``.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Final

from famulus.adapters.letters import header_bytes, read_headers, read_summary, summary_bytes
from famulus.ports import OPEN, DeadLetter, LetterMark, LetterPlace, ListedLetter, StoredLetter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from famulus.adapters.cassandra.database import CassandraDatabase
    from famulus.ports import LetterSummary

STAMP: Final = 1
BUCKET_SECONDS: Final = 3600
LAST_BUCKET: Final = 2**63 - 1
MARKS_AT_ONCE: Final = 64
_MICRO: Final = 1_000_000
_END: Final[LetterPlace] = LetterPlace(math.inf, "")


class CassandraDeadLetterStore:
    """The `DeadLetterStore` of one namespace."""

    def __init__(self, database: CassandraDatabase, *, namespace: str = "default") -> None:
        self._database = database
        self._namespace = namespace

    async def put(self, letter: DeadLetter) -> None:
        """The entries of the list last: what is listed can be shown."""
        summary = letter.summary
        told, bucket = summary_bytes(summary), _bucket_of(summary.at)
        body = (told, letter.key, letter.value, header_bytes(letter.headers))
        await self._database.execute(
            "insert_dead_letter", (self._namespace, summary.letter_id, summary.at, *body, STAMP, STAMP)
        )
        entry = (self._namespace, bucket, summary.at, summary.letter_id, told, STAMP, STAMP)
        await asyncio.gather(
            self._database.execute("insert_dead_letter_bucket", (self._namespace, bucket, STAMP, STAMP)),
            self._database.execute("insert_dead_letter_entry", entry),
        )

    async def get(self, letter_id: str) -> StoredLetter | None:
        found = await self._database.execute("select_dead_letter", (self._namespace, letter_id))
        if not found:
            return None
        summary, key, value, headers = found[0]
        letter = DeadLetter(summary=read_summary(summary), key=key, value=value, headers=read_headers(headers))
        return StoredLetter(letter=letter, mark=await self._mark_of(letter_id))

    async def newest(self, *, limit: int, before: LetterPlace | None = None) -> Sequence[ListedLetter]:
        end = before or _END
        last = LAST_BUCKET if before is None else _bucket_of(before.at)
        found: list[LetterSummary] = []
        async for page in self._database.pages("select_dead_letter_buckets", (self._namespace, last)):
            for (bucket,) in page:
                asked = (self._namespace, bucket, end.at, end.letter_id, limit - len(found))
                rows = await self._database.all_rows("select_dead_letter_entries", asked)
                found += [read_summary(summary) for (summary,) in rows]
                if len(found) >= limit:
                    return await self._listed(found[:limit])
        return await self._listed(found)

    async def mark(self, letter_id: str, mark: LetterMark) -> None:
        stamp = round(mark.at * _MICRO)
        value = (mark.state, mark.by, mark.at, mark.note)
        await self._database.execute("insert_dead_letter_mark", (self._namespace, letter_id, value, stamp, stamp))

    async def _listed(self, summaries: Sequence[LetterSummary]) -> list[ListedLetter]:
        marks: list[LetterMark] = []
        for start in range(0, len(summaries), MARKS_AT_ONCE):
            some = summaries[start : start + MARKS_AT_ONCE]
            marks += await asyncio.gather(*(self._mark_of(each.letter_id) for each in some))
        return [ListedLetter(summary=each, mark=mark) for each, mark in zip(summaries, marks, strict=True)]

    async def _mark_of(self, letter_id: str) -> LetterMark:
        found: Any = await self._database.execute("select_dead_letter_mark", (self._namespace, letter_id))
        if not found:
            return OPEN
        mark = found[0][0]
        return LetterMark(state=mark.state, by=mark.by_whom, at=mark.at, note=mark.note)


def _bucket_of(at: float) -> int:
    return int(at // BUCKET_SECONDS) * BUCKET_SECONDS
