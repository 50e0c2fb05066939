"""The words for where a run and a step stand."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class RunStatus(StrEnum):
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StepStatus(StrEnum):
    SCHEDULED = "scheduled"
    """Due: every condition for its start is met. Derived from the rows of its predecessors, never stored."""
    RUNNING = "running"
    """Has run long enough to be worth a row; shorter ones go from scheduled to their outcome."""
    RETRYING = "retrying"
    SLEEPING = "sleeping"
    WAITING = "waiting"
    PARKED = "parked"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


RUN_ENDED: Final = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})
STEP_ENDED: Final = frozenset({StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.CANCELLED})
STEP_DUE: Final = frozenset({StepStatus.SCHEDULED, StepStatus.RUNNING, StepStatus.RETRYING})
"""Live and wanting a worker. A step recorded as running is due for every owner that does not run it itself."""
