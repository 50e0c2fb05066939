"""One big map on two workers: both run its items, and neither's death loses one."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from support.installation import Installation, start_json
from support.world import blueprint

if TYPE_CHECKING:
    from support.workers import Worker

pytestmark = pytest.mark.slow

ITEMS = 400
NUMBERS = list(range(ITEMS))
RUN = "spread-1"
SPREAD = blueprint(
    "spread",
    {
        "each": {
            "uses": "map",
            "inputs": "items",
            "params": {
                "uses": "tests.at_gate",
                "params": {"from": ITEMS // 2},
                "spread": True,
                "maxConcurrency": 64,
            },
        },
        "after": "tests.quick",
    },
    ("each", "after"),
)


async def two_at_work(installation: Installation, **environment: str) -> tuple[list[Worker], int]:
    """Start a run and two workers; return when both have run items. Half of them wait until the gate is open.

    With an epoch from before the run.
    """
    (installation.folder / "blueprints" / "spread.json").write_text(json.dumps(SPREAD))
    workers = await installation.start_workers(2, **environment)
    epoch = await installation.take_epoch()
    async with installation.producer() as producer:
        record = start_json(RUN, "spread", input={"items": NUMBERS})
        await producer.send_and_wait(installation.jobs, record, key=RUN.encode())
    await installation.executed(ITEMS // 10, by=workers)
    return workers, epoch


async def assert_whole(installation: Installation) -> None:
    async with installation.records() as auditor:
        await auditor.ended([RUN])
        assert await auditor.statuses([RUN]) == Counter(completed=1)
        seen = await auditor.sees(RUN)
        steps = await auditor.reader.steps(seen["run_id"], limit=2 * ITEMS)
    items = {step.step_id: step for _, step in steps if step.item is not None}
    assert len(items) == ITEMS
    assert {step.status for step in items.values()} == {"completed"}
    assert next(step.output for _, step in steps if step.step_id == "each") == NUMBERS


async def test_items_run_on_both_workers(installation: Installation) -> None:
    installation.open_gate("half")
    workers, epoch = await two_at_work(installation)

    await assert_whole(installation)

    by = Counter(call.pid for call in installation.executions() if call.step_id != "after")
    assert set(by) == {worker.pid for worker in workers}
    assert min(by.values()) > ITEMS // 10
    assert await installation.called_too_often(epoch) == {}
    assert [problem for worker in workers for problem in worker.problems()] == []


@pytest.mark.parametrize("place", [0, 1])
async def test_kill_9_of_a_worker_loses_no_item(installation: Installation, place: int) -> None:
    """Of the owner of the run, and of one that only runs items: which is which depends on the broker."""
    workers, _ = await two_at_work(installation, FAMULUS_ITEM_PATIENCE_SECONDS="5")

    workers[place].kill()
    installation.open_gate("half")

    await assert_whole(installation)
    assert workers[1 - place].problems() == []
