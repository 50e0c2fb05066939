"""Where a fallback that stands in for a failed node would be waited for by what it waits for itself.

A node that failed leaves it to its fallback how it comes to its successors, so they wait for the fallback; and the
fallback waits for its own predecessors. A successor that leads to the fallback must not wait for it. It takes it that
the failed node went another way: in `a -> b -> c` with `c` as the fallback of `a`, a failure of `a` skips `b`.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from famulus.blueprint.circles import circles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from famulus.ids import NodeId

_SETTLED: Final = 0
"""The node has come to its end, run or not."""
_CALLED: Final = 1
"""A fallback that somebody needs can start: its own predecessors have come."""
_RESULT: Final = 2
"""A fallback that was called, or the one that stands in for it, has a result."""

if TYPE_CHECKING:
    Point = tuple[int, NodeId]


def told_at_once(
    successors: Mapping[NodeId, Sequence[NodeId]],
    fallback_of: Mapping[NodeId, NodeId],
    callers: Mapping[NodeId, Sequence[NodeId]],
) -> dict[NodeId, frozenset[NodeId]]:
    """For nodes with a fallback the successors that do not wait for it when they fail. Linear time."""
    if not fallback_of:
        return {}
    fallbacks = frozenset(fallback_of.values())
    before: defaultdict[Point, list[Point]] = defaultdict(list)
    """What a point leads to."""

    def comes(point: Point, target: NodeId) -> None:
        before[point].append((_SETTLED, target))
        if target in fallbacks:
            before[point].append((_CALLED, target))

    for source, targets in successors.items():
        for target in targets:
            comes((_SETTLED, source), target)
            if source in fallback_of:
                comes((_RESULT, fallback_of[source]), target)
    for fallback in fallbacks:
        before[_CALLED, fallback] += [(_SETTLED, fallback), (_RESULT, fallback)]
        for caller in callers[fallback]:
            before[_SETTLED, caller].append((_SETTLED, fallback))
        if fallback in fallback_of:
            before[_RESULT, fallback_of[fallback]].append((_RESULT, fallback))

    circle = circles(before)
    found = {}
    for node_id, fallback in fallback_of.items():
        own = circle[_RESULT, fallback]
        early = frozenset(
            target for target in successors[node_id] if own in (circle[_SETTLED, target], circle.get((_CALLED, target)))
        )
        if early:
            found[node_id] = early
    return found
