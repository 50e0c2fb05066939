"""What passes between a client and a server, cut into messages that have a name: CQL, Kafka, RESP.

Each wire belongs to one connection. It is fed the bytes of both directions in the order in which they come, and gives
back the same bytes as messages, each with the operation that it asks for or answers. So a proxy can lose the reply to a
BATCH and pass everything else. Only what naming a message takes is read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, ClassVar, Final, Protocol

from cassandra.segment import SegmentCodec


@dataclass(frozen=True, slots=True)
class Message:
    data: bytes
    operation: str = ""
    """The name of the request, for a reply that of the request that it answers; empty where nobody knows."""
    text: str = ""
    """Of a request in CQL and of its reply: the statement, of a batch the first one."""


class Wire(Protocol):
    in_order: ClassVar[bool]
    """Replies come in the order of the requests: without one of them the client takes the next for it."""

    def requests(self, data: bytes) -> Iterator[Message]: ...

    def replies(self, data: bytes) -> Iterator[Message]: ...


class Raw:
    """Bytes without names."""

    in_order: ClassVar[bool] = True

    def requests(self, data: bytes) -> Iterator[Message]:
        yield Message(data)

    replies = requests


# -- Cassandra ---------------------------------------------------------------------------------------------------------

CQL_HEADER: Final = struct.Struct(">BBhBI")
CQL_REQUESTS: Final = {
    0x01: "STARTUP",
    0x05: "OPTIONS",
    0x07: "QUERY",
    0x09: "PREPARE",
    0x0A: "EXECUTE",
    0x0B: "REGISTER",
    0x0D: "BATCH",
    0x0F: "AUTH_RESPONSE",
}
CQL_READY: Final = 0x02
CQL_AUTHENTICATE: Final = 0x03
CQL_RESULT: Final = 0x08
CQL_PREPARED: Final = 4
"""The kind of a result that brings the id of a prepared statement."""
EVENT_STREAM: Final = -1
SEGMENT_HEADER_BYTES: Final = 6
SEGMENT_CRC_BYTES: Final = 4
SEGMENT_LENGTH_MASK: Final = 0x1FFFF
FIRST_VERSION_WITH_SEGMENTS: Final = 5


@dataclass
class _Segments:
    """Takes the payload out of checksummed segments (version 5 of the protocol, without compression)."""

    buffer: bytearray = field(default_factory=bytearray)

    def payload(self, data: bytes) -> bytes:
        self.buffer += data
        found = bytearray()
        while len(self.buffer) >= SEGMENT_HEADER_BYTES:
            length = int.from_bytes(self.buffer[:3], "little") & SEGMENT_LENGTH_MASK
            end = SEGMENT_HEADER_BYTES + length + SEGMENT_CRC_BYTES
            if len(self.buffer) < end:
                break
            found += self.buffer[SEGMENT_HEADER_BYTES : SEGMENT_HEADER_BYTES + length]
            del self.buffer[:end]
        return bytes(found)


class Cql:
    """Cassandra's protocol, versions 4 and 5. Prepared statements are known by id on every connection of a proxy."""

    in_order: ClassVar[bool] = False

    def __init__(self, prepared: MutableMapping[bytes, str] | None = None) -> None:
        self._prepared = {} if prepared is None else prepared
        self._asked: dict[int, tuple[str, str]] = {}
        self._buffers = {True: bytearray(), False: bytearray()}
        self._segments = {True: _Segments(), False: _Segments()}
        self._in_segments = False

    def requests(self, data: bytes) -> Iterator[Message]:
        for frame, _, stream, code, body in self._frames(data, asked=True):
            operation = CQL_REQUESTS.get(code, f"OPCODE_{code}")
            text = self._statement(operation, body)
            self._asked[stream] = (operation, text)
            yield Message(frame, operation, text)

    def replies(self, data: bytes) -> Iterator[Message]:
        for frame, version, stream, code, body in self._frames(data, asked=False):
            operation, text = ("EVENT", "") if stream == EVENT_STREAM else self._asked.pop(stream, ("", ""))
            if operation == "PREPARE" and code == CQL_RESULT and _int(body) == CQL_PREPARED:
                self._prepared[_short_bytes(body[4:])] = text
            yield Message(frame, operation, text)
            if code in {CQL_READY, CQL_AUTHENTICATE} and version >= FIRST_VERSION_WITH_SEGMENTS:
                self._in_segments = True  # from here on, in both directions

    def _frames(self, data: bytes, *, asked: bool) -> Iterator[tuple[bytes, int, int, int, bytes]]:
        buffer = self._buffers[asked]
        in_segments = self._in_segments
        buffer += self._segments[asked].payload(data) if in_segments else data
        while len(buffer) >= CQL_HEADER.size:
            version, _flags, stream, code, length = CQL_HEADER.unpack_from(buffer)
            end = CQL_HEADER.size + length
            if len(buffer) < end:
                return
            frame = bytes(buffer[:end])
            del buffer[:end]
            yield _segmented(frame) if in_segments else frame, version & 0x7F, stream, code, frame[CQL_HEADER.size :]

    def _statement(self, operation: str, body: bytes) -> str:
        match operation:
            case "QUERY" | "PREPARE":
                return _long_string(body)
            case "EXECUTE":
                return self._prepared.get(_short_bytes(body), "")
            case "BATCH" if body[3:4] == b"\x00":
                return _long_string(body[4:])
            case "BATCH":
                return self._prepared.get(_short_bytes(body[4:]), "")
        return ""


def _segmented(frame: bytes) -> bytes:
    buffer = BytesIO()
    codec: Any = SegmentCodec()
    codec.encode(buffer, frame)
    return buffer.getvalue()


def _int(data: bytes) -> int:
    return int.from_bytes(data[:4], "big")


def _short_bytes(data: bytes) -> bytes:
    return data[2 : 2 + int.from_bytes(data[:2], "big")]


def _long_string(data: bytes) -> str:
    return data[4 : 4 + _int(data)].decode(errors="replace")


# -- Kafka -------------------------------------------------------------------------------------------------------------

KAFKA_REQUESTS: Final = {
    0: "PRODUCE",
    1: "FETCH",
    2: "LIST_OFFSETS",
    3: "METADATA",
    8: "OFFSET_COMMIT",
    9: "OFFSET_FETCH",
    10: "FIND_COORDINATOR",
    11: "JOIN_GROUP",
    12: "HEARTBEAT",
    13: "LEAVE_GROUP",
    14: "SYNC_GROUP",
    18: "API_VERSIONS",
    19: "CREATE_TOPICS",
    20: "DELETE_TOPICS",
    22: "INIT_PRODUCER_ID",
    37: "CREATE_PARTITIONS",
    60: "DESCRIBE_CLUSTER",
}
NAMING_BROKERS: Final = frozenset({"METADATA", "FIND_COORDINATOR", "DESCRIBE_CLUSTER"})
"""Whose replies say where the brokers are."""


class Kafka:
    """Kafka's protocol. ``rename`` changes replies that name brokers, so that clients come back through the proxy."""

    in_order: ClassVar[bool] = True

    def __init__(self, rename: Callable[[bytes], bytes] = lambda data: data) -> None:
        self._rename = rename
        self._asked: dict[int, str] = {}
        self._buffers = {True: bytearray(), False: bytearray()}

    def requests(self, data: bytes) -> Iterator[Message]:
        for frame in self._frames(data, asked=True):
            key, _version, correlation = struct.unpack_from(">hhi", frame, 4)
            operation = KAFKA_REQUESTS.get(key, f"API_{key}")
            self._asked[correlation] = operation
            yield Message(frame, operation)

    def replies(self, data: bytes) -> Iterator[Message]:
        for frame in self._frames(data, asked=False):
            operation = self._asked.pop(_int(frame[4:8]), "")
            yield Message(self._rename(frame) if operation in NAMING_BROKERS else frame, operation)

    def _frames(self, data: bytes, *, asked: bool) -> Iterator[bytes]:
        buffer = self._buffers[asked]
        buffer += data
        while len(buffer) >= 4 and len(buffer) >= (end := 4 + _int(buffer[:4])):
            yield bytes(buffer[:end])
            del buffer[:end]


# -- Redis and Valkey --------------------------------------------------------------------------------------------------


class Resp:
    """What clients send to Redis. Replies are named after the last command: exact for a client that waits for each."""

    in_order: ClassVar[bool] = True

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._asked = ""

    def requests(self, data: bytes) -> Iterator[Message]:
        self._buffer += data
        while (found := _command(self._buffer)) is not None:
            operation, end = found
            self._asked = operation
            yield Message(bytes(self._buffer[:end]), operation)
            del self._buffer[:end]

    def replies(self, data: bytes) -> Iterator[Message]:
        yield Message(data, self._asked)


def _command(buffer: bytearray) -> tuple[str, int] | None:
    """The name of the first command and where it ends; ``None`` while it is not whole."""
    line = _line(buffer, 0)
    if line is None:
        return None
    head, at = line
    if not head.startswith(b"*"):  # an inline command
        return head.split(b" ", maxsplit=1)[0].decode(errors="replace").upper(), at
    name = ""
    for number in range(int(head[1:])):
        line = _line(buffer, at)
        if line is None:
            return None
        size, start = int(line[0][1:]), line[1]
        at = start + size + 2
        if len(buffer) < at:
            return None
        if number == 0:
            name = bytes(buffer[start : start + size]).decode(errors="replace").upper()
    return name, at


def _line(buffer: bytearray, start: int) -> tuple[bytes, int] | None:
    end = buffer.find(b"\r\n", start)
    return None if end < 0 else (bytes(buffer[start:end]), end + 2)
