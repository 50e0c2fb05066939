"""All rules about the rows of one run. They are pure: rows in, deviations out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from famulus.engine.audit import batches, order, outcomes, routes, standing
from famulus.engine.audit.limits import limits as within_limits
from famulus.engine.audit.starts import starts
from famulus.engine.audit.subject import Subject, read

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from famulus.blueprint.graph import Graph
    from famulus.engine.audit.deviation import Deviation
    from famulus.flow.limits import RunLimits
    from famulus.ports import EventRow, RunRows

RULES: Final[tuple[Callable[[Subject], None], ...]] = (
    order.places,
    order.writers,
    order.seals,
    outcomes.rows_have_events,
    outcomes.events_have_rows,
    outcomes.one_outcome,
    outcomes.attempts,
    standing.ended_at,
    standing.nothing_is_live_after_the_end,
    standing.status_is_that_of_the_steps,
    standing.events_of_the_run,
    routes.fired_edges,
    batches.items,
    starts,
    within_limits,
)


def deviations_of(
    graph: Graph, rows: RunRows, events: Sequence[EventRow], *, limits: RunLimits | None = None
) -> list[Deviation]:
    """What is wrong with a run, from its visible rows and all its visible events.

    `limits` are asked for only if they are given: a worker may have had others.
    """
    return judged(read(graph, rows, events, limits=limits))


def judged(subject: Subject) -> list[Deviation]:
    for rule in RULES:
        rule(subject)
    return subject.found
