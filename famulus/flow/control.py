"""What operators ask of a run: cancel, pause, retry, rerun."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from famulus.flow import batching
from famulus.flow import decisions as d
from famulus.flow import facts as f
from famulus.flow.arrivals import Arrival, Arrivals, JoinProgress
from famulus.flow.deciding import REASON_CHARACTERS, Deciding
from famulus.flow.fold import DEADLINE
from famulus.flow.joins import Verdict, verdict_of
from famulus.flow.outcomes import finish_if_over
from famulus.flow.status import RUN_ENDED, RunStatus, StepStatus
from famulus.flow.ways import Ways
from famulus.ids import NodeId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from famulus.flow.batches import BatchProgress
    from famulus.flow.state import StepState
    from famulus.ids import StepId


def cancel_requested(on: Deciding, fact: f.CancelRequested) -> None:
    reason = fact.reason[:REASON_CHARACTERS]
    if on.run.ending is not None:
        refuse(on, "cancel", fact.by, "the run is being compensated, it ends after that")
        return
    on.event("run.cancel_requested", {"by": fact.by[:REASON_CHARACTERS], "reason": reason})
    on.cancel_live(reason)
    on.end(RunStatus.CANCELLED, reason)


def pause_requested(on: Deciding, fact: f.PauseRequested) -> None:
    if on.run.status not in (RunStatus.RUNNING, RunStatus.WAITING):
        refuse(on, "pause", fact.by, f"the run is {on.run.status.value}")
        return
    reason = fact.reason[:REASON_CHARACTERS]
    on.event("run.paused", {"by": fact.by, "reason": reason})
    on.set_status(RunStatus.PAUSED, reason)
    for known in list(on.run.steps.values()):
        on.tell_child(known, "pause")


def unpause_requested(on: Deciding, fact: f.UnpauseRequested) -> None:
    if on.run.status is not RunStatus.PAUSED:
        refuse(on, "unpause", fact.by, f"the run is {on.run.status.value}, it is not paused")
        return
    on.event("run.unpaused", {"by": fact.by})
    on.set_status(RunStatus.RUNNING)
    for known in list(on.run.steps.values()):
        on.tell_child(known, "unpause")
        if known.is_due:
            on.decide(d.RunStep(known.step_id, known.node_id, known.attempt, known.item))


def retry_requested(on: Deciding, fact: f.RetryRequested) -> None:
    run = on.run
    if run.status in (RunStatus.COMPLETED, RunStatus.CANCELLED):
        refuse(on, "retry", fact.by, f"the run is {run.status.value}", step=fact.step_id)
        return
    if run.ending is not None:
        refuse(on, "retry", fact.by, "the run is being compensated, it ends after that", step=fact.step_id)
        return
    failed = [step for step in run.steps.values() if _can_be_retried(step) and fact.step_id in (None, step.step_id)]
    given_up = [step for step in run.steps.values() if _is_given_up(step)]
    batches = [
        batch
        for batch in run.batches.values()
        if batch.spec.gather is not None
        and batch.too_many_failed
        and batch.is_over
        and (fact.step_id in (None, batch.step_id) or fact.step_id in _failed_items(run.failures, batch.step_id))
    ]
    cut_short = [b for b in run.batches.values() if run.status in RUN_ENDED and b.is_cut_short and b not in batches]
    if not failed and not batches:
        refuse(on, "retry", fact.by, "there is no such step that has failed or is parked", step=fact.step_id)
        return
    on.event("step.retry_requested", {"by": fact.by, "step": fact.step_id})
    batches += cut_short
    failed += given_up
    sources = [*(step.node_id for step in failed), *(batch.node_id for batch in batches)]
    after = _behind_and_round(on, sources)
    on.more_follows = True
    _arm(on, _blocked(on, after))
    _go_on(on)
    for step in failed:
        _retry(on, step)
    for batch in batches:
        _retry_items(on, batch)
    around = [controller for source in sources for controller in on.graph.loops_around(source)]
    _arm(on, _premature(on, dict.fromkeys((*after, *around))))
    _bring_up(on)
    _start_again(on, on.graph.nodes)
    on.more_follows = False
    on.end_if_nothing_is_live()


def rerun_requested(on: Deciding, fact: f.RerunRequested) -> None:
    run = on.run
    known = run.steps.get(fact.step_id)
    why_not = _why_not_rerun(on, known)
    if known is None or why_not is not None:
        refuse(on, "rerun", fact.by, why_not or "there is no such step", step=fact.step_id)
        return
    on.event("run.rerun_requested", {"by": fact.by, "step": fact.step_id})
    again = behind(on, [known.node_id])
    again[known.node_id] = None
    for node_id in again:
        step = run.step_of(node_id)
        reason = f"everything from {fact.step_id} on is run again"
        if step is not None and step.is_live:
            on.cancel(step, reason)
        elif step is not None and step.step_id in run.batches:
            on.cancel_items(step.step_id, reason)
    on.write_changes(fact.changes)
    nodes = tuple(node_id for node_id in on.graph.nodes if node_id in again)
    on.decide(d.Rearm(nodes, afresh=True, forced=(known.node_id,), seq=run.next_seq, at=on.at))
    _go_on(on)
    on.start(known.node_id)
    _start_again(on, nodes)
    _bring_up(on)
    on.end_if_nothing_is_live()


def refuse(on: Deciding, command: str, by: str, reason: str | None, *, step: StepId | None = None) -> None:
    """Leave the run as it is, and say so."""
    told: dict[str, str | None] = {"command": command, "by": by, "reason": reason}
    on.event("command.refused", told if step is None else {**told, "step": step})


def behind(on: Deciding, sources: Iterable[NodeId]) -> dict[NodeId, None]:
    """Every node that these lead to, by edges or as their fallback, in the order in which they are met.

    So do the edges of nodes that they stand in for. An edge that only closes a cycle leads nowhere: what it leads back
    to does not run again by it. Loops go round.
    """
    found: dict[NodeId, None] = {}
    left = list(sources)
    while left:
        node_id = left.pop()
        onward = [*on.graph.successors(node_id)]
        fallback = on.graph.fallback_of(node_id)
        if fallback is not None and node_id in on.graph.callers(fallback):
            onward.append(fallback)
        if node_id in on.graph.loops:
            onward += on.graph.loops[node_id].in_order
        for caller in on.stood_for(node_id):
            early = on.graph.told_at_once(caller)
            onward += [target for target in on.graph.successors(caller) if target not in early]
        for target in onward:
            if target not in found:
                found[target] = None
                left.append(target)
    return found


def _go_on(on: Deciding) -> None:
    """Let a run that has ended go on. Its time-out, if it has one, and the deadlines of its joins begin anew."""
    if on.run.status not in RUN_ENDED:
        return
    on.set_status(RunStatus.RUNNING)
    if on.graph.run_timeout_ms is not None:
        on.write(DEADLINE, on.at + on.graph.run_timeout_ms / 1000)
    waiting = (node_id for node_id in on.graph.nodes if on.run.step_of(node_id) is None)
    _arm(on, [node_id for node_id in waiting if on.graph.node(node_id).config.join_deadline_ms is not None])


def _broken_off(on: Deciding, known: StepState) -> StepId | None:
    """A batch whose items were cancelled with the run, and which a rerun of the step would not run again."""
    if on.run.status not in RUN_ENDED:
        return None
    again = {*behind(on, [known.node_id]), known.node_id}
    cut_short = (batch for batch in on.run.batches.values() if batch.is_cut_short)
    return next((batch.step_id for batch in cut_short if batch.node_id not in again), None)


def _can_be_retried(step: StepState) -> bool:
    return step.status in (StepStatus.FAILED, StepStatus.PARKED)


def _is_given_up(step: StepState) -> bool:
    """Whether it was cancelled among its items: it goes on with them, those that have completed are not run again."""
    return step.status is StepStatus.CANCELLED and step.batch is not None


def _failed_items(failures: Mapping[StepId, None], batch_id: StepId) -> list[StepId]:
    return [step_id for step_id in failures if step_id.startswith(f"{batch_id}[")]


def _blocked(on: Deciding, after: Iterable[NodeId]) -> list[NodeId]:
    """What was skipped behind failed steps, or cancelled with them, and is to have another chance."""
    present = [(node_id, step) for node_id in on.graph.nodes if (step := on.run.step_of(node_id)) is not None]
    return [
        node_id
        for node_id, step in present
        if (step.status is StepStatus.SKIPPED and node_id in after)
        or (step.status is StepStatus.CANCELLED and not _is_given_up(step))
    ]


def _premature(on: Deciding, after: Iterable[NodeId]) -> list[NodeId]:
    """What has started, and is not recorded yet, because something failed that is now tried again: no row tells of it.

    The next owner would have it wait again. So does this one.
    """
    ways = Ways(on.run)
    begun = [(node_id, step) for node_id in after if (step := on.run.step_of(node_id)) is not None]
    return [node_id for node_id, step in begun if step.is_live and step.seq < 0 and not _may_start(on, ways, node_id)]


def _may_start(on: Deciding, ways: Ways, node_id: NodeId) -> bool:
    """Whether what is recorded lets the node start."""
    run = on.run
    if node_id in run.forced or (node_id in on.graph.start_nodes and run.is_untouched(node_id)):
        return True
    came = {source: ways.arrival(source, node_id) for source in run.predecessors(node_id)}
    called = {source: ways.call(source) for source in on.graph.callers(node_id)}
    return verdict_of(run, node_id, _counted(came), _counted(called)) is Verdict.START


def _counted(told: Mapping[NodeId, Arrival | None]) -> Arrivals:
    return JoinProgress().counts_with({source: how for source, how in told.items() if how is not None})


def _arm(on: Deciding, nodes: Sequence[NodeId]) -> None:
    """Let these nodes wait again, in the rounds that they are in."""
    if not nodes:
        return
    for node_id in nodes:
        step = on.run.step_of(node_id)
        if step is not None and step.is_live:
            on.decide(d.StopStep(step.step_id))
    on.decide(d.Rearm(tuple(nodes), afresh=False, forced=(), seq=on.run.next_seq, at=on.at))


def _behind_and_round(on: Deciding, sources: list[NodeId]) -> dict[NodeId, None]:
    """What these lead to, with the controllers of loops that they lead back to and what lies behind those."""
    found = behind(on, sources)
    left = [*sources, *found]
    while left:
        node_id = left.pop()
        speaking = (node_id, *on.stood_for(node_id))
        for controller in [each for source in speaking for each in on.graph.controllers_after(source)]:
            if controller not in found:
                onward = {controller: None, **behind(on, [controller])}
                left += [each for each in onward if each not in found]
                found.update(onward)
    return found


def _bring_up(on: Deciding) -> None:
    """Let every node that has no step know who has come to it; nobody told while the run was at its end."""
    on.bring_up([node_id for node_id in on.graph.nodes if on.run.step_of(node_id) is None])


def _start_again(on: Deciding, nodes: Iterable[NodeId]) -> None:
    for node_id in nodes:
        if node_id in on.run.forced or (node_id in on.graph.start_nodes and on.run.is_untouched(node_id)):
            on.start(node_id)


def _retry(on: Deciding, step: StepState) -> None:
    if step.batch is not None:
        spec = replace(step.batch, retried_seq=on.run.next_seq)
        again = replace(step, batch=spec, status=StepStatus.WAITING, error=None, reason=None, ended_at=None)
        on.decide(d.RecordStep(replace(again, seq=on.run.next_seq)))
        batch = on.run.batches.get(step.step_id)
        if batch is not None:
            batching.start_items(on, batch)
            finish_if_over(on, batch)
        return
    attempt = step.attempt + (step.status is StepStatus.FAILED)
    on.record(step, status=StepStatus.RETRYING, attempt=attempt, ended_at=None, wake_at=None, first_started_at=None)
    on.decide(d.RunStep(step.step_id, step.node_id, attempt, step.item))


def _retry_items(on: Deciding, batch: BatchProgress) -> None:
    for step_id in _failed_items(on.run.failures, batch.step_id):
        del on.run.failures[step_id]
    known = on.run.steps[batch.step_id]
    spec = replace(batch.spec, retried_seq=on.run.next_seq)
    on.decide(d.RecordStep(replace(known, batch=spec, seq=on.run.next_seq)))
    batching.start_items(on, batch)


def _why_not_rerun(on: Deciding, known: StepState | None) -> str | None:
    if known is None:
        return "there is no such step, or it has not been reached"
    if on.run.ending is not None:
        return "the run is being compensated"
    if known.item is not None or known.is_compensation:
        return "an item or a compensation cannot be run again by itself"
    broken_off = _broken_off(on, known)
    if broken_off is not None:
        return f"the items of {broken_off} were broken off, and what is run again does not include it; run that again"
    around = on.graph.loops_around(known.node_id)
    if around:
        return f"the step lies in a loop; run it again from its controller {around[0]}"
    return None
