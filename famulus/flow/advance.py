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

from collections import defaultdict, deque
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, assert_never

from famulus.errors import ExpressionError
from famulus.flow import decisions as d
from famulus.flow import facts as f
from famulus.flow.arrivals import Arrival, Arrivals, JoinProgress
from famulus.flow.joins import Verdict, verdict_of
from famulus.flow.routing import Delivery, Outcome, choose, deliver
from famulus.flow.state import RunState, StepState
from famulus.flow.status import RUN_ENDED, RunStatus, StepStatus
from famulus.ids import NodeId, StepId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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


@dataclass(frozen=True, slots=True)
class _Way:
    """How a node comes to its successors."""

    source: NodeId
    otherwise: Arrival
    fired: AbstractSet[NodeId] = frozenset()
    """To which it comes by an edge that fires; to the other targets as said before."""
    targets: Sequence[NodeId] = ()


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
        self.calls: defaultdict[NodeId, dict[NodeId, Arrival]] = defaultdict(dict)
        """What nodes that have ended tell their fallbacks."""

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
        stood_for = self.stood_for(known.node_id)
        try:
            deliveries = self.routed(outcome, stood_for)
        except ExpressionError as error:
            self.fail(known, fact, _expression_error(error))
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
        self.settle(self.ways(known.node_id, stood_for, Arrival.DEAD, deliveries))
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
            self.fail(known, fact, fact.error, fatal=fact.fatal)

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

    def fail(
        self, known: StepState, fact: f.StepFailed | f.StepSucceeded, error: f.ErrorInfo, *, fatal: bool = False
    ) -> None:
        """Let the step have failed; its fallback, if it can help, stands in for it, and so this is no failure."""
        fallback = None if fatal else self.graph.fallback_of(known.node_id)
        if fallback is not None and self.can_help(fallback, known):
            try:
                self.hand_over(known, fact, error, fallback)
            except ExpressionError as second:
                error = _expression_error(second)
            else:
                return
        self.write_changes(fact.changes)
        self.record_failure(known, fact, error, status=StepStatus.FAILED)
        self.event("step.failed", self.about(known, attempt=fact.attempt, ms=_ms(fact), reason=_described(error)))
        self.failure = self.failure or known.step_id
        self.settle(self.ways(known.node_id, self.stood_for(known.node_id), Arrival.FAILED))
        self.end_if_nothing_is_live()

    def can_help(self, fallback: NodeId, known: StepState) -> bool:
        """Whether the fallback of a step runs, or has run, or could not run for a failure that is told already."""
        step = self.run.steps.get(StepId(fallback))
        speaker = None if step is None else self.run.speaker_of(step)
        if speaker is None:
            return True
        if speaker.step_id == known.step_id:
            return False  # it failed before, and named this step as its own fallback
        return speaker.status is not StepStatus.SKIPPED or speaker.blocked

    def hand_over(
        self, known: StepState, fact: f.StepFailed | f.StepSucceeded, error: f.ErrorInfo, fallback: NodeId
    ) -> None:
        """Let the fallback stand in. If it has come to its end already, its result fires the edges of this step too.

        Raises `ExpressionError`, before anything is decided, if that cannot be worked out.
        """
        step = self.run.steps.get(StepId(fallback))
        speaker = None if step is None else self.run.speaker_of(step)
        behind = (known.node_id, *self.stood_for(known.node_id))
        is_over = speaker is not None and not speaker.is_live
        deliveries: list[Delivery] = []
        if speaker is not None and speaker.status is StepStatus.COMPLETED:
            outcome = Outcome(
                run=self.run,
                node_id=speaker.node_id,
                output=speaker.output,
                action=speaker.action,
                changes=fact.changes,
            )
            deliveries = self.routed_behind(outcome, behind, by_default=not self.fired_by_action(speaker))
        self.write_changes(fact.changes)
        fired = tuple(delivery.route.index for delivery in deliveries)
        self.record_failure(known, fact, error, status=StepStatus.COMPLETED, output=None, fired=fired)
        self.write_deliveries(deliveries)
        self.event(
            "step.failed",
            self.about(known, attempt=fact.attempt, ms=_ms(fact), reason=_described(error), fallback=fallback),
        )
        self.calls[fallback][known.node_id] = Arrival.FIRED
        early = self.graph.told_at_once(known.node_id)
        ways = [
            _Way(known.node_id, Arrival.DEAD, targets=[t for t in self.graph.successors(known.node_id) if t in early])
        ]
        if speaker is not None and is_over:
            otherwise = Arrival.DEAD if speaker.status is StepStatus.COMPLETED else Arrival.FAILED
            ways += self.ways_behind(behind, otherwise, deliveries)
        self.settle(ways)
        self.end_if_nothing_is_live()

    def record_failure(
        self, known: StepState, fact: f.StepFailed | f.StepSucceeded, error: f.ErrorInfo, **changes: Any
    ) -> None:
        self.record(
            known,
            attempt=fact.attempt,
            error=error,
            reason=_described(error),
            worker=fact.worker,
            started_at=fact.started_at,
            ended_at=fact.at,
            **changes,
        )

    # -- fallbacks ---------------------------------------------------------------------------------------------------

    def stood_for(self, node_id: NodeId) -> list[NodeId]:
        """The failed nodes that wait for what this one gives: those it is the fallback of, and so on."""
        found: list[NodeId] = []
        left = [node_id]
        while left:
            for caller in self.graph.fallback_for.get(left.pop(), ()):
                step = self.run.steps.get(StepId(caller))
                if step is not None and step.is_handled:
                    found.append(caller)
                    left.append(caller)
        return found

    def routed(self, outcome: Outcome, stood_for: Sequence[NodeId]) -> list[Delivery]:
        """What fires for a node that has completed: its own edges first, then those of the nodes it stands in for."""
        node_id = NodeId(outcome.node_id)
        own = [deliver(route, outcome) for route in choose(self.graph.outgoing(node_id), outcome)]
        by_default = not any(delivery.route.action for delivery in own)
        return own + self.routed_behind(outcome, stood_for, by_default=by_default)

    def routed_behind(self, outcome: Outcome, stood_for: Sequence[NodeId], *, by_default: bool) -> list[Delivery]:
        """What fires of the edges of nodes that the one with this outcome stands in for.

        They and its own edges are chosen from together: an edge without action fires only if none of both has its
        action.
        """
        return [
            deliver(route, outcome)
            for node_id in stood_for
            for route in choose(self.graph.outgoing(node_id), outcome, by_default=by_default)
            if route.target not in self.graph.told_at_once(node_id)
        ]

    def fired_by_action(self, step: StepState) -> bool:
        """Whether a completed step has fired edges of its own by its action."""
        first = self.graph.route(step.fired[0]) if step.fired else None  # its own are the first
        return first is not None and first.source == step.node_id and first.action is not None

    def ways(
        self,
        node_id: NodeId,
        stood_for: Sequence[NodeId],
        otherwise: Arrival,
        deliveries: Sequence[Delivery] = (),
    ) -> list[_Way]:
        """How a node that has ended comes to its successors, and how those come that it stands in for."""
        fired = {delivery.route.target for delivery in deliveries if delivery.route.source == node_id}
        self.note_unneeded(node_id)
        own = _Way(node_id, otherwise, fired, self.graph.successors(node_id))
        return [own, *self.ways_behind(stood_for, otherwise, deliveries)]

    def ways_behind(
        self, stood_for: Sequence[NodeId], otherwise: Arrival, deliveries: Sequence[Delivery]
    ) -> list[_Way]:
        fired: defaultdict[NodeId, set[NodeId]] = defaultdict(set)
        for delivery in deliveries:
            fired[delivery.route.source].add(delivery.route.target)
        return [
            _Way(
                node_id,
                otherwise,
                fired[node_id],
                [t for t in self.graph.successors(node_id) if t not in self.graph.told_at_once(node_id)],
            )
            for node_id in stood_for
        ]

    def note_unneeded(self, node_id: NodeId) -> None:
        """Let the fallback of a node that has ended know, if it waits to hear, that this one does not need it."""
        fallback = self.graph.fallback_of(node_id)
        if fallback is not None and self.graph.may_call(node_id):
            self.calls[fallback][node_id] = Arrival.DEAD

    # -- joins and dead paths ----------------------------------------------------------------------------------------

    def settle(self, ways: Iterable[_Way]) -> None:
        """Tell successors how nodes come to them, and carry on behind those that are skipped by it."""
        coming: dict[NodeId, dict[NodeId, Arrival]] = {}
        left = deque(ways)
        while left:
            way = left.popleft()
            for target in way.targets:
                arrival = Arrival.FIRED if target in way.fired else way.otherwise
                if StepId(target) in self.run.steps:
                    continue
                if self.graph.is_counted(target):
                    coming.setdefault(target, {})[way.source] = arrival
                    continue
                skipped = self.resolve(target, JoinProgress().counts_with({way.source: arrival}), failed=way.source)
                if skipped is not None:
                    left += self.ways(target, (), skipped)
        for target in dict.fromkeys((*coming, *self.calls)):
            if StepId(target) not in self.run.steps:
                self.arrive(target, coming.get(target, {}), self.calls.get(target, {}))

    def arrive(self, node_id: NodeId, arrivals: Mapping[NodeId, Arrival], calls: Mapping[NodeId, Arrival]) -> None:
        """Let predecessors come to a join or fallback, and nodes say whether they need it."""
        step_id = StepId(node_id)
        if arrivals:
            self.decided.append(d.ArriveAtJoin(step_id, arrivals))
        if calls:
            self.decided.append(d.CallFallback(step_id, calls))
        counts = self.run.joins.get(step_id, JoinProgress()).counts_with(arrivals)
        called = self.run.calls.get(step_id, JoinProgress()).counts_with(calls)
        verdict = verdict_of(self.graph, node_id, counts, called)
        if step_id not in self.run.pending_joins and verdict is not Verdict.WAIT:
            self.pending_joins += 1

    def resolve_join(self, node_id: NodeId, counts: Arrivals) -> None:
        came = self.run.joins[StepId(node_id)].came
        # In the order of the blueprint, not of arrival: the next owner must find the same one.
        failed = next((each for each in self.graph.predecessors(node_id) if came.get(each) is Arrival.FAILED), None)
        skipped = self.resolve(node_id, counts, failed=failed)
        if skipped is not None:
            self.settle(self.ways(node_id, self.stood_for(node_id), skipped))

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
                reason = (
                    "no edge into it fired" if self.graph.predecessors(node_id) else "no node needs it as a fallback"
                )
                self.skip(node_id, blocked=False, reason=reason)
                return Arrival.DEAD

    def verdict(self, node_id: NodeId, counts: Arrivals) -> Verdict:
        calls = self.run.calls.get(StepId(node_id), JoinProgress()).counts
        return verdict_of(self.graph, node_id, counts, calls)

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


def _expression_error(error: ExpressionError) -> f.ErrorInfo:
    return f.ErrorInfo(type="ExpressionError", message=str(error))


def _described(error: f.ErrorInfo) -> str:
    return f"{error.type}: {error.message}"[:REASON_CHARACTERS]
