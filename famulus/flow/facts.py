"""What happened. Facts are in the past tense; times are seconds since the Unix epoch, given by who reports the fact.

A fact may be reported twice, late, or by somebody who no longer knows the run: `advance` finds out from the state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from famulus.flow.arrivals import Arrivals
from famulus.flow.batches import BatchSpec
from famulus.flow.status import RunStatus, StepStatus
from famulus.flow.waiting import TimerKey, WaitingFor
from famulus.ids import RunId, StepId


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorInfo:
    """An error of a node, as it is recorded."""

    type: str
    message: str
    traceback: str = ""
    """The node's own frames only."""
    bases: tuple[str, ...] = ()
    """Names of the base classes of the error, nearest first, for `retryOn` and `neverRetryOn`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    at: float
    not_before: float | None = None
    """The run is to wait until then."""
    by: str | None = None
    """Who started it, if that was said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTaken:
    """A worker has been at the step long enough to record it as running."""

    step_id: StepId
    attempt: int
    worker: str
    started_at: float
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSucceeded:
    step_id: StepId
    attempt: int
    output: Any
    """JSON value; null where the node gave none."""
    action: str | None
    changes: Mapping[str, Any]
    """Context keys the node has written; `ABSENT` means deleted."""
    started_at: float
    at: float
    worker: str | None = None
    """Who ran the attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailed:
    step_id: StepId
    attempt: int
    error: ErrorInfo
    retryable: bool
    changes: Mapping[str, Any]
    started_at: float
    at: float
    worker: str | None = None
    fatal: bool = False
    """The blueprint cannot be carried out here, so no fallback stands in."""
    retry_after_ms: int | None = None
    """The node asked to be tried again after so long (`RetryAfter`), whatever its retry policy says of the delay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSuspended:
    """An attempt has come to a point where only time or the outside world lets it go on; it holds no worker."""

    step_id: StepId
    attempt: int
    status: StepStatus
    """`SLEEPING` or `WAITING`."""
    waiting_for: WaitingFor
    wake_at: float | None
    """Seconds since the Unix epoch; ``None``: time alone does not end it."""
    output: Any
    """What the step gives when it goes on without an output; `ABSENT`: nothing."""
    started_at: float
    at: float
    worker: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchScattered:
    """A `batch-scatter` or `map` step has its items: they may run now, as steps of their own."""

    step_id: StepId
    attempt: int
    spec: BatchSpec
    items: Sequence[Any]
    started_at: float
    at: float
    worker: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerDue:
    """The time has come that a step, a join or the run itself was waiting for (`RunState.timers`)."""

    key: TimerKey
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResumed:
    """Somebody lets a waiting step go on: a resume, a webhook call."""

    step_id: StepId
    output: Any
    """`ABSENT`: none was given; null counts as given."""
    action: str | None
    by: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalReceived:
    """A signal for whichever `wait` of the run has its name, now or later."""

    name: str
    payload: Any
    by: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildEnded:
    """The child run that a step waits for has come to its end."""

    step_id: StepId
    child: RunId
    status: RunStatus
    output: Any
    """Of the step, if the child completed."""
    changes: Mapping[str, Any]
    """Context keys that the child's outputs are mapped to."""
    reason: str | None
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimited:
    """Somebody changes the limits of a batch while it runs; ``None``: as it was."""

    step_id: StepId
    max_concurrency: int | None
    tolerated_failures: int | str | None
    by: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepParked:
    """The step cannot be run here and now, through no fault of its own."""

    step_id: StepId
    attempt: int
    reason: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUnparked:
    """What parked the step is gone."""

    step_id: StepId
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsInherited:
    """A new owner finds steps due that may have run under an earlier one, which is gone."""

    steps: tuple[StepId, ...]
    crash_budget: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepQuarantined:
    """A step that may have killed its process is about to start."""

    step_id: StepId
    attempt: int
    epoch: int
    """Of the owner that starts it."""
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReleased:
    """A step in quarantine has lasted, or its owner gives it up and is alive to say so."""

    step_id: StepId
    attempt: int
    has_lasted: bool
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinCounted:
    """The arrivals at a join have been counted, at least up to these numbers."""

    step_id: StepId
    counts: Arrivals
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested:
    by: str
    reason: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRequested:
    """Start no step from now on; what runs comes to its end."""

    by: str
    reason: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpauseRequested:
    by: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRequested:
    """Try a failed or parked step again, with one attempt more than it had; ``None``: every one of the run."""

    step_id: StepId | None
    by: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RerunRequested:
    """Run a step that has ended, and everything behind it, once more, with these changes to the context."""

    step_id: StepId
    changes: Mapping[str, Any]
    by: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRefused:
    """A command was not carried out; the run is as it was."""

    command: str
    by: str
    reason: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRefused:
    """Somebody started the run again with another input or blueprint."""

    detail: str
    at: float


Fact: TypeAlias = (
    RunStarted
    | StepTaken
    | StepSucceeded
    | StepFailed
    | StepSuspended
    | BatchScattered
    | TimerDue
    | StepResumed
    | SignalReceived
    | ChildEnded
    | BatchLimited
    | StepParked
    | StepUnparked
    | StepsInherited
    | StepQuarantined
    | StepReleased
    | JoinCounted
    | CancelRequested
    | PauseRequested
    | UnpauseRequested
    | RetryRequested
    | RerunRequested
    | CommandRefused
    | StartRefused
)
