"""When a node with several predecessors starts, or never will.

Decided from three counts, so that whoever counts (Redis, rows, a test) gets the same answer. A predecessor is counted
once, by its name, however often it is reported: that is why a join cannot fire early on a doubled message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Final

from famulus.blueprint.model import JoinPolicy
from famulus.flow.arrivals import Arrivals

if TYPE_CHECKING:
    from famulus.flow.state import RunState
    from famulus.ids import NodeId


NONE: Final = Arrivals()


class Verdict(Enum):
    WAIT = "wait"
    START = "start"
    SKIP = "skip"
    """No edge into the node fired, and none will."""
    BLOCK = "block"
    """It will never start because a predecessor failed."""


def decide(policy: JoinPolicy, counts: Arrivals, *, expected: int, needed: int | None = None) -> Verdict:
    """What the arrivals mean for a node with so many predecessors, of which so many are needed (`n_of_m`).

    Once the verdict is not to wait, no later arrival changes it.
    """
    return _VERDICTS[policy](counts, expected, needed or 1)


def verdict_of(run: RunState, node_id: NodeId, counts: Arrivals, calls: Arrivals = NONE) -> Verdict:
    """What the arrivals mean for this node, and what those that name it as their fallback say (`fired`: needed).

    A fallback starts by its edges as any node does. When no edge will start it, it starts if it is needed, and is
    skipped once nobody can need it any more. One that is needed in a round does not wait for the loop to be left:
    the round waits for it.
    """
    config = run.graph.node(node_id).config
    expected = len(run.predecessors(node_id))
    if calls.fired and run.rounds:
        expected -= sum(_waits_for_loop(run, source, node_id) for source in run.predecessors(node_id))
    if run.rounds.get(node_id):
        return _round(counts, expected, busy=bool(run.busy.get(node_id)))
    verdict = decide(config.join, counts, expected=expected, needed=config.join_count) if expected else Verdict.SKIP
    if verdict is Verdict.SKIP:
        if calls.fired:
            return Verdict.START
        if calls.total < len(run.graph.callers(node_id)):
            return Verdict.WAIT
    return verdict


def _waits_for_loop(run: RunState, source: NodeId, node_id: NodeId) -> bool:
    """Whether a predecessor of a fallback comes only when the loop is left in a round of which the fallback is."""
    for controller in run.graph.comes_after_loops(node_id, source):
        step = run.step_of(source)
        if run.rounds.get(controller) and (step is None or (source == controller and step.is_live)):
            return True
    return False


def _round(counts: Arrivals, expected: int, *, busy: bool) -> Verdict:
    """Whether a round of a loop is over, and how: its controller is asked again if any way has led back to it."""
    if counts.total < expected or busy:
        return Verdict.WAIT
    if counts.fired:
        return Verdict.START
    return Verdict.BLOCK if counts.failed else Verdict.SKIP


def _all(counts: Arrivals, expected: int, _needed: int) -> Verdict:
    if counts.total < expected:
        return Verdict.WAIT
    if counts.failed:
        return Verdict.BLOCK
    return Verdict.START if counts.fired else Verdict.SKIP


def _all_settled(counts: Arrivals, expected: int, _needed: int) -> Verdict:
    if counts.total < expected:
        return Verdict.WAIT
    return Verdict.START if counts.fired or counts.failed else Verdict.SKIP


def _any(counts: Arrivals, expected: int, _needed: int) -> Verdict:
    if counts.fired:
        return Verdict.START
    if counts.total < expected:
        return Verdict.WAIT
    return Verdict.BLOCK if counts.failed else Verdict.SKIP


def _n_of_m(counts: Arrivals, expected: int, needed: int) -> Verdict:
    if counts.fired >= needed:
        return Verdict.START
    if counts.failed and counts.dead + counts.failed > expected - needed:
        return Verdict.BLOCK
    # Beyond reach although nothing failed: whether it is skipped or blocked depends on those that are still to come.
    return Verdict.WAIT if counts.total < expected else Verdict.SKIP


_VERDICTS: Final[Mapping[JoinPolicy, Callable[[Arrivals, int, int], Verdict]]] = {
    JoinPolicy.ALL: _all,
    JoinPolicy.ANY: _any,
    JoinPolicy.ALL_SETTLED: _all_settled,
    JoinPolicy.N_OF_M: _n_of_m,
}
