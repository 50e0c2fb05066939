"""The way onto the topics: an aiokafka producer, with a deadline on everything that it may wait for without end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError
from aiokafka.partitioner import murmur2

from famulus.adapters.letters import reason_headers
from famulus.errors import BusUnavailableError, InputError, OutputError
from famulus.ports import LETTER_CUT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence

    from famulus.ids import RunId
    from famulus.ports import Record

HANDOVER_SECONDS: Final = 30.0
KEYS_REMEMBERED: Final = 4096
"""How long a record may wait to be handed over: for the metadata of a topic that vanished, or for a full buffer."""
ACKNOWLEDGE_SECONDS: Final = 60.0
LINGER_SECONDS: Final = 0.005
MAX_RECORD_BYTES: Final = 1_000_000
"""Just under what Kafka takes by default (``message.max.bytes``, 1,048,588, with the overhead of a batch)."""
START_SECONDS: Final = 10.0
RETRY_START_SECONDS: Final = 0.1

EXCERPT_BYTES: Final = 64 * 1024
"""What is kept of the value of a dead letter that is too large for its topic."""
SMALL_EXCERPT_BYTES: Final = 1024

Headers: TypeAlias = "Sequence[tuple[str, bytes | None]]"
TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)


async def open_producer(
    brokers: str,
    *,
    client_id: str = "famulus",
    linger_seconds: float = LINGER_SECONDS,
    max_record_bytes: int = MAX_RECORD_BYTES,
    patience: float = START_SECONDS,
    options: Mapping[str, Any] | None = None,
) -> AIOKafkaProducer:
    """Start a producer that waits for all replicas; the caller stops it.

    Without idempotence, which the embedded broker does not know: a record may come twice, and that changes nothing.
    Options are those of the connection, as aiokafka takes them: how to log in, and with which certificates.

    Raises `BusUnavailableError` when no broker answers within ``patience`` seconds.
    """
    producer: Any = AIOKafkaProducer(  # type: ignore[no-untyped-call] # aiokafka has no types
        bootstrap_servers=brokers,
        client_id=client_id,
        acks="all",
        linger_ms=round(linger_seconds * 1000),
        max_request_size=max_record_bytes,
        **(options or {}),
    )
    try:
        async with asyncio.timeout(patience):
            await _start(producer)
    except BaseException as error:
        await producer.stop()
        if isinstance(error, TimeoutError):
            raise BusUnavailableError(
                f"Kafka at {brokers} does not answer: check the address and that the broker is up"
            ) from error
        raise
    return cast("AIOKafkaProducer", producer)


class KafkaBus:
    """Keeps `famulus.ports.Bus` on whatever producer ``producer`` returns at the moment of sending.

    ``job_partitions`` is the partition count of the jobs topic as it was at the start. Once the producer knows the
    topic its own count is used, so `partition_of` says where the producer does send to.

    Handing over may raise what the port promises of the awaitable. Both raise `OutputError` for a job or an event that
    is larger than its topic takes: trying again changes nothing.
    """

    def __init__(
        self,
        producer: Callable[[], AIOKafkaProducer | None],
        *,
        jobs: str,
        items: str,
        events: str,
        dead_letters: str,
        job_partitions: int,
        handover_seconds: float = HANDOVER_SECONDS,
        acknowledge_seconds: float = ACKNOWLEDGE_SECONDS,
    ) -> None:
        self._producer = producer
        self._jobs = jobs
        self._items = items
        self._events = events
        self._dead_letters = dead_letters
        self._job_partitions = job_partitions
        self._handover_seconds = handover_seconds
        self._acknowledge_seconds = acknowledge_seconds

    @property
    def partitions(self) -> int:
        producer: Any = self._producer()
        known = producer.client.cluster.partitions_for_topic(self._jobs) if producer else None
        return len(known) if known else self._job_partitions

    def partition_of(self, run_id: RunId) -> int:
        return _partition(run_id.encode(), self.partitions)

    async def send_job(
        self, run_id: RunId, value: bytes, *, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Awaitable[None]:
        return await self._send(self._jobs, run_id.encode(), value, headers)

    async def send_item(
        self, key: str, value: bytes, *, beyond: int = 0, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Awaitable[None]:
        return await self._send(self._items, key.encode(), value, headers, beyond=beyond)

    async def send_event(self, run_id: RunId, value: bytes) -> Awaitable[None]:
        return await self._send(self._events, run_id.encode(), value, ())

    async def send_again(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
    ) -> Awaitable[None]:
        if topic not in (self._jobs, self._items):
            raise InputError(f"{topic[:200]!r} is no topic to send records to, only {self._jobs} and {self._items} are")
        # A producer takes no record with neither key nor value.
        return await self._send(topic, key, b"" if key is None and value is None else value, headers)

    async def send_dead_letter(self, record: Record, *, code: str, reason: str) -> Awaitable[None]:
        """The record with its own headers first, then those of `famulus.adapters.letters.reason_headers`.

        A record that the topic cannot take is cut: its value to 64 KiB or, if that does not fit either, key and value
        to 1 KiB and its own headers left out. ``famulus-truncated`` then holds the length of the whole value. To know
        that, this waits for the acknowledgement itself. A record with neither key nor value gets an empty value.
        """
        why: Headers = reason_headers(record, code=code, reason=reason)
        whole, cut, smallest = record, _cut(record, EXCERPT_BYTES), _cut(record, SMALL_EXCERPT_BYTES, bare=True)
        for letter in (whole, cut):
            try:
                return await self._send_letter(letter, why)
            except OutputError:
                continue
        return await self._send_letter(smallest, why)

    async def _send_letter(self, letter: Record, why: Headers) -> _Acknowledgement:
        value = b"" if letter.key is None and letter.value is None else letter.value
        acknowledgement = await self._send(self._dead_letters, letter.key, value, (*letter.headers, *why))
        await acknowledgement
        return acknowledgement

    async def _send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, *, beyond: int = 0
    ) -> _Acknowledgement:
        producer: Any = self._producer()
        if producer is None:
            raise BusUnavailableError(f"no record can go to topic {topic}: the producer is not started, or stopped")
        # A producer that knows the topic takes a record at once, or says in time that it is full. For a topic that it
        # does not know, because it was deleted, it waits for ever.
        partitions = producer.client.cluster.partitions_for_topic(topic)
        try:
            if beyond and not partitions:
                # The first record for a topic: which partition is beyond its own is known only with the metadata.
                async with asyncio.timeout(self._handover_seconds):
                    partitions = await producer.partitions_for(topic)
            if partitions:
                partition = None if key is None else (_partition(key, len(partitions)) + beyond) % len(partitions)
                future = await producer.send(topic, value, key=key, partition=partition, headers=list(headers))
            else:
                async with asyncio.timeout(self._handover_seconds):
                    future = await producer.send(topic, value, key=key, headers=list(headers))
        except TOO_LARGE as error:
            raise _too_large(topic, key) from error
        except (KafkaError, TimeoutError) as error:
            raise BusUnavailableError(f"Kafka did not take a record for topic {topic}: {error!r}") from error
        future.add_done_callback(_retrieve)
        return _Acknowledgement(future, topic=topic, key=key, seconds=self._acknowledge_seconds)


class _Acknowledgement:
    """Awaitable as often as one likes, and silent when nobody awaits it."""

    __slots__ = ("_future", "_key", "_seconds", "_topic")

    def __init__(self, future: asyncio.Future[Any], *, topic: str, key: bytes | None, seconds: float) -> None:
        self._future = future
        self._topic = topic
        self._key = key
        self._seconds = seconds

    def __await__(self) -> Generator[Any, None, None]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        try:
            if self._future.done():
                self._future.result()
                return
            async with asyncio.timeout(self._seconds):
                await self._future
        except TOO_LARGE as error:
            raise _too_large(self._topic, self._key) from error
        except (KafkaError, TimeoutError) as error:
            raise BusUnavailableError(
                f"Kafka did not acknowledge a record for topic {self._topic} within {self._seconds:g} s: {error!r}"
            ) from error


@lru_cache(maxsize=KEYS_REMEMBERED)
def _positive_hash(key: bytes) -> int:
    hashed: int = murmur2(key)  # type: ignore[no-untyped-call] # aiokafka has no types
    return hashed & 0x7FFFFFFF


def _partition(key: bytes, count: int) -> int:
    """As Kafka's default partitioner. Its hash is written in Python and asked for several times a step."""
    return _positive_hash(key) % count


async def _start(producer: Any) -> None:
    while True:
        try:
            await producer.start()
        except KafkaError:
            await asyncio.sleep(RETRY_START_SECONDS)  # a broker that still starts
        else:
            return


def _cut(record: Record, length: int, *, bare: bool = False) -> Record:
    """The record with the beginning of its value; ``bare`` leaves out its headers and cuts its key too."""
    value = record.value or b""
    return replace(
        record,
        key=record.key[:length] if record.key is not None and bare else record.key,
        value=value[:length],
        headers=(*(() if bare else record.headers), (LETTER_CUT, str(len(value)).encode())),
    )


def _too_large(topic: str, key: bytes | None) -> OutputError:
    return OutputError(
        f"a record for topic {topic} with key {key[:128] if key else key!r} is larger than the topic takes: "
        "pass large values by reference, or raise max.message.bytes of the topic and the limit of the producer"
    )


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Look at the outcome, so that asyncio does not complain of one that nobody awaits."""
    if not future.cancelled():
        future.exception()
