"""What follows from an attempt that has ended: its step has completed, is tried again, or has failed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from famulus.blueprint.values import ABSENT
from famulus.errors import ExpressionError, OutputError
from famulus.flow import batching, fallbacks
from famulus.flow import decisions as d
from famulus.flow import facts as f
from famulus.flow.arrivals import Arrival
from famulus.flow.batches import batch_id_of
from famulus.flow.deciding import Deciding, Way
from famulus.flow.firing import routed
from famulus.flow.recording import described, milliseconds, record_failure, record_success
from famulus.flow.retries import delay_before_next, is_retried
from famulus.flow.routing import Delivery, Outcome, goes_round
from famulus.flow.status import RunStatus, StepStatus
from famulus.flow.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from famulus.flow.batches import BatchProgress
    from famulus.flow.state import StepState
    from famulus.ids import StepId


def due(on: Deciding, step_id: StepId, attempt: int) -> StepState | None:
    """The step, if the state expects an outcome of this attempt."""
    known = on.run.steps.get(step_id)
    if known is None or not known.is_due or known.attempt != attempt:
        return None
    return known


def step_taken(on: Deciding, fact: f.StepTaken) -> None:
    known = due(on, fact.step_id, fact.attempt)
    if known is None or _is_taken(known, fact):
        return
    on.record(
        known,
        status=StepStatus.RUNNING,
        attempt=fact.attempt,
        worker=fact.worker,
        started_at=fact.started_at,
    )
    on.event("step.started", on.about(known, attempt=fact.attempt, worker=fact.worker))


def step_succeeded(on: Deciding, fact: f.StepSucceeded) -> None:
    known = due(on, fact.step_id, fact.attempt)
    if known is not None:
        succeed(on, known, fact)


def step_failed(on: Deciding, fact: f.StepFailed) -> None:
    known = due(on, fact.step_id, fact.attempt)
    if known is not None:
        fail_or_retry(on, known, fact)


def succeed(on: Deciding, known: StepState, fact: f.StepSucceeded) -> None:
    """Let a step have completed with what the fact says, whatever it was at."""
    if known.item is not None:
        on.write_changes(fact.changes)
        record_success(on, known, fact, ())
        item_ended(on, known)
        return
    if known.is_compensation:
        on.write_changes(fact.changes)
        record_success(on, known, fact, ())
        on.end_if_nothing_is_live()
        return
    outcome = Outcome(run=on.run, node_id=known.node_id, output=fact.output, action=fact.action, changes=fact.changes)
    try:
        deliveries = routed(on, outcome, on.stood_for(known.node_id))
    except ExpressionError as error:
        fail(on, known, _failure(fact, f.ErrorInfo(type="ExpressionError", message=str(error))))
        return
    except OutputError as error:
        # A fallback would have the same edges.
        message = f"what a transform made cannot be delivered: {error}"
        fail(on, known, _failure(fact, f.ErrorInfo(type="OutputError", message=message), fatal=True))
        return
    turn = any(goes_round(on.graph, delivery.route) for delivery in deliveries)
    if turn:  # those it stands in for wait until the loop has come to its end
        deliveries = [delivery for delivery in deliveries if delivery.route.source == known.node_id]
    if turn and _is_at_limit(on, known, fact):
        return
    if turn:
        _stop_round(on, known)
    on.write_changes(fact.changes)
    record_success(on, known, fact, deliveries)
    on.write_deliveries(deliveries)
    if turn:
        _begin_round(on, known, deliveries)
    else:
        on.settle(on.ways_of(known.node_id, Arrival.DEAD, deliveries))
    on.end_if_nothing_is_live()


def fail_or_retry(on: Deciding, known: StepState, fact: f.StepFailed) -> None:
    config = task_of(on.run, known).config
    delay_ms = delay_before_next(config, fact, of=f"{on.run.run_id}/{known.step_id}")
    if is_retried(config, known, fact, delay_ms=delay_ms):
        on.write_changes(fact.changes)
        retry(on, known, fact, delay_ms=delay_ms)
    else:
        fail(on, known, fact)


def retry(on: Deciding, known: StepState, fact: f.StepFailed, *, delay_ms: int) -> None:
    attempt = fact.attempt + 1
    begun = fact.started_at if known.first_started_at is None else known.first_started_at
    on.record(
        known,
        status=StepStatus.RETRYING,
        attempt=attempt,
        error=fact.error,
        reason=described(fact.error),
        worker=fact.worker,
        started_at=fact.started_at,
        first_started_at=begun,
        waiting_for=None,
        output=ABSENT,
        wake_at=fact.at + delay_ms / 1000 if delay_ms else None,
    )
    on.event(
        "step.retrying",
        on.about(
            known, attempt=attempt, ms=milliseconds(fact), reason=described(fact.error), delay_ms=delay_ms or None
        ),
    )
    if not delay_ms:
        on.decide(d.RunStep(known.step_id, known.node_id, attempt, known.item))


def fail(on: Deciding, known: StepState, fact: f.StepFailed) -> None:
    """Let the step have failed; its fallback, if it can help, stands in for it, and so this is no failure."""
    if known.batch is not None and known.batch.gather is not None:
        known = replace(known, batch=None, since=None)  # nobody would wait for its items
    if known.item is not None:
        on.write_changes(fact.changes)
        record_failure(on, known, fact, status=StepStatus.FAILED)
        on.event(
            "step.failed", on.about(known, attempt=fact.attempt, ms=milliseconds(fact), reason=described(fact.error))
        )
        item_ended(on, known)
        return
    if not (fact.fatal or known.is_compensation) and fallbacks.stands_in(on, known, fact):
        return
    on.write_changes(fact.changes)
    record_failure(on, known, fact, status=StepStatus.FAILED)
    on.event("step.failed", on.about(known, attempt=fact.attempt, ms=milliseconds(fact), reason=described(fact.error)))
    if known.is_compensation:
        on.end_if_nothing_is_live()
    elif on.graph.fails_fast:
        on.cancel_live(f"step {known.step_id} failed, and the blueprint fails fast")
        on.end(RunStatus.FAILED, f"step {known.step_id} failed")
    else:
        on.settle(on.ways_of(known.node_id, Arrival.FAILED))
        on.end_if_nothing_is_live()


def item_ended(on: Deciding, item: StepState) -> None:
    """Go on with the batch of an item that has ended; a `map` ends with its last item."""
    batch = on.run.batches.get(batch_id_of(item))
    if batch is None:
        return
    batching.start_items(on, batch)
    finish_if_over(on, batch)
    on.end_if_nothing_is_live()


def finish_if_over(on: Deciding, batch: BatchProgress) -> None:
    """End the step of a batch, once nothing of it is left to run."""
    known = on.run.steps.get(batch.step_id)
    if not batch.is_over or known is None:
        return
    if batch.spec.gather is not None:
        if not known.is_compensation:
            batching.come_to_gather(on, batch)
        return
    result = batching.result_of(on, known, batch)
    if isinstance(result, f.StepSucceeded):
        succeed(on, known, result)
    else:
        fail(on, known, result)


# -- rounds of a loop --------------------------------------------------------------------------------------------------


def _is_at_limit(on: Deciding, known: StepState, fact: f.StepSucceeded) -> bool:
    """Fail the controller of a loop that has gone round as often as it may."""
    given = on.graph.node(known.node_id).params.get("maxRounds")
    most, name = on.run.limits.rounds, "FAMULUS_MAX_ROUNDS"
    if isinstance(given, int | float) and given < most:
        most, name = int(given), "its maxRounds"
    if on.run.rounds.get(known.node_id, 0) < most:
        return False
    message = f"the loop {known.node_id!r} has gone round {most} times, and may not once more ({name})"
    fail(on, known, _failure(fact, f.ErrorInfo(type="LoopLimitError", message=message), fatal=True))
    return True


def _stop_round(on: Deciding, known: StepState) -> None:
    """Nothing of the body may still be under way; only what a loop was entered by besides its controller can be."""
    if not on.run.busy.get(known.node_id):
        return
    body = on.graph.loops[known.node_id].body
    for step in [step for step in on.run.steps.values() if step.is_live and step.node_id in body]:
        on.cancel(step, "another round has begun")


def _begin_round(on: Deciding, known: StepState, deliveries: Sequence[Delivery]) -> None:
    loop = on.graph.loops[known.node_id]
    fired = dict.fromkeys(delivery.route.target for delivery in deliveries)
    on.bring_up(loop.in_order, inside=loop.inside)
    entries = [node_id for node_id in loop.in_order if node_id in loop.entries]
    on.settle([Way(known.node_id, Arrival.DEAD, fired.keys(), tuple(dict.fromkeys((*entries, *fired))))])


# -- records -----------------------------------------------------------------------------------------------------------


def _failure(fact: f.StepSucceeded, error: f.ErrorInfo, *, fatal: bool = False) -> f.StepFailed:
    """The same attempt, as one that has failed for good."""
    return f.StepFailed(
        step_id=fact.step_id,
        attempt=fact.attempt,
        error=error,
        retryable=False,
        fatal=fatal,
        changes=fact.changes,
        started_at=fact.started_at,
        at=fact.at,
        worker=fact.worker,
    )


def _is_taken(known: StepState, fact: f.StepTaken) -> bool:
    return known.status is StepStatus.RUNNING and (known.worker, known.started_at) == (fact.worker, fact.started_at)
