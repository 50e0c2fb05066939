"""What is done about dead letters: kept when they come, looked for, sent again, dropped.

    topic of dead letters ── agents/dead_letters.py ─> LetterKeeper ─> DeadLetterStore <── LetterDesk <── API, commands
                                                                                              │
    topic that the record came from <──────────────── the record as it was, and a header ─────┘

A crash between sending a record again and marking its letter leaves the letter open, and somebody may send it twice; so
may two people at once. That is harmless: a start that comes again starts nothing, a hint changes nothing, and a command
that was redriven is known by its letter (`famulus.engine.engine`), and carried out once.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from famulus.engine.dead_letters.letters import headers_again, read_letter, without_bytes
from famulus.engine.explaining.explanation import Explanation
from famulus.errors import DeadLetterNotFoundError, LetterRefusedError, TerminalError
from famulus.ports import LetterMark, LetterPlace, ListedLetter, Record, StoredLetter

if TYPE_CHECKING:
    from famulus.ids import RunId
    from famulus.ports import Bus, DeadLetterStore

log = logging.getLogger(__name__)

PAGE: Final = 200
LOOKED_THROUGH: Final = 20_000
"""Of the newest letters, so many are looked through for those that a filter lets pass."""
OF_RUN: Final = 5
NOTE_CHARACTERS: Final = 500
STATES: Final = ("open", "redriven", "dropped")


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """What letters are looked for; nothing given lets everything pass."""

    state: str | None = None
    code: str | None = None
    topic: str | None = None
    run_id: str | None = None
    since: float | None = None
    until: float | None = None
    text: str | None = None
    """In the reason, in any case of letters."""

    def passes(self, listed: ListedLetter) -> bool:
        summary = listed.summary
        return (
            self.state in (None, listed.mark.state)
            and self.code in (None, summary.code)
            and self.topic in (None, summary.topic)
            and self.run_id in (None, summary.run_id)
            and (self.since is None or summary.at >= self.since)
            and (self.until is None or summary.at < self.until)
            and (self.text is None or self.text.casefold() in summary.reason.casefold())
        )


class LetterKeeper:
    """Keeps what comes on the topic of dead letters."""

    def __init__(self, store: DeadLetterStore) -> None:
        self._store = store

    async def keep(self, record: Record) -> None:
        """Store the letter; the same again changes nothing. Raises `RetryableError` when the store is away."""
        letter = read_letter(record)
        try:
            await self._store.put(letter)
        except TerminalError as error:
            # It cannot be kept whole, and must not hold what comes behind it.
            log.warning(
                "a dead letter is kept without its bytes: %s",
                error,
                extra={"action": "letter_cut", "letter_id": letter.summary.letter_id},
            )
            await self._store.put(without_bytes(letter))


class LetterDesk:
    def __init__(self, store: DeadLetterStore, bus: Bus | None, now: Callable[[], float]) -> None:
        """Without a bus nothing can be sent again."""
        self._store = store
        self._bus = bus
        self._now = now

    async def find(
        self, asked: LetterFilter, *, limit: int = 50, before: LetterPlace | None = None
    ) -> list[ListedLetter]:
        """Newest first, below the given place; filters are applied to the `LOOKED_THROUGH` newest."""
        found: list[ListedLetter] = []
        async for listed in self._all(asked, before):
            if asked.passes(listed):
                found.append(listed)
                if len(found) >= limit:
                    break
        return found

    async def show(self, letter_id: str) -> StoredLetter:
        """Raises `DeadLetterNotFoundError`."""
        found = await self._store.get(letter_id)
        if found is None:
            raise DeadLetterNotFoundError(letter_id)
        return found

    async def redrive(self, letter_id: str, *, by: str, again: bool = False) -> StoredLetter:
        """Send the record again to the topic that it came from, and mark the letter.

        Raises `DeadLetterNotFoundError`; `LetterRefusedError` if it was redriven or dropped before, unless `again` says
        that this is meant, and for one that is not whole; `InputError` for a topic that nobody reads jobs from.
        """
        stored = await self.show(letter_id)
        letter, mark = stored.letter, stored.mark
        if mark.state != "open" and not again:
            raise LetterRefusedError(letter_id, "redrive", f"it was {mark.state} by {mark.by}; --again does it again")
        if letter.summary.is_cut:
            raise LetterRefusedError(
                letter_id, "redrive", "its bytes are not whole, the record was too large; send it from its source"
            )
        if self._bus is None:
            raise LetterRefusedError(letter_id, "redrive", "there is no broker here to send it to")
        sent = await self._bus.send_again(letter.summary.topic, letter.key, letter.value, headers_again(letter))
        await sent
        # A crash here: the letter stays open, and sending it twice is harmless.
        return await self._mark(stored, "redriven", by=by)

    async def drop(self, letter_id: str, *, by: str, reason: str | None = None) -> StoredLetter:
        """Mark the letter as not wanted; it can still be shown, and redriven with `again`.

        Raises `DeadLetterNotFoundError`.
        """
        return await self._mark(await self.show(letter_id), "dropped", by=by, note=reason)

    async def of_run(self, run_id: RunId) -> Sequence[Explanation]:
        """What is said of a run whose records became dead letters."""
        found = await self.find(LetterFilter(run_id=run_id), limit=OF_RUN)
        return [_explained(listed) for listed in found]

    async def _all(self, asked: LetterFilter, before: LetterPlace | None) -> AsyncIterator[ListedLetter]:
        place = before
        if place is None and asked.until is not None:
            place = LetterPlace(asked.until, "")
        for _ in range(0, LOOKED_THROUGH, PAGE):
            page = await self._store.newest(limit=PAGE, before=place)
            for listed in page:
                if asked.since is not None and listed.summary.at < asked.since:
                    return
                yield listed
            if len(page) < PAGE:
                return
            place = page[-1].summary.place

    async def _mark(self, stored: StoredLetter, state: str, *, by: str, note: str | None = None) -> StoredLetter:
        letter_id = stored.letter.summary.letter_id
        # Whoever comes later by the order of things must not lose by the clock of another machine.
        at = max(self._now(), stored.mark.at + 1e-6)
        mark = LetterMark(state=state, by=by, at=round(at, 6), note=note[:NOTE_CHARACTERS] if note else None)
        await self._store.mark(letter_id, mark)
        log.info(
            "dead letter %s is %s by %s",
            letter_id,
            state,
            by,
            extra={"action": f"letter_{state}", "letter_id": letter_id},
        )
        return StoredLetter(letter=stored.letter, mark=mark)


def _explained(listed: ListedLetter) -> Explanation:
    summary, mark = listed.summary, listed.mark
    done = "" if mark.state == "open" else f" ({mark.state} by {mark.by})"
    return Explanation(
        kind="dead_letter",
        awaits=(f"a record of it became dead letter {summary.letter_id}{done}, {summary.code}: {summary.reason}",),
        since=summary.at,
        moves=(f"when the cause is gone, `famulus dlq redrive {summary.letter_id}` sends it again",),
        details={"letter_id": summary.letter_id, "code": summary.code, "state": mark.state},
    )
