"""Who waits for a run: what a start record and the birth of a child say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from famulus.ids import RunId, StepId

if TYPE_CHECKING:
    from famulus.ports import RunBirth


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    run_id: RunId
    step_id: StepId
    depth: int = 1
    """How many runs the child is nested in."""

    def as_json(self) -> bytes:
        return msgspec.json.encode(self)


def parent_of(birth: RunBirth) -> Parent | None:
    return None if birth.parent is None else msgspec.json.decode(birth.parent, type=Parent)
