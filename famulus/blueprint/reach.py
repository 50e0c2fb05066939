"""Where edges lead."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from famulus.ids import NodeId


def reached(
    starts: Iterable[NodeId], following: Mapping[NodeId, Iterable[NodeId]], *, stop: Collection[NodeId] = ()
) -> frozenset[NodeId]:
    """These nodes and all that lie behind them, but for those at which it stops and what only they lead to."""
    found: set[NodeId] = set()
    left = list(starts)
    while left:
        node_id = left.pop()
        if node_id not in found and node_id not in stop:
            found.add(node_id)
            left += following.get(node_id, ())
    return frozenset(found)
