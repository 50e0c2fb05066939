"""The owner of runs: handles the records of its partitions and keeps their runs going.

Follow one job: `handling` parses the record and finds the run (`runs`), the session tells it what happened and writes
(`session`, `batch`), what is due is run (`steps`, `execution`), and the attempt reports back to the session. A record
is finished when everything that follows from it is durable; the intake acknowledges it then.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from famulus.blueprint.codec import EDGES_MAX, NODES_MAX
from famulus.engine.builtins import BuiltIns, BuiltInServices, HookTokens
from famulus.engine.catalog import Catalog
from famulus.engine.children import Children
from famulus.engine.claims import Claims
from famulus.engine.execution import ExecutionLimits, Executor
from famulus.engine.handling import HandlingOptions, RecordHandler
from famulus.engine.items import ItemOptions, ItemWorker
from famulus.engine.joins import JoinDesk
from famulus.engine.lending import Lending
from famulus.engine.quarantine import Inheriting, Quarantine
from famulus.engine.recovery import Recovery
from famulus.engine.rows import settled
from famulus.engine.runs import Runs
from famulus.engine.schedules import Schedules
from famulus.engine.session import Session, SessionServices
from famulus.engine.spreading import ItemDesk
from famulus.engine.steps import StepRunner
from famulus.engine.streaming import Watchers
from famulus.engine.timers import LOOK_SECONDS, NAP_SECONDS, Alarms, TimerDesk, TimerReader
from famulus.flow.decisions import RunStep, StartChild, TellChild
from famulus.flow.facts import TimerDue
from famulus.flow.limits import RunLimits
from famulus.flow.waiting import TimerKey
from famulus.ids import RunId, StepId
from famulus.nodes import Registry
from famulus.ports import (
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
    hook_token_seconds: float = 7 * 86_400.0
    """The life of tokens whose webhooks say neither how long these are good nor how long they wait; 0: while they wait.
    """
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
                tokens=HookTokens(options.hook_secret, options.public_url, options.hook_token_seconds),
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
            has_just_sent=self.desk.has_just_sent,
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
            crash_budget=options.crash_budget,
            counts=self.counts,
        )
        self.runs.inherit = Inheriting(
            registry, ports.clock, crash_budget=options.crash_budget, attempts=self.steps.attempts, desk=self.desk
        ).inherit
        self.lending = Lending(self.runs, self.desk, ports.clock, counts=self.counts)
        self.handler = RecordHandler(
            self.runs,
            self.steps,
            self.items,
            desk=self.desk,
            lending=self.lending,
            children=self.children,
            bus=ports.bus,
            clock=ports.clock,
            claims=ports.claims,
            options=HandlingOptions(
                max_record_bytes=options.max_record_bytes,
                max_claimed_bytes=options.max_claimed_bytes,
                handover_seconds=options.handover_seconds,
                signatures=options.signatures,
            ),
            counts=self.counts,
        )
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
        self.desk.assigned()
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
        return self.handler.handle(record)

    def handle_item(self, record: Record) -> Awaitable[None]:
        """Handle one record of the items topic, from whatever partition. Errors as `handle`."""
        return self.handler.handle_item(record)
