"""What an explanation is made from besides the state of the run: its events, and what live servers say.

What comes from live servers may be unknown; then less is said, and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from famulus.ids import RunId, StepId

if TYPE_CHECKING:
    from famulus.engine.reading import EventView

_TELLS_A_STEP: Final = "step."
_ASKED: Final = frozenset({"step.retry_requested"})
_RUN_GOES_ON: Final = frozenset({"run.unpaused", "run.cancelled", "run.failed", "run.completed"})


class Paused(NamedTuple):
    by: str
    at: float
    reason: str | None


@dataclass(slots=True)
class History:
    """When steps came to be as they are, and who paused the run; taken from its events, in order."""

    began_at: float | None = None
    paused: Paused | None = None
    steps: dict[StepId, float] = field(default_factory=dict)

    def take(self, events: Iterable[EventView]) -> None:
        for event in events:
            if self.began_at is None:
                self.began_at = event.at
            if event.type == "run.paused":
                self.paused = Paused(str(event.data.get("by", "")), event.at, event.data.get("reason"))
            elif event.type in _RUN_GOES_ON:
                self.paused = None
            elif event.type.startswith(_TELLS_A_STEP) and event.type not in _ASKED:
                step_id = event.data.get("step")
                if step_id is not None:
                    self.steps[StepId(step_id)] = event.at
            elif event.type == "batch.scattered":
                self.steps[StepId(event.data["step"])] = event.at


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionFacts:
    """Of the partition of the jobs topic that holds the run."""

    topic: str
    partition: int
    group: str
    members: int
    """Workers in the group."""
    is_settled: bool
    """It is settled who has which partition."""
    is_owned: bool | None
    """Somebody has the partition; ``None``: the broker does not say."""
    owner: str | None
    """As its client calls itself, if that is known."""
    unread: int | None
    """Records that are not acknowledged; ``None``: unknown."""

    @property
    def is_orphaned(self) -> bool:
        """Nobody has the partition, as far as is known."""
        return not self.members or self.is_owned is False


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFacts:
    """Of an implementation that may not run as often as it likes."""

    leases: Sequence[str]
    """Of the attempts that have a turn now: worker, run, step and attempt, with slashes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is known of the world around the run at this moment."""

    partition: PartitionFacts | None = None
    children: Mapping[RunId, str] = field(default_factory=dict)
    """Status of each child run that is recorded."""
    turns: Mapping[str, TurnFacts] = field(default_factory=dict)
    """By implementation; only of those that have limits and are in use."""
    at_work: Container[StepId] | None = None
    """Steps that have an attempt in this process; ``None``: the run is not this worker's, or it is not known."""
    registered: Container[str] | None = None
    """Implementations of the worker that owns the run; ``None``: unknown."""
