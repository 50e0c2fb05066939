"""What is wrong with built-in nodes and what belongs to them: rules of the linter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from famulus.blueprint.builtins import BUILT_INS, read_params
from famulus.blueprint.expressions import CEL_PREFIX, is_valid_path
from famulus.blueprint.graph import expression_language
from famulus.blueprint.issues import Issue
from famulus.blueprint.loops import CONTINUE, CONTROLLER
from famulus.blueprint.model import Node
from famulus.blueprint.subject import NodeRule, Rule, Subject

SCATTER: Final = "batch-scatter"
GATHER: Final = "batch-gather"
_RUN_BLUEPRINTS: Final = ("subflow", "startRun", "map")
_ITEMS_IN: Final = {SCATTER: "workerUsesKey", "map": "uses"}
_NO_WORK: Final = frozenset({SCATTER, GATHER, CONTROLLER})
"""Built-ins that mean something by their edges, which an item has none of."""


def _batch_worker(subject: Subject, node: Node, path: str) -> Iterator[Issue]:
    key = node.params.get("workerUsesKey")
    if node.uses.startswith("batch-") and isinstance(key, str) and key and subject.lacks(key):
        message = f"the worker {key!r} is not registered: register an implementation of this name, or correct the name"
        yield Issue("INVALID_BATCH_WORKER_KEY", message, f"{path}.params.workerUsesKey", node.id)


def _map_implementation(subject: Subject, node: Node, path: str) -> Iterator[Issue]:
    uses = node.params.get("uses")
    if node.uses == "map" and isinstance(uses, str) and uses and subject.lacks(uses):
        message = f"{uses!r} is not registered: register an implementation of this name, or correct the name"
        yield Issue("MISSING_NODE_IMPLEMENTATION", message, f"{path}.params.uses", node.id)


def _item_without_edges(subject: Subject, node: Node, path: str) -> Iterator[Issue]:
    parameter = _ITEMS_IN.get(node.uses, "")
    uses = node.params.get(parameter)
    if isinstance(uses, str) and uses in _NO_WORK and uses not in (subject.implementations or ()):
        message = f"params.{parameter} is {uses!r}, which comes to nothing without edges: name what works on one item"
        yield Issue("INVALID_PARAMETER", message, f"{path}.params.{parameter}", node.id)


def _child_blueprint(subject: Subject, node: Node, path: str) -> Iterator[Issue]:
    child = node.params.get("blueprintId")
    if node.uses not in _RUN_BLUEPRINTS or subject.blueprints is None or child in (None, ""):
        return
    if not isinstance(child, str) or child not in subject.blueprints:
        message = f"blueprint {child!r:.60} is not known: push it, or correct the id"
        yield Issue("INVALID_SUBFLOW_BLUEPRINT_ID", message, f"{path}.params.blueprintId", node.id)


def _parameters(subject: Subject, node: Node, path: str) -> Iterator[Issue]:
    if node.uses not in BUILT_INS:
        return
    for problem in read_params(node, language=expression_language(subject.blueprint)).problems:
        if problem.parameter == "blueprintId" and _is_told_elsewhere(subject, node):
            continue
        message = f"params.{problem.parameter} {problem.problem}"
        yield Issue("INVALID_PARAMETER", message, f"{path}.params.{problem.parameter}", node.id)


def _is_told_elsewhere(subject: Subject, node: Node) -> bool:
    """By the specification a subflow without a blueprint is no issue, and one that is not known is one of its own."""
    child = node.params.get("blueprintId")
    if child in (None, ""):
        return node.uses == "subflow"
    return subject.blueprints is not None and not isinstance(child, str)


def _loop(subject: Subject, node: Node, path: str) -> Iterator[Issue]:
    if node.uses != CONTROLLER or node.id not in subject.topology.reachable:
        return
    leaving = [edge for edge in subject.blueprint.edges if edge.source == node.id and edge.target in subject.node_ids]
    if not any(edge.action == CONTINUE for edge in leaving):
        message = f"no edge with action {CONTINUE!r} leaves it, so a run is refused: lead one into the body of the loop"
        yield Issue("LOOP_WITHOUT_CONTINUE", message, path, node.id)
    elif all(edge.action == CONTINUE for edge in leaving):
        message = "nothing follows the loop: lead an edge with action 'break' to what comes after it"
        yield Issue("LOOP_WITHOUT_BREAK", message, path, node.id, severity="warning")


def _loop_condition(subject: Subject, node: Node, path: str) -> Iterator[Issue]:
    condition = node.params.get("condition")
    if node.uses != CONTROLLER or not isinstance(condition, str) or not condition:
        return
    is_path = expression_language(subject.blueprint) == "path" and not condition.startswith(CEL_PREFIX)
    if is_path and not is_valid_path(condition):
        message = (
            f"{condition!r:.80} is no property path, so there is never a round: "
            f"write {CEL_PREFIX}<expression> for an expression"
        )
        yield Issue("BAD_EXPRESSION", message, f"{path}.params.condition", node.id, severity="warning")


def _compensation(subject: Subject, node: Node, path: str) -> Iterator[Issue]:
    compensation = node.config.compensate
    path = f"{path}.config.compensate"
    if compensation == node.id:
        message = "the node is its own compensation, so it is not undone: name another node"
        yield Issue("COMPENSATION_IS_ITSELF", message, path, node.id, compensation)
    elif compensation is not None and compensation not in subject.node_ids:
        message = f"there is no node {compensation!r}, so the node is not undone: correct the id"
        yield Issue("UNKNOWN_COMPENSATION", message, path, node.id, compensation)


def _fallback_inside_loop(subject: Subject, node: Node, path: str) -> Iterator[Issue]:
    fallback = node.config.fallback
    for controller, loop in subject.topology.loops.items():
        if fallback in loop.body and node.id not in loop.body:
            message = (
                f"{fallback!r} runs in the rounds of the loop of {controller!r}, of which this node is no part, "
                "so a failure is not handled: name a node outside of the loop"
            )
            yield Issue("FALLBACK_INSIDE_LOOP", message, f"{path}.config.fallback", node.id, fallback)
            return


def _gathers(subject: Subject) -> Iterator[Issue]:
    nodes: dict[str, Node] = {node.id: node for node in subject.blueprint.nodes}
    named: set[str] = set()
    for index, node in enumerate(subject.blueprint.nodes):
        gather = node.params.get("gatherNodeId")
        if node.uses == SCATTER and isinstance(gather, str) and gather:
            named.add(gather)
            message = _gather_problem(subject, node, nodes.get(gather), gather)
            if message is not None:
                yield Issue("INVALID_GATHER", message, f"nodes[{index}].params.gatherNodeId", node.id, gather)
    for index, node in enumerate(subject.blueprint.nodes):
        gather = node.params.get("gatherNodeId")
        if node.uses == GATHER and isinstance(gather, str) and gather not in ("", node.id):
            message = f"it gathers what is scattered for {node.id!r} all the same: name that, or leave it out"
            yield Issue(
                "INVALID_GATHER", message, f"nodes[{index}].params.gatherNodeId", node.id, gather, severity="warning"
            )
        if node.uses == GATHER and node.id not in named:
            message = f"no {SCATTER} node names it, so it gathers nothing: let one name it in params.gatherNodeId"
            yield Issue("GATHER_WITHOUT_SCATTER", message, f"nodes[{index}]", node.id, severity="warning")


def _gather_problem(subject: Subject, scatter: Node, gather: Node | None, name: str) -> str | None:
    if gather is None:
        return f"there is no node {name!r}, so nobody gathers the items: correct the id"
    if gather.uses != GATHER:
        return f"{name!r} uses {gather.uses!r:.60}, so nobody gathers the items: name a {GATHER} node"
    if gather.id not in subject.entered:
        return f"no edge leads to {name!r}, so it starts with the run: lead one there from {scatter.id!r}"
    return None


def _strict(subject: Subject) -> Iterator[Issue]:
    if subject.blueprint.metadata.get("strict") is True and subject.topology.cycles:
        cycle = subject.topology.cycles[0]
        message = f"the blueprint is strict, but {cycle[0]!r} leads back to itself, so a run is refused: cut the cycle"
        yield Issue("CYCLE_IN_STRICT_BLUEPRINT", message, "metadata.strict", cycle[0])


CONSTRUCT_NODE_RULES: Final[tuple[NodeRule, ...]] = (
    _batch_worker,
    _map_implementation,
    _item_without_edges,
    _child_blueprint,
    _parameters,
    _loop,
    _loop_condition,
    _compensation,
    _fallback_inside_loop,
)
CONSTRUCT_RULES: Final[tuple[Rule, ...]] = (_gathers, _strict)
