"""What can be said about a blueprint at a glance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from famulus.blueprint.topology import topology_of

if TYPE_CHECKING:
    from famulus.blueprint.model import Blueprint
    from famulus.ids import NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    start_node_ids: tuple[NodeId, ...]
    """Nodes that no edge enters. A node that only serves as a fallback is one of them, though no run starts there."""
    terminal_node_ids: tuple[NodeId, ...]
    """Nodes that no edge leaves."""
    cycles: tuple[tuple[NodeId, ...], ...]
    is_dag: bool
    node_count: int
    edge_count: int


def analyse(blueprint: Blueprint) -> Analysis:
    entered = {edge.target for edge in blueprint.edges}
    left = {edge.source for edge in blueprint.edges}
    cycles = topology_of(blueprint).cycles
    return Analysis(
        start_node_ids=tuple(node.id for node in blueprint.nodes if node.id not in entered),
        terminal_node_ids=tuple(node.id for node in blueprint.nodes if node.id not in left),
        cycles=cycles,
        is_dag=not cycles,
        node_count=len(blueprint.nodes),
        edge_count=len(blueprint.edges),
    )
