"""Items belong to a step that has them, and a `map` has completed when all of them have ended."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from famulus.engine.claims import is_large
from famulus.flow.batches import batch_id_of, items_key, tolerated
from famulus.flow.status import StepStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from famulus.engine.audit.subject import Subject
    from famulus.flow.batches import BatchSpec
    from famulus.flow.state import StepState
    from famulus.ids import StepId


def items(subject: Subject) -> None:
    by_batch: defaultdict[StepId, dict[int, StepState]] = defaultdict(dict)
    for step in subject.steps.values():
        if step.item is None:
            continue
        batch = subject.steps.get(batch_id_of(step))
        if batch is None or batch.batch is None:
            message = f"it is an item of {batch_id_of(step)}, which has none"
            subject.deviates(step.step_id, "item.of_nothing", message)
        elif not 0 <= step.item < batch.batch.count:
            message = f"it is item {step.item} of {batch.batch.count}"
            subject.deviates(step.step_id, "item.of_nothing", message)
        else:
            by_batch[batch.step_id][step.item] = step
    for step in subject.steps.values():
        if step.batch is not None:
            _items_are_kept(subject, step, step.batch)
            if step.status is StepStatus.COMPLETED and not step.is_handled and step.batch.gather is None:
                _map_is_done(subject, step, step.batch, by_batch[step.step_id])


def _items_are_kept(subject: Subject, step: StepState, spec: BatchSpec) -> None:
    key = items_key(step.step_id)
    kept = next((write.value for write in subject.writes if write.key == key), None)
    if is_large(kept):
        return
    if not isinstance(kept, list) or len(kept) != spec.count:
        message = f"it has {spec.count} items, the context keeps {len(kept) if isinstance(kept, list) else 'none'}"
        subject.deviates(step.step_id, "item.not_kept", f"{message} of them ({key}): they cannot run again")


def _map_is_done(subject: Subject, step: StepState, spec: BatchSpec, ended: Mapping[int, StepState]) -> None:
    done = (StepStatus.COMPLETED, StepStatus.FAILED)
    missing = [index for index in range(spec.count) if index not in ended or ended[index].status not in done]
    if missing:
        message = f"it has completed, but {len(missing)} of its {spec.count} items have not, {missing[0]} among them"
        subject.deviates(step.step_id, "batch.early", message)
        return
    failed = sum(item.status is StepStatus.FAILED for item in ended.values())
    if failed > tolerated(spec):
        message = f"it has completed, though {failed} items failed and {tolerated(spec)} may"
        subject.deviates(step.step_id, "batch.in_spite", message)
    given = [
        ended[index].output if ended[index].status is StepStatus.COMPLETED else None for index in range(spec.count)
    ]
    if step.output != given and not any(map(is_large, (step.output, *given))):
        message = "its output is not what its items gave, in their order"
        subject.deviates(step.step_id, "batch.output", message)
