"""What is recorded of runs, kept as it comes: the facts of each, and where its steps stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from famulus.adapters.memory import MemoryRunStore
from famulus.engine.rows import decode, step_state
from famulus.flow.status import RUN_ENDED, RunStatus
from famulus.ids import RunId, StepId

if TYPE_CHECKING:
    from famulus.flow.state import StepState
    from famulus.ports import Commit, RunBirth


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that happened in a run."""

    run_id: str
    seq: int
    type: str
    """As in docs/reference/events.md: ``step.completed``."""
    at: float
    """Seconds since the first run was started, of virtual time."""
    data: Mapping[str, Any]

    @property
    def step(self) -> str | None:
        return self.data.get("step")

    @property
    def node(self) -> str | None:
        return self.data.get("node")

    def __str__(self) -> str:
        return f"{self.type} {self.step or ''}".rstrip()


@dataclass(slots=True, kw_only=True)
class RunRecord:
    """A run as its rows tell it."""

    birth: RunBirth
    status: RunStatus
    reason: str | None = None
    facts: list[Fact] = field(default_factory=list)
    steps: dict[StepId, StepState] = field(default_factory=dict)
    """Every step that was recorded, those of earlier rounds of a loop and the items of batches too."""

    @property
    def has_ended(self) -> bool:
        return self.status in RUN_ENDED


class RecordedRuns(MemoryRunStore):
    """Keeps `famulus.ports.RunStore`, and what was stored in the order in which it was."""

    def __init__(self, *, epoch: float) -> None:
        """`epoch`: the time at which the times of facts begin."""
        super().__init__()
        self.runs: dict[RunId, RunRecord] = {}
        self.facts: list[Fact] = []
        """Of all runs, in the order in which they were stored."""
        self.batches = 0
        """How many were stored."""
        self.stored: Callable[[Commit], object] = lambda _: None
        self.epoch = epoch

    async def commit(self, commit: Commit) -> None:
        await super().commit(commit)
        run_id = commit.birth.run_id
        status = RunStatus(commit.head.status)
        run = self.runs.setdefault(run_id, RunRecord(birth=commit.birth, status=status))
        run.status, run.reason = status, commit.head.reason
        for row in commit.steps:
            run.steps[row.step_id] = step_state(row)
        new = [
            Fact(run_id, row.seq, row.type, row.at - self.epoch, decode(row.data))
            for row in commit.events
            if not run.facts or row.seq > run.facts[-1].seq  # a batch whose answer was lost is stored again
        ]
        run.facts += new
        self.facts += new
        self.batches += 1
        self.stored(commit)
