"""What came of a run, in the words of the door for outside trials."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from famulus.blueprint.values import ABSENT
from famulus.flow.batches import batch_id_of
from famulus.flow.status import RUN_ENDED, RunStatus, StepStatus

if TYPE_CHECKING:
    from famulus.blueprint import Blueprint
    from famulus.flow.state import RunState, StepState

AWAITING: Final = "awaiting"
_WAITS: Final = (StepStatus.WAITING, StepStatus.SLEEPING)
_NOT_STARTED: Final = (StepStatus.SKIPPED, StepStatus.SCHEDULED)


def report(
    blueprint: Blueprint, run: RunState, recorded: Iterable[StepState], children: Mapping[str, Any]
) -> dict[str, Any]:
    """`recorded`: every step with a row. `run`: the state that these rows give."""
    by_node: defaultdict[str, list[StepState]] = defaultdict(list)
    items: defaultdict[str, list[StepState]] = defaultdict(list)
    for step in sorted(recorded, key=lambda step: step.seq):
        if step.item is None:
            by_node[step.node_id].append(step)
        else:
            items[batch_id_of(step)].append(step)
    latest = {node_id: steps[-1] for node_id, steps in by_node.items()}
    started = {node_id: [step for step in steps if _was_started(step)] for node_id, steps in by_node.items()}
    completed: dict[str, Any] = {
        node_id: _output(step) for node_id, step in latest.items() if step.status is StepStatus.COMPLETED
    }
    outputs: dict[str, Any] = {**{str(node_id): value for node_id, value in run.outputs.items()}, **completed}
    of_batches = [item for steps in items.values() for item in steps]
    scattered = {
        node.id: step
        for node in blueprint.nodes
        if node.uses == "batch-scatter"
        for step in by_node.get(node.id, ())
        if step.status is StepStatus.COMPLETED and not step.is_handled
    }
    return {
        "status": run.status.value if run.status in RUN_ENDED else AWAITING,
        "outputs": outputs,
        "context": {key: value for key, value in run.user_context().items() if key not in outputs},
        "executed": sorted(node_id for node_id, steps in started.items() if steps),
        "counts": {node_id: len(steps) for node_id, steps in started.items() if len(steps) > 1},
        "attempts": {
            node_id: sum(step.attempt for step in steps)
            for node_id, steps in started.items()
            if any(step.attempt > 1 for step in steps)
        },
        "errors": _errors(run, by_node, items),
        "awaiting": sorted({step.node_id for step in (*latest.values(), *of_batches) if step.status in _WAITS}),
        "skipped": sorted(
            node_id for node_id, step in latest.items() if step.status is StepStatus.SKIPPED and not started[node_id]
        ),
        "batches": {
            node_id: [_output(item) for item in sorted(items[step.step_id], key=_index)]
            for node_id, step in scattered.items()
        },
        "children": dict(children),
    }


def refused(initial: Mapping[str, Any]) -> dict[str, Any]:
    """Of a blueprint that was not started at all."""
    return {
        "status": RunStatus.FAILED.value,
        "outputs": {},
        "context": {key: value for key, value in initial.items() if not key.startswith("_")},
        "executed": [],
        "counts": {},
        "attempts": {},
        "errors": [],
        "awaiting": [],
        "skipped": [],
        "batches": {},
        "children": {},
    }


def _was_started(step: StepState) -> bool:
    if step.status in _NOT_STARTED:
        return False
    return step.status is not StepStatus.CANCELLED or step.started_at is not None


def _errors(run: RunState, by_node: Mapping[str, list[StepState]], items: Mapping[str, list[StepState]]) -> list[str]:
    """A node of a loop may have failed in one round and completed in another."""
    failed = {n for n, steps in by_node.items() if any(step.status is StepStatus.FAILED for step in steps)}
    if not failed and run.status is RunStatus.FAILED:
        # Nothing but items of batches: the step that they belong to has failed with them.
        of_items = [step for steps in items.values() for step in steps if step.status is StepStatus.FAILED]
        failed = {step.node_id for step in of_items}
    return sorted(failed)


def _output(step: StepState) -> Any:
    return None if step.output is ABSENT else step.output


def _index(item: StepState) -> int:
    return item.item or 0
