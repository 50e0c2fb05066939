"""What holds for the whole run: it has ended, is paused, begins later, or nobody has its partition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from famulus.engine.explaining.explanation import Explanation
from famulus.flow.status import RUN_ENDED, RunStatus
from famulus.flow.waiting import TimerKey, TimerKind
from famulus.ids import StepId

if TYPE_CHECKING:
    from famulus.engine.explaining.knowledge import History, PartitionFacts, Surroundings
    from famulus.flow.state import RunState
    from famulus.ids import RunId

_OF_RUN = StepId("")


def explain_run(run: RunState, history: History, around: Surroundings) -> list[Explanation]:
    """At least one explanation."""
    if run.status in RUN_ENDED:
        return [ended(run.run_id, run.status, at=run.ended_at, reason=run.reason)]
    found = [*_standing(run, history), *partition_trouble(around.partition)]
    deadline = run.timers.get(TimerKey(TimerKind.RUN, _OF_RUN))
    if deadline is not None:
        found.append(
            Explanation(
                kind="run_timeout",
                awaits=("it fails at ", deadline, " if it has not ended by then (metadata.timeout)"),
                details={"at": deadline},
            )
        )
    return found


def ended(run_id: RunId, status: RunStatus, *, at: float | None, reason: str | None) -> Explanation:
    when = () if at is None else (" at ", at)
    why = f": {reason}" if reason else ""
    moves = {
        RunStatus.FAILED: (f"`famulus run retry {run_id}` tries what has failed again",),
        RunStatus.CANCELLED: (f"`famulus run rerun {run_id} STEP` would let it go on from a step",),
    }
    return Explanation(
        kind="ended",
        status=status.value,
        awaits=(f"{status.value}", *when, f", nothing is awaited{why}"),
        moves=moves.get(status, ()),
        details={"at": at, "reason": reason},
    )


def _standing(run: RunState, history: History) -> Iterator[Explanation]:
    begins = run.timers.get(TimerKey(TimerKind.START, _OF_RUN))
    if run.status is RunStatus.PAUSED:
        yield _paused(run, history)
    if begins is not None:
        yield Explanation(
            kind="start_at",
            status=run.status.value,
            awaits=("it was started for later and begins at ", begins),
            since=history.began_at,
            details={"at": begins},
        )
    elif run.ending is not None:
        yield Explanation(
            kind="compensating",
            status=run.status.value,
            awaits=(f"it undoes its completed steps, the latest first, and is {run.ending.status.value} then",),
            details={"ending": run.ending.status.value},
        )
    elif not run.live and not run.pending_joins:
        yield Explanation(
            kind="nothing_live",
            status=run.status.value,
            awaits=("no step of it is live, and yet it has not ended",),
            moves=(f"this should not be: `famulus verify --run {run.run_id}` says what deviates",),
        )
    elif run.status is not RunStatus.PAUSED:
        yield Explanation(
            kind=run.status.value,
            status=run.status.value,
            awaits=(_at_work(run),),
            since=history.began_at,
            details={"live": run.live, "active": run.active},
        )


def _at_work(run: RunState) -> str:
    """In how many steps it waits or works."""
    waiting = run.live - run.active
    working = _counted(run.active, "step is due or at work", "steps are due or at work")
    waits = _counted(waiting, "step waits", "steps wait")
    if not waiting:
        return working
    return waits if not run.active else f"{working}, {waits}"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _paused(run: RunState, history: History) -> Explanation:
    known = history.paused
    by = f" by {known.by}" if known is not None and known.by else ""
    reason = f" ({run.reason})" if run.reason else ""
    return Explanation(
        kind="paused",
        status=run.status.value,
        awaits=(f"it is paused{by}{reason}: what runs comes to its end, no further step starts",),
        since=None if known is None else known.at,
        moves=(f"`famulus run unpause {run.run_id}` lets it go on",),
        details={"by": None if known is None else known.by, "reason": run.reason},
    )


def partition_trouble(facts: PartitionFacts | None) -> Iterator[Explanation]:
    """What keeps the records of a partition from being handled, as far as the broker tells."""
    if facts is None:
        return
    where = f"partition {facts.partition} of {facts.topic}"
    details = {
        "topic": facts.topic,
        "partition": facts.partition,
        "group": facts.group,
        "members": facts.members,
        "unread": facts.unread,
    }
    if not facts.members:
        yield Explanation(
            kind="no_owner",
            awaits=(f"{where} has no owner: no worker of group {facts.group} runs",),
            moves=("a worker that starts takes it: `famulus worker`",),
            details=details,
        )
    elif not facts.is_settled:
        yield Explanation(
            kind="rebalance",
            awaits=(f"the {facts.members} workers of group {facts.group} are settling who has {where}",),
            moves=("this takes some seconds; if it never ends, a worker joins and leaves again and again",),
            details=details,
        )
    elif facts.is_owned is False:
        yield Explanation(
            kind="no_owner",
            awaits=(f"{where} has no owner, though group {facts.group} has {facts.members} workers",),
            moves=("restart a worker; do all of them use the same jobs topic?",),
            details=details,
        )
    if facts.unread:
        whose = "" if facts.owner is None else f" by {facts.owner}"
        count = "one record" if facts.unread == 1 else f"{facts.unread} records"
        yield Explanation(
            kind="lag",
            awaits=(f"{count} of {where} not acknowledged yet{whose}, among them perhaps one for this run",),
            details=details,
        )
