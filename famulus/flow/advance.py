"""What follows from a fact: the heart of famulus.

`advance` reads the state of a run and returns decisions. It changes nothing, waits for nothing, asks no clock and draws
no random number; the same state and fact give the same decisions on every worker. A fact that the state does not expect
(doubled, late, of an attempt that is over, of a run that has ended) gives none. So delivering twice is harmless, and
there is nothing to lock.

    fact ─> advance ─> decisions ─> one batch in the store, then fold, then successors, joins, events

Branches that are not taken are dead paths: each completed, skipped or failed node tells every successor how it comes
(`Arrival`), and a node whose predecessors have all come without firing is skipped, and so on downwards. A failure is
passed on as such, so a join behind it is not started by the other branch. Nothing stalls, and a run has ended when no
step is live.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, assert_never

from famulus.errors import ExpressionError
from famulus.flow import decisions as d
from famulus.flow import facts as f
from famulus.flow.arrivals import Arrival, Arrivals, JoinProgress
from famulus.flow.joins import Verdict, decide
from famulus.flow.routing import Delivery, Outcome, choose, deliver
from famulus.flow.state import RunState, StepState
from famulus.flow.status import RUN_ENDED, RunStatus, StepStatus
from famulus.ids import NodeId, StepId

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from famulus.blueprint.graph import Graph


REASON_CHARACTERS: Final = 2000


def advance(graph: Graph, run: RunState, fact: f.Fact) -> list[d.Decision]:
    """Say what follows from the fact for this run; an empty list if it is not news."""
    if run.status in RUN_ENDED and not isinstance(fact, f.StartRefused):
        return []
    step = _Advance(graph, run, fact.at)
    match fact:
        case f.RunStarted():
            step.run_started()
        case f.StepTaken():
            step.step_taken(fact)
        case f.StepSucceeded():
            step.step_succeeded(fact)
        case f.StepFailed():
            step.step_failed(fact)
        case f.StepParked():
            step.step_parked(fact)
        case f.StepUnparked():
            step.step_unparked(fact)
        case f.JoinCounted():
            step.join_counted(fact)
        case f.CancelRequested():
            step.cancel_requested(fact)
        case f.StartRefused():
            step.event("run.start_refused", {"detail": fact.detail[:REASON_CHARACTERS]})
        case _:
            assert_never(fact)
    return step.decided


class _Advance:
    """One call of `advance`: the decisions so far, and what they already change."""

    def __init__(self, graph: Graph, run: RunState, at: float) -> None:
        self.graph = graph
        self.run = run
        self.at = at
        self.decided: list[d.Decision] = []
        self.next_seq = run.next_seq
        self.live = run.live
        self.pending_joins = len(run.pending_joins)
        self.failure = run.first_failure

    # -- facts -------------------------------------------------------------------------------------------------------

    def run_started(self) -> None:
        if self.run.steps or self.run.next_seq:
            return
        self.event("run.started", {"blueprint": self.graph.blueprint.id, "version": self.graph.blueprint.version})
        for node_id in self.graph.start_nodes:
            self.start(node_id)
        self.end_if_nothing_is_live()

    def step_taken(self, fact: f.StepTaken) -> None:
        known = self.due(fact.step_id, fact.attempt)
        if known is None or _is_taken(known, fact):
            return
        self.record(
            known,
            status=StepStatus.RUNNING,
            attempt=fact.attempt,
            worker=fact.worker,
            started_at=fact.started_at,
        )
        self.event("step.started", self.about(known, attempt=fact.attempt, worker=fact.worker))

    def step_succeeded(self, fact: f.StepSucceeded) -> None:
        known = self.due(fact.step_id, fact.attempt)
        if known is None:
            return
        outcome = Outcome(
            run=self.run, node_id=known.node_id, output=fact.output, action=fact.action, changes=fact.changes
        )
        routes = self.graph.outgoing(known.node_id)
        try:
            deliveries = [deliver(route, outcome) for route in choose(routes, outcome)]
        except ExpressionError as error:
            self.fail(known, fact, f.ErrorInfo(type="ExpressionError", message=str(error)))
            return
        self.write_changes(fact.changes)
        self.record(
            known,
            status=StepStatus.COMPLETED,
            attempt=fact.attempt,
            output=fact.output,
            action=fact.action,
            reason=None,
            error=None,
            fired=tuple(delivery.route.index for delivery in deliveries),
            worker=fact.worker,
            started_at=fact.started_at,
            ended_at=fact.at,
        )
        self.write_deliveries(deliveries)
        self.event("step.completed", self.about(known, attempt=fact.attempt, ms=_ms(fact), action=fact.action))
        self.settle(known.node_id, Arrival.DEAD, fired={delivery.route.target for delivery in deliveries})
        self.end_if_nothing_is_live()

    def step_failed(self, fact: f.StepFailed) -> None:
        known = self.due(fact.step_id, fact.attempt)
        if known is None:
            return
        config = self.graph.node(known.node_id).config
        if fact.retryable and fact.attempt < config.max_attempts:
            self.write_changes(fact.changes)
            self.retry(known, fact, delay_ms=config.retry_delay_ms)
        else:
            self.fail(known, fact, fact.error)

    def step_parked(self, fact: f.StepParked) -> None:
        known = self.due(fact.step_id, fact.attempt)
        if known is None or known.status is StepStatus.PARKED:
            return
        self.record(known, status=StepStatus.PARKED, attempt=fact.attempt, reason=fact.reason)
        self.event("step.parked", self.about(known, reason=fact.reason))

    def step_unparked(self, fact: f.StepUnparked) -> None:
        known = self.run.steps.get(fact.step_id)
        if known is None or known.status is not StepStatus.PARKED:
            return
        self.record(known, status=StepStatus.RETRYING, reason=None)
        self.event("step.unparked", self.about(known))
        self.decided.append(d.RunStep(known.step_id, known.node_id, known.attempt))

    def join_counted(self, fact: f.JoinCounted) -> None:
        if fact.step_id not in self.run.pending_joins:
            return
        progress = self.run.joins[fact.step_id]
        # A count may be behind the rows, never ahead of them: what it has more was not recorded.
        counts = fact.counts.at_most(progress.counts)
        if self.verdict(NodeId(fact.step_id), counts) is Verdict.WAIT:
            return
        self.pending_joins -= 1
        self.resolve_join(NodeId(fact.step_id), counts)
        self.end_if_nothing_is_live()

    def cancel_requested(self, fact: f.CancelRequested) -> None:
        reason = fact.reason[:REASON_CHARACTERS]
        self.event("run.cancel_requested", {"by": fact.by[:REASON_CHARACTERS], "reason": reason})
        for known in self.run.steps.values():
            if known.is_live:
                self.decided.append(d.StopStep(known.step_id))
                self.record(known, status=StepStatus.CANCELLED, reason=reason, ended_at=self.at)
        self.end(RunStatus.CANCELLED, reason)

    # -- what follows ------------------------------------------------------------------------------------------------

    def due(self, step_id: StepId, attempt: int) -> StepState | None:
        """The step, if the state expects an outcome of this attempt."""
        known = self.run.steps.get(step_id)
        if known is None or not known.is_live or known.attempt != attempt:
            return None
        return known

    def start(self, node_id: NodeId) -> None:
        if StepId(node_id) in self.run.steps:
            return
        self.live += 1
        self.decided.append(d.RunStep(StepId(node_id), node_id))

    def retry(self, known: StepState, fact: f.StepFailed, *, delay_ms: int) -> None:
        attempt = fact.attempt + 1
        self.record(
            known,
            status=StepStatus.RETRYING,
            attempt=attempt,
            error=fact.error,
            reason=_described(fact.error),
            worker=fact.worker,
            started_at=fact.started_at,
        )
        self.event("step.retrying", self.about(known, attempt=attempt, ms=_ms(fact), reason=_described(fact.error)))
        self.decided.append(d.RunStep(known.step_id, known.node_id, attempt, delay_ms))

    def fail(self, known: StepState, fact: f.StepFailed | f.StepSucceeded, error: f.ErrorInfo) -> None:
        self.write_changes(fact.changes)
        reason = _described(error)
        self.record(
            known,
            status=StepStatus.FAILED,
            attempt=fact.attempt,
            error=error,
            reason=reason,
            worker=fact.worker,
            started_at=fact.started_at,
            ended_at=fact.at,
        )
        self.event("step.failed", self.about(known, attempt=fact.attempt, ms=_ms(fact), reason=reason))
        self.failure = self.failure or known.step_id
        self.settle(known.node_id, Arrival.FAILED)
        self.end_if_nothing_is_live()

    def settle(self, node_id: NodeId, otherwise: Arrival, *, fired: AbstractSet[NodeId] = frozenset()) -> None:
        """Tell the successors of a node how it comes to them, and carry on behind those that are skipped by it."""
        coming: dict[NodeId, dict[NodeId, Arrival]] = {}
        left: deque[tuple[NodeId, Arrival, AbstractSet[NodeId]]] = deque([(node_id, otherwise, fired)])
        while left:
            source, otherwise, fired = left.popleft()
            for target in self.graph.successors(source):
                arrival = Arrival.FIRED if target in fired else otherwise
                if StepId(target) in self.run.steps:
                    continue
                if len(self.graph.predecessors(target)) > 1:
                    coming.setdefault(target, {})[source] = arrival
                    continue
                skipped = self.resolve(target, JoinProgress().counts_with({source: arrival}), failed=source)
                if skipped is not None:
                    left.append((target, skipped, frozenset()))
        for target, arrivals in coming.items():
            self.arrive_at_join(target, arrivals)

    def arrive_at_join(self, node_id: NodeId, arrivals: Mapping[NodeId, Arrival]) -> None:
        step_id = StepId(node_id)
        self.decided.append(d.ArriveAtJoin(step_id, arrivals))
        counts = self.run.joins.get(step_id, JoinProgress()).counts_with(arrivals)
        if step_id not in self.run.pending_joins and self.verdict(node_id, counts) is not Verdict.WAIT:
            self.pending_joins += 1

    def resolve_join(self, node_id: NodeId, counts: Arrivals) -> None:
        came = self.run.joins[StepId(node_id)].came
        failed = next((source for source, arrival in came.items() if arrival is Arrival.FAILED), None)
        skipped = self.resolve(node_id, counts, failed=failed)
        if skipped is not None:
            self.settle(node_id, skipped)

    def resolve(self, node_id: NodeId, counts: Arrivals, *, failed: NodeId | None) -> Arrival | None:
        """Start a node whose arrivals are decisive, or skip it; then say how it comes to its own successors."""
        match self.verdict(node_id, counts):
            case Verdict.START:
                self.start(node_id)
                return None
            case Verdict.BLOCK:
                self.skip(node_id, blocked=True, reason=f"predecessor {failed} failed, or lies behind one that did")
                return Arrival.FAILED
            case _:
                self.skip(node_id, blocked=False, reason="no edge into it fired")
                return Arrival.DEAD

    def verdict(self, node_id: NodeId, counts: Arrivals) -> Verdict:
        policy = self.graph.node(node_id).config.join
        return decide(policy, counts, expected=len(self.graph.predecessors(node_id)))

    def skip(self, node_id: NodeId, *, blocked: bool, reason: str) -> None:
        self.live += 1  # `record` takes it away again
        step = StepState(step_id=StepId(node_id), node_id=node_id, status=StepStatus.SCHEDULED)
        self.record(step, status=StepStatus.SKIPPED, blocked=blocked, reason=reason, ended_at=self.at)
        self.event("step.skipped", self.about(step, reason=reason))

    def end_if_nothing_is_live(self) -> None:
        if self.live or self.pending_joins:
            return
        if self.failure is None:
            self.end(RunStatus.COMPLETED, None)
        else:
            self.end(RunStatus.FAILED, f"step {self.failure} failed")

    def end(self, status: RunStatus, reason: str | None) -> None:
        self.decided.append(d.SetStatus(status, reason, self.at))
        self.event(f"run.{status.value}", {} if reason is None else {"reason": reason})

    # -- what is written ---------------------------------------------------------------------------------------------

    def record(self, known: StepState, **changes: Any) -> None:
        step = replace(known, seq=self.take_seq(), **changes)
        self.live -= not step.is_live
        self.decided.append(d.RecordStep(step))

    def write_changes(self, changes: Mapping[str, Any]) -> None:
        for key, value in changes.items():
            self.decided.append(d.WriteContext(key, value, self.take_seq()))

    def write_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Keep what a transform made, where it is the last to come. An output as it is needs no second copy."""
        last = {delivery.route.target: delivery for delivery in deliveries}
        for delivery in last.values():
            if delivery.route.transform is not None:
                self.decided.append(d.WriteContext(f"_inputs.{delivery.route.target}", delivery.value, self.take_seq()))

    def event(self, type_: str, data: Mapping[str, Any]) -> None:
        self.decided.append(d.RecordEvent(type_, data, self.at, self.take_seq()))

    def about(self, step: StepState, **more: Any) -> dict[str, Any]:
        return {"step": step.step_id, "node": step.node_id, **{k: v for k, v in more.items() if v is not None}}

    def take_seq(self) -> int:
        self.next_seq += 1
        return self.next_seq - 1


def _is_taken(known: StepState, fact: f.StepTaken) -> bool:
    return known.status is StepStatus.RUNNING and (known.worker, known.started_at) == (fact.worker, fact.started_at)


def _ms(fact: f.StepSucceeded | f.StepFailed) -> float:
    return round((fact.at - fact.started_at) * 1000, 3)


def _described(error: f.ErrorInfo) -> str:
    return f"{error.type}: {error.message}"[:REASON_CHARACTERS]
