"""Servers that come and go, and topics that vanish: a worker with its supervisor goes on by itself."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import urllib.error
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from support.installation import Installation
from support.workers import Worker
from support.world import eventually

from famulus.stacks.ports import free_port
from famulus.stacks.tansu import tansu

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from famulus.stacks.server import Server

WATCHFUL = {"FAMULUS_WATCH_SECONDS": "1", "FAMULUS_WATCH_PATIENCE_SECONDS": "12"}
RECOVERY_SECONDS = 120.0


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Server]:
    """A broker that a test may kill; it forgets everything."""
    server = tansu(tmp_path / "tansu", free_port())
    server.up(lambda _: None)
    yield server
    server.down()


@pytest.fixture
async def installation(own_broker: Server, tmp_path: Path) -> AsyncIterator[Installation]:
    installation = Installation({"KAFKA_BROKERS": own_broker.address, "FAMULUS_EMBEDDED": "true"}, tmp_path)
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


@pytest.mark.embedded
@pytest.mark.slow
async def test_after_a_broker_that_has_forgotten_everything_runs_go_on_by_themselves(
    installation: Installation, own_broker: Server
) -> None:
    async with supervised(installation):
        gated = await installation.start_runs(5, "gated")
        await installation.executed(10)

        own_broker.process.stop(grace_seconds=0)
        await asyncio.to_thread(own_broker.up, lambda _: None)
        installation.open_gate()

        async with installation.records() as auditor:
            await auditor.ended(gated, within=RECOVERY_SECONDS)
            await auditor.all_agrees()
        await runs_end(installation)


@pytest.mark.embedded
@pytest.mark.slow
async def test_a_topic_that_is_deleted_is_told_and_made_anew_and_runs_go_on(
    installation: Installation, own_broker: Server
) -> None:
    async with supervised(installation) as workers:
        await runs_end(installation)
        admin = AIOKafkaAdminClient(bootstrap_servers=own_broker.address)
        await admin.start()
        await admin.delete_topics([f"{installation.name}.dead", f"{installation.name}.items"])
        await admin.close()

        await eventually(lambda: "does not exist any more" in workers[0].log(), within=30, every=0.1)
        await runs_end(installation)


@pytest.mark.embedded
@pytest.mark.slow
@pytest.mark.long
async def test_a_broker_that_is_away_is_a_reason_not_to_be_ready_and_none_to_end(
    installation: Installation, own_broker: Server
) -> None:
    (worker,) = await installation.start_workers(1, **WATCHFUL)

    own_broker.process.stop(grace_seconds=0)

    def is_unready_for_it() -> bool:
        try:
            worker.page("/health/ready")
        except urllib.error.HTTPError as error:
            return "does not answer" in str(json.loads(error.read())["reasons"])
        return False

    await eventually(is_unready_for_it, within=20, every=0.2)
    assert json.loads(worker.page("/health/live")) == {"status": "live"}
    assert worker.exit_code is None
    await asyncio.to_thread(own_broker.up, lambda _: None)


@pytest.mark.embedded
@pytest.mark.slow
async def test_a_store_that_is_locked_for_a_while_ends_no_worker(installation: Installation) -> None:
    (worker,) = await installation.start_workers(1, **WATCHFUL)
    await runs_end(installation)
    lock = sqlite3.connect(installation.folder / "famulus.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    run_ids = await installation.start_runs(3, "one")
    await eventually(lambda: "not" in worker.log(), within=5, every=0.1)

    lock.execute("ROLLBACK")
    lock.close()

    async with installation.records() as auditor:
        await auditor.ended(run_ids)
        await auditor.all_agrees()
    assert worker.exit_code is None
