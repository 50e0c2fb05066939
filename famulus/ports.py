"""What the engine needs from the world. Each adapter keeps these contracts; `tests/contract` asks all of them.

Rules for every method that writes:

* It is safe to repeat: the second identical call changes nothing.
* When it returns, the write is durable. When it raises `RetryableError`, the write may or may not have happened.
* Rows of a run carry a stamp (`famulus.ids.Stamp`). A write never replaces a row with a higher stamp. An owner uses a
  stamp for one commit only, so a row with an equal stamp is the same row.

Values travel as bytes of JSON: what they mean is not an adapter's business.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from famulus.flow.arrivals import Arrivals
from famulus.flow.turns import Limit
from famulus.ids import UNSTAMPED, BlueprintId, Digest, Epoch, NodeId, RunId, ScheduleId, Stamp, StepId

# -- rows of a run ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RunBirth:
    """What never changes after the first commit of a run."""

    run_id: RunId
    blueprint_id: BlueprintId
    version: str
    digest: Digest
    input: bytes
    """The initial context, a JSON object."""
    input_digest: str
    """SHA-256 over the canonical input: tells a repeated start from a conflicting one."""
    partition: int
    """Of the jobs topic, when the run started."""
    created_at: float
    """Seconds since the Unix epoch, by the clock of the owner."""
    parent: bytes | None = None
    """JSON object with the run and step that wait for this run, if it is a child."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHead:
    """What every commit of a run writes anew."""

    status: str
    reason: str | None = None
    """Why the run is failed or cancelled; names the step."""
    updated_at: float
    ended_at: float | None = None
    seals: Mapping[int, int] = field(default_factory=dict)
    """Earlier epoch -> the highest stamp of it that counts. Rows of that epoch beyond the seal are nobody's."""
    next_seq: int = 0
    """The sequence number after the last one used by this run's steps, context rows and events."""
    ending: bytes | None = None
    """JSON object with the status and reason that the run will have once its steps have been compensated."""
    stamp: Stamp = UNSTAMPED


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    step_id: StepId
    node_id: NodeId
    status: str
    attempt: int
    seq: int
    """Order of recording within the run: steps, context rows and events draw from one counter."""
    output: bytes | None = None
    """JSON; ``None`` where there is none (not completed, or completed without output)."""
    action: str | None = None
    fired: tuple[int, ...] = ()
    """Positions, in the blueprint, of the edges that fired."""
    reason: str | None = None
    """Why the step failed, was skipped, cancelled or parked."""
    error: bytes | None = None
    """JSON object with type, message and traceback of the node's own frames."""
    worker: str | None = None
    started_at: float | None = None
    ended_at: float | None = None
    extra: bytes | None = None
    """JSON object with what only some steps have: what they wait for, their items, when their first attempt began."""
    stamp: Stamp = UNSTAMPED


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextRow:
    key: str
    value: bytes | None
    """JSON; ``None`` means that the key was deleted."""
    seq: int
    stamp: Stamp = UNSTAMPED


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    seq: int
    type: str
    """Past tense with a dot: ``run.started``, ``step.completed``."""
    at: float
    data: bytes
    """JSON object."""
    stamp: Stamp = UNSTAMPED


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerRow:
    """A hint that something of a run is due at a time: whoever owns the run then is to look at it.

    What is due, and whether it still is, the rows of the run say. Two rows that differ in their stamp only are one.
    """

    partition: int
    """Of the jobs topic, when the row was written."""
    due_at: float
    """Seconds since the Unix epoch."""
    run_id: RunId
    kind: str
    step_id: StepId
    """Of the step or join; empty for what belongs to the run."""
    stamp: Stamp = UNSTAMPED


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRows:
    """A run as it is stored, before seals are applied (see `famulus.engine.seals`). Rows in no particular order."""

    birth: RunBirth
    head: RunHead
    steps: Sequence[StepRow] = ()
    context: Sequence[ContextRow] = ()
    events: Sequence[EventRow] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One batch of a run. Its rows carry the stamp of the batch."""

    birth: RunBirth
    """Written only by the first commit (`first`); always given, so that an adapter can maintain its indexes."""
    head: RunHead
    stamp: Stamp
    first: bool = False
    takes_over: bool = False
    """The first commit of an owner that has loaded the run."""
    closes: bool = False
    """The run has reached a terminal status, or is dormant: nothing of it is to be done before a timer is due or a
    record comes. It leaves the index of open runs."""
    steps: Sequence[StepRow] = ()
    context: Sequence[ContextRow] = ()
    events: Sequence[EventRow] = ()
    timers: Sequence[TimerRow] = ()
    """Stored before the batch or with it: a crash leaves a timer too many, never one too few."""


class RunStore(Protocol):
    """Runs with their steps, context and events. The partition of every row is the run."""

    async def commit(self, commit: Commit) -> None:
        """Write all rows of the batch, all or none of them. Rows with a higher stamp stay as they are.

        A first commit also enters the run into the index of open runs and of recent runs, before or with the batch,
        so that no stored run is missing there; one that closes leaves the open index some time after the batch. One
        that takes over keeps the run in the open index against an earlier owner that closes it late, and enters a run
        again that was closed, before or with the batch: a run that was closed is written only so.
        """
        ...

    async def load(self, run_id: RunId) -> RunRows | None:
        """Birth, head, steps and context of a run, without its events; ``None`` if no commit of it was stored."""
        ...

    async def heads(self, run_ids: Sequence[RunId]) -> Mapping[RunId, tuple[RunBirth, RunHead]]:
        """Birth and head of those of the runs that exist; the input may be left empty."""
        ...

    async def events(self, run_id: RunId, *, after: int = -1, limit: int = 1000) -> Sequence[EventRow]:
        """Events with a sequence number above ``after``, ascending, before seals are applied."""
        ...

    def open_runs(self, partition: int, *, known: Callable[[RunId], bool] | None = None) -> AsyncIterator[RunId]:
        """Every run of the partition whose last commit did not close it; may also name some that are closed. No order.

        Those that the caller knows are left out, and cost no look at their rows: it asks often, and knows most of them.
        """
        ...

    async def recent(self, *, limit: int, before: float | None = None) -> Sequence[RunId]:
        """Runs by `created_at`, newest first, created strictly before the given time."""
        ...

    def all_runs(self) -> AsyncIterator[RunId]:
        """Every stored run, whatever the indexes say of it. No order. It goes through the whole store: for audits."""
        ...

    async def in_open_index(self, run_ids: Sequence[RunId]) -> frozenset[RunId]:
        """Those of the runs that `open_runs` would name for the partition of their birth."""
        ...


# -- timers ----------------------------------------------------------------------------------------------------------


class TimerStore(Protocol):
    """What becomes due, by partition. Most timers come with a commit of their run (`Commit.timers`)."""

    async def due(self, partition: int, *, until: float, limit: int) -> Sequence[TimerRow]:
        """Timers of the partition that are due until that time, earliest first, at most so many."""
        ...

    async def put(self, rows: Sequence[TimerRow]) -> None:
        """Store timers without a commit."""
        ...

    async def stored(self, rows: Sequence[TimerRow]) -> Sequence[TimerRow]:
        """Those of the rows, as they are given, that `due` would name when their time has come."""
        ...

    async def fired(self, rows: Sequence[TimerRow]) -> None:
        """Remove timers, except those that were stored again with a higher stamp.

        A removal may be lost: whoever is given a timer looks at the state of its run.
        """
        ...


# -- blueprints ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlueprint:
    blueprint_id: BlueprintId
    version: str
    digest: Digest
    body: bytes
    """Canonical JSON."""
    registered_at: float


class BlueprintStore(Protocol):
    async def put(self, blueprint: StoredBlueprint) -> StoredBlueprint:
        """Store under (id, version) and digest; the first registration of an (id, version) stays.

        Returns what is stored under (id, version) afterwards, so the caller can see a conflict by its digest.
        """
        ...

    async def by_digest(self, digest: Digest) -> StoredBlueprint | None: ...

    async def by_version(self, blueprint_id: BlueprintId, version: str) -> StoredBlueprint | None: ...

    async def latest(self, blueprint_id: BlueprintId) -> StoredBlueprint | None:
        """The version that was registered last."""
        ...

    async def all(self) -> Sequence[StoredBlueprint]:
        """Every version of every blueprint, by id and then by registration; bodies may be left empty."""
        ...


# -- epochs ----------------------------------------------------------------------------------------------------------


class Epochs(Protocol):
    async def take(self) -> Epoch:
        """A number higher than every number taken before, by any worker. Numbers may be skipped."""
        ...


# -- joins -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JoinKey:
    run_id: RunId
    step_id: StepId


class Joins(Protocol):
    """Counts of fan-in joins. Everything here can be derived from rows, so nothing here is precious."""

    async def arrive(self, key: JoinKey, arrivals: Mapping[NodeId, str]) -> Arrivals:
        """Add predecessors (node id -> ``fired``, ``dead`` or ``failed``) and return the counts afterwards.

        One atomic step. A predecessor counts once, as it came first: the same call again gets the same answer.
        Raises `JoinsUnavailableError`, at once while the server is known to be away.
        """
        ...

    async def refill(self, key: JoinKey, arrivals: Mapping[NodeId, str]) -> None:
        """Replace whatever is known of the join by these arrivals. Errors as `arrive`."""
        ...

    async def forget(self, run_id: RunId, step_ids: Sequence[StepId]) -> None:
        """Drop the joins of a run that has ended. Never raises: what is left behind expires."""
        ...


# -- large values ----------------------------------------------------------------------------------------------------


class BlobStore(Protocol):
    """Pieces of values that are too large for a row. A piece never changes once it is stored, and expires with its run.

    Who stores a value stores all its pieces before the row that refers to them; a crash between leaves pieces to which
    nobody refers.
    """

    async def put(self, run_id: RunId, digest: str, index: int, piece: bytes) -> None:
        """Store a piece of the value with this SHA-256; storing it again changes nothing."""
        ...

    async def get(self, run_id: RunId, digest: str, index: int) -> bytes | None: ...


# -- webhooks --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """What a webhook is for."""

    digest: str
    """SHA-256 of its token, hexadecimal: whoever reads this cannot call it."""
    run_id: RunId
    step_id: StepId


class HookStore(Protocol):
    """Finds the step that a webhook belongs to. Whether the step waits, and waits for that token, its run knows."""

    async def put(self, hook: Hook) -> None: ...

    async def get(self, digest: str) -> Hook | None: ...

    async def secret(self, offered: bytes) -> bytes:
        """The secret that all workers of the installation share; the first one offered is kept for good."""
        ...


# -- tokens ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredToken:
    """Who somebody is, and what they may do. The token itself is known to its holder alone."""

    digest: str
    """SHA-256 of the token, hexadecimal."""
    name: str
    scope: str
    created_at: float
    created_by: str
    expires_at: float | None = None
    revoked_at: float | None = None
    revoked_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """A browser that has logged in with a token."""

    digest: str
    """SHA-256 of what the browser sends, hexadecimal."""
    token: str
    """The digest of the token: the session is worth no more than it."""
    expires_at: float


class TokenStore(Protocol):
    """Tokens and the sessions that were begun with them. Whether one still counts, the caller decides."""

    async def put(self, token: StoredToken) -> None:
        """Store a token; what is stored under its digest already stays."""
        ...

    async def get(self, digest: str) -> StoredToken | None: ...

    async def all(self) -> Sequence[StoredToken]:
        """By name, then by time; expired and revoked ones too."""
        ...

    async def revoke(self, digest: str, *, at: float, by: str) -> None:
        """Mark a token for good; one that is marked, or unknown, stays as it is."""
        ...

    async def put_session(self, session: StoredSession) -> None:
        """Store a session, which may vanish by itself once it has expired."""
        ...

    async def session(self, digest: str) -> StoredSession | None: ...

    async def end_session(self, digest: str) -> None:
        """Remove a session for good."""
        ...


# -- schedules -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleProgress:
    """How far the owner of a schedule has come. Ticks are whole seconds since the Unix epoch."""

    last_tick: int
    """Nothing is left to do for this tick and earlier ones, but for the one that waits."""
    started: int | None = None
    """The newest tick whose run was started."""
    sent_at: float | None = None
    """When that was."""
    waiting: int | None = None
    """The tick whose run is started when the run before it has ended."""
    stamp: Stamp = UNSTAMPED


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSchedule:
    schedule_id: ScheduleId
    body: bytes
    """JSON object: what is started, and when."""
    written_at: float
    """Seconds since the Unix epoch, to the microsecond, by the clock of the writer."""
    progress: ScheduleProgress | None = None


class ScheduleStore(Protocol):
    """Schedules with their progress. Whoever defines them writes the one, their owner the other: neither the other's.

    Two that define a schedule at the same moment may each see itself first; the one with the later `written_at` stays.
    """

    async def put(self, schedule: StoredSchedule) -> None:
        """Store id, body and time; what was written later stays as it is. The progress is left alone."""
        ...

    async def get(self, schedule_id: ScheduleId) -> StoredSchedule | None: ...

    async def all(self) -> Sequence[StoredSchedule]:
        """By id, with their progress."""
        ...

    async def delete(self, schedule: StoredSchedule) -> None:
        """Remove a schedule as it was read, with its progress: what was written later stays."""
        ...

    async def advance(self, schedule_id: ScheduleId, progress: ScheduleProgress) -> None:
        """Store the progress; one with a higher stamp stays as it is. It may outlive its schedule."""
        ...


# -- dead letters ----------------------------------------------------------------------------------------------------


LETTER_CODE: Final = "famulus-error-code"
LETTER_REASON: Final = "famulus-error"
LETTER_SOURCE: Final = "famulus-source"
"""Topic, partition and offset of the record, with slashes."""
LETTER_TIME: Final = "famulus-source-time"
"""When the record was written there, in seconds since the Unix epoch."""
LETTER_CUT: Final = "famulus-truncated"
"""Only of a letter that is not whole: the length of the whole value."""
REDRIVEN: Final = "famulus-redriven"
"""Of a record that was sent again: the id of the letter that it had become first."""
FORWARDED: Final = "famulus-forwarded-from"
"""Of a record that was put onto the partition of its run: where it was before."""


class LetterPlace(NamedTuple):
    """Where a letter stands in the list of all."""

    at: float
    letter_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterSummary:
    """A record that could not be handled, without its bytes."""

    letter_id: str
    """Follows from the record: one that became a dead letter twice has one id."""
    at: float
    """When the record was written to its topic, in seconds since the Unix epoch."""
    code: str
    reason: str
    topic: str
    """Where the record came from; a text that anybody may have written."""
    partition: int
    offset: int
    run_id: str | None = None
    """That the record names, if it does."""
    value_bytes: int | None = None
    """Of the value, all of it; ``None``: it has none."""
    is_cut: bool = False
    """Key, value and headers are not whole: the record was too large for the topic of dead letters."""
    redriven_from: str | None = None
    """The letter that the record was, if it has been one before."""

    @property
    def place(self) -> LetterPlace:
        return LetterPlace(self.at, self.letter_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    summary: LetterSummary
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    """The record's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterMark:
    """What somebody has done about a letter."""

    state: str
    """``open``, ``redriven`` or ``dropped``."""
    by: str = ""
    at: float = 0.0
    """Seconds since the Unix epoch, to the microsecond."""
    note: str | None = None


OPEN: Final = LetterMark(state="open")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedLetter:
    summary: LetterSummary
    mark: LetterMark


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLetter:
    letter: DeadLetter
    mark: LetterMark


class DeadLetterStore(Protocol):
    """Dead letters as they were read from their topic, with what was done about them. They expire as runs do."""

    async def put(self, letter: DeadLetter) -> None:
        """Store a letter; what is stored under its id already stays, and so does its mark."""
        ...

    async def get(self, letter_id: str) -> StoredLetter | None: ...

    async def newest(self, *, limit: int, before: LetterPlace | None = None) -> Sequence[ListedLetter]:
        """Letters by time and id, highest first, strictly below the given place."""
        ...

    async def mark(self, letter_id: str, mark: LetterMark) -> None:
        """Mark a letter; of two marks the one with the later time stays."""
        ...


# -- limits ----------------------------------------------------------------------------------------------------------


class Limits(Protocol):
    """Turns of implementations that may not run as often as they like, over all workers."""

    async def take(self, limit: Limit, lease: str) -> float:
        """Take a turn under the name of the lease. 0: it is taken; else: seconds after which it is worth asking again.

        Not longer than `famulus.flow.turns.LEASE_SECONDS` unless it is renewed, for its worker may have died. Who has
        the turn keeps it and takes no other. Raises `LimitsUnavailableError`, at once while the server is known to be
        away; the turn may have been taken then.
        """
        ...

    async def renew(self, held: Mapping[str, str]) -> None:
        """These leases (lease -> name of the limit) go on, also if they were forgotten. Errors as `take`."""
        ...

    async def give_back(self, name: str, lease: str) -> None:
        """The turn is over. Never raises: what is left behind expires. What nobody has taken is given back in vain."""
        ...


# -- progress --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an attempt is, as it has told itself."""

    fraction: float
    """From 0 to 1."""
    text: str
    at: float


class ProgressBoard(Protocol):
    """The last progress of steps that run: for people who watch, and nothing is decided from it."""

    async def show(self, run_id: RunId, step_id: StepId, progress: Progress) -> None:
        """The last call for a step counts, for a while. Never raises."""
        ...

    async def of(self, run_id: RunId) -> Mapping[StepId, Progress]:
        """What is known of the steps of a run. Never raises: what cannot be had is not shown."""
        ...


# -- the topics ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record as it came from a topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp: float = 0.0


class Bus(Protocol):
    """The way to the topics. Each ``send`` hands the record over and returns an awaitable for its acknowledgement.

    The awaitable raises `BusUnavailableError` when the broker did not acknowledge in time.
    """

    def partition_of(self, run_id: RunId) -> int:
        """The partition of the jobs topic that holds the run, by Kafka's default partitioner (murmur2 of the key)."""
        ...

    @property
    def partitions(self) -> int:
        """Of the jobs topic."""
        ...

    async def send_job(
        self, run_id: RunId, value: bytes, *, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Awaitable[None]:
        """A record on the jobs topic with key `run_id`."""
        ...

    async def send_item(
        self, key: str, value: bytes, *, beyond: int = 0, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Awaitable[None]:
        """A record on the items topic, on the partition of its key or so many beyond it, round and round."""
        ...

    async def send_event(self, run_id: RunId, value: bytes) -> Awaitable[None]:
        """A record on the events topic with key `run_id`."""
        ...

    async def send_again(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
    ) -> Awaitable[None]:
        """A record as it was, onto the topic of jobs or items that it came from.

        Raises `InputError` for any other topic: what names it may have been written by anybody.
        """
        ...

    async def send_dead_letter(self, record: Record, *, code: str, reason: str) -> Awaitable[None]:
        """The raw key, value and headers on the dead-letter topic, with code, reason and source position as headers."""
        ...


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the Unix epoch."""
        ...

    async def sleep(self, seconds: float) -> None: ...
