"""Which topic a name stands for now: Kafka gives each one an id when it is made, and no two have the same.

It is told from Metadata v10 on (KIP-516, Kafka 2.8), and aiokafka speaks v5: what is written here is that one request.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from io import BytesIO
from typing import Any, ClassVar, Final
from uuid import UUID

from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

METADATA: Final = 3
NONE: Final = UUID(int=0)
"""What a broker says of a topic that it does not have, or whose id it does not know."""


async def topic_ids(client: Any, topics: Collection[str], *, node: int) -> Mapping[str, UUID]:
    """Ask this node for the ids of these topics; those that it does not tell are left out.

    The client is an `AIOKafkaClient`. Nothing is created. Raises `KafkaError` when the node does not answer.
    """
    try:
        answer = await client.send(node, TopicIdsRequest(topics))
    except (IncompatibleBrokerVersion, NotImplementedError):  # a broker from before that, or one of another kind
        return {}
    return {name: topic_id for _, name, topic_id, *_ in answer.topics if topic_id != NONE}


class Uuid(AbstractType[UUID]):
    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


class TopicIdsResponse(Response):
    API_KEY = METADATA
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class TopicIdsRequest_v10(RequestStruct):  # noqa: N801 - as aiokafka names them
    FLEXIBLE_VERSION = True
    API_KEY = METADATA
    API_VERSION = 10
    RESPONSE_TYPE: ClassVar[type[Response]] = TopicIdsResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicIdsRequest(Request[TopicIdsRequest_v10]):
    API_KEY = METADATA

    def __init__(self, topics: Collection[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[TopicIdsRequest_v10]) -> TopicIdsRequest_v10:
        creates, tells_rights_of_cluster, tells_rights_of_topics = False, False, False
        topics: list[tuple[UUID, str, dict[int, bytes]]] = [(NONE, topic, {}) for topic in self._topics]
        return request_struct_class(topics, creates, tells_rights_of_cluster, tells_rights_of_topics, {})
