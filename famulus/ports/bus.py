"""The topics: what comes from them, and the way to them."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol

from famulus.ids import RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record as it came from a topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp: float = 0.0
    is_inherited: bool = False
    """It was on its topic before this worker got the partition: another one may have had it in hand."""


class Bus(Protocol):
    """The way to the topics. Each ``send`` hands the record over and returns an awaitable for its acknowledgement.

    The awaitable raises `BusUnavailableError` when the broker did not acknowledge in time.
    """

    def partition_of(self, run_id: RunId) -> int:
        """The partition of the jobs topic that holds the run, by Kafka's default partitioner (murmur2 of the key)."""
        ...

    @property
    def partitions(self) -> int:
        """Of the jobs topic."""
        ...

    async def send_job(
        self, run_id: RunId, value: bytes, *, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Awaitable[None]:
        """A record on the jobs topic with key `run_id`."""
        ...

    async def send_item(
        self, key: str, value: bytes, *, beyond: int = 0, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Awaitable[None]:
        """A record on the items topic, on the partition of its key or so many beyond it, round and round."""
        ...

    async def send_event(self, run_id: RunId, value: bytes) -> Awaitable[None]:
        """A record on the events topic with key `run_id`."""
        ...

    async def send_again(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
    ) -> Awaitable[None]:
        """A record as it was, onto the topic of jobs or items that it came from.

        Raises `InputError` for any other topic: what names it may have been written by anybody.
        """
        ...

    async def send_dead_letter(self, record: Record, *, code: str, reason: str) -> Awaitable[None]:
        """The raw key, value and headers on the dead-letter topic, with code, reason and source position as headers."""
        ...
