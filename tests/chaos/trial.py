"""One trial: a load of all shapes on real workers, faults by a plan, then rest, and a look at every run.

load ─────────────────────────────────┐
faults ──────────────────────────┐    │    all runs end ─> rows of each, `famulus verify` ─> report
watch ───────────────────────────┴────┴──────────┘
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from chaos.history import History
from chaos.load import Load
from chaos.plan import Fault, plan_of
from chaos.report import Report
from chaos.site import EMBEDDED_SESSION_SECONDS, REAL_SESSION_SECONDS, Site
from chaos.watch import Watch
from support.crash_points import with_children
from support.findings import Found, Records, open_records
from support.servers import foreign_environment, settings_of
from support.shapes import Shape
from support.world import eventually

REST_SECONDS: Final = 120.0
"""After the last fault, until which every run must have ended."""
TELL_SECONDS: Final = 5.0
VERIFY_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    seed: int
    seconds: float
    real: bool
    workers: int
    per_second: float
    """Runs that are started."""
    gap: float = 5.0
    """Seconds from the beginning of a fault to that of the next, on average."""
    open_most: int = 100

    @property
    def plan(self) -> Sequence[Fault]:
        session = REAL_SESSION_SECONDS if self.real else EMBEDDED_SESSION_SECONDS
        return plan_of(self.seed, seconds=self.seconds, gap=self.gap, real=self.real, session=session)


async def carry_out(trial: Trial, folder: Path) -> Report:
    """Carry out the trial; what happened and all logs are left in the folder."""
    history = History(folder / "history.jsonl", **asdict(trial))
    async with AsyncExitStack() as stack:
        site = await Site.open(folder, real=trial.real, history=history, stack=stack)
        load = Load(
            site.direct["KAFKA_BROKERS"],
            site.installation.jobs,
            seed=trial.seed,
            per_second=trial.per_second,
            open_most=trial.open_most,
        )
        records = await stack.enter_async_context(open_records(settings_of(site.direct)))
        await site.start_workers(trial.workers)
        return await _Course(trial, site, load, Watch(records, load.accepted, history.now), records, history).run()


@dataclass
class _Course:
    trial: Trial
    site: Site
    load: Load
    watch: Watch
    records: Records
    history: History
    last_fault_at: float = 0.0
    """When everything was there again: how long a process takes to begin is a matter of the machine."""

    async def run(self) -> Report:
        background = [
            asyncio.create_task(self.site.supervise_for_ever()),
            asyncio.create_task(self.watch.look_for_ever()),
            asyncio.create_task(self._tell_for_ever()),
        ]
        try:
            self.history.tell("load begins")
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.load.run(self.trial.seconds, open_runs=lambda: len(self.watch.open_runs)))
                began = self.history.now()
                for fault in self.trial.plan:
                    tasks.create_task(self._strike(fault, began + fault.at))
            self.history.tell("load and faults are over", open=len(self.watch.open_runs))
            await self._rest()
            self.history.tell("rest is over", open=self.watch.open_runs)
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
        return await self._look_at_all()

    async def _tell_for_ever(self) -> None:
        while True:
            open_runs, stopped = self.watch.open_runs, self.history.now() - max(self.watch.moved_at, default=0.0)
            self.history.tell("progress", ended=len(self.watch.ended), open=len(open_runs), last=round(stopped, 1))
            await asyncio.sleep(TELL_SECONDS)

    async def _strike(self, fault: Fault, at: float) -> None:
        await asyncio.sleep(at - self.history.now())
        await self.site.strike(fault)
        self.watch.fault_ended(fault.kind)
        await self.site.workers_live()
        self.last_fault_at = self.history.now()

    async def _rest(self) -> None:
        try:
            await eventually(lambda: not self.watch.open_runs, within=REST_SECONDS, every=0.2)
        except AssertionError:
            return  # the report names them

    async def _look_at_all(self) -> Report:
        until = self.history.now()
        runs = with_children(self.load.accepted.items())
        known = await self.records.statuses(list(runs))
        lost = [run_id for run_id in self.load.accepted if run_id not in known]
        stuck = [run_id for run_id in self.watch.open_runs if run_id in known]
        ended = {run_id: shape for run_id, shape in runs.items() if run_id in known and run_id not in stuck}
        found = await self.records.find_all(list(ended))
        return Report(
            seed=self.trial.seed,
            stack="real" if self.trial.real else "embedded",
            workers=self.trial.workers,
            seconds=self.trial.seconds,
            started=len(self.load.accepted),
            held_back=self.load.held_back,
            ended=len(self.watch.ended),
            steps=sum(sum(each.recorded().values()) for each in found.values()),
            faults=dict(self.site.struck),
            ended_alone={str(code): count for code, count in self.site.ended_alone.items()},
            dead_letters=sum(worker.log().count("dead letter from") for worker in self.site.installation.workers),
            lost=lost,
            stuck=[await self._where(run_id) for run_id in stuck],
            wrong=[fault for run_id, shape in ended.items() for fault in found[run_id].faults(shape)],
            joins_twice=_joins_twice(found, ended),
            steps_twice=[f"{run_id} {step}" for run_id, each in found.items() for step in each.recorded_twice()],
            deviations=await asyncio.to_thread(self._verify),
            recoveries=[(each.kind, round(each.seconds or until - each.ended_at, 2)) for each in self.watch.recoveries],
            longest_stop=round(self.watch.longest_stop(self.last_fault_at, until), 2),
        )

    async def _where(self, run_id: str) -> str:
        view = (await self.records.find(run_id)).view
        steps = ", ".join(f"{step.step_id or step.node_id} {step.status}" for step in view.steps)
        return f"{run_id} is {view.summary.status}: {steps}"

    def _verify(self) -> list[str]:
        """What `famulus verify` says, as anybody would ask it."""
        told = subprocess.run(
            [sys.executable, "-m", "famulus.cli", "verify"],
            cwd=self.site.installation.folder,
            env={**foreign_environment(), **self.site.direct},
            capture_output=True,
            text=True,
            timeout=VERIFY_SECONDS,
            check=False,
        )
        lines = [line for line in told.stdout.splitlines() if line.strip()]
        if told.returncode and not lines:
            return [f"famulus verify ended with code {told.returncode}: {told.stderr[-500:]}"]
        return lines


def _joins_twice(found: Mapping[str, Found], shapes: Mapping[str, Shape]) -> list[str]:
    return [
        f"{run_id} {join}"
        for run_id, each in found.items()
        for join in shapes[run_id].joins
        if each.recorded()[join] > 1
    ]
