"""Servers that come and go, and topics that vanish: a worker with its supervisor goes on by itself."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import urllib.error
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from support.installation import Installation
from support.workers import Worker
from support.world import eventually

from famulus.stacks.kafka import kafka
from famulus.stacks.ports import free_port
from famulus.stacks.tansu import tansu

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    from famulus.stacks.server import Server

WATCHFUL = {"FAMULUS_WATCH_SECONDS": "1", "FAMULUS_WATCH_PATIENCE_SECONDS": "12"}
RECOVERY_SECONDS = 120.0


@dataclass(frozen=True)
class OwnBroker:
    """A broker that a test may kill."""

    server: Server
    data: Path | None = None
    """What it would remember; nothing of the embedded one."""

    @property
    def address(self) -> str:
        return self.server.address

    def kill(self) -> None:
        self.server.process.stop(grace_seconds=0)

    def forget(self) -> None:
        """While it is down."""
        if self.data is not None:
            shutil.rmtree(self.data)

    async def up(self) -> None:
        await asyncio.to_thread(self.server.up, lambda _: None)


@pytest.fixture
def own_broker(servers: Mapping[str, str], tmp_path: Path) -> Iterator[OwnBroker]:
    if "FAMULUS_EMBEDDED" in servers:
        broker = OwnBroker(tansu(tmp_path / "tansu", free_port()))
    else:
        folder = tmp_path / "kafka"
        broker = OwnBroker(kafka(folder, free_port(), controller_port=free_port()), folder / "data")
    broker.server.up(lambda _: None)
    yield broker
    broker.kill()


@pytest.fixture
async def installation(
    servers: Mapping[str, str], own_broker: OwnBroker, tmp_path: Path
) -> AsyncIterator[Installation]:
    installation = Installation({**servers, "KAFKA_BROKERS": own_broker.address}, tmp_path)
    await installation.prepare()
    yield installation
    installation.close()


@asynccontextmanager
async def supervised(installation: Installation) -> AsyncIterator[list[Worker]]:
    """One worker, and another one whenever it has ended."""
    workers: list[Worker] = []

    async def supervise() -> None:
        while True:
            worker = installation.start_worker(**WATCHFUL)
            workers.append(worker)
            await eventually(lambda worker=worker: worker.exit_code is not None, within=3600, every=0.05)

    supervising = asyncio.create_task(supervise())
    try:
        await eventually(lambda: bool(workers))
        await workers[0].ready()
        yield workers
    finally:
        supervising.cancel()
        await asyncio.wait({supervising})


async def runs_end(installation: Installation, *, within: float = RECOVERY_SECONDS) -> None:
    """Runs that are started from now on end, however often somebody has to ask: the topic may come a moment later."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        try:
            run_ids = await installation.start_runs(3, "one")
            async with installation.records() as auditor:
                await auditor.ended(run_ids, within=10)
        except Exception:
            if loop.time() > deadline:
                raise
        else:
            return


@pytest.mark.slow
async def test_after_a_broker_that_has_forgotten_everything_runs_go_on_by_themselves(
    installation: Installation, own_broker: OwnBroker
) -> None:
    async with supervised(installation):
        gated = await installation.start_runs(5, "gated")
        await installation.executed(10)

        own_broker.kill()
        own_broker.forget()
        await own_broker.up()
        installation.open_gate()

        async with installation.records() as auditor:
            await auditor.ended(gated, within=RECOVERY_SECONDS)
            await auditor.all_agrees()
        await runs_end(installation)


@pytest.mark.slow
async def test_a_topic_that_is_deleted_is_told_and_made_anew_and_runs_go_on(
    installation: Installation, own_broker: OwnBroker
) -> None:
    async with supervised(installation) as workers:
        await runs_end(installation)
        admin = AIOKafkaAdminClient(bootstrap_servers=own_broker.address)
        await admin.start()
        try:
            await admin.delete_topics([f"{installation.name}.dead", f"{installation.name}.items"])
        finally:
            await admin.close()

        await eventually(
            lambda: any("does not exist any more" in worker.log() for worker in workers),
            within=RECOVERY_SECONDS,
            every=0.1,
        )
        await runs_end(installation)


@pytest.mark.slow
@pytest.mark.long
async def test_a_broker_that_is_away_is_a_reason_not_to_be_ready_and_none_to_end(
    installation: Installation, own_broker: OwnBroker
) -> None:
    (worker,) = await installation.start_workers(1, **WATCHFUL)

    own_broker.kill()

    def is_unready_for_it() -> bool:
        try:
            worker.page("/health/ready")
        except urllib.error.HTTPError as error:
            return "does not answer" in str(json.loads(error.read())["reasons"])
        except OSError:  # it has no time for an answer
            pass
        return False

    await eventually(is_unready_for_it, within=RECOVERY_SECONDS, every=0.2)
    assert json.loads(worker.page("/health/live")) == {"status": "live"}
    assert worker.exit_code is None
    await own_broker.up()


@pytest.mark.slow
@pytest.mark.parametrize("servers", [pytest.param("embedded", marks=pytest.mark.embedded)], indirect=True)
async def test_a_store_that_is_locked_for_a_while_ends_no_worker(installation: Installation) -> None:
    """SQLite's own; a Cassandra that stands still is in `test_servers.py`."""
    (worker,) = await installation.start_workers(1, **WATCHFUL)
    await runs_end(installation)
    lock = sqlite3.connect(installation.folder / "famulus.db", isolation_level=None, timeout=RECOVERY_SECONDS)
    lock.execute("BEGIN EXCLUSIVE")
    run_ids = await installation.start_runs(3, "one")
    # SQLite itself waits for some seconds first.
    await eventually(lambda: "database is locked" in worker.log(), within=RECOVERY_SECONDS, every=0.1)

    lock.execute("ROLLBACK")
    lock.close()

    async with installation.records() as auditor:
        await auditor.ended(run_ids)
        await auditor.all_agrees()
    assert worker.exit_code is None
