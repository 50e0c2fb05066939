"""What the rules of the linter look at."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from famulus.blueprint.builtins import BUILT_INS
from famulus.blueprint.issues import Issue
from famulus.blueprint.model import Blueprint, Node
from famulus.blueprint.topology import Topology

if TYPE_CHECKING:
    from famulus.ids import NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    blueprint: Blueprint
    topology: Topology
    node_ids: frozenset[NodeId]
    entered: frozenset[NodeId]
    """Nodes with an incoming edge."""
    led_to: frozenset[NodeId]
    """Nodes without one, and those to which edges lead from there. Without any a run begins inside its cycles."""
    implementations: Collection[str] | None
    blueprints: Collection[str] | None

    def lacks(self, uses: str) -> bool:
        """Whether the implementation is known to be missing."""
        return self.implementations is not None and uses not in self.implementations and uses not in BUILT_INS


Rule: TypeAlias = Callable[[Subject], Iterable[Issue]]
NodeRule: TypeAlias = Callable[[Subject, Node, str], Iterable[Issue]]
"""The text is the path of the node."""
