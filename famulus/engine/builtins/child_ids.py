"""The ids of child runs: they follow from the step that has them, so that starting one again starts nothing."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from famulus.ids import RunId, StepId, is_run_id

_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+(\[[0-9]+\])*")
_NOT_ALLOWED: Final = re.compile(r"[^A-Za-z0-9_-]+")
_NAME_CHARACTERS: Final = 24
_RUN_CHARACTERS: Final = 60


def child_run_id(parent: RunId, step_id: StepId, *, attempt: int = 1) -> RunId:
    """`order-17.ship`, `order-17.resize:3` for an item or round, `order-17.ship:try2` for a second attempt.

    What would not fit into a run id, or could be that of another step too, is told apart by a digest.
    """
    again = f":try{attempt}" if attempt > 1 else ""
    if _PLAIN.fullmatch(step_id):
        run_id = f"{parent}.{step_id.replace('[', ':').replace(']', '')}{again}"
        if is_run_id(run_id):
            return RunId(run_id)
    digest = hashlib.sha256(f"{parent}/{step_id}".encode()).hexdigest()[:32]
    name = _NOT_ALLOWED.sub("-", step_id)[:_NAME_CHARACTERS]
    return RunId(f"{parent[:_RUN_CHARACTERS]}.{name}.{digest}{again}")
