"""The owner of runs: handles the records of its partitions and keeps their runs going.

Follow one job: `handle` parses the record and finds the run (`_open`), the session tells it what happened and writes,
`_start_step` runs what is due, and the attempt reports back to the session. A record is finished when everything that
follows from it is durable; the intake acknowledges it then.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, assert_never

from famulus.engine.attempts import Attempts
from famulus.engine.backoff import Backoff
from famulus.engine.catalog import Catalog
from famulus.engine.execution import ExecutionLimits, Executor
from famulus.engine.inheritance import inherited_from
from famulus.engine.joins import JoinDesk
from famulus.engine.loader import state_of
from famulus.engine.records import Cancel, Job, Start, StepHint, parse_job
from famulus.engine.rows import encode, input_digest
from famulus.engine.seals import seals_for, visible_rows
from famulus.engine.session import Session, SessionServices
from famulus.engine.tenure import Tenure
from famulus.errors import (
    BadRecordError,
    BlueprintError,
    BlueprintNotFoundError,
    OwnershipLostError,
    RetryableError,
    TerminalError,
)
from famulus.flow.decisions import RunStep
from famulus.flow.facts import CancelRequested, Fact, RunStarted, StartRefused, StepTaken, StepUnparked
from famulus.flow.state import RunState, StepState
from famulus.flow.status import RUN_ENDED, StepStatus
from famulus.ids import RunId, StepId
from famulus.nodes import Registry
from famulus.ports import BlueprintStore, Bus, Clock, Epochs, Joins, Record, RunBirth, RunStore

log = logging.getLogger(__name__)

FORWARDED_HEADER = "famulus-forwarded-from"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The world, as the engine is given it."""

    store: RunStore
    blueprints: BlueprintStore
    epochs: Epochs
    joins: Joins
    bus: Bus
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    worker: str
    """The name of this worker in rows and events."""
    max_record_bytes: int = 1_000_000
    park_missing_implementations: bool = False
    """Set a step aside whose `uses` is not registered here, until a worker has it; otherwise it fails."""
    taken_seconds: float = 2.0
    """A step that runs longer is recorded as running."""
    handover_seconds: float = 30.0
    """A record whose step runs longer is acknowledged; the next owner finds the step in the rows."""
    ended_remembered: int = 50_000
    """Runs that ended here lately: late hints for them cost no read."""
    resumed_at_once: int = 32
    """Open runs that are loaded at the same time after an assignment."""
    execution: ExecutionLimits = field(default_factory=ExecutionLimits)


class Engine:
    def __init__(self, ports: Ports, registry: Registry, options: EngineOptions) -> None:
        self.ports = ports
        self.options = options
        self.catalog = Catalog(ports.blueprints, ports.clock.now)
        self.executor = Executor(
            registry,
            now=ports.clock.now,
            limits=options.execution,
            park_missing=options.park_missing_implementations,
        )
        self.joins = JoinDesk(ports.joins)
        self.attempts = Attempts()
        self.counts: Counter[str] = Counter()
        self._tenure = Tenure(())
        self._leaving = False
        self._settled = asyncio.Event()
        """Set between an assignment and the next revocation."""
        self._sessions: dict[RunId, Session] = {}
        self._doors: dict[RunId, Door] = {}
        self._ended: OrderedDict[RunId, None] = OrderedDict()
        self._background: set[asyncio.Task[None]] = set()
        self._services = SessionServices(
            store=ports.store,
            bus=ports.bus,
            clock=ports.clock,
            joins=self.joins,
            start_step=self._start_step,
            stop_step=self.attempts.stop,
            ended=self._run_ended,
        )

    # -- ownership ---------------------------------------------------------------------------------------------------

    @property
    def partitions(self) -> frozenset[int]:
        return frozenset() if self._tenure.over else self._tenure.partitions

    def assigned(self, partitions: Iterable[int]) -> None:
        """These partitions of the jobs topic, and no others, are this worker's from now on.

        Takes a new epoch in the background; records that come meanwhile wait for it. Then every open run of the
        partitions is loaded and what is due of it set going.
        """
        self.revoked()
        self._tenure = Tenure(partitions)
        self.attempts.keep_only(self._tenure.partitions)
        if self._tenure.partitions:
            self._spawn(self._begin(self._tenure))
        self._settled.set()

    def revoked(self) -> None:
        """Nothing is this worker's until the next assignment. Attempts go on; what they report waits for it."""
        self._settled.clear()
        self._tenure.end()
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
        self._ended.clear()

    async def resume_open_runs(self) -> int:
        """Load every open run of the owned partitions that is not in memory, and set going what is due of it.

        Safe at any time; returns how many were loaded. Called after each assignment, and periodically.
        """
        tenure = self._tenure
        await tenure.ready()
        limit = asyncio.Semaphore(self.options.resumed_at_once)
        resumed = 0

        async def resume(run_id: RunId, partition: int) -> None:
            nonlocal resumed
            async with limit:
                try:
                    resumed += self._live(run_id) is None and await self._open(run_id, partition) is not None
                except TerminalError:
                    log.exception("open run cannot be resumed", extra={"action": "resume_failed", "run_id": run_id})

        for partition in sorted(tenure.partitions):
            loading = [
                asyncio.create_task(resume(run_id, partition))
                async for run_id in self.ports.store.open_runs(partition)
                if self._live(run_id) is None
            ]
            await asyncio.gather(*loading)
        self.counts["resumed"] += resumed
        return resumed

    def start_no_more(self) -> None:
        """Let what runs come to its end, but start no step. What becomes due is left to the next owner, by its hint."""
        self._leaving = True

    async def stop(self, grace_seconds: float) -> None:
        """Give running attempts some time to end, then cancel them; their steps stay due for the next owner."""
        await self.attempts.wait(grace_seconds)
        await self.attempts.cancel_all()
        self.revoked()
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        self.executor.close()

    async def _begin(self, tenure: Tenure) -> None:
        backoff = Backoff()
        while not tenure.over:
            try:
                tenure.begin(await self.ports.epochs.take())
                break
            except RetryableError as error:
                log.warning("no epoch yet: %s", error, extra={"action": "epoch_retried"})
                await self.ports.clock.sleep(backoff.next())
        while not tenure.over:
            try:
                await self.resume_open_runs()
            except OwnershipLostError:
                return
            except RetryableError as error:
                log.warning("open runs not resumed yet: %s", error, extra={"action": "resume_retried"})
                await self.ports.clock.sleep(backoff.next())
            else:
                return

    # -- records -----------------------------------------------------------------------------------------------------

    def handle(self, record: Record) -> Awaitable[None] | None:
        """Handle one record of the jobs topic. ``None``: it was finished without waiting for anything.

        Never raises for what is in the record: that becomes a dead letter. Raises `RetryableError` when a server is
        away, and `OwnershipLostError` when the partition was taken away meanwhile; then the record is to be handled
        again by whoever it is delivered to.
        """
        self.counts["records"] += 1
        try:
            job = parse_job(record.value, max_bytes=self.options.max_record_bytes)
        except BadRecordError as error:
            return self._bury(record, error)
        if record.partition != self.ports.bus.partition_of(job.run_id):
            return self._forward(record, job.run_id)
        if isinstance(job, StepHint):
            return self._handle_hint(record, job)
        return self._handle_later(record, job)

    def _handle_hint(self, record: Record, hint: StepHint) -> Awaitable[None] | None:
        """Most hints find their step in flight, or recorded: the owner starts successors itself."""
        if hint.run_id in self._ended:
            self.counts["stale"] += 1
            return None
        session = self._live(hint.run_id)
        if session is None:
            return self._handle_later(record, hint)
        task = self._due_attempt(session, hint.step_id)
        if task is None:
            self.counts["stale"] += 1
            return None
        return self._attend(hint, record.partition, task)

    async def _handle_later(self, record: Record, job: Job) -> None:
        try:
            await self._handle(record, job)
        except BadRecordError as error:
            await self._bury(record, error)
        except BlueprintNotFoundError as error:
            await self._bury(record, BadRecordError(str(error), code="unknown_blueprint"))
        except BlueprintError as error:
            await self._bury(record, BadRecordError(str(error), code="bad_blueprint"))

    async def _handle(self, record: Record, job: Job) -> None:
        if isinstance(job, Start):
            await self._handle_start(record, job)
            return
        session = await self._open(job.run_id, record.partition)
        if session is None:
            self._check_known(job.run_id)
            return
        match job:
            case StepHint():
                task = self._due_attempt(session, job.step_id)
                if task is not None:
                    await self._attend(job, record.partition, task)
            case Cancel():
                await session.report(CancelRequested(by=job.by, reason=job.reason, at=self.ports.clock.now()))
            case _:
                assert_never(job)

    def _check_known(self, run_id: RunId) -> None:
        """A run that could not be opened has ended, or does not exist."""
        if run_id not in self._ended:
            raise BadRecordError(
                f"run {run_id!r} does not exist: start it with a record that has blueprint_id", code="unknown_run"
            )
        self.counts["stale"] += 1

    async def _handle_start(self, record: Record, start: Start) -> None:
        async with self._door(start.run_id):
            session = self._live(start.run_id) or await self._load(start.run_id, record.partition)
            if session is None:
                await self._create(record.partition, start)
                return
        self.counts["repeated_starts"] += 1
        difference = _difference(start, session.birth)
        if difference is not None:
            await session.report(StartRefused(detail=difference, at=self.ports.clock.now()))

    async def _create(self, partition: int, start: Start) -> None:
        tenure = await self._tenure_of(partition)
        graph = await self.catalog.find(start.blueprint_id, start.version)
        now = self.ports.clock.now()
        birth = RunBirth(
            run_id=start.run_id,
            blueprint_id=graph.blueprint.id,
            version=graph.blueprint.version,
            digest=graph.digest,
            input=encode(start.input),
            input_digest=input_digest(start.input),
            partition=partition,
            created_at=now,
        )
        run = RunState(run_id=start.run_id, graph=graph, context=dict(start.input))
        session = Session(self._services, tenure, birth, partition, run, seals={}, unborn=True)
        self._sessions[start.run_id] = session
        self.counts["started"] += 1
        await session.report(RunStarted(at=now))

    def _due_attempt(self, session: Session, step_id: StepId) -> asyncio.Task[None] | None:
        """The attempt of a step that is due, started if it does not run yet; ``None`` if the step is not due."""
        step = session.run.steps.get(step_id)
        if step is None or not step.is_due:
            return None
        self._start_step(session, RunStep(step.step_id, step.node_id, step.attempt))
        task = self.attempts.task_of(session.run_id, step_id)
        if task is None:
            raise OwnershipLostError("this worker is about to stop and starts no more steps")
        return task

    async def _attend(self, hint: StepHint, partition: int, task: asyncio.Task[None]) -> None:
        """Wait for the step to be recorded; a long one is handed over to its row."""
        while not task.done():
            await asyncio.wait({task}, timeout=self.options.handover_seconds)
            step = self._known_step(hint)
            if step is not None and step.status is StepStatus.RUNNING and not task.done():
                self.counts["handed_over"] += 1
                return
        if task.cancelled() or task.exception() is not None:
            await self._tenure_of(partition)
            step = self._known_step(hint)
            if step is not None and step.is_due:
                raise RetryableError(f"the attempt of {hint.step_id!r} in run {hint.run_id!r} was not recorded")

    def _known_step(self, hint: StepHint) -> StepState | None:
        session = self._sessions.get(hint.run_id)
        return None if session is None else session.run.steps.get(hint.step_id)

    async def _forward(self, record: Record, run_id: RunId) -> None:
        """Put a record onto the partition that its run belongs to: not every producer partitions as Kafka's own."""
        self.counts["forwarded"] += 1
        source = f"{record.topic}/{record.partition}/{record.offset}".encode()
        headers = [(name, value) for name, value in record.headers if value is not None]
        await (
            await self.ports.bus.send_job(run_id, record.value or b"", headers=[*headers, (FORWARDED_HEADER, source)])
        )

    async def _bury(self, record: Record, error: BadRecordError) -> None:
        self.counts["dead_letters"] += 1
        log.warning(
            "dead letter from %s/%d@%d: %s",
            record.topic,
            record.partition,
            record.offset,
            error,
            extra={"action": "dead_letter", "code": error.code},
        )
        await (await self.ports.bus.send_dead_letter(record, code=error.code, reason=str(error)))

    # -- runs in memory ----------------------------------------------------------------------------------------------

    async def _open(self, run_id: RunId, partition: int) -> Session | None:
        """The session of a run that has not ended; ``None`` if it has (then it is in `_ended`) or does not exist."""
        async with self._door(run_id):
            session = self._live(run_id) or await self._load(run_id, partition)
        return None if session is None or session.run.status in RUN_ENDED else session

    def _live(self, run_id: RunId) -> Session | None:
        """The session in memory, if it may still be used."""
        session = self._sessions.get(run_id)
        return None if session is None or session.closed else session

    async def _load(self, run_id: RunId, partition: int) -> Session | None:
        """Read a run from its rows and set going what is due of it. One that has ended is not kept in memory."""
        tenure = await self._tenure_of(partition)
        rows = await self.ports.store.load(run_id)
        if rows is None:
            return None
        rows = visible_rows(rows)
        birth = rows.birth
        graph = await self.catalog.pinned(birth.digest, blueprint_id=birth.blueprint_id, version=birth.version)
        tenure.check()
        run = state_of(graph, rows)
        session = Session(
            self._services,
            tenure,
            birth,
            partition,
            run,
            seals=seals_for(rows, tenure.epoch),
            inherited=inherited_from(rows),
        )
        if run.status in RUN_ENDED:
            self._remember_ended(run_id)
            return session
        self._sessions[run_id] = session
        self.counts["loaded"] += 1
        await session.resume()
        for step in list(run.steps.values()):
            if step.status is StepStatus.PARKED and graph.node(step.node_id).uses in self.executor.registry:
                await session.report(StepUnparked(step_id=step.step_id, at=self.ports.clock.now()))
        return session

    async def _tenure_of(self, partition: int) -> Tenure:
        """The present tenure, with its epoch. Raises `OwnershipLostError` if it does not hold the partition."""
        tenure = self._tenure
        if partition not in tenure.partitions:
            raise OwnershipLostError(f"partition {partition} is not assigned to this worker", retry_after=0.2)
        await tenure.ready()
        return tenure

    @asynccontextmanager
    async def _door(self, run_id: RunId) -> AsyncIterator[None]:
        """One at a time finds, loads or creates a run, in the order in which they ask."""
        door = self._doors.get(run_id)
        if door is None:
            door = self._doors[run_id] = Door()
        door.users += 1
        try:
            async with door.lock:
                yield
        finally:
            door.users -= 1
            if not door.users:
                self._doors.pop(run_id, None)

    def _run_ended(self, session: Session) -> None:
        self._sessions.pop(session.run_id, None)
        self._remember_ended(session.run_id)
        self.counts[f"runs_{session.run.status}"] += 1

    def _remember_ended(self, run_id: RunId) -> None:
        self._ended[run_id] = None
        if len(self._ended) > self.options.ended_remembered:
            self._ended.popitem(last=False)

    # -- attempts ----------------------------------------------------------------------------------------------------

    def _start_step(self, session: Session, step: RunStep) -> None:
        if self._leaving:
            return
        body = partial(self._run_attempt, session.run_id, session.partition, step)
        self.attempts.start(session.run_id, step.step_id, attempt=step.attempt, partition=session.partition, body=body)

    async def _run_attempt(self, run_id: RunId, partition: int, due: RunStep) -> None:
        if due.delay_ms:
            await self.ports.clock.sleep(due.delay_ms / 1000)
        session = await self._owned(run_id, partition)
        step = None if session is None else session.run.steps.get(due.step_id)
        if session is None or step is None or not step.is_due or step.attempt != due.attempt:
            return
        started_at = self.ports.clock.now()
        taken = asyncio.get_running_loop().call_later(
            self.options.taken_seconds, self._record_taken, run_id, partition, step, started_at
        )
        try:
            fact = await self.executor.attempt(session.run, step)
        finally:
            taken.cancel()
        self.counts["attempts"] += 1
        await self._report(run_id, partition, fact)

    async def _report(self, run_id: RunId, partition: int, fact: Fact) -> None:
        """Tell the run what happened, through rebalances and restarts of servers, as long as it is this worker's."""
        backoff = Backoff()
        while True:
            session = await self._owned(run_id, partition)
            if session is None:
                return
            try:
                await session.report(fact)
            except RetryableError as error:
                log.info("fact not recorded yet: %s", error, extra={"action": "report_retried", "run_id": run_id})
                await self.ports.clock.sleep(backoff.next())
            else:
                return

    async def _owned(self, run_id: RunId, partition: int) -> Session | None:
        """The session of a run, once the partition is this worker's; ``None`` if it is not, or the run has ended."""
        backoff = Backoff()
        while True:
            session = self._live(run_id)
            if session is not None:
                return session
            await self._settled.wait()
            if partition not in self.partitions:
                return None
            try:
                return await self._open(run_id, partition)
            except RetryableError as error:
                log.info("run not loaded yet: %s", error, extra={"action": "load_retried", "run_id": run_id})
                await self.ports.clock.sleep(backoff.next())

    def _record_taken(self, run_id: RunId, partition: int, step: StepState, started_at: float) -> None:
        fact = StepTaken(
            step_id=step.step_id,
            attempt=step.attempt,
            worker=self.options.worker,
            started_at=started_at,
            at=self.ports.clock.now(),
        )
        self._spawn(self._report(run_id, partition, fact))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


@dataclass(slots=True)
class Door:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


def _difference(start: Start, birth: RunBirth) -> str | None:
    """In what a repeated start differs from the run as it was started; ``None`` if in nothing."""
    if start.is_job_of_run:
        return None
    if start.blueprint_id != birth.blueprint_id:
        return f"another blueprint ({birth.blueprint_id!r}, offered {start.blueprint_id!r})"
    if start.version is not None and start.version != birth.version:
        return f"another version of the blueprint ({birth.version!r}, offered {start.version!r})"
    if input_digest(start.input) != birth.input_digest:
        return "another input"
    return None
