"""Real Kafka and Cassandra keep what they acknowledged: over down and up, and when a server is killed."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import DCAwareRoundRobinPolicy

from famulus.stacks import RealStack
from famulus.stacks.process import look_at

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    CreateTopic = Callable[[str, str], Awaitable[None]]

pytestmark = [pytest.mark.real, pytest.mark.slow]

PATIENCE_SECONDS = 60.0


@pytest.fixture
def stack(real_stack: RealStack) -> RealStack:
    """The stack of the whole session, as a start takes seconds; each test leaves it up and uses its own names."""
    return real_stack


async def produce(environment: dict[str, str], topic: str, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=environment["KAFKA_BROKERS"], acks="all") as producer:
        await producer.send_and_wait(topic, value)


async def consume(environment: dict[str, str], topic: str) -> bytes:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=environment["KAFKA_BROKERS"],
        group_id=f"readers-of-{topic}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    async with consumer:
        record = await consumer.getone()
    assert record.value is not None
    return record.value


def run_cql(environment: dict[str, str], *statements: str) -> list[tuple[object, ...]]:
    """Run the statements and return the rows of the last."""
    host, port = environment["CASSANDRA_CONTACT_POINTS"].split(":")
    policy = DCAwareRoundRobinPolicy(environment["CASSANDRA_DATACENTER"])
    profiles = {EXEC_PROFILE_DEFAULT: ExecutionProfile(policy, request_timeout=PATIENCE_SECONDS)}
    patience = {"connect_timeout": PATIENCE_SECONDS, "control_connection_timeout": PATIENCE_SECONDS}
    with Cluster([host], port=int(port), execution_profiles=profiles, protocol_version=5, **patience) as cluster:
        session = cluster.connect()
        *_, rows = (list(session.execute(statement)) for statement in statements)
    return [tuple(row) for row in rows]


async def test_down_leaves_no_process_and_topics_and_tables_are_there_after_the_next_up(
    stack: RealStack, create_topic: CreateTopic
) -> None:
    environment = stack.environment()
    await create_topic(environment["KAFKA_BROKERS"], "kept")
    await produce(environment, "kept", b"record")
    run_cql(
        environment,
        "CREATE KEYSPACE kept WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 1}",
        "CREATE TABLE kept.rows (id int PRIMARY KEY, text text)",
        "INSERT INTO kept.rows (id, text) VALUES (1, 'row') IF NOT EXISTS",
    )

    pids = [server.pid for server in stack.status()]

    assert stack.down() == ["kafka", "cassandra", "valkey"]

    assert None not in pids
    assert [look_at(pid) for pid in pids if pid] == [None, None, None]
    assert stack.up() == environment
    assert await consume(environment, "kept") == b"record"
    assert run_cql(environment, "SELECT id, text FROM kept.rows") == [(1, "row")]


async def test_killed_servers_are_replaced_by_the_next_up(stack: RealStack, create_topic: CreateTopic) -> None:
    environment = stack.environment()
    await create_topic(environment["KAFKA_BROKERS"], "killed")
    await produce(environment, "killed", b"record")
    kafka, cassandra, valkey = stack.status()
    assert kafka.pid is not None
    assert cassandra.pid is not None
    os.kill(kafka.pid, signal.SIGKILL)
    os.kill(cassandra.pid, signal.SIGKILL)

    assert stack.up() == environment

    after = stack.status()
    assert all(server.running for server in after)
    assert [server.pid for server in after][2] == valkey.pid
    assert await consume(environment, "killed") == b"record"
    assert run_cql(environment, "SELECT cluster_name FROM system.local") == [("famulus",)]


def test_valkey_of_the_real_stack_answers(stack: RealStack) -> None:
    with redis.Redis.from_url(stack.environment()["REDIS_URL"]) as client:
        assert client.ping()
