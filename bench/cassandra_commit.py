"""What a commit of one step costs on a real Cassandra: head, step and event in one batch.

    CASSANDRA_CONTACT_POINTS=127.0.0.1:9042 python bench/cassandra_commit.py

Prints one JSON object. CPU is that of this process with the driver's threads, so it is the worker's share; commits per
second depend on what else the machine does, CPU per commit much less.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
import uuid
from typing import TYPE_CHECKING, Any

from famulus.adapters.cassandra import CassandraDatabase, CassandraEpochs, CassandraRunStore, migrate
from famulus.ids import BlueprintId, Digest, Epoch, NodeId, RunId, StepId, stamp_of
from famulus.ports import Commit, EventRow, RunBirth, RunHead, StepRow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

KEYSPACE = "famulus_bench"
PAYLOAD = json.dumps({"text": "x" * 200}).encode()
WARM_UP = 500


async def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--commits", type=int, default=20_000)
    arguments.add_argument("--concurrency", type=int, default=100)
    given = arguments.parse_args()
    contact_points = os.environ["CASSANDRA_CONTACT_POINTS"]
    await migrate(contact_points, keyspace=KEYSPACE)
    database = await CassandraDatabase.open(contact_points, keyspace=KEYSPACE)
    try:
        namespace = uuid.uuid4().hex
        store = CassandraRunStore(database, namespace=namespace)
        epochs = CassandraEpochs(database, namespace=namespace)
        await measure(commits_of(store, "warm"), count=WARM_UP, concurrency=given.concurrency)
        figures = {
            "server": database.server.version,
            "load_average": os.getloadavg()[0],
            "commit": await measure(commits_of(store, "many"), count=given.commits, concurrency=given.concurrency),
            "commit_one_at_a_time": await measure(commits_of(store, "one"), count=2000, concurrency=1),
            "first_and_last_commit": await measure(short_runs_of(store), count=2000, concurrency=given.concurrency),
            "load_of_a_new_run": await measure(
                lambda number: store.load(RunId(f"none-{number}")), count=5000, concurrency=given.concurrency
            ),
            "load_of_200_steps": await measure(
                lambda number: store.load(RunId(f"many-{number % given.concurrency}")), count=200, concurrency=4
            ),
            "epoch": await measure(lambda _: epochs.take(), count=200, concurrency=1),
        }
    finally:
        await database.close()
    print(json.dumps(figures, indent=2))


async def measure(work: Callable[[int], Awaitable[Any]], *, count: int, concurrency: int) -> dict[str, float]:
    """Run ``work(0) .. work(count - 1)``; number ``n`` follows ``n - concurrency``, as commits of a run do."""
    seconds: list[float] = []

    async def lane(first: int) -> None:
        for number in range(first, count, concurrency):
            began = time.perf_counter()
            await work(number)
            seconds.append(time.perf_counter() - began)

    cpu, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*(lane(first) for first in range(concurrency)))
    elapsed, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    return {
        "per_second": round(count / elapsed),
        "client_cpu_us": round(cpu_seconds / count * 1e6, 1),
        "p50_ms": round(statistics.median(seconds) * 1e3, 3),
        "p99_ms": round(statistics.quantiles(seconds, n=100)[98] * 1e3, 3),
    }


def commits_of(store: CassandraRunStore, name: str) -> Callable[[int], Awaitable[None]]:
    """A hundred runs that record a step each in turn."""
    births = [birth_of(f"{name}-{number}") for number in range(100)]

    async def commit(number: int) -> None:
        birth = births[number % len(births)]
        await store.commit(one_step(birth, number, first=number < len(births)))

    return commit


def short_runs_of(store: CassandraRunStore) -> Callable[[int], Awaitable[None]]:
    """Runs of one step: entered into the indexes, recorded, recorded as ended, removed from the open ones."""

    async def start_and_end(number: int) -> None:
        birth = birth_of(f"short-{number}")
        await store.commit(one_step(birth, 1, first=True))
        await store.commit(one_step(birth, 2, closes=True))

    return start_and_end


def birth_of(run_id: str) -> RunBirth:
    return RunBirth(
        run_id=RunId(run_id),
        blueprint_id=BlueprintId("bench"),
        version="1",
        digest=Digest("0" * 64),
        input=PAYLOAD,
        input_digest="0" * 64,
        partition=0,
        created_at=time.time(),
    )


def one_step(birth: RunBirth, number: int, *, first: bool = False, closes: bool = False) -> Commit:
    now = time.time()
    step = StepRow(
        step_id=StepId(f"step-{number}"),
        node_id=NodeId("step"),
        status="completed",
        attempt=1,
        seq=number,
        output=PAYLOAD,
        fired=(0,),
        started_at=now,
        ended_at=now,
    )
    return Commit(
        birth=birth,
        head=RunHead(status="completed" if closes else "running", updated_at=now, next_seq=number + 2),
        stamp=stamp_of(Epoch(1), number + 1),
        first=first,
        closes=closes,
        steps=[step],
        events=[EventRow(seq=number + 1, type="step.completed", at=now, data=b'{"step_id": "step"}')],
    )


if __name__ == "__main__":
    asyncio.run(main())
