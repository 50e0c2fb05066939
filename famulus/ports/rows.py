"""The rows of a run, and the batch that writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from famulus.ids import UNSTAMPED, BlueprintId, Digest, NodeId, RunId, Stamp, StepId


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
    """A run as it is stored, before seals are applied (see `famulus.engine.seals`). Rows in no particular order.

    Of a step, a key or an event there are as many rows as owners, each with an epoch of its own, wrote it.
    """

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
