"""The bus and the topics on a real broker."""

from __future__ import annotations

import asyncio
import socket
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from famulus.adapters.kafka.bus import KafkaBus, open_producer
from famulus.adapters.kafka.topics import TopicSpec, ensure_topics
from famulus.errors import BusUnavailableError, InputError, OutputError, SettingsError
from famulus.ids import RunId
from famulus.ports import Record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


class Topics:
    """A bus on fresh topics, and what arrived on them."""

    def __init__(self, brokers: str) -> None:
        self.brokers = brokers
        self.jobs, self.items, self.events, self.dead_letters = (f"{uuid.uuid4().hex[:8]}-{name}" for name in "jied")

    async def open(self) -> None:
        counts = await ensure_topics(
            self.brokers,
            [TopicSpec(name=name, partitions=5) for name in (self.jobs, self.items)]
            + [TopicSpec(name=name, partitions=1) for name in (self.events, self.dead_letters)],
        )
        self.producer: Any = await open_producer(self.brokers, patience=60)
        self.bus = KafkaBus(
            lambda: self.producer,
            jobs=self.jobs,
            items=self.items,
            events=self.events,
            dead_letters=self.dead_letters,
            job_partitions=counts[self.jobs],
        )

    async def first(self, topic: str, *, partition: int = 0) -> Any:
        consumer: Any = AIOKafkaConsumer(
            bootstrap_servers=self.brokers, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            consumer.assign([TopicPartition(topic, partition)])
            return await asyncio.wait_for(consumer.getone(), 60)
        finally:
            await consumer.stop()


@pytest.fixture
async def topics(brokers: str) -> AsyncIterator[Topics]:
    topics = Topics(brokers)
    await topics.open()
    yield topics
    await topics.producer.stop()


def poison(**changes: Any) -> Record:
    fields: dict[str, Any] = {"topic": "jobs", "partition": 3, "offset": 7, "key": b"k", "value": b"{"} | changes
    return Record(**fields)


@pytest.mark.parametrize("run_id", ["a", "run-1", "01J9Z-quite-a-long-one"])
async def test_a_job_arrives_in_the_partition_that_was_told(topics: Topics, run_id: str) -> None:
    told = topics.bus.partition_of(RunId(run_id))

    await (await topics.bus.send_job(RunId(run_id), b"job", headers=[("traceparent", b"00")]))

    arrived = await topics.first(topics.jobs, partition=told)
    assert (arrived.key, arrived.value, arrived.headers) == (run_id.encode(), b"job", (("traceparent", b"00"),))
    assert topics.bus.partition_of(RunId(run_id)) == told


@pytest.mark.parametrize("beyond", [0, 3, 5])
async def test_an_item_goes_to_the_partition_of_its_key_or_beyond_it(topics: Topics, beyond: int) -> None:
    home = topics.bus.partition_of(RunId("run-1/7"))  # its topic has as many partitions

    await (await topics.bus.send_item("run-1/7", b"item", beyond=beyond))

    arrived = await topics.first(topics.items, partition=(home + beyond) % 5)
    assert (arrived.key, arrived.value) == (b"run-1/7", b"item")


async def test_a_record_goes_again_to_the_topic_that_it_came_from_with_its_headers(topics: Topics) -> None:
    home = topics.bus.partition_of(RunId("run-1"))
    headers = (("trace", b"\x00\xff"), ("nothing", None))

    await (await topics.bus.send_again(topics.jobs, b"run-1", b"\xff", headers))

    arrived = await topics.first(topics.jobs, partition=home)
    assert (arrived.key, arrived.value, arrived.headers) == (b"run-1", b"\xff", headers)
    assert topics.bus.partitions == 5
    with pytest.raises(InputError, match="payments"):
        await topics.bus.send_again("payments", b"k", b"v", ())


async def test_a_dead_letter_keeps_the_record_and_says_why(topics: Topics) -> None:
    headers = (("a", b"1"), ("a", b"2"), ("nothing", None))

    await (await topics.bus.send_dead_letter(poison(headers=headers, timestamp=12.5), code="not_json", reason="no"))

    letter = await topics.first(topics.dead_letters)
    assert (letter.key, letter.value) == (b"k", b"{")
    assert letter.headers == (
        *headers,
        ("famulus-error-code", b"not_json"),
        ("famulus-error", b"no"),
        ("famulus-source", b"jobs/3/7"),
        ("famulus-source-time", b"12.5"),
    )


async def test_a_dead_letter_of_two_megabytes_is_cut(topics: Topics) -> None:
    await (await topics.bus.send_dead_letter(poison(value=b"x" * 2_000_000), code="too_large", reason="no"))

    letter = await topics.first(topics.dead_letters)
    assert letter.value == b"x" * 65_536
    assert dict(letter.headers)["famulus-truncated"] == b"2000000"


async def test_a_dead_letter_with_two_megabytes_of_headers_loses_them(topics: Topics) -> None:
    record = poison(headers=(("big", b"x" * 2_000_000),))

    await (await topics.bus.send_dead_letter(record, code="too_large", reason="no"))

    letter = await topics.first(topics.dead_letters)
    assert next(name for name, _ in letter.headers) == "famulus-truncated"


async def test_a_record_without_key_and_value_can_become_a_dead_letter(topics: Topics) -> None:
    await (await topics.bus.send_dead_letter(poison(key=None, value=None), code="empty", reason="no"))

    assert (await topics.first(topics.dead_letters)).value == b""


async def test_a_job_that_is_too_large_is_refused_for_good(topics: Topics) -> None:
    with pytest.raises(OutputError, match="larger than the topic takes"):
        await (await topics.bus.send_job(RunId("big"), b"x" * 2_000_000))


async def test_a_producer_that_is_not_started_is_a_bus_that_is_away() -> None:
    bus = KafkaBus(lambda: None, jobs="j", items="i", events="e", dead_letters="d", job_partitions=3)

    with pytest.raises(BusUnavailableError):
        await bus.send_job(RunId("a"), b"job")
    assert 0 <= bus.partition_of(RunId("a")) < 3


async def test_an_existing_topic_keeps_its_partitions(brokers: str) -> None:
    name = f"kept-{uuid.uuid4().hex[:8]}"
    await ensure_topics(brokers, [TopicSpec(name=name, partitions=5)])

    assert await ensure_topics(brokers, [TopicSpec(name=name, partitions=3)]) == {name: 5}


async def test_workers_may_create_the_same_topics_at_the_same_time(brokers: str) -> None:
    specs = [TopicSpec(name=f"shared-{uuid.uuid4().hex[:8]}-{number}", partitions=2) for number in range(4)]

    counts = await asyncio.gather(*[ensure_topics(brokers, specs) for _ in range(5)])

    assert counts == [{spec.name: 2 for spec in specs}] * 5


@pytest.mark.real
async def test_a_topic_that_kafka_does_not_create_is_a_wrong_setting(real_servers: Mapping[str, str]) -> None:
    """Tansu takes any name."""
    with pytest.raises(SettingsError, match="Kafka refuses"):
        await ensure_topics(real_servers["KAFKA_BROKERS"], [TopicSpec(name="not/a/name", partitions=1)])


async def test_a_broker_that_is_away_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens here
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(BusUnavailableError, match=address):
            await ensure_topics(address, [TopicSpec(name="t", partitions=1)], patience=0.5)
        with pytest.raises(BusUnavailableError, match=address):
            await open_producer(address, patience=0.5)
