"""Steps that may have killed their process: held for suspects, marked, released, and set aside in the end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from famulus.flow import facts as f
from famulus.flow import suspicion as held
from famulus.flow.status import StepStatus

if TYPE_CHECKING:
    from famulus.flow.deciding import Deciding
    from famulus.flow.state import StepState
    from famulus.ids import StepId


def decide(on: Deciding, fact: f.StepsInherited | f.StepQuarantined | f.StepReleased) -> None:
    match fact:
        case f.StepsInherited():
            _inherited(on, fact)
        case f.StepQuarantined():
            _quarantined(on, fact)
        case f.StepReleased():
            _released(on, fact)


def _inherited(on: Deciding, fact: f.StepsInherited) -> None:
    for step_id in fact.steps:
        known = on.run.steps.get(step_id)
        if known is None or not known.is_due:
            continue
        suspicion = held.inherited(known.suspicion)
        if suspicion.crashes >= fact.crash_budget:
            _park(on, known, suspicion)
        elif suspicion != known.suspicion:
            status = StepStatus.RETRYING if known.status is StepStatus.SCHEDULED else known.status
            on.record(known, status=status, suspicion=suspicion)
            on.event("step.inherited", on.about(known, times=suspicion.inherited + suspicion.crashes))


def _quarantined(on: Deciding, fact: f.StepQuarantined) -> None:
    known = _suspect(on, fact.step_id, fact.attempt)
    if known is None or known.suspicion is None:
        return
    on.record(known, suspicion=replace(known.suspicion, marked_by=fact.epoch))
    on.event("step.quarantined", on.about(known, alone=known.suspicion.is_alone))


def _released(on: Deciding, fact: f.StepReleased) -> None:
    known = _suspect(on, fact.step_id, fact.attempt)
    if known is None or known.suspicion is None or known.suspicion.marked_by is None:
        return
    let_go = held.released if fact.has_lasted else held.unmarked
    on.record(known, suspicion=let_go(known.suspicion))
    on.event("step.released", on.about(known, lasted=fact.has_lasted))


def _suspect(on: Deciding, step_id: StepId, attempt: int) -> StepState | None:
    known = on.run.steps.get(step_id)
    return known if known is not None and known.is_due and known.attempt == attempt else None


def _park(on: Deciding, known: StepState, suspicion: held.Suspicion) -> None:
    reason = (
        f"the process that ran this step has ended {suspicion.crashes} times while it ran alone in quarantine, and "
        f"{suspicion.inherited} times before: the crash budget (FAMULUS_CRASH_BUDGET) is spent. Mend its code, and "
        f"retry the step"
    )
    on.record(known, status=StepStatus.PARKED, reason=reason, suspicion=suspicion)
    on.event("step.parked", on.about(known, reason=reason))
