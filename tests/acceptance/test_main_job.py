"""From a record of a plain producer to finished runs, whatever happens to workers and servers meanwhile.

Two workers, 200 runs of ten parallel branches and a join. Each test does one thing to them when half of the work is
done, and then asks for the same: every run completed, its join fired once and after all branches, no step recorded
twice. How often the nodes themselves were called is counted by the nodes. Some runs have a branch that waits at a gate
until that one thing is done: so however quick the workers are, it is done in the middle.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis
from support.installation import END_SECONDS, FAN_STEPS, PARTITIONS, Installation, start_json
from support.world import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.workers import Worker

    from famulus.stacks.server import Server

pytestmark = pytest.mark.slow

RUNS = 200
HELD = 20
"""Of them; fewer than a worker runs steps at a time."""
CALLS = RUNS * len(FAN_STEPS)
HALFWAY = CALLS // 2


async def start_all(installation: Installation) -> list[str]:
    return [*await installation.start_runs(HELD, "held10"), *await installation.start_runs(RUNS - HELD)]


async def half_done(installation: Installation, workers: Sequence[Worker]) -> list[str]:
    """Start the runs, and return their ids when half of the work is done, some of it by each worker."""
    run_ids = await start_all(installation)
    await installation.executed(HALFWAY, by=workers)
    return run_ids


async def in_the_middle(installation: Installation, run_ids: Sequence[str]) -> None:
    """What a test has done so far it has done while runs were under way; now all of them go on."""
    assert await installation.unfinished(run_ids) >= HELD
    installation.open_gate()


async def assert_called_once(installation: Installation, epoch: int, *, moves_in_order: int = 0) -> None:
    """Each step, unless the broker took its worker, which was slow, for a dead one: then another one inherits it."""
    assert await installation.called_too_often(epoch, moves_in_order=moves_in_order) == {}
    assert len({(call.run_id, call.step_id) for call in installation.executions()}) == CALLS
    assert [problem for worker in installation.workers for problem in worker.problems()] == []


# -- workers -----------------------------------------------------------------------------------------------------------


async def test_kill_9_of_a_worker_loses_no_run_and_records_no_step_twice(installation: Installation) -> None:
    survivor, victim = await installation.start_workers(2)
    epoch = await installation.take_epoch()
    run_ids = await half_done(installation, [survivor, victim])

    victim.kill()

    await in_the_middle(installation, run_ids)
    await installation.all_completed(run_ids)
    assert await installation.called_too_often(epoch) == {}, "only what was at hand is called again"
    assert survivor.problems() == []


async def test_sigterm_lets_steps_end_and_none_is_called_twice(installation: Installation) -> None:
    stays, goes = await installation.start_workers(2, FAMULUS_DRAIN_SECONDS="60")
    epoch = await installation.take_epoch()
    run_ids = await half_done(installation, [stays, goes])

    goes.send(signal.SIGTERM)

    await in_the_middle(installation, run_ids)
    await installation.all_completed(run_ids)
    assert await goes.ended() == 0
    await assert_called_once(installation, epoch, moves_in_order=1)


async def test_a_third_worker_takes_its_share_in_the_middle(installation: Installation) -> None:
    workers = await installation.start_workers(2)
    run_ids = await half_done(installation, workers)

    third = installation.start_worker()
    await third.ready()

    await in_the_middle(installation, run_ids)
    more = await installation.start_runs(RUNS)
    await installation.all_completed([*run_ids, *more])
    assert third.pid in {call.pid for call in installation.executions()}
    assert [problem for worker in installation.workers for problem in worker.problems()] == []


async def test_runs_go_on_after_all_workers_were_killed(installation: Installation) -> None:
    workers = await installation.start_workers(2)
    epoch = await installation.take_epoch()
    run_ids = await half_done(installation, workers)

    for worker in workers:
        worker.kill()

    await in_the_middle(installation, run_ids)
    restarted = [installation.start_worker(), installation.start_worker()]
    await installation.all_completed(run_ids)
    assert await installation.called_too_often(epoch) == {}, "only what was at hand is called again"
    assert [problem for worker in restarted for problem in worker.problems()] == []


async def test_a_paused_worker_that_wakes_up_changes_nothing_that_others_finished(installation: Installation) -> None:
    workers = await installation.start_workers(2)
    run_ids = await installation.start_runs(20, "gated")
    await eventually(lambda: _all_wait_at_the_gate(installation, run_ids), within=END_SECONDS, every=0.05)
    first, second = workers

    await pause(first, installation)
    installation.open_gate()
    async with installation.records() as auditor:
        await auditor.ended(run_ids)
        before = [await auditor.sees(run_id) for run_id in run_ids]
        first.send(signal.SIGCONT)
        more = await installation.start_runs(20)
        await first.ready()
        await installation.all_completed(more)
        after = [await auditor.sees(run_id) for run_id in run_ids]

    assert after == before
    assert {shown["status"] for shown in after} == {"completed"}
    for shown in after:  # each owner that finds a step due says so
        told = [(each["type"], each.get("step")) for each in shown["events"] if each["type"] != "step.inherited"]
        assert len(told) == len(set(told))
    assert second.problems() == []


async def pause(worker: Worker, installation: Installation) -> None:
    """Where it does not write to the file of SQLite: else nobody could until it goes on."""
    while True:
        worker.send(signal.SIGSTOP)
        if await asyncio.to_thread(_can_be_written, Path(installation.environment["FAMULUS_SQLITE_PATH"])):
            return
        worker.send(signal.SIGCONT)


def _can_be_written(database: Path) -> bool:
    if not database.exists():  # the runs are elsewhere
        return True
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
        return True


def _all_wait_at_the_gate(installation: Installation, run_ids: Sequence[str]) -> bool:
    return {call.run_id for call in installation.executions() if call.step_id == "closed"} == set(run_ids)


# -- Redis or Valkey ---------------------------------------------------------------------------------------------------


async def test_flushall_changes_nothing(installation: Installation, own_valkey: Server) -> None:
    url = f"redis://{own_valkey.address}/0"
    workers = await installation.start_workers(2, REDIS_URL=url)
    epoch = await installation.take_epoch()
    run_ids = await start_all(installation)

    emptied = 0
    async with Redis.from_url(url) as redis:
        for share in (4, 3, 2):
            await installation.executed(CALLS // share, by=workers)
            emptied += await redis.dbsize()
            await redis.flushall()
    assert emptied > 0

    await in_the_middle(installation, run_ids)
    await installation.all_completed(run_ids)
    await assert_called_once(installation, epoch)


async def test_a_killed_valkey_changes_nothing(installation: Installation, own_valkey: Server) -> None:
    workers = await installation.start_workers(2, REDIS_URL=f"redis://{own_valkey.address}/0")
    epoch = await installation.take_epoch()
    run_ids = await half_done(installation, workers)

    own_valkey.process.stop(grace_seconds=0)

    await in_the_middle(installation, run_ids)
    await installation.all_completed(run_ids)
    await assert_called_once(installation, epoch)


# -- producers that know nothing ---------------------------------------------------------------------------------------


async def test_a_json_line_without_key_starts_a_run(running: Installation) -> None:
    line = '{"run_id": "from-the-shell", "blueprint_id": "fan10"}'

    async with running.producer() as producer:
        for partition in range(PARTITIONS):  # wherever the shell's producer puts it
            await producer.send_and_wait(running.jobs, line.encode(), partition=partition)

    await running.all_completed(["from-the-shell"])
    assert [call.step_id for call in running.executions() if call.run_id == "from-the-shell"].count("join") == 1


async def test_a_producer_that_partitions_by_crc32_starts_runs(running: Installation) -> None:
    """As librdkafka does by default, and with it most clients that are not written in Java."""
    run_ids = [f"crc32-{number}" for number in range(20)]

    async with running.producer(partitioner=_crc32) as producer:
        for run_id in run_ids:
            await producer.send_and_wait(running.jobs, start_json(run_id, "fan10"), key=run_id.encode())

    await running.all_completed(run_ids)


async def test_a_job_of_flowcrafts_adapter_starts_a_run(running: Installation) -> None:
    job = {"runId": "from-flowcraft", "blueprintId": "fan10", "nodeId": "begin"}

    async with running.producer() as producer:
        await producer.send_and_wait(running.jobs, json.dumps(job).encode(), key=b"from-flowcraft")

    await running.all_completed(["from-flowcraft"])


def _crc32(key: bytes | None, all_partitions: Sequence[int], available: Sequence[int]) -> Any:
    return all_partitions[zlib.crc32(key or b"") % len(all_partitions)]
