from __future__ import annotations

import json
from typing import Any

import pytest

from famulus.blueprint.analysis import analyse
from famulus.blueprint.builtins import BUILT_INS
from famulus.blueprint.codec import parse_blueprint
from famulus.blueprint.issues import SPECIFIED_CODES, Issue, issues_as_text
from famulus.blueprint.linter import lint, lint_document


def node(node_id: str, uses: str = "x", **properties: Any) -> dict[str, Any]:
    return {"id": node_id, "uses": uses, **properties}


def edge(source: str, target: str, **properties: str) -> dict[str, Any]:
    return {"source": source, "target": target, **properties}


def issues(nodes: list[Any], edges: list[Any] = [], **options: Any) -> list[Issue]:  # noqa: B006
    metadata = options.pop("metadata", {})
    document = {"id": "b", "nodes": nodes, "edges": edges, "metadata": metadata}
    return lint(parse_blueprint(document), **{"implementations": {"x"}, **options})


def brief(found: list[Issue]) -> list[tuple[str, str, str | None, str | None]]:
    return [(issue.code, issue.path, issue.node_id, issue.related_id) for issue in found]


def test_a_sound_blueprint_has_no_issue() -> None:
    assert issues([node("a"), node("b")], [edge("a", "b", condition="result.output", transform="input.x")]) == []


def test_an_implementation_that_is_not_registered() -> None:
    assert brief(issues([node("a", "y")])) == [("MISSING_NODE_IMPLEMENTATION", "nodes[0].uses", "a", None)]


@pytest.mark.parametrize("uses", sorted(BUILT_INS | {"batch-other", "loop-other"}))
def test_built_in_nodes_are_not_missing(uses: str) -> None:
    assert SPECIFIED_CODES.isdisjoint(issue.code for issue in issues([node("a", uses)]))


def test_without_names_implementations_and_blueprints_are_not_checked() -> None:
    nodes = [node("a", "y"), node("b", "subflow", params={"blueprintId": "child"})]

    assert issues(nodes, implementations=None) == []


def test_edges_from_and_to_nowhere() -> None:
    found = issues([node("a"), node("b")], [edge("a", "b"), edge("ghost", "b"), edge("a", "ghost")])

    assert brief(found) == [
        ("INVALID_EDGE_SOURCE", "edges[1].source", None, "b"),
        ("INVALID_EDGE_TARGET", "edges[2].target", None, "a"),
    ]


def test_a_cycle_beside_a_start_node_is_never_entered() -> None:
    found = issues([node("s"), node("a"), node("b")], [edge("a", "b"), edge("b", "a")])

    assert brief(found) == [
        ("ORPHAN_NODE", "nodes[1]", "a", None),
        ("ORPHAN_NODE", "nodes[2]", "b", None),
        ("UNREACHABLE_CYCLE", "edges", "a", None),
    ]
    assert {issue.severity for issue in found} == {"error"}


def test_orphans_that_the_run_enters_as_a_cycle_are_only_a_warning() -> None:
    found = issues([node("a"), node("b")], [edge("a", "b"), edge("b", "a")])

    assert [issue.code for issue in found] == ["ORPHAN_NODE", "ORPHAN_NODE"]
    assert {issue.severity for issue in found} == {"warning"}


def test_a_fallback_is_no_orphan() -> None:
    assert issues([node("a", config={"fallback": "f"}), node("f"), node("g")], [edge("f", "g")]) == []


def test_a_cycle_behind_nothing_but_a_fallback_is_only_a_warning() -> None:
    nodes = [node("a", config={"fallback": "f"}), node("f"), node("g")]

    found = issues(nodes, [edge("f", "g"), edge("g", "f")])

    assert brief(found) == [("ORPHAN_NODE", "nodes[1]", "f", None), ("ORPHAN_NODE", "nodes[2]", "g", None)]
    assert {issue.severity for issue in found} == {"warning"}


def test_what_only_its_own_fallback_leads_to_is_no_orphan_and_never_runs() -> None:
    nodes = [node("s"), node("a", config={"fallback": "f"}), node("f")]

    assert brief(issues(nodes, [edge("f", "a")])) == [("UNREACHABLE_NODE", "nodes[1]", "a", None)]


def test_a_single_node_is_no_orphan() -> None:
    assert issues([node("a")], [edge("a", "a")]) == []


def test_fallbacks_that_cannot_stand_in() -> None:
    found = issues([node("a", config={"fallback": "a"}), node("b", config={"fallback": "ghost"})])

    assert brief(found) == [
        ("FALLBACK_IS_ITSELF", "nodes[0].config.fallback", "a", "a"),
        ("UNKNOWN_FALLBACK", "nodes[1].config.fallback", "b", "ghost"),
    ]


def test_a_blueprint_of_fallbacks_alone_has_no_start() -> None:
    found = issues([node("a", config={"fallback": "b"}), node("b", config={"fallback": "a"})])

    assert [issue.code for issue in found] == ["NO_START"]


def test_a_join_of_nodes_that_never_run_is_never_met() -> None:
    found = issues(
        [node("s"), node("a"), node("b"), node("j")], [edge("a", "b"), edge("b", "a"), edge("a", "j"), edge("b", "j")]
    )

    assert ("JOIN_NEVER_MET", "nodes[3]", "j", None) in brief(found)


@pytest.mark.parametrize(("needed", "codes"), [(1, []), (2, []), (3, ["JOIN_NEVER_MET"])])
def test_a_join_that_needs_more_predecessors_than_there_are_is_never_met(needed: int, codes: list[str]) -> None:
    config = {"joinStrategy": "n_of_m", "joinCount": needed}

    found = issues(
        [node("a"), node("b"), node("j", config=config)],
        [edge("a", "j"), edge("b", "j"), edge("b", "j", action="x"), edge("j", "j")],
    )

    assert [issue.code for issue in found] == codes
    assert all(issue.path == "nodes[2].config.joinCount" for issue in found)


def test_inputs_that_are_no_strings_or_name_no_node() -> None:
    found = issues(
        [node("a", inputs={"x": 1, "y": "ghost.field", "z": "_inputs.q", "k": "key"}), node("b", inputs="g.h")]
    )

    assert brief(found) == [
        ("INVALID_INPUTS", "nodes[0].inputs.x", "a", None),
        ("UNKNOWN_INPUT_NODE", "nodes[0].inputs.y", "a", "ghost"),
        ("UNKNOWN_INPUT_NODE", "nodes[1].inputs", "b", "g"),
    ]


def test_references_to_secrets_that_are_none_or_that_nobody_resolves() -> None:
    found = issues(
        [
            node("a", params={"good": ["secret://api-key"], "bad": {"x": "secret://a b"}, "part": "Bearer secret://x"}),
            node("b", inputs={"good": "secret://api.key", "bad": "secret://"}),
            node("c", "sleep", params={"duration": "secret://time"}),
            node("d", "map", inputs="n", params={"uses": "t", "params": {"good": "secret://x"}}),
        ]
    )

    assert [(each.path, each.severity) for each in found if each.code == "INVALID_SECRET"] == [
        ("nodes[0].params.part", "warning"),
        ("nodes[0].params.bad.x", "error"),
        ("nodes[1].inputs.bad", "error"),
        ("nodes[2].params.duration", "error"),
    ]
    assert "UNKNOWN_INPUT_NODE" not in {each.code for each in found}


def test_expressions_that_do_not_compile_or_are_always_absent() -> None:
    found = issues(
        [node("a"), node("b")],
        [
            edge("a", "b", condition="result.output === 1"),
            edge("a", "b", condition="cel:a ==="),
            edge("a", "b", action="t", transform="output.x"),
            edge("a", "b", action="u", transform="input.x || 1"),
        ],
    )

    assert [(issue.code, issue.path, issue.severity) for issue in found] == [
        ("BAD_EXPRESSION", "edges[0].condition", "warning"),
        ("BAD_EXPRESSION", "edges[1].condition", "error"),
        ("TRANSFORM_UNKNOWN_ROOT", "edges[2].transform", "warning"),
        ("BAD_EXPRESSION", "edges[3].transform", "warning"),
    ]
    assert "cel:" in found[0].message


def test_in_a_blueprint_of_cel_expressions_need_no_prefix() -> None:
    edges = [edge("a", "b", condition="result.output == 1")]

    assert issues([node("a"), node("b")], edges, metadata={"expressionLanguage": "cel"}) == []


def test_a_document_shows_what_cannot_be_read_and_what_is_wrong_beside_it() -> None:
    document = {"id": "b", "nodes": [node("a", "y"), node("a", 3)], "edges": [edge("a", "ghost")]}  # type: ignore[arg-type]

    found = lint_document(json.dumps(document), implementations={"x"})

    assert [(issue.code, issue.path) for issue in found] == [
        ("DUPLICATE_NODE_ID", "nodes[1].id"),
        ("INVALID_BLUEPRINT", "nodes[1].uses"),
        ("MISSING_NODE_IMPLEMENTATION", "nodes[0].uses"),
        ("INVALID_EDGE_TARGET", "edges[0].target"),
    ]


def test_a_document_that_is_no_json_is_one_issue() -> None:
    (issue,) = lint_document(b"[" * 20_000, implementations=None)

    assert issue.code == "INVALID_BLUEPRINT"


def test_text_shows_errors_first_and_json_leaves_out_what_is_not_given() -> None:
    warning = Issue("W", "may be", "nodes[0]", "a", severity="warning")
    error = Issue("E", "is", "", related_id="b")

    assert issues_as_text([warning, error]) == "error E blueprint: is\nwarning W nodes[0]: may be"
    assert error.as_json() == {"code": "E", "severity": "error", "path": "", "message": "is", "relatedId": "b"}


def test_analysis_tells_how_the_nodes_hang_together() -> None:
    analysis = analyse(
        parse_blueprint(
            {
                "id": "b",
                "nodes": [node("a", config={"fallback": "f"}), node("b"), node("c"), node("f")],
                "edges": [edge("a", "b"), edge("b", "a"), edge("b", "c")],
            }
        )
    )

    assert analysis.start_node_ids == ("f",)
    assert analysis.terminal_node_ids == ("c", "f")
    assert analysis.cycles == (("a", "b"),)
    assert not analysis.is_dag
    assert (analysis.node_count, analysis.edge_count) == (4, 3)
