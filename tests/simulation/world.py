"""A whole installation under a plan: workers, their servers, whoever starts runs and answers them, and what goes wrong.

storm   every call to a port may be struck by the next fault of the plan
calm    everything works again; whatever was begun has to come to its end by itself
quiet   nothing is left to be done: the topics are read to their ends, no run is open
"""

from __future__ import annotations

import asyncio
import logging
import math
import random as global_random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from random import Random
from types import SimpleNamespace
from typing import Any, Final, TypeVar

from simulation import blueprints
from simulation.broker import ITEMS, JOBS, SESSION_SECONDS, Broker, TopicPartition
from simulation.loop import Process, SimulatedLoop, close
from simulation.network import SERVERS, BusPort, Fate, Port, at_once
from simulation.plan import Fault, Kind, Plan

from famulus.adapters import memory
from famulus.adapters.faust.intake import Intake
from famulus.blueprint import parse_blueprint
from famulus.engine.audit import AuditOptions, AuditPorts, audit_all
from famulus.engine.catalog import Catalog
from famulus.engine.commands import command_record
from famulus.engine.engine import Engine, EngineOptions, Ports
from famulus.engine.records import start_record
from famulus.engine.rows import step_state
from famulus.errors import OwnershipLostError, RetryableError
from famulus.flow.status import RUN_ENDED, RunStatus, StepStatus
from famulus.flow.waiting import ForSignal
from famulus.ids import BlueprintId, RunId, StepId
from famulus.nodes import NodeContext, Registry
from famulus.ports import Commit, Record

ValueT = TypeVar("ValueT")

START: Final = 1_767_225_600.0
"""2026-01-01T00:00:00Z."""
RECONCILE_SECONDS: Final = 15.0
TIMER_POLL_SECONDS: Final = 4.0
COMMIT_SECONDS: Final = 0.5
STORM_SECONDS: Final = 600.0
CALM_SECONDS: Final = 600.0
"""So long the runs of a plan take at most when nothing goes wrong any more; a clock that was ahead comes on top."""
SLOW_SECONDS_MOST: Final = 12.0
QUIET_SECONDS: Final = 200.0
SKEWS: Final = {0.05: 3600.0, 1.0: -3600.0, 12.0: 7.0, 90.0: -90.0}
POISON: Final = (
    b"\xff\x00 no JSON",
    b'{"type": "no such type", "run_id": "p"}',
    b'{"run_id": "p", "blueprint_id": "no such blueprint"}',
    b'{"type": "step", "run_id": "no-such-run", "step_id": "s"}',
)
log = logging.getLogger("famulus")


class SkewedClock:
    def __init__(self, loop: SimulatedLoop, skew: float) -> None:
        self._loop = loop
        self.skew = skew

    def now(self) -> float:
        return START + self._loop.time() + self.skew

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class WatchedRuns(memory.MemoryRunStore):
    def __init__(self, stored: Callable[[Commit], None]) -> None:
        super().__init__()
        self._stored = stored

    async def commit(self, commit: Commit) -> None:
        await super().commit(commit)
        self._stored(commit)


@dataclass(slots=True)
class Effects:
    """What the code of one step has done to the world outside."""

    keys: set[str] = field(default_factory=set)
    calls: int = 0


class World:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._random = Random(plan.order)
        self.loop = SimulatedLoop(Random(plan.order + 1))
        self.trace: list[tuple[float, str, str, Any]] = []
        self.effects: defaultdict[tuple[RunId, StepId], Effects] = defaultdict(Effects)
        self.errors: list[str] = []
        """What was logged as an error."""
        self.made: list[Any] = []
        """What is to be awaited of records."""
        self.audited: list[str] = []
        """What the auditor has found in the end."""
        self.calls = 0
        self.accepted: list[RunId] = []
        self.poison: list[bytes] = []
        self.is_calm = False
        self.failure: str | None = None
        self._struck = 0
        self._next_at = plan.faults[0].calls if plan.faults else 0
        self._over_at = 0.0
        self.last_late_at = 0.0
        """When the last of the calls is carried out that come late."""
        self._away: dict[str, float] = {}
        self._failing: dict[tuple[Worker, str], tuple[Fault, int]] = {}
        self._slow: dict[Worker, tuple[float, int]] = {}
        self._answered: set[tuple[RunId, str, int]] = set()
        self._names = Counter[str]()

    # -- the plan carried out ------------------------------------------------------------------------------------------

    def play(self) -> World:
        state = global_random.getstate()
        global_random.seed(self.plan.order)
        try:
            with self._errors_noted():
                asyncio.set_event_loop(None)
                self.loop.run_until_complete(self._play())
        finally:
            global_random.setstate(state)
            self.loop.abandon()
            for pending in self.made:
                close(pending)
        return self

    async def _play(self) -> None:
        plan = self.plan
        self.store = WatchedRuns(self._stored)
        self.blueprints = memory.MemoryBlueprintStore()
        self.joins = memory.MemoryJoins()
        self.limits = memory.MemoryLimits(clock=self.loop.time)
        self.progress = memory.MemoryProgressBoard()
        self.epochs = memory.MemoryEpochs()
        self.hooks = memory.MemoryHookStore()
        self.broker = Broker(self, partitions=plan.partitions)
        self.registry = Registry()
        for name, function in blueprints.implementations(self._effect).items():
            self.registry.register(name, function)
        self.catalog = Catalog(self.blueprints, lambda: START)
        await self.catalog.register(parse_blueprint(blueprints.child()))
        await self.catalog.register(parse_blueprint(plan.document))
        self.workers: list[Worker] = []
        skews = (*plan.skew, *(0.0,) * plan.workers)
        for number in range(plan.workers):
            self._begin_worker(skews[number])
        self._start_runs()
        await self._storm()
        self._calm()
        if await self._until(self._have_ended, within=CALM_SECONDS + self._worst_skew()):
            if not await self._until(self._is_quiet, within=QUIET_SECONDS, for_seconds=3 * TIMER_POLL_SECONDS):
                self.failure = f"it does not become quiet: {self._why_not_quiet()}"
        else:
            self.failure = f"runs are stuck: {self._stuck()}"
        await self._audit()

    async def _audit(self) -> None:
        ports = AuditPorts(
            runs=self.store, timers=self.store.timers, hooks=self.hooks, partition_of=self.broker.partition_of
        )
        options = AuditOptions(settle=0.0, at_rest=True, now=lambda: START + self.loop.time())
        self.audited += [str(found) async for found in audit_all(ports, self.catalog, options)]

    def _start_runs(self) -> None:
        plan = self.plan
        for number in range(plan.runs):
            run_id = RunId(f"r{number}")
            record = start_record(run_id, BlueprintId(str(plan.document["id"])), input=blueprints.given(plan.document))
            self.accepted.append(run_id)
            self._over_at = max(1.0, 21.0 if plan.commands else 0.0, 5.0 if plan.poison else 0.0)
            self.later(self.jitter(0.5), self.broker.produce, run_id, record)
            if plan.early_signal:
                self.later(0.6, self.broker.produce, run_id, self._signal(run_id, "early"))
            for place, command in enumerate(plan.commands):
                self.later(self.jitter(20.0) + 1, self.broker.produce, run_id, self._asked(run_id, command, place))
        for number in range(plan.poison):
            self.poison.append(POISON[number % len(POISON)])
            self.later(self.jitter(5.0), self.broker.produce, f"r{number % plan.runs}", self.poison[-1])

    async def _storm(self) -> None:
        plan, said_by = self.plan, self._over_at
        while self.loop.time() < STORM_SECONDS:
            await asyncio.sleep(1.0)
            if self._struck >= len(plan.faults) and self.loop.time() >= self._over_at:
                return
            if self._have_ended() and self.loop.time() >= said_by:
                return

    def _calm(self) -> None:
        self.is_calm = True
        self.note("world", "calm")
        self._away.clear()
        self._failing.clear()
        self._slow.clear()
        self.broker.lost = self.broker.doubled = self.broker.held = 0
        for worker in self.workers:
            worker.clock.skew = 0.0
            self.thaw(worker)

    async def _until(self, condition: Callable[[], bool], *, within: float, for_seconds: float = 0.0) -> bool:
        """Whether the condition came to hold in that time, and for so long."""
        end = self.loop.time() + within
        step, since = 0.5, math.inf
        while self.loop.time() <= end:
            if not condition():
                since = math.inf
            elif self.loop.time() - (since := min(since, self.loop.time())) >= for_seconds:
                return True
            await asyncio.sleep(step)
            step = min(10.0, step * 1.2)
        return False

    def _worst_skew(self) -> float:
        jumps = [abs(SKEWS[fault.seconds]) for fault in self.plan.faults if fault.kind is Kind.SKEW]
        return 2 * sum([*map(abs, self.plan.skew), *jumps])

    # -- faults --------------------------------------------------------------------------------------------------------

    def fate_of(self, worker: Worker, name: str) -> Fate | None:
        """What becomes of a call; the next fault may strike here."""
        self.calls += 1
        self.note(worker.process.name, name)
        if self.is_calm:
            return None
        fate = self._troubled(worker, name)
        if self._struck < len(self.plan.faults) and self.calls >= self._next_at:
            fault = self.plan.faults[self._struck]
            self._struck += 1
            if self._struck < len(self.plan.faults):
                self._next_at = self.calls + self.plan.faults[self._struck].calls
            self.note("fault", str(fault.kind), (worker.process.name, name, fault.moment, fault.seconds))
            fate = self._strike(fault, worker, name) or fate
        return fate

    def _troubled(self, worker: Worker, name: str) -> Fate | None:
        """What is left of earlier faults."""
        server = _server(name)
        if self._away and self._away.get(server, 0.0) > self.loop.time():
            return Fate(is_made=False, error_after=0.0)
        if (worker, server) in self._failing:
            fault, left = self._failing.pop((worker, server))
            if left > 1:
                self._failing[worker, server] = (fault, left - 1)
            return _failed(fault)
        if worker in self._slow:
            seconds, left = self._slow.pop(worker)
            if left > 1:
                self._slow[worker] = (seconds, left - 1)
            return Fate(slow=seconds)
        return None

    def _strike(self, fault: Fault, worker: Worker, name: str) -> Fate | None:  # a table of faults
        self._over_at = max(self._over_at, self.loop.time() + fault.seconds)
        match fault.kind:
            case Kind.FREEZE:
                self.freeze(worker, fault.seconds)
                return _out_of(fault, dies=False)
            case Kind.CRASH:
                self.crash(worker, fault.seconds)
                return _out_of(fault, dies=True)
            case Kind.REFUSED | Kind.UNANSWERED | Kind.BELATED:
                if fault.count > 1:
                    self._failing[worker, _server(name)] = (fault, fault.count - 1)
                return _failed(fault)
            case Kind.AWAY:
                self._away[_server(name)] = self.loop.time() + fault.seconds
                return Fate(is_made=False, error_after=0.0)
            case Kind.EMPTIED:
                self.empty_redis()
            case Kind.SLOW:
                seconds = min(fault.seconds, SLOW_SECONDS_MOST)
                self._slow[worker] = (seconds, 2 * fault.count)
                return Fate(slow=seconds)
            case Kind.REBALANCE:
                self.broker.group.rebalance()
            case Kind.LOST:
                self.broker.lost = fault.count
            case Kind.DOUBLED:
                self.broker.doubled, self.broker.seconds = fault.count, fault.seconds
            case Kind.HELD:
                self.broker.held, self.broker.seconds = fault.count, fault.seconds
            case Kind.REPLAY:
                self.broker.group.forget_offsets()
                self.broker.group.rebalance()
            case Kind.SKEW:
                worker.clock.skew += SKEWS[fault.seconds]
        return None

    def empty_redis(self) -> None:
        self.joins.clear()
        self.limits.clear()
        self.progress = memory.MemoryProgressBoard()

    def crash(self, worker: Worker, seconds: float) -> None:
        """Kill a process; it is begun anew after so long, and its partitions are given away when its session ends."""
        worker.process.kill()
        self.workers.remove(worker)
        self.later(self.jitter(SESSION_SECONDS), self.broker.group.leave, worker)
        self.later(seconds, self._begin_worker, worker.clock.skew)

    def freeze(self, worker: Worker, seconds: float) -> None:
        worker.process.is_frozen = True
        self.later(SESSION_SECONDS, self._session_over, worker)
        self.later(seconds, self.thaw, worker)

    def _session_over(self, worker: Worker) -> None:
        if worker.process.is_frozen:
            self.broker.group.leave(worker)

    def thaw(self, worker: Worker) -> None:
        if not worker.process.is_frozen:
            return
        worker.process.is_frozen = False
        if worker not in self.broker.group.members:
            # It hears of it with its next heartbeat.
            worker.soon(worker.is_fenced, delay=self.jitter(3.0))

    def _begin_worker(self, skew: float) -> None:
        self._names["worker"] += 1
        worker = Worker(self, f"w{self._names['worker']}", 0.0 if self.is_calm else skew)
        self.workers.append(worker)
        worker.process.run(worker.begin)
        self.broker.group.join(worker)

    # -- who starts runs, and answers them -----------------------------------------------------------------------------

    def _stored(self, commit: Commit) -> None:
        self.note("stored", commit.birth.run_id, (commit.stamp, commit.head.status, len(commit.steps)))
        for row in commit.steps:
            if row.status != StepStatus.WAITING:
                continue
            known = (commit.birth.run_id, row.step_id, commit.stamp >> 40)
            if known in self._answered or not isinstance(step_state(row).waiting_for, ForSignal):
                continue
            self._answered.add(known)
            self.later(self.jitter(3.0), self._answer, commit.birth.run_id, StepId(row.step_id), commit.stamp >> 40)

    def _answer(self, run_id: RunId, step_id: StepId, epoch: int) -> None:
        record = command_record(
            "resume",
            run_id,
            by="somebody",
            command_id=f"{step_id} {epoch}",
            given={"step_id": step_id, "output": {"done": True}},
        )
        self.broker.produce(run_id, record)

    @staticmethod
    def _signal(run_id: RunId, command_id: str) -> bytes:
        given = {"name": blueprints.SIGNAL, "payload": {"done": True}}
        return command_record("signal", run_id, by="somebody", command_id=command_id, given=given)

    def _asked(self, run_id: RunId, command: str, place: int) -> bytes:
        if command == "signal":
            return self._signal(run_id, str(place))
        given = {"step_id": self.plan.document["nodes"][0]["id"]} if command == "rerun" else {}
        return command_record(command, run_id, by="somebody", command_id=str(place), given=given)

    # -- how it stands -------------------------------------------------------------------------------------------------

    def statuses(self) -> dict[RunId, RunStatus]:
        run_ids = at_once(self.store.recent(limit=1000))
        heads = at_once(self.store.heads(run_ids))
        return {run_id: RunStatus(head.status) for run_id, (_, head) in heads.items()}

    def _have_ended(self) -> bool:
        statuses = self.statuses()
        for run_id, status in statuses.items():
            if self.is_calm and status is RunStatus.PAUSED and self.plan.commands:
                self._names["unpause"] += 1
                command_id = f"calm {self._names['unpause']}"
                self.broker.produce(run_id, command_record("unpause", run_id, by="x", command_id=command_id))
        return all(statuses.get(run_id) in RUN_ENDED for run_id in (*self.accepted, *statuses))

    def _is_quiet(self) -> bool:
        is_still = not self.broker.group.lag and self.loop.time() > self.last_late_at
        return is_still and not self.open_runs() and self._have_ended()

    def open_runs(self) -> list[RunId]:
        return [
            run_id
            for partition in range(self.plan.partitions)
            for run_id in at_once(_all(self.store.open_runs(partition)))
        ]

    def _why_not_quiet(self) -> str:
        return f"lag {self.broker.group.lag}, open runs {self.open_runs()}, {self.statuses()}"

    def _stuck(self) -> str:
        told = []
        statuses = self.statuses()
        for run_id in sorted({*self.accepted, *statuses}):
            if statuses.get(run_id) in RUN_ENDED:
                continue
            rows = at_once(self.store.load(run_id))
            live = {} if rows is None else {r.step_id: r.status for r in rows.steps if r.status not in _OVER}
            told.append(f"{run_id} {statuses.get(run_id, 'not recorded')} {live}")
        return "; ".join(told)

    def uses(self, run_id: RunId, node_id: str) -> str | None:
        document = self.plan.document if run_id in self.accepted else blueprints.child()
        return next((str(node["uses"]) for node in document["nodes"] if node["id"] == node_id), None)

    def _effect(self, ctx: NodeContext) -> None:
        effects = self.effects[RunId(ctx.run_id), StepId(ctx.step_id)]
        effects.keys.add(ctx.idempotency_key)
        effects.calls += 1
        self.note("effect", ctx.idempotency_key, ctx.attempt)

    # -- chance and time -----------------------------------------------------------------------------------------------

    def latency(self) -> float:
        return self.plan.latency and self.plan.latency * self._random.random()

    def jitter(self, most: float) -> float:
        return most * self._random.random()

    def shuffled(self, values: Sequence[ValueT]) -> list[ValueT]:
        return self._random.sample(values, len(values))

    def pick(self, values: Sequence[ValueT]) -> ValueT:
        return values[int(self._random.random() * len(values))]

    def later(self, seconds: float, callback: Callable[..., Any], *args: Any) -> None:
        self.loop.call_later(seconds, callback, *args, context=self.loop.world.context)

    def note(self, who: str, what: str, about: Any = None) -> None:
        self.trace.append((self.loop.time(), who, what, about))

    def trace_text(self) -> str:
        return "\n".join(
            f"{moment:12.6f} {who:<8} {what} {'' if about is None else about}".rstrip()
            for moment, who, what, about in self.trace
        )

    @contextmanager
    def _errors_noted(self) -> Iterator[None]:
        handler = _Noting(self.errors)
        level, propagate = log.level, log.propagate
        log.setLevel(logging.ERROR)
        log.propagate = False
        log.addHandler(handler)
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.setLevel(level)
            log.propagate = propagate


class Worker:
    """A process that runs an engine, with intakes for jobs and items, as the Faust application puts them together."""

    def __init__(self, world: World, name: str, skew: float) -> None:
        self.world = world
        self.process: Process = world.loop.process(name)
        self.clock = SkewedClock(world.loop, skew)
        self.generation = 0
        self.positions: dict[TopicPartition, int] = {}
        self._found: dict[TopicPartition, int] = {}
        """Ends of the logs when their partitions came to this worker."""
        self.app = SimpleNamespace(flow_control=SimpleNamespace(is_active=lambda: True), consumer_generation_id=0)
        self._arrived: dict[str, asyncio.Event] = {}
        self._acknowledged: dict[TopicPartition, int] = {}
        self._commit_is_set = False

    def begin(self) -> None:
        world, plan = self.world, self.world.plan
        given: dict[str, Any] = {
            "store": world.store,
            "blueprints": world.blueprints,
            "epochs": world.epochs,
            "joins": world.joins,
            "hooks": world.hooks,
            "timers": world.store.timers,
            "limits": world.limits,
            "progress": world.progress,
        }
        wanted = {each.name for each in fields(Ports)}
        ports = Ports(
            bus=BusPort(self),
            clock=self.clock,
            **{name: Port(name, port, self) for name, port in given.items() if name in wanted},
        )
        options = {
            "hook_secret": b"that of all",
            "rounds_of_loop": 6,
            "steps_of_run": 300,
            "item_patience_seconds": 5.0,
            "timer_in_memory_seconds": 5.0 if plan.dormant else math.inf,
            "timer_poll_seconds": TIMER_POLL_SECONDS,
            "child_look_seconds": 20.0,
            **plan.options,
        }
        self.engine = Engine(ports, world.registry, EngineOptions(worker=self.process.name, **options))
        self.intakes = {
            JOBS: Intake(self._kept(self.engine.handle), concurrency=64, window=256),
            ITEMS: Intake(self._kept(self._handle_item), concurrency=64, window=256, forgets=False),
        }
        for topic, intake in self.intakes.items():
            self._arrived[topic] = asyncio.Event()
            self.process.spawn(self._read(topic, intake))
        self.process.spawn(self._reconcile())

    async def _read(self, topic: str, intake: Intake) -> None:
        """What the agent of a topic does: every record to the intake, for ever."""
        logs = self.world.broker.logs
        while True:
            able = [place for place, at in self.positions.items() if place[0] == topic and at < len(logs[place])]
            if not able:
                self._arrived[topic].clear()
                await self._arrived[topic].wait()
                continue
            place = able[0] if len(able) == 1 else self.world.pick(able)
            record = logs[place][self.positions[place]]
            self.positions[place] += 1
            await intake.admit(Delivered(self, place, record))  # type: ignore[arg-type]

    def _handle_item(self, record: Record) -> Any:
        found = self._found.get((record.topic, record.partition), 0)
        return self.engine.handle_item(replace(record, is_inherited=record.offset < found))

    def _kept(self, handle: Callable[[Record], Any]) -> Callable[[Record], Any]:
        """The same, with a note of what is made: it may have to be thrown away before anybody has awaited it."""

        def handled(record: Record) -> Any:
            pending = handle(record)
            if pending is not None:
                self.world.made.append(pending)
            return pending

        return handled

    async def _reconcile(self) -> None:
        """As `app.worker` does it."""
        await self.clock.sleep(self.world.jitter(RECONCILE_SECONDS))
        while True:
            try:
                await self.engine.recovery.look_after_open_runs()
            except OwnershipLostError:
                pass
            except RetryableError:
                pass
            await self.clock.sleep(RECONCILE_SECONDS)

    # -- what the group tells ------------------------------------------------------------------------------------------

    def soon(self, callback: Callable[..., Any], *args: Any, delay: float = 0.0) -> None:
        self.world.loop.call_later(delay, callback, *args, context=self.process.context)

    def revoke(self) -> None:
        self.world.note(self.process.name, "revoked")
        self.positions.clear()
        self._acknowledged.clear()
        for topic, intake in self.intakes.items():
            intake.take_back([(topic, partition) for partition in range(self.world.plan.partitions)])
        self.engine.revoked()

    def assign(self, partitions: Iterable[int], generation: int) -> None:
        """A process that was frozen may be told so when the group has gone on long ago."""
        if self.positions:
            self.revoke()  # it has not heard of that yet
        partitions = list(partitions)
        self.world.note(self.process.name, "assigned", (partitions, generation))
        group = self.world.broker.group
        self.generation = self.app.consumer_generation_id = generation
        self.positions = {
            (topic, partition): group.committed[topic, partition] for topic in (JOBS, ITEMS) for partition in partitions
        }
        logs = self.world.broker.logs
        self._found = {place: self._found.get(place, len(logs[place])) for place in self.positions}
        self.engine.assigned(partitions, is_current=self.is_current)
        for arrived in self._arrived.values():
            arrived.set()

    def is_current(self) -> bool:
        """What the worker learns from its heartbeats: as long as they are answered nobody else has its partitions."""
        return self in self.world.broker.group.members

    def is_fenced(self) -> None:
        if self not in self.world.broker.group.members:
            self.revoke()
            self.world.broker.group.join(self)

    def has_more(self, place: TopicPartition) -> None:
        if place in self.positions:
            self.world.loop.call_soon(self._arrived[place[0]].set, context=self.process.context)

    def acknowledge(self, place: TopicPartition, offset: int) -> None:
        self._acknowledged[place] = offset + 1
        if not self._commit_is_set:
            self._commit_is_set = True
            self.soon(self._commit, delay=COMMIT_SECONDS)

    def _commit(self) -> None:
        """What is acknowledged since the last revocation; nothing is sent of what was acknowledged before it."""
        self._commit_is_set = False
        offsets, self._acknowledged = self._acknowledged, {}
        if offsets:
            self.world.broker.group.commit(self, self.generation, offsets)


class Delivered:
    """As much of Faust's event as the intake looks at."""

    __slots__ = ("_worker", "app", "message")

    def __init__(self, worker: Worker, place: TopicPartition, record: Record) -> None:
        self._worker = worker
        self.app = worker.app
        self.message = SimpleNamespace(
            tp=place,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            key=record.key,
            value=record.value,
            headers=record.headers,
            timestamp=record.timestamp,
            generation_id=worker.generation,
        )

    def ack(self) -> bool:
        if self.message.generation_id == self._worker.generation:
            self._worker.acknowledge(self.message.tp, self.message.offset)
        return True


class _Noting(logging.Handler):
    def __init__(self, noted: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._noted = noted
        self._format = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        self._noted.append(self._format.format(record))


_OVER: Final = frozenset({StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.CANCELLED})


def _server(name: str) -> str:
    return SERVERS.get(name.partition(".")[0], "store")


def _failed(fault: Fault) -> Fate:
    match fault.kind:
        case Kind.REFUSED:
            return Fate(is_made=False, error_after=0.0)
        case Kind.UNANSWERED:
            return Fate(error_after=2.0)
        case _:
            return Fate(error_after=2.0, late=2.0 + fault.seconds)


def _out_of(fault: Fault, *, dies: bool) -> Fate | None:
    """What becomes of the call at which a process is struck down."""
    match fault.moment:
        case "before":
            return Fate(is_made=False, from_grave=True) if dies else None
        case "after":
            return Fate(from_grave=True)
        case _:
            return Fate(from_grave=True, late=fault.seconds)


async def _all(values: Any) -> list[Any]:
    return [value async for value in values]
