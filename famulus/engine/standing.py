"""What a live step is at, in words for those who look: what it waits for, until when, how far its items are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from famulus.flow.status import StepStatus
from famulus.flow.waiting import ForChild, ForSignal, ForTimer, ForWebhook
from famulus.ids import StepId

if TYPE_CHECKING:
    from famulus.flow.state import StepState
    from famulus.ports import StepRow

_DONE: Final = frozenset({StepStatus.COMPLETED, StepStatus.SKIPPED})
_LOST: Final = frozenset({StepStatus.FAILED, StepStatus.CANCELLED})


def waiting_view(step: StepState) -> dict[str, Any] | None:
    """What the step waits for: its `kind`, and what belongs to that."""
    if not step.is_live:
        return None
    match step.waiting_for:
        case ForTimer():
            return {"kind": "timer"}
        case ForSignal(signal=signal, timeout_action=action, form=form):
            return {"kind": "signal", "signal": signal, "timeout_action": action, "form": form}
        case ForWebhook(timeout_action=action, form=form, token_expires_at=until):
            return {"kind": "webhook", "timeout_action": action, "form": form, "token_expires_at": until}
        case ForChild(run_id=run_id, blueprint_id=blueprint_id):
            return {"kind": "child", "run_id": run_id, "blueprint_id": blueprint_id}
        case _:
            return {"kind": "items"} if step.batch is not None else None


class ItemCounts:
    """How many items of each batch have ended, and how."""

    def __init__(self, steps: Iterable[StepState], rows: Iterable[StepRow]) -> None:
        self._sizes = {step.step_id: step.batch.count for step in steps if step.batch is not None}
        self._counts: Counter[tuple[StepId, StepStatus]] = Counter()
        for row in rows if self._sizes else ():
            batch_id = StepId(row.step_id.rpartition("[")[0])
            if batch_id in self._sizes and row.step_id.endswith("]"):
                self._counts[batch_id, StepStatus(row.status)] += 1

    def of(self, step: StepState) -> dict[str, int] | None:
        """``None`` for a step without items."""
        size = self._sizes.get(step.step_id)
        if size is None:
            return None
        return {
            "count": size,
            "done": sum(self._counts[step.step_id, status] for status in _DONE),
            "failed": sum(self._counts[step.step_id, status] for status in _LOST),
        }
