"""How the outcome of a step is told, where no attempt reports it, and how it is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from famulus.flow import facts as f
from famulus.flow.deciding import REASON_CHARACTERS, Deciding
from famulus.flow.status import StepStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from famulus.flow.routing import Delivery
    from famulus.flow.state import StepState


def succeeded(
    on: Deciding, known: StepState, output: Any, *, action: str | None = None, started_at: float | None = None
) -> f.StepSucceeded:
    """What a step has come to that waited, or had items."""
    return f.StepSucceeded(
        step_id=known.step_id,
        attempt=known.attempt,
        output=output,
        action=action,
        changes={},
        started_at=_began(on, known) if started_at is None else started_at,
        at=on.at,
        worker=known.worker,
    )


def failed(on: Deciding, known: StepState, error: f.ErrorInfo, *, retryable: bool = False) -> f.StepFailed:
    return f.StepFailed(
        step_id=known.step_id,
        attempt=known.attempt,
        error=error,
        retryable=retryable,
        changes={},
        started_at=_began(on, known),
        at=on.at,
        worker=known.worker,
    )


def _began(on: Deciding, known: StepState) -> float:
    return on.at if known.started_at is None else known.started_at


def record_success(on: Deciding, known: StepState, fact: f.StepSucceeded, deliveries: Sequence[Delivery]) -> None:
    on.record(
        known,
        status=StepStatus.COMPLETED,
        attempt=fact.attempt,
        output=fact.output,
        action=fact.action,
        reason=None,
        error=None,
        fired=tuple(delivery.route.index for delivery in deliveries),
        worker=fact.worker,
        started_at=fact.started_at,
        ended_at=fact.at,
        wake_at=None,
        waiting_for=None,
    )
    on.event("step.completed", on.about(known, attempt=fact.attempt, ms=milliseconds(fact), action=fact.action))


def record_failure(on: Deciding, known: StepState, fact: f.StepFailed, **changes: Any) -> None:
    on.record(
        known,
        attempt=fact.attempt,
        error=fact.error,
        reason=described(fact.error),
        worker=fact.worker,
        started_at=fact.started_at,
        ended_at=fact.at,
        wake_at=None,
        waiting_for=None,
        **changes,
    )


def described(error: f.ErrorInfo) -> str:
    return f"{error.type}: {error.message}"[:REASON_CHARACTERS]


def milliseconds(fact: f.StepSucceeded | f.StepFailed) -> float:
    """How long the attempt took."""
    return round((fact.at - fact.started_at) * 1000, 3)
