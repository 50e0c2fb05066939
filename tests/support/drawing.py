"""Random blueprints, what their nodes do, and an interpreter that says how such a run must end.

The interpreter is written from the specification and shares nothing with `famulus.flow`: it goes through the nodes
of a graph without cycles from front to back, once, when everything has happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from support.world import blueprint

CONDITIONS = {
    "yes": lambda _: True,
    "no": lambda _: False,
    "result.output.ok": lambda behaviour: behaviour.output["ok"],
    "result.action": lambda behaviour: bool(behaviour.action),
}
INITIAL = {"yes": 1, "no": 0, "k": "initial"}


@dataclass(frozen=True)
class Behaviour:
    """What a node does: it fails some times, then it succeeds, if it has attempts enough."""

    failures: int
    fatal: bool
    """Its first failure allows no other attempt."""
    action: str | None
    output: dict[str, Any]
    changes: dict[str, Any]


@dataclass(frozen=True)
class Workflow:
    document: dict[str, Any]
    behaviours: Mapping[str, Behaviour]
    initial: Mapping[str, Any] = field(default_factory=lambda: INITIAL)

    @property
    def nodes(self) -> dict[str, dict[str, Any]]:
        return {node["id"]: node for node in self.document["nodes"]}


def behaviours(node_id: str) -> st.SearchStrategy[Behaviour]:
    return st.builds(
        Behaviour,
        failures=st.sampled_from([0, 0, 0, 0, 1, 2]),
        fatal=st.sampled_from([False, False, False, True]),
        action=st.sampled_from([None, None, "red", "blue"]),
        output=st.fixed_dictionaries({"ok": st.booleans(), "v": st.just(node_id)}),
        changes=st.dictionaries(st.sampled_from(["k", f"by_{node_id}"]), st.integers(0, 3), max_size=2),
    )


@st.composite
def workflows(draw: st.DrawFn, *, most: int = 7, cycles: bool = False) -> Workflow:
    names = [f"n{i}" for i in range(draw(st.integers(1, most)))]
    nodes: dict[str, Any] = {}
    for name in names:
        config = {"maxRetries": draw(st.integers(1, 3)), "joinStrategy": draw(st.sampled_from(["all", "all", "any"]))}
        nodes[name] = {"uses": name, "config": config}
        if draw(st.booleans()):
            nodes[name]["inputs"] = draw(st.sampled_from(["k", "n0", {"first": "n0.v", "key": "k"}]))
    pairs = [(a, b) for i, a in enumerate(names) for b in (names if cycles else names[i + 1 :])]
    edges = []
    for source, target in draw(st.lists(st.sampled_from(pairs), max_size=3 * len(names))) if pairs else []:
        properties = {
            "action": draw(st.sampled_from([None, None, None, "red", "blue"])),
            "condition": draw(st.sampled_from([None, None, *CONDITIONS])),
            "transform": draw(st.sampled_from([None, None, "input.v", "context.k", "input.nothing"])),
        }
        edges.append((source, target, {key: value for key, value in properties.items() if value is not None}))
    return Workflow(
        document=blueprint("drawn", nodes, *edges), behaviours={name: draw(behaviours(name)) for name in names}
    )


def expected_end(workflow: Workflow) -> tuple[dict[str, str], str]:
    """The status of every node, and that of the run. `blocked` stands for skipped because of a failure."""
    edges = workflow.document["edges"]
    ended: dict[str, str] = {}
    for node_id, node in workflow.nodes.items():
        sources = {edge["source"] for edge in edges if edge["target"] == node_id}
        coming = [_coming(workflow, ended, source, node_id) for source in sources]
        ended[node_id] = _ending(workflow.behaviours[node_id], node["config"], coming)
    shown = {node_id: "skipped" if status == "blocked" else status for node_id, status in ended.items()}
    return shown, "failed" if "failed" in ended.values() else "completed"


def fires(workflow: Workflow, source: str, target: str) -> bool:
    """Say whether an edge between the two fires when the source has completed."""
    behaviour = workflow.behaviours[source]
    holding = [
        edge
        for edge in workflow.document["edges"]
        if edge["source"] == source and ("condition" not in edge or CONDITIONS[edge["condition"]](behaviour))
    ]
    chosen = [edge for edge in holding if behaviour.action and edge.get("action") == behaviour.action]
    chosen = chosen or [edge for edge in holding if "action" not in edge]
    return any(edge["target"] == target for edge in chosen)


def _coming(workflow: Workflow, ended: Mapping[str, str], source: str, target: str) -> str:
    if ended[source] in ("failed", "blocked"):
        return "failed"
    return "fired" if ended[source] == "completed" and fires(workflow, source, target) else "dead"


def _ending(behaviour: Behaviour, config: Mapping[str, Any], coming: list[str]) -> str:
    if coming:
        any_join = config["joinStrategy"] == "any"
        if "failed" in coming and not (any_join and "fired" in coming):
            return "blocked"
        if "fired" not in coming:
            return "skipped"
    attempts = 1 if behaviour.fatal else config["maxRetries"]
    return "failed" if behaviour.failures >= attempts else "completed"
