"""What a broker says when it is asked from beside: by a client of its own, so that it tells also when others are stuck.

Nothing is created or changed: topics are listed, never asked for by their names, for that may create them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from famulus.adapters.kafka.admin import asked, silent

REQUEST_TIMEOUT_MS: Final = 3000
CLOSE_SECONDS: Final = 2.0
READ_SECONDS: Final = 0.5
FETCH_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSight:
    """Of the topics that were asked about."""

    partitions: Mapping[str, int]
    """Those that exist, with their numbers of partitions."""
    waiting: frozenset[tuple[str, int]]
    """Partitions in which somebody else can read a record from the offset on that was asked about."""


class BrokerProbe:
    """Looks again and again over one connection, and makes a new one when that has failed."""

    def __init__(self, brokers: str, topics: Iterable[str], *, options: Mapping[str, Any] | None = None) -> None:
        self._brokers = brokers
        self._topics = tuple(topics)
        self._options = dict(options or {})
        """Of the connection, as aiokafka takes them: how to log in, and with which certificates."""
        self._client: Any = None

    async def look(self, offsets: Mapping[tuple[str, int], int], *, patience: float) -> BrokerSight:
        """Look at the topics, and for records from these offsets on.

        They are read and not reckoned from the ends of partitions: behind its last record a log may hold marks of
        transactions, and the embedded broker tells ends that lie before it. Raises `BusUnavailableError` when the
        broker does not answer in time.
        """
        try:
            async with asyncio.timeout(patience):
                return await self._look(offsets)
        except (KafkaError, OSError, TimeoutError) as error:
            await self.close()
            raise silent(self._brokers, error) from error
        except BaseException:
            await self.close()
            raise

    async def members(self, group: str, *, patience: float) -> int | None:
        """How many workers the group has; ``None`` while it has not settled, or where the broker does not tell."""
        asking = asked(self._brokers, patience=patience, request_timeout_ms=REQUEST_TIMEOUT_MS, options=self._options)
        try:
            async with asking as admin:
                (response,) = await admin.describe_consumer_groups([group])
                ((code, _, state, _, _, members, *_),) = response.groups
        except ValueError as error:
            raise silent(self._brokers, error) from error
        return len(members) if code == 0 and state == "Stable" else None

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await client.stop()

    async def _look(self, offsets: Mapping[tuple[str, int], int]) -> BrokerSight:
        if self._client is None:
            self._client = AIOKafkaConsumer(  # type: ignore[no-untyped-call] # aiokafka has no types
                bootstrap_servers=self._brokers,
                request_timeout_ms=REQUEST_TIMEOUT_MS,
                max_partition_fetch_bytes=FETCH_BYTES,
                auto_offset_reset="earliest",
                **self._options,
            )
            await self._client.start()
        cluster = await self._client._client.fetch_all_metadata()  # noqa: SLF001 - `topics` does not tell partitions
        known = {
            topic: cluster.partitions_for_topic(topic) or () for topic in self._topics if topic in cluster.topics()
        }
        asked = {place: offset for place, offset in offsets.items() if place[1] in known.get(place[0], ())}
        return BrokerSight(
            partitions={topic: len(partitions) for topic, partitions in known.items()},
            waiting=await self._readable(asked) if asked else frozenset(),
        )

    async def _readable(self, offsets: Mapping[tuple[str, int], int]) -> frozenset[tuple[str, int]]:
        places = {TopicPartition(*place): offset for place, offset in offsets.items()}
        self._client.assign(list(places))
        try:
            for place, offset in places.items():
                self._client.seek(place, offset)
            found: set[tuple[str, int]] = set()
            deadline = time.monotonic() + READ_SECONDS
            while (left := deadline - time.monotonic()) > 0:
                read = await self._client.getmany(timeout_ms=max(1, round(left * 1000)))
                found |= {(place.topic, place.partition) for place, records in read.items() if records}
        finally:
            self._client.unsubscribe()
        return frozenset(found)
