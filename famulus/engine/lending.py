"""Steps whose implementation their owner does not have: other workers run them, or they are parked until one can.

    owner ── item ──────────> items topic ─> a worker that has it ─────── outcome ─> owner records it
                                       └───> the last of them: nobody ── parked ──> owner parks the step
    owner ── "who has it?" ─> items topic ─> a worker that has it ─────── taken ───> owner: the step is due again

The first line is that of items (`famulus.engine.spreading`, `famulus.engine.items`). The second is asked at each look
after open runs, once for each implementation that is missing: the answer sets all steps going that wait for it. It is a
hint, as a job is: an answer that is lost is asked for again, one that comes late or twice changes nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from famulus.errors import OwnershipLostError, RetryableError
from famulus.flow.facts import StepUnparked
from famulus.flow.status import RUN_ENDED, RunStatus, StepStatus
from famulus.flow.tasks import task_of
from famulus.ids import StepId

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from famulus.engine.runs import Runs
    from famulus.engine.session import Session
    from famulus.engine.spreading import ItemDesk, ItemOutcome, ItemTaken
    from famulus.flow.state import StepState
    from famulus.ports import Clock

log = logging.getLogger(__name__)


class Lending:
    def __init__(self, runs: Runs, desk: ItemDesk, clock: Clock, *, counts: Counter[str]) -> None:
        self._runs = runs
        self._desk = desk
        self._clock = clock
        self._counts = counts

    async def ask_around(self) -> None:
        """Ask all workers for the implementations that parked steps wait for. Raises `RetryableError`."""
        asked: set[str] = set()
        for session in self._runs.in_hand():
            for step, uses in _parked(session):
                if uses not in asked:
                    asked.add(uses)
                    self._counts["implementations_asked_for"] += 1
                    await self._desk.ask(session.run, step)

    async def heard(self, session: Session, told: ItemTaken | ItemOutcome) -> bool:
        """Whether somebody has an implementation that a step is parked for; then all that wait for it are due again."""
        step = session.run.steps.get(StepId(told.step_id))
        if step is None or step.status is not StepStatus.PARKED or step.attempt != told.attempt:
            return False
        if step.suspicion is not None:
            return False  # it is parked for something else
        uses = task_of(session.run, step).uses
        log.info(
            "%s has %r, that steps were parked for",
            told.worker,
            uses,
            extra={"action": "implementation_found", "run_id": session.run_id},
        )
        await self._unpark(session, uses)
        for other in self._runs.in_hand():
            try:
                await self._unpark(other, uses)
            except (OwnershipLostError, RetryableError):
                continue  # it is asked for again
        return True

    async def _unpark(self, session: Session, uses: str) -> None:
        now = self._clock.now()
        for step, missing in list(_parked(session)):
            if missing == uses:
                await session.report(StepUnparked(step_id=step.step_id, at=now))


def _parked(session: Session) -> Iterator[tuple[StepState, str]]:
    """Steps that would go on, with the implementation that each waits for."""
    run = session.run
    if run.live == run.active or run.status is RunStatus.PAUSED or run.status in RUN_ENDED:
        return  # nothing of it waits: so it is with most, and their steps need not be looked at
    for step in list(run.steps.values()):
        if step.status is StepStatus.PARKED and step.suspicion is None:
            yield step, task_of(run, step).uses
