"""Cases on servers: one worker, in a thread of this process, for as many as come.

The worker is the Faust application as it is started anywhere else; only its registry is told of new implementations
while it runs. Each case has names of its own for its blueprints and implementations. The callables of a case are
called on the event loop of whoever runs it.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from famulus.application import compose
from famulus.conformance.case import Case, with_names
from famulus.conformance.gate import Gate
from famulus.conformance.implementations import caller_on, implementations_of
from famulus.conformance.report import refused
from famulus.conformance.theatre import Play
from famulus.connect import migrate_schema
from famulus.engine.rows import encode
from famulus.errors import BlueprintError
from famulus.ids import RunId
from famulus.nodes import Registry
from famulus.ports import RunStore
from famulus.settings import Settings
from famulus.stacks import EmbeddedStack, RealStack
from famulus.stacks.stack import Stack

log = logging.getLogger(__name__)

PARTITIONS: Final = 4
READY_SECONDS: Final = 120.0
STOP_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.01
CASE_SECONDS: Final = 120.0
"""A case that takes longer hangs."""


class CaseRegistry(Registry):
    """Implementations that come and go with their cases."""

    def drop(self, name: str) -> None:
        self._by_name.pop(name, None)
        self._needs.pop(name, None)
        self._layers.pop(name, None)


class ServerTheatre:
    """Keeps `famulus.conformance.theatre.Theatre`, in real time."""

    def __init__(self, app: Any, gate: Gate) -> None:
        self.gate = gate
        self._bus = app.bus
        self.store: RunStore = app.engine.ports.store
        self.catalog = app.engine.catalog

    def now(self) -> float:
        return time.time()

    async def send(self, document: Mapping[str, Any]) -> None:
        await (await self._bus.send_job(RunId(document["run_id"]), encode(document)))

    async def settle(self) -> None:
        await asyncio.sleep(LOOK_SECONDS)

    async def wait(self) -> bool:
        return True


class Worker:
    """The application on its own event loop, in a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self.registry = CaseRegistry()
        self.loop = asyncio.new_event_loop()
        self._settings = settings
        self._app: Any = None
        self.gate: Gate
        self._failure: BaseException | None = None
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="famulus-conformance", daemon=True)

    def start(self) -> None:
        """Return when the worker has its partitions. Raises what kept it from that."""
        self._thread.start()
        if not self._is_ready.wait(READY_SECONDS):
            raise TimeoutError(f"the worker was not ready within {READY_SECONDS:g} s")
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._app.stop(), self.loop).result(STOP_SECONDS)
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(STOP_SECONDS)

    async def call(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """Await work with the application, on its loop, from any other."""

        async def there() -> Any:
            return await work(self._app)

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(there(), self.loop))

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._start())
        except BaseException as error:  # noqa: BLE001  # raised again by who waits for it
            self._failure = error
            self._is_ready.set()
            return
        self._is_ready.set()
        self.loop.run_forever()

    async def _start(self) -> None:
        await migrate_schema(self._settings)
        self._app = compose(self._settings, self.registry)
        self._app.conf.web_enabled = False
        await self._app.start()
        while not self._app.is_ready:  # noqa: ASYNC110  # Faust tells nobody
            await asyncio.sleep(LOOK_SECONDS)
        self.gate = Gate(self._app.engine.executor)


class Servers:
    """Stacks and their workers, each started when the first case needs it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._workers: dict[str, Worker] = {}
        self._open = ExitStack()
        self._is_to_close = False

    def worker(self, stack: str) -> Worker:
        """Blocks until it is there."""
        with self._lock:
            known = self._workers.get(stack)
            if known is None:
                self._close_at_exit()
                known = Worker(self._settings(stack))
                known.start()
                self._workers[stack] = known
            return known

    def close(self) -> None:
        """Stop the workers, and the servers that were started for them."""
        with self._lock:
            workers, self._workers = self._workers, {}
            try:
                for worker in workers.values():
                    worker.stop()
            finally:
                self._open.close()

    def _close_at_exit(self) -> None:
        """`atexit` comes too late: the program waits for the threads of its workers before that."""
        if not self._is_to_close:
            self._is_to_close = True
            register: Callable[[Callable[[], object]], object] = getattr(threading, "_register_atexit", atexit.register)
            register(self.close)

    def _settings(self, stack: str) -> Settings:
        """Of an installation that nobody else has."""
        name = f"conformance_{uuid.uuid4().hex[:12]}"
        data = Path(
            self._open.enter_context(tempfile.TemporaryDirectory(prefix="famulus-", ignore_cleanup_errors=True))
        )
        return Settings.load().model_copy(
            update={
                **(self._embedded(data) if stack == "embedded" else self._real(data)),
                "data_dir": data,
                "group": name,
                "namespace": name,
                "jobs_topic": f"{name}.jobs",
                "items_topic": f"{name}.items",
                "events_topic": f"{name}.events",
                "dead_letters_topic": f"{name}.dead-letters",
                "partitions": PARTITIONS,
                "worker": name,
                "nodes": (),
                "blueprints": (),
                "drain_seconds": 0.0,
                "missing_implementation": "fail",  # as the specification says, and nobody else could have it
            }
        )

    def _embedded(self, data: Path) -> dict[str, Any]:
        servers = EmbeddedStack(data / "servers")
        environment = self._up(servers)
        return {
            "kafka_brokers": environment["KAFKA_BROKERS"],
            "redis_url": SecretStr(environment["REDIS_URL"]),
            "sqlite_path": Path(environment["FAMULUS_SQLITE_PATH"]),
            "cassandra_contact_points": None,
            "embedded": True,
        }

    def _real(self, data: Path) -> dict[str, Any]:
        if os.environ.get("KAFKA_BROKERS") and os.environ.get("CASSANDRA_CONTACT_POINTS"):
            return {}
        environment = self._up(RealStack(data / "servers"))
        return {
            "kafka_brokers": environment["KAFKA_BROKERS"],
            "redis_url": SecretStr(environment["REDIS_URL"]),
            "cassandra_contact_points": environment["CASSANDRA_CONTACT_POINTS"],
            "cassandra_datacenter": environment["CASSANDRA_DATACENTER"],
            "embedded": False,
        }

    def _up(self, stack: Stack) -> dict[str, str]:
        environment = stack.up()
        self._open.callback(stack.down)
        return environment


SERVERS: Final = Servers()
"""Of this process: suites call one function per case, and one worker is to serve all of them."""


async def run_on_servers(case: Case, worker: Worker) -> dict[str, Any]:
    name = f"c{uuid.uuid4().hex[:12]}"
    caller = caller_on(asyncio.get_running_loop())
    mine = with_names(case, blueprint_name=lambda known: f"{name}-{known}", node_name=lambda uses: f"{name}:{uses}")

    async def play(app: Any) -> dict[str, Any]:
        theatre = ServerTheatre(app, worker.gate)
        try:
            for blueprint in mine.blueprints:
                await theatre.catalog.register(blueprint)
        except BlueprintError:
            return refused(case.initial)
        performance = Play(mine, theatre, name)
        implementations = implementations_of(mine, performance, caller=caller)
        for uses, implementation in implementations.items():
            worker.registry.register(f"{name}:{uses}", implementation)
        try:
            async with asyncio.timeout(CASE_SECONDS):
                return await performance.perform()
        finally:
            for uses in implementations:
                worker.registry.drop(f"{name}:{uses}")

    found: dict[str, Any] = await worker.call(play)
    return found
