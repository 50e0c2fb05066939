"""The board that shows how far steps are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from famulus.ids import RunId, StepId


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an attempt is, as it has told itself."""

    fraction: float
    """From 0 to 1."""
    text: str
    at: float


class ProgressBoard(Protocol):
    """The last progress of steps that run: for people who watch, and nothing is decided from it."""

    async def show(self, run_id: RunId, step_id: StepId, progress: Progress) -> None:
        """The last call for a step counts, for a while. Never raises."""
        ...

    async def of(self, run_id: RunId) -> Mapping[StepId, Progress]:
        """What is known of the steps of a run. Never raises: what cannot be had is not shown."""
        ...
