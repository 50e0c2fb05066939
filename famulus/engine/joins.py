"""Have the arrivals at joins counted: by Redis, and checked against the rows.

The rows of the run are the truth and its owner has them in memory, so a count can be trusted only as far as they go.
A server that was emptied counts too few: it is refilled from the rows, which give the answer meanwhile. One that is
away is not waited for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from famulus.errors import JoinsUnavailableError
from famulus.flow.arrivals import Arrival, Arrivals
from famulus.flow.state import RunState
from famulus.ids import NodeId, StepId
from famulus.ports import JoinKey, Joins

log = logging.getLogger(__name__)


class JoinDesk:
    def __init__(self, joins: Joins) -> None:
        self._joins = joins
        self.refilled = 0
        """Joins whose count was behind the rows."""

    async def count(self, run: RunState, arrivals: Mapping[StepId, Mapping[NodeId, Arrival]]) -> dict[StepId, Arrivals]:
        """Let these predecessors arrive, which are in the state already, and return the counts of their joins."""
        counted = await asyncio.gather(*(self._count(run, step_id, came) for step_id, came in arrivals.items()))
        return dict(zip(arrivals, counted, strict=True))

    async def forget(self, run: RunState) -> None:
        joins = [StepId(node_id) for node_id in run.graph.joins]
        if joins:
            await self._joins.forget(run.run_id, joins)

    async def _count(self, run: RunState, step_id: StepId, arrivals: Mapping[NodeId, Arrival]) -> Arrivals:
        progress = run.joins.get(step_id)
        if progress is None:
            return Arrivals()
        if not arrivals or len(run.predecessors(run.join_nodes[step_id])) < 2:  # noqa: PLR2004  # two make a join
            return progress.counts  # a fallback or a loop: rows alone say who needs it, or whether its round is over
        key = JoinKey(run.run_id, step_id)
        try:
            counts = await self._joins.arrive(key, arrivals)
            if counts != progress.counts:
                log.info(
                    "join counted %s, rows say %s: refilled",
                    counts,
                    progress.counts,
                    extra={"action": "join_refilled", "run_id": run.run_id, "step_id": step_id},
                )
                self.refilled += 1
                await self._joins.refill(key, progress.came)
        except JoinsUnavailableError:
            log.debug("joins unavailable, counted from rows", extra={"run_id": run.run_id, "step_id": step_id})
        return progress.counts
