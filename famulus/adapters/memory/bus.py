"""The topics as lists of records.

A record is acknowledged when it is in its list. Nothing is ever taken out of a list: reading moves an offset, as with
Kafka, so a test can read again what was read before.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from famulus.adapters.letters import reason_headers
from famulus.adapters.memory.murmur2 import partition_for
from famulus.errors import InputError
from famulus.ports import Record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence

    from famulus.ids import RunId


JOBS: Final = "jobs"
ITEMS: Final = "items"
LETTERS: Final = "dead-letters"
"""Names of topics, in records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A record that was set aside, with why."""

    record: Record
    code: str
    reason: str


class MemoryBus:
    """Keeps `famulus.ports.Bus`, and hands its jobs out: one at a time (`take_job`) or as they come (`subscribe`)."""

    def __init__(self, *, partitions: int = 8, now: Callable[[], float] = time.time) -> None:
        self.jobs: tuple[list[Record], ...] = tuple([] for _ in range(partitions))
        """By partition; the offset of a record is its place."""
        self.items: tuple[list[Record], ...] = tuple([] for _ in range(partitions))
        """Of batches that are spread; handed out by `subscribe` as jobs are."""
        self.events: tuple[list[Record], ...] = tuple([] for _ in range(partitions))
        self.dead_letters: list[DeadLetter] = []
        self.letters: list[Record] = []
        """The same as they lie on their topic."""
        self._now = now
        self._taken = [0] * partitions
        self._arrival = asyncio.Event()

    def partition_of(self, run_id: RunId) -> int:
        return partition_for(run_id.encode(), len(self.jobs))

    @property
    def partitions(self) -> int:
        return len(self.jobs)

    async def send_job(
        self, run_id: RunId, value: bytes, *, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Awaitable[None]:
        self.append_job(self.partition_of(run_id), run_id.encode(), value, headers=headers)
        return _acknowledged()

    async def send_item(
        self, key: str, value: bytes, *, beyond: int = 0, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Awaitable[None]:
        partition = (partition_for(key.encode(), len(self.items)) + beyond) % len(self.items)
        record = Record(
            topic=ITEMS, partition=partition, offset=0, key=key.encode(), value=value, headers=tuple(headers)
        )
        self._append(self.items[partition], record)
        return _acknowledged()

    async def send_event(self, run_id: RunId, value: bytes) -> Awaitable[None]:
        partition = self.partition_of(run_id)
        record = Record(
            topic="events",
            partition=partition,
            offset=len(self.events[partition]),
            key=run_id.encode(),
            value=value,
            timestamp=self._now(),
        )
        self.events[partition].append(record)
        return _acknowledged()

    async def send_again(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
    ) -> Awaitable[None]:
        if topic not in (JOBS, ITEMS):
            raise InputError(f"{topic[:200]!r} is no topic to send records to, only {JOBS} and {ITEMS} are")
        partition = 0 if key is None else partition_for(key, len(self.jobs))
        record = Record(topic=topic, partition=partition, offset=0, key=key, value=value, headers=tuple(headers))
        self._append((self.jobs if topic == JOBS else self.items)[partition], record)
        return _acknowledged()

    async def send_dead_letter(self, record: Record, *, code: str, reason: str) -> Awaitable[None]:
        self.dead_letters.append(DeadLetter(record=record, code=code, reason=reason))
        headers = (*record.headers, *reason_headers(record, code=code, reason=reason))
        letter = replace(record, topic=LETTERS, partition=0, offset=len(self.letters), headers=headers)
        self.letters.append(replace(letter, timestamp=self._now()))
        return _acknowledged()

    def append_job(
        self,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        *,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> Record:
        """Put any record on the jobs topic, as a foreign producer may: of any key, on any partition."""
        record = Record(topic=JOBS, partition=partition, offset=0, key=key, value=value, headers=tuple(headers))
        return self._append(self.jobs[partition], record)

    def _append(self, records: list[Record], record: Record) -> Record:
        record = replace(record, offset=len(records), timestamp=self._now())
        records.append(record)
        # Who waits holds this very event; who comes later waits for the next one.
        self._arrival.set()
        self._arrival = asyncio.Event()
        return record

    def take_job(self) -> Record | None:
        """The next job that was not taken yet, lowest partition first; ``None`` when all are taken."""
        for partition, records in enumerate(self.jobs):
            if self._taken[partition] < len(records):
                self._taken[partition] += 1
                return records[self._taken[partition] - 1]
        return None

    def rewind(self, partition: int, offset: int = 0) -> None:
        """Let `take_job` give the partition's records again from the offset, as after a rebalance."""
        self._taken[partition] = offset

    async def subscribe(self, partitions: Collection[int] | None = None) -> AsyncIterator[Record]:
        """Every job and item of the partitions (all of them by default) from the first on, then as they come, for ever.

        Each subscription has its own offsets. `Record.topic` tells which of the two a record is: `JOBS` or `ITEMS`.
        """
        wanted = range(len(self.jobs)) if partitions is None else partitions
        logs = [(topic, partition) for topic in (self.jobs, self.items) for partition in wanted]
        offsets = [0] * len(logs)
        while True:
            arrival = self._arrival
            for place, (topic, partition) in enumerate(logs):
                while offsets[place] < len(topic[partition]):
                    offsets[place] += 1
                    yield topic[partition][offsets[place] - 1]
            await arrival.wait()


def _acknowledged() -> Awaitable[None]:
    acknowledgement: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    acknowledgement.set_result(None)
    return acknowledgement
