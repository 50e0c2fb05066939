"""Rows 18 and 30: a join of a thousand, and thousands of timers that are due at once."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis
from support.documents import blueprint
from support.faulty import open_rig
from support.findings import open_records
from support.installation import END_SECONDS, start_json
from support.servers import settings_of
from support.world import eventually

from famulus.client import Famulus
from famulus.engine.reading import RunSummary
from famulus.errors import RunEndedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from support.faulty import Rig

pytestmark = pytest.mark.slow

WIDE = 1_000
BRANCHES = tuple(f"b{number}" for number in range(WIDE))
BLUEPRINTS = (
    blueprint(
        "wide",
        {"begin": "tests.quick", **dict.fromkeys(BRANCHES, "tests.quick"), "join": "tests.quick"},
        *(edge for name in BRANCHES for edge in (("begin", name), (name, "join"))),
    ),
    blueprint(
        "nap", {"nap": {"uses": "sleep", "params": {"duration": "1s"}}, "after": "tests.quick"}, ("nap", "after")
    ),
)


async def test_a_join_of_a_thousand_fires_once_though_redis_is_emptied_again_and_again(
    servers: Mapping[str, str], tmp_path: Path
) -> None:
    async with open_rig(servers, tmp_path, blueprints=BLUEPRINTS) as rig:
        victim, _ = await rig.start_workers(2, FAMULUS_CONCURRENCY="256")
        (run_id,) = await rig.installation.start_runs(1, "wide")
        async with Redis.from_url(f"redis://{rig.valkey.address}/0") as redis:
            for share in (4, 3, 2):
                await rig.called([run_id], WIDE // share)
                await redis.flushall()
        if victim.pid in {call.pid for call in rig.calls_of([run_id])}:
            victim.kill()

        async with rig.installation.records() as auditor:
            await auditor.ended([run_id])
            await auditor.all_agrees()
        async with Famulus.connect(settings_of({**rig.installation.environment, **rig.environment})) as famulus:
            events = [event async for event in famulus.run(run_id).events()]

    ends = [event.data["step"] for event in events if event.type == "step.completed"]
    assert len(ends) == len(set(ends)) == WIDE + 2
    assert ends[-1] == "join"


@pytest.mark.parametrize("runs", [300, pytest.param(10_000, marks=pytest.mark.long)])
async def test_timers_that_are_due_at_once_while_others_cancel_fire_once_or_not(
    servers: Mapping[str, str], tmp_path: Path, runs: int
) -> None:
    """All sleep until the same second, in which a third of them are cancelled: each ends one way."""
    async with open_rig(servers, tmp_path, blueprints=BLUEPRINTS) as rig:
        await rig.start_workers(2, FAMULUS_CONCURRENCY="256")
        due = time.time() + max(8.0, runs / 100)
        run_ids = await start_all(rig, runs, due)
        settings = settings_of({**rig.installation.environment, **rig.environment})
        async with Famulus.connect(settings) as famulus, open_records(settings) as records:

            async def all_are_known() -> bool:
                return len(await records.statuses(run_ids)) == runs

            await eventually(all_are_known, within=END_SECONDS + runs / 50, every=0.2)
            await asyncio.sleep(due - time.time())
            # Whoever is late is told that the run has ended.
            told = await asyncio.gather(
                *(famulus.run(run_id).cancel() for run_id in run_ids[::3]), return_exceptions=True
            )
            assert {type(each) for each in told} <= {RunSummary, RunEndedError}

            async with rig.installation.records() as auditor:
                await auditor.ended(run_ids, within=END_SECONDS + runs / 50)
                stories = [await auditor.events(run_id) for run_id in run_ids]
                await auditor.all_agrees()

    for story in stories:
        assert [type_ for type_, _ in story].count("run.completed") + [t for t, _ in story].count("run.cancelled") == 1
        assert [pair for pair in story if pair == ("step.completed", "nap")] in ([], [("step.completed", "nap")])


async def start_all(rig: Rig, runs: int, due: float) -> Sequence[str]:
    """Runs that begin their sleep so that all of it ends at the same time."""
    run_ids = [f"nap-{number}-{uuid.uuid4().hex[:8]}" for number in range(runs)]
    start_at: dict[str, Any] = {"start_at": due}
    async with rig.installation.producer(linger_ms=5) as producer:
        sent = [
            await producer.send(rig.installation.jobs, start_json(run_id, "nap", **start_at), key=run_id.encode())
            for run_id in run_ids
        ]
        await asyncio.gather(*sent)
    return run_ids
