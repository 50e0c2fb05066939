"""A broker for the tests of the Kafka and Faust adapters, and workers as processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from support.files import whole_lines
from support.logs import records_so_far

from famulus.adapters.kafka.bus import open_producer
from famulus.adapters.kafka.topics import TopicSpec, ensure_topics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

WORKER = Path(__file__).with_name("faust_worker.py")
DEADLINE_SECONDS = 120.0
"""Workers are real processes, each with a group to join."""


@pytest.fixture(
    scope="session",
    params=[pytest.param("embedded", marks=pytest.mark.embedded), pytest.param("real", marks=pytest.mark.real)],
)
def servers(request: pytest.FixtureRequest) -> str:
    """Which servers: those of the session, Tansu and Kafka."""
    return str(request.param)


@pytest.fixture(scope="session")
def brokers(request: pytest.FixtureRequest, servers: str) -> str:
    """The address of a broker."""
    return str(request.getfixturevalue(f"{servers}_servers")["KAFKA_BROKERS"])


async def eventually(holds: Callable[[], Any], *, what: str, seconds: float = DEADLINE_SECONDS) -> Any:
    """Ask until the answer is true, and return it; may be asked for by tests as the fixture of the same name."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = holds()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {seconds:g} s: {what}")


async def _lacks(admin: AIOKafkaAdminClient, topic: str) -> bool:
    return topic not in await admin.list_topics()


@dataclass
class Cluster:
    """Workers on one topic and group, and what they wrote down: a line for each start and end of a record."""

    brokers: str
    folder: Path
    servers: str
    topic: str = field(default_factory=lambda: f"test-{uuid.uuid4().hex[:8]}")
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def gate(self) -> Path:
        """While this file is missing, records of the kind "wait" run on."""
        return self.folder / "gate"

    async def create(self, *, partitions: int) -> None:
        topics = [
            TopicSpec(name=self.topic, partitions=partitions),
            TopicSpec(name=f"{self.topic}-dead", partitions=1),
        ]
        await ensure_topics(self.brokers, topics, patience=DEADLINE_SECONDS)

    async def create_anew(self, *, partitions: int) -> None:
        """Delete the topic and make it again at once."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.brokers)
        await admin.start()
        try:
            await admin.delete_topics([self.topic])
            await eventually(lambda: _lacks(admin, self.topic), what="the topic is gone")
        finally:
            await admin.close()
        await self.create(partitions=partitions)

    def start_worker(self, *, table: bool = False, **environ: str) -> subprocess.Popen[bytes]:
        number = len(self.workers)
        environment = {
            **os.environ,
            "TEST_BROKERS": self.brokers,
            "TEST_SERVERS": self.servers,
            "TEST_TOPIC": self.topic,
            "TEST_FOLDER": str(self.folder),
            "TEST_DATADIR": str(self.folder / f"data-{number}"),
            "PYTHONPATH": os.pathsep.join([str(WORKER.parent), *sys.path]),
            **environ,
        }
        if table:
            environment["TEST_TABLE"] = "1"
        command = [sys.executable, "-m", "faust", "-A", WORKER.stem, "worker", "-l", "info", "--without-web"]
        with (self.folder / f"worker-{number}.log").open("wb") as output:
            worker = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        self.workers.append(worker)
        return worker

    async def send(self, *values: Any, partition: int | None = None) -> None:
        """Send each value, JSON unless it is bytes, to the partition or to that of its own key."""
        producer: Any = await open_producer(self.brokers, patience=DEADLINE_SECONDS)
        try:
            sent = [
                await producer.send(
                    self.topic,
                    value if isinstance(value, bytes) else json.dumps(value).encode(),
                    key=b"key-%d" % number,
                    partition=partition,
                )
                for number, value in enumerate(values)
            ]
            await asyncio.gather(*sent)
        finally:
            await producer.stop()

    def notes(self, kind: str) -> list[tuple[str, int]]:
        """Id of the record and pid of the worker, for each note of that kind, in order."""
        return [(name, pid) for noted, name, pid in self._all_notes() if noted == kind]

    def kinds(self, worker: int) -> list[str]:
        """The kinds of the notes of one worker, in order."""
        return [kind for kind, _, pid in self._all_notes() if pid == worker]

    def ids(self, kind: str) -> list[str]:
        return [name for name, _ in self.notes(kind)]

    def _all_notes(self) -> list[tuple[str, str, int]]:
        words = [line.split() for line in whole_lines(self.folder / "notes")]
        return [(kind, name, int(pid)) for kind, name, pid in words]

    async def committed(self, partition: int = 0) -> int:
        """The committed offset of the group; 0 when nothing is committed."""
        consumer: Any = AIOKafkaConsumer(bootstrap_servers=self.brokers, group_id=self.topic, enable_auto_commit=False)
        await consumer.start()
        try:
            return await consumer.committed(TopicPartition(self.topic, partition)) or 0
        finally:
            await consumer.stop()

    async def committed_in_all(self, partitions: int) -> int:
        return sum([await self.committed(partition) for partition in range(partitions)])

    async def records(self, topic: str, *, partition: int = 0) -> list[Any]:
        """All records of the partition, as far as they are there now."""
        consumer: Any = AIOKafkaConsumer(
            bootstrap_servers=self.brokers, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return [record async for record in records_so_far(consumer, [TopicPartition(topic, partition)])]
        finally:
            await consumer.stop()

    async def stop(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGKILL)
            await asyncio.to_thread(worker.wait)


@pytest.fixture
async def cluster(brokers: str, servers: str, tmp_path: Path) -> AsyncIterator[Cluster]:
    cluster = Cluster(brokers, tmp_path, servers)
    yield cluster
    await cluster.stop()


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., Any]:
    return eventually
