"""What the brokers say of themselves and of topics; nothing is created or changed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from famulus.errors import BusUnavailableError

MAX_MESSAGE_BYTES: Final = "max.message.bytes"
REQUEST_TIMEOUT_MS: Final = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicFacts:
    partitions: int
    replication_factor: int
    """The least of all partitions."""
    without_leader: int
    max_message_bytes: int | None
    """``None`` where the broker does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFacts:
    brokers: int
    topics: Mapping[str, TopicFacts]
    """Of the topics asked for, those that exist."""


async def inspect(brokers: str, topics: Sequence[str], *, patience: float) -> ClusterFacts:
    """Raises `BusUnavailableError` when no broker answers in time."""
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=brokers, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        async with asyncio.timeout(patience):
            await admin.start()
            cluster = await admin.describe_cluster()
            # Asking for a topic by its name may create it, with the broker's defaults: list them all.
            found = {topic["topic"]: topic for topic in await admin.describe_topics() if topic["topic"] in topics}
            limits = await _limits(admin, list(found))
    except (KafkaError, OSError, TimeoutError) as error:
        raise BusUnavailableError(f"Kafka at {brokers} does not answer: {error or type(error).__name__}") from error
    finally:
        await admin.close()
    return ClusterFacts(
        brokers=len(cluster["brokers"]),
        topics={name: _facts(topic["partitions"], limits.get(name)) for name, topic in found.items()},
    )


async def _limits(admin: Any, topics: Sequence[str]) -> dict[str, int]:
    """The embedded broker does not know them all."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]  # type: ignore[no-untyped-call]
    responses = await admin.describe_configs(resources) if resources else []
    return {
        name: int(entry[1])
        for response in responses
        for _, _, _, name, entries in response.resources
        for entry in entries
        if entry[0] == MAX_MESSAGE_BYTES and entry[1]
    }


def _facts(partitions: Sequence[Mapping[str, Any]], max_message_bytes: int | None) -> TopicFacts:
    return TopicFacts(
        partitions=len(partitions),
        replication_factor=min((len(partition["replicas"]) for partition in partitions), default=0),
        without_leader=sum(partition["leader"] < 0 for partition in partitions),
        max_message_bytes=max_message_bytes,
    )
