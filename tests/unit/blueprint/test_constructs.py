"""The linter on built-in nodes, loops, batches, child blueprints and compensations."""

from __future__ import annotations

from typing import Any

import pytest

from famulus.blueprint.codec import parse_blueprint
from famulus.blueprint.issues import Issue
from famulus.blueprint.linter import lint


def node(node_id: str, uses: str = "x", /, config: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    return {"id": node_id, "uses": uses, "params": params, "config": config}


def edge(source: str, target: str, action: str | None = None) -> dict[str, Any]:
    return {"source": source, "target": target, "action": action}


def issues(*nodes: Any, edges: list[Any] = [], metadata: Any = None, **options: Any) -> list[Issue]:  # noqa: B006
    document = {"id": "b", "nodes": nodes, "edges": edges, "metadata": metadata}
    return lint(parse_blueprint(document), **{"implementations": {"x"}, **options})


def brief(found: list[Issue]) -> list[tuple[str, str, str | None, str | None]]:
    return [(issue.code, issue.path, issue.node_id, issue.related_id) for issue in found]


LOOP = (
    node("s"),
    node("again", "loop-controller", {"joinStrategy": "any"}, condition="more"),
    node("work"),
    node("after"),
)
LOOP_EDGES = [
    edge("s", "again"),
    edge("again", "work", "continue"),
    edge("work", "again"),
    edge("again", "after", "break"),
]
BATCH = (
    node("split", "batch-scatter", workerUsesKey="x", gatherNodeId="all"),
    node("all", "batch-gather", gatherNodeId="all"),
)


def test_sound_constructs_have_no_issue() -> None:
    assert issues(*LOOP, edges=LOOP_EDGES) == []
    assert issues(*BATCH, edges=[edge("split", "all")]) == []
    assert issues(node("a", "map", uses="x"), node("b", "sleep", duration=1), node("c", "wait")) == []
    assert issues(node("a", "x", {"compensate": "u"}), node("u")) == []


@pytest.mark.parametrize(
    ("wrong", "parameter"),
    [
        (node("a", "sleep"), "duration"),
        (node("a", "sleep", until="tomorrow"), "until"),
        (node("a", "wait", form={"type": 1}), "form"),
        (node("a", "webhook", timeout="soon"), "timeout"),
        (node("a", "batch-gather", outputKey=1), "outputKey"),
        (node("a", "map", uses="x", maxConcurrency=0), "maxConcurrency"),
        (node("a", "subflow", blueprintId="child", outputs={"k": 1}), "outputs.k"),
        (node("a", "startRun"), "blueprintId"),
    ],
)
def test_a_wrong_param_is_named_by_its_path(wrong: dict[str, Any], parameter: str) -> None:
    found = [issue for issue in issues(wrong, blueprints={"child"}) if issue.code != "GATHER_WITHOUT_SCATTER"]

    assert brief(found) == [("INVALID_PARAMETER", f"nodes[0].params.{parameter}", "a", None)]
    assert found[0].message.startswith(f"params.{parameter} is ")
    assert found[0].severity == "error"


def test_params_of_other_nodes_are_their_own_affair() -> None:
    assert issues(node("a", duration="soon", condition=3, blueprintId=1), blueprints=set()) == []


def test_a_worker_that_is_not_registered() -> None:
    scatter = node("split", "batch-scatter", workerUsesKey="y", gatherNodeId="all")

    found = issues(scatter, BATCH[1], node("m", "map", uses="y"), edges=[edge("split", "all")])

    assert brief(found) == [
        ("INVALID_BATCH_WORKER_KEY", "nodes[0].params.workerUsesKey", "split", None),
        ("MISSING_NODE_IMPLEMENTATION", "nodes[2].params.uses", "m", None),
    ]


@pytest.mark.parametrize("uses", ["subflow", "startRun", "map"])
@pytest.mark.parametrize(("child", "is_bad"), [("child", False), ("other", True), (["child"], True)])
def test_a_child_blueprint_that_is_not_known(uses: str, child: Any, *, is_bad: bool) -> None:
    found = issues(node("a", uses, blueprintId=child), blueprints={"child"})

    assert brief(found) == (
        [("INVALID_SUBFLOW_BLUEPRINT_ID", "nodes[0].params.blueprintId", "a", None)] if is_bad else []
    )


def test_a_subflow_without_a_blueprint_is_not_reported() -> None:
    assert issues(node("a", "subflow"), node("b", "subflow", blueprintId=""), blueprints={"child"}) == []


def test_a_child_blueprint_of_the_wrong_type_is_reported_where_none_is_known() -> None:
    assert brief(issues(node("a", "subflow", blueprintId=1))) == [
        ("INVALID_PARAMETER", "nodes[0].params.blueprintId", "a", None)
    ]


def test_a_loop_needs_a_way_on_and_wants_a_way_out() -> None:
    without_continue = issues(*LOOP, edges=[LOOP_EDGES[0], LOOP_EDGES[3], edge("again", "work")])
    without_break = issues(*LOOP[:3], edges=LOOP_EDGES[:3])

    assert brief(without_continue) == [("LOOP_WITHOUT_CONTINUE", "nodes[1]", "again", None)]
    assert brief(without_break) == [("LOOP_WITHOUT_BREAK", "nodes[1]", "again", None)]
    assert [found.severity for found in (*without_continue, *without_break)] == ["error", "warning"]


@pytest.mark.parametrize(
    ("condition", "metadata", "codes"),
    [
        ("count < 3", None, ["BAD_EXPRESSION"]),
        ("cel:count < 3", None, []),
        ("count < 3", {"expressionLanguage": "cel"}, []),
        ("count <", {"expressionLanguage": "cel"}, ["INVALID_PARAMETER"]),
    ],
)
def test_the_condition_of_a_loop_is_an_expression(condition: str, metadata: Any, codes: list[str]) -> None:
    nodes = (LOOP[0], node("again", "loop-controller", condition=condition), *LOOP[2:])

    found = issues(*nodes, edges=LOOP_EDGES, metadata=metadata)

    assert [(issue.code, issue.path) for issue in found] == [(code, "nodes[1].params.condition") for code in codes]


def test_a_scatter_names_a_gather_that_it_leads_to() -> None:
    unknown = node("split", "batch-scatter", workerUsesKey="x", gatherNodeId="ghost")
    other = node("split", "batch-scatter", workerUsesKey="x", gatherNodeId="s")

    assert brief(issues(unknown)) == [("INVALID_GATHER", "nodes[0].params.gatherNodeId", "split", "ghost")]
    assert brief(issues(other, node("s"))) == [("INVALID_GATHER", "nodes[0].params.gatherNodeId", "split", "s")]
    assert brief(issues(*BATCH)) == [("INVALID_GATHER", "nodes[0].params.gatherNodeId", "split", "all")]


def test_a_gather_that_names_another_node_is_told_that_this_changes_nothing() -> None:
    (found, _) = issues(node("all", "batch-gather", gatherNodeId="other"))

    assert brief([found]) == [("INVALID_GATHER", "nodes[0].params.gatherNodeId", "all", "other")]
    assert found.severity == "warning"
    assert [each.code for each in issues(node("all", "batch-gather", gatherNodeId="all"))] == ["GATHER_WITHOUT_SCATTER"]


@pytest.mark.parametrize("uses", ["loop-controller", "batch-scatter", "batch-gather"])
def test_an_item_is_nothing_that_lives_by_its_edges(uses: str) -> None:
    each = node("each", "map", uses=uses)

    assert brief(issues(each)) == [("INVALID_PARAMETER", "nodes[0].params.uses", "each", None)]
    assert issues(each, implementations={uses}) == []
    assert issues(node("each", "map", uses="map", params={"uses": "x"})) == []


def test_a_gather_without_a_scatter_gathers_nothing() -> None:
    (found,) = issues(BATCH[1])

    assert (found.code, found.node_id, found.severity) == ("GATHER_WITHOUT_SCATTER", "all", "warning")


def test_compensations_that_undo_nothing() -> None:
    found = issues(node("a", "x", {"compensate": "a"}), node("b", "x", {"compensate": "ghost"}))

    assert brief(found) == [
        ("COMPENSATION_IS_ITSELF", "nodes[0].config.compensate", "a", "a"),
        ("UNKNOWN_COMPENSATION", "nodes[1].config.compensate", "b", "ghost"),
    ]


def test_a_fallback_in_a_loop_does_not_stand_in_for_a_node_outside() -> None:
    found = issues(node("s", "x", {"fallback": "work"}), *LOOP[1:], edges=LOOP_EDGES)

    assert brief(found) == [("FALLBACK_INSIDE_LOOP", "nodes[0].config.fallback", "s", "work")]


def test_a_strict_blueprint_has_no_cycle() -> None:
    found = issues(*LOOP, edges=LOOP_EDGES, metadata={"strict": True})

    assert [(issue.code, issue.path) for issue in found] == [("CYCLE_IN_STRICT_BLUEPRINT", "metadata.strict")]
    assert issues(*BATCH, edges=[edge("split", "all")], metadata={"strict": True}) == []
