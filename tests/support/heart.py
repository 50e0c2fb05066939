"""A run driven by hand: facts go in, decisions are folded in and kept as the rows that a store would have."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from support.documents import blueprint

from famulus.blueprint import build_graph, digest_of, parse_blueprint
from famulus.blueprint.graph import Graph
from famulus.flow import decisions as d
from famulus.flow import facts as f
from famulus.flow.advance import advance
from famulus.flow.arrivals import Arrivals
from famulus.flow.inputs import resolve
from famulus.flow.rebuild import ContextWrite, rearm_value, rebuild
from famulus.flow.state import RunState, StepState
from famulus.flow.status import RUN_ENDED
from famulus.flow.waiting import TimerKey, TimerKind
from famulus.ids import NodeId, RunId, StepId


def graph_of(nodes: Mapping[str, Any], *edges: tuple[Any, ...], metadata: Mapping[str, Any] | None = None) -> Graph:
    """As `support.world.blueprint`, ready to be executed."""
    parsed = parse_blueprint(blueprint("b", nodes, *edges, metadata=metadata))
    return build_graph(parsed, digest_of(parsed))


class Heart:
    def __init__(self, graph: Graph, initial: Mapping[str, Any] | None = None) -> None:
        self.graph = graph
        self.initial = dict(initial or {})
        self.run = RunState(run_id=RunId("r"), graph=graph, context=dict(self.initial))
        self.step_rows: dict[StepId, StepState] = {}
        self.context_rows: dict[str, ContextWrite] = {}
        self.events: list[d.RecordEvent] = []
        self.decided: list[d.Decision] = []
        self.time = 0.0

    # -- facts -------------------------------------------------------------------------------------------------------

    def tell(self, fact: f.Fact) -> list[d.Decision]:
        """One fact, without what follows from counted joins."""
        decided = advance(self.run, fact)
        for decision in decided:
            match decision:
                case d.RecordStep(step):
                    self.step_rows[step.step_id] = step
                case d.WriteContext(key, value, seq):
                    self.context_rows[key] = ContextWrite(key=key, value=value, seq=seq)
                case d.Rearm(seq=seq):
                    self.context_rows[decision.key] = ContextWrite(
                        key=decision.key, value=rearm_value(decision), seq=seq
                    )
                case d.RecordEvent():
                    self.events.append(decision)
        self.decided += decided
        return decided

    def count_joins(self) -> None:
        """What the engine does after each batch: pending joins are counted, until none is left."""
        while self.run.pending_joins and self.run.status not in RUN_ENDED:
            for step_id in sorted(self.run.pending_joins):
                if step_id in self.run.pending_joins:
                    self.tell(self.counted(step_id))

    def start(self) -> Heart:
        self.tell(f.RunStarted(at=self.now()))
        self.count_joins()
        return self

    def succeed(self, node_id: str, output: Any = None, *, action: str | None = None, **changes: Any) -> None:
        self.tell(self.succeeded(node_id, output, action=action, changes=changes))
        self.count_joins()

    def fail(self, node_id: str, message: str = "boom", *, retryable: bool = True, **changes: Any) -> None:
        self.tell(self.failed(node_id, message, retryable=retryable, changes=changes))
        self.count_joins()

    def cancel(self, reason: str = "enough") -> None:
        self.tell(f.CancelRequested(by="me", reason=reason, at=self.now()))

    def wake(self, step_id: str, kind: TimerKind = TimerKind.STEP) -> None:
        """Let the time pass that the step waits for."""
        key = TimerKey(kind, StepId(step_id))
        self.time = max(self.time, self.run.timers[key])
        self.tell(f.TimerDue(key=key, at=self.now()))
        self.count_joins()

    def succeeded(
        self, node_id: str, output: Any = None, *, action: str | None = None, changes: Mapping[str, Any] | None = None
    ) -> f.StepSucceeded:
        return f.StepSucceeded(
            step_id=StepId(node_id),
            attempt=self.attempt_of(node_id),
            output=output,
            action=action,
            changes=changes or {},
            started_at=self.time,
            at=self.now(),
        )

    def failed(
        self,
        node_id: str,
        message: str = "boom",
        *,
        retryable: bool = True,
        changes: Mapping[str, Any] | None = None,
    ) -> f.StepFailed:
        return f.StepFailed(
            step_id=StepId(node_id),
            attempt=self.attempt_of(node_id),
            error=f.ErrorInfo(type="ValueError", message=message),
            retryable=retryable,
            changes=changes or {},
            started_at=self.time,
            at=self.now(),
        )

    def counted(self, step_id: str, counts: Arrivals | None = None) -> f.JoinCounted:
        return f.JoinCounted(
            step_id=StepId(step_id), counts=counts or self.run.joins[StepId(step_id)].counts, at=self.now()
        )

    def now(self) -> float:
        self.time += 1.0
        return self.time

    def attempt_of(self, node_id: str) -> int:
        step = self.run.steps.get(StepId(node_id))
        return 1 if step is None else step.attempt

    # -- what one sees -----------------------------------------------------------------------------------------------

    @property
    def statuses(self) -> dict[str, str]:
        return {step_id: step.status.value for step_id, step in self.run.steps.items()}

    @property
    def due(self) -> set[str]:
        return {step_id for step_id, step in self.run.steps.items() if step.is_due}

    def given_to(self, node_id: str) -> Any:
        """The input that the node gets now."""
        return resolve(self.run, self.graph.node(NodeId(node_id)))

    def reloaded(self) -> RunState:
        """The state as the next owner derives it from the rows."""
        return rebuild(
            self.graph,
            run_id=self.run.run_id,
            status=self.run.status,
            reason=self.run.reason,
            ended_at=self.run.ended_at,
            initial=copy.deepcopy(self.initial),
            steps=list(self.step_rows.values()),
            writes=list(self.context_rows.values()),
            next_seq=self.run.next_seq,
            ending=self.run.ending,
            limits=self.run.limits,
        )

    def crash(self) -> None:
        """Go on with the state that the rows give."""
        self.run = self.reloaded()
        self.count_joins()


def snapshot(run: RunState) -> dict[str, Any]:
    """Everything in the state but the graph, as a value of its own."""
    return {field.name: copy.deepcopy(getattr(run, field.name)) for field in fields(run) if field.name != "graph"}
