"""What an attempt tells while it runs: how far it is, and parts of its result. Told live, and recorded nowhere.

It goes onto the events topic as records like those of recorded events (`famulus.engine.announcements`), with the
sequence number -1: it has none. An attempt tells at most so often; between two records the last progress wins, and
chunks wait in order.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from famulus.engine.deadline import Deadline
from famulus.engine.patience import wait_at_most
from famulus.engine.rows import decode, encode
from famulus.errors import FamulusError, OutputError
from famulus.ids import RunId, StepId
from famulus.ports import Bus, Progress, ProgressBoard
from famulus.security.redaction import Redactor

PROGRESS: Final = "step.progress"
CHUNK: Final = "step.chunk"
UNRECORDED_SEQ: Final = -1
INTERVAL_SECONDS: Final = 0.2
RECORD_BYTES: Final = 128 * 1024
CHUNK_BYTES: Final = 64 * 1024
WAITING_BYTES: Final = 1024 * 1024
"""Chunks that wait for their record; what comes on top is lost, and counted in the next one."""
TEXT_CHARACTERS: Final = 500
LAST_SECONDS: Final = 1.0
"""An attempt that is over does not wait longer for a broker that is away."""


class Watchers:
    """Where it is told: on the events topic, and the last progress on the board."""

    def __init__(self, bus: Bus, board: ProgressBoard | None) -> None:
        self._bus = bus
        self._board = board

    async def tell(self, run_id: RunId, record: bytes) -> None:
        """Hand a record over, without waiting for its acknowledgement."""
        await self._bus.send_event(run_id, record)

    async def show(self, run_id: RunId, step_id: StepId, progress: Progress) -> None:
        if self._board is not None:
            await self._board.show(run_id, step_id, progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Who tells: the same in all records of an attempt."""

    run_id: RunId
    step_id: StepId
    record: Mapping[str, Any]
    event: Mapping[str, Any]


class AttemptLine:
    """Keeps `famulus.nodes.context.Line`. Made on the event loop; its methods may be called from any thread."""

    def __init__(
        self,
        told: Callable[[], Told],
        *,
        deadline: Deadline | None,
        watchers: Watchers | None,
        now: Callable[[], float],
        counts: Counter[str],
        redactor: Redactor | None = None,
    ) -> None:
        self._redactor = redactor or Redactor()
        self._told = told
        self._deadline = deadline
        self._watchers = watchers
        self._now = now
        self._counts = counts
        self._stream: _Stream | None = None
        self._is_closed = False
        self._loop = asyncio.get_running_loop()

    def beat(self) -> None:
        if self._deadline is not None:
            self._deadline.beat()

    def progress(self, fraction: float, text: str) -> None:
        text = self._redactor.text(text)[:TEXT_CHARACTERS].encode("utf-8", "replace").decode()
        self._tell(lambda stream: stream.note(Progress(fraction=fraction, text=text, at=self._now())))

    def emit(self, chunk: Any) -> None:
        told = encode(chunk)
        if self._redactor:
            told = encode(self._redactor.data(decode(told)))
        if len(told) > CHUNK_BYTES:
            raise OutputError(f"a chunk has {len(told)} bytes, at most {CHUNK_BYTES} can be told at once")
        at = self._now()
        self._tell(lambda stream: stream.add(told, at))

    def end(self) -> bool:
        """Nothing more is told, for a thread that was given up may still try to; whether there is a rest to `close`."""
        self._is_closed = True
        return self._stream is not None

    async def close(self) -> None:
        """Tell the rest."""
        if self._stream is not None:
            await self._stream.close()

    def _tell(self, what: Callable[[_Stream], None]) -> None:
        if self._watchers is None or self._is_closed:
            return
        if self._stream is None:
            self._stream = _Stream(self._told(), self._watchers, self._counts)
        what(self._stream)
        self._loop.call_soon_threadsafe(self._stream.go_on)


class _Stream:
    def __init__(self, told: Told, watchers: Watchers, counts: Counter[str]) -> None:
        self._told = told
        self._watchers = watchers
        self._counts = counts
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._chunks: deque[tuple[int, bytes, float]] = deque()
        self._waiting_bytes = 0
        self._next_index = 0
        self._is_over = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    def note(self, progress: Progress) -> None:
        with self._lock:
            self._progress = progress

    def add(self, chunk: bytes, at: float) -> None:
        with self._lock:
            index, self._next_index = self._next_index, self._next_index + 1
            if self._waiting_bytes + len(chunk) > WAITING_BYTES:
                self._counts["chunks_lost"] += 1
                return
            self._chunks.append((index, chunk, at))
            self._waiting_bytes += len(chunk)

    def go_on(self) -> None:
        if (self._telling is None or self._telling.done()) and not self._is_over.is_set():
            self._telling = asyncio.create_task(self._tell())

    async def close(self) -> None:
        self._is_over.set()
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell())
        await asyncio.wait([self._telling], timeout=LAST_SECONDS)

    async def _tell(self) -> None:
        while True:
            progress, events = self._taken()
            if not events:
                return
            try:
                value = msgspec.json.encode({**self._told.record, "events": events})
                await self._watchers.tell(self._told.run_id, value)
                if progress is not None:
                    await self._watchers.show(self._told.run_id, self._told.step_id, progress)
            except FamulusError:
                self._counts["streams_not_told"] += 1  # nobody may wait for those who watch
            if not self._is_over.is_set():
                await wait_at_most(self._is_over, INTERVAL_SECONDS)

    def _taken(self) -> tuple[Progress | None, list[dict[str, Any]]]:
        with self._lock:
            progress, self._progress = self._progress, None
            chunks: list[tuple[int, bytes, float]] = []
            size = 0
            while self._chunks and (not chunks or size + len(self._chunks[0][1]) <= RECORD_BYTES):
                chunks.append(self._chunks.popleft())
                size += len(chunks[-1][1])
            self._waiting_bytes -= size
        events = [
            {**self._event(CHUNK, at), "index": index, "chunk": msgspec.Raw(chunk)} for index, chunk, at in chunks
        ]
        if progress is not None:
            told = {"fraction": progress.fraction, "text": progress.text}
            events.append({**self._event(PROGRESS, progress.at), **told})
        return progress, events

    def _event(self, kind: str, at: float) -> dict[str, Any]:
        return {"seq": UNRECORDED_SEQ, "type": kind, "at": at, **self._told.event}
