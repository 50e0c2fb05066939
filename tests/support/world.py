"""A whole installation in this process: memory ports, one or several engines, and a pump between topic and engines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self

import msgspec
from support.audited import assert_well
from support.documents import blueprint

from famulus.adapters.memory import (
    MemoryBlueprintStore,
    MemoryBus,
    MemoryDeadLetterStore,
    MemoryEpochs,
    MemoryHookStore,
    MemoryJoins,
    MemoryLimits,
    MemoryProgressBoard,
    MemoryRunStore,
    MemoryScheduleStore,
    MemoryTokenStore,
)
from famulus.adapters.memory.bus import ITEMS
from famulus.blueprint import parse_blueprint
from famulus.engine.engine import Engine, EngineOptions, Ports
from famulus.engine.reading import RunReader, RunView, is_ended
from famulus.engine.records import start_record
from famulus.errors import RetryableError
from famulus.ids import BlueprintId, RunId
from famulus.nodes import Registry
from famulus.ports import Record
from famulus.security.signing import signed

DEADLINE = 20.0


async def eventually(
    condition: Callable[[], Awaitable[bool]] | Callable[[], bool], *, within: float = DEADLINE, every: float = 0.002
) -> None:
    """Wait until the condition holds, asking at these intervals."""
    end = time.monotonic() + within
    while True:
        held = condition()
        if isinstance(held, Awaitable):
            held = await held
        if held:
            return
        if time.monotonic() > end:
            raise AssertionError(f"{condition} did not hold within {within} s")
        await asyncio.sleep(every)


class RealClock:
    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


__all__ = ["World", "blueprint", "eventually", "outputs", "statuses"]


class World:
    def __init__(self, functions: Mapping[str, Callable[..., Any]], **options: Any) -> None:
        self.registry = Registry()
        for name, function in functions.items():
            self.registry.register(name, function)
        self.store: Any = MemoryRunStore()
        self.blueprints = MemoryBlueprintStore()
        self.epochs = MemoryEpochs()
        self.hooks = MemoryHookStore()
        self.timers: Any = self.store.timers
        self.schedules: Any = MemoryScheduleStore()
        self.letters = MemoryDeadLetterStore()
        self.tokens: Any = MemoryTokenStore()
        self.joins: Any = MemoryJoins()
        self.limits: Any = MemoryLimits()
        self.progress: Any = MemoryProgressBoard()
        self.bus = MemoryBus(partitions=4)
        self.claims: Any = None
        self.options = {"hook_secret": b"that of all engines of a world", **options}
        self.is_audited = True
        """What is stored of runs has to agree with itself in the end, whatever was done to them."""
        self.engines: list[Engine] = []
        self.handling: set[asyncio.Task[None]] = set()
        self._pump: asyncio.Task[None] | None = None

    def engine(self, name: str = "w1") -> Engine:
        ports = Ports(
            store=self.store,
            blueprints=self.blueprints,
            epochs=self.epochs,
            joins=self.joins,
            bus=signed(self.bus, self.options.get("signatures")),
            clock=RealClock(),
            hooks=self.hooks,
            timers=self.timers,
            limits=self.limits,
            progress=self.progress,
            schedules=self.schedules,
            claims=self.claims,
        )
        engine = Engine(ports, self.registry, EngineOptions(worker=name, **self.options))
        self.engines.append(engine)
        return engine

    @property
    def reader(self) -> RunReader:
        return RunReader(self.store, self.engines[0].catalog)

    async def __aenter__(self) -> Self:
        if not self.engines:
            self.engine()
        self.engines[0].assigned(range(len(self.bus.jobs)))
        self._pump = asyncio.create_task(self._run_pump())
        return self

    async def __aexit__(self, *failed: object) -> None:
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        for engine in self.engines:
            await engine.stop(0)
        for task in self.handling:
            task.cancel()
        await asyncio.gather(*self.handling, return_exceptions=True)
        if not any(failed) and self.is_audited:
            await assert_well(self.store, self.engines[0].catalog)

    async def push(self, document: Mapping[str, Any]) -> None:
        await self.engines[0].catalog.register(parse_blueprint(document))

    async def send(self, document: Any, *, key: str | None = None) -> Record:
        value = document if isinstance(document, bytes | None) else msgspec.json.encode(document)
        run_id = key if key is not None else (document or {}).get("run_id", "") if isinstance(document, dict) else ""
        return self.bus.append_job(self.bus.partition_of(RunId(run_id)), run_id.encode() or None, value)

    async def start(self, blueprint_id: str, run_id: str, given: dict[str, Any] | None = None) -> None:
        value = start_record(RunId(run_id), BlueprintId(blueprint_id), input=given or {})
        await (await self.bus.send_job(RunId(run_id), value))

    async def ended(self, run_id: str, *, within: float = DEADLINE) -> RunView:
        async def has_ended() -> bool:
            heads = await self.store.heads([RunId(run_id)])
            return RunId(run_id) in heads and is_ended(heads[RunId(run_id)][1].status)

        await eventually(has_ended, within=within)
        return await self.reader.show(RunId(run_id))

    async def run(
        self, document: Mapping[str, Any], given: dict[str, Any] | None = None, *, run_id: str = "r1"
    ) -> RunView:
        await self.push(document)
        await self.start(document["id"], run_id, given)
        return await self.ended(run_id)

    async def _run_pump(self) -> None:
        """Every record to the engine that owns its partition, again until it is handled: what the intake does."""
        async for record in self.bus.subscribe():
            task = asyncio.create_task(self._handle(record))
            self.handling.add(task)
            task.add_done_callback(self.handling.discard)

    async def _handle(self, record: Record) -> None:
        while True:
            owner = next((engine for engine in self.engines if record.partition in engine.partitions), None)
            try:
                if owner is not None:
                    pending = handler(owner, record)(record)
                    if pending is not None:
                        await pending
                    return
            except RetryableError:
                pass
            await asyncio.sleep(0.005)


def handler(engine: Engine, record: Record) -> Callable[[Record], Awaitable[None] | None]:
    return engine.handle_item if record.topic == ITEMS else engine.handle


def statuses(view: RunView) -> dict[str, str]:
    return {step.node_id: step.status for step in view.steps}


def outputs(view: RunView) -> dict[str, Any]:
    return {step.node_id: step.output for step in view.steps if step.status == "completed"}
