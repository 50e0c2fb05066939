"""Dead letters in a dictionary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus.ports import OPEN, ListedLetter, StoredLetter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from famulus.ports import DeadLetter, LetterMark, LetterPlace


class MemoryDeadLetterStore:
    """Keeps `famulus.ports.DeadLetterStore`. Workers of one test share the object."""

    def __init__(self) -> None:
        self._letters: dict[str, DeadLetter] = {}
        self._marks: dict[str, LetterMark] = {}

    async def put(self, letter: DeadLetter) -> None:
        self._letters.setdefault(letter.summary.letter_id, letter)

    async def get(self, letter_id: str) -> StoredLetter | None:
        letter = self._letters.get(letter_id)
        return None if letter is None else StoredLetter(letter=letter, mark=self._marks.get(letter_id, OPEN))

    async def newest(self, *, limit: int, before: LetterPlace | None = None) -> Sequence[ListedLetter]:
        found = sorted((letter.summary for letter in self._letters.values()), key=lambda each: each.place, reverse=True)
        page = [each for each in found if before is None or each.place < before][:limit]
        return [ListedLetter(summary=each, mark=self._marks.get(each.letter_id, OPEN)) for each in page]

    async def mark(self, letter_id: str, mark: LetterMark) -> None:
        known = self._marks.get(letter_id)
        if known is None or mark.at > known.at:
            self._marks[letter_id] = mark
