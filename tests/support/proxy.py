"""A TCP proxy between a worker and a server, which does to their connections what networks do.

    with Proxy.cql("127.0.0.1:9042") as proxy:
        worker = start_worker(CASSANDRA_CONTACT_POINTS=proxy.address)
        proxy.stall()          # or delay, reset, refuse, forget, cut, lose_requests, lose_replies
        proxy.pass_all()

The proxy runs in a thread of its own. Every method may be called from any thread and from coroutines: it returns at
once, when what it says holds. The proxy stays up meanwhile; the connections stay too, but for `reset`, `refuse` and
`cut`, which end them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from support.wires import Cql, Kafka, Message, Raw, Resp, Wire

from famulus.stacks.ports import LOOPBACK, free_port

T = TypeVar("T")
CHUNK_BYTES: Final = 65_536
CHUNKS_ON_THE_WAY: Final = 256
CALL_SECONDS: Final = 10.0
SETTLE_SECONDS: Final = 0.02
RST_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of no seconds: the other side sees a reset, not an end."""


class Direction(Enum):
    REQUESTS = "from client to server"
    REPLIES = "from server to client"


BOTH: Final = (Direction.REQUESTS, Direction.REPLIES)


@dataclass
class Loss:
    """Messages that do not arrive."""

    matches: Callable[[Message], bool]
    left: float
    lost: int = 0

    def takes(self, message: Message) -> bool:
        if not self.left or not self.matches(message):
            return False
        self.left -= 1
        self.lost += 1
        return True


@dataclass(eq=False)
class _Connection:
    wire: Wire
    writers: tuple[asyncio.StreamWriter, ...]
    silent: set[Direction] = field(default_factory=set)
    """Nothing arrives any more, and nobody is told."""

    def reset(self) -> None:
        for writer in self.writers:
            raw = writer.transport.get_extra_info("socket")
            with contextlib.suppress(OSError):  # closed already
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)
            writer.transport.abort()


class Proxy:
    """Listens on a port of loopback, which it keeps, and passes everything to the target and back."""

    def __init__(self, target: str, *, wire: Callable[[], Wire] = Raw, port: int | None = None) -> None:
        host, _, target_port = target.rpartition(":")
        self._target = (host, int(target_port))
        self.port = port or free_port()
        self._wire = wire
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"proxy of {target}", daemon=True)
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._open = {direction: asyncio.Event() for direction in Direction}
        self._delays = dict.fromkeys(Direction, 0.0)
        self._losses: dict[Direction, Loss | None] = dict.fromkeys(Direction)
        self._bytes_left: dict[Direction, float] = dict.fromkeys(Direction, float("inf"))

    @classmethod
    def cql(cls, target: str, *, port: int | None = None) -> Self:
        prepared: dict[bytes, str] = {}
        return cls(target, wire=lambda: Cql(prepared), port=port)

    @classmethod
    def kafka(cls, target: str, *, port: int | None = None) -> Self:
        """Replies that name the broker name the proxy instead, so the broker need not know of it."""
        proxy = cls(target, port=port)
        host, there = proxy._target
        # Both ports take four bytes behind the same host, so no length in the reply changes.
        real, ours = (host.encode() + struct.pack(">i", each) for each in (there, proxy.port))
        proxy._wire = lambda: Kafka(lambda data: data.replace(real, ours))
        return proxy

    @classmethod
    def resp(cls, target: str, *, port: int | None = None) -> Self:
        return cls(target, wire=Resp, port=port)

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def connections(self) -> int:
        return len(self._connections)

    # -- life ----------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        self._thread.start()
        self._call(self._pass_all())

    def close(self) -> None:
        """End all connections and the thread."""
        if not self._thread.is_alive():
            return
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_SECONDS)
        self._loop.close()

    # -- what it does to connections -----------------------------------------------------------------------------------

    def pass_all(self) -> None:
        """Undo everything: what was held back goes on. Only what is lost or forgotten stays so."""
        self._call(self._pass_all())

    def stall(self, *directions: Direction) -> None:
        """Hold back everything from now on, in one direction or both, on connections old and new."""
        self._call(self._set(lambda: [self._open[each].clear() for each in directions or BOTH]))

    def delay(self, seconds: float, *directions: Direction) -> None:
        """Let everything arrive so much later, in the same order."""
        self._call(self._set(lambda: self._delays.update(dict.fromkeys(directions or BOTH, seconds))))

    def reset(self) -> None:
        """Reset the connections that there are. New ones pass."""
        self._call(self._reset())

    def refuse(self) -> None:
        """Reset the connections that there are, and refuse new ones until `pass_all`."""
        self._call(self._refuse())

    def forget(self, *directions: Direction) -> None:
        """Let nothing arrive any more on the connections that there are, and tell nobody. New ones pass.

        What a router does that has forgotten them, or a peer that has lost power.
        """
        self._call(
            self._set(lambda: [connection.silent.update(directions or BOTH) for connection in self._connections])
        )

    def cut(self, *, after: int, direction: Direction = Direction.REPLIES) -> None:
        """Pass so many bytes more, of all connections together, then reset the one that sends the next. Once."""
        self._call(self._set(lambda: self._bytes_left.update({direction: after})))

    def lose_replies(
        self, *operations: str, matching: Callable[[Message], bool] | None = None, times: float = float("inf")
    ) -> Loss:
        """Do not pass replies to these requests: the server has done what was asked, and the client never hears of it.

        Where replies come in order (Kafka, RESP), nothing else arrives on that connection either.
        """
        return self._lose(Direction.REPLIES, operations, matching, times)

    def lose_requests(
        self, *operations: str, matching: Callable[[Message], bool] | None = None, times: float = float("inf")
    ) -> Loss:
        """Do not pass these requests. Where replies come in order, nothing else of that connection is passed either."""
        return self._lose(Direction.REQUESTS, operations, matching, times)

    def _lose(
        self,
        direction: Direction,
        operations: Collection[str],
        matching: Callable[[Message], bool] | None,
        times: float,
    ) -> Loss:
        def matches(message: Message) -> bool:
            return (not operations or message.operation in operations) and (matching is None or matching(message))

        loss = Loss(matches, times)
        self._call(self._set(lambda: self._losses.update({direction: loss})))
        return loss

    # -- in the proxy's thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(CALL_SECONDS)

    async def _set(self, change: Callable[[], Any]) -> None:
        change()

    async def _pass_all(self) -> None:
        for direction in Direction:
            self._delays[direction] = 0.0
            self._losses[direction] = None
            self._bytes_left[direction] = float("inf")
            self._open[direction].set()
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, LOOPBACK, self.port)

    async def _reset(self) -> None:
        for connection in self._connections:
            connection.reset()

    async def _refuse(self) -> None:
        if self._server is not None:
            # asyncio loses a socket that was accepted when the server closes before it is served.
            for listener in self._server.sockets:
                self._loop.remove_reader(listener.fileno())
            await asyncio.sleep(SETTLE_SECONDS)
            self._server.close()
            self._server = None
        await self._reset()

    async def _end(self) -> None:
        await self._refuse()
        await asyncio.sleep(SETTLE_SECONDS)  # what was being accepted or connected is a connection then, or gone
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await asyncio.sleep(SETTLE_SECONDS)  # sockets of transports that were aborted are closed a round later

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Either side has gone, or the proxy ends: a cancelled handler would be reported by asyncio.
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)  # when a connection is lost, asyncio lets go of who serves it
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._serving.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = self._wire()
        connection = _Connection(wire, (writer,))
        self._connections.add(connection)
        try:
            there, back = await asyncio.open_connection(*self._target)
            connection.writers = (writer, back)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(connection, reader, back, Direction.REQUESTS))
                pumps.create_task(self._pump(connection, there, writer, Direction.REPLIES))
        except* OSError:
            pass  # one side was reset: so is the other
        finally:
            self._connections.discard(connection)
            connection.reset()
            await asyncio.gather(*(each.wait_closed() for each in connection.writers), return_exceptions=True)

    async def _pump(
        self,
        connection: _Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        direction: Direction,
    ) -> None:
        """Read on one side, write on the other. Between the two lies what a delay holds back."""
        way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_ON_THE_WAY)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(connection, reader, way, direction))
            group.create_task(self._write(connection, way, writer, direction))

    async def _read(
        self,
        connection: _Connection,
        reader: asyncio.StreamReader,
        way: asyncio.Queue[tuple[float, bytes]],
        direction: Direction,
    ) -> None:
        cut = connection.wire.requests if direction is Direction.REQUESTS else connection.wire.replies
        while data := await reader.read(CHUNK_BYTES):
            for message in cut(data):
                if self._is_lost(connection, message, direction):
                    continue
                await way.put((self._loop.time() + self._delays[direction], message.data))
        await way.put((self._loop.time() + self._delays[direction], b""))

    def _is_lost(self, connection: _Connection, message: Message, direction: Direction) -> bool:
        loss = self._losses[direction]
        if loss is not None and direction not in connection.silent and loss.takes(message):
            if connection.wire.in_order:
                connection.silent.add(direction)
            return True
        return False

    async def _write(
        self,
        connection: _Connection,
        way: asyncio.Queue[tuple[float, bytes]],
        writer: asyncio.StreamWriter,
        direction: Direction,
    ) -> None:
        while True:
            due, data = await way.get()
            if (early := due - self._loop.time()) > 0:
                await asyncio.sleep(early)
            await self._open[direction].wait()
            if not data:
                if direction not in connection.silent:
                    self._half_close(writer)
                return
            if direction not in connection.silent:
                await self._pass(connection, data, writer, direction)

    async def _pass(
        self, connection: _Connection, data: bytes, writer: asyncio.StreamWriter, direction: Direction
    ) -> None:
        left = self._bytes_left[direction]
        if len(data) <= left:
            self._bytes_left[direction] = left - len(data)
            writer.write(data)
            await writer.drain()
            return
        self._bytes_left[direction] = float("inf")
        writer.write(data[: int(left)])
        await writer.drain()
        raise ConnectionResetError("cut")

    @staticmethod
    def _half_close(writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write_eof()
