"""Joins counted in this process: for tests, and for a worker without Redis.

A partition has one owner, so nobody else needs these counts; an owner that starts without them refills them from rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus.flow.arrivals import Arrival, Arrivals, JoinProgress
from famulus.ports import JoinKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from famulus.ids import NodeId, RunId, StepId


class MemoryJoins:
    """Keeps `famulus.ports.Joins`."""

    def __init__(self) -> None:
        self._joins: dict[JoinKey, JoinProgress] = {}

    async def arrive(self, key: JoinKey, arrivals: Mapping[NodeId, str]) -> Arrivals:
        join = self._joins.setdefault(key, JoinProgress())
        join.add({node_id: Arrival(kind) for node_id, kind in arrivals.items()})
        return join.counts

    async def refill(self, key: JoinKey, arrivals: Mapping[NodeId, str]) -> None:
        self._joins.pop(key, None)
        await self.arrive(key, arrivals)

    async def forget(self, run_id: RunId, step_ids: Sequence[StepId]) -> None:
        for step_id in step_ids:
            self._joins.pop(JoinKey(run_id, step_id), None)

    def clear(self) -> None:
        """Lose everything, as a Redis that was flushed."""
        self._joins.clear()
