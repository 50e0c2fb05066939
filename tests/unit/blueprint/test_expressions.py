from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from famulus.blueprint import cel_source
from famulus.blueprint.expressions import compile_expression, is_valid_path
from famulus.blueprint.values import ABSENT
from famulus.errors import ExpressionError


class Names:
    """Top-level names that remember which of them were asked for."""

    def __init__(self, **values: Any) -> None:
        self.values = values
        self.asked: list[str] = []

    def __call__(self, name: str) -> Any:
        self.asked.append(name)
        return self.values.get(name, ABSENT)


class LazyContext(Mapping[str, Any]):
    """A context that remembers which keys were read, and cannot be listed."""

    def __init__(self, **values: Any) -> None:
        self.values_by_key = values
        self.read: list[str] = []

    def __getitem__(self, key: str) -> Any:
        self.read.append(key)
        return self.values_by_key[key]

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("the whole context was read")

    def __len__(self) -> int:
        raise AssertionError("the whole context was counted")


def path(text: str, **values: Any) -> Any:
    return compile_expression(text, language="path").evaluate(Names(**values))


def cel(text: str, **values: Any) -> Any:
    return compile_expression(text, language="cel").evaluate(Names(**values))


def test_a_path_walks_properties_and_list_indexes() -> None:
    assert path("result.output.items.1.name", result={"output": {"items": [{}, {"name": "b"}]}}) == "b"


@pytest.mark.parametrize(
    "text",
    [
        "a === 1",
        "!a",
        "a-b",
        "a[0]",
        " a",
        "a..b",
        ".a",
        "a.",
        "",
        "é",
        "a.b\n",
        "a.length",
        "a.constructor",
        "b",
        "n.x",
    ],
)
def test_what_is_no_path_or_leads_nowhere_is_absent(text: str) -> None:
    assert path(text, a={"b": 1}, n=None) is ABSENT


@pytest.mark.parametrize("text", ["a..b", "a.", ".b"])
def test_a_name_in_a_path_may_be_empty(text: str) -> None:
    assert path(text, **{"a": {"": {"b": 1}}, "": {"b": 1}}) is not ABSENT
    assert not is_valid_path(text)


@pytest.mark.parametrize(("text", "valid"), [("a.$b._c.0", True), ("a..b", False), ("a ", False), ("a\n", False)])
def test_the_linter_can_tell_paths(text: str, *, valid: bool) -> None:
    assert is_valid_path(text) is valid


def test_a_path_to_a_whole_lazy_mapping_gives_a_dict() -> None:
    class Context(dict[str, Any]):
        pass

    assert path("context", context=Context(a=1)) == {"a": 1}


def test_only_the_names_that_are_read_are_asked_for() -> None:
    names = Names(a=1, b=2)

    compile_expression("cel:a > 0", language="path").evaluate(names)

    assert names.asked == ["a"]


def test_only_the_keys_of_the_context_that_are_read_are_taken() -> None:
    context = LazyContext(a={"b": 1, "big": list(range(50_000))}, **{"my-node": {"x": 2}}, other=object())

    value = cel('context.a.b + context["my-node"].x', context=context)

    assert value == 3
    assert context.read == ["a", "my-node"]


@pytest.mark.parametrize(
    ("text", "roots"),
    [
        ("a.b && c['d'].e", {"a", "c"}),
        ("size(a) > b.size()", {"a", "b"}),
        ("items.all(x, x.n > limit)", {"items", "limit"}),
        ("x.exists(x, x == 1)", {"x"}),
        ("'a.b' + r\"c\\\" + '''d'e''' == f // g", {"f"}),
        ("true || null == h ? {'k': i} : j", {"h", "i", "j"}),
    ],
)
def test_the_roots_are_the_names_from_outside(text: str, roots: set[str]) -> None:
    assert compile_expression(text, language="cel").roots == roots


def test_a_variable_of_a_macro_hides_the_name_outside_only_within_the_macro() -> None:
    assert cel("x == 7 && [1, 2].all(x, x < 3)", x=7) is True


@pytest.mark.parametrize("text", ["a.b > 1", "missing > 1", "a['k']", "l[5] == 1", "missing.b.c"])
def test_a_missing_value_makes_cel_absent(text: str) -> None:
    assert cel(text, a={}, l=[1]) is ABSENT


def test_has_asks_without_failing() -> None:
    assert cel("has(a.b)", a={}) is False
    assert cel("has(a.b)", a={"b": None}) is True


@pytest.mark.parametrize("text", ["1 / zero == 1", "a < 'x'", "a && true", "a.b", "'x'.matches('(')"])
def test_any_other_failure_is_an_error_that_shows_the_expression(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        cel(text, a=1, zero=0)

    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a === 1", "line 1, column 5"),
        ("", "line 1, column 1"),
        ("'", "token recognition error"),
        ("nofunction(1)", "no function nofunction"),
        (".a == 1", "write a"),
        ("a" * 2_001, "2001 characters"),
        ("(" * 100 + "1" + ")" * 100, "nest deeper"),
        ("[" * 1_900, "nest deeper"),
        ("a.all(x, a.exists(y, y == x))", "inside another"),
        ("a.map(x, x).filter(y, y.all(z, z > 0))", "inside another"),
    ],
)
def test_bad_cel_is_refused_when_it_is_compiled(text: str, complaint: str) -> None:
    with pytest.raises(ExpressionError, match=complaint):
        compile_expression(f"cel:{text}", language="path")


def test_macros_one_after_another_are_accepted() -> None:
    assert cel("a.map(x, x * 2).filter(x, x > 2)", a=[1, 2]) == [4]


@pytest.mark.parametrize("text", ["!" * 1_990 + "true", "1" + "+1" * 990, "a" + ".b" * 900, "a" + "[0]" * 600])
def test_long_chains_do_not_overflow_the_stack(text: str) -> None:
    outcome: list[Any] = []

    def evaluate() -> None:
        try:
            outcome.append(cel(text, a=[]))
        except ExpressionError as error:
            outcome.append(error)

    thread = threading.Thread(target=evaluate)
    thread.start()
    thread.join()

    assert outcome


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.size() > 0", list(range(10_001))),
        ("a.map(x, x)", list(range(3_000))),
        ("a.all(x, [a, a, a].size() > 0)", list(range(1_500))),
        ("a == 1", nested(60_000)),
    ],
)
def test_values_too_large_to_go_through_are_refused(text: str, value: Any) -> None:
    with pytest.raises(ExpressionError, match=r"compute it in a node|nest deeper"):
        cel(text, a=value)


@pytest.mark.parametrize("text", ["timestamp('2020-01-01T00:00:00Z')", "[b'x']", "{'a': duration('1h')}", "{1: 2}"])
def test_a_result_that_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError, match="no JSON"):
        cel(text)


def test_the_whole_value_is_needed_when_one_reading_takes_it_whole() -> None:
    assert cel("a.b == 1 && size(a) == 2", a={"b": 1, "c": 2}) is True
    assert cel("size(a) == 2 && a.b == 1", a={"b": 1, "c": 2}) is True


def test_a_key_that_is_computed_takes_the_whole_map() -> None:
    assert cel("a[k] == 2", a={"x": 1, "y": 2}, k="y") is True


def test_a_survey_counts_what_a_macro_would_copy() -> None:
    survey = cel_source.survey("a.all(x, x in b && a.size() > 1)")

    assert survey.loops
    assert survey.reads == 3
