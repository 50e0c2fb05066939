"""Suspects of this worker: who runs when, marked before the start, and released when they have lasted.

The worker runs everything else meanwhile. When it dies, the marks say who was running: `famulus.flow.suspicion`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from famulus.flow.facts import Fact, StepQuarantined, StepReleased, StepsInherited
from famulus.flow.suspicion import NONE
from famulus.flow.tasks import task_of

if TYPE_CHECKING:
    from famulus.engine.attempts import Attempts
    from famulus.engine.session import Session
    from famulus.engine.spreading import ItemDesk
    from famulus.flow.state import StepState
    from famulus.ids import RunId
    from famulus.ports import Clock

log = logging.getLogger(__name__)

TOGETHER: Final = 64
"""Suspects that run at the same time while each is held for a possible one only."""
DOUBLINGS_MOST: Final = 12
RELEASE_SECONDS: Final = 2.0
"""How long a worker that gives its partitions up takes to say that it is alive."""

Report = Callable[[Fact], Awaitable[None]]
Lasts = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Of a step in quarantine."""

    step: StepState
    report: Report
    alone: bool


class Quarantine:
    def __init__(self, *, clock: Clock, probation_seconds: float, counts: Counter[str]) -> None:
        self._clock = clock
        self._probation_seconds = probation_seconds
        self._counts = counts
        self._turn = asyncio.Condition()
        self._inside: set[_Place] = set()
        self._marked: dict[_Place, None] = {}
        self._probations: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def turn(
        self, run_id: RunId, step: StepState, *, epoch: int, report: Report, lasts: Lasts | None = None
    ) -> AsyncIterator[None]:
        """Wait for the turn of a suspect, and mark it; the body starts it. It keeps the turn for its probation only.

        `lasts` waits until the step has run for so many seconds; without it, that is so from its start on.
        """
        suspicion = step.suspicion or NONE
        place = _Place(step, report, alone=suspicion.is_alone)
        await self._enter(place)
        probation: asyncio.Task[None] | None = None
        try:
            self._counts["quarantined"] += 1
            log.warning(
                "step %s of run %s runs in quarantine: processes have ended under it",
                step.step_id,
                run_id,
                extra={"action": "step_quarantined", "run_id": run_id, "step_id": step.step_id},
            )
            now = self._clock.now()
            await report(StepQuarantined(step_id=step.step_id, attempt=step.attempt, epoch=epoch, at=now))
            self._marked[place] = None
            probation = asyncio.create_task(self._probation(place, suspicion.releases, lasts or self._clock.sleep))
            self._probations.add(probation)
            probation.add_done_callback(self._probations.discard)
            yield
        finally:
            if probation is not None and place in self._marked:
                probation.cancel()  # else it is telling that the step is released
            self._marked.pop(place, None)
            await self._leave(place)

    async def give_up(self) -> None:
        """Say of everything that runs in quarantine that this worker is alive, and lets it go."""
        places, self._marked = list(self._marked), {}
        if not places:
            return
        telling = [asyncio.ensure_future(place.report(self._released(place, has_lasted=False))) for place in places]
        await asyncio.wait(telling, timeout=RELEASE_SECONDS)
        for task in telling:
            task.cancel()
        await asyncio.gather(*telling, return_exceptions=True)
        for place in places:
            await self._leave(place)

    async def _enter(self, place: _Place) -> None:
        def is_free() -> bool:
            if place.alone:
                return not self._inside
            return len(self._inside) < TOGETHER and not any(other.alone for other in self._inside)

        async with self._turn:
            await self._turn.wait_for(is_free)
            self._inside.add(place)

    async def _leave(self, place: _Place) -> None:
        async with self._turn:
            self._inside.discard(place)
            self._turn.notify_all()

    async def _probation(self, place: _Place, releases: int, lasts: Lasts) -> None:
        await lasts(self._probation_seconds * 2.0 ** min(releases, DOUBLINGS_MOST))
        if place in self._marked:
            del self._marked[place]
            try:
                await place.report(self._released(place, has_lasted=True))
            finally:
                await self._leave(place)

    def _released(self, place: _Place, *, has_lasted: bool) -> StepReleased:
        step = place.step
        return StepReleased(step_id=step.step_id, attempt=step.attempt, has_lasted=has_lasted, at=self._clock.now())


class Inheriting:
    """What an owner records of a run of somebody else before it starts what is due of it."""

    def __init__(
        self, implementations: Collection[str], clock: Clock, *, crash_budget: int, attempts: Attempts, desk: ItemDesk
    ) -> None:
        self._implementations = implementations
        self._clock = clock
        self._crash_budget = crash_budget
        self._attempts = attempts
        self._desk = desk

    async def inherit(self, session: Session) -> None:
        """Steps that still run here have killed nobody. Those that run on any worker may have run on the one gone."""
        run = session.run
        steps = tuple(
            step.step_id
            for step in run.steps.values()
            if step.is_due
            and self._attempts.task_of(run.run_id, step.step_id) is None
            and (task_of(run, step).uses in self._implementations or self._desk.sends(run, step))
        )
        if steps:
            await session.inherit(StepsInherited(steps=steps, crash_budget=self._crash_budget, at=self._clock.now()))
