"""The embedded stack serves a Kafka client and a Redis client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from famulus.stacks import EmbeddedStack

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    CreateTopic = Callable[[str, str], Awaitable[None]]

pytestmark = pytest.mark.embedded


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[EmbeddedStack]:
    with EmbeddedStack(tmp_path / "stack") as stack:
        yield stack


async def test_record_goes_through_a_topic_of_the_broker(stack: EmbeddedStack, create_topic: CreateTopic) -> None:
    brokers = stack.environment()["KAFKA_BROKERS"]

    await create_topic(brokers, "greetings")
    async with AIOKafkaProducer(bootstrap_servers=brokers) as producer:
        await producer.send_and_wait("greetings", b"hello", key=b"k")
    async with AIOKafkaConsumer("greetings", bootstrap_servers=brokers, auto_offset_reset="earliest") as consumer:
        record = await consumer.getone()

    assert (record.key, record.value) == (b"k", b"hello")


def test_valkey_answers_and_runs_scripts(stack: EmbeddedStack) -> None:
    with redis.Redis.from_url(stack.environment()["REDIS_URL"]) as client:
        assert client.ping()
        assert client.eval("return redis.call('incr', KEYS[1])", 1, "counter") == 1


def test_environment_names_no_cassandra_but_a_file_under_the_data(stack: EmbeddedStack) -> None:
    environment = stack.environment()

    assert set(environment) == {"KAFKA_BROKERS", "REDIS_URL", "FAMULUS_SQLITE_PATH"}
    assert environment["FAMULUS_SQLITE_PATH"] == str(stack.data_dir / "famulus.db")


def test_status_tells_version_and_address_of_each_server(stack: EmbeddedStack) -> None:
    environment = stack.environment()

    tansu, valkey = stack.status()

    assert (tansu.name, tansu.running, tansu.address) == ("tansu", True, environment["KAFKA_BROKERS"])
    assert (valkey.name, valkey.running) == ("valkey", True)
    assert tansu.version
    assert valkey.version
