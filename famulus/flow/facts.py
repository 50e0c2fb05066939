"""What happened. Facts are in the past tense; times are seconds since the Unix epoch, given by who reports the fact.

A fact may be reported twice, late, or by somebody who no longer knows the run: `advance` finds out from the state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from famulus.flow.arrivals import Arrivals
from famulus.ids import StepId


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorInfo:
    """An error of a node, as it is recorded."""

    type: str
    message: str
    traceback: str = ""
    """The node's own frames only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    at: float


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
class StartRefused:
    """Somebody started the run again with another input or blueprint."""

    detail: str
    at: float


Fact: TypeAlias = (
    RunStarted
    | StepTaken
    | StepSucceeded
    | StepFailed
    | StepParked
    | StepUnparked
    | JoinCounted
    | CancelRequested
    | StartRefused
)
