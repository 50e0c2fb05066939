"""An `async def` node that blocks the event loop of its worker for longer than the session of the consumer group."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from support.installation import Auditor, Installation
from support.world import blueprint, eventually

from famulus.ids import RunId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

BLOCKED_SECONDS = 12
"""Six sessions of the embedded stack, two of the real one."""
NODES = {"FAMULUS_NODES": "support.counted_nodes,support.heavy_nodes", "FAMULUS_LOOP_ALARM_SECONDS": "1"}
STUCK_SECONDS = 600
ENDS_SECONDS = 60
BLUEPRINTS = (
    blueprint("stuck", {"block": {"uses": "heavy.block", "params": {"seconds": STUCK_SECONDS}}}),
    blueprint(
        "blocking",
        {"block": {"uses": "heavy.block", "params": {"seconds": BLOCKED_SECONDS}}, "after": "tests.quick"},
        ("block", "after"),
    ),
    blueprint("one", {"only": "tests.quick"}),
)


@pytest.fixture
async def installation(servers: Mapping[str, str], tmp_path: Path) -> AsyncIterator[Installation]:
    installation = Installation(servers, tmp_path, blueprints=BLUEPRINTS)
    await installation.prepare()
    yield installation
    installation.close()


async def recorded_once(auditor: Auditor, run_id: str) -> None:
    view = await auditor.reader.show(RunId(run_id))
    assert {step.status for step in view.steps} == {"completed"}
    completed = Counter(step for type_, step in await auditor.events(run_id) if type_ == "step.completed")
    assert set(completed.values()) == {1}


@pytest.mark.slow
async def test_a_worker_alone_outlives_its_blocked_loop_and_tells_which_step_blocks_it(
    installation: Installation,
) -> None:
    (worker,) = await installation.start_workers(1, **NODES)
    (run_id,) = await installation.start_runs(1, "blocking")
    await installation.executed(1)

    await eventually(lambda: "the event loop is blocked" in worker.log(), within=ENDS_SECONDS, every=0.1)
    async with installation.records() as auditor:
        await auditor.ended([run_id])
        await recorded_once(auditor, run_id)
        await auditor.all_agrees()

    # The watch looks now and then, and the run may have ended before it does.
    await eventually(lambda: "the event loop turns again" in worker.log(), within=ENDS_SECONDS, every=0.1)
    told = worker.log()
    assert re.search(rf"blocked for [\d.]+ s by step block of run {re.escape(run_id)}", told)
    assert "in block_the_loop" in told
    assert worker.exit_code is None
    assert [call.step_id for call in installation.executions()] == ["block", "after"]  # nobody took it over


@pytest.mark.slow
async def test_a_run_that_moves_from_a_worker_with_a_blocked_loop_is_recorded_once(installation: Installation) -> None:
    """When partitions are shared out anew the blocked worker does not answer: it is put out, and wakes up a zombie."""
    (blocked,) = await installation.start_workers(1, **NODES)
    (run_id,) = await installation.start_runs(1, "blocking")
    await installation.executed(1)

    other = installation.start_worker(**NODES)
    await other.ready()
    async with installation.records() as auditor:
        await auditor.ended([run_id])
        await eventually(lambda: "the event loop turns again" in blocked.log(), within=ENDS_SECONDS, every=0.1)
        await recorded_once(auditor, run_id)
        more = await installation.start_runs(20, "one")
        await auditor.ended(more)

        for each in (run_id, *more):
            await recorded_once(auditor, each)
        await auditor.all_agrees()
    assert (blocked.exit_code, other.exit_code) == (None, None)


@pytest.mark.slow
async def test_a_worker_whose_loop_stays_blocked_ends_for_its_supervisor(installation: Installation) -> None:
    (worker,) = await installation.start_workers(1, **NODES, FAMULUS_LOOP_DEAD_SECONDS="4")
    await installation.start_runs(1, "stuck")

    assert await worker.ended(within=ENDS_SECONDS) == 70
    assert "the worker gives up" in worker.log()
