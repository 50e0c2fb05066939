"""Fixtures for the tests that start real processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    CreateTopic = Callable[[str, str], Awaitable[None]]


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
