"""A secret that nodes return, raise, log, write and tell: whatever is kept afterwards, it is nowhere."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.asyncio import Redis
from support.documents import blueprint
from support.installation import END_SECONDS, PARTITIONS, Installation
from support.logs import records_so_far
from support.world import eventually

from famulus.adapters.cassandra.connection import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

KEY = {"params": {"key": "secret://canary"}}
LEAKY = blueprint(
    "leaky",
    {
        "everywhere": {"uses": "leaky.everywhere", **KEY},
        "raises": {"uses": "leaky.raises", **KEY, "config": {"maxRetries": 2, "retryDelay": 10}},
        "items": {"uses": "map", "inputs": "n", "params": {"uses": "leaky.item", "spread": True, **KEY}},
        "process": {"uses": "leaky.process", **KEY, "inputs": {"token": "secret://canary"}},
    },
)


async def test_a_secret_is_in_no_store_no_topic_no_log_and_no_view(servers: Mapping[str, str], tmp_path: Path) -> None:
    canary = f"canary-{uuid.uuid4().hex}"
    installation = Installation(servers, tmp_path, blueprints=[LEAKY])
    await installation.prepare()
    try:
        (worker,) = await installation.start_workers(
            1, FAMULUS_NODES="support.leaky_nodes", FAMULUS_SECRET_CANARY=canary, FAMULUS_LOG_LEVEL="debug"
        )
        async with installation.producer() as producer:
            value = b'{"run_id": "leaky", "blueprint_id": "leaky", "input": {"n": [1, 2, 3]}}'
            await producer.send_and_wait(installation.jobs, value, key=b"leaky")
        async with installation.records() as auditor:
            await auditor.ended(["leaky"])
            view = await auditor.reader.show("leaky")  # type: ignore[arg-type]
        await eventually(lambda: "leaked by the log of a process" in worker.log(), within=END_SECONDS)
        await eventually(lambda: _is_told(installation), within=END_SECONDS, every=0.5)
        pages = [
            worker.page(path)
            for path in (
                "/",
                "/runs/leaky",
                "/api/v1/runs/leaky",
                "/api/v1/runs/leaky/events",
                "/api/v1/runs/leaky/steps",
            )
        ]
        kept = {
            "the store": await _store(installation),
            "the topics": b"".join([record async for record in _records(installation)]),
            "Valkey": await _valkey(servers, installation.name),
            "the log": worker.log().encode(),
            "the views": "".join(pages).encode(),
        }
    finally:
        installation.close()

    # It was there to be told, and what was told in its place is there: else this would prove nothing.
    outputs = {step.node_id: step.output for step in view.steps}
    assert outputs["everywhere"]["leaked"] == "***"
    assert outputs["items"] == [[1, "***"], [2, "***"], [3, "***"]]
    assert outputs["process"] == {"leaked": "***", "input": {"token": "***"}}
    for where, words in (
        ("the store", b"leaked by the error: ***"),
        ("the topics", b"leaked by progress: ***"),
        ("the log", b"leaked by the log: ***"),
        ("the log", b"leaked by a traceback"),
        ("the views", b"***"),
    ):
        assert words in kept[where], where
    for where, data in kept.items():
        assert canary.encode() not in data, where
        assert canary.partition("-")[2].encode() not in data, where


async def _is_told(installation: Installation) -> bool:
    """Whether the topics have what is told behind the rows: of the steps while they ran, and of the end of the run."""
    told = b"".join([record async for record in _records(installation)])
    return all(words in told for words in (b"leaked by progress", b"step.chunk", b"run.failed"))


async def _store(installation: Installation) -> bytes:
    if points := installation.servers.get("CASSANDRA_CONTACT_POINTS"):
        return await asyncio.to_thread(_rows_of_cassandra, points, installation.environment)
    files = installation.folder.glob("famulus.db*")
    return b"".join(file.read_bytes() for file in files)


def _rows_of_cassandra(points: str, environment: Mapping[str, str]) -> bytes:
    """Every row of every table of the keyspace, whoever wrote it."""
    session: Any = connect(points)
    keyspace = environment["FAMULUS_CASSANDRA_KEYSPACE"]
    try:
        tables = session.cluster.metadata.keyspaces[keyspace].tables
        assert {"steps", "events", "context", "runs"} <= set(tables)
        rows = (row for table in tables for row in session.execute(f"SELECT * FROM {keyspace}.{table}"))
        return b"".join(repr(row).encode() for row in rows)
    finally:
        session.cluster.shutdown()


async def _records(installation: Installation) -> AsyncIterator[bytes]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=installation.servers["KAFKA_BROKERS"], enable_auto_commit=False, auto_offset_reset="earliest"
    )
    async with consumer:
        topics = [f"{installation.name}.{topic}" for topic in ("jobs", "items", "events", "dead")]
        known = [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]
        async for record in records_so_far(consumer, known):
            yield repr((record.key, record.value, record.headers)).encode()


async def _valkey(servers: Mapping[str, str], namespace: str) -> bytes:
    async with Redis.from_url(servers["REDIS_URL"], protocol=2) as redis:
        keys = [key async for key in redis.scan_iter(match=f"*{namespace}*")]
        return b"".join(keys) + b"".join([await redis.dump(key) or b"" for key in keys])
