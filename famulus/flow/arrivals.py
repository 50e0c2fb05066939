"""How predecessors come to a join, and how many have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from famulus.ids import NodeId


class Arrival(StrEnum):
    """How a predecessor comes to a join."""

    FIRED = "fired"
    """It completed, and an edge from it fired."""
    DEAD = "dead"
    """No edge from it will fire any more: it went another way, or was skipped."""
    FAILED = "failed"
    """It failed, or lies behind one that did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """How many distinct predecessors have come to a join, by how they came."""

    fired: int = 0
    dead: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        return self.fired + self.dead + self.failed

    def at_most(self, other: Arrivals) -> Arrivals:
        return Arrivals(
            fired=min(self.fired, other.fired), dead=min(self.dead, other.dead), failed=min(self.failed, other.failed)
        )


@dataclass(slots=True)
class JoinProgress:
    """Who has come to a join so far. Changed in place, so that a join of 10,000 costs the same for each of them."""

    came: dict[NodeId, Arrival] = field(default_factory=dict)
    counts: Arrivals = field(default_factory=Arrivals)

    def add(self, arrivals: Mapping[NodeId, Arrival]) -> None:
        """Let predecessors come. One that has come already stays as it came first."""
        self.counts = self.counts_with(arrivals)
        for node_id, arrival in arrivals.items():
            self.came.setdefault(node_id, arrival)

    def withdraw(self, node_id: NodeId) -> None:
        """Let it be as if the predecessor had not come yet."""
        arrival = self.came.pop(node_id, None)
        if arrival is not None:
            self.counts = replace(self.counts, **{arrival.value: getattr(self.counts, arrival.value) - 1})

    def counts_with(self, arrivals: Mapping[NodeId, Arrival]) -> Arrivals:
        """The counts as they are once these have come too."""
        new = [arrival for node_id, arrival in arrivals.items() if node_id not in self.came]
        return Arrivals(
            fired=self.counts.fired + new.count(Arrival.FIRED),
            dead=self.counts.dead + new.count(Arrival.DEAD),
            failed=self.counts.failed + new.count(Arrival.FAILED),
        )
