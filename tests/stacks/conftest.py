"""Fixtures for the tests that start real processes."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from famulus.stacks import StackError, maven
from famulus.stacks.cassandra import CASSANDRA
from famulus.stacks.java import find_java
from famulus.stacks.kafka import KAFKA, LOG_BRIDGE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    CreateTopic = Callable[[str, str], Awaitable[None]]


@pytest.fixture(scope="session")
def real_stack_possible() -> None:
    """Skip, with the reason, where this machine cannot run real Kafka and Cassandra."""
    try:
        find_java()
    except StackError as error:
        pytest.skip(str(error))
    fetched = maven.is_cached(KAFKA, LOG_BRIDGE) and maven.is_cached(CASSANDRA)
    if not fetched and shutil.which("mvn") is None:
        pytest.skip("Kafka and Cassandra are not in the cache and there is no mvn on PATH to fetch them")


@pytest.fixture
def create_topic() -> CreateTopic:
    """A function that creates the topic of that name, with two partitions, on the brokers."""

    async def create(brokers: str, topic: str) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(topic, num_partitions=2, replication_factor=1)])
        finally:
            await admin.close()

    return create
