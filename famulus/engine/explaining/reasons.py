"""Why a run stands where it stands: for the run and for every step that has not ended, what it waits for.

Pure: the state of the run as its rows tell it, its events, and what is known of the world, are arguments.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from famulus.engine.explaining.explanation import Explanation, RunExplanation
from famulus.engine.explaining.of_nodes import explain_node
from famulus.engine.explaining.of_run import explain_run
from famulus.engine.explaining.of_steps import explain_step
from famulus.flow.fold import NOT_BEFORE
from famulus.flow.status import RUN_ENDED
from famulus.flow.ways import Ways

if TYPE_CHECKING:
    from famulus.engine.explaining.knowledge import History, Surroundings
    from famulus.flow.state import RunState, StepState
    from famulus.ids import NodeId

STEPS_EXPLAINED: Final = 1000
ITEMS_EXPLAINED: Final = 20
"""Of the items of one step; how many there are, the step says."""


def explain(run: RunState, history: History, around: Surroundings) -> RunExplanation:
    of_steps: list[Explanation] = []
    left_out = 0
    if run.status not in RUN_ENDED:
        for explanation in _of_steps(run, history, around):
            if explanation is None or len(of_steps) >= STEPS_EXPLAINED:
                left_out += 1
            else:
                of_steps.append(explanation)
    return RunExplanation(
        run_id=run.run_id,
        status=run.status.value,
        of_run=tuple(explain_run(run, history, around)),
        of_steps=tuple(of_steps),
        left_out=left_out,
    )


def _of_steps(run: RunState, history: History, around: Surroundings) -> Iterator[Explanation | None]:
    """``None`` for one that is left out."""
    steps: defaultdict[NodeId, list[StepState]] = defaultdict(list)
    for step in run.steps.values():
        if step.is_live:
            steps[step.node_id].append(step)
    begins = NOT_BEFORE not in run.context and run.ending is None
    ways = Ways(run)
    for node_id in run.graph.nodes:
        of_node = steps.get(node_id, ())
        items = [step for step in of_node if step.item is not None]
        yield from (explain_step(run, step, history, around) for step in of_node if step.item is None)
        yield from (explain_step(run, step, history, around) for step in items[:ITEMS_EXPLAINED])
        yield from (None for _ in items[ITEMS_EXPLAINED:])
        # What only a batch leads to, by the name in its params, is not reachable by edges.
        is_awaited = node_id in run.graph.reachable or run.step_id_of(node_id) in run.join_nodes
        if begins and is_awaited and run.step_of(node_id) is None:
            explanation = explain_node(run, node_id, ways, history)
            if explanation is not None:
                yield explanation
