"""What lies between an engine and the world: every call to a port goes through here, and here faults strike.

A call is a request that takes its time, is carried out by the server in one moment, and an answer that takes its time.
A process that dies meanwhile hears no answer; its request may be carried out all the same, and later.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from famulus.errors import BusUnavailableError, JoinsUnavailableError, LimitsUnavailableError, StoreUnavailableError

if TYPE_CHECKING:
    from simulation.loop import SimulatedLoop
    from simulation.world import Worker, World

    from famulus.ids import RunId
    from famulus.ports import Record

TIMEOUT_SECONDS: Final = 2.0
"""After so long a call that was not answered fails."""
ERRORS: Final = {"joins": JoinsUnavailableError, "limits": LimitsUnavailableError, "bus": BusUnavailableError}
SERVERS: Final = {"joins": "redis", "limits": "redis", "progress": "redis", "bus": "kafka"}
NEVER_RAISES: Final = frozenset({"joins.forget", "limits.give_back", "progress.show", "progress.of"})


@dataclass(slots=True)
class Fate:
    """What becomes of a call."""

    is_made: bool = True
    error_after: float | None = None
    """It fails after so long."""
    late: float = 0.0
    """It is carried out so much later, whatever its caller was told."""
    from_grave: bool = False
    """Its process is struck down: the request is out already."""
    slow: float = 0.0


class Port:
    """A port in memory as an engine reaches it."""

    def __init__(self, name: str, target: Any, worker: Worker) -> None:
        self._name = name
        self._target = target
        self._worker = worker

    def __getattr__(self, method: str) -> Any:
        target = getattr(self._target, method)
        name = f"{self._name}.{method}"
        if inspect.isasyncgenfunction(target):
            made: Any = partial(self._listed, name, target)
        elif inspect.iscoroutinefunction(target):
            made = partial(self._called, name, target)
        else:
            return target
        vars(self)[method] = made
        return made

    def _called(self, name: str, target: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **more: Any) -> Any:
        return call(self._worker, name, lambda: at_once(target(*args, **more)))

    async def _listed(
        self, name: str, target: Callable[..., AsyncIterator[Any]], *args: Any, known: Any = None
    ) -> AsyncIterator[Any]:
        for each in await call(self._worker, name, lambda: at_once(_list_of(target(*args)))):
            if known is None or not known(each):
                yield each


class BusPort:
    """The way to the topics. What one process sends arrives in that order, but for what is held."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._world = worker.world
        self._free_at = 0.0

    def partition_of(self, run_id: RunId) -> int:
        return self._world.broker.partition_of(run_id)

    async def send_job(
        self, run_id: RunId, value: bytes, *, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Awaitable[None]:
        return self._send("bus.send_job", lambda: self._world.broker.send_job(run_id, value, headers))

    async def send_item(self, key: str, value: bytes, *, beyond: int = 0) -> Awaitable[None]:
        return self._send("bus.send_item", lambda: self._world.broker.send_item(key, value, beyond))

    async def send_event(self, run_id: RunId, value: bytes) -> Awaitable[None]:
        return self._send("bus.send_event", lambda: self._world.broker.send_event(run_id, value))

    async def send_dead_letter(self, record: Record, *, code: str, reason: str) -> Awaitable[None]:
        return self._send("bus.send_dead_letter", lambda: self._world.broker.bury(record, code))

    def _send(self, name: str, deliver: Callable[[], None]) -> Awaitable[None]:
        loop = self._world.loop
        if self._worker.process.is_dead:
            return loop.create_future()
        fate = self._world.fate_of(self._worker, name)
        latency = self._world.latency() + (fate.slow if fate else 0.0)
        answered: asyncio.Future[None] = loop.create_future()
        send = partial(_exchange, self._world, name, deliver, answered, fate, latency, self._arrival)
        if self._worker.process.is_frozen and not (fate and fate.from_grave):
            loop.call_soon(send)  # it has not come that far: it goes on from here
        else:
            send()
        return answered

    def _arrival(self, when: float) -> float:
        self._free_at = max(when, self._free_at + IN_ORDER)
        return self._free_at


IN_ORDER: Final = 1e-9


async def call(worker: Worker, name: str, work: Callable[[], Any]) -> Any:
    world = worker.world
    if worker.process.is_dead:
        await world.loop.create_future()
    fate = world.fate_of(worker, name)
    if worker.process.is_frozen and not (fate and fate.from_grave):
        await asyncio.sleep(0)  # nothing goes out before it is thawed
    answered: asyncio.Future[Any] = world.loop.create_future()
    _exchange(world, name, work, answered, fate, world.latency() + (fate.slow if fate else 0.0), None)
    return await answered


def _exchange(  # noqa: PLR0917  # all that a call is
    world: World,
    name: str,
    work: Callable[[], Any],
    answered: asyncio.Future[Any],
    fate: Fate | None,
    latency: float,
    arrival: Callable[[float], float] | None,
) -> None:
    loop = world.loop
    now = loop.time()
    raises = name not in NEVER_RAISES
    if fate is None or (fate.is_made and fate.error_after is None and not fate.late):
        when = now + latency
        _at(loop, when if arrival is None else arrival(when), _carry_out, world, name, work, answered, latency)
        return
    if fate.is_made:
        unanswered = None if fate.error_after is not None else answered
        world.last_late_at = max(world.last_late_at, now + latency + fate.late)
        _at(loop, now + latency + fate.late, _carry_out, world, name, work, unanswered, latency)
    if fate.error_after is not None:
        error = ERRORS.get(name.partition(".")[0], StoreUnavailableError)(f"{name}: the simulation has it so")
        _at(loop, now + latency + fate.error_after, _answer, answered, error if raises else None, None)


def _at(loop: SimulatedLoop, when: float, callback: Any, *args: Any) -> None:
    if when <= loop.time():
        loop.call_soon(callback, *args, context=loop.world.context)
    else:
        loop.call_at(when, callback, *args, context=loop.world.context)


def _carry_out(
    world: World, name: str, work: Callable[[], Any], answered: asyncio.Future[Any] | None, latency: float
) -> None:
    error: Exception | None = None
    value: Any = None
    world.note("server", name)
    try:
        value = work()
    except Exception as raised:  # noqa: BLE001  # it is the caller's
        error = raised
    if answered is not None:
        _at(world.loop, world.loop.time() + latency, _answer, answered, error, value)


def _answer(answered: asyncio.Future[Any], error: Exception | None, value: Any) -> None:
    if answered.done():
        return
    if error is None:
        answered.set_result(value)
    else:
        answered.set_exception(error)


def at_once(body: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns that waits for nothing."""
    try:
        body.send(None)
    except StopIteration as returned:
        return returned.value
    raise AssertionError("a port in memory waits for something")


async def _list_of(values: AsyncIterator[Any]) -> list[Any]:
    return [value async for value in values]
