"""What follows from a fact. Decisions are imperative; `famulus.flow.fold` and the engine carry them out.

The first four are to be recorded together, in one batch; the others follow once that batch is durable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from famulus.flow.arrivals import Arrival
from famulus.flow.state import StepState
from famulus.flow.status import RunStatus
from famulus.ids import NodeId, StepId


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
class RunStep:
    """The step is due: put it on the jobs topic, and start it."""

    step_id: StepId
    node_id: NodeId
    attempt: int = 1
    delay_ms: int = 0


@dataclass(frozen=True, slots=True)
class StopStep:
    """Whatever runs for this step is not wanted any more."""

    step_id: StepId


@dataclass(frozen=True, slots=True)
class ArriveAtJoin:
    """Predecessors have come to the join; have them counted and report `JoinCounted`."""

    step_id: StepId
    arrivals: Mapping[NodeId, Arrival]


@dataclass(frozen=True, slots=True)
class CallFallback:
    """Nodes that name this one as their fallback have ended; fired: they need it. Report `JoinCounted` too."""

    step_id: StepId
    calls: Mapping[NodeId, Arrival]


Decision: TypeAlias = (
    RecordStep | WriteContext | RecordEvent | SetStatus | RunStep | StopStep | ArriveAtJoin | CallFallback
)
