"""Carry decisions into the state of a run: the only place that changes a `RunState`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from famulus.blueprint.values import ABSENT
from famulus.flow import decisions as d
from famulus.flow.arrivals import Arrival, JoinProgress
from famulus.flow.batches import BatchProgress, batch_id_of
from famulus.flow.joins import Verdict, verdict_of
from famulus.flow.routing import goes_round
from famulus.flow.state import Compensation, Ending, RunState, StepState
from famulus.flow.status import RUN_ENDED, StepStatus
from famulus.flow.waiting import TimerKey, TimerKind
from famulus.flow.ways import Ways
from famulus.ids import NodeId, StepId

if TYPE_CHECKING:
    from famulus.blueprint.loops import Loop

NOT_BEFORE: Final = "_not_before"
"""The context key of a run that was started for later: when it is to begin."""
DEADLINE: Final = "_deadline"
"""The context key of a run with a time-out that goes on after its end: when it is to have ended now."""
_TIMERS: Final = {NOT_BEFORE: TimerKind.START, DEADLINE: TimerKind.RUN}


def fold(run: RunState, decision: d.Decision) -> None:  # noqa: C901  # a table of decisions
    """Change the state as the decision says. The cost is that of the decision, not of the run."""
    match decision:
        case d.RecordStep(step):
            run.next_seq = max(run.next_seq, step.seq + 1)
            before = run.steps.get(step.step_id)
            put(run, step)
            # One that is recorded again, with other limits for its items, has completed already.
            if step.status is StepStatus.COMPLETED and (before is None or before.status is not StepStatus.COMPLETED):
                complete(run, step)
        case d.WriteContext(key, value, seq):
            run.next_seq = max(run.next_seq, seq + 1)
            write(run, key, value)
        case d.RecordEvent(seq=seq):
            run.next_seq = max(run.next_seq, seq + 1)
        case d.SetStatus(status, reason, at):
            run.status, run.reason = status, reason
            run.ended_at = at if status in RUN_ENDED else None
            if status in RUN_ENDED:
                run.ending = None
                _wait_no_more(run)
        case d.SetEnding(status, reason):
            run.ending = Ending(status, reason)
            _wait_no_more(run)
        case d.Rearm(seq=seq):
            run.next_seq = max(run.next_seq, seq + 1)
            rearm_on_request(run, decision)
        case d.RunStep(step_id, node_id, attempt, item):
            schedule(run, step_id, node_id, attempt=attempt, item=item)
        case d.ArriveAtJoin(step_id, node_id, arrivals, at):
            arrive(run, step_id, node_id, arrivals, at=at)
        case d.CallFallback(step_id, node_id, calls):
            call(run, step_id, node_id, calls)
        case d.StopStep() | d.StartChild() | d.TellChild():
            pass


def _wait_no_more(run: RunState) -> None:
    """The run is at its end: no join starts anything any more, and no time matters."""
    for step_id in list(run.join_nodes):
        _forget_join(run, step_id)
    run.timers.clear()


# -- steps -------------------------------------------------------------------------------------------------------------


def put(run: RunState, step: StepState) -> None:
    """Set a step, and keep what is derived from it."""
    before = run.steps.get(step.step_id)
    run.steps[step.step_id] = step
    _count(run, step, 1)
    if before is None:
        run.started += step.status is not StepStatus.SKIPPED
    else:
        _count(run, before, -1)
        if step.is_live and not before.is_live:
            _withdraw(run, step.node_id)
    if step.step_id in run.join_nodes:
        _forget_join(run, step.step_id)
    if run.forced and step.seq >= 0:
        run.forced.discard(step.node_id)
    if step.status is StepStatus.FAILED and step.item is None:
        run.failures.setdefault(step.step_id)
    elif run.failures and (before is not None or step.is_live):
        run.failures.pop(step.step_id, None)
    if step.wake_at is not None or run.timers:
        _note_timer(run, step)
    if step.batch is not None:
        _note_batch(run, step)
    if step.item is not None:
        _note_item(run, step)


def _note_timer(run: RunState, step: StepState) -> None:
    key = TimerKey(TimerKind.STEP, step.step_id)
    if step.is_live and step.wake_at is not None:
        run.timers[key] = step.wake_at
    else:
        run.timers.pop(key, None)


def complete(run: RunState, step: StepState) -> None:
    """Make a completed step's output visible: under its own name, and as the input of those its edges lead to.

    The edges of a step that its fallback stands in for deliver what the fallback gave.
    """
    if step.item is not None or step.is_compensation:
        return
    run.context[step.node_id] = step.output
    run.outputs[step.node_id] = step.output
    undoing = run.graph.compensation_of(step.node_id)
    if undoing is not None and not step.is_handled:
        run.compensations[step.step_id] = Compensation(step.step_id, undoing, step.output)
    for scatter in run.graph.scatters_of(step.node_id):
        batch = run.batches.get(run.step_id_of(scatter))
        if batch is not None and batch.is_over:  # others may have let the gather start before that
            del run.batches[batch.step_id]
    speaker = run.speaker_of(step) or step
    routes = [run.graph.route(index) for index in step.fired]
    if any(goes_round(run.graph, route) for route in routes):
        _turn(run, step)
    for route in routes:
        if route.transform is None:
            run.context[f"_inputs.{route.target}"] = speaker.output
        else:
            # The value itself comes as a context row of its own, for it was computed from the context of that moment.
            run.bound.add(route.target)


def schedule(run: RunState, step_id: StepId, node_id: NodeId, *, attempt: int = 1, item: int | None = None) -> None:
    """Note that the step is due. One that was recorded before keeps its record, but waits no longer."""
    known = run.steps.get(step_id)
    if known is None:
        put(
            run,
            StepState(step_id=step_id, node_id=node_id, status=StepStatus.SCHEDULED, attempt=attempt, item=item),
        )
    elif known.wake_at is not None:
        put(run, replace(known, wake_at=None))


def write(run: RunState, key: str, value: object) -> None:
    if value is ABSENT:
        run.context.pop(key, None)
    else:
        run.context[key] = value
    if key in _TIMERS:
        timer = TimerKey(_TIMERS[key], StepId(""))
        if isinstance(value, int | float):
            run.timers[timer] = value
        else:
            run.timers.pop(timer, None)


def _count(run: RunState, step: StepState, by: int) -> None:
    if not step.is_live:
        return
    run.live += by
    if step.is_active:
        run.active += by
    if run.graph.loops:
        _count_busy(run, step.node_id, by)


def _count_busy(run: RunState, node_id: NodeId, by: int) -> None:
    for controller in run.graph.loops_around(node_id):
        run.busy[controller] = run.busy.get(controller, 0) + by


# -- loops -------------------------------------------------------------------------------------------------------------


def _turn(run: RunState, step: StepState) -> None:
    """Begin another round: the body is armed anew, and the controller waits for the round to end."""
    graph, controller = run.graph, step.node_id
    loop = graph.loops[controller]
    fired = [graph.route(index).target for index in step.fired]
    at = step.ended_at or 0.0
    outside = {target: at for target in fired if target not in loop.body} | run.left.get(controller, {})
    begun = loop.body.intersection(fired)
    kept = _leave_round(run, loop)
    forget(run, loop.body)
    run.left.update(kept)
    _forget_steps(run, (step.step_id,))
    run.rounds[controller] = run.rounds.get(controller, 0) + 1
    run.turned[controller], run.turned_at[controller] = begun, at
    if outside:
        run.left[controller] = outside
    for target in begun:
        if graph.round_predecessors(controller, target) is not None:
            run.reentered[target] = controller


def _leave_round(run: RunState, loop: Loop) -> dict[NodeId, dict[NodeId, float]]:
    """What fires out of a loop has left it for good; all else that its nodes have told outside is told anew."""
    ways = Ways(run)
    kept: dict[NodeId, dict[NodeId, float]] = {}
    for node_id in loop.in_order:
        outside = {t: at for t, at in run.left.get(node_id, {}).items() if t not in loop.inside}
        for target in run.targets(node_id):
            if target in loop.inside or target in outside:
                continue
            if ways.arrival(node_id, target) is Arrival.FIRED:
                outside[target] = ways.came_at(node_id, target)
        if outside:
            kept[node_id] = run.left[node_id] = outside
        _withdraw(run, node_id)
    return kept


def rearm_on_request(run: RunState, decision: d.Rearm) -> None:
    for node_id in decision.nodes:
        _withdraw(run, node_id)
    if decision.afresh:
        for failure in [step_id for step_id in run.failures if _is_of(run, step_id, decision.nodes)]:
            del run.failures[failure]
        forget(run, decision.nodes)
        for node_id in decision.nodes:
            run.generations[node_id] = run.generations.get(node_id, 0) + 1
    else:
        # In the rounds that they are in: a loop in which a step is tried again goes on where it was.
        _forget_steps(run, [run.step_id_of(node_id) for node_id in decision.nodes])
    run.forced.update(decision.forced)
    run.rearmed_at.update(dict.fromkeys(decision.nodes, decision.at))


def _is_of(run: RunState, step_id: StepId, nodes: Iterable[NodeId]) -> bool:
    """Whether a step that has failed is one of these nodes, or an item of one."""
    step = run.steps.get(step_id)
    if step is not None:
        return step.node_id in nodes
    return any(step_id.startswith((f"{node_id}[", f"{node_id}#")) for node_id in nodes)


def forget(run: RunState, nodes: Iterable[NodeId]) -> None:
    """Forget the present steps of these nodes, the rounds of loops among them, and what has come to them.

    What they gave stays in the context.
    """
    nodes = tuple(nodes)
    _forget_steps(run, [run.step_id_of(node_id) for node_id in nodes])
    for node_id in nodes:
        run.bound.discard(node_id)
        run.reentered.pop(node_id, None)
        run.forced.discard(node_id)
        run.left.pop(node_id, None)
        if node_id in run.rounds:
            del run.rounds[node_id]
            run.turned.pop(node_id, None)
            run.turned_at.pop(node_id, None)


def _forget_steps(run: RunState, step_ids: Iterable[StepId]) -> None:
    for step_id in step_ids:
        step = run.steps.pop(step_id, None)
        if step is not None:
            _count(run, step, -1)
            run.timers.pop(TimerKey(TimerKind.STEP, step_id), None)
        _forget_join(run, step_id)
        run.batches.pop(step_id, None)


# -- joins -------------------------------------------------------------------------------------------------------------


def arrive(
    run: RunState, step_id: StepId, node_id: NodeId, arrivals: Mapping[NodeId, Arrival], *, at: float = 0.0
) -> None:
    """Let predecessors come to a join, and remember it as pending if that decides it."""
    progress = run.joins.setdefault(step_id, JoinProgress())
    run.join_nodes[step_id] = node_id
    deadline = run.graph.node(node_id).config.join_deadline_ms
    if deadline is not None and Arrival.FIRED in arrivals.values():
        key = TimerKey(TimerKind.JOIN, step_id)
        run.timers[key] = min(run.timers.get(key, at + deadline / 1000), at + deadline / 1000)
    progress.add(arrivals)
    _note_if_decided(run, step_id)


def call(run: RunState, step_id: StepId, node_id: NodeId, calls: Mapping[NodeId, Arrival]) -> None:
    """Let nodes say whether they need their fallback, and remember it as pending if that decides it."""
    run.joins.setdefault(step_id, JoinProgress())
    run.join_nodes[step_id] = node_id
    run.calls.setdefault(step_id, JoinProgress()).add(calls)
    _note_if_decided(run, step_id)


def _note_if_decided(run: RunState, step_id: StepId) -> None:
    node_id = run.join_nodes[step_id]
    is_pending = step_id in run.pending_joins
    if is_pending and not run.rounds.get(node_id):
        return  # no later arrival changes it
    calls = run.calls.get(step_id, JoinProgress()).counts
    is_decided = verdict_of(run, node_id, run.joins[step_id].counts, calls) is not Verdict.WAIT
    if is_decided and not is_pending:
        run.pending_joins.add(step_id)
        _count_busy(run, node_id, 1)
    elif is_pending and not is_decided:
        # Something of the round has begun again since it had come to rest.
        run.pending_joins.remove(step_id)
        _count_busy(run, node_id, -1)


def _withdraw(run: RunState, node_id: NodeId, *, only: NodeId | None = None) -> None:
    """What a node has told undecided joins and its fallback holds no more: it runs again, or is to."""
    for target in run.targets(node_id) if only is None else (only,):
        _withdraw_arrival(run, node_id, target)
    if only is not None:
        return
    _withdraw_stood_for(run, node_id)
    fallback = run.graph.fallback_of(node_id)
    if fallback is not None:
        step_id = run.step_id_of(fallback)
        if step_id in run.calls and node_id in run.calls[step_id].came:
            run.calls[step_id].withdraw(node_id)
            _note_if_undecided(run, step_id)


def _withdraw_stood_for(run: RunState, fallback: NodeId) -> None:
    """Nor what those nodes have told that it stands in for."""
    for caller in run.graph.fallback_for.get(fallback, ()):
        step = run.step_of(caller)
        if step is None or not step.is_handled or run.graph.fallback_of(caller) != fallback:
            continue
        for target in run.targets(caller):
            if target not in run.graph.told_at_once(caller):
                _withdraw_arrival(run, caller, target)
        _withdraw_stood_for(run, caller)


def _withdraw_arrival(run: RunState, source: NodeId, target: NodeId) -> None:
    step_id = run.step_id_of(target)
    if target in run.left.get(source, ()):
        return
    if step_id in run.joins and source in run.joins[step_id].came:
        run.joins[step_id].withdraw(source)
        _note_if_undecided(run, step_id)


def _note_if_undecided(run: RunState, step_id: StepId) -> None:
    """A join that has lost an arrival may have to wait again, or has nothing left to wait with."""
    if step_id in run.calls and not run.calls[step_id].came:
        del run.calls[step_id]
    if not run.joins[step_id].came and step_id not in run.calls:
        _forget_join(run, step_id)
        return
    calls = run.calls.get(step_id, JoinProgress()).counts
    node_id = run.join_nodes[step_id]
    is_decided = verdict_of(run, node_id, run.joins[step_id].counts, calls) is not Verdict.WAIT
    if step_id in run.pending_joins and not is_decided:
        run.pending_joins.remove(step_id)
        _count_busy(run, node_id, -1)


def _forget_join(run: RunState, step_id: StepId) -> None:
    node_id = run.join_nodes.pop(step_id, None)
    if node_id is None:
        return
    if step_id in run.pending_joins:
        run.pending_joins.remove(step_id)
        _count_busy(run, node_id, -1)
    run.joins.pop(step_id, None)
    run.calls.pop(step_id, None)
    run.timers.pop(TimerKey(TimerKind.JOIN, step_id), None)


# -- batches -----------------------------------------------------------------------------------------------------------


def _note_batch(run: RunState, step: StepState) -> None:
    spec = step.batch
    if spec is None:
        return
    if step.status is StepStatus.COMPLETED and spec.gather is None:
        run.batches.pop(step.step_id, None)  # a `map` that has given its results
        return
    batch = run.batches.get(step.step_id)
    if batch is None:
        run.batches[step.step_id] = BatchProgress(step_id=step.step_id, node_id=step.node_id, spec=spec)
        return
    was_over = batch.is_over
    batch.take(spec)
    batch.is_given_up = step.status is StepStatus.CANCELLED
    if was_over and not batch.is_over and spec.gather is not None:
        _withdraw(run, step.node_id, only=spec.gather)


def _note_item(run: RunState, step: StepState) -> None:
    """Keep the outcome of an item in its batch: as a step of the state it would only take room."""
    index = step.item
    batch = run.batches.get(batch_id_of(step))
    if index is None:
        return
    if step.is_live:
        if batch is not None:
            batch.live.add(index)
        return
    del run.steps[step.step_id]
    if batch is None or index in batch.ended:
        return
    batch.live.discard(index)
    if step.status is not StepStatus.COMPLETED and 0 <= step.seq < batch.spec.retried_seq:
        return
    batch.ended.add(index)
    if step.status is StepStatus.COMPLETED:
        batch.outputs[index] = step.output
        batch.completed_at = max(batch.completed_at or 0.0, step.ended_at or 0.0)
        return
    batch.failed_at = max(batch.failed_at or 0.0, step.ended_at or 0.0)
    if step.status is StepStatus.FAILED:
        batch.failed.add(index)
        if batch.spec.gather is not None:
            run.failures.setdefault(step.step_id)
