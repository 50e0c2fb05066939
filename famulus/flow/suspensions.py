"""Steps that wait: for time, for a signal or a call from outside, for a child run, for their items."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from famulus.blueprint.forms import check_form
from famulus.blueprint.values import ABSENT
from famulus.flow import batching
from famulus.flow import decisions as d
from famulus.flow import facts as f
from famulus.flow.deciding import REASON_CHARACTERS, Deciding
from famulus.flow.fold import NOT_BEFORE
from famulus.flow.outcomes import due, fail_or_retry, finish_if_over, succeed
from famulus.flow.recording import failed, succeeded
from famulus.flow.state import is_undoing
from famulus.flow.status import RunStatus, StepStatus
from famulus.flow.waiting import ForChild, ForSignal, ForTimer, ForWebhook, TimerKind

if TYPE_CHECKING:
    from famulus.flow.state import StepState

SIGNALS_PREFIX = "_signals."
"""Context keys with the payloads of signals that nobody has waited for yet, oldest first."""


def step_suspended(on: Deciding, fact: f.StepSuspended) -> None:
    known = due(on, fact.step_id, fact.attempt)
    if known is None:
        return
    if isinstance(fact.waiting_for, ForSignal):
        payload = _take_kept(on, known, fact.waiting_for)
        if payload is not ABSENT:
            succeed(on, known, succeeded(on, known, payload, started_at=fact.started_at))
            return
    begun = fact.started_at if known.first_started_at is None else known.first_started_at
    suspended = on.record(
        known,
        status=fact.status,
        attempt=fact.attempt,
        output=fact.output,
        waiting_for=fact.waiting_for,
        wake_at=fact.wake_at,
        worker=fact.worker,
        started_at=fact.started_at,
        first_started_at=begun,
        reason=None,
    )
    on.event(f"step.{fact.status.value}", on.about(suspended, **_told(fact)))
    if isinstance(fact.waiting_for, ForChild):
        on.decide(d.StartChild(known.step_id, fact.waiting_for))


def batch_scattered(on: Deciding, fact: f.BatchScattered) -> None:
    known = due(on, fact.step_id, fact.attempt)
    if known is None:
        return
    batching.write_items(on, known, fact)
    since = on.run.next_seq
    on.event("batch.scattered", on.about(known, items=fact.spec.count))
    if fact.spec.gather is not None:
        output = {"gatherNodeId": fact.spec.gather, "hasMore": False}
        done = succeeded(on, known, output, started_at=fact.started_at)
        on.more_follows = True
        succeed(on, replace(known, batch=fact.spec, since=since), done)
        on.more_follows = False
    else:
        on.record(
            known,
            status=StepStatus.WAITING,
            batch=fact.spec,
            since=since,
            attempt=fact.attempt,
            worker=fact.worker,
            started_at=fact.started_at,
        )
    batch = on.run.batches.get(known.step_id)
    if batch is not None:
        batching.start_items(on, batch)
        finish_if_over(on, batch)
    on.end_if_nothing_is_live()


def timer_due(on: Deciding, fact: f.TimerDue) -> None:
    due_at = on.run.timers.get(fact.key)
    if due_at is None or fact.at < due_at:
        return
    match fact.key.kind:
        case TimerKind.STEP:
            _step_is_due(on, on.run.steps[fact.key.step_id])
        case TimerKind.JOIN:
            node_id = on.run.join_nodes[fact.key.step_id]
            on.event("join.deadline_passed", {"step": fact.key.step_id, "node": node_id})
            # Whoever comes from now on changes nothing, for the next owner too.
            on.decide(d.Rearm((), afresh=False, forced=(node_id,), seq=on.run.next_seq, at=on.at))
            on.start(node_id)
        case TimerKind.RUN:
            reason = f"the run took longer than {on.graph.run_timeout_ms} ms (metadata.timeout)"
            on.cancel_live(reason)
            on.end(RunStatus.FAILED, reason)
        case TimerKind.START:
            on.write(NOT_BEFORE, ABSENT)
            begin(on)


def begin(on: Deciding) -> None:
    """Start the run at its start nodes; if it is paused, they are due when it goes on."""
    if on.run.status is not RunStatus.PAUSED:
        on.set_status(RunStatus.RUNNING)
    for node_id in on.graph.start_nodes:
        on.start(node_id)
    on.end_if_nothing_is_live()


def step_resumed(on: Deciding, fact: f.StepResumed) -> None:
    known = on.run.steps.get(fact.step_id)
    why_not = _why_not_resumed(known)
    if known is None or why_not is not None:
        on.event("command.refused", {"command": "resume", "by": fact.by, "step": fact.step_id, "reason": why_not})
        return
    output = known.output if fact.output is ABSENT else fact.output
    on.event("step.resumed", on.about(known, by=fact.by, action=fact.action))
    succeed(on, known, succeeded(on, known, None if output is ABSENT else output, action=fact.action))


def signal_received(on: Deciding, fact: f.SignalReceived) -> None:
    on.event("signal.received", {"name": fact.name, "by": fact.by})
    waiting = [
        step
        for step in on.run.steps.values()
        if step.status is StepStatus.WAITING
        and isinstance(step.waiting_for, ForSignal)
        and step.waiting_for.signal == fact.name
    ]
    if waiting:
        known = min(waiting, key=lambda step: step.seq)
        succeed(on, known, succeeded(on, known, fact.payload))
        return
    key = f"{SIGNALS_PREFIX}{fact.name}"
    on.write(key, [*on.run.context.get(key, ()), fact.payload])


def child_ended(on: Deciding, fact: f.ChildEnded) -> None:
    known = on.run.steps.get(fact.step_id)
    if known is None or not isinstance(known.waiting_for, ForChild) or known.waiting_for.run_id != fact.child:
        return
    if fact.status is RunStatus.COMPLETED:
        succeed(on, known, replace(succeeded(on, known, fact.output), changes=fact.changes))
        return
    message = f"child run {fact.child} is {fact.status.value}: {fact.reason}"[:REASON_CHARACTERS]
    error = f.ErrorInfo(type="ChildRunError", message=message)
    fail_or_retry(on, known, failed(on, known, error, retryable=fact.status is RunStatus.FAILED))


def batch_limited(on: Deciding, fact: f.BatchLimited) -> None:
    batch = on.run.batches.get(fact.step_id)
    known = on.run.steps.get(fact.step_id)
    if batch is None or known is None or batch.is_over:
        reason = f"step {fact.step_id} has no items that run"
        on.event("command.refused", {"command": "limit", "by": fact.by, "step": fact.step_id, "reason": reason})
        return
    if on.run.ending is not None and not is_undoing(fact.step_id):
        reason = "the run is being compensated, its items start no more"
        on.event("command.refused", {"command": "limit", "by": fact.by, "step": fact.step_id, "reason": reason})
        return
    spec = batch.spec
    if fact.max_concurrency is not None:
        spec = replace(spec, max_concurrency=fact.max_concurrency)
    if fact.tolerated_failures is not None:
        spec = replace(spec, tolerated_failures=fact.tolerated_failures)
    on.event(
        "batch.limited",
        on.about(
            known,
            by=fact.by,
            max_concurrency=spec.max_concurrency,
            tolerated_failures=spec.tolerated_failures,
        ),
    )
    on.decide(d.RecordStep(replace(known, batch=spec, seq=on.run.next_seq)))
    batching.start_items(on, batch)
    finish_if_over(on, batch)


def _take_kept(on: Deciding, known: StepState, wanted: ForSignal) -> Any:
    """The oldest signal that came early and fits the form of the step; ``ABSENT`` if there is none.

    Nobody could be told when it came that it would not fit, so what does not fit stays for a step that wants it.
    """
    key = f"{SIGNALS_PREFIX}{wanted.signal}"
    kept = () if wanted.signal is None else on.run.context.get(key, ())
    unfit: list[str] = []
    for place, payload in enumerate(kept):
        problems = [] if wanted.form is None else check_form(wanted.form, payload)
        if not problems:
            on.write(key, [*kept[:place], *kept[place + 1 :]] or ABSENT)
            break
        unfit.append("; ".join(problems)[:REASON_CHARACTERS])
    else:
        payload = ABSENT
    if unfit:
        on.event("signal.unfit", on.about(known, name=wanted.signal, signals=len(unfit), reason=unfit[0]))
    return payload


def _step_is_due(on: Deciding, known: StepState) -> None:
    match known.status:
        case StepStatus.RETRYING:
            on.decide(d.RunStep(known.step_id, known.node_id, known.attempt, known.item))
        case StepStatus.SLEEPING:
            succeed(on, known, succeeded(on, known, None if known.output is ABSENT else known.output))
        case StepStatus.WAITING:
            _waited_in_vain(on, known)
        case _:
            pass


def _waited_in_vain(on: Deciding, known: StepState) -> None:
    waiting_for = known.waiting_for
    on.event("step.timed_out", on.about(known))
    if isinstance(waiting_for, ForSignal | ForWebhook) and waiting_for.timeout_action is not None:
        succeed(on, known, succeeded(on, known, None, action=waiting_for.timeout_action))
        return
    if isinstance(waiting_for, ForChild):
        on.tell_child(known, "cancel")
        message = f"child run {waiting_for.run_id} took longer than the step may (timeout, totalTimeout)"
        error = f.ErrorInfo(type="TimeoutError", message=message, bases=("OSError", "Exception"))
        fail_or_retry(on, known, failed(on, known, error, retryable=True))
        return
    error = f.ErrorInfo(type="TimeoutError", message="nobody let the step go on before its deadline")
    fail_or_retry(on, known, failed(on, known, error))


def _why_not_resumed(known: StepState | None) -> str | None:
    if known is None:
        return "there is no such step, or it has not been reached"
    if known.status not in (StepStatus.WAITING, StepStatus.SLEEPING):
        return f"the step is {known.status.value}, it does not wait"
    if not isinstance(known.waiting_for, ForTimer | ForSignal | ForWebhook):
        return "the step waits for a child run or its items, these are to be resumed"
    return None


def _told(fact: f.StepSuspended) -> dict[str, Any]:
    match fact.waiting_for:
        case ForSignal(signal=signal):
            waits = {"signal": signal}
        case ForChild(run_id=run_id, blueprint_id=blueprint_id):
            waits = {"child": run_id, "blueprint": blueprint_id}
        case _:
            waits = {}
    return {**waits, "wake_at": fact.wake_at}
