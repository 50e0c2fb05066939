"""A whole installation in this process: ports in memory, an engine, and what carries records from the topic to it.

An engine reaches the world only through its `Machine`. A machine can be killed: nothing goes out of it from then on,
and what its engine had in hand is delivered again to the next one.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, Final, Self

import msgspec

from famulus.adapters import memory
from famulus.adapters.memory.bus import ITEMS
from famulus.blueprint import Blueprint
from famulus.engine.engine import Engine, EngineOptions, Ports
from famulus.engine.reading import RunReader
from famulus.errors import RetryableError
from famulus.flow.state import RunState, StepState
from famulus.flow.tasks import task_of
from famulus.ids import RunId, StepId
from famulus.nodes import Registry
from famulus.ports import Record
from famulus.testing.census import Family, begin_census, end_census
from famulus.testing.clock import CLOCK, PATIENCE_SECONDS, Pace, VirtualClock
from famulus.testing.facts import RecordedRuns

PARTITIONS: Final = 1
AGAIN_SECONDS: Final = 0.05
OPTIONS: Final[Mapping[str, Any]] = {
    "announce_seconds": 0.0,
    "taken_seconds": 60.0,
    "timer_in_memory_seconds": math.inf,
    "hook_secret": b"of every engine of a stage",
}
"""In real time: hints and events at once; and a step that takes long in real time is no event of the run. Runs stay in
memory while they wait, or the clock would stop at every look for their timers. Engines that share runs have to make the
same tokens."""

Hook = Callable[[str], Awaitable[object]]


class Attempt:
    """An attempt of a step that was begun: the call of the code of its node."""

    __slots__ = ("attempt", "input", "key", "node_id", "run_id", "step_id", "uses")

    def __init__(self, run: RunState, step: StepState) -> None:
        self.run_id = run.run_id
        self.step_id = step.step_id
        self.node_id = step.node_id
        self.attempt = step.attempt
        self.uses = task_of(run, step).uses
        self.key = f"{run.run_id}/{step.step_id}"
        """The idempotency key that the node is given."""


async def _nothing(_: str) -> None:
    return


class Machine:
    """What one engine runs on."""

    def __init__(self) -> None:
        self.family = Family()
        self.is_dead = False
        self.before: Hook = _nothing
        """Awaited with the name of each call to a port, before it is made."""
        self.after: Hook = _nothing
        """The same, when it is done and its answer not yet there."""
        self.at_work: dict[asyncio.Task[Any], StepId] = {}
        """Attempts that have their turn."""
        self.in_line: dict[asyncio.Task[Any], StepId] = {}
        """Attempts that wait for theirs."""

    def kill(self) -> None:
        self.is_dead = True
        self.family.cancel()

    @contextmanager
    def attempt(self, step_id: StepId) -> Iterator[Callable[[], None]]:
        """Count an attempt that is in line, and at work from when the given function is called."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine is run by a task
        self.in_line[task] = step_id

        def is_at_work() -> None:
            self.in_line.pop(task, None)
            self.at_work[task] = step_id

        try:
            yield is_at_work
        finally:
            self.in_line.pop(task, None)
            self.at_work.pop(task, None)

    async def through(self, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        await self._alive()
        await self.before(name)
        await self._alive()
        result = await call()
        await self.after(name)
        await self._alive()
        return result

    async def _alive(self) -> None:
        if self.is_dead:
            await asyncio.get_running_loop().create_future()


class Through:
    """A port as an engine reaches it from its machine."""

    def __init__(self, port: Any, machine: Machine, *, prefix: str) -> None:
        self._port = port
        self._machine = machine
        self._prefix = prefix

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if not inspect.iscoroutinefunction(method):
            return method
        label = f"{self._prefix}.{name}"
        return lambda *args, **kwargs: self._machine.through(label, lambda: method(*args, **kwargs))


class Stage:
    """Use it as an async context manager; runs are started by `send`, as any producer starts them."""

    def __init__(
        self,
        registry: Registry,
        *,
        doubled: bool = False,
        options: Mapping[str, Any] | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """`patience`: for how many seconds of real time the code of nodes may be at work without a pause."""
        self.registry = registry
        self.doubled = doubled
        """Every record is delivered twice."""
        self.options = {**OPTIONS, **(options or {})}
        self.clock = VirtualClock()
        self.pace = Pace(
            self.clock, busy=self._busy_with, progress=lambda: self.runs.batches, patience_seconds=patience
        )
        self.runs = RecordedRuns(epoch=self.clock.start)
        self.joins = memory.MemoryJoins()
        self.bus = memory.MemoryBus(partitions=PARTITIONS, now=self.clock.now)
        self.blueprints = memory.MemoryBlueprintStore()
        self.begun: list[Attempt] = []
        """Every attempt of the code of a node, in order."""
        self.attempt_begins: Callable[[Attempt], object] = self.begun.append
        self.machines: dict[Engine, Machine] = {}
        self.reader: RunReader
        self._shared = {
            "epochs": memory.MemoryEpochs(),
            "hooks": memory.MemoryHookStore(),
            "timers": self.runs.timers,
            "limits": None,
        }
        self._owner: Engine | None = None
        self._in_hand: dict[asyncio.Task[None], tuple[Engine, Record]] = {}
        """Records that were delivered and are not finished."""
        self._left: list[Record] = []
        """Records that wait for an engine."""
        self._post = Family()
        """What carries records."""

    async def __aenter__(self) -> Self:
        self._census = begin_census()
        engine = self.take_over()
        self.reader = RunReader(self.runs, engine.catalog)
        asyncio.get_running_loop().create_task(self._carry(), context=self._post.context)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._post.end()
        for engine, machine in self.machines.items():
            if not machine.is_dead:
                await engine.stop(0)
            await machine.family.end()
        end_census(self._census)

    @property
    def engine(self) -> Engine:
        """The one that owns the runs."""
        if self._owner is None:
            raise RuntimeError("no engine is up")
        return self._owner

    @property
    def machine(self) -> Machine:
        return self.machines[self.engine]

    @property
    def is_down(self) -> bool:
        """The engine was killed, and no other one has taken over."""
        return self._owner is None

    def take_over(self) -> Engine:
        """Start an engine and give it everything; whatever another one had in hand is delivered again."""
        machine = Machine()
        engine = machine.family.run(self._engine, machine)
        self.machines[engine] = machine
        self._owner = engine
        machine.family.run(engine.assigned, range(PARTITIONS))
        left, self._left = self._left, []
        for record in left:
            self._deliver(record)
        return engine

    def crash(self) -> None:
        """Kill the machine of the engine that owns the runs; nothing goes on before another one takes over."""
        machine = self.machine
        self._owner = None
        self._left += [record for _, record in self._in_hand.values()]
        self._in_hand.clear()
        machine.kill()

    @property
    def stored(self) -> int:
        """How many batches."""
        return self.runs.batches

    async def time_goes_on(self, *, until: float | None = None) -> bool:
        """Let time go on to the next moment in which something is due; `False` when nothing is, up to that time."""
        return await self.pace.go_on(until=until)

    async def pass_to(self, time: float) -> None:
        """Let it be that time, through every moment on the way in which something is due."""
        while await self.time_goes_on(until=time):
            pass
        self.clock.move_to(time)
        await self.pace.settle()

    async def register(self, blueprint: Blueprint) -> None:
        """Raises `BlueprintError` if it cannot run."""
        await self.engine.catalog.register(blueprint)

    def send(self, document: Mapping[str, Any]) -> None:
        """A record on the jobs topic."""
        run_id = RunId(document["run_id"])
        self.bus.append_job(self.bus.partition_of(run_id), run_id.encode(), msgspec.json.encode(document))

    def _engine(self, machine: Machine) -> Engine:
        given: dict[str, Any] = {
            "store": self.runs,
            "blueprints": self.blueprints,
            "joins": self.joins,
            "bus": self.bus,
            **self._shared,
        }
        through: dict[str, Any] = {name: port and Through(port, machine, prefix=name) for name, port in given.items()}
        wanted = {each.name for each in fields(Ports)}
        ports = Ports(clock=self.clock, **{name: port for name, port in through.items() if name in wanted})
        options = EngineOptions(worker=f"worker-{len(self.machines) + 1}", **self.options)
        engine = Engine(ports, self.registry, options)
        attempt = engine.executor.attempt

        async def watched(run: RunState, step: StepState, *, begun: Callable[[], None]) -> Any:
            CLOCK.set(self.clock)  # an attempt has a task of its own
            with machine.attempt(step.step_id) as is_at_work:

                def noted() -> None:
                    is_at_work()
                    self.attempt_begins(Attempt(run, step))
                    begun()

                return await attempt(run, step, begun=noted)

        vars(engine.executor)["attempt"] = watched
        return engine

    def _busy_with(self) -> str:
        machine = None if self._owner is None else self.machines[self._owner]
        if machine is None:
            return ""
        # Where none is at work, those in line wait for a turn, which comes in real time.
        busy = machine.at_work or machine.in_line
        return ", ".join(step_id for task, step_id in busy.items() if not self.clock.has_asleep(task))

    # -- the topic ---------------------------------------------------------------------------------------------------

    async def _carry(self) -> None:
        async for record in self.bus.subscribe():
            for _ in range(1 + self.doubled):
                self._deliver(record)

    def _deliver(self, record: Record) -> None:
        engine = self._owner
        if engine is None:
            self._left.append(record)
            return
        context = self.machines[engine].family.context
        task = asyncio.get_running_loop().create_task(self._handle(engine, record), context=context)
        self._in_hand[task] = (engine, record)
        task.add_done_callback(lambda done: self._in_hand.pop(done, None))

    async def _handle(self, engine: Engine, record: Record) -> None:
        while True:
            try:
                pending = (engine.handle_item if record.topic == ITEMS else engine.handle)(record)
                if pending is not None:
                    await pending
            except RetryableError:
                await self.clock.sleep(AGAIN_SECONDS)
            else:
                return
