"""Which edges fire (blueprint specification, section 4) and what they deliver (section 5)."""

from __future__ import annotations

from typing import Any

import pytest
from support.heart import Heart, graph_of

from famulus.blueprint.values import ABSENT


def started(*edges: tuple[Any, ...], initial: dict[str, Any] | None = None, **options: Any) -> Heart:
    """A run of node `a` with edges to others, which are all plain nodes."""
    nodes = {"a": "x"} | {edge[1]: "x" for edge in edges}
    return Heart(graph_of(nodes, *edges, **options), initial).start()


def fired(heart: Heart) -> set[str]:
    return heart.due - {"a"}


def test_an_action_takes_its_edges_and_leaves_the_default_edge() -> None:
    heart = started(("a", "yes", {"action": "ok"}), ("a", "also", {"action": "ok"}), ("a", "default"))

    heart.succeed("a", action="ok")

    assert fired(heart) == {"yes", "also"}
    assert heart.statuses["default"] == "skipped"


def test_an_unmatched_action_takes_the_default_edges() -> None:
    heart = started(("a", "yes", {"action": "ok"}), ("a", "default"), ("a", "other"))

    heart.succeed("a", action="unheard of")

    assert fired(heart) == {"default", "other"}


def test_an_unmatched_action_without_default_edge_starts_nothing() -> None:
    heart = started(("a", "yes", {"action": "ok"}), ("a", "no", {"action": "bad"}))

    heart.succeed("a", action="unheard of")

    assert heart.statuses == {"a": "completed", "yes": "skipped", "no": "skipped"}
    assert heart.run.status == "completed"


def test_no_action_leaves_action_edges() -> None:
    heart = started(("a", "yes", {"action": "ok"}), ("a", "default"))

    heart.succeed("a")

    assert fired(heart) == {"default"}


def test_actions_are_case_sensitive() -> None:
    heart = started(("a", "yes", {"action": "OK"}), ("a", "default"))

    heart.succeed("a", action="ok")

    assert fired(heart) == {"default"}


def test_an_empty_action_is_no_action() -> None:
    heart = started(("a", "empty", {"action": ""}), ("a", "yes", {"action": "ok"}))

    heart.succeed("a", action="")

    assert fired(heart) == {"empty"}


def test_the_default_edge_fires_when_all_conditions_of_the_action_are_false() -> None:
    heart = started(("a", "yes", {"action": "ok", "condition": "missing"}), ("a", "default"))

    heart.succeed("a", action="ok")

    assert fired(heart) == {"default"}


def test_one_of_several_action_edges_is_enough_to_leave_the_default_edge() -> None:
    heart = started(
        ("a", "no", {"action": "ok", "condition": "missing"}),
        ("a", "yes", {"action": "ok", "condition": "here"}),
        ("a", "default"),
        initial={"here": 1},
    )

    heart.succeed("a", action="ok")

    assert fired(heart) == {"yes"}


def test_all_edges_whose_condition_holds_fire() -> None:
    heart = started(
        ("a", "one", {"condition": "result.output.x"}),
        ("a", "two", {"condition": "a.x"}),
        ("a", "three", {"condition": "result.output.y"}),
    )

    heart.succeed("a", {"x": True, "y": 0})

    assert fired(heart) == {"one", "two"}


@pytest.mark.parametrize("value", [False, 0, 0.0, -0.0, "", None, float("nan")])
def test_false_are_the_values_that_javascript_takes_for_false(value: Any) -> None:
    heart = started(("a", "b", {"condition": "result.output"}))

    heart.succeed("a", value)

    assert heart.statuses["b"] == "skipped"


@pytest.mark.parametrize("value", [True, 1, -1, 0.5, "0", "false", " ", [], {}, [0], float("inf")])
def test_true_is_every_other_value(value: Any) -> None:
    heart = started(("a", "b", {"condition": "result.output"}))

    heart.succeed("a", value)

    assert fired(heart) == {"b"}


@pytest.mark.parametrize(
    "condition",
    [
        "!flag",
        "flag === true",
        "flag || flag",
        "flag.",
        ".flag",
        "fl-ag",
        "list[0]",
        " flag",
        "flåg",
        "unknown",
        "input",
        "input.x",
        "result.action",
        "result.nothing.more",
        "list.5",
        "list.-1",
        "list.length",
        "flag.constructor",
        "nothing.x",
        "__proto__",
        "list.01",
    ],
)
def test_a_condition_that_is_no_path_or_leads_nowhere_is_false(condition: str) -> None:
    given = {"flag": True, "list": [1], "nothing": None, "fl-ag": True, "flåg": True}
    heart = started(("a", "b", {"condition": condition}), initial=given)

    heart.succeed("a", {"x": 1})

    assert heart.statuses["b"] == "skipped"


@pytest.mark.parametrize(
    "condition",
    ["flag", "list.0", "deep.list.1.ok", "result.output.x", "result.action", "a.x", "mine", "context.flag", "$x_1"],
)
def test_a_condition_sees_the_context_the_result_and_what_the_node_wrote(condition: str) -> None:
    given = {"flag": True, "list": [1], "deep": {"list": [0, {"ok": "yes"}]}, "$x_1": 1}
    heart = started(("a", "b", {"condition": condition}), initial=given)

    heart.succeed("a", {"x": 1}, action="go", mine=1)

    assert fired(heart) == {"b"}


def test_a_condition_does_not_see_what_the_node_has_deleted() -> None:
    heart = started(("a", "b", {"condition": "flag"}), initial={"flag": True})

    heart.succeed("a", flag=ABSENT)

    assert heart.statuses["b"] == "skipped"


def test_result_is_the_result_and_not_a_context_key_of_that_name() -> None:
    heart = started(("a", "b", {"condition": "result.x"}), initial={"result": {"x": True}})

    heart.succeed("a")

    assert heart.statuses["b"] == "skipped"


def test_a_condition_sees_the_output_rather_than_a_key_that_the_node_wrote_under_its_own_name() -> None:
    heart = started(("a", "b", {"condition": "a.mine"}), ("a", "c", {"condition": "a.out"}))

    heart.succeed("a", {"out": 1}, a={"mine": 1})

    assert fired(heart) == {"c"}


def test_edges_equal_in_source_target_action_and_condition_are_the_last_of_them() -> None:
    heart = started(
        ("a", "b", {"condition": "here", "transform": "input.first"}),
        ("a", "b", {"condition": "here", "transform": "input.last"}),
        initial={"here": 1},
    )

    heart.succeed("a", {"first": 1, "last": 2})

    assert heart.given_to("b") == 2
    assert heart.run.steps["a"].fired == (1,)


def test_edges_to_unknown_nodes_are_ignored() -> None:
    heart = Heart(graph_of({"a": "x", "b": "x"}, ("a", "nowhere"), ("a", "b"))).start()

    heart.succeed("a")
    heart.succeed("b")

    assert heart.run.status == "completed"


def test_a_condition_that_cannot_be_evaluated_fails_the_step_with_its_expression() -> None:
    heart = started(("a", "b", {"condition": "cel: result.output + 1 > 2"}), ("a", "c"))

    heart.succeed("a", "text")

    assert heart.statuses == {"a": "failed", "b": "skipped", "c": "skipped"}
    assert "result.output + 1" in (heart.run.steps["a"].reason or "")


# -- delivery --------------------------------------------------------------------------------------------------------


def test_an_edge_without_transform_delivers_the_output() -> None:
    heart = started(("a", "b"))

    heart.succeed("a", {"x": 1})

    assert heart.given_to("b") == {"x": 1}


def test_a_transform_delivers_its_value_and_leaves_the_output() -> None:
    heart = started(("a", "b", {"transform": "input.x.0"}))

    heart.succeed("a", {"x": [7]})

    assert heart.given_to("b") == 7
    assert heart.run.context["a"] == {"x": [7]}


@pytest.mark.parametrize("transform", ["input.nope", "x", "flag", "result.output", "a", "input.x +", "context.nope.x"])
def test_a_transform_that_leads_nowhere_delivers_null_and_not_the_output(transform: str) -> None:
    heart = started(("a", "b", {"transform": transform}), initial={"flag": True})

    heart.succeed("a", {"x": 1})

    assert heart.given_to("b") is None


@pytest.mark.parametrize(
    ("transform", "expected"), [("context.flag", 5), ("context.a.x", 1), ("context.mine.y", 2), ("input", {"x": 1})]
)
def test_a_transform_sees_exactly_input_and_context(transform: str, expected: Any) -> None:
    heart = started(("a", "b", {"transform": transform}), initial={"flag": 5, "input": "never"})

    heart.succeed("a", {"x": 1}, mine={"y": 2})

    assert heart.given_to("b") == expected


def test_a_transform_sees_the_context_of_its_moment() -> None:
    heart = Heart(graph_of({"a": "x", "b": "x", "c": "x"}, ("a", "b", {"transform": "context.k"}))).start()

    heart.succeed("a", k="then")
    heart.succeed("c", k="later")

    assert heart.given_to("b") == "then"
    heart.crash()
    assert heart.given_to("b") == "then"


def test_transforms_into_one_join_use_the_output_of_their_own_source() -> None:
    heart = Heart(
        graph_of(
            {"a": "x", "b": "x", "j": "x"},
            ("a", "j", {"transform": "input.v"}),
            ("b", "j", {"transform": "input.v"}),
        )
    ).start()

    heart.succeed("a", {"v": 1})
    first = heart.given_to("j")
    heart.succeed("b", {"v": 2})

    assert (first, heart.given_to("j")) == (1, 2)


def test_a_transform_beats_the_explicit_inputs_of_its_target() -> None:
    heart = Heart(
        graph_of({"a": "x", "b": {"uses": "x", "inputs": "flag"}}, ("a", "b", {"transform": "input.x"})), {"flag": 5}
    ).start()

    heart.succeed("a", {"x": 1})

    assert heart.given_to("b") == 1
    heart.crash()
    assert heart.given_to("b") == 1


def test_a_transform_on_an_edge_that_did_not_fire_binds_nothing() -> None:
    heart = Heart(
        graph_of(
            {"a": "x", "b": {"uses": "x", "inputs": "flag"}},
            ("a", "b", {"transform": "input.x", "condition": "never"}),
            ("a", "b"),
        ),
        {"flag": 5},
    ).start()

    heart.succeed("a", {"x": 1})

    assert heart.given_to("b") == 5


@pytest.mark.parametrize(("edges", "expected"), [(["transform", "plain"], {"x": 1}), (["plain", "transform"], 1)])
def test_of_several_edges_into_a_node_the_last_one_delivers(edges: list[str], expected: Any) -> None:
    properties = {"transform": {"transform": "input.x"}, "plain": {"condition": "result.output.x"}}
    heart = started(*(("a", "b", properties[edge]) for edge in edges))

    heart.succeed("a", {"x": 1})

    assert heart.given_to("b") == expected
    heart.crash()
    assert heart.given_to("b") == expected


def test_an_output_that_is_absent_is_delivered_as_null() -> None:
    heart = started(("a", "b"))

    heart.succeed("a")

    assert fired(heart) == {"b"}
    assert heart.given_to("b") is None
