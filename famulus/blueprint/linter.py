"""What is wrong with a blueprint before it runs. A rule is a function of the subject; the table is at the end.

Those of built-in nodes are in `constructs`. The codes of the blueprint specification are `SPECIFIED_CODES`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from famulus.blueprint.codec import DUPLICATE_NODE_ID, read_blueprint
from famulus.blueprint.constructs import CONSTRUCT_NODE_RULES, CONSTRUCT_RULES
from famulus.blueprint.expressions import CEL_PREFIX, Language, PathExpression, compile_expression, is_valid_path
from famulus.blueprint.graph import expression_language
from famulus.blueprint.issues import Issue
from famulus.blueprint.model import Blueprint, Node
from famulus.blueprint.reach import reached
from famulus.blueprint.secret_names import secret_name
from famulus.blueprint.secret_refs import secret_refs
from famulus.blueprint.subject import NodeRule, Rule, Subject
from famulus.blueprint.topology import topology_of
from famulus.errors import ExpressionError

if TYPE_CHECKING:
    from famulus.ids import NodeId

_NAMES_SHOWN: Final = 10
_NEVER_MISSING: Final = ("batch-", "loop-")
_TRANSFORM_ROOTS: Final = frozenset({"input", "context"})


def lint(
    blueprint: Blueprint,
    *,
    implementations: Collection[str] | None,
    blueprints: Collection[str] | None = None,
) -> list[Issue]:
    """Find what is wrong. Without the names of implementations or blueprints, these are not checked."""
    node_ids = frozenset(node.id for node in blueprint.nodes)
    entered = frozenset(edge.target for edge in blueprint.edges)
    subject = Subject(
        blueprint=blueprint,
        topology=topology_of(blueprint),
        node_ids=node_ids,
        entered=entered,
        led_to=_led_to(blueprint, node_ids - entered),
        implementations=implementations,
        blueprints=blueprints,
    )
    of_nodes = (
        issue
        for index, node in enumerate(blueprint.nodes)
        for rule in (*_NODE_RULES, *CONSTRUCT_NODE_RULES)
        for issue in rule(subject, node, f"nodes[{index}]")
    )
    return [*of_nodes, *(issue for rule in (*_RULES, *CONSTRUCT_RULES) for issue in rule(subject))]


def lint_document(
    data: bytes | str | Mapping[str, Any],
    *,
    implementations: Collection[str] | None,
    blueprints: Collection[str] | None = None,
    default_id: str | None = None,
) -> list[Issue]:
    """As `lint`, of a document that may not even be a blueprint: what cannot be read are issues too."""
    reading = read_blueprint(data, default_id=default_id)
    issues = [Issue(problem.code, problem.message, problem.path, problem.node_id) for problem in reading.problems]
    if reading.blueprint is None:
        return issues
    found = lint(reading.blueprint, implementations=implementations, blueprints=blueprints)
    known = {(issue.code, issue.path) for issue in issues}
    return issues + [issue for issue in found if (issue.code, issue.path) not in known]


def _led_to(blueprint: Blueprint, starts: Collection[NodeId]) -> frozenset[NodeId]:
    """The nodes to which edges lead from these, and these."""
    following: defaultdict[NodeId, list[NodeId]] = defaultdict(list)
    for edge in blueprint.edges:
        following[edge.source].append(edge.target)
    return reached(starts, following)


def _missing_implementation(subject: Subject, node: Node, path: str) -> Iterator[Issue]:
    if node.uses and subject.lacks(node.uses) and not node.uses.startswith(_NEVER_MISSING):
        message = f"{node.uses!r} is not registered: register an implementation of this name, or correct the name"
        yield Issue("MISSING_NODE_IMPLEMENTATION", message, f"{path}.uses", node.id)


def _fallback(subject: Subject, node: Node, path: str) -> Iterator[Issue]:
    fallback = node.config.fallback
    path = f"{path}.config.fallback"
    if fallback == node.id:
        message = "the node is its own fallback, so its failure is not handled: name another node"
        yield Issue("FALLBACK_IS_ITSELF", message, path, node.id, fallback)
    elif fallback is not None and fallback not in subject.node_ids:
        message = f"there is no node {fallback!r}, so a failure is not handled: correct the id"
        yield Issue("UNKNOWN_FALLBACK", message, path, node.id, fallback)


def _inputs(subject: Subject, node: Node, path: str) -> Iterator[Issue]:
    path = f"{path}.inputs"
    given = node.inputs if isinstance(node.inputs, Mapping) else {"": node.inputs}
    for key, name in given.items():
        where = f"{path}.{key}" if key else path
        if isinstance(name, str):
            yield from _input_node(subject, node, where, name)
        elif isinstance(node.inputs, Mapping):
            message = f"{name!r:.60} is no string, so the node fails: name a node or context key"
            yield Issue("INVALID_INPUTS", message, where, node.id)


def _input_node(subject: Subject, node: Node, path: str, name: str) -> Iterator[Issue]:
    source, dot, _ = name.partition(".")
    is_looked_up = dot and not name.startswith("_") and secret_name(name) is None
    if is_looked_up and source not in subject.node_ids:
        message = f"there is no node {source!r}, so {name!r} is always absent: before the dot stands a node id"
        yield Issue("UNKNOWN_INPUT_NODE", message, path, node.id, source, "warning")


def _orphan(subject: Subject, node: Node, path: str) -> Iterator[Issue]:
    if len(subject.blueprint.nodes) == 1 or node.id not in subject.entered:
        return
    is_reached = node.id in subject.topology.reachable
    if node.id in subject.led_to:
        if not is_reached:
            message = "only the fallback of a node that never runs leads here, so it never runs: connect it"
            yield Issue("UNREACHABLE_NODE", message, path, node.id)
    elif is_reached:
        # An issue by the letter of the specification; but the run does come here, so it may well be meant.
        in_cycle = next((start for start in subject.topology.start_nodes if start in subject.entered), None)
        message = (
            "no edges lead here from a start node: a run only comes here to stand in for a node, or to undo it"
            if in_cycle is None
            else f"no node can begin a run that has no incoming edge, so it begins at {in_cycle!r}, in a cycle"
        )
        yield Issue("ORPHAN_NODE", message, path, node.id, severity="warning")
    else:
        yield Issue("ORPHAN_NODE", "not reachable from a start node, so it never runs: connect it", path, node.id)


def _edge_ends(subject: Subject) -> Iterator[Issue]:
    for index, edge in enumerate(subject.blueprint.edges):
        if edge.source not in subject.node_ids:
            message = f"there is no node {edge.source!r}, so the edge never fires: correct the id"
            yield Issue("INVALID_EDGE_SOURCE", message, f"edges[{index}].source", related_id=edge.target)
        if edge.target not in subject.node_ids:
            message = f"there is no node {edge.target!r}, so the edge leads nowhere: correct the id"
            yield Issue("INVALID_EDGE_TARGET", message, f"edges[{index}].target", related_id=edge.source)


def _duplicate_ids(subject: Subject) -> Iterator[Issue]:
    seen: set[NodeId] = set()
    for index, node in enumerate(subject.blueprint.nodes):
        if node.id in seen:
            message = f"{node.id!r} is the id of another node already: give it an id of its own"
            yield Issue(DUPLICATE_NODE_ID, message, f"nodes[{index}].id", node.id)
        seen.add(node.id)


def _start(subject: Subject) -> Iterator[Issue]:
    if subject.node_ids and not subject.topology.start_nodes:
        message = "a run has no node to start at: at least one node needs no incoming edge and may be nobody's fallback"
        yield Issue("NO_START", message, "nodes")


def _cycles(subject: Subject) -> Iterator[Issue]:
    for cycle in subject.topology.cycles:
        if cycle[0] not in subject.topology.reachable:
            message = f"the cycle of {', '.join(cycle[:_NAMES_SHOWN])} is never entered: lead an edge into it"
            yield Issue("UNREACHABLE_CYCLE", message, "edges", cycle[0])


def _joins(subject: Subject) -> Iterator[Issue]:
    sources: defaultdict[NodeId, set[NodeId]] = defaultdict(set)
    counted: defaultdict[NodeId, set[NodeId]] = defaultdict(set)
    for edge in subject.blueprint.edges:
        sources[edge.target].add(edge.source)
        if edge.source in subject.topology.reachable and (edge.source, edge.target) not in subject.topology.back:
            counted[edge.target].add(edge.source)
    for index, node in enumerate(subject.blueprint.nodes):
        several = len(sources[node.id]) > 1
        if several and node.id not in subject.topology.reachable:
            message = f"the join ({node.config.join}) is never met, because a run reaches none of its predecessors"
            yield Issue("JOIN_NEVER_MET", message, f"nodes[{index}]", node.id)
        elif sources[node.id] and (node.config.join_count or 0) > len(counted[node.id]):
            message = (
                f"{node.config.join_count} predecessors have to fire, and a run has {len(counted[node.id])} of them "
                f"that it waits for: lower joinCount, or add edges"
            )
            yield Issue("JOIN_NEVER_MET", message, f"nodes[{index}].config.joinCount", node.id)


def _expressions(subject: Subject) -> Iterator[Issue]:
    language = expression_language(subject.blueprint)
    for index, edge in enumerate(subject.blueprint.edges):
        for kind, text in (("condition", edge.condition), ("transform", edge.transform)):
            if text is not None:
                yield from _expression(text, kind, f"edges[{index}].{kind}", language, edge.source)


def _expression(text: str, kind: str, path: str, language: Language, source: NodeId) -> Iterator[Issue]:
    try:
        expression = compile_expression(text, language=language)
    except ExpressionError as error:
        yield Issue("BAD_EXPRESSION", str(error), path, source)
        return
    if isinstance(expression, PathExpression) and not is_valid_path(text):
        effect = "the edge never fires" if kind == "condition" else "it delivers nothing"
        message = f"{text!r:.80} is no property path, so {effect}: write {CEL_PREFIX}<expression> for an expression"
        yield Issue("BAD_EXPRESSION", message, path, source, severity="warning")
        return
    unknown = sorted(expression.roots - _TRANSFORM_ROOTS) if kind == "transform" else []
    if unknown:
        message = f"a transform knows only input and context, not {', '.join(unknown)}: write context.{unknown[0]}"
        yield Issue("TRANSFORM_UNKNOWN_ROOT", message, path, source, severity="warning")


_NODE_RULES: Final[tuple[NodeRule, ...]] = (
    _missing_implementation,
    _orphan,
    _fallback,
    _inputs,
    secret_refs,
)
_RULES: Final[tuple[Rule, ...]] = (
    _edge_ends,
    _duplicate_ids,
    _start,
    _cycles,
    _joins,
    _expressions,
)
