"""Whether steps started when they might: after what enables them, and joins by their policy.

The rows are replayed in their order. When the first trace of a step comes (its row or an event), the heart is asked
what the steps recorded so far mean for its node. A step leaves its first trace some time after it began, and until then
more may have come; so where the answer does not fit, every moment before counts too.

Where an operator had steps tried again, their first outcomes are overwritten. Then it is only asked whether anything at
all had led to the step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from famulus.engine.audit.outcomes import COMPLETED, FAILED, PROGRESS, SKIPPED
from famulus.engine.rows import decode
from famulus.flow.arrivals import Arrivals, JoinProgress
from famulus.flow.batches import batch_id_of
from famulus.flow.joins import Verdict, verdict_of
from famulus.flow.rebuild import ContextWrite, in_order, take
from famulus.flow.state import RunState
from famulus.flow.status import StepStatus
from famulus.flow.ways import Ways

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from famulus.engine.audit.subject import Subject
    from famulus.flow.state import StepState
    from famulus.ids import NodeId, StepId

DEADLINE_PASSED: Final = "join.deadline_passed"
_LOSERS: Final = " has started without it"
_MEANS: Final[Mapping[Verdict, str]] = {
    Verdict.WAIT: "it has to wait",
    Verdict.START: "it starts",
    Verdict.SKIP: "it is skipped",
    Verdict.BLOCK: "it is blocked by a failure",
}


@dataclass(frozen=True, slots=True)
class _Trace:
    """Where a step is first heard of."""

    seq: int
    step: StepState


def starts(subject: Subject) -> None:
    if subject.state is None:
        return
    traces = [trace for trace in _traces(subject) if subject.is_by_blueprint(trace.seq)]
    if subject.retries:
        _something_led_to_each(subject, traces)
        return
    doubtful = {trace.step.step_id: why for trace, why in _Replay(subject).asked(traces)}
    if doubtful:
        left = [trace for trace in traces if trace.step.step_id in doubtful]
        enabled = _Replay(subject).ever_enabled(left)
        for trace in left:
            if trace.step.step_id not in enabled:
                _deviates(subject, trace.step, doubtful[trace.step.step_id])


def _deviates(subject: Subject, step: StepState, why: str) -> None:
    is_skipped = step.status is StepStatus.SKIPPED
    code = "join.early" if subject.graph.is_counted(step.node_id) else "step.not_enabled"
    done = "was skipped" if is_skipped else "was started"
    subject.deviates(step.step_id, code, f"it {done}, but by what was recorded before {why}")


def _traces(subject: Subject) -> Iterator[_Trace]:
    for step in subject.steps.values():
        told = (event.seq for event in subject.of_step.get(step.step_id, ()) if event.type in PROGRESS)
        yield _Trace(min(step.seq, next(told, step.seq)), step)


class _Replay:
    """The run once more, from its beginning."""

    def __init__(self, subject: Subject) -> None:
        birth = subject.rows.birth
        self._entries = in_order(subject.steps.values(), subject.writes)
        self._deadlines: dict[StepId, int] = {}
        for event in subject.events:
            if event.type == DEADLINE_PASSED and event.step_id is not None:
                self._deadlines.setdefault(event.step_id, event.seq)
        self._run = RunState(
            run_id=birth.run_id, graph=subject.graph, created_at=birth.created_at, context=dict(decode(birth.input))
        )
        self._with_items: set[StepId] = set()
        self._ways = Ways(self._run)
        # What a node has fired may look otherwise with every entry where others stand in for it, or it goes round.
        self._is_simple = not (subject.graph.loops or subject.graph.fallback_for)

    def asked(self, traces: Iterable[_Trace]) -> Iterator[tuple[_Trace, str]]:
        """The traces that do not fit what was recorded before them, and why."""
        left = sorted(traces, key=lambda trace: trace.seq, reverse=True)
        for seq, entry in self._entries:
            while left and left[-1].seq <= seq:
                trace = left.pop()
                why = self._why_not(trace)
                if why is not None:
                    yield trace, why
            self._take(entry)
        for trace in reversed(left):
            why = self._why_not(trace)
            if why is not None:
                yield trace, why

    def ever_enabled(self, traces: list[_Trace]) -> set[StepId]:
        """Those of the steps that fit at some moment before their first trace."""
        found: set[StepId] = set()
        for seq, entry in self._entries:
            for trace in traces:
                if trace.seq >= seq and trace.step.step_id not in found and self._why_not(trace) is None:
                    found.add(trace.step.step_id)
            self._take(entry)
        return found

    def _take(self, entry: StepState | ContextWrite) -> None:
        take(self._run, entry)
        if isinstance(entry, ContextWrite) or not self._is_simple:
            self._ways = Ways(self._run)
        else:
            self._ways.forget(entry.node_id)
        if not isinstance(entry, ContextWrite) and entry.batch is not None:
            self._with_items.add(entry.step_id)

    def _why_not(self, trace: _Trace) -> str | None:
        """Why the step should not be there now; ``None`` if it may."""
        step = trace.step
        if step.item is not None:
            return None if batch_id_of(step) in self._with_items else f"{batch_id_of(step)} had no items"
        if step.is_compensation:
            undone = {compensation.undo_step_id for compensation in self._run.compensations.values()}
            return None if step.step_id in undone else "there was nothing to undo"
        if self._run.step_id_of(step.node_id) != step.step_id:
            return f"{step.node_id} was at {self._run.step_id_of(step.node_id)}"
        wanted = _wanted(step)
        if self._is_excused(trace, wanted):
            return None
        verdict = verdict_of(self._run, step.node_id, self._came(step.node_id), self._calls(step.node_id))
        return None if verdict is wanted else _MEANS[verdict]

    def _is_excused(self, trace: _Trace, wanted: Verdict) -> bool:
        """Whether something else than what came to the node has decided about it."""
        step = trace.step
        if wanted is not Verdict.START:
            # Where the bodies of loops overlap, a round skips what cannot come in it any more.
            return _is_loser(step) or not self._run.is_untouched(step.node_id)
        return (
            step.node_id in self._run.forced
            or (step.node_id in self._run.graph.start_nodes and self._run.is_untouched(step.node_id))
            or self._deadlines.get(step.step_id, trace.seq) < trace.seq
        )

    def _came(self, node_id: NodeId) -> Arrivals:
        came = {source: self._ways.arrival(source, node_id) for source in self._run.predecessors(node_id)}
        return JoinProgress().counts_with({source: arrival for source, arrival in came.items() if arrival is not None})

    def _calls(self, node_id: NodeId) -> Arrivals:
        graph = self._run.graph
        callers = (each for each in graph.fallback_for.get(node_id, ()) if graph.fallback_of(each) == node_id)
        calls = {caller: self._ways.call(caller) for caller in callers}
        return JoinProgress().counts_with({caller: call for caller, call in calls.items() if call is not None})


def _is_loser(step: StepState) -> bool:
    return step.reason is not None and step.reason.endswith(_LOSERS)


def _wanted(step: StepState) -> Verdict:
    if step.status is not StepStatus.SKIPPED:
        return Verdict.START
    return Verdict.BLOCK if step.blocked else Verdict.SKIP


def _something_led_to_each(subject: Subject, traces: Iterable[_Trace]) -> None:
    ended: dict[NodeId, int] = {}
    for event in subject.events:
        node_id = event.data.get("node")
        if event.type in (COMPLETED, FAILED, SKIPPED) and node_id is not None:
            ended.setdefault(node_id, event.seq)
    for step in subject.steps.values():
        if not step.is_live:
            ended[step.node_id] = min(step.seq, ended.get(step.node_id, step.seq))
    for trace in traces:
        step, graph = trace.step, subject.graph
        if step.item is not None or step.is_compensation or step.node_id in graph.start_nodes or _is_loser(step):
            continue
        sources = {route.source for route in graph.incoming(step.node_id)}
        sources.update(graph.predecessors(step.node_id), graph.fallback_for.get(step.node_id, ()))
        if not any(ended.get(source, trace.seq) < trace.seq for source in sources):
            _deviates(subject, step, "nothing led to it")
