"""The owner of runs: handles the records of its partitions and keeps their runs going.

Follow one job: `handle` parses the record and finds the run (`runs`), the session tells it what happened and writes
(`session`, `batch`), what is due is run (`steps`, `execution`), and the attempt reports back to the session. A record
is finished when everything that follows from it is durable; the intake acknowledges it then.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, assert_never

from famulus.blueprint.codec import EDGES_MAX, NODES_MAX
from famulus.engine.builtins import BuiltIns, BuiltInServices, HookTokens
from famulus.engine.catalog import Catalog
from famulus.engine.children import Children
from famulus.engine.claims import Claims, redeemed
from famulus.engine.commands import COMMAND_ID_CHARACTERS, Cancel, ChildNotice, Command, Migrate
from famulus.engine.execution import ExecutionLimits, Executor
from famulus.engine.items import ItemOptions, ItemWorker
from famulus.engine.joins import JoinDesk
from famulus.engine.lending import Lending
from famulus.engine.quarantine import Inheriting, Quarantine
from famulus.engine.records import (
    Claimed,
    Fork,
    ItemNews,
    Job,
    Start,
    StepHint,
    TimerDueRecord,
    Wake,
    parse_job,
    parse_redeemed,
)
from famulus.engine.recovery import Recovery
from famulus.engine.rows import settled
from famulus.engine.runs import Runs
from famulus.engine.schedules import Schedules
from famulus.engine.session import Session, SessionServices
from famulus.engine.spreading import ItemDesk
from famulus.engine.steps import StepRunner
from famulus.engine.streaming import Watchers
from famulus.engine.timers import LOOK_SECONDS, NAP_SECONDS, Alarms, TimerDesk, TimerReader
from famulus.errors import (
    BadRecordError,
    BlueprintError,
    BlueprintNotFoundError,
    OutputError,
    OwnershipLostError,
    RetryableError,
    TerminalError,
)
from famulus.flow.deciding import REASON_CHARACTERS
from famulus.flow.decisions import RunStep, StartChild, TellChild
from famulus.flow.facts import TimerDue
from famulus.flow.limits import RunLimits
from famulus.flow.state import StepState
from famulus.flow.status import RUN_ENDED, RunStatus
from famulus.flow.waiting import TimerKey
from famulus.ids import RunId, StepId
from famulus.nodes import Registry
from famulus.ports import (
    REDRIVEN,
    BlueprintStore,
    Bus,
    Clock,
    Epochs,
    HookStore,
    Joins,
    Limits,
    ProgressBoard,
    Record,
    RunRows,
    RunStore,
    ScheduleStore,
    TimerStore,
)
from famulus.security.secrets import Secrets
from famulus.security.signing import Signatures

log = logging.getLogger(__name__)

FORWARDED_HEADER: Final = "famulus-forwarded-from"
FORWARDED_MOST: Final = 5
"""A topic that gets more partitions may send a record on twice; beyond that the broker and we do not agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The world, as the engine is given it."""

    store: RunStore
    blueprints: BlueprintStore
    epochs: Epochs
    joins: Joins
    bus: Bus
    clock: Clock
    hooks: HookStore
    timers: TimerStore
    limits: Limits | None = None
    """``None``: limits of implementations hold for this worker alone."""
    progress: ProgressBoard | None = None
    """``None``: the progress of steps is told on the events topic alone."""
    schedules: ScheduleStore | None = None
    """``None``: no schedule ticks here, and nobody looks for any."""
    claims: Claims | None = None
    """``None``: no record is kept apart for its size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    worker: str
    """The name of this worker in rows and events."""
    max_record_bytes: int = 1_000_000
    max_claimed_bytes: int = 0
    """The largest record of which only a claim is on the topic."""
    park_missing_implementations: bool = False
    """Set a step aside whose `uses` is not registered here, until a worker has it; otherwise it fails."""
    taken_seconds: float = 2.0
    """A step that runs longer is recorded as running."""
    handover_seconds: float = 10.0
    """A record whose step takes longer is acknowledged; the next owner finds the step in the rows."""
    announce_seconds: float = 0.01
    """How long hints and events wait for the topic; a step that is over by then needs no hint."""
    starts_at_once: int = 64
    """Runs that are being started. Under load a worker ends the runs that it has rather than begin all of them."""
    ended_remembered: int = 10_000
    """Runs that ended here lately: late hints for them cost no read."""
    loads_at_once: int = 32
    """Open runs that are loaded at the same time after an assignment."""
    steps_of_run: int = 100_000
    """Steps that one run may start, those of loops and batches included; then it fails."""
    rounds_of_loop: int = 10_000
    """Rounds of one loop; then its controller fails."""
    item_patience_seconds: float = 60.0
    """An item that was sent to other workers is sent again when nothing was heard of it for so long."""
    items_at_once: int = 256
    """Items of a batch that are under way at the same time, where it sets no limit of its own."""
    items_of_batch: int = 100_000
    """Items of one batch; one with more fails."""
    max_nodes: int = NODES_MAX
    max_edges: int = EDGES_MAX
    """Of blueprints that are registered here."""
    timer_in_memory_seconds: float = 5.0
    """A run that waits longer than that sleeps in the store. `math.inf`: runs stay in memory while they wait."""
    timer_lookahead_seconds: float = 4.0
    """Runs are loaded so long before something of them is due, or as long as they stay in memory if that is less."""
    child_look_seconds: float = LOOK_SECONDS
    """A dormant run that waits for child runs looks at them about so often, in case their notices were lost."""
    timer_poll_seconds: float = 1.0
    """How often is looked for such runs."""
    crash_budget: int = 3
    """A step that has ended its process so often, while it ran alone in quarantine, is parked."""
    quarantine_seconds: float = 30.0
    """A step in quarantine that has run so long lets the next one have its turn."""
    max_subflow_depth: int = 16
    """How deep child runs may be nested."""
    hook_secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    """Makes the tokens of webhooks; workers that share runs have to share it."""
    public_url: str = "http://127.0.0.1:6066"
    """Where the HTTP API is reached from outside."""
    secrets: Secrets = field(default_factory=Secrets, repr=False)
    """What nodes may be given that is recorded nowhere."""
    signatures: Signatures | None = None
    """Records without one of these are dead letters; the bus has to sign with them. ``None``: nobody asks."""
    execution: ExecutionLimits = field(default_factory=ExecutionLimits)


class Engine:
    """Handles records of the partitions that it is assigned; see `famulus.engine.runs` for how it knows its runs."""

    def __init__(self, ports: Ports, registry: Registry, options: EngineOptions) -> None:
        self.ports = ports
        self.options = options
        self._signatures = options.signatures
        self.counts: Counter[str] = Counter()
        self.catalog = Catalog(
            ports.blueprints, ports.clock.now, max_nodes=options.max_nodes, max_edges=options.max_edges
        )
        self.joins = JoinDesk(ports.joins)
        self.alarms = Alarms(
            ports.clock, self._timer_due, nap_seconds=max(NAP_SECONDS, options.timer_in_memory_seconds)
        )
        timers = TimerDesk(ports.timers, self.alarms, in_memory_seconds=options.timer_in_memory_seconds)
        services = SessionServices(
            store=ports.store,
            bus=ports.bus,
            clock=ports.clock,
            joins=self.joins,
            owner=self,
            announce_seconds=options.announce_seconds,
            limits=RunLimits(
                steps=options.steps_of_run,
                rounds=options.rounds_of_loop,
                items_at_once=options.items_at_once,
                items=options.items_of_batch,
                deliverable=partial(settled, max_bytes=options.execution.value_bytes),
            ),
            timers=timers,
            look_seconds=options.child_look_seconds,
        )
        self.runs = Runs(
            services,
            self.catalog,
            implementations=registry,
            starts_at_once=options.starts_at_once,
            ended_remembered=options.ended_remembered,
            counts=self.counts,
        )
        self.children = Children(
            self.runs,
            store=ports.store,
            bus=ports.bus,
            catalog=self.catalog,
            clock=ports.clock,
            value_bytes=options.execution.value_bytes,
        )
        built_ins = BuiltIns(
            BuiltInServices(
                catalog=self.catalog,
                bus=ports.bus,
                hooks=ports.hooks,
                tokens=HookTokens(options.hook_secret, options.public_url),
                depth_of=self.children.depth_of,
                max_subflow_depth=options.max_subflow_depth,
                value_bytes=options.execution.value_bytes,
                now=ports.clock.now,
                worker=options.worker,
            )
        )
        self.executor = Executor(
            registry,
            clock=ports.clock,
            worker=options.worker,
            limits=options.execution,
            park_missing=options.park_missing_implementations,
            built_ins=built_ins,
            shared_limits=ports.limits,
            watchers=Watchers(ports.bus, ports.progress),
            secrets=options.secrets,
            counts=self.counts,
        )
        self.desk = ItemDesk(
            ports.bus,
            ports.clock,
            built_ins,
            lends=self.executor.lends,
            patience_seconds=options.item_patience_seconds,
            counts=self.counts,
        )
        self.items = ItemWorker(
            self.executor,
            store=ports.store,
            catalog=self.catalog,
            bus=ports.bus,
            clock=ports.clock,
            options=ItemOptions(
                worker=options.worker,
                max_record_bytes=options.max_record_bytes,
                max_outcome_bytes=max(options.max_record_bytes, options.max_claimed_bytes),
                taken_seconds=options.taken_seconds,
                handover_seconds=options.handover_seconds,
                patience_seconds=options.item_patience_seconds,
            ),
            counts=self.counts,
        )
        self.quarantine = Quarantine(
            clock=ports.clock, probation_seconds=options.quarantine_seconds, counts=self.counts
        )
        self.steps = StepRunner(
            self.runs,
            self.executor,
            self.desk,
            clock=ports.clock,
            worker=options.worker,
            taken_seconds=options.taken_seconds,
            quarantine=self.quarantine,
            counts=self.counts,
        )
        self.runs.inherit = Inheriting(
            registry, ports.clock, crash_budget=options.crash_budget, attempts=self.steps.attempts
        ).inherit
        self.lending = Lending(self.runs, self.desk, ports.clock, counts=self.counts)
        self.recovery = Recovery(
            self.runs,
            store=ports.store,
            bus=ports.bus,
            epochs=ports.epochs,
            clock=ports.clock,
            loads_at_once=options.loads_at_once,
        )
        self.schedules = (
            None
            if ports.schedules is None
            else Schedules(ports.schedules, runs=ports.store, bus=ports.bus, clock=ports.clock, counts=self.counts)
        )
        self.timers = TimerReader(
            self.runs,
            timers,
            ports.timers,
            bus=ports.bus,
            clock=ports.clock,
            lookahead_seconds=min(options.timer_lookahead_seconds, options.timer_in_memory_seconds),
            poll_seconds=options.timer_poll_seconds,
            loads_at_once=options.loads_at_once,
        )
        self._beginning: set[asyncio.Task[None]] = set()

    # -- ownership ---------------------------------------------------------------------------------------------------

    @property
    def partitions(self) -> frozenset[int]:
        return self.runs.partitions

    def assigned(self, partitions: Iterable[int], *, is_current: Callable[[], bool] = lambda: True) -> None:
        """These partitions of the jobs topic, and no others, are this worker's from now on.

        Nothing is written while `is_current` says that it is not sure that they still are.

        Takes a new epoch in the background; records that come meanwhile wait for it. Then every open run of the
        partitions is loaded and what is due of it set going.
        """
        tenure = self.runs.take_over(partitions, is_current=is_current)
        self.steps.attempts.keep_only(tenure.partitions)
        if tenure.partitions:
            self._begin(self.recovery.begin(tenure))
            self._begin(self.timers.tend(tenure))
            if self.schedules is not None:
                self._begin(self.schedules.tend(tenure))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)

    async def look_after(self) -> None:
        """What the owner does from time to time: load the open runs that nobody told it of, ask for what is missing.

        Errors as `Recovery.look_after_open_runs`.
        """
        await self.recovery.look_after_open_runs()
        await self.lending.ask_around()

    async def say_alive(self) -> None:
        """What runs in quarantine does not count as a crash of this worker when it goes elsewhere. Before `revoked`."""
        await self.quarantine.give_up()

    def revoked(self) -> None:
        """Nothing is this worker's until the next assignment. Attempts go on; what they report waits for it."""
        self.runs.let_go()

    def start_no_more(self) -> None:
        """Let what runs come to its end, but start no step. What becomes due is left to the next owner, by its hint."""
        self.steps.start_no_more()
        self.items.start_no_more()

    async def stop(self, grace_seconds: float) -> None:
        """Stop for good. Attempts that do not end in time are cancelled; their steps stay due for the next owner."""
        await asyncio.gather(self.steps.stop(grace_seconds), self.items.stop(grace_seconds))
        await self.executor.close()
        await self.children.stop()
        self.runs.let_go()
        for task in list(self._beginning):
            task.cancel()
        await asyncio.gather(*self._beginning, return_exceptions=True)
        self.alarms.stop()

    # -- what sessions want done (`SessionOwner`) ----------------------------------------------------------------------

    def start_step(self, session: Session, step: RunStep) -> None:
        self.steps.start(session, step)

    def stop_step(self, run_id: RunId, step_id: StepId) -> None:
        self.steps.attempts.stop(run_id, step_id)

    def start_child(self, session: Session, child: StartChild) -> None:
        self.children.start(session, child)

    def tell_child(self, session: Session, child: TellChild) -> None:
        self.children.tell(session, child)

    def run_ended(self, session: Session) -> None:
        self.runs.ended(session)
        if session.lingers:
            self.children.ended(session)

    def run_sleeps(self, session: Session) -> None:
        self.runs.went_to_sleep(session)

    def is_busy(self, session: Session) -> bool:
        if self.children.is_busy(session.run_id):
            return True
        due = (step.step_id for step in session.run.steps.values() if step.is_due)
        return any(self.steps.attempts.task_of(session.run_id, step_id) is not None for step_id in due)

    def _timer_due(self, run_id: RunId, key: TimerKey) -> None:
        session = self.runs.live(run_id)
        if session is None:
            return
        self.counts["timers"] += 1
        recorded = session.note(TimerDue(key=key, at=self.ports.clock.now()))
        # Where it could not be recorded, the run is loaded anew, and finds its timer overdue.
        recorded.add_done_callback(lambda done: done.cancelled() or done.exception())

    def found_ended(self, session: Session, rows: RunRows) -> None:
        self.children.found_ended(session, rows)

    def found_open(self, session: Session, rows: RunRows) -> None:
        self.children.look_after(session, rows)

    # -- records -----------------------------------------------------------------------------------------------------

    def handle(self, record: Record) -> Awaitable[None] | None:
        """Handle one record of the jobs topic. ``None``: it was finished without waiting for anything.

        Never raises for what is in the record: that becomes a dead letter. Raises `RetryableError` when a server is
        away, and `OwnershipLostError` when the partition was taken away meanwhile; then the record is to be handled
        again by whoever it is delivered to.
        """
        self.counts["records"] += 1
        try:
            if self._signatures is not None:
                self._signatures.check(record)
            job = parse_job(record.value, max_bytes=self.options.max_record_bytes)
        except BadRecordError as error:
            return self._bury(record, error)
        if record.partition != self.ports.bus.partition_of(job.run_id):
            return self._forward(record, job.run_id)
        if isinstance(job, StepHint):
            return self._handle_hint(record, job)
        return self._handle_later(record, job)

    def handle_item(self, record: Record) -> Awaitable[None]:
        """Handle one record of the items topic, from whatever partition. Errors as `handle`."""
        self.counts["item_records"] += 1
        if self._signatures is not None:
            try:
                self._signatures.check(record)
            except BadRecordError as error:
                return self._bury(record, error)
        return self.items.handle(record)

    def _handle_hint(self, record: Record, hint: StepHint) -> Awaitable[None] | None:
        """Most hints find their step in flight, or recorded: the owner starts successors itself."""
        if self.runs.has_ended(hint.run_id) or self.runs.is_asleep(hint.run_id):
            self.counts["stale"] += 1
            return None
        session = self.runs.live(hint.run_id)
        if session is None or self._is_early(session, hint):
            return self._handle_later(record, hint)
        task = self._due_attempt(session, hint.step_id)
        if task is None:
            self.counts["stale"] += 1
            return None
        return self._attend(hint, record.partition, task)

    async def _handle_later(self, record: Record, job: Job | Claimed) -> None:
        try:
            await self._handle(record, await self._whole(job))
        except BadRecordError as error:
            await self._bury(record, error)
        except BlueprintNotFoundError as error:
            await self._bury(record, BadRecordError(str(error), code="unknown_blueprint"))
        except BlueprintError as error:
            await self._bury(record, BadRecordError(str(error), code="bad_blueprint"))
        except TerminalError as error:
            # Trying again changes nothing, and would hold every acknowledgement behind this record.
            await self._bury(record, BadRecordError(str(error), code="cannot_be_handled"))

    async def _whole(self, job: Job | Claimed) -> Job:
        if not isinstance(job, Claimed):
            return job
        value = await redeemed(job.told, self.ports.claims)
        return parse_redeemed(value, job, max_bytes=self.options.max_claimed_bytes)

    async def _handle(self, record: Record, job: Job) -> None:
        if isinstance(job, Start | Fork):
            await self._handle_beginning(record, job)
            return
        if isinstance(job, Command):
            await self._handle_command(record, job)
            return
        is_expected = self.runs.is_expected(job.run_id)
        session = await self.runs.open(job.run_id, record.partition)
        if session is None:
            self._check_known(job.run_id, is_expected=is_expected)
            return
        match job:
            case StepHint():
                if self._is_early(session, job):
                    await session.written()
                task = self._due_attempt(session, job.step_id)
                if task is not None:
                    await self._attend(job, record.partition, task)
            case ItemNews(told=told):
                if not await self.lending.heard(session, told):
                    await self.desk.record(session, told)
            case Wake():
                return  # opening it has set going what is due
            case ChildNotice():
                await self.children.heard(session, job.step_id, job.child)
            case TimerDueRecord(key=key):
                await session.report(TimerDue(key=key, at=self.ports.clock.now()))
            case _:
                assert_never(job)

    def _check_known(self, run_id: RunId, *, is_expected: bool) -> None:
        """A run that could not be opened has ended, or does not exist: not yet, if its start came before."""
        if is_expected:
            raise RetryableError(f"run {run_id!r} is about to be started")
        if not self.runs.has_ended(run_id):
            raise BadRecordError(
                f"run {run_id!r} does not exist: start it with a record that has blueprint_id", code="unknown_run"
            )
        self.counts["stale"] += 1

    async def _handle_beginning(self, record: Record, job: Start | Fork) -> None:
        """Records of the run that come behind this one find it expected, also while this one is tried again."""
        self.runs.expect(job.run_id)
        try:
            if isinstance(job, Start):
                await self._handle_start(record, job)
            else:
                await self._handle_fork(record, job)
        except RetryableError:
            self.runs.expect(job.run_id)
            raise
        except BaseException:
            self.runs.expect_no_more(job.run_id)
            raise
        self.runs.expect_no_more(job.run_id)

    async def _handle_start(self, record: Record, start: Start) -> None:
        if start.parent is not None and await self.children.is_orphan(start.parent):
            self.counts["orphans"] += 1
            return
        if not await self.runs.start(start, record.partition):
            self.counts["repeated_starts"] += 1
            await self.children.answer(start)

    async def _handle_fork(self, record: Record, fork: Fork) -> None:
        if not await self.runs.fork(fork, record.partition):
            self.counts["repeated_starts"] += 1

    async def _handle_command(self, record: Record, command: Command) -> None:
        if command.command_id is None:
            # Of one that nobody has named, its place on the topic tells whether it was delivered before.
            command = replace(command, command_id=_name_of(record))
        is_expected = self.runs.is_expected(command.run_id)
        async with self.runs.reopen(command.run_id, record.partition) as session:
            if session is None:
                self._check_known(command.run_id, is_expected=is_expected)
                return
            if isinstance(command, Migrate) and session.run.status not in RUN_ENDED:
                await self.runs.migrate(session, command)
                return
            grace = command.grace_seconds if isinstance(command, Cancel) else 0.0
            with self.steps.attempts.patience(command.run_id, grace):
                await session.report(command)

    def _is_early(self, session: Session, hint: StepHint) -> bool:
        """Whether the step may be due only by an outcome that is not stored yet: then it must not run yet."""
        step = session.run.steps.get(hint.step_id)
        return (
            session.is_writing
            and step is not None
            and step.is_due
            and self.steps.attempts.task_of(hint.run_id, hint.step_id) is None
        )

    def _due_attempt(self, session: Session, step_id: StepId) -> asyncio.Task[None] | None:
        """The attempt of a step that is due, started if it does not run yet; ``None`` if the step is not due."""
        step = session.run.steps.get(step_id)
        if step is None or not step.is_due or session.run.status is RunStatus.PAUSED:
            return None
        self.steps.start(session, RunStep(step.step_id, step.node_id, step.attempt, step.item))
        task = self.steps.attempts.task_of(session.run_id, step_id)
        if task is None:
            raise OwnershipLostError("this worker is about to stop and starts no more steps")
        return task

    async def _attend(self, hint: StepHint, partition: int, task: asyncio.Task[None]) -> None:
        """Wait for the step to be recorded, but not for ever.

        A step is started only when the rows say that it is due. So one that takes long, or waits long for its turn, can
        be left to them: if this worker dies, the next owner finds it there when it looks after open runs.
        """
        await asyncio.wait({task}, timeout=self.options.handover_seconds)
        if not task.done():
            self.counts["handed_over"] += 1
            return
        await self.runs.tenure_of(partition)
        if not self._is_over(hint):
            raise RetryableError(f"the attempt of {hint.step_id!r} in run {hint.run_id!r} was not recorded")

    def _is_over(self, hint: StepHint) -> bool:
        """Whether the step is known to be recorded, or its next attempt is under way."""
        if self.runs.live(hint.run_id) is None:
            return self.runs.has_ended(hint.run_id) or self.runs.is_asleep(hint.run_id)
        step = self._known_step(hint)
        return step is None or not step.is_due or self.steps.attempts.task_of(hint.run_id, hint.step_id) is not None

    def _known_step(self, hint: StepHint) -> StepState | None:
        session = self.runs.live(hint.run_id)
        return None if session is None else session.run.steps.get(hint.step_id)

    async def _forward(self, record: Record, run_id: RunId) -> None:
        """Put a record onto the partition that its run belongs to: not every producer partitions as Kafka's own."""
        self.counts["forwarded"] += 1
        source = f"{record.topic}/{record.partition}/{record.offset}".encode()
        headers = [(name, value) for name, value in record.headers if value is not None]
        if sum(name == FORWARDED_HEADER for name, _ in headers) >= FORWARDED_MOST:
            await self._bury(record, BadRecordError("it comes to a wrong partition again and again", code="misrouted"))
            return
        headers.append((FORWARDED_HEADER, source))
        try:
            await (await self.ports.bus.send_job(run_id, record.value or b"", headers=headers))
        except OutputError as error:
            await self._bury(record, BadRecordError(f"it cannot be forwarded: {error}", code="too_large"))

    async def _bury(self, record: Record, error: BadRecordError) -> None:
        self.counts["dead_letters"] += 1
        log.warning(
            "dead letter from %s/%d@%d: %s",
            record.topic,
            record.partition,
            record.offset,
            str(error)[:REASON_CHARACTERS],
            extra={"action": "dead_letter", "code": error.code},
        )
        reason = str(error)[:REASON_CHARACTERS]  # the record may be as large as the topic allows: leave room for it
        await (await self.ports.bus.send_dead_letter(record, code=error.code, reason=reason))


def _name_of(record: Record) -> str:
    """Of a command that nobody has named. One that was a dead letter has the name of that, however often it is sent."""
    redriven = dict(record.headers).get(REDRIVEN)
    if redriven is not None:
        return f"{REDRIVEN}/{redriven.decode(errors='replace')}"[:COMMAND_ID_CHARACTERS]
    return f"{record.topic}/{record.partition}/{record.offset}"
