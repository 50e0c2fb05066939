"""What a run has to do with its children, told from its blueprint and rows and from theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from famulus.blueprint.builtins import SubflowParams, parse_params
from famulus.blueprint.values import ABSENT
from famulus.engine.builtins.child_ids import child_run_id
from famulus.flow.status import StepStatus
from famulus.flow.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from famulus.blueprint.graph import Graph
    from famulus.blueprint.model import Node
    from famulus.flow.state import RunState, StepState
    from famulus.ids import RunId
    from famulus.ports import RunRows

_OVER: Final = frozenset({StepStatus.CANCELLED, StepStatus.FAILED})
_WITHOUT_RESULT: Final = _OVER | {StepStatus.RETRYING, StepStatus.RUNNING, StepStatus.WAITING}


def given_up_by(graph: Graph, rows: RunRows) -> tuple[RunId, ...]:
    """The children that nobody waits for any more: of steps that were cancelled, have failed or are tried again.

    From the rows: items that have ended are no steps of the state. Most of these children have ended. That of a present
    attempt is none of them, though the step may not be known to wait for it yet.
    """
    return tuple(
        child_run_id(rows.birth.run_id, row.step_id, attempt=attempt)
        for row in rows.steps
        if row.status in _WITHOUT_RESULT and _has_children(graph.nodes.get(row.node_id))
        for attempt in range(1, row.attempt + (row.status in _OVER))
    )


def _has_children(node: Node | None) -> bool:
    return node is not None and (node.uses == "subflow" or (node.uses == "map" and "blueprintId" in node.params))


def outputs_of(run: RunState, step: StepState) -> Mapping[str, str] | None:
    params = parse_params(task_of(run, step).node)
    return params.outputs if isinstance(params, SubflowParams) else None


def result_of(child: RunState, outputs: Mapping[str, str] | None) -> tuple[Any, dict[str, Any]]:
    """What a child that has completed gives its parent: the output of the step, and changes to the context.

    Mapped values where `outputs` names some; else the output of its only terminal node, or a map of all of them.
    """
    if outputs is not None:
        values = {key: _named(child, name) for key, name in outputs.items()}
        given = {key: value for key, value in values.items() if value is not ABSENT}
        return given, given
    graph = child.graph
    terminals = [node_id for node_id in graph.terminal_nodes if node_id not in graph.compensations]
    found = {node_id: child.output_of(node_id) for node_id in terminals}
    if len(terminals) == 1:
        output = found[terminals[0]]
        return (None if output is ABSENT else output), {}
    return {node_id: output for node_id, output in found.items() if output is not ABSENT}, {}


def _named(child: RunState, name: str) -> Any:
    output = child.output_of(name)
    return child.read(name) if output is ABSENT else output
