"""Workers that start before their servers, and a broker that goes away and comes back."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from support.installation import END_SECONDS, FAN_STEPS, Installation
from support.world import eventually

from famulus.stacks import kafka
from famulus.stacks.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    from famulus.stacks.server import Server

RUNS = 100
HELD = 10
CALLS = RUNS * len(FAN_STEPS)


async def test_without_redis_a_worker_starts_and_joins_fire(installation: Installation) -> None:
    await installation.start_workers(1, REDIS_URL=f"redis://{LOOPBACK}:{free_port()}/0")

    run_ids = await installation.start_runs(10)

    await installation.all_completed(run_ids)


@pytest.mark.real
async def test_a_worker_waits_for_a_cassandra_that_is_still_starting(
    real_servers: Mapping[str, str], tmp_path: Path
) -> None:
    installation = Installation(real_servers, tmp_path)
    await installation.prepare()
    port = free_port()
    worker = installation.start_worker(CASSANDRA_CONTACT_POINTS=f"{LOOPBACK}:{port}")
    try:
        waits = "waiting for the store: Cassandra does not answer"
        await eventually(lambda: waits in worker.log(), within=END_SECONDS, every=0.05)
        async with forwarded(port, real_servers["CASSANDRA_CONTACT_POINTS"]):
            await worker.ready()
            await installation.all_completed(await installation.start_runs(1))
    finally:
        installation.close()


@pytest.mark.real
async def test_a_worker_without_tables_says_what_to_do_and_ends(
    real_servers: Mapping[str, str], tmp_path: Path
) -> None:
    installation = Installation(real_servers, tmp_path)
    await installation.prepare()
    worker = installation.start_worker(FAMULUS_CASSANDRA_KEYSPACE="no_such_keyspace")
    try:
        assert await worker.ended() == 1
    finally:
        installation.close()

    (line,) = worker.problems()
    assert "no_such_keyspace" in line
    assert "famulus schema migrate" in line
    assert "Traceback" not in worker.log()


@pytest.fixture
def own_kafka(real_servers: Mapping[str, str], tmp_path: Path) -> Iterator[Server]:
    """A broker that a test may kill."""
    port = free_port()
    server = kafka.kafka(tmp_path / "kafka", port, controller_port=free_port([port]))
    server.up(lambda _: None)
    yield server
    server.down()


@pytest.mark.real
@pytest.mark.slow
async def test_runs_go_on_after_the_broker_was_killed_and_started_again(
    real_servers: Mapping[str, str], own_kafka: Server, tmp_path: Path
) -> None:
    installation = Installation({**real_servers, "KAFKA_BROKERS": own_kafka.address}, tmp_path)
    await installation.prepare()
    try:
        workers = await installation.start_workers(2)
        held = await installation.start_runs(HELD, "held10")  # so that runs are under way when the broker is killed
        run_ids = [*held, *await installation.start_runs(RUNS - HELD)]
        await installation.executed(CALLS // 2, by=workers)

        own_kafka.process.stop(grace_seconds=0)
        installation.open_gate()
        await asyncio.to_thread(own_kafka.up, lambda _: None)

        await installation.all_completed(run_ids)
        more = await installation.start_runs(20)
        await installation.all_completed(more)
        assert [worker.exit_code for worker in workers] == [None, None]
    except BaseException:
        for title, log in installation.logs_to_show():
            print(title, log)
        raise
    finally:
        installation.close()


@asynccontextmanager
async def forwarded(port: int, address: str) -> AsyncIterator[None]:
    """A server that appears on a port: what is sent there goes on to the address, and back."""
    host, _, target = address.split(",", maxsplit=1)[0].partition(":")

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            return  # either side has gone
        finally:
            writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(target or 9042))
        await asyncio.gather(pump(reader, back), pump(there, writer))

    server = await asyncio.start_server(connect, LOOPBACK, port)
    try:
        yield
    finally:
        server.close()
