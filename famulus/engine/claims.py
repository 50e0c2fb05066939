"""Values that are too large for a row or a record: kept apart in pieces, with a claim in their place.

    owner ─── batch ──> ClaimingRuns ── rows with claims ─> RunStore
                             └───────── pieces ───────────> BlobStore
    sender ── record ─> ClaimingBus ─── claim ────────────> jobs topic
                             └───────── pieces ───────────> BlobStore

The heart knows nothing of it: whoever owns a run loads it whole. Whoever only looks at one (`shown`) is told how large
a value is, in its place. Pieces are stored before what refers to them. A value is known by its digest, so that what is
stored again, after a crash or by the next owner of its run, is the same pieces.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from famulus.engine.backoff import Backoff
from famulus.engine.seals import that_count
from famulus.errors import BadRecordError, OutputError, RetryableError, StoreUnavailableError
from famulus.ids import RunId
from famulus.ports import (
    BlobStore,
    Bus,
    Commit,
    ContextRow,
    EventRow,
    RunBirth,
    RunHead,
    RunRows,
    RunStore,
    StepRow,
)

PIECE_BYTES: Final = 512 * 1024
PIECES_AT_ONCE: Final = 4
"""Over all values of a process. More of them fill the socket, and a driver then refuses everything."""
TRIES: Final = 6
"""Of a piece, while the store is busy; beyond that whoever has the value tries all of it again."""
STORED_REMEMBERED: Final = 1024
MARK: Final = b"\0"
"""No JSON begins with it."""
LARGE_KEY: Final = "famulus:large"

ValueT = TypeVar("ValueT")
Tell: TypeAlias = Callable[[bytes], Awaitable[bytes]]


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Where a value is."""

    run_id: str
    digest: str
    """SHA-256, hexadecimal."""
    bytes: int


class Claims:
    """Stores values in pieces, and gets them back."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._slots = asyncio.Semaphore(PIECES_AT_ONCE)
        self._stored: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def put(self, run_id: RunId, data: bytes) -> Claim:
        """Store the value, unless it is known to be there."""
        digest = await asyncio.to_thread(_digest, data)
        if (run_id, digest) not in self._stored:
            await asyncio.gather(*(self._put_piece(run_id, digest, data, index) for index in _pieces(len(data))))
            self._remember(run_id, digest)
        return Claim(run_id=run_id, digest=digest, bytes=len(data))

    async def get(self, claim: Claim) -> bytes | None:
        """The value; ``None`` while pieces of it are missing."""
        pieces = await asyncio.gather(*(self._get_piece(claim, index) for index in _pieces(claim.bytes)))
        data = b"".join(piece for piece in pieces if piece is not None)
        if len(data) != claim.bytes or await asyncio.to_thread(_digest, data) != claim.digest:
            return None
        self._remember(claim.run_id, claim.digest)
        return data

    async def _put_piece(self, run_id: RunId, digest: str, data: bytes, index: int) -> None:
        piece = data[index * PIECE_BYTES : (index + 1) * PIECE_BYTES]
        async with self._slots:
            await _patiently(lambda: self._blobs.put(run_id, digest, index, piece))

    async def _get_piece(self, claim: Claim, index: int) -> bytes | None:
        async with self._slots:
            return await _patiently(lambda: self._blobs.get(RunId(claim.run_id), claim.digest, index))

    def _remember(self, run_id: str, digest: str) -> None:
        self._stored[run_id, digest] = None
        if len(self._stored) > STORED_REMEMBERED:
            self._stored.popitem(last=False)


class ClaimingRuns:
    """A `RunStore` whose rows hold claims in place of values above a size."""

    def __init__(self, runs: RunStore, claims: Claims, *, above_bytes: int) -> None:
        self._runs = runs
        self._claims = claims
        self._above_bytes = above_bytes

    @property
    def shown(self) -> RunStore:
        """The same runs, but in place of a large value stands what is known of it."""
        return _ShownRuns(self._runs)

    async def commit(self, commit: Commit) -> None:
        await self._runs.commit(await self._claimed(commit) if self._has_large(commit) else commit)

    async def load(self, run_id: RunId) -> RunRows | None:
        rows = await self._runs.load(run_id)
        return rows if rows is None or not _has_claims(rows) else await _told(that_count(rows), self._value)

    async def heads(self, run_ids: Sequence[RunId]) -> Mapping[RunId, tuple[RunBirth, RunHead]]:
        return await self._runs.heads(run_ids)

    async def events(self, run_id: RunId, *, after: int = -1, limit: int = 1000) -> Sequence[EventRow]:
        return await self._runs.events(run_id, after=after, limit=limit)

    def open_runs(self, partition: int, *, known: Callable[[RunId], bool] | None = None) -> AsyncIterator[RunId]:
        return self._runs.open_runs(partition, known=known)

    async def recent(self, *, limit: int, before: float | None = None) -> Sequence[RunId]:
        return await self._runs.recent(limit=limit, before=before)

    def all_runs(self) -> AsyncIterator[RunId]:
        return self._runs.all_runs()

    async def in_open_index(self, run_ids: Sequence[RunId]) -> frozenset[RunId]:
        return await self._runs.in_open_index(run_ids)

    def _has_large(self, commit: Commit) -> bool:
        most = self._above_bytes
        return (
            any(row.output is not None and len(row.output) > most for row in commit.steps)
            or any(row.value is not None and len(row.value) > most for row in commit.context)
            or (commit.first and len(commit.birth.input) > most)
        )

    async def _claimed(self, commit: Commit) -> Commit:
        run_id = commit.birth.run_id

        async def kept(value: bytes) -> bytes:
            if len(value) <= self._above_bytes:
                return value
            return MARK + msgspec.json.encode(await self._claims.put(run_id, value))

        birth = replace(commit.birth, input=await kept(commit.birth.input)) if commit.first else commit.birth
        return replace(
            commit,
            birth=birth,
            steps=await _steps(commit.steps, kept),
            context=await _context(commit.context, kept),
        )

    async def _value(self, value: bytes) -> bytes:
        claim = _claim_of(value)
        if claim is None:
            return value
        data = await self._claims.get(claim)
        if data is None:
            raise StoreUnavailableError(
                f"run {claim.run_id!r}: not all of a value of {claim.bytes} bytes (SHA-256 {claim.digest}) can be "
                "read; are all replicas up, or has it expired?",
                retry_after=1.0,
            )
        return data


class _ShownRuns:
    """A `RunStore` to look at: large values are told, not read."""

    def __init__(self, runs: RunStore) -> None:
        self._runs = runs
        self.heads = runs.heads
        self.events = runs.events
        self.open_runs = runs.open_runs
        self.recent = runs.recent
        self.all_runs = runs.all_runs
        self.in_open_index = runs.in_open_index

    async def commit(self, commit: Commit) -> None:
        raise NotImplementedError("whoever only looks at runs writes none")

    async def load(self, run_id: RunId) -> RunRows | None:
        rows = await self._runs.load(run_id)
        return rows if rows is None or not _has_claims(rows) else await _told(that_count(rows), _as_shown)


def shown(runs: RunStore) -> RunStore:
    """The store as people look at it: values that are kept apart are told by their size."""
    return runs.shown if isinstance(runs, ClaimingRuns) else runs


def is_large(value: Any) -> bool:
    """Whether a value that was read from `shown` only tells of one that is kept apart."""
    return isinstance(value, dict) and value.keys() == {LARGE_KEY}


class ClaimedRecord(msgspec.Struct, frozen=True, kw_only=True, tag="claimed", tag_field="type"):
    """On the jobs topic, in place of a record that is too large for it."""

    run_id: str
    claim: Claim


class ClaimingBus:
    """A `Bus` that keeps jobs apart that are too large for the topic. All else goes through as it is."""

    def __init__(self, bus: Bus, claims: Claims, *, above_bytes: int, max_bytes: int) -> None:
        self._bus = bus
        self._claims = claims
        self._above_bytes = above_bytes
        self._max_bytes = max_bytes
        self.partition_of = bus.partition_of
        self.send_item = bus.send_item
        self.send_event = bus.send_event
        self.send_again = bus.send_again
        self.send_dead_letter = bus.send_dead_letter

    @property
    def partitions(self) -> int:
        return self._bus.partitions

    async def send_job(
        self, run_id: RunId, value: bytes, *, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Awaitable[None]:
        if len(value) > self._max_bytes:
            raise OutputError(
                f"the record has {len(value)} bytes, at most {self._max_bytes} can be kept (FAMULUS_MAX_VALUE_BYTES)"
            )
        if len(value) > self._above_bytes:
            value = msgspec.json.encode(ClaimedRecord(run_id=run_id, claim=await self._claims.put(run_id, value)))
        return await self._bus.send_job(run_id, value, headers=headers)


async def redeemed(claimed: ClaimedRecord, claims: Claims | None) -> bytes:
    """The value of the record that a claim stands for. Raises `BadRecordError` where it cannot be had."""
    data = None if claims is None else await claims.get(claimed.claim)
    if data is None:
        raise BadRecordError(
            f"the record of {claimed.claim.bytes} bytes that is kept apart for run {claimed.run_id!r} "
            f"(SHA-256 {claimed.claim.digest}) cannot be read: it has expired, or was put into another store",
            code="claim_missing",
        )
    return data


async def _patiently(call: Callable[[], Awaitable[ValueT]]) -> ValueT:
    backoff = Backoff(first=0.05)
    for _ in range(TRIES - 1):
        try:
            return await call()
        except RetryableError:
            await asyncio.sleep(backoff.next())
    return await call()


def _claim_of(value: bytes | None) -> Claim | None:
    if value is None or not value.startswith(MARK):
        return None
    return msgspec.json.decode(value[len(MARK) :], type=Claim)


def _has_claims(rows: RunRows) -> bool:
    values = (rows.birth.input, *(row.output for row in rows.steps), *(row.value for row in rows.context))
    return any(value is not None and value.startswith(MARK) for value in values)


async def _told(rows: RunRows, tell: Tell) -> RunRows:
    return replace(
        rows,
        birth=replace(rows.birth, input=await tell(rows.birth.input)),
        steps=await _steps(rows.steps, tell),
        context=await _context(rows.context, tell),
    )


async def _as_shown(value: bytes) -> bytes:
    claim = _claim_of(value)
    if claim is None:
        return value
    return msgspec.json.encode({LARGE_KEY: {"bytes": claim.bytes, "sha256": claim.digest}})


async def _steps(rows: Iterable[StepRow], tell: Tell) -> tuple[StepRow, ...]:
    """One after the other, as below: each may be large."""
    return tuple([row if row.output is None else replace(row, output=await tell(row.output)) for row in rows])


async def _context(rows: Iterable[ContextRow], tell: Tell) -> tuple[ContextRow, ...]:
    return tuple([row if row.value is None else replace(row, value=await tell(row.value)) for row in rows])


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _pieces(size: int) -> range:
    return range(-(-size // PIECE_BYTES))
