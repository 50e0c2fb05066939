"""What the auditor finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from famulus.ids import RunId, StepId


@dataclass(frozen=True, slots=True)
class Deviation:
    """Something that the rows of a run say, and that cannot be so."""

    run_id: RunId
    step_id: StepId | None
    code: str
    """Which rule; a name for machines."""
    message: str
    """What is wrong and what it means, for people."""

    def __str__(self) -> str:
        place = self.run_id if self.step_id is None else f"{self.run_id} {self.step_id}"
        return f"{place}: {self.message} [{self.code}]"
