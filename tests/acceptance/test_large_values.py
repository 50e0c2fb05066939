"""Values of tens of megabytes: kept in pieces, whole for the nodes, safe from kill -9."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from support.installation import END_SECONDS, Installation
from support.servers import settings_of
from support.world import blueprint

from famulus.client import Famulus
from famulus.engine.claims import LARGE_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.slow

MEGABYTES = 50
SIZE = MEGABYTES * 1024 * 1024
TOO_LARGE = 70 * 1024 * 1024


def register(installation: Installation, document: Mapping[str, Any]) -> None:
    (installation.folder / "blueprints" / f"{document['id']}.json").write_text(json.dumps(document))


async def test_a_value_of_50_mb_goes_from_node_to_node_over_kill_9(installation: Installation) -> None:
    nodes = {"make": {"uses": "tests.large", "params": {"bytes": SIZE}}, "measure": "tests.length"}
    register(installation, blueprint("large", nodes, ("make", "measure")))
    (worker,) = await installation.start_workers(1)
    async with Famulus.connect(settings_of(installation.environment)) as client:
        run = await client.start("large")
        await installation.executed(2)  # the output is recorded, and `measure` waits at its gate
        worker.kill()
        installation.open_gate()
        await installation.start_workers(1)

        result = await run.result(timeout=END_SECONDS)
        view = await run.view()

    assert (result["measure"], len(result["make"])) == (SIZE, SIZE)
    assert view.context["make"][LARGE_KEY]["bytes"] == SIZE + 2
    calls = Counter(call.step_id for call in installation.executions())
    assert calls["make"] == 1
    assert calls["measure"] >= 2  # by each owner


async def test_a_run_starts_with_an_input_that_no_record_can_hold(installation: Installation) -> None:
    register(installation, blueprint("measuring", {"measure": {"uses": "tests.length", "inputs": "text"}}))
    installation.open_gate()
    await installation.start_workers(1)
    async with Famulus.connect(settings_of(installation.environment)) as client:
        run = await client.start("measuring", {"text": "t" * (SIZE // 5)})

        assert (await run.result(timeout=END_SECONDS))["measure"] == SIZE // 5


async def test_a_value_above_the_limit_fails_its_step_and_no_other_run(installation: Installation) -> None:
    register(installation, blueprint("too-large", {"make": {"uses": "tests.large", "params": {"bytes": TOO_LARGE}}}))
    (worker,) = await installation.start_workers(1)
    async with Famulus.connect(settings_of(installation.environment)) as client:
        runs = [await client.start("too-large"), await client.start("one")]
        await asyncio.wait([asyncio.ensure_future(run.result(timeout=END_SECONDS)) for run in runs])
        views = [await run.view() for run in runs]

    assert [view.summary.status for view in views] == ["failed", "completed"]
    error = views[0].steps[0].error
    assert error is not None
    assert "at most 67108864 can be stored (FAMULUS_MAX_VALUE_BYTES)" in error["message"]
    assert worker.problems() == []
