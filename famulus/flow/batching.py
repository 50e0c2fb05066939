"""Batches: items start as their limits let them, and the step that has them ends with the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus.errors import OutputError
from famulus.flow import decisions as d
from famulus.flow import facts as f
from famulus.flow.arrivals import Arrival
from famulus.flow.batches import item_step_id, items_key, tolerated
from famulus.flow.deciding import Deciding, Way
from famulus.flow.recording import failed, succeeded

if TYPE_CHECKING:
    from famulus.flow.batches import BatchProgress
    from famulus.flow.state import StepState


def write_items(on: Deciding, known: StepState, fact: f.BatchScattered) -> None:
    """Keep the items, and tell what the specification has told of them in the context."""
    on.write(items_key(known.step_id), list(fact.items))
    gather = fact.spec.gather
    if gather is None:
        return
    on.write(f"{known.node_id}_currentIndex", len(fact.items))
    on.write(f"{gather}_hasMore", value=False)
    on.write(f"{gather}_allWorkerIds", [item_step_id(known.step_id, index) for index in range(len(fact.items))])


def start_items(on: Deciding, batch: BatchProgress) -> None:
    """Start as many items as may run now. Too many that failed stop those that still run, too."""
    if batch.is_stopped:
        if batch.live:
            on.cancel_items(batch.step_id, "too many items have failed")
        return
    for index in batch.startable(on.run.limits.items_at_once):
        if on.is_stopped():
            return
        on.decide(d.RunStep(item_step_id(batch.step_id, index), batch.node_id, 1, index))


def come_to_gather(on: Deciding, batch: BatchProgress) -> None:
    """All items of a `batch-scatter` have ended: let it come to the node that gathers them."""
    gather = batch.spec.gather
    known = on.run.steps.get(batch.step_id)
    if known is None or gather is None:
        return
    fired = {on.graph.route(index).target for index in known.fired}
    otherwise = Arrival.FAILED if batch.too_many_failed else Arrival.DEAD
    reached = frozenset((gather,)) if gather in fired and not batch.too_many_failed else frozenset()
    waits = gather in on.graph.nodes and batch.node_id in on.graph.scatters_of(gather)
    on.settle([Way(batch.node_id, otherwise, reached, (gather,) if waits else ())])


def result_of(on: Deciding, known: StepState, batch: BatchProgress) -> f.StepSucceeded | f.StepFailed:
    """What a `map` gives: the results in item order, or its failure."""
    if batch.too_many_failed:
        message = (
            f"{len(batch.failed)} of {batch.spec.count} items failed, at most {tolerated(batch.spec)} may; "
            f"the first is {item_step_id(batch.step_id, min(batch.failed))}"
        )
        return failed(on, known, f.ErrorInfo(type="BatchError", message=message))
    results = batch.results()
    try:
        on.run.limits.deliverable(results)
    except OutputError as error:
        return failed(on, known, f.ErrorInfo(type="OutputError", message=f"the results: {error}"))
    return succeeded(on, known, results)
