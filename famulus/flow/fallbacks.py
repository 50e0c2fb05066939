"""A fallback stands in for a node that has failed (blueprint specification, section 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus.errors import ExpressionError, OutputError
from famulus.flow.arrivals import Arrival
from famulus.flow.deciding import Deciding, Way
from famulus.flow.firing import routed_behind
from famulus.flow.recording import described, milliseconds, record_failure
from famulus.flow.routing import Delivery, Outcome
from famulus.flow.status import StepStatus

if TYPE_CHECKING:
    from famulus.flow import facts as f
    from famulus.flow.state import StepState
    from famulus.ids import NodeId


def stands_in(on: Deciding, known: StepState, fact: f.StepFailed) -> bool:
    """Let the fallback of a step that has failed stand in for it, and say whether there is one that can."""
    fallback = on.graph.fallback_of(known.node_id)
    if fallback is None or not _can_help(on, fallback, known):
        return False
    try:
        _hand_over(on, known, fact, fallback)
    except (ExpressionError, OutputError):
        return False  # its result is there, and this step's edges can do nothing with it
    return True


def _can_help(on: Deciding, fallback: NodeId, known: StepState) -> bool:
    """Whether the fallback of a step runs, or has run, or could not run for a failure that is told already."""
    step = on.run.step_of(fallback)
    speaker = None if step is None else on.run.speaker_of(step)
    if speaker is None:
        return True
    if speaker.step_id == known.step_id:
        return False  # it failed before, and named this step as its own fallback
    return speaker.status is not StepStatus.SKIPPED or speaker.blocked


def _hand_over(on: Deciding, known: StepState, fact: f.StepFailed, fallback: NodeId) -> None:
    """Let the fallback stand in. If it has come to its end already, its result fires the edges of this step too.

    Raises `ExpressionError` or `OutputError`, before anything is decided, if that cannot be worked out.
    """
    step = on.run.step_of(fallback)
    speaker = None if step is None else on.run.speaker_of(step)
    behind = (known.node_id, *on.stood_for(known.node_id))
    deliveries: list[Delivery] = []
    if speaker is not None and speaker.status is StepStatus.COMPLETED:
        outcome = Outcome(
            run=on.run,
            node_id=speaker.node_id,
            output=speaker.output,
            action=speaker.action,
            changes=fact.changes,
        )
        deliveries = routed_behind(on, outcome, behind, by_default=not _fired_by_action(on, speaker))
    on.write_changes(fact.changes)
    fired = tuple(delivery.route.index for delivery in deliveries)
    record_failure(on, known, fact, status=StepStatus.COMPLETED, output=None, fired=fired)
    on.write_deliveries(deliveries)
    on.event(
        "step.failed",
        on.about(known, attempt=fact.attempt, ms=milliseconds(fact), reason=described(fact.error), fallback=fallback),
    )
    on.calls[fallback][known.node_id] = Arrival.FIRED
    early = on.graph.told_at_once(known.node_id)
    ways = [Way(known.node_id, Arrival.DEAD, targets=[t for t in on.run.targets(known.node_id) if t in early])]
    if speaker is not None and not speaker.is_live:
        otherwise = Arrival.DEAD if speaker.status is StepStatus.COMPLETED else Arrival.FAILED
        ways += on.ways_behind(behind, otherwise, deliveries)
    on.settle(ways)
    on.end_if_nothing_is_live()


def _fired_by_action(on: Deciding, step: StepState) -> bool:
    """Whether a completed step has fired edges by its action, its own or those of nodes that it stands in for."""
    return any(on.graph.route(index).action is not None for index in step.fired)
