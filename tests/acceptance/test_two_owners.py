"""Two live owners of one partition: one is paused in the middle of a run, the other one finishes it, then both go on.

The first owner is stopped (SIGSTOP) before or after a commit that the test names. Its partitions go to the second one,
as after a rebalance: a higher epoch, and the start record delivered again. Then the first one is continued. It knows of
nothing, and writes what it has: outcomes, context, events, the end of the run. None of it may be seen.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.audited import assert_well
from support.owner import BRANCHES, PARTITIONS, PATIENCE, RUN_ID
from support.servers import foreign_environment, settings_of
from support.world import eventually

from famulus.connect import migrate_schema, open_stores
from famulus.engine.catalog import Catalog
from famulus.engine.reading import RunReader
from famulus.engine.seals import visible_rows
from famulus.ids import epoch_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from famulus.ports import RunStore

STEPS = ("begin", *BRANCHES, "join", "last")
POINTS = (
    "before-commit:birth",
    "after-commit:birth",
    "before-commit:b2",
    "after-commit:b2",
    "before-commit:join",
    "before-commit:last",
    "after-commit:last",
)
"""Where the first owner is stopped, in the order of the run."""


@dataclass
class Owners:
    """Owners of the run, as processes, by name."""

    environment: Mapping[str, str]
    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *, stop: str = "", gate_open: bool = True) -> None:
        if gate_open:
            self.open_gate(name)
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "support.owner", json.dumps({"folder": str(self.folder), "stop": stop})],
                env={**self.environment, "FAMULUS_WORKER": name},
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def take_over(self, name: str) -> None:
        (self.folder / f"{name}.go").touch()

    def open_gate(self, name: str) -> None:
        (self.folder / f"{name}.gate").touch()

    async def stopped(self, name: str) -> None:
        await eventually(lambda: self._is_stopped(name), within=PATIENCE)

    def go_on(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGCONT)

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait()

    async def reached(self, name: str, what: str) -> None:
        await eventually(lambda: self._alive(name) and (self.folder / f"{name}.{what}").exists(), within=PATIENCE)

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    def logs_to_show(self) -> list[tuple[str, str]]:
        return [(name, (self.folder / f"{name}.log").read_text(errors="replace")[-8000:]) for name in self.processes]

    def _is_stopped(self, name: str) -> bool:
        status = Path(f"/proc/{self.processes[name].pid}/stat").read_text()
        return self._alive(name) and status.rpartition(")")[2].split()[0] == "T"

    def _alive(self, name: str) -> bool:
        assert self.processes[name].poll() is None, f"the {name} owner has ended by itself"
        return True


@pytest.fixture(
    params=[pytest.param("sqlite", marks=pytest.mark.embedded), pytest.param("cassandra", marks=pytest.mark.real)]
)
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> Mapping[str, str]:
    stack = "embedded" if request.param == "sqlite" else "real"
    servers = dict(request.getfixturevalue(f"{stack}_servers"))
    if stack == "embedded":
        servers["FAMULUS_SQLITE_PATH"] = str(tmp_path / "famulus.db")
    return {
        **foreign_environment(),
        **servers,
        "FAMULUS_NAMESPACE": f"owners_{uuid.uuid4().hex[:12]}",
        "FAMULUS_CASSANDRA_KEYSPACE": "famulus_acceptance",
    }


@pytest.fixture
async def owners(environment: Mapping[str, str], tmp_path: Path) -> AsyncIterator[Owners]:
    await migrate_schema(settings_of(environment))
    owners = Owners(environment, tmp_path)
    yield owners
    owners.close()


@dataclass
class Onlooker:
    """Somebody who owns nothing and looks at the rows."""

    store: RunStore
    reader: RunReader
    catalog: Catalog

    async def agrees(self) -> None:
        await assert_well(self.store, self.catalog)

    async def sees(self) -> dict[str, Any]:
        """All that anybody is shown of the run."""
        view = await self.reader.show(RUN_ID)
        return {**view.as_json(), "events": [event.as_json() for event in await self.reader.events(RUN_ID)]}

    async def sees_the_end(self) -> dict[str, Any]:
        async def has_ended() -> bool:
            heads = await self.store.heads([RUN_ID])
            return RUN_ID in heads and heads[RUN_ID][1].ended_at is not None

        await eventually(has_ended, within=PATIENCE, every=0.02)
        return await self.sees()

    async def sees_completed(self, *steps: str) -> bool:
        shown = await self.sees()
        return set(steps) <= {step["step_id"] for step in shown["steps"] if step["status"] == "completed"}

    async def open_runs(self) -> list[str]:
        return [run for partition in range(PARTITIONS) async for run in self.store.open_runs(partition)]


@pytest.fixture
async def onlooker(owners: Owners) -> AsyncIterator[Onlooker]:
    async with open_stores(settings_of(owners.environment)) as stores:
        catalog = Catalog(stores.blueprints, lambda: 0.0)
        yield Onlooker(stores.runs, RunReader(stores.runs, catalog), catalog)


@pytest.mark.parametrize("point", POINTS)
async def test_nothing_of_a_paused_owner_is_seen_after_another_one_finished_the_run(
    owners: Owners, onlooker: Onlooker, point: str
) -> None:
    branches_are_recorded = point.partition(":")[2] in {"join", "last"}
    owners.start("first", stop=point, gate_open=branches_are_recorded)
    owners.start("second")
    owners.take_over("first")
    await owners.stopped("first")
    owners.take_over("second")
    if point != "after-commit:last":
        await owners.reached("second", "ended")
    before = await onlooker.sees_the_end()

    owners.open_gate("first")
    owners.go_on("first")
    await owners.reached("first", "ended")

    after = await onlooker.sees()
    assert after == before
    assert_consistent(after)
    await assert_made_by_the_second_from(onlooker, point)
    await onlooker.agrees()


async def test_a_run_stays_open_when_a_paused_owner_ends_it_while_the_next_one_is_at_work(
    owners: Owners, onlooker: Onlooker
) -> None:
    owners.start("first", stop="before-commit:b2", gate_open=False)
    owners.start("second", gate_open=False)
    owners.start("third")
    owners.take_over("first")
    await owners.stopped("first")
    owners.take_over("second")
    await eventually(lambda: onlooker.sees_completed("begin", "b1", "b2"), within=PATIENCE, every=0.02)
    before = await onlooker.sees()

    owners.open_gate("first")
    owners.go_on("first")
    await owners.reached("first", "ended")
    during = await onlooker.sees()
    still_open = await onlooker.open_runs()
    owners.kill("second")
    owners.take_over("third")
    await owners.reached("third", "ended")

    assert during == before
    assert during["status"] == "running"
    assert still_open == [RUN_ID]
    after = await onlooker.sees()
    assert_consistent(after)
    assert {step["step_id"]: step["output"] for step in after["steps"]} == {
        "begin": "first",
        "b1": "first",
        "b2": "second",
        "b3": "third",
        "join": "third",
        "last": "third",
    }
    await onlooker.agrees()


def assert_consistent(shown: Mapping[str, Any]) -> None:
    """Status, steps, outputs, context and events tell one story."""
    assert shown["status"] == "completed"
    outputs = {step["step_id"]: step["output"] for step in shown["steps"]}
    assert set(outputs) == set(STEPS)
    assert all(step["status"] == "completed" for step in shown["steps"])
    events = [(event["type"], event.get("step")) for event in shown["events"]]
    events = [event for event in events if event[0] != "step.inherited"]  # each owner that finds it due says so
    assert events[0] == ("run.started", None)
    assert events[-1] == ("run.completed", None)
    assert sorted(step for type_, step in events if type_ == "step.completed") == sorted(STEPS)
    assert len(events) == len(set(events))
    assert shown["context"]["shared"] == f"last by {outputs['last']}"
    made = {f"by_{owner}_{step}" for step, owner in outputs.items()}
    assert {key for key in shown["context"] if key.startswith("by_")} == made
    assert {step: shown["context"][step] for step in STEPS if step in shown["context"]} == outputs


async def assert_made_by_the_second_from(onlooker: Onlooker, point: str) -> None:
    """What was not recorded when the first owner was stopped is the second one's; and the test did bite."""
    moment, _, step = point.partition(":")
    recorded = () if step == "birth" else STEPS[: STEPS.index(step) + (moment == "after-commit")]
    shown = await onlooker.sees()
    assert {step["step_id"]: step["output"] for step in shown["steps"]} == {
        step: "first" if step in recorded else "second" for step in STEPS
    }
    rows = await onlooker.store.load(RUN_ID)
    assert rows is not None
    late = {row.key for row in rows.context} - {row.key for row in visible_rows(rows).context}
    assert {key for key in late if key.startswith("by_")} == {
        f"by_first_{step}" for step in STEPS if step not in recorded
    }
    if recorded != STEPS:
        assert epoch_of(rows.head.stamp) == 2
