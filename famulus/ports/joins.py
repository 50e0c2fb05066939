"""Who has come to a join, counted quickly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from famulus.flow.arrivals import Arrivals
from famulus.ids import NodeId, RunId, StepId


@dataclass(frozen=True, slots=True)
class JoinKey:
    run_id: RunId
    step_id: StepId


class Joins(Protocol):
    """Counts of fan-in joins. Everything here can be derived from rows, so nothing here is precious."""

    async def arrive(self, key: JoinKey, arrivals: Mapping[NodeId, str]) -> Arrivals:
        """Add predecessors (node id -> ``fired``, ``dead`` or ``failed``) and return the counts afterwards.

        One atomic step. A predecessor counts once, as it came first: the same call again gets the same answer.
        Raises `JoinsUnavailableError`, at once while the server is known to be away.
        """
        ...

    async def refill(self, key: JoinKey, arrivals: Mapping[NodeId, str]) -> None:
        """Replace whatever is known of the join by these arrivals. Errors as `arrive`."""
        ...

    async def forget(self, run_id: RunId, step_ids: Sequence[StepId]) -> None:
        """Drop the joins of a run that has ended. Never raises: what is left behind expires."""
        ...
