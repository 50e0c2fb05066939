"""Steps that end the process of their worker, beside steps that do not: real workers, restarted when they end."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from support.installation import END_SECONDS, Auditor, Installation
from support.world import blueprint, eventually

from famulus.errors import RunNotFoundError
from famulus.ids import RunId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

INNOCENT = 20
BUDGET = 2
DEATHS = range(BUDGET, BUDGET + 3 + 1)
"""Of the culprit: once free, once more, once in company, then alone. A partition that moves while it waits to be
started counts as one of the first three."""
PARKED_SECONDS = 300
"""For as many workers as die of it, one after the other."""
BLUEPRINTS = (
    blueprint("exit", {"deadly": "heavy.exit", "after": "tests.quick"}, ("deadly", "after")),
    blueprint("segfault", {"deadly": "heavy.segfault", "after": "tests.quick"}, ("deadly", "after")),
    blueprint(
        "spread",
        {
            "begin": {"uses": "heavy.numbers", "params": {"count": INNOCENT}},
            "each": {"uses": "map", "params": {"uses": "heavy.picky", "spread": True}},
        },
        ("begin", "each"),
    ),
    blueprint("innocent", {f"n{number}": "heavy.nap" for number in range(4)}, ("n0", "n1"), ("n1", "n2"), ("n2", "n3")),
)


@pytest.fixture
async def installation(servers: Mapping[str, str], tmp_path: Path) -> AsyncIterator[Installation]:
    installation = Installation(servers, tmp_path, blueprints=BLUEPRINTS)
    await installation.prepare()
    yield installation
    installation.close()


@asynccontextmanager
async def supervised(installation: Installation) -> AsyncIterator[None]:
    """One worker, and another one whenever it has ended."""

    async def supervise() -> None:
        while True:
            worker = installation.start_worker(
                FAMULUS_NODES="support.counted_nodes,support.heavy_nodes", FAMULUS_CRASH_BUDGET=str(BUDGET)
            )
            await eventually(lambda worker=worker: worker.exit_code is not None, within=3600, every=0.05)

    supervising = asyncio.create_task(supervise())
    try:
        yield
    finally:
        supervising.cancel()
        await asyncio.wait({supervising})


async def status_of(auditor: Auditor, run_id: str) -> str:
    """Of its deadly step; nothing while nobody has taken the run: a worker may have died of another one before."""
    try:
        view = await auditor.reader.show(RunId(run_id))
    except RunNotFoundError:
        return ""
    return next((step.status for step in view.steps if step.node_id == "deadly"), "")


def deaths_of(installation: Installation, run_id: str, step_id: str) -> int:
    """How often it has ended a process, as it does whenever it is called."""
    return sum((call.run_id, call.step_id) == (run_id, step_id) for call in installation.executions())


@pytest.mark.slow
@pytest.mark.parametrize("deadly", ["exit", "segfault"])
async def test_a_step_that_ends_its_process_is_parked_and_everything_else_completes(
    installation: Installation, deadly: str
) -> None:
    async with supervised(installation), installation.records() as auditor:
        innocent = await installation.start_runs(INNOCENT, "innocent")
        (culprit,) = await installation.start_runs(1, deadly)

        async def is_parked() -> bool:
            return await status_of(auditor, culprit) == "parked"

        await installation.executed(1)
        await eventually(is_parked, within=PARKED_SECONDS, every=0.5)
        await auditor.ended(innocent)

        assert await auditor.statuses(innocent) == {"completed": INNOCENT}
        for run_id in innocent:
            steps = (await auditor.reader.show(RunId(run_id))).steps
            assert {step.status for step in steps} == {"completed"}
            assert "step.parked" not in {type_ for type_, _ in await auditor.events(run_id)}
        step = next(step for step in (await auditor.reader.show(RunId(culprit))).steps if step.node_id == "deadly")
        assert "crash budget" in (step.reason or "")
        assert deaths_of(installation, culprit, "deadly") in DEATHS
        await auditor.all_agrees()


@pytest.mark.slow
async def test_a_parked_step_goes_on_when_its_code_is_mended_and_it_is_tried_again(installation: Installation) -> None:
    async with supervised(installation), installation.records() as auditor:
        (culprit,) = await installation.start_runs(1, "exit")
        await installation.executed(1)

        async def is_parked() -> bool:
            return await status_of(auditor, culprit) == "parked"

        await eventually(is_parked, within=PARKED_SECONDS, every=0.5)
        installation.open_gate("mended")
        retry = json.dumps({"type": "command", "command": "retry", "run_id": culprit, "by": "test"}).encode()
        async with installation.producer() as producer:
            await producer.send_and_wait(installation.jobs, retry, key=culprit.encode())

        await auditor.ended([culprit])
        assert await auditor.statuses([culprit]) == {"completed": 1}
        await auditor.all_agrees()


@pytest.mark.slow
async def test_an_item_that_ends_its_process_is_parked_the_others_complete_and_explain_names_it(
    installation: Installation,
) -> None:
    async with supervised(installation), installation.records() as auditor:
        (run_id,) = await installation.start_runs(1, "spread")

        async def items() -> dict[str, str]:
            try:
                steps = [step for _, step in await auditor.reader.steps(RunId(run_id), limit=100)]
            except RunNotFoundError:
                return {}
            return {step.step_id: step.status for step in steps if step.item is not None}

        async def is_parked() -> bool:
            return (await items()).get("each[7]") == "parked"

        await eventually(is_parked, within=PARKED_SECONDS, every=0.5)

        async def all_others_completed() -> bool:
            return list((await items()).values()).count("completed") == INNOCENT - 1

        await eventually(all_others_completed, within=END_SECONDS, every=0.2)
        parked = [step for type_, step in await auditor.events(run_id) if type_ == "step.parked"]
        explanation = await auditor.explained(run_id)
        assert parked == ["each[7]"]
        assert "each[7]" in str(explanation)
        assert "FAMULUS_CRASH_BUDGET" in str(explanation)
        assert deaths_of(installation, run_id, "each[7]") in DEATHS

        installation.open_gate("mended")
        retry = json.dumps({"type": "command", "command": "retry", "run_id": run_id, "by": "test"}).encode()
        async with installation.producer() as producer:
            await producer.send_and_wait(installation.jobs, retry, key=run_id.encode())
        await auditor.ended([run_id])
        assert await auditor.statuses([run_id]) == {"completed": 1}
        await auditor.all_agrees()
