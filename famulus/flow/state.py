"""What the owner of a run knows of it: everything here can be derived from the blueprint and the rows of the run.

`RunState` is changed in place, and only by `famulus.flow.fold`: a run of 10,000 steps must not be copied for each
of them. Everybody else reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from famulus.blueprint.values import ABSENT
from famulus.flow.arrivals import JoinProgress
from famulus.flow.limits import RunLimits
from famulus.flow.status import RUN_ENDED, STEP_DUE, STEP_ENDED, RunStatus, StepStatus
from famulus.flow.waiting import TimerKey, TimerKind
from famulus.ids import NodeId, StepId

if TYPE_CHECKING:
    from famulus.blueprint.graph import Graph
    from famulus.flow.batches import BatchProgress, BatchSpec
    from famulus.flow.facts import ErrorInfo
    from famulus.flow.suspicion import Suspicion
    from famulus.flow.waiting import WaitingFor
    from famulus.ids import RunId


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
    first_started_at: float | None = None
    """When the first attempt began, for a step that has had several or was suspended."""
    item: int | None = None
    """Which item of a batch it is, from 0."""
    batch: BatchSpec | None = None
    """The items that it has, for a `batch-scatter` or `map`."""
    waiting_for: WaitingFor | None = None
    wake_at: float | None = None
    """When its delay, its sleep or the time that it waits for is over."""
    since: int | None = None
    """When it was first recorded so, for a step with items that has been recorded again since."""
    suspicion: Suspicion | None = None
    """That it may have killed the process that ran it (`famulus.flow.suspicion`)."""

    @property
    def is_handled(self) -> bool:
        """It failed, and its fallback stands in for it."""
        return self.status is StepStatus.COMPLETED and self.error is not None

    @property
    def is_compensation(self) -> bool:
        """It undoes another step. Its node may be reached by edges as well, in a step of its own."""
        return is_undoing(self.step_id)

    @property
    def is_live(self) -> bool:
        return self.status not in STEP_ENDED

    @property
    def is_due(self) -> bool:
        """It wants a worker now."""
        return self.status in STEP_DUE and self.wake_at is None

    @property
    def is_active(self) -> bool:
        """It goes on without anybody from outside: it runs, or will when its turn or the delay before it is over."""
        return self.status in STEP_DUE


def is_undoing(step_id: StepId) -> bool:
    """Whether the step is a compensation, or an item of one."""
    return "~" in step_id


class Ending(NamedTuple):
    """How a run will end once its completed steps have been compensated."""

    status: RunStatus
    reason: str | None


class Compensation(NamedTuple):
    """A completed step that a node is there to undo."""

    step_id: StepId
    by: NodeId
    output: Any

    @property
    def undo_step_id(self) -> StepId:
        return StepId(f"{self.by}~{self.step_id}")


@dataclass(slots=True, kw_only=True)
class RunState:
    run_id: RunId
    graph: Graph
    limits: RunLimits = field(default_factory=RunLimits)
    status: RunStatus = RunStatus.RUNNING
    reason: str | None = None
    created_at: float = 0.0
    ended_at: float | None = None
    ending: Ending | None = None
    """Steps are being compensated."""
    steps: dict[StepId, StepState] = field(default_factory=dict)
    """Recorded steps, and those that are due: of each node the latest one, of batches the items that are live."""
    context: dict[str, Any] = field(default_factory=dict)
    """Every key that the run can see: the input, what nodes wrote, outputs under their node's id, `_inputs.*`."""
    outputs: dict[NodeId, Any] = field(default_factory=dict)
    """The latest output of each node that has completed."""
    bound: set[NodeId] = field(default_factory=set)
    """Nodes that read `_inputs.<id>` whatever their `inputs` say: an edge with a transform fired into them."""
    joins: dict[StepId, JoinProgress] = field(default_factory=dict)
    """Who has come to the joins that have not been decided yet."""
    calls: dict[StepId, JoinProgress] = field(default_factory=dict)
    """Of fallbacks that have not been decided yet: which nodes need them (fired), and which will not (dead)."""
    join_nodes: dict[StepId, NodeId] = field(default_factory=dict)
    """The node of each undecided join or fallback."""
    pending_joins: set[StepId] = field(default_factory=set)
    """Joins and fallbacks that the arrivals decide, and that wait for the count."""
    live: int = 0
    """Steps that have not ended."""
    active: int = 0
    """Of these, steps that go on without anybody from outside."""
    started: int = 0
    """Steps that were ever started."""
    failures: dict[StepId, None] = field(default_factory=dict)
    """Steps that have failed with nothing to stand in for them, in order."""
    next_seq: int = 0
    rounds: dict[NodeId, int] = field(default_factory=dict)
    """Of each loop, by its controller: the round that it is in."""
    turned: dict[NodeId, frozenset[NodeId]] = field(default_factory=dict)
    """Of each loop: the nodes at which its present round began."""
    turned_at: dict[NodeId, float] = field(default_factory=dict)
    """Of each loop: when its present round began."""
    left: dict[NodeId, dict[NodeId, float]] = field(default_factory=dict)
    """Of nodes of loops that go on: nodes outside that an edge has fired into, in any round, and when it first did."""
    reentered: dict[NodeId, NodeId] = field(default_factory=dict)
    """Nodes where a round began that were entered otherwise the first time, with the controller that began it."""
    busy: dict[NodeId, int] = field(default_factory=dict)
    """Of each loop: steps of its body that are live, and joins of it that wait for the count."""
    batches: dict[StepId, BatchProgress] = field(default_factory=dict)
    """Batches whose results are still needed."""
    generations: dict[NodeId, int] = field(default_factory=dict)
    """Nodes that were run again on request: how often."""
    forced: set[NodeId] = field(default_factory=set)
    """Nodes that start on request or at a deadline, whatever comes to them, until that is recorded."""
    rearmed_at: dict[NodeId, float] = field(default_factory=dict)
    """Nodes that were armed anew on request: when."""
    timers: dict[TimerKey, float] = field(default_factory=dict)
    """When something becomes due, in seconds since the Unix epoch."""
    compensations: dict[StepId, Compensation] = field(default_factory=dict)
    """Completed steps that can be undone, in the order of their completion."""

    def __post_init__(self) -> None:
        timeout = self.graph.run_timeout_ms
        if timeout is not None and self.status not in RUN_ENDED:
            self.timers[TimerKey(TimerKind.RUN, StepId(""))] = self.created_at + timeout / 1000

    # -- nodes and steps ---------------------------------------------------------------------------------------------

    def step_id_of(self, node_id: NodeId) -> StepId:
        """The id of a node's step as things stand: in the present round of the loops that it lies in."""
        names = self.graph.step_names
        name = names.get(node_id, node_id) if names else node_id
        if not self.graph.loops and not self.generations:
            return StepId(name)
        around = self.graph.loops_around(node_id)
        places = [f"{names.get(controller, controller)}[{self.rounds.get(controller, 0)}]" for controller in around]
        if node_id in self.graph.loops:
            name = f"{name}[{self.rounds.get(node_id, 0) + 1}]"
        elif around:
            name = f"{name}[{self.rounds.get(around[-1], 0)}]"
            places.pop()
        generation = self.generations.get(node_id)
        if generation:
            name = f"{name}#{generation + 1}"
        return StepId(".".join((*places, name)))

    def step_of(self, node_id: NodeId) -> StepState | None:
        """The present step of a node, if there is one."""
        return self.steps.get(self.step_id_of(node_id))

    def predecessors(self, node_id: NodeId) -> tuple[NodeId, ...]:
        """The nodes whose arrivals decide about the present step of a node."""
        loop = self.graph.loops.get(node_id)
        if loop is not None and self.rounds.get(node_id):
            return loop.back
        controller = self.reentered.get(node_id)
        again = None if controller is None else self.graph.round_predecessors(controller, node_id)
        return self.graph.predecessors(node_id) if again is None else again

    def is_counted(self, node_id: NodeId) -> bool:
        """Whether more than one thing decides about the present step of a node."""
        if self.reentered.get(node_id) is not None:
            return len(self.predecessors(node_id)) > 1 or node_id in self.graph.fallback_for
        return self.graph.is_counted(node_id) or bool(self.rounds.get(node_id))

    def is_untouched(self, node_id: NodeId) -> bool:
        """Whether a start node is to be started by the run itself, rather than by a round of a loop."""
        return not self.rounds.get(node_id) and not any(self.rounds.get(c) for c in self.graph.loops_around(node_id))

    def place_of_turn(self, node_id: NodeId) -> int:
        """Loops that go round come after all other nodes, inner ones before those around them."""
        if not self.rounds.get(node_id):
            return 0
        return 1_000_000 - len(self.graph.loops_around(node_id))

    def targets(self, node_id: NodeId) -> tuple[NodeId, ...]:
        """The nodes that a node comes to when it has ended, as things stand."""
        onward = self.graph.successors(node_id)
        after = self.graph.controllers_after(node_id)
        if not after:
            return onward
        going_round = tuple(controller for controller in after if self.rounds.get(controller))
        return (*(target for target in onward if target not in going_round), *going_round)

    def speaker_of(self, step: StepState) -> StepState | None:
        """Whose outcome says how a step comes to its successors: its own, or that of the fallback that stands in.

        ``None`` while the fallback has no state yet.
        """
        while step.is_handled:
            fallback = self.graph.fallback_of(step.node_id)
            standing_in = None if fallback is None else self.step_of(fallback)
            if standing_in is None:
                return None
            step = standing_in
        return step

    # -- values ------------------------------------------------------------------------------------------------------

    def output_of(self, node_id: str) -> Any:
        """The latest output of a node that has completed, null where it gave none; else `ABSENT`."""
        return self.outputs.get(NodeId(node_id), ABSENT)

    def read(self, key: str) -> Any:
        """A context key as a node or an `inputs` text names it, `_outputs.<id>` included; `ABSENT` if there is none."""
        value = self.context.get(key, ABSENT)
        if value is ABSENT and key.startswith("_outputs."):
            return self.output_of(key.removeprefix("_outputs."))
        return value

    def user_context(self) -> Mapping[str, Any]:
        """The keys that belong to the result: none with a leading underscore."""
        return {key: value for key, value in self.context.items() if not key.startswith("_")}

    @property
    def first_failure(self) -> StepId | None:
        return next(iter(self.failures), None)
