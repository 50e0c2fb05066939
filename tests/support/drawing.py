"""Random blueprints, what their nodes do, and an interpreter that says how such a run must end.

The interpreter is written from the specification and shares nothing with `famulus.flow`: it asks of a graph without
cycles how each node ends, once, when everything has happened.
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


def behaviours(node_id: str, *, unlucky: bool = False) -> st.SearchStrategy[Behaviour]:
    return st.builds(
        Behaviour,
        failures=st.sampled_from([0, 0, 3] if unlucky else [0, 0, 0, 0, 1, 2]),
        fatal=st.sampled_from([False, False, False, True]),
        action=st.sampled_from([None, None, "red", "blue"]),
        output=st.fixed_dictionaries({"ok": st.booleans(), "v": st.just(node_id)}),
        changes=st.dictionaries(st.sampled_from(["k", f"by_{node_id}"]), st.integers(0, 3), max_size=2),
    )


@st.composite
def workflows(draw: st.DrawFn, *, most: int = 7, cycles: bool = False) -> Workflow:
    names = [f"n{i}" for i in range(draw(st.integers(1, most)))]
    nodes: dict[str, Any] = {}
    # Every other workflow is one in which much fails, and whose fallbacks are shared and lead on.
    unlucky = draw(st.booleans())
    for name in names:
        policy = draw(st.sampled_from(["all", "all", "any", "all_settled", "n_of_m"]))
        config: dict[str, Any] = {"maxRetries": draw(st.integers(1, 3)), "joinStrategy": policy}
        if policy == "n_of_m":
            config["joinCount"] = draw(st.integers(1, 3))
        others = [other for other in names if other != name] if cycles else names[names.index(name) + 1 :]
        if others and draw(st.sampled_from([False, unlucky, True])):
            config["fallback"] = draw(st.sampled_from(others[-2:] if unlucky else others))
        nodes[name] = {"uses": name, "config": config}
        if draw(st.booleans()):
            nodes[name]["inputs"] = draw(st.sampled_from(["k", "n0", {"first": "n0.v", "key": "k"}]))
    pairs = [(a, b) for i, a in enumerate(names) for b in (names if cycles else names[i + 1 :])]
    edges = []
    for source, target in draw(st.lists(st.sampled_from(pairs), max_size=3 * len(names))) if pairs else []:
        properties = {
            "action": draw(st.sampled_from([None, None, None, *([] if unlucky else ["red", "blue"])])),
            "condition": draw(st.sampled_from([None, None, *(["result.output.ok"] if unlucky else CONDITIONS)])),
            "transform": draw(st.sampled_from([None, None, "input.v", "context.k", "input.nothing"])),
        }
        edges.append((source, target, {key: value for key, value in properties.items() if value is not None}))
    return Workflow(
        document=blueprint("drawn", nodes, *edges),
        behaviours={name: draw(behaviours(name, unlucky=unlucky)) for name in names},
    )


def expected_end(workflow: Workflow) -> tuple[dict[str, str], str]:
    """The status of every node, and that of the run."""
    ended = Interpreter(workflow).ended()
    return {node_id: SHOWN.get(status, status) for node_id, status in ended.items()}, (
        "failed" if "failed" in ended.values() else "completed"
    )


def handled(workflow: Workflow) -> set[str]:
    """The nodes that fail, and whose fallback stands in."""
    return {node_id for node_id, status in Interpreter(workflow).ended().items() if status == "handled"}


SHOWN = {"blocked": "skipped", "handled": "completed"}
"""`blocked` stands for skipped because of a failure, `handled` for completed by way of a fallback."""


class _CalledError(Exception):
    """Somebody asks for the result of a fallback, so somebody needs it."""

    def __init__(self, fallback: str) -> None:
        self.fallback = fallback


class Interpreter:
    """Asks how each node ends, and for that how those ended that it hangs on."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.edges = {(edge["source"], edge["target"]) for edge in workflow.document["edges"]}
        self.fallback = {
            node_id: node["config"]["fallback"]
            for node_id, node in workflow.nodes.items()
            if "fallback" in node["config"]
        }
        self.known: dict[str, str] = {}
        self.asked: set[str] = set()
        self.leads = self._leads()

    def ended(self) -> dict[str, str]:
        return {node_id: self.end_of(node_id) for node_id in self.workflow.nodes}

    def end_of(self, node_id: str) -> str:
        if node_id not in self.known:
            self.known[node_id] = self._end_of(node_id)
        return self.known[node_id]

    def _end_of(self, node_id: str) -> str:
        config = self.workflow.nodes[node_id]["config"]
        sources = sorted(source for source, target in self.edges if target == node_id)
        callers = [caller for caller in self.workflow.nodes if self.fallback.get(caller) == node_id]
        coming = [self._coming(source, node_id) for source in sources]
        starts = _starts(config, coming) if coming else not callers
        if not starts and "failed" in coming:
            return "blocked"
        if not starts and not self._is_called(node_id, callers):
            return "skipped"
        behaviour = self.workflow.behaviours[node_id]
        if behaviour.failures >= (1 if behaviour.fatal else config["maxRetries"]):
            return "handled" if node_id in self.fallback else "failed"
        return "completed"

    def _is_called(self, node_id: str, callers: list[str]) -> bool:
        if node_id in self.asked:
            raise _CalledError(node_id)
        self.asked.add(node_id)
        try:
            return any(self.end_of(caller) == "handled" for caller in callers)
        except _CalledError as called:
            if called.fallback != node_id:
                raise
            return True
        finally:
            self.asked.discard(node_id)

    def _coming(self, source: str, target: str) -> str:
        speaker = source
        end = self.end_of(source)
        if end == "handled" and ("result", self.fallback[source]) in self.leads[target]:
            return "dead"
        while end == "handled":
            speaker = self.fallback[speaker]
            end = self.end_of(speaker)
        if end in ("failed", "blocked"):
            return "failed"
        return "fired" if end == "completed" and fires(self.workflow, source, target, speaker) else "dead"

    def _leads(self) -> dict[str, set[tuple[str, str]]]:
        """What has to wait for each node, in the end: other nodes, called fallbacks, results of fallbacks."""
        pairs: set[tuple[tuple[str, str], tuple[str, str]]] = set()
        for source, target in self.edges:
            for waiting in (("node", target), ("called", target)):
                pairs.add((("node", source), waiting))
                if source in self.fallback:
                    pairs.add((("result", self.fallback[source]), waiting))
        for caller, fallback in self.fallback.items():
            pairs |= {
                (("node", caller), ("node", fallback)),
                (("called", fallback), ("node", fallback)),
                (("called", fallback), ("result", fallback)),
            }
            if fallback in self.fallback:
                pairs.add((("result", self.fallback[fallback]), ("result", fallback)))
        found: dict[str, set[tuple[str, str]]] = {}
        for node_id in self.workflow.nodes:
            reached = {("node", node_id), ("called", node_id)}
            while more := {after for before, after in pairs if before in reached} - reached:
                reached |= more
            found[node_id] = reached
        return found


def fires(workflow: Workflow, source: str, target: str, speaker: str | None = None) -> bool:
    """Say whether an edge between the two fires when the source has completed, or who speaks for it."""
    speaker = speaker or source
    behaviour = workflow.behaviours[speaker]
    holding = [
        edge
        for edge in workflow.document["edges"]
        if edge["source"] in (source, speaker) and ("condition" not in edge or CONDITIONS[edge["condition"]](behaviour))
    ]
    chosen = [edge for edge in holding if behaviour.action and edge.get("action") == behaviour.action]
    chosen = chosen or [edge for edge in holding if "action" not in edge]
    return any((edge["source"], edge["target"]) == (source, target) for edge in chosen)


def _starts(config: Mapping[str, Any], coming: list[str]) -> bool:
    match config["joinStrategy"]:
        case "any":
            return "fired" in coming
        case "n_of_m":
            return coming.count("fired") >= config["joinCount"]
        case "all_settled":
            return set(coming) != {"dead"}
        case _:
            return "fired" in coming and "failed" not in coming
