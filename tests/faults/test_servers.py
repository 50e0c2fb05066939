"""Rows 17, 20 and 22: servers that stand still, and topics that are deleted, made anew or made larger."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from support.faulty import RUNS, lasts, open_rig
from support.installation import PARTITIONS
from support.world import eventually

from famulus.adapters.kafka.topics import TopicSpec, ensure_topics
from famulus.adapters.memory.murmur2 import partition_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from support.faulty import Rig

    from famulus.stacks import RealStack

pytestmark = [pytest.mark.real, pytest.mark.slow]

WATCHFUL = {"FAMULUS_WATCH_SECONDS": "1", "FAMULUS_WATCH_PATIENCE_SECONDS": "30"}
TOPIC_SECONDS = 60.0
"""For the members of a group that is disturbed twice: once for each worker that joins it anew."""
STILL_SECONDS = 12.0
"""Longer than any request may take."""


@contextmanager
def stopped(stack: RealStack, name: str) -> Iterator[None]:
    (pid,) = [status.pid for status in stack.status() if status.name == name]
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("seconds", [STILL_SECONDS, pytest.param(60.0, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", ["cassandra", "kafka"])
async def test_a_server_that_stands_still_burns_no_attempt_and_ends_no_worker(
    rig: Rig, real_stack: RealStack, name: str, seconds: float
) -> None:
    run_ids = await rig.half_way()

    with stopped(real_stack, name):
        await lasts(seconds)

    await rig.recovers(run_ids)
    assert {call.attempt for call in rig.calls_of(run_ids)} == {1}


# -- row 22: topics ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def admin_of(rig: Rig) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=rig.installation.servers["KAFKA_BROKERS"])
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def delete_jobs(rig: Rig) -> None:
    async with admin_of(rig) as admin:
        await admin.delete_topics([rig.installation.jobs])


@pytest.mark.parametrize("again", ["nobody makes it anew", "somebody makes it anew at once"])
async def test_runs_go_on_after_their_topic_was_deleted(
    real_servers: Mapping[str, str], tmp_path: Path, again: str
) -> None:
    async with open_rig(real_servers, tmp_path) as rig:
        workers = await rig.start_workers(2, **WATCHFUL)
        run_ids = await rig.half_way()

        await delete_jobs(rig)
        if again == "somebody makes it anew at once":
            spec = TopicSpec(name=rig.installation.jobs, partitions=PARTITIONS)
            await ensure_topics(rig.installation.servers["KAFKA_BROKERS"], [spec])
        else:
            await eventually(lambda: any("does not exist any more" in each.log() for each in workers), within=60)
        await rig.recovers(await known(rig, run_ids), within=TOPIC_SECONDS)
        assert max(each.log().count("the consumer is restarted") for each in workers) <= 1


async def known(rig: Rig, run_ids: list[str]) -> list[str]:
    """Runs that were accepted: of a start that lay on the topic alone, nobody knows any more."""
    called = {call.run_id for call in rig.calls_of(run_ids)}
    assert called
    return [run_id for run_id in run_ids if run_id in called]


async def test_runs_on_partitions_that_are_added_are_found(real_servers: Mapping[str, str], tmp_path: Path) -> None:
    async with open_rig(real_servers, tmp_path) as rig:
        await rig.start_workers(2)
        run_ids = await rig.half_way()

        async with admin_of(rig) as admin:
            await admin.create_partitions({rig.installation.jobs: NewPartitions(2 * PARTITIONS)})
        more = await rig.installation.start_runs(RUNS)

        assert any(partition_for(run_id.encode(), 2 * PARTITIONS) >= PARTITIONS for run_id in more)
        await rig.recovers([*run_ids, *more], within=60)
        assert rig.called_again(more) == []
