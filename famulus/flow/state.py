"""What the owner of a run knows of it: everything here can be derived from the blueprint and the rows of the run.

`RunState` is changed in place, and only by `famulus.flow.fold`: a run of 10,000 steps must not be copied for each
of them. Everybody else reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from famulus.blueprint.values import ABSENT
from famulus.flow.arrivals import JoinProgress
from famulus.flow.status import STEP_DUE, STEP_ENDED, RunStatus, StepStatus
from famulus.ids import StepId

if TYPE_CHECKING:
    from famulus.blueprint.graph import Graph
    from famulus.flow.facts import ErrorInfo
    from famulus.ids import NodeId, RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class StepState:
    step_id: StepId
    node_id: NodeId
    status: StepStatus
    attempt: int = 1
    seq: int = -1
    """When it was recorded, within the run; -1 while it is only derived."""
    output: Any = ABSENT
    action: str | None = None
    fired: tuple[int, ...] = ()
    """Positions of the edges that fired, for a completed step."""
    blocked: bool = False
    """Skipped because a predecessor failed, not because a branch was not taken."""
    reason: str | None = None
    error: ErrorInfo | None = None
    worker: str | None = None
    started_at: float | None = None
    ended_at: float | None = None

    @property
    def is_handled(self) -> bool:
        """It failed, and its fallback stands in for it."""
        return self.status is StepStatus.COMPLETED and self.error is not None

    @property
    def is_live(self) -> bool:
        return self.status not in STEP_ENDED

    @property
    def is_due(self) -> bool:
        """It wants a worker now."""
        return self.status in STEP_DUE


@dataclass(slots=True, kw_only=True)
class RunState:
    run_id: RunId
    graph: Graph
    status: RunStatus = RunStatus.RUNNING
    reason: str | None = None
    ended_at: float | None = None
    steps: dict[StepId, StepState] = field(default_factory=dict)
    """Recorded steps, and those that are due."""
    context: dict[str, Any] = field(default_factory=dict)
    """Every key that the run can see: the input, what nodes wrote, outputs under their node's id, `_inputs.*`."""
    bound: set[NodeId] = field(default_factory=set)
    """Nodes that read `_inputs.<id>` whatever their `inputs` say: an edge with a transform fired into them."""
    joins: dict[StepId, JoinProgress] = field(default_factory=dict)
    """Who has come to the joins that have not been decided yet."""
    calls: dict[StepId, JoinProgress] = field(default_factory=dict)
    """Of fallbacks that have not been decided yet: which nodes need them (fired), and which will not (dead)."""
    pending_joins: set[StepId] = field(default_factory=set)
    """Joins and fallbacks that the arrivals decide, and that wait for the count."""
    live: int = 0
    """Steps that have not ended."""
    first_failure: StepId | None = None
    next_seq: int = 0

    def speaker_of(self, step: StepState) -> StepState | None:
        """Whose outcome says how a step comes to its successors: its own, or that of the fallback that stands in.

        ``None`` while the fallback has no state yet.
        """
        while step.is_handled:
            fallback = self.graph.fallback_of(step.node_id)
            standing_in = None if fallback is None else self.steps.get(StepId(fallback))
            if standing_in is None:
                return None
            step = standing_in
        return step

    def output_of(self, node_id: str) -> Any:
        """The output of a completed node of the top level, null where it gave none; else `ABSENT`."""
        step = self.steps.get(node_id)  # type: ignore[call-overload]  # at the top level a step id is the node id
        return ABSENT if step is None or step.status is not StepStatus.COMPLETED else step.output

    def read(self, key: str) -> Any:
        """A context key as a node or an `inputs` text names it, `_outputs.<id>` included; `ABSENT` if there is none."""
        value = self.context.get(key, ABSENT)
        if value is ABSENT and key.startswith("_outputs."):
            return self.output_of(key.removeprefix("_outputs."))
        return value

    def user_context(self) -> Mapping[str, Any]:
        """The keys that belong to the result: none with a leading underscore."""
        return {key: value for key, value in self.context.items() if not key.startswith("_")}
