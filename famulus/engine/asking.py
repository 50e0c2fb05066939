"""Asking a run for something from outside, and hearing what became of it.

A command is a record on the jobs topic, as any producer may send it. The owner of the run decides; what it has decided
is an event of the run that has the id of the command.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from famulus.engine.commands import command_record
from famulus.engine.reading import RunSummary, is_ended, summary
from famulus.engine.records import parse_job
from famulus.engine.rows import decode
from famulus.engine.seals import visible_events
from famulus.errors import CommandRefusedError, RunEndedError, RunNotFoundError
from famulus.ids import RunId
from famulus.ports import Bus, EventRow, RunBirth, RunHead, RunStore

FIRST_LOOK_SECONDS: Final = 0.01
LONGEST_LOOK_SECONDS: Final = 0.25
EVENTS_PAGE: Final = 1000
POSSIBLE_AFTER_THE_END: Final = frozenset({"retry", "rerun"})


class CommandOutcome(StrEnum):
    ACCEPTED = "accepted"
    """The owner of the run has recorded it."""
    SENT = "sent"
    """The record is on the topic; no worker has said anything to it yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commanded:
    run: RunSummary
    """As it was before."""
    command_id: str
    outcome: CommandOutcome


class Commands:
    """Sends commands to runs."""

    def __init__(self, store: RunStore, bus: Bus, *, max_record_bytes: int) -> None:
        self._store = store
        self._bus = bus
        self._max_record_bytes = max_record_bytes

    async def send(
        self,
        run_id: RunId,
        command: str,
        given: Mapping[str, Any] | None = None,
        *,
        by: str,
        reason: str | None = None,
        command_id: str | None = None,
        patience_seconds: float = 0.0,
    ) -> Commanded:
        """Send a command, and wait so long for the owner of the run to say what it makes of it.

        With the same id again nothing is done twice, so a command of unknown outcome may be repeated so. Raises
        `RunNotFoundError`, `CommandRefusedError` (`RunEndedError` where the run has ended), and `BadRecordError` or
        `OutputError` for what cannot be sent.
        """
        chosen = command_id or uuid.uuid4().hex
        record = command_record(command, run_id, by=by, reason=reason, command_id=chosen, given=given)
        parse_job(record, max_bytes=self._max_record_bytes)
        birth, head = await self._birth_and_head(run_id)
        before = summary(birth, head)
        seen = head.next_seq - 1
        if command_id is not None and (event := await self._event_of(run_id, chosen, after=-1)) is not None:
            return _answer(event, before, command, chosen)
        if is_ended(head.status) and command not in POSSIBLE_AFTER_THE_END:
            raise RunEndedError(run_id, head.status, command=command)
        await (await self._bus.send_job(run_id, record))
        found = await self._appears(run_id, chosen, after=seen, patience_seconds=patience_seconds)
        if found is None:
            return Commanded(run=before, command_id=chosen, outcome=CommandOutcome.SENT)
        return _answer(found, before, command, chosen)

    async def _birth_and_head(self, run_id: RunId) -> tuple[RunBirth, RunHead]:
        heads = await self._store.heads([run_id])
        if run_id not in heads:
            raise RunNotFoundError(run_id)
        return heads[run_id]

    async def _appears(self, run_id: RunId, command_id: str, *, after: int, patience_seconds: float) -> EventRow | None:
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + patience_seconds, FIRST_LOOK_SECONDS
        while patience_seconds > 0:
            found = await self._event_of(run_id, command_id, after=after)
            if found is not None or loop.time() >= end:
                return found
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_LOOK_SECONDS)
        return None

    async def _event_of(self, run_id: RunId, command_id: str, *, after: int) -> EventRow | None:
        while page := await self._store.events(run_id, after=after, limit=EVENTS_PAGE):
            _, head = await self._birth_and_head(run_id)
            for event in visible_events(page, head):
                if command_id.encode() in event.data and decode(event.data).get("command_id") == command_id:
                    return event
            after = page[-1].seq
        return None


def _answer(event: EventRow, before: RunSummary, command: str, command_id: str) -> Commanded:
    if event.type == "command.refused":
        raise CommandRefusedError(before.run_id, command, decode(event.data).get("reason"))
    return Commanded(run=before, command_id=command_id, outcome=CommandOutcome.ACCEPTED)
