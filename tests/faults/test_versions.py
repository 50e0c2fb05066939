"""Runs that wait, and another version of their blueprint: rehearsed, moved to it where that is safe, brought to an end.

As an operator does it, by commands, each a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING, Any

import pytest
from support.documents import blueprint
from support.installation import Installation
from support.servers import settings_of
from support.world import eventually

from famulus.client import Famulus
from famulus.ids import RunId

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.long]

NODES = {
    "take": "tests.quick",
    "small": {"uses": "wait", "params": {"signal": "go"}},
    "large": {"uses": "wait", "params": {"signal": "go"}},
    "ship": "tests.quick",
}


def order(version: str, *more: tuple[Any, ...], large_from: int = 100, nodes: Mapping[str, Any] = NODES) -> Any:
    """A run waits for its signal in one of two branches, by its amount."""
    return blueprint(
        "order",
        nodes,
        ("take", "small", {"condition": f"cel:amount < {large_from}"}),
        ("take", "large", {"condition": f"cel:amount >= {large_from}"}),
        ("small", "ship"),
        ("large", "ship"),
        *more,
        metadata={"version": version},
    )


SECOND = order("2", ("ship", "bill"), large_from=50, nodes={**NODES, "bill": "tests.quick"})
THIRD = order("3", ("ship", "audit"), nodes={**NODES, "audit": "nobody.has"})
AMOUNTS = {"small": 10, "between": 70, "large": 200, "done": 20}
"""`between` would have gone the other way by the second version; `done` is let go by the first."""


@pytest.fixture
async def installation(real_servers: Mapping[str, str], tmp_path: Path) -> AsyncIterator[Installation]:
    installation = Installation(real_servers, tmp_path, blueprints=(order("1"),))
    await installation.prepare()
    for document in (SECOND, THIRD):
        (tmp_path / f"v{document['metadata']['version']}.json").write_text(json.dumps(document))
    yield installation
    installation.close()


async def wait(famulus: Famulus, run_ids: Sequence[str]) -> None:
    async def all_do() -> bool:
        found = [await famulus.run(run_id).status() for run_id in run_ids]
        return {each.status for each in found} == {"waiting"}

    await eventually(all_do, within=30, every=0.1)


async def test_runs_in_flight_are_rehearsed_go_over_where_that_is_safe_and_end_by_the_new_version(
    installation: Installation,
) -> None:
    (worker,) = await installation.start_workers(1)
    async with (
        Famulus.connect(settings_of(installation.environment)) as famulus,
        installation.records() as auditor,
    ):
        for run_id, amount in AMOUNTS.items():
            await famulus.start("order", {"amount": amount}, run_id=run_id)
        await famulus.run("done").signal("go")
        await famulus.run("done").result()
        waiting = [run_id for run_id in AMOUNTS if run_id != "done"]
        await wait(famulus, waiting)

        pushed = await installation.command("blueprint", "push", "v2.json")
        rehearsed, lacking = await asyncio.gather(
            installation.command("blueprint", "rehearse", "order@2", "--json"),
            installation.command("blueprint", "rehearse", "v3.json"),
        )
        assert pushed.returncode == 0, pushed.stderr
        assert differences(rehearsed) == {
            "small": [],
            "large": [],
            "between": [("rerouted", "take")],
            "done": [("rerouted", "ship")],
        }
        assert rehearsed.returncode == lacking.returncode == 1
        assert "no implementation of nobody.has, which audit uses" in lacking.stdout
        assert "3 of 3 in flight can go over to it" in lacking.stdout

        moved = await installation.command("run", "migrate", *waiting, "--to", "2")
        assert moved.returncode == 1
        assert [line.partition(":")[0] for line in moved.stdout.splitlines()] == [
            "Run small accepts migrate",
            "Run large accepts migrate",
        ]
        assert moved.stderr.startswith("between: ")
        assert "take: it led to small, and would lead to large" in moved.stderr

        worker.send(signal.SIGTERM)  # what follows is another worker's, which knows the rows alone
        await worker.ended()
        await installation.start_workers(1)
        signalled = await asyncio.gather(*(installation.command("run", "signal", each, "go") for each in waiting))
        assert [each.returncode for each in signalled] == [0, 0, 0], signalled
        await auditor.ended(waiting)

        found = {run_id: await auditor.reader.show(RunId(run_id)) for run_id in AMOUNTS}
        verified = await installation.command("verify", "--at-rest")

    completed = {
        run_id: {step.step_id for step in view.steps if step.status == "completed"} for run_id, view in found.items()
    }
    assert {run_id: (view.summary.version, view.summary.status) for run_id, view in found.items()} == {
        "small": ("2", "completed"),
        "large": ("2", "completed"),
        "between": ("1", "completed"),
        "done": ("1", "completed"),
    }
    assert completed == {
        "small": {"take", "small", "ship", "bill"},
        "large": {"take", "large", "ship", "bill"},
        "between": {"take", "small", "ship"},
        "done": {"take", "small", "ship"},
    }
    assert (verified.returncode, verified.stdout) == (0, "")


def differences(rehearsed: subprocess.CompletedProcess[str]) -> dict[str, list[tuple[str, str]]]:
    runs = json.loads(rehearsed.stdout)["runs"]
    return {run["run_id"]: [(each["kind"], each["step"]) for each in run["differences"]] for run in runs}
