"""What a suspended step waits for, and the times at which something becomes due."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

from famulus.ids import BlueprintId, RunId, StepId


class TimerKind(StrEnum):
    STEP = "step"
    """A sleep, the delay before an attempt, the deadline of a wait."""
    JOIN = "join"
    """The deadline of a join that has no step yet."""
    RUN = "run"
    """The time-out of the run."""
    START = "start"
    """The time at which a run that was started for later begins."""


class TimerKey(NamedTuple):
    """What a time belongs to. One key has one time at most."""

    kind: TimerKind
    step_id: StepId
    """Of the step or join; empty for what belongs to the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForTimer:
    """`sleep`: until `StepState.wake_at`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForSignal:
    """`wait`: for a signal of this name or a resume; without a name for a resume alone."""

    signal: str | None = None
    timeout_action: str | None = None
    """What the step gives as its action when its deadline passes; ``None``: it fails then."""
    form: Mapping[str, Any] | None = None
    """JSON Schema that what resumes it has to fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForWebhook:
    """`webhook`: for a call of a URL with a token that works once."""

    token_digest: str
    """SHA-256 of the token, hexadecimal."""
    timeout_action: str | None = None
    form: Mapping[str, Any] | None = None
    token_expires_at: float | None = None
    """Calls that come then or later are refused, and the step waits on; ``None``: none is while it waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForChild:
    """`subflow`: for a run of its own."""

    run_id: RunId
    blueprint_id: BlueprintId
    version: str
    input: Mapping[str, Any]
    """The initial context of the child."""


WaitingFor: TypeAlias = ForTimer | ForSignal | ForWebhook | ForChild


class ChildStart(NamedTuple):
    """A child run as its parent starts it."""

    run_id: RunId
    blueprint_id: BlueprintId
    version: str
    input: Mapping[str, Any]
    parent_step: StepId
