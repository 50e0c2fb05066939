"""What the brokers say of themselves, of topics and of who reads them; nothing is created or changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

from famulus.adapters.kafka.admin import asked, silent

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


async def inspect(
    brokers: str, topics: Sequence[str], *, patience: float, options: Mapping[str, Any] | None = None
) -> ClusterFacts:
    """Options are those of the connection, as aiokafka takes them.

    Raises `BusUnavailableError` when no broker answers in time.
    """
    async with asked(brokers, patience=patience, request_timeout_ms=REQUEST_TIMEOUT_MS, options=options) as admin:
        cluster = await admin.describe_cluster()
        # Asking for a topic by its name may create it, with the broker's defaults: list them all.
        found = {topic["topic"]: topic for topic in await admin.describe_topics() if topic["topic"] in topics}
        limits = await _limits(admin, list(found))
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


# -- groups ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFacts:
    """Who reads a topic, and how far."""

    partitions: int
    """Of the topic; 0: there is no such topic."""
    members: int
    is_settled: bool
    """No member joins or leaves at the moment."""
    owners: Mapping[int, str] | None
    """Partition -> client id of the member that has it; ``None`` where the broker does not tell, as the embedded one.

    That one also counts members which have left.
    """
    unread: Mapping[int, int]
    """Partition -> records that the group has not acknowledged, of those for which both ends are known."""


async def inspect_group(
    brokers: str, *, group: str, topic: str, patience: float, options: Mapping[str, Any] | None = None
) -> GroupFacts:
    """Raises `BusUnavailableError` when no broker answers in time."""
    try:
        async with asked(brokers, patience=patience, request_timeout_ms=REQUEST_TIMEOUT_MS, options=options) as admin:
            found = {each["topic"]: each["partitions"] for each in await admin.describe_topics()}.get(topic, ())
            numbers = sorted(each["partition"] for each in found)
            (described,) = await admin.describe_consumer_groups([group])
            (told,) = described.to_object()["groups"]
            places = [TopicPartition(topic, number) for number in numbers]
            unread = await _unread(admin, brokers, group, places, options=options or {})
    except ValueError as error:
        raise silent(brokers, error) from error
    return GroupFacts(
        partitions=len(numbers),
        members=len(told["members"]),
        is_settled=told["state"] in _SETTLED,
        owners=_owners(told["members"], topic),
        unread=unread,
    )


_SETTLED: Final = frozenset({"Stable", "Empty", "Dead"})


async def _unread(
    admin: Any, brokers: str, group: str, partitions: Sequence[TopicPartition], *, options: Mapping[str, Any]
) -> dict[int, int]:
    if not partitions:
        return {}
    committed = await admin.list_consumer_group_offsets(group, partitions=list(partitions))
    consumer: Any = AIOKafkaConsumer(  # type: ignore[no-untyped-call]  # aiokafka has no types
        bootstrap_servers=brokers, enable_auto_commit=False, **options
    )
    try:
        await consumer.start()
        ends = await consumer.end_offsets(list(partitions))
        begins = await consumer.beginning_offsets(list(partitions))
    finally:
        await consumer.stop()
    # Nothing committed yet: the group begins at the first record that there is.
    return {
        each.partition: max(0, ends[each] - max(committed[each].offset, begins[each]))
        for each in partitions
        if each in ends and each in committed
    }


def _owners(members: Sequence[Mapping[str, Any]], topic: str) -> dict[int, str] | None:
    owners: dict[int, str] = {}
    for member in members:
        if not member["member_assignment"]:
            return None
        assigned = ConsumerProtocolMemberAssignment.decode(member["member_assignment"])
        for name, numbers in assigned.assignment:
            if name == topic:
                owners.update(dict.fromkeys(numbers, member["client_id"]))
    return owners
