"""A step that takes long: its record is let go, and nobody else runs it while its worker lives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.installation import END_SECONDS, PARTITIONS, Installation
from support.world import blueprint, eventually

from famulus.adapters.memory.murmur2 import partition_for
from famulus.ids import RunId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from support.workers import Worker

OPTIONS = {
    "FAMULUS_NODES": "support.counted_nodes,support.heavy_nodes",
    "FAMULUS_HANDOVER_SECONDS": "1",
    "FAMULUS_TAKEN_SECONDS": "0.2",
    "FAMULUS_RECONCILE_SECONDS": "0.5",
}
BLUEPRINTS = (
    blueprint("long", {"long": "heavy.long", "after": "tests.quick"}, ("long", "after")),
    blueprint("one", {"only": "tests.quick"}),
)


@pytest.fixture
async def installation(servers: Mapping[str, str], tmp_path: Path) -> AsyncIterator[Installation]:
    installation = Installation(servers, tmp_path, blueprints=BLUEPRINTS)
    await installation.prepare()
    yield installation
    installation.close()


def starts_of(installation: Installation, run_id: str) -> list[int]:
    return [call.pid for call in installation.executions() if (call.run_id, call.step_id) == (run_id, "long")]


def partitions_of(worker: Worker) -> set[int]:
    try:
        return set(json.loads(worker.page("/health/ready"))["partitions"])
    except OSError:  # among them: it is not ready, for it has none at the moment
        return set()


def are_shared_out(*workers: Worker) -> bool:
    """Whether each partition is one worker's, and each worker has some."""
    shares = [partitions_of(worker) for worker in workers]
    return all(shares) and sum(map(len, shares)) == len(set.union(*shares)) == PARTITIONS


@pytest.mark.slow
async def test_another_worker_takes_a_long_step_over_only_when_the_first_one_is_gone(
    installation: Installation,
) -> None:
    (first,) = await installation.start_workers(1, **OPTIONS)
    (run_id,) = await installation.start_runs(1, "long")
    async with installation.records() as auditor:

        async def is_taken() -> bool:
            view = await auditor.reader.show(RunId(run_id)) if installation.executions() else None
            return view is not None and any(step.status == "running" for step in view.steps)

        await eventually(is_taken, within=END_SECONDS, every=0.1)
        many = await installation.start_runs(30, "one")  # what comes behind it on its partition goes on
        await auditor.ended(many)
        assert starts_of(installation, run_id) == [first.pid]

        first.kill()
        (second,) = await installation.start_workers(1, **OPTIONS)
        await eventually(
            lambda: starts_of(installation, run_id) == [first.pid, second.pid], within=END_SECONDS, every=0.1
        )
        installation.open_gate("long")

        await auditor.ended([run_id])
        view = await auditor.reader.show(RunId(run_id))
        assert next(step.output for step in view.steps if step.step_id == "long") == str(second.pid)
        await auditor.all_agrees()


@pytest.mark.slow
async def test_a_long_step_whose_partition_comes_back_is_not_started_anew(installation: Installation) -> None:
    (first,) = await installation.start_workers(1, **OPTIONS)
    run_ids = await installation.start_runs(12, "long")
    await eventually(lambda: len(installation.executions()) == len(run_ids), within=END_SECONDS, every=0.1)

    (second,) = await installation.start_workers(1, **OPTIONS)  # takes some partitions, with their steps
    await eventually(lambda: are_shared_out(first, second), within=END_SECONDS, every=0.1)
    taken = partitions_of(second)
    moved = [run_id for run_id in run_ids if partition_for(run_id.encode(), PARTITIONS) in taken]
    stayed = [run_id for run_id in run_ids if run_id not in moved]
    await eventually(
        lambda: all(starts_of(installation, run_id)[-1] == second.pid for run_id in moved),
        within=END_SECONDS,
        every=0.1,
    )
    second.kill()  # and its partitions come back
    await eventually(
        lambda: all(starts_of(installation, run_id)[-1] == first.pid for run_id in moved),
        within=END_SECONDS,
        every=0.1,
    )

    installation.open_gate("long")
    async with installation.records() as auditor:
        await auditor.ended(run_ids)
        await auditor.all_agrees()

    assert stayed
    assert moved
    assert {tuple(starts_of(installation, run_id)) for run_id in stayed} == {(first.pid,)}
    assert {tuple(starts_of(installation, run_id)) for run_id in moved} == {(first.pid, second.pid, first.pid)}
