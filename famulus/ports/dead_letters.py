"""Where dead letters are kept, and what is written on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

LETTER_CODE: Final = "famulus-error-code"
LETTER_REASON: Final = "famulus-error"
LETTER_SOURCE: Final = "famulus-source"
"""Topic, partition and offset of the record, with slashes."""
LETTER_TIME: Final = "famulus-source-time"
"""When the record was written there, in seconds since the Unix epoch."""
LETTER_CUT: Final = "famulus-truncated"
"""Only of a letter that is not whole: the length of the whole value."""
REDRIVEN: Final = "famulus-redriven"
"""Of a record that was sent again: the id of the letter that it had become first."""
FORWARDED: Final = "famulus-forwarded-from"
"""Of a record that was put onto the partition of its run: where it was before."""


class LetterPlace(NamedTuple):
    """Where a letter stands in the list of all."""

    at: float
    letter_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterSummary:
    """A record that could not be handled, without its bytes."""

    letter_id: str
    """Follows from the record: one that became a dead letter twice has one id."""
    at: float
    """When the record was written to its topic, in seconds since the Unix epoch."""
    code: str
    reason: str
    topic: str
    """Where the record came from; a text that anybody may have written."""
    partition: int
    offset: int
    run_id: str | None = None
    """That the record names, if it does."""
    value_bytes: int | None = None
    """Of the value, all of it; ``None``: it has none."""
    is_cut: bool = False
    """Key, value and headers are not whole: the record was too large for the topic of dead letters."""
    redriven_from: str | None = None
    """The letter that the record was, if it has been one before."""

    @property
    def place(self) -> LetterPlace:
        return LetterPlace(self.at, self.letter_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    summary: LetterSummary
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    """The record's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterMark:
    """What somebody has done about a letter."""

    state: str
    """``open``, ``redriven`` or ``dropped``."""
    by: str = ""
    at: float = 0.0
    """Seconds since the Unix epoch, to the microsecond."""
    note: str | None = None


OPEN: Final = LetterMark(state="open")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedLetter:
    summary: LetterSummary
    mark: LetterMark


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLetter:
    letter: DeadLetter
    mark: LetterMark


class DeadLetterStore(Protocol):
    """Dead letters as they were read from their topic, with what was done about them. They expire as runs do."""

    async def put(self, letter: DeadLetter) -> None:
        """Store a letter; what is stored under its id already stays, and so does its mark."""
        ...

    async def get(self, letter_id: str) -> StoredLetter | None: ...

    async def newest(self, *, limit: int, before: LetterPlace | None = None) -> Sequence[ListedLetter]:
        """Letters by time and id, highest first, strictly below the given place."""
        ...

    async def mark(self, letter_id: str, mark: LetterMark) -> None:
        """Mark a letter; of two marks the one with the later time stays."""
        ...
