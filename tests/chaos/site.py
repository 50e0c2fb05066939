"""Servers, proxies and workers, and what each kind of fault does to them.

Workers reach every server by a proxy; the load and whoever looks at the rows go there directly. Workers are supervised:
one that has ended is started again, as any operator's supervisor does.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, Self

from chaos.history import History
from chaos.plan import Fault, Kind, Target
from redis.asyncio import Redis
from redis.exceptions import RedisError
from support.installation import Installation
from support.proxy import Proxy
from support.shapes import SHAPES
from support.workers import Worker
from support.world import eventually

from famulus.stacks import EmbeddedStack, RealStack, cassandra, kafka, valkey
from famulus.stacks.server import Server

SUPERVISE_SECONDS: Final = 0.2
LEAVE_SECONDS: Final = 40.0
BEGIN_SECONDS: Final = 60.0
SLOW_SECONDS: Final = 0.15
"""Later arrives what is slow, in each direction."""
REAL_SESSION_SECONDS: Final = 6.0
"""The shortest that Kafka allows."""
EMBEDDED_SESSION_SECONDS: Final = 2.0


@dataclass(eq=False)
class Post:
    """The place of one worker, whoever holds it at the moment."""

    worker: Worker
    is_struck: bool = False
    """A fault of it is going on: it is not to be started again now, nor struck by another one."""


@dataclass
class Site:
    installation: Installation
    stack: EmbeddedStack | RealStack
    proxies: Mapping[Target, Proxy]
    history: History
    posts: list[Post] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)
    """Faults by kind."""
    ended_alone: Counter[int] = field(default_factory=Counter)
    """Workers that nobody has struck and that ended, by exit code."""

    @classmethod
    async def open(cls, folder: Path, *, real: bool, history: History, stack: AsyncExitStack) -> Self:
        servers = (RealStack if real else EmbeddedStack)(folder / "servers")
        stack.enter_context(servers)
        direct = servers.environment()
        broker, url = direct["KAFKA_BROKERS"], direct["REDIS_URL"]
        proxies = {
            Target.BROKER: Proxy.kafka(broker),
            Target.VALKEY: Proxy.resp(url.removeprefix("redis://").partition("/")[0]),
        }
        if real:
            proxies[Target.STORE] = Proxy.cql(direct["CASSANDRA_CONTACT_POINTS"])
        for proxy in proxies.values():
            stack.enter_context(proxy)
        timeouts = {"FAMULUS_SESSION_TIMEOUT": str(REAL_SESSION_SECONDS)} if real else {"FAMULUS_EMBEDDED": "true"}
        documents = tuple(shape.document for shape in SHAPES.values())
        workers = folder / "workers"
        workers.mkdir()
        installation = Installation({**direct, **timeouts}, workers, blueprints=documents)
        stack.callback(installation.close)
        await installation.prepare()
        return cls(installation, servers, proxies, history)

    @property
    def direct(self) -> Mapping[str, str]:
        """The environment of who goes to the servers directly."""
        return self.installation.environment

    def worker_environment(self) -> dict[str, str]:
        through = {
            "KAFKA_BROKERS": self.proxies[Target.BROKER].address,
            "REDIS_URL": f"redis://{self.proxies[Target.VALKEY].address}/0",
        }
        if Target.STORE in self.proxies:
            through["CASSANDRA_CONTACT_POINTS"] = self.proxies[Target.STORE].address
        return {**through, "FAMULUS_NODES": "support.effect_nodes", "FAMULUS_CONCURRENCY": "64"}

    # -- workers -----------------------------------------------------------------------------------------------------

    async def start_workers(self, count: int) -> None:
        self.posts = [Post(self._start_worker()) for _ in range(count)]
        await asyncio.gather(*(post.worker.ready() for post in self.posts))

    async def workers_live(self) -> None:
        """Wait until every worker has begun, also those that were started again."""

        async def do_all() -> bool:
            return all(await asyncio.gather(*(asyncio.to_thread(_lives, post.worker) for post in self.posts)))

        with suppress(AssertionError):  # one that does not come is no longer waited for
            await eventually(do_all, within=BEGIN_SECONDS, every=SUPERVISE_SECONDS)

    def _start_worker(self) -> Worker:
        return self.installation.start_worker(**self.worker_environment())

    async def supervise_for_ever(self) -> None:
        while True:
            for post in self.posts:
                code = post.worker.exit_code
                if code is not None and not post.is_struck:
                    self.ended_alone[code] += 1
                    self.history.tell("worker ended by itself", worker=post.worker.name, code=code)
                    post.worker = self._start_worker()
            await asyncio.sleep(SUPERVISE_SECONDS)

    @contextmanager
    def _one(self, fault: Fault) -> Iterator[Post]:
        post = self.posts[int(fault.pick * len(self.posts))]
        with self._each([post]):
            yield post

    @contextmanager
    def _each(self, posts: list[Post]) -> Iterator[None]:
        for post in posts:
            post.is_struck = True
        try:
            yield
        finally:
            for post in posts:
                if post.worker.exit_code is not None:
                    post.worker = self._start_worker()
                post.is_struck = False

    # -- faults ------------------------------------------------------------------------------------------------------

    async def strike(self, fault: Fault) -> None:
        """Let a fault happen; returns when it is over."""
        self.struck[fault.kind] += 1
        self.history.tell("fault begins", kind=fault.kind, seconds=round(fault.seconds, 2))
        await self._ways[fault.kind](fault)
        self.history.tell("fault ends", kind=fault.kind)

    @property
    def _ways(self) -> Mapping[Kind, Callable[[Fault], Awaitable[None]]]:
        return {
            Kind.WORKER_KILLED: self._kill_worker,
            Kind.ALL_KILLED: self._kill_all,
            Kind.WORKER_STOPPED: self._stop_worker,
            Kind.WORKER_LEFT: self._let_worker_leave,
            Kind.WORKER_JOINED: self._let_worker_join,
            Kind.VALKEY_FLUSHED: self._flush,
            Kind.VALKEY_KILLED: lambda fault: self._kill_server(valkey.NAME, fault),
            Kind.BROKER_KILLED: lambda fault: self._kill_server(kafka.NAME, fault),
            Kind.STORE_STOPPED: lambda fault: self._stop_server(cassandra.NAME, fault),
            **{kind: self._stall for kind in _LINKS if kind.endswith("stalled")},
            **{kind: self._slow for kind in _LINKS if kind.endswith("slow")},
            **{kind: self._reset for kind in _LINKS if kind.endswith("reset")},
        }

    async def _kill_worker(self, fault: Fault) -> None:
        with self._one(fault) as post:
            await asyncio.to_thread(post.worker.kill)
            await asyncio.sleep(fault.seconds)

    async def _kill_all(self, fault: Fault) -> None:
        with self._each(self.posts):
            for post in self.posts:
                await asyncio.to_thread(post.worker.kill)
            await asyncio.sleep(fault.seconds)

    async def _stop_worker(self, fault: Fault) -> None:
        with self._one(fault) as post:
            post.worker.send(signal.SIGSTOP)
            await asyncio.sleep(fault.seconds)
            post.worker.send(signal.SIGCONT)

    async def _let_worker_leave(self, fault: Fault) -> None:
        with self._one(fault) as post:
            await self._leave(post.worker)
            await asyncio.sleep(fault.seconds)

    async def _let_worker_join(self, fault: Fault) -> None:
        joined = self._start_worker()
        await asyncio.sleep(fault.seconds)
        await self._leave(joined)

    async def _leave(self, worker: Worker) -> None:
        worker.send(signal.SIGTERM)
        try:
            await worker.ended(within=LEAVE_SECONDS)
        except AssertionError:
            self.history.tell("worker did not end in good order", worker=worker.name)
            await asyncio.to_thread(worker.kill)

    async def _flush(self, _: Fault) -> None:
        async with Redis.from_url(self.direct["REDIS_URL"]) as redis:
            try:
                await redis.flushall()
            except RedisError:
                return  # it has just been killed, and is as empty

    async def _kill_server(self, name: str, fault: Fault) -> None:
        server = self._server(name)
        _signal(server, signal.SIGKILL)
        await asyncio.sleep(fault.seconds)
        await asyncio.to_thread(server.up, lambda _: None)

    async def _stop_server(self, name: str, fault: Fault) -> None:
        server = self._server(name)
        _signal(server, signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            _signal(server, signal.SIGCONT)

    def _server(self, name: str) -> Server:
        return next(server for server in self.stack._remembered_servers() if server.name == name)

    async def _stall(self, fault: Fault) -> None:
        await self._while(fault, Proxy.stall)

    async def _slow(self, fault: Fault) -> None:
        await self._while(fault, lambda proxy: proxy.delay(SLOW_SECONDS))

    async def _reset(self, fault: Fault) -> None:
        await asyncio.to_thread(self._link(fault).reset)

    async def _while(self, fault: Fault, disturb: Callable[[Proxy], Any]) -> None:
        link = self._link(fault)
        await asyncio.to_thread(disturb, link)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            await asyncio.to_thread(link.pass_all)

    def _link(self, fault: Fault) -> Proxy:
        return self.proxies[_LINKS[fault.kind]]


_LINKS: Final[Mapping[Kind, Target]] = {
    Kind.VALKEY_STALLED: Target.VALKEY,
    Kind.VALKEY_RESET: Target.VALKEY,
    Kind.VALKEY_SLOW: Target.VALKEY,
    Kind.BROKER_STALLED: Target.BROKER,
    Kind.BROKER_RESET: Target.BROKER,
    Kind.BROKER_SLOW: Target.BROKER,
    Kind.STORE_STALLED: Target.STORE,
    Kind.STORE_RESET: Target.STORE,
    Kind.STORE_SLOW: Target.STORE,
}


def _lives(worker: Worker) -> bool:
    try:
        worker.page("/health/live")
    except (OSError, HTTPException):
        return False
    return True


def _signal(server: Server, number: signal.Signals) -> None:
    pid = server.process.pid
    assert pid is not None, f"{server.name} does not run"
    os.killpg(pid, number)  # it leads a session of its own
