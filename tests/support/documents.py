"""Blueprints in few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def blueprint(
    blueprint_id: str, nodes: Mapping[str, Any], *edges: tuple[Any, ...], metadata: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """`nodes`: id -> implementation name or node fields; an edge: (source, target) or (source, target, fields)."""
    return {
        "id": blueprint_id,
        "metadata": dict(metadata or {}),
        "nodes": [{"id": id_, **({"uses": node} if isinstance(node, str) else node)} for id_, node in nodes.items()],
        "edges": [{"source": e[0], "target": e[1], **(e[2] if len(e) > 2 else {})} for e in edges],
    }
