"""No run goes beyond its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from famulus.engine.audit.subject import Subject


def limits(subject: Subject) -> None:
    """Those of the blueprint always; those of the worker only if they are given, for they may have changed since."""
    if subject.state is None or subject.migrated_at >= 0:
        return
    for controller, rounds in subject.state.rounds.items():
        most = subject.graph.node(controller).params.get("maxRounds")
        given = subject.limits
        allowed = [limit for limit in (most, given and given.rounds) if isinstance(limit, int | float)]
        if allowed and rounds > min(allowed):
            message = f"it has gone round {rounds} times, and may {min(allowed):g}"
            subject.deviates(subject.state.step_id_of(controller), "limit.rounds", message)
    if subject.limits is not None and subject.state.started > subject.limits.steps:
        message = f"the run has started {subject.state.started} steps, and may {subject.limits.steps}"
        subject.deviates(None, "limit.steps", message)
