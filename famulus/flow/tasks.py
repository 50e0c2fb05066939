"""What a step runs: the node it stands for, or an item of that node's batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from famulus.blueprint.model import Node, NodeConfig
from famulus.flow.batches import batch_id_of, items_key
from famulus.flow.inputs import resolve

if TYPE_CHECKING:
    from famulus.flow.batches import BatchSpec
    from famulus.flow.state import RunState, StepState


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    node: Node
    """With `uses`, `params` and `config` as they hold for this step."""

    @property
    def uses(self) -> str:
        return self.node.uses

    @property
    def params(self) -> Mapping[str, Any]:
        return self.node.params

    @property
    def config(self) -> NodeConfig:
        return self.node.config


def task_of(run: RunState, step: StepState) -> Task:
    """What the step runs. An item of a `map` is tried as the node's config says; one of a `batch-scatter` once."""
    node = run.graph.node(step.node_id)
    if step.item is None:
        return Task(node=node)
    batch = run.batches.get(batch_id_of(step))
    if batch is None:
        return Task(node=node)
    spec = batch.spec
    config = NodeConfig() if spec.gather is not None else replace(node.config, fallback=None, compensate=None)
    return Task(node=replace(node, uses=spec.uses, params=_params(spec), inputs=None, config=config))


def input_of(run: RunState, step: StepState) -> Any:
    """The input of the step, null where there is none. Raises `InputError`."""
    node = run.graph.node(step.node_id)
    if step.item is not None:
        items = run.context.get(items_key(batch_id_of(step)))
        return items[step.item] if isinstance(items, Sequence) and step.item < len(items) else None
    if step.is_compensation and not node.inputs:
        outputs = (each.output for each in run.compensations.values() if each.undo_step_id == step.step_id)
        return next(outputs, None)
    return resolve(run, node)


def _params(spec: BatchSpec) -> Mapping[str, Any]:
    if spec.blueprint_id is None:
        return spec.params
    return {**spec.params, "blueprintId": spec.blueprint_id}
