"""What was left of runs of known shapes: compared with what must have become of them, and with the auditor's rules."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from support.files import whole_lines
from support.shapes import Shape
from support.world import eventually

from famulus.connect import Stores, open_stores
from famulus.engine.audit import AuditPorts, Deviation, audit_run
from famulus.engine.catalog import Catalog
from famulus.engine.reading import EventView, RunReader, RunView, is_ended
from famulus.ids import RunId
from famulus.settings import Settings

READS_AT_ONCE: Final = 50
ENDS: Final = ("step.completed", "step.failed", "step.cancelled", "step.skipped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One run, as anybody is shown it."""

    view: RunView
    events: Sequence[EventView]
    deviations: Sequence[Deviation]

    @property
    def run_id(self) -> str:
        return self.view.summary.run_id

    def recorded(self) -> Counter[str]:
        """How often each step came to an end, as the events tell."""
        return Counter(str(event.data["step"]) for event in self.events if event.type in ENDS)

    def recorded_twice(self) -> list[str]:
        return [step for step, times in self.recorded().items() if times > 1]

    def faults(self, shape: Shape) -> list[str]:
        """What is not as it must be, one line each."""
        return [f"{self.run_id}: {fault}" for fault in self._faults(shape)]

    def _faults(self, shape: Shape) -> Iterator[str]:
        status = self.view.summary.status
        if status != "completed":
            steps = ", ".join(f"{step.step_id or step.node_id} {step.status}" for step in self.view.steps)
            yield f"is {status}, not completed ({steps})"
            return
        outputs = {step.node_id: step.output for step in self.view.steps if step.node_id in shape.outputs}
        if outputs != shape.outputs:
            yield f"came to {outputs}, not to {dict(shape.outputs)}"
        recorded = self.recorded()
        if recorded != Counter(shape.ends):
            yield f"recorded {dict(recorded - Counter(shape.ends))} too often, missed {Counter(shape.ends) - recorded}"
        if self.events[-1].type != "run.completed":
            yield f"told of {self.events[-1].type} after its end"
        begun = Counter(event.type for event in self.events if event.type in ("run.started", "run.completed"))
        if set(begun.values()) != {1}:
            yield f"told twice that it began or ended: {dict(begun)}"
        yield from map(str, self.deviations)


class Records:
    """Looks at the rows, as everybody may."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._catalog = Catalog(stores.blueprints, lambda: 0.0)
        self.reader = RunReader(stores.runs, self._catalog)

    async def statuses(self, run_ids: Sequence[str]) -> dict[str, str]:
        """Of those that exist."""
        heads = await self._stores.runs.heads([RunId(run_id) for run_id in run_ids])
        return {str(run_id): head.status for run_id, (_, head) in heads.items()}

    async def progress(self, run_ids: Sequence[str]) -> dict[str, tuple[str, int]]:
        """Status and place of the last event, of those that exist: a run that has moved has another place."""
        heads = await self._stores.runs.heads([RunId(run_id) for run_id in run_ids])
        return {str(run_id): (head.status, head.next_seq) for run_id, (_, head) in heads.items()}

    async def ended(self, run_ids: Sequence[str], *, within: float) -> None:
        """Wait until all these runs have ended."""

        async def all_ended() -> bool:
            known = await self.statuses(run_ids)
            return len(known) == len(set(run_ids)) and all(map(is_ended, known.values()))

        try:
            await eventually(all_ended, within=within, every=0.1)
        except AssertionError as error:
            known = await self.statuses(run_ids)
            open_ones = {run_id: known.get(run_id, "lost") for run_id in run_ids if not is_ended(known.get(run_id, ""))}
            raise AssertionError(f"not ended within {within} s: {open_ones}") from error

    async def find(self, run_id: str) -> Found:
        return Found(
            view=await self.reader.show(RunId(run_id)),
            events=[event async for event in self._events(RunId(run_id))],
            deviations=await audit_run(
                AuditPorts(runs=self._stores.runs, timers=self._stores.timers, hooks=self._stores.hooks),
                self._catalog,
                RunId(run_id),
            ),
        )

    async def find_all(self, run_ids: Sequence[str]) -> dict[str, Found]:
        found: dict[str, Found] = {}
        for start in range(0, len(run_ids), READS_AT_ONCE):
            some = run_ids[start : start + READS_AT_ONCE]
            found.update(zip(some, await asyncio.gather(*map(self.find, some)), strict=True))
        return found

    async def _events(self, run_id: RunId) -> AsyncIterator[EventView]:
        last = -1
        while page := await self.reader.events(run_id, after=last):
            for event in page:
                yield event
            last = page[-1].seq


@asynccontextmanager
async def open_records(settings: Settings) -> AsyncIterator[Records]:
    async with open_stores(settings) as stores:
        yield Records(stores)


def effects_in(file: Path) -> Counter[str]:
    """How often each effect was asked for, by idempotency key."""
    return Counter(line.split("\t")[0] for line in whole_lines(file))


def effects_by_run(effects: Mapping[str, int], run_ids: Iterable[str]) -> dict[str, dict[str, int]]:
    """The same by run and step."""
    found: dict[str, dict[str, int]] = {run_id: {} for run_id in run_ids}
    for key, times in effects.items():
        run_id, _, step_id = key.rpartition("/")
        if run_id in found:
            found[run_id][step_id] = times
    return found


def nodes_with_effects(shape: Shape) -> set[str]:
    """The steps of a shape that have effects, of those that end."""
    uses: dict[str, Any] = {node["id"]: node["uses"] for node in shape.document["nodes"]}
    batches = {node["id"] for node in shape.document["nodes"] if node["uses"] == "map"}
    plain = {step for step in shape.ends if uses[step.partition("[")[0]].startswith("effect.")}
    return plain | {step for step in shape.ends if step.partition("[")[0] in batches and "[" in step}
