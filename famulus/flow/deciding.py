"""The decisions that follow from one fact, made one after the other.

Each decision is folded into the state at once, so the next one sees what the last one changed. What is to be recorded
gets its place in the order of the run here. The files beside this one decide by it: `outcomes` about attempts that have
ended, `fallbacks`, `suspensions`, `batching`, `control`.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from famulus.flow import decisions as d
from famulus.flow.arrivals import Arrival, Arrivals, JoinProgress
from famulus.flow.fold import fold
from famulus.flow.joins import Verdict, verdict_of
from famulus.flow.state import RunState, StepState, is_undoing
from famulus.flow.status import RUN_ENDED, RunStatus, StepStatus
from famulus.flow.waiting import TimerKey, TimerKind
from famulus.flow.ways import Ways
from famulus.ids import NodeId, StepId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from famulus.flow.batches import BatchProgress
    from famulus.flow.routing import Delivery

REASON_CHARACTERS: Final = 2000


class Way(NamedTuple):
    """How a node comes to its successors."""

    source: NodeId
    otherwise: Arrival
    fired: AbstractSet[NodeId] = frozenset()
    """To which it comes by an edge that fires; to the other targets as said before."""
    targets: Sequence[NodeId] = ()


class Deciding:
    """One call of `advance`."""

    def __init__(self, run: RunState, at: float) -> None:
        self.run = run
        self.graph = run.graph
        self.at = at
        self.decided: list[d.Decision] = []
        self.calls: defaultdict[NodeId, dict[NodeId, Arrival]] = defaultdict(dict)
        """What nodes that have ended tell their fallbacks."""
        self.more_follows = False
        """The run is not to end yet, though nothing is live: more is being decided."""
        self.too_long: str | None = None
        """Why the run must go no further."""

    def decide(self, decision: d.Decision) -> None:
        self.decided.append(decision)
        fold(self.run, decision)

    # -- what is recorded --------------------------------------------------------------------------------------------

    def record(self, known: StepState, **changes: Any) -> StepState:
        if known.suspicion is not None and changes.get("status", StepStatus.RUNNING) is not StepStatus.RUNNING:
            changes.setdefault("suspicion", None)  # an attempt that has come to its end has killed nobody
        step = replace(known, seq=self.run.next_seq, **changes)
        self.decide(d.RecordStep(step))
        return step

    def write(self, key: str, value: Any) -> None:
        """Write a context key; `ABSENT` deletes it."""
        self.decide(d.WriteContext(key, value, self.run.next_seq))

    def write_changes(self, changes: Mapping[str, Any]) -> None:
        for key, value in changes.items():
            self.write(key, value)

    def write_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Keep what a transform made, where it is the last to come. An output as it is needs no second copy."""
        last = {delivery.route.target: delivery for delivery in deliveries}
        for delivery in last.values():
            if delivery.route.transform is not None:
                self.write(f"_inputs.{delivery.route.target}", delivery.value)

    def event(self, type_: str, data: Mapping[str, Any]) -> None:
        self.decide(d.RecordEvent(type_, data, self.at, self.run.next_seq))

    def about(self, step: StepState, **more: Any) -> dict[str, Any]:
        return {"step": step.step_id, "node": step.node_id, **{k: v for k, v in more.items() if v is not None}}

    def set_status(self, status: RunStatus, reason: str | None = None) -> None:
        if (self.run.status, self.run.reason) != (status, reason):
            self.decide(d.SetStatus(status, reason, self.at))

    def note_whether_waiting(self) -> None:
        """A run that only waits for time or the outside world says so, and one that goes on again too."""
        run = self.run
        if run.status not in (RunStatus.RUNNING, RunStatus.WAITING):
            return
        waits = (bool(run.live) and not run.active and not run.pending_joins) or (
            bool(run.timers) and TimerKey(TimerKind.START, StepId("")) in run.timers
        )
        status = RunStatus.WAITING if waits else RunStatus.RUNNING
        if run.status is not status:
            self.set_status(status)

    # -- starting ----------------------------------------------------------------------------------------------------

    def start(self, node_id: NodeId) -> None:
        step_id = self.run.step_id_of(node_id)
        if step_id in self.run.steps or self.is_stopped():
            return
        self.decide(d.RunStep(step_id, node_id))
        if self.graph.node(node_id).config.cancel_losers:
            self.cancel_losers(node_id)

    def is_stopped(self) -> bool:
        """Whether the run has had its number of steps; then it starts none any more, and `advance` ends it."""
        if self.run.started < self.run.limits.steps:
            return False
        self.too_long = (
            f"the run has started {self.run.started} steps, and may start no more (FAMULUS_MAX_STEPS); "
            f"does a loop never end?"
        )
        return True

    def cancel_losers(self, node_id: NodeId) -> None:
        """Cancel what is still under way only for a join that has started without it, and skip what was yet to come."""
        losers: dict[NodeId, None] = {}
        left = deque(self.run.predecessors(node_id))
        while left:
            candidate = left.popleft()
            onward = {*self.graph.successors(candidate), *self.graph.fallback_for.get(candidate, ())}
            if candidate == node_id or candidate in losers or not onward <= {node_id, *losers}:
                continue
            losers[candidate] = None
            left.extend(self.graph.predecessors(candidate))
        reason = f"{node_id} has started without it"
        ended = []
        for loser in losers:
            known = self.run.step_of(loser)
            if known is None:
                self.skip(loser, blocked=False, reason=reason)
            elif known.is_live:
                self.cancel(known, reason)
            else:
                continue
            ended.append(loser)
        for loser in ended:
            self.settle(self.ways_of(loser, Arrival.DEAD))

    def cancel(self, known: StepState, reason: str) -> None:
        """Stop a step for good, whatever it is at, with what belongs to it."""
        self.decide(d.StopStep(known.step_id))
        self.tell_child(known, "cancel")
        batch = self.run.batches.get(known.step_id)
        if batch is not None:
            self.cancel_items(known.step_id, reason)
        self.record(known, status=StepStatus.CANCELLED, reason=reason, wake_at=None, ended_at=self.at)

    def cancel_items(self, batch_id: StepId, reason: str) -> None:
        batch = self.run.batches[batch_id]
        for index in sorted(batch.live):
            known = self.run.steps.get(StepId(f"{batch_id}[{index}]"))
            if known is not None:
                self.cancel(known, reason)

    def cancel_live(self, reason: str) -> None:
        for known in [step for step in self.run.steps.values() if step.is_live]:
            if known.step_id in self.run.steps and self.run.steps[known.step_id].is_live:
                self.cancel(known, reason)

    def tell_child(self, known: StepState, command: d.ChildCommand) -> None:
        child = getattr(known.waiting_for, "run_id", None)
        if known.is_live and child is not None:
            self.decide(d.TellChild(known.step_id, child, command))

    # -- joins and dead paths ----------------------------------------------------------------------------------------

    def settle(self, ways: Iterable[Way]) -> None:
        """Tell successors how nodes come to them, and carry on behind those that are skipped by it."""
        coming: dict[NodeId, dict[NodeId, Arrival]] = {}
        left = deque(ways)
        while left:
            way = left.popleft()
            for target in way.targets:
                arrival = Arrival.FIRED if target in way.fired else way.otherwise
                if self.run.step_of(target) is not None:
                    continue
                if self.run.is_counted(target):
                    coming.setdefault(target, {})[way.source] = arrival
                    continue
                skipped = self.resolve(target, JoinProgress().counts_with({way.source: arrival}), failed=way.source)
                if skipped is not None:
                    left += self.ways_of(target, skipped)
        calls = dict(self.calls)
        self.calls.clear()
        # Whether a round is over depends on what else is decided: innermost loops last but before those around them.
        targets = dict.fromkeys((*coming, *calls))
        for target in sorted(targets, key=self.run.place_of_turn) if self.run.rounds else targets:
            if self.run.step_of(target) is None:
                self.arrive(target, coming.get(target, {}), calls.get(target, {}))

    def ways_of(self, node_id: NodeId, otherwise: Arrival, deliveries: Sequence[Delivery] = ()) -> list[Way]:
        """How a node that has ended comes to its successors, and how those come that it stands in for."""
        fired = {delivery.route.target for delivery in deliveries if delivery.route.source == node_id}
        self.note_unneeded(node_id)
        targets: Sequence[NodeId] = self.run.targets(node_id)
        if self.run.batches and self.run.step_id_of(node_id) in self.run.batches:
            # Its gather hears of it when its items have ended.
            targets = [target for target in targets if node_id not in self.graph.scatters_of(target)]
        own = Way(node_id, otherwise, fired, targets)
        stood_for = self.stood_for(node_id)
        return [own, *self.ways_behind(stood_for, otherwise, deliveries)] if stood_for else [own]

    def ways_behind(self, stood_for: Sequence[NodeId], otherwise: Arrival, deliveries: Sequence[Delivery]) -> list[Way]:
        fired: defaultdict[NodeId, set[NodeId]] = defaultdict(set)
        for delivery in deliveries:
            fired[delivery.route.source].add(delivery.route.target)
        return [
            Way(
                node_id,
                otherwise,
                fired[node_id],
                [t for t in self.run.targets(node_id) if t not in self.graph.told_at_once(node_id)],
            )
            for node_id in stood_for
        ]

    def stood_for(self, node_id: NodeId) -> list[NodeId]:
        """The failed nodes that wait for what this one gives: those it is the fallback of, and so on."""
        found: list[NodeId] = []
        if node_id not in self.graph.fallback_for:
            return found
        left = [node_id]
        while left:
            for caller in self.graph.fallback_for.get(left.pop(), ()):
                step = self.run.step_of(caller)
                if step is not None and step.is_handled:
                    found.append(caller)
                    left.append(caller)
        return found

    def note_unneeded(self, node_id: NodeId) -> None:
        """Let the fallback of a node that has ended know, if it waits to hear, that this one does not need it."""
        fallback = self.graph.fallback_of(node_id)
        if fallback is not None and self.graph.may_call(node_id):
            self.calls[fallback][node_id] = Arrival.DEAD

    def arrive(self, node_id: NodeId, arrivals: Mapping[NodeId, Arrival], calls: Mapping[NodeId, Arrival]) -> None:
        """Let predecessors come to a join or fallback, and nodes say whether they need it."""
        step_id = self.run.step_id_of(node_id)
        known = set(self.run.predecessors(node_id))
        arrivals = {source: arrival for source, arrival in arrivals.items() if source in known}
        if arrivals:
            self.decide(d.ArriveAtJoin(step_id, node_id, arrivals, self.at))
        if calls and not self.run.rounds.get(node_id):  # a loop that goes round is asked again by its rounds alone
            self.decide(d.CallFallback(step_id, node_id, calls))

    def turn_idle_loops(self) -> None:
        """Tell of controllers whose round has come to rest, or goes on, since the last way back to them was told."""
        for controller in sorted(self.run.rounds, key=self.run.place_of_turn):
            step_id = self.run.step_id_of(controller)
            progress = self.run.joins.get(step_id)
            if progress is None:
                continue
            is_decided = self.verdict(controller, progress.counts) is not Verdict.WAIT
            if is_decided != (step_id in self.run.pending_joins):
                self.decide(d.ArriveAtJoin(step_id, controller, {}, self.at))

    def resolve_join(self, node_id: NodeId, counts: Arrivals) -> None:
        came = self.run.joins[self.run.step_id_of(node_id)].came
        # In the order of the blueprint, not of arrival: the next owner must find the same one.
        failed = next((each for each in self.run.predecessors(node_id) if came.get(each) is Arrival.FAILED), None)
        skipped = self.resolve(node_id, counts, failed=failed)
        if skipped is not None:
            self.settle(self.ways_of(node_id, skipped))

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
                self.skip(node_id, blocked=False, reason=self._why_skipped(node_id))
                return Arrival.DEAD

    def _why_skipped(self, node_id: NodeId) -> str:
        if self.run.rounds.get(node_id):
            return "the round has ended without leading back to it"
        if self.run.predecessors(node_id):
            return "no edge into it fired"
        return "no node needs it as a fallback"

    def verdict(self, node_id: NodeId, counts: Arrivals) -> Verdict:
        calls = self.run.calls.get(self.run.step_id_of(node_id), JoinProgress()).counts
        return verdict_of(self.run, node_id, counts, calls)

    def skip(self, node_id: NodeId, *, blocked: bool, reason: str) -> None:
        step = StepState(step_id=self.run.step_id_of(node_id), node_id=node_id, status=StepStatus.SCHEDULED)
        self.record(step, status=StepStatus.SKIPPED, blocked=blocked, reason=reason, ended_at=self.at)
        self.event("step.skipped", self.about(step, reason=reason))

    def bring_up(self, nodes: Iterable[NodeId], *, inside: AbstractSet[NodeId] = frozenset()) -> None:
        """Let nodes that were armed anew know how those outside have come to them, and start them if that is enough."""
        ways = Ways(self.run)
        for node_id in nodes:
            for source in self.run.predecessors(node_id):
                if source in inside:
                    continue
                arrival = ways.arrival(source, node_id)
                if arrival is not None:
                    fired = frozenset((node_id,)) if arrival is Arrival.FIRED else frozenset[NodeId]()
                    self.settle([Way(source, arrival, fired, (node_id,))])
            for caller in self.graph.fallback_for.get(node_id, ()):
                call = ways.call(caller)
                if call is not None and self.graph.fallback_of(caller) == node_id:
                    self.calls[node_id][caller] = call
        self.settle(())

    # -- the end -----------------------------------------------------------------------------------------------------

    def end_if_nothing_is_live(self) -> None:
        if self.run.live or self.more_follows or self.run.status in RUN_ENDED:
            return
        self.turn_idle_loops()
        if self.run.pending_joins or any(self._is_awaited(batch) for batch in self.run.batches.values()):
            return
        if self.run.ending is not None:
            self.end(self.run.ending.status, self.run.ending.reason)
        elif self.run.first_failure is None:
            self.end(RunStatus.COMPLETED, None)
        else:
            self.end(RunStatus.FAILED, f"step {self.run.first_failure} failed")

    def _is_awaited(self, batch: BatchProgress) -> bool:
        """Whether a batch keeps the run from its end. Once that is being made, only one that undoes something does."""
        return not batch.is_over and (self.run.ending is None or is_undoing(batch.step_id))

    def end(self, status: RunStatus, reason: str | None) -> None:
        """End the run; one that has not completed first undoes what can be undone, the latest step first."""
        if status is not RunStatus.COMPLETED and self.compensate(status, reason):
            return
        self.decide(d.SetStatus(status, reason, self.at))
        self.event(f"run.{status.value}", {} if reason is None else {"reason": reason})

    def compensate(self, status: RunStatus, reason: str | None) -> bool:
        """Start the next compensation, and say whether there is one to wait for."""
        for compensation in reversed(self.run.compensations.values()):
            known = self.run.steps.get(compensation.undo_step_id)
            if known is not None and not known.is_live:
                continue
            if self.run.ending is None:
                self.decide(d.SetEnding(status, reason))
                self.event("run.compensating", {"status": status.value, "reason": reason})
                self.set_status(RunStatus.RUNNING, reason)
            if known is None:
                self.decide(d.RunStep(compensation.undo_step_id, compensation.by))
            return True
        return False
