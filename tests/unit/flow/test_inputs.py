"""What a node is given (blueprint specification, section 7) and what the context holds (section 2)."""

from __future__ import annotations

from typing import Any

import pytest
from support.heart import Heart, graph_of

from famulus.blueprint.values import ABSENT
from famulus.errors import InputError

OUTPUT = {"x": {"y": [10, 20]}, "": "empty name", "null": None}


def reader(inputs: Any, *, initial: dict[str, Any] | None = None, output: Any = OUTPUT) -> Any:
    """The input of node `b`, which follows `a`; `later` has not run."""
    heart = Heart(
        graph_of(
            {"a": "x", "b": {"uses": "x", "inputs": inputs}, "later": "x"},
            ("a", "b"),
            ("b", "later"),
        ),
        initial,
    ).start()
    heart.succeed("a", output)
    return heart.given_to("b")


@pytest.mark.parametrize("inputs", [None, ""])
def test_without_inputs_a_node_gets_what_the_edge_delivers(inputs: Any) -> None:
    assert reader(inputs) == OUTPUT


def test_a_start_node_gets_nothing() -> None:
    heart = Heart(graph_of({"a": "x"}), {"key": 1}).start()

    assert heart.given_to("a") is None


def test_a_start_node_gets_the_initial_context_key_of_its_inputs() -> None:
    heart = Heart(graph_of({"a": "x"}), {"_inputs.a": {"n": 1}}).start()

    assert heart.given_to("a") == {"n": 1}


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ("a", OUTPUT),
        ("key", "from context"),
        ("a.x.y.1", 20),
        ("a.x.y.2", None),
        ("a.x.y.-1", None),
        ("a.x.y.1.z", None),
        ("a.nope", None),
        ("a.", "empty name"),
        ("a.null", None),
        ("a.null.x", None),
        ("later", "later from context"),
        ("later.x", None),
        ("key.x", None),
        ("nothing", None),
        ("_private", 7),
        ("_outputs.a", OUTPUT),
        ("_outputs.later", None),
        ("_inputs.b", OUTPUT),
        ("_private.x", None),
        ("_dotted.key", 8),
        ("dotted.key", None),
    ],
)
def test_a_string_names_an_output_a_path_into_one_or_a_context_key(inputs: str, expected: Any) -> None:
    initial = {
        "key": "from context",
        "later": "later from context",
        "_private": 7,
        "_dotted.key": 8,
        "dotted.key": 9,
    }

    assert reader(inputs, initial=initial) == expected


def test_a_map_is_resolved_value_by_value_and_keeps_keys_that_are_absent_as_null() -> None:
    inputs = {"all": "a", "part": "a.x.y.0", "key": "key", "gone": "nothing", "none": ""}

    assert reader(inputs, initial={"key": 5}) == {"all": OUTPUT, "part": 10, "key": 5, "gone": None, "none": None}


def test_an_empty_map_gives_an_empty_map() -> None:
    assert reader({}) == {}


@pytest.mark.parametrize("value", [5, None, True, ["a"], {"a": "b"}])
def test_a_map_with_a_value_that_is_no_string_is_an_input_error_that_names_node_and_key(value: Any) -> None:
    with pytest.raises(InputError, match=r"'b'.*inputs\.n"):
        reader({"n": value})


def test_explicit_inputs_beat_what_an_edge_without_transform_delivers() -> None:
    assert reader("key", initial={"key": 5}) == 5


def test_null_as_output_is_an_output_and_beats_the_context_key() -> None:
    assert reader("a", initial={"a": "old"}, output=None) is None


# -- the context -----------------------------------------------------------------------------------------------------


def test_an_output_overwrites_the_context_key_of_that_name() -> None:
    heart = Heart(graph_of({"a": "x"}), {"a": "old"}).start()

    heart.succeed("a", "new", a="written by itself")

    assert heart.run.context["a"] == "new"
    assert heart.reloaded().context["a"] == "new"


def test_a_later_write_under_a_nodes_name_wins_while_the_output_stays() -> None:
    heart = Heart(
        graph_of({"a": "x", "b": "x", "c": {"uses": "x", "inputs": {"name": "a", "output": "_outputs.a"}}}, ("b", "c"))
    ).start()
    heart.succeed("a", "output")

    heart.succeed("b", a="written")

    assert heart.run.context["a"] == "written"
    assert heart.run.read("_outputs.a") == "output"
    assert heart.given_to("c") == {"name": "output", "output": "output"}


def test_an_earlier_write_under_a_nodes_name_loses_to_its_output() -> None:
    heart = Heart(graph_of({"a": "x", "b": "x"})).start()

    heart.succeed("b", a="written")
    heart.succeed("a", "output")

    assert heart.run.context["a"] == "output"
    assert heart.reloaded().context["a"] == "output"


def test_writes_of_parallel_nodes_all_survive() -> None:
    heart = Heart(graph_of(dict.fromkeys("abc", "x"))).start()

    for name in "abc":
        heart.succeed(name, **{f"key.{name}": name, "shared": name})

    assert heart.run.user_context() == {
        **dict.fromkeys("abc"),
        **{f"key.{name}": name for name in "abc"},
        "shared": "c",
    }
    assert heart.reloaded().user_context() == heart.run.user_context()


def test_a_deleted_key_is_gone_also_after_a_reload() -> None:
    heart = Heart(graph_of({"a": "x"}), {"key": 1, "other": 2}).start()

    heart.succeed("a", key=ABSENT)

    assert heart.run.user_context() == {"a": None, "other": 2}
    assert heart.reloaded().user_context() == {"a": None, "other": 2}


def test_a_failed_node_leaves_its_writes_and_no_output() -> None:
    heart = Heart(graph_of({"a": "x", "b": "x"}), {"a": "old"}).start()

    heart.fail("a", key=1)

    assert heart.run.user_context() == {"a": "old", "key": 1}
    assert heart.run.read("_outputs.a") is ABSENT


def test_engine_keys_do_not_belong_to_the_result() -> None:
    heart = Heart(graph_of({"a": "x", "b": "x"}, ("a", "b")), {"_secret": 1}).start()

    heart.succeed("a", 1)

    assert heart.run.user_context() == {"a": 1}
