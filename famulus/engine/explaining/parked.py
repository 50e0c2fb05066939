"""Parked steps of all runs: what was set aside for want of an implementation, and where.

A run with a parked step stays in the index of open runs, so that whoever owns it looks after it; there it is found.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from famulus.engine.explaining.states import States
from famulus.errors import TerminalError
from famulus.flow.status import StepStatus
from famulus.flow.tasks import task_of
from famulus.ids import NodeId, RunId, StepId

if TYPE_CHECKING:
    from famulus.engine.catalog import Catalog
    from famulus.ports import RunStore

LOADED_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedStep:
    run_id: RunId
    blueprint_id: str
    version: str
    step_id: StepId
    node_id: NodeId
    uses: str
    """Its implementation."""
    cause: str
    """``missing_implementation``, or ``crash_budget``: it has ended the processes that ran it."""
    reason: str | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class ParkedSteps:
    def __init__(self, store: RunStore, catalog: Catalog) -> None:
        self._store = store
        self._states = States(store, catalog)

    async def all(self, partitions: Iterable[int], *, uses: str | None = None) -> AsyncIterator[ParkedStep]:
        """Of the open runs of these partitions of the jobs topic; the cost is that of reading all of those runs."""
        for partition in partitions:
            some: list[RunId] = []
            async for run_id in self._store.open_runs(partition):
                some.append(run_id)
                if len(some) >= LOADED_AT_ONCE:
                    for parked in await self._of(some, uses):
                        yield parked
                    some = []
            for parked in await self._of(some, uses):
                yield parked

    async def _of(self, run_ids: list[RunId], uses: str | None) -> list[ParkedStep]:
        found = await asyncio.gather(*(self._of_run(run_id) for run_id in run_ids))
        return [parked for of_run in found for parked in of_run if uses in (None, parked.uses)]

    async def _of_run(self, run_id: RunId) -> list[ParkedStep]:
        try:
            run = await self._states.of(run_id)
        except TerminalError:  # it cannot be read here; its owner says why in its log
            return []
        if run is None:
            return []
        blueprint = run.graph.blueprint
        return [
            ParkedStep(
                run_id=run_id,
                blueprint_id=blueprint.id,
                version=blueprint.version,
                step_id=step.step_id,
                node_id=step.node_id,
                uses=task_of(run, step).uses,
                cause="missing_implementation" if step.suspicion is None else "crash_budget",
                reason=step.reason,
            )
            for step in run.steps.values()
            if step.status is StepStatus.PARKED
        ]
