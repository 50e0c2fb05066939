"""Real workers that die one after the other, each at another crash point with runs of another shape under way.

    start runs ─> a worker that dies at the point ─> the next shape, the next worker ─> ... ─> one that lives

Each worker takes over what the one before it has left, while the point that it dies at itself is already told. So what
is under way when a worker dies may have lived through several deaths in the end.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from support.findings import Found, effects_by_run, effects_in, open_records
from support.installation import Installation, start_json
from support.servers import settings_of
from support.shapes import CRASHED, DIAMOND, SHAPES, Shape, child_of, signal_record

from famulus.faultpoints import K0, K6, K9, K10, POINTS, Point

DIES_WITHIN: Final = 180.0
ENDS_WITHIN: Final = 180.0
"""On a machine that has other things to do."""
STARTED_AGAIN_MOST: Final = 3
"""A worker may end by itself, for the watchdog thinks that it stands still: then it is started again."""
COPIES: Final = 2
HITS_MOST: Final[Mapping[Point, int]] = {K0: 1, K6: 1, K9: 1, K10: 2}
"""Every shape comes so often to the point at least; to those not named three times."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One of the table of points and shapes."""

    point: Point
    shape: Shape

    def __str__(self) -> str:
        return f"{self.point}-{self.shape.name}"

    @property
    def hit(self) -> int:
        """Not always the first: what is under way then differs."""
        return (POINTS.index(self.point) + CRASHED.index(self.shape)) % HITS_MOST.get(self.point, 3) + 1

    @property
    def arming(self) -> str:
        prefix = "" if self.point == K10 else f":{self}-"
        return f"{self.point}:kill:{self.hit}{prefix}"

    @property
    def run_ids(self) -> Mapping[str, Shape]:
        """Of the runs that are started for it. A shape without a join does not come to where joins are counted."""
        runs = {f"{self}-{number}": self.shape for number in range(COPIES)}
        return runs | {f"{self}-join": DIAMOND} if self.point == K6 and not self.shape.joins else runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """What was left of the runs of a cell."""

    exit_code: int | None
    deaths: int
    """So many workers have died since the runs were started, at most."""
    found: Mapping[str, Found]
    """Those that are not lost."""
    effects: Mapping[str, Mapping[str, int]]


@dataclass
class Deaths:
    """The deaths of one installation."""

    installation: Installation
    cells: Sequence[Cell]
    exits: dict[Cell, int] = field(default_factory=dict)
    first_worker: dict[Cell, int] = field(default_factory=dict)
    """The number of the first worker that saw the runs of a cell."""

    async def tell(self) -> dict[Cell, Aftermath]:
        await self.installation.prepare()
        for cell in self.cells:
            await self._start(cell.run_ids)
            self.first_worker[cell] = len(self.installation.workers)
            for _ in range(1 + STARTED_AGAIN_MOST):
                worker = self.installation.start_worker(**self._environment(), FAMULUS_FAULTPOINTS=cell.arming)
                self.exits[cell] = await worker.ended(within=DIES_WITHIN)
                if self.exits[cell] == -signal.SIGKILL:
                    break
            assert self.exits[cell] == -signal.SIGKILL, f"{cell}: {worker.name} ended with {self.exits[cell]}"
        self.installation.start_worker(**self._environment())
        async with open_records(settings_of(self.installation.environment)) as records:
            runs = self._runs()
            with suppress(AssertionError):  # each cell tells of its own
                await records.ended(list(runs), within=ENDS_WITHIN)
            found = await records.find_all(list(await records.statuses(list(runs))))
        effects = effects_by_run(effects_in(self._sink), runs)
        return {cell: self._aftermath(cell, found, effects) for cell in self.cells}

    @property
    def _sink(self) -> Path:
        return self.installation.folder / "effects"

    def _environment(self) -> dict[str, str]:
        return {"FAMULUS_NODES": "support.effect_nodes", "EFFECTS": str(self._sink)}

    async def _start(self, runs: Mapping[str, Shape]) -> None:
        async with self.installation.producer() as producer:
            for run_id, shape in runs.items():
                start = start_json(run_id, shape.name, input=dict(shape.start))
                await producer.send_and_wait(self.installation.jobs, start, key=run_id.encode())
                if shape.waits:
                    told = json.dumps(signal_record(run_id)).encode()
                    await producer.send_and_wait(self.installation.jobs, told, key=run_id.encode())

    def _runs(self) -> dict[str, Shape]:
        return with_children(run for cell in self.cells for run in cell.run_ids.items())

    def _aftermath(self, cell: Cell, found: Mapping[str, Found], effects: Mapping[str, Mapping[str, int]]) -> Aftermath:
        runs = with_children(cell.run_ids.items())
        return Aftermath(
            exit_code=self.exits[cell],
            deaths=len(self.installation.workers) - 1 - self.first_worker[cell],
            found={run_id: found[run_id] for run_id in runs if run_id in found},
            effects={run_id: effects[run_id] for run_id in runs},
        )


def with_children(runs: Iterable[tuple[str, Shape]]) -> dict[str, Shape]:
    """The runs and those that they start."""
    every: dict[str, Shape] = {}
    for run_id, shape in runs:
        every[run_id] = shape
        child = child_of(run_id, shape)
        if child is not None and shape.child is not None:
            every[child] = shape.child
    return every


BLUEPRINTS: Final = tuple(shape.document for shape in SHAPES.values())
EVERY_CELL: Final = tuple(Cell(point, shape) for point in POINTS for shape in CRASHED)
EVERY_FIFTH_CELL: Final = EVERY_CELL[::5]
"""Also every point with one shape or two, and every shape with two points or more."""
ONE_OF_EACH_POINT: Final = tuple(Cell(point, CRASHED[3 * index % len(CRASHED)]) for index, point in enumerate(POINTS))
"""Also every shape, at least once. For servers that take long to notice who is gone."""


async def tell_side_by_side(installations: Sequence[Installation], cells: Sequence[Cell]) -> dict[Cell, Aftermath]:
    """Deal the cells out to installations of their own, which know nothing of each other."""
    shares = [cells[start :: len(installations)] for start in range(len(installations))]
    told = await asyncio.gather(
        *(Deaths(each, share).tell() for each, share in zip(installations, shares, strict=True))
    )
    return {cell: aftermath for part in told for cell, aftermath in part.items()}
