"""A blueprint as a Mermaid flowchart.

Ids and labels come from anywhere, so ids are numbered and labels written with character codes: nothing in them can end
a label, start a directive or become markup.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from famulus.blueprint.constructs import SCATTER
from famulus.blueprint.model import JoinPolicy
from famulus.blueprint.topology import topology_of
from famulus.ids import NodeId

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from famulus.blueprint.model import Blueprint, Edge, Node

LABEL_CHARACTERS_MAX: Final = 80

_PLAIN_MARKS: Final = frozenset(" _.,:/+-")
_UNKNOWN: Final = "unknown"
_BOX: Final = ("[", "]")
_START: Final = ("([", "])")
_SHAPES: Final[Mapping[str, tuple[str, str]]] = {
    "loop-controller": ("{", "}"),
    "batch-scatter": ("[/", "\\]"),
    "batch-gather": ("[\\", "/]"),
    "map": ("[/", "/]"),
    "subflow": ("[[", "]]"),
    "startRun": ("[[", "]]"),
    "sleep": ("{{", "}}"),
    "wait": ("{{", "}}"),
    "webhook": ("{{", "}}"),
}
"""Of built-in nodes: a choice, what opens and closes a batch, another flow, what waits."""
_DETAILS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "loop-controller": (("while", "condition"), ("rounds at most", "maxRounds")),
    "batch-scatter": (("each", "workerUsesKey"), ("chunks of", "chunkSize")),
    "map": (
        ("each", "uses"),
        ("each", "blueprintId"),
        ("at once", "maxConcurrency"),
        ("may fail", "toleratedFailures"),
    ),
    "subflow": (("of", "blueprintId"),),
    "startRun": (("of", "blueprintId"),),
    "sleep": (("for", "duration"), ("until", "until")),
    "wait": (("signal", "signal"), ("at most", "timeout")),
    "webhook": (("at most", "timeout"),),
}
"""Params of built-in nodes that are shown, and the words before them."""
_COLOURS: Final[Mapping[str, str]] = {
    "scheduled": "fill:#eef2ff,stroke:#6366f1",
    "running": "fill:#dbeafe,stroke:#2563eb",
    "retrying": "fill:#ffedd5,stroke:#ea580c",
    "sleeping": "fill:#ede9fe,stroke:#7c3aed",
    "waiting": "fill:#fef9c3,stroke:#ca8a04",
    "parked": "fill:#fce7f3,stroke:#be185d",
    "completed": "fill:#dcfce7,stroke:#16a34a",
    "failed": "fill:#fee2e2,stroke:#dc2626",
    "skipped": "fill:#f3f4f6,stroke:#9ca3af,stroke-dasharray:4",
    "cancelled": "fill:#e5e7eb,stroke:#4b5563",
    _UNKNOWN: "fill:#ffffff,stroke:#dc2626,stroke-dasharray:4",
}
"""By the status of a step. What is not a node of the blueprint is drawn as unknown."""


def to_mermaid(blueprint: Blueprint, *, statuses: Mapping[NodeId, str] | None = None) -> str:
    """Draw the blueprint, coloured by the statuses of a run if they are given. Unknown statuses are ignored."""
    names = _names(blueprint)
    starts = frozenset(topology_of(blueprint).start_nodes)
    known = {node.id for node in blueprint.nodes}
    lines = ["flowchart TD"]
    lines += (_node(node, names[node.id], is_start=node.id in starts) for node in blueprint.nodes)
    lines += (f'{name}["{_label(node_id)}"]' for node_id, name in names.items() if node_id not in known)
    lines += (_edge(edge, names) for edge in blueprint.edges)
    lines += (
        f'{names[node.id]} -.->|"{_label(word)}"| {names[target]}'
        for node in blueprint.nodes
        for word, target in _relations(node)
    )
    classes = {node_id: _UNKNOWN for node_id in names if node_id not in known}
    classes |= {node_id: status for node_id, status in (statuses or {}).items() if node_id in known}
    lines += _classes(classes, names)
    return "\n    ".join(lines) + "\n"


def _names(blueprint: Blueprint) -> dict[NodeId, str]:
    """A name in the drawing for each node, and for each id of no node that an edge or fallback mentions."""
    ids = dict.fromkeys(node.id for node in blueprint.nodes)
    for edge in blueprint.edges:
        ids |= {edge.source: None, edge.target: None}
    ids |= {target: None for node in blueprint.nodes for _, target in _relations(node)}
    return {node_id: f"n{number}" for number, node_id in enumerate(ids)}


def _relations(node: Node) -> Iterator[tuple[str, NodeId]]:
    """What the node has to do with other nodes, besides its edges."""
    if node.config.fallback is not None:
        yield "fallback", node.config.fallback
    if node.config.compensate is not None:
        yield "compensate", node.config.compensate
    gather = node.params.get("gatherNodeId")
    if node.uses == SCATTER and isinstance(gather, str) and gather:
        yield "items", NodeId(gather)


def _node(node: Node, name: str, *, is_start: bool) -> str:
    lines = (node.id, node.uses, *_details(node), *_join(node))
    opening, closing = _SHAPES.get(node.uses) or (_START if is_start else _BOX)
    return f'{name}{opening}"{"<br/>".join(_label(line) for line in lines)}"{closing}'


def _details(node: Node) -> Iterator[str]:
    for words, name in _DETAILS.get(node.uses, ()):
        value = node.params.get(name)
        if isinstance(value, str | int | float) and value != "":
            yield f"{words} {value}"


def _join(node: Node) -> Iterator[str]:
    """How a node with several predecessors starts, if not in the usual way."""
    match node.config.join:
        case JoinPolicy.ALL:
            pass
        case JoinPolicy.N_OF_M:
            yield f"join {node.config.join_count} of m"
        case policy:
            yield f"join {policy.value}"
    if node.config.join_deadline_ms is not None:
        yield f"or after {node.config.join_deadline_ms} ms"


def _edge(edge: Edge, names: Mapping[NodeId, str]) -> str:
    words = [edge.action or "", f"if {edge.condition}" if edge.condition else ""]
    label = _label(" ".join(word for word in words if word))
    arrow = f'-->|"{label}"|' if label else "-->"
    return f"{names[edge.source]} {arrow} {names[edge.target]}"


def _label(text: str) -> str:
    short = text if len(text) <= LABEL_CHARACTERS_MAX else f"{text[: LABEL_CHARACTERS_MAX - 3]}..."
    return "".join(_character(character) for character in short)


def _character(character: str) -> str:
    if character.isalnum() or character in _PLAIN_MARKS:
        return character
    return f"#{ord(character)};" if character.isprintable() else "#65533;"


def _classes(status_of: Mapping[NodeId, str], names: Mapping[NodeId, str]) -> Iterator[str]:
    members: defaultdict[str, list[str]] = defaultdict(list)
    for node_id, status in status_of.items():
        if status in _COLOURS:
            members[status].append(names[node_id])
    for status, drawn in members.items():
        yield f"classDef {status} {_COLOURS[status]}"
        yield f"class {','.join(drawn)} {status}"
