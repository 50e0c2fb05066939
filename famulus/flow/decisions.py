"""What follows from a fact. Decisions are imperative; `famulus.flow.fold` and the engine carry them out.

`advance` carries each into the state of the run at once. The first six are to be recorded together, in one batch; the
others follow once that batch is durable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from famulus.flow.arrivals import Arrival
from famulus.flow.state import StepState
from famulus.flow.status import RunStatus
from famulus.flow.waiting import ForChild
from famulus.ids import NodeId, RunId, StepId

REARM_PREFIX: Final = "_rearm."
ChildCommand: TypeAlias = Literal["cancel", "pause", "unpause"]


@dataclass(frozen=True, slots=True)
class RecordStep:
    step: StepState


@dataclass(frozen=True, slots=True)
class WriteContext:
    key: str
    value: Any
    """`ABSENT`: delete the key."""
    seq: int


@dataclass(frozen=True, slots=True)
class RecordEvent:
    type: str
    data: Mapping[str, Any]
    at: float
    seq: int


@dataclass(frozen=True, slots=True)
class SetStatus:
    status: RunStatus
    reason: str | None
    at: float


@dataclass(frozen=True, slots=True)
class SetEnding:
    """The run will end so, once its completed steps have been compensated."""

    status: RunStatus
    reason: str | None


@dataclass(frozen=True, slots=True)
class Rearm:
    """Let these nodes run again; recorded as the context row of its key.

    Their present steps and what has come to them are forgotten.
    """

    nodes: tuple[NodeId, ...]
    afresh: bool
    """Their steps are new ones with ids of their own; otherwise they are recorded over the earlier ones."""
    forced: tuple[NodeId, ...]
    """Nodes that start whatever comes to them."""
    seq: int
    at: float = 0.0
    """The deadlines of joins count from then, if not from later."""

    @property
    def key(self) -> str:
        return f"{REARM_PREFIX}{self.seq}"


@dataclass(frozen=True, slots=True)
class RunStep:
    """The step is due: put it on the jobs topic, and start it."""

    step_id: StepId
    node_id: NodeId
    attempt: int = 1
    item: int | None = None


@dataclass(frozen=True, slots=True)
class StopStep:
    """Whatever runs for this step is not wanted any more."""

    step_id: StepId


@dataclass(frozen=True, slots=True)
class StartChild:
    """Start the run that a step waits for; starting it again changes nothing."""

    step_id: StepId
    waiting_for: ForChild


@dataclass(frozen=True, slots=True)
class TellChild:
    """Pass a command on to the run that a step waits for."""

    step_id: StepId
    run_id: RunId
    command: ChildCommand


@dataclass(frozen=True, slots=True)
class ArriveAtJoin:
    """Predecessors have come to the join; have them counted and report `JoinCounted`."""

    step_id: StepId
    node_id: NodeId
    arrivals: Mapping[NodeId, Arrival]
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class CallFallback:
    """Nodes that name this one as their fallback have ended; fired: they need it. Report `JoinCounted` too."""

    step_id: StepId
    node_id: NodeId
    calls: Mapping[NodeId, Arrival]


Decision: TypeAlias = (
    RecordStep
    | WriteContext
    | RecordEvent
    | SetStatus
    | SetEnding
    | Rearm
    | RunStep
    | StopStep
    | StartChild
    | TellChild
    | ArriveAtJoin
    | CallFallback
)
