"""Running what is due: from a step that a session wants started to the fact that it is told."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from famulus.engine.attempts import Attempts
from famulus.engine.backoff import Backoff
from famulus.engine.execution import Executor
from famulus.engine.quarantine import Quarantine
from famulus.engine.runs import Runs
from famulus.engine.session import Session
from famulus.engine.spreading import ItemDesk
from famulus.errors import RetryableError
from famulus.faultpoints import K1, K3, ON, reach
from famulus.flow.decisions import RunStep
from famulus.flow.facts import Fact, StepsInherited, StepTaken
from famulus.flow.state import StepState
from famulus.flow.status import RunStatus
from famulus.ids import RunId
from famulus.ports import Clock

log = logging.getLogger(__name__)


class StepRunner:
    """Starts attempts and reports their outcomes, through rebalances and absent servers."""

    def __init__(
        self,
        runs: Runs,
        executor: Executor,
        items: ItemDesk,
        *,
        clock: Clock,
        worker: str,
        taken_seconds: float,
        quarantine: Quarantine,
        crash_budget: int,
        counts: Counter[str],
    ) -> None:
        self.attempts = Attempts()
        self._runs = runs
        self._executor = executor
        self._items = items
        self._clock = clock
        self._worker = worker
        self._taken_seconds = taken_seconds
        self._quarantine = quarantine
        self._crash_budget = crash_budget
        self._counts = counts
        self._leaving = False
        self._reports: set[asyncio.Task[None]] = set()

    def start(self, session: Session, due: RunStep) -> None:
        """Start an attempt of the step, unless it runs already or this worker is about to stop."""
        if self._leaving:
            return
        self.attempts.start(
            session.run_id,
            due.step_id,
            attempt=due.attempt,
            partition=session.partition,
            body=partial(self._run, session.run_id, session.partition, due),
        )

    def start_no_more(self) -> None:
        """Also wait no longer for items that run elsewhere: what becomes of them is for the next owner."""
        self._leaving = True
        self._items.wait_no_more()

    async def stop(self, grace_seconds: float) -> None:
        """Give running attempts some time to end, then cancel them; their steps stay due for the next owner."""
        self.start_no_more()
        await self.attempts.wait(grace_seconds)
        await self.attempts.cancel_all()
        for task in list(self._reports):
            task.cancel()
        await asyncio.gather(*self._reports, return_exceptions=True)
        await self._items.stop()

    async def _run(self, run_id: RunId, partition: int, due: RunStep) -> None:
        while True:
            session = await self._session(run_id, partition)
            step = None if session is None else session.run.steps.get(due.step_id)
            if session is None or step is None or not step.is_due or step.attempt != due.attempt:
                return
            async with self._admitted(session, partition, step) as admitted:
                if admitted is None:
                    return  # it is not this worker's any more, and stays due
                session, step = admitted
                if not self._items.sends(session.run, step):
                    await self._attempt(session, partition, step)
                    return
                is_inherited = await self._items.await_outcome(session.run, step)
            if not is_inherited:
                return
            now = self._clock.now()
            inherited = StepsInherited(steps=(step.step_id,), crash_budget=self._crash_budget, at=now)
            await self._report(run_id, partition, inherited)
            if session.run.status is RunStatus.PAUSED or self._leaving:
                return  # it stays due

    @asynccontextmanager
    async def _admitted(
        self, session: Session, partition: int, step: StepState
    ) -> AsyncIterator[tuple[Session, StepState] | None]:
        """A suspect waits for its turn, and the body has it as it is then."""
        if step.suspicion is None or not step.suspicion.is_suspect:
            yield session, step
            return
        run_id, step_id = session.run_id, step.step_id
        report = partial(self._report, run_id, partition)
        lasts = partial(self._items.lasts, run_id, step_id) if self._items.sends(session.run, step) else None
        async with self._quarantine.turn(run_id, step, epoch=session.tenure.epoch, report=report, lasts=lasts):
            live = self._runs.live(run_id)
            now = None if live is None else live.run.steps.get(step_id)
            if live is None or now is None or now.suspicion is None or now.suspicion.marked_by is None:
                yield None
            else:
                yield live, now

    async def _attempt(self, session: Session, partition: int, step: StepState) -> None:
        run_id = session.run_id
        timers: list[asyncio.TimerHandle] = []

        def begun() -> None:
            taken = partial(self._report_taken, run_id, partition, step, self._clock.now())
            timers.append(asyncio.get_running_loop().call_later(self._taken_seconds, taken))

        if ON:
            reach(K1, run_id)
        try:
            fact = await self._executor.attempt(session.run, step, begun=begun)
        finally:
            for timer in timers:
                timer.cancel()
        if ON:
            reach(K3, run_id)
        self._counts["attempts"] += 1
        await self._report(run_id, partition, fact)

    async def _report(self, run_id: RunId, partition: int, fact: Fact) -> None:
        """Tell the run what happened, as long as it is this worker's and has not ended."""
        backoff = Backoff()
        while True:
            session = await self._session(run_id, partition)
            if session is None:
                return
            try:
                await session.report(fact)
            except RetryableError as error:
                log.info("fact not recorded yet: %s", error, extra={"action": "report_retried", "run_id": run_id})
                await self._clock.sleep(backoff.next())
            else:
                return

    async def _session(self, run_id: RunId, partition: int) -> Session | None:
        """The session of a run, once the partition is this worker's; ``None`` if it is not, or the run has ended."""
        backoff = Backoff()
        while True:
            session = self._runs.live(run_id)
            if session is not None:
                return session
            if not await self._runs.owns(partition):
                return None
            try:
                return await self._runs.open(run_id, partition)
            except RetryableError as error:
                log.info("run not loaded yet: %s", error, extra={"action": "load_retried", "run_id": run_id})
                await self._clock.sleep(backoff.next())

    def _report_taken(self, run_id: RunId, partition: int, step: StepState, started_at: float) -> None:
        fact = StepTaken(
            step_id=step.step_id,
            attempt=step.attempt,
            worker=self._worker,
            started_at=started_at,
            at=self._clock.now(),
        )
        task = asyncio.create_task(self._report(run_id, partition, fact))
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)
