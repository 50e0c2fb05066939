"""What live steps wait for: an attempt, time, somebody outside, a child run, items, an implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from famulus.engine.explaining.explanation import Explanation, Words, listed
from famulus.flow.batches import batch_id_of, tolerated
from famulus.flow.status import RunStatus, StepStatus
from famulus.flow.tasks import task_of
from famulus.flow.waiting import ForChild, ForSignal, ForTimer, ForWebhook

if TYPE_CHECKING:
    from famulus.engine.explaining.knowledge import History, Surroundings
    from famulus.flow.batches import BatchProgress
    from famulus.flow.state import RunState, StepState
    from famulus.flow.suspicion import Suspicion


def explain_step(  # noqa: PLR0911  # a table of statuses
    run: RunState, step: StepState, history: History, around: Surroundings
) -> Explanation:
    """Of a step that has not ended."""
    since = history.steps.get(step.step_id, step.started_at)
    if step.is_due and step.suspicion is not None and step.suspicion.is_suspect:
        return _in_quarantine(step, since, step.suspicion)
    match step.status:
        case StepStatus.PARKED:
            return _parked(run, step, since)
        case StepStatus.SLEEPING:
            return _sleeping(run, step, since)
        case StepStatus.WAITING:
            return _waiting(run, step, since, around)
        case StepStatus.RETRYING if step.wake_at is not None:
            return _delayed(run, step, since)
        case StepStatus.RUNNING:
            return _running(run, step, around)
        case _:
            return _due(run, step, since, around)


def _about(step: StepState, kind: str, awaits: Words, **more: Any) -> Explanation:
    return Explanation(
        kind=kind, awaits=awaits, step_id=step.step_id, node_id=step.node_id, status=step.status.value, **more
    )


# -- an attempt ------------------------------------------------------------------------------------------------------


def _due(run: RunState, step: StepState, since: float | None, around: Surroundings) -> Explanation:
    if since is None:
        since = _due_since(run, step)
    uses = task_of(run, step).uses
    what = f"attempt {step.attempt} is due" if step.attempt > 1 else "it is due"
    details = {"uses": uses, "attempt": step.attempt}
    if run.status is RunStatus.PAUSED:
        moves = ("it starts when the run goes on",)
        return _about(step, "paused", (f"{what}, but the run is paused",), since=since, moves=moves, details=details)
    if around.registered is not None and uses not in around.registered:
        return _about(
            step,
            "missing_implementation",
            (f"{what}, and the worker that owns the run has no implementation `{uses}`: it asks all others",),
            since=since,
            moves=("if none has it, it is parked or fails, as FAMULUS_MISSING_IMPLEMENTATION says",),
            details=details,
        )
    turns = around.turns.get(uses)
    lease = f"/{run.run_id}/{step.step_id}/{step.attempt}"
    if turns is not None and not any(held.endswith(lease) for held in turns.leases):
        taken = len(turns.leases)
        count = "one attempt has" if taken == 1 else f"{taken} attempts have"
        return _about(
            step,
            "limit",
            (f"{what} and waits for a turn of `{uses}`, which has a limit over all workers ({count} one now)",),
            since=since,
            moves=("it starts when one is given back, or the rate allows the next start",),
            details={**details, "turns_taken": taken},
        )
    partition = around.partition
    if partition is not None and partition.is_orphaned:
        moves = ("it starts when a worker takes the partition",)
        return _about(
            step, "no_owner", (f"{what}, and nobody owns its run",), since=since, moves=moves, details=details
        )
    if around.at_work is not None and step.step_id in around.at_work:
        return _about(
            step,
            "at_work",
            (f"{what}, and this worker has it at work or in line for a slot",),
            since=since,
            moves=("it ends, or a slot becomes free (FAMULUS_CONCURRENCY, FAMULUS_CONCURRENCY_PER_RUN)",),
            details=details,
        )
    owner = "the owner of its run" if partition is None or partition.owner is None else partition.owner
    return _about(
        step,
        "due",
        (f"{what}, and {owner} has it at work for less than FAMULUS_TAKEN_SECONDS, or in line for a slot or a turn",),
        since=since,
        moves=("if no worker has it, the next look after open runs (FAMULUS_RECONCILE_SECONDS) starts it",),
        details=details,
    )


def _due_since(run: RunState, step: StepState) -> float | None:
    """When the last of those that lead to it ended, or the run began."""
    if step.item is not None:
        batch = run.steps.get(batch_id_of(step))
        return None if batch is None else batch.started_at
    before = (run.step_of(source) for source in run.predecessors(step.node_id))
    return max((each.ended_at for each in before if each is not None and each.ended_at is not None), default=None)


def _running(run: RunState, step: StepState, around: Surroundings) -> Explanation:
    config = task_of(run, step).config
    moves: Words = ("its end moves the run",)
    if step.started_at is not None and config.timeout_ms is not None:
        moves = ("its end moves the run, or its timeout at ", step.started_at + config.timeout_ms / 1000)
    where = f" on {step.worker}" if step.worker else ""
    if around.partition is not None and around.partition.is_orphaned:
        moves = ("if that worker has died, the next owner of the run starts the attempt again",)
    return _about(
        step,
        "running",
        (f"attempt {step.attempt} runs{where}",),
        since=step.started_at,
        moves=moves,
        details={"worker": step.worker, "attempt": step.attempt},
    )


def _delayed(run: RunState, step: StepState, since: float | None) -> Explanation:
    why = f", for the one before failed: {step.reason}" if step.reason else ""
    most = task_of(run, step).config.max_attempts
    assert step.wake_at is not None  # noqa: S101  # the caller has looked
    return _about(
        step,
        "retry_delay",
        (f"attempt {step.attempt} of {most} is made at ", step.wake_at, why),
        since=since,
        details={"attempt": step.attempt, "at": step.wake_at},
    )


# -- time, somebody outside ------------------------------------------------------------------------------------------


def _sleeping(run: RunState, step: StepState, since: float | None) -> Explanation:
    until: Words = () if step.wake_at is None else (" until ", step.wake_at)
    return _about(
        step,
        "timer",
        ("it sleeps", *until),
        since=since,
        moves=(f"`{_resume(run, step)}` wakes it before that",),
        details={"at": step.wake_at},
    )


def _waiting(run: RunState, step: StepState, since: float | None, around: Surroundings) -> Explanation:
    waiting_for = step.waiting_for
    match waiting_for:
        case None:
            return _items(run, step, since)
        case ForTimer():
            return _sleeping(run, step, since)
        case ForSignal(signal=signal, timeout_action=action):
            named = f"the signal `{signal}`" if signal else "somebody to resume it"
            tell = f"`famulus run signal {run.run_id} {signal}`" if signal else f"`{_resume(run, step)}`"
            return _about(
                step,
                "signal" if signal else "resume",
                (f"it waits for {named}",),
                since=since,
                moves=(f"{tell} lets it go on", *_deadline(step, action)),
                details={"signal": signal, "deadline": step.wake_at, "timeout_action": action},
            )
        case ForWebhook(timeout_action=action, token_expires_at=expires_at):
            until: Words = () if expires_at is None else (" (good until ", expires_at, ")")
            return _about(
                step,
                "webhook",
                ("it waits for a call of its webhook",),
                since=since,
                moves=(
                    "a call with its token",
                    *until,
                    f", or `{_resume(run, step)}`, lets it go on",
                    *_deadline(step, action),
                ),
                details={"deadline": step.wake_at, "timeout_action": action, "token_expires_at": expires_at},
            )
        case ForChild():
            return _child(step, waiting_for, since, around)
        case _:
            assert_never(waiting_for)


def _deadline(step: StepState, action: str | None) -> Words:
    if step.wake_at is None:
        return ()
    then = "it fails" if action is None else f"it goes on with action `{action}`"
    return (f"; without that {then} at ", step.wake_at)


def _child(step: StepState, child: ForChild, since: float | None, around: Surroundings) -> Explanation:
    status = around.children.get(child.run_id)
    how = "which is not recorded yet" if status is None else f"which is {status}"
    moves: Words = (f"`famulus explain {child.run_id}` says what that one waits for",)
    if status is None:
        moves = ("its start is a record on the jobs topic; the owner of its partition is to read it",)
    elif status in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED):
        moves = ("its end is told by a record on the jobs topic; the owner of this run is to read it",)
    if step.wake_at is not None:
        moves = (*moves, "; it is out of time at ", step.wake_at)
    return _about(
        step,
        "child",
        (f"it waits for run {child.run_id} of {child.blueprint_id}, {how}",),
        since=since,
        moves=moves,
        details={"child": child.run_id, "child_status": status, "deadline": step.wake_at},
    )


def _resume(run: RunState, step: StepState) -> str:
    return f"famulus run resume {run.run_id} --step {step.step_id}"


# -- items -----------------------------------------------------------------------------------------------------------


def _items(run: RunState, step: StepState, since: float | None) -> Explanation:
    batch = run.batches.get(step.step_id)
    if batch is None:
        return _about(step, "items", ("it waits for its items",), since=since)
    return _about(
        step,
        "items",
        (f"it waits for its items: {items_told(run, batch)}",),
        since=since,
        moves=(items_move(run, batch),),
        details=items_details(batch),
    )


def items_told(run: RunState, batch: BatchProgress) -> str:
    failed = f", {len(batch.failed)} failed ({tolerated(batch.spec)} may)" if batch.failed else ""
    parked = len(parked_items(run, batch))
    words = f"{len(batch.ended)} of {batch.spec.count} have ended{failed}, {len(batch.live)} are under way"
    return f"{words}, {parked} of these parked" if parked else words


def items_move(run: RunState, batch: BatchProgress) -> str:
    if parked_items(run, batch):
        return "parked items go on when a worker has their implementation"
    if batch.spec.spread:
        return "any worker runs them; one that is not heard of is sent again (FAMULUS_ITEM_PATIENCE_SECONDS)"
    return "each item that ends lets the next one start"


def items_details(batch: BatchProgress) -> dict[str, Any]:
    return {
        "count": batch.spec.count,
        "ended": len(batch.ended),
        "failed": len(batch.failed),
        "live": len(batch.live),
    }


def parked_items(run: RunState, batch: BatchProgress) -> list[StepState]:
    items = (run.steps.get(f"{batch.step_id}[{index}]") for index in batch.live)  # type: ignore[call-overload]
    return [item for item in items if item is not None and item.status is StepStatus.PARKED]


def _in_quarantine(step: StepState, since: float | None, suspicion: Suspicion) -> Explanation:
    alone = "alone" if suspicion.is_alone else "with other suspects"
    times = suspicion.inherited + suspicion.crashes
    running = "has its turn" if suspicion.marked_by is not None else "waits for its turn"
    return _about(
        step,
        "quarantine",
        (f"workers were gone under it {times} times, so it {running} to run {alone}",),
        since=since,
        moves=("its end, or so long without a crash that the next suspect may run (docs/decisions/0018)",),
        details={"inherited": suspicion.inherited, "crashes": suspicion.crashes, "alone": suspicion.is_alone},
    )


# -- parked ----------------------------------------------------------------------------------------------------------


def _parked(run: RunState, step: StepState, since: float | None) -> Explanation:
    if step.suspicion is not None:
        return _spent(run, step, since)
    uses = task_of(run, step).uses
    again = f"famulus run retry {run.run_id} --step {step.step_id}"
    return _about(
        step,
        "parked",
        (f"it is parked, for no worker that was asked has the implementation {listed([uses])}",),
        since=since,
        moves=(f"it goes on by itself when a worker has it (FAMULUS_RECONCILE_SECONDS); `{again}` asks at once",),
        details={"uses": uses, "reason": step.reason},
    )


def _spent(run: RunState, step: StepState, since: float | None) -> Explanation:
    """It has ended the processes that ran it too often."""
    return _about(
        step,
        "crash_budget",
        (f"it is parked: {step.reason or 'its crash budget is spent'}",),
        since=since,
        moves=(f"`famulus run retry {run.run_id} --step {step.step_id}` tries it again",),
        details={"uses": task_of(run, step).uses, "reason": step.reason},
    )
