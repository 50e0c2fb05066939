"""A world whose engines can lose their servers, freeze, crash, and take partitions from one another."""

from __future__ import annotations

import asyncio
import inspect
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Self

from support.world import RealClock, World, handler

from famulus.engine.engine import Engine, EngineOptions, Ports
from famulus.errors import RetryableError
from famulus.ids import RunId
from famulus.ports import Record


class Machine:
    """What one engine runs on: everything it asks of the world goes through here."""

    def __init__(self) -> None:
        self.before: defaultdict[str, deque[Exception]] = defaultdict(deque)
        """Errors to raise, by name of the call, in place of the next calls."""
        self.after: defaultdict[str, deque[Exception]] = defaultdict(deque)
        """Errors to raise once the next calls have done their work."""
        self.on_call: Callable[[str], object] = lambda _: None
        self.calls: list[str] = []
        self.answers_are_lost = False
        """Whoever freezes has made the call that it was at."""
        self.turns = 0
        """How many turns of the event loop a call takes to its server, and its answer back."""
        self._running = asyncio.Event()
        self._running.set()

    def freeze(self) -> None:
        """As SIGSTOP: nothing goes out any more, until it is thawed."""
        self._running.clear()

    def thaw(self) -> None:
        self._running.set()

    async def through(self, name: str, call: Callable[[], Any]) -> Any:
        self.calls.append(name)
        self.on_call(name)
        if self.answers_are_lost and not self._running.is_set():
            await call()
        await self._travel()
        if self.before[name]:
            raise self.before[name].popleft()
        result = await call()
        await self._travel()
        if self.after[name]:
            raise self.after[name].popleft()
        return result

    async def _travel(self) -> None:
        for _ in range(self.turns):
            await asyncio.sleep(0)
        await self._running.wait()


class Through:
    """A port as an engine reaches it from its machine."""

    def __init__(self, port: Any, machine: Machine) -> None:
        self._port = port
        self._machine = machine

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if not inspect.iscoroutinefunction(method):
            return method
        return lambda *args, **kwargs: self._machine.through(name, lambda: method(*args, **kwargs))


class FaultyWorld(World):
    def __init__(self, functions: Mapping[str, Callable[..., Any]], *, doubled: bool = False, **options: Any) -> None:
        super().__init__(functions, **options)
        self.doubled = doubled
        self.machines: dict[Engine, Machine] = {}
        self._owners: dict[int, Engine] = {}
        self._in_hand: dict[asyncio.Task[None], tuple[Record, Engine | None]] = {}

    def engine(self, name: str = "w1", **options: Any) -> Engine:
        machine = Machine()
        ports = Ports(
            store=Through(self.store, machine),
            blueprints=self.blueprints,
            epochs=Through(self.epochs, machine),
            joins=Through(self.joins, machine),
            bus=Through(self.bus, machine),
            clock=RealClock(),
            hooks=self.hooks,
            timers=Through(self.timers, machine),
        )
        engine = Engine(ports, self.registry, EngineOptions(worker=name, **{**self.options, **options}))
        self.machines[engine] = machine
        self.engines.append(engine)
        return engine

    @property
    def machine(self) -> Machine:
        """Of the first engine."""
        return self.machines[self.engines[0]]

    @property
    def partitions(self) -> range:
        return range(len(self.bus.jobs))

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._owners = dict.fromkeys(self.partitions, self.engines[0])
        return self

    async def __aexit__(self, *error: object) -> None:
        for machine in self.machines.values():
            machine.thaw()
        await super().__aexit__(*error)
        while left := asyncio.all_tasks() - {asyncio.current_task()}:  # what engines that died have left behind
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def assign(self, engine: Engine, partitions: Iterable[int]) -> None:
        """Give these partitions to an engine, and tell it; whoever had them is told nothing."""
        partitions = list(partitions)
        engine.assigned(partitions)
        self._owners.update(dict.fromkeys(partitions, engine))
        self._deliver_again(lambda owner, record: owner is not engine and record.partition in partitions)

    def rebalance(self, shares: Mapping[Engine, Iterable[int]]) -> None:
        """As Kafka does it: everybody gives everything back, then everybody gets a share."""
        for engine in shares:
            engine.revoked()
        for engine, partitions in shares.items():
            self.assign(engine, partitions)

    async def crash(self, engine: Engine) -> None:
        """The process is gone: nothing of it goes out any more, and what it had in hand was not acknowledged."""
        self.machines[engine].freeze()
        await engine.steps.attempts.cancel_all()
        await engine.items.attempts.cancel_all()
        for session in engine.runs._sessions.values():
            if session._writer is not None:
                session._writer.cancel()
        engine.revoked()
        for task in [*engine._beginning, *engine.steps._reports]:
            task.cancel()
        self._owners = {partition: owner for partition, owner in self._owners.items() if owner is not engine}
        self._deliver_again(lambda owner, _: owner is engine)

    async def take_over(self, name: str, **options: Any) -> Engine:
        """A new engine gets every partition."""
        engine = self.engine(name, **options)
        self.assign(engine, self.partitions)
        return engine

    async def events_of(self, run_id: str) -> list[dict[str, Any]]:
        return [event.as_json() for event in await self.reader.events(RunId(run_id), limit=100_000)]

    async def completions(self, run_id: str) -> dict[str, int]:
        """How often each step is told to have completed."""
        counted: defaultdict[str, int] = defaultdict(int)
        for event in await self.events_of(run_id):
            if event["type"] == "step.completed":
                counted[event["step"]] += 1
        return dict(counted)

    def _deliver_again(self, chosen: Callable[[Engine | None, Record], bool]) -> None:
        for task, (record, owner) in list(self._in_hand.items()):
            if chosen(owner, record):
                task.cancel()
                self._deliver(replace(record, is_inherited=True))

    async def _run_pump(self) -> None:
        async for record in self.bus.subscribe():
            for _ in range(1 + self.doubled):
                self._deliver(record)

    def _deliver(self, record: Record) -> None:
        task = asyncio.create_task(self._handle(record))
        self.handling.add(task)
        task.add_done_callback(self._done)
        self._in_hand[task] = (record, self._owners.get(record.partition))

    def _done(self, task: asyncio.Task[None]) -> None:
        self.handling.discard(task)
        self._in_hand.pop(task, None)

    async def _handle(self, record: Record) -> None:
        while True:
            owner = self._owners.get(record.partition)
            task = asyncio.current_task()
            if task is not None:
                self._in_hand[task] = (record, owner)
            try:
                if owner is not None:
                    pending = handler(owner, record)(record)
                    if pending is not None:
                        await pending
                    return
            except RetryableError:
                pass
            await asyncio.sleep(0.002)
