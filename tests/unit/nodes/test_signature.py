"""How the arguments of a node are filled."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import pytest

from famulus.blueprint.values import ABSENT
from famulus.errors import InputError
from famulus.ids import BlueprintId, NodeId, RunId, StepId
from famulus.nodes import NodeContext, Registry, ThreadContext
from famulus.nodes.context import NodeInfo
from famulus.nodes.signature import read_signature

if TYPE_CHECKING:
    from decimal import Decimal


def context_of(given: Any = None, **params: Any) -> ThreadContext:
    return ThreadContext(
        run_id=RunId("r"),
        blueprint_id=BlueprintId("b"),
        node_id=NodeId("charge"),
        step_id=StepId("charge"),
        attempt=1,
        input=given,
        params=params,
        read=lambda _: ABSENT,
    )


def arguments(function: Callable[..., Any], given: Any = None, **params: Any) -> dict[str, Any]:
    return read_signature(function).arguments(context_of(given, **params))


# -- where a value comes from ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ctx", "context"])
def test_the_context_is_known_by_its_name(name: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def f({name}): ...", namespace)
    ctx = context_of()

    assert read_signature(namespace["f"]).arguments(ctx) == {name: ctx}


def test_the_context_is_known_by_its_annotation_whatever_its_name() -> None:
    def f(a: NodeContext, b: ThreadContext, c: NodeInfo) -> None: ...

    ctx = context_of({"a": 1, "b": 2, "c": 3})

    assert read_signature(f).arguments(ctx) == {"a": ctx, "b": ctx, "c": ctx}


def test_input_and_params_are_given_whole() -> None:
    def f(input: Any, params: dict[str, Any]) -> None: ...

    assert arguments(f, {"x": 1}, y=2) == {"input": {"x": 1}, "params": {"y": 2}}


def test_a_parameter_is_filled_from_params_before_input() -> None:
    def f(a: int, b: int) -> None: ...

    assert arguments(f, {"a": 1, "b": 2}, a=10) == {"a": 10, "b": 2}


def test_a_param_that_is_null_is_given_and_not_passed_over() -> None:
    def f(a: int | None = 5) -> None: ...

    assert arguments(f, {"a": 1}, a=None) == {"a": None}


@pytest.mark.parametrize("given", [5, "text", [1, 2], None, {"other": 1}])
def test_the_only_parameter_left_gets_the_whole_input(given: Any) -> None:
    def f(amount: Any, currency: str) -> None: ...

    assert arguments(f, given, currency="EUR") == {"amount": given, "currency": "EUR"}


def test_a_parameter_with_a_default_does_not_get_the_whole_input() -> None:
    def f(amount: int = 7) -> None: ...

    assert arguments(f, {"other": 1}) == {}
    assert arguments(f, 5) == {}


def test_two_parameters_that_nothing_fills_are_an_error_that_names_node_and_both() -> None:
    def f(amount: int, currency: str, note: str = "") -> None: ...

    with pytest.raises(InputError, match=r"'charge'.*amount, currency.*params.*inputs"):
        arguments(f, 5)


def test_a_function_without_parameters_gets_nothing() -> None:
    assert arguments(lambda: None, {"x": 1}, y=2) == {}


def test_keyword_rest_takes_the_params_that_no_parameter_takes() -> None:
    def f(a: int, ctx: Any, **rest: Any) -> None: ...

    assert {key: value for key, value in arguments(f, {"z": 0}, a=1, b=2, c=3).items() if key != "ctx"} == {
        "a": 1,
        "b": 2,
        "c": 3,
    }


def test_keyword_rest_does_not_take_a_param_called_like_the_context() -> None:
    def f(ctx: Any, **rest: Any) -> None: ...

    assert isinstance(arguments(f, ctx="mine")["ctx"], ThreadContext)


def test_keyword_only_parameters_are_filled_by_name() -> None:
    def f(*, a: int, b: int = 2) -> None: ...

    assert arguments(f, {"a": 1}) == {"a": 1}


# -- what a value becomes --------------------------------------------------------------------------------------------


@dataclass
class Order:
    number: int
    at: datetime
    tags: set[str]


class Line(msgspec.Struct):
    sku: str
    count: int = 1


class Colour(Enum):
    RED = "red"


def test_values_become_what_the_annotations_say() -> None:
    def f(  # noqa: PLR0917
        order: Order,
        lines: list[Line],
        colour: Colour,
        mode: Literal["fast", "slow"],
        limit: Annotated[int, msgspec.Meta(ge=0)],
        ratio: float,
        maybe: int | None,
    ) -> None: ...

    filled = arguments(
        f,
        {
            "order": {"number": 1, "at": "2026-01-02T03:04:05Z", "tags": ["a", "a"]},
            "lines": [{"sku": "x"}, {"sku": "y", "count": 2}],
            "colour": "red",
            "mode": "slow",
            "limit": 5,
            "ratio": 1,
            "maybe": None,
        },
    )

    assert filled == {
        "order": Order(1, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), {"a"}),
        "lines": [Line("x"), Line("y", 2)],
        "colour": Colour.RED,
        "mode": "slow",
        "limit": 5,
        "ratio": 1.0,
        "maybe": None,
    }


def test_the_whole_input_is_converted_too() -> None:
    def by_name(input: Line) -> None: ...
    def only_one(line: Line) -> None: ...

    assert arguments(by_name, {"sku": "x"}) == {"input": Line("x")}
    assert arguments(only_one, {"sku": "x"}) == {"line": Line("x")}


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, "5"),
        (int, True),
        (str, 5),
        (Line, {"count": 1}),
        (Line, None),
        (Literal["a"], "b"),
        (datetime, "yesterday"),
        (Annotated[int, msgspec.Meta(ge=0)], -1),
        (Colour, "green"),
        (list[int], [1, "x"]),
    ],
)
def test_a_value_that_does_not_fit_is_an_error_that_names_node_and_parameter(annotation: Any, value: Any) -> None:
    def f(amount: Any, other: int = 0) -> None: ...

    f.__annotations__["amount"] = annotation

    with pytest.raises(InputError, match=r"'charge'.*'amount'"):
        arguments(f, amount=value)


def test_params_that_do_not_fit_are_an_error_that_names_params() -> None:
    def f(params: Line) -> None: ...

    with pytest.raises(InputError, match=r"'charge'.*'params'"):
        arguments(f, sku=5)


def test_values_without_annotation_are_passed_as_they_are() -> None:
    def f(a, b: Any, c: object) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001

    assert arguments(f, a=[1], b={"x": 1}, c="y") == {"a": [1], "b": {"x": 1}, "c": "y"}


def test_a_name_that_only_type_checkers_know_leaves_the_other_annotations_in_force() -> None:
    def f(price: Decimal, at: datetime) -> None: ...

    filled = arguments(f, price="1.50", at="2026-01-02T03:04:05Z")

    assert filled == {"price": "1.50", "at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)}


def test_a_context_that_is_imported_for_type_checkers_only_is_still_the_context() -> None:
    namespace: dict[str, Any] = {}
    exec("from __future__ import annotations\ndef f(run: NodeContext, amount): ...", namespace)
    ctx = context_of(5)

    assert read_signature(namespace["f"]).arguments(ctx) == {"run": ctx, "amount": 5}


# -- what can be a node ----------------------------------------------------------------------------------------------


def positional_only(a: int, /) -> None: ...
def starred(*rest: int) -> None: ...


@pytest.mark.parametrize("function", [positional_only, starred, functools.partial(starred)])
def test_parameters_that_cannot_be_passed_by_name_are_refused_with_their_name(function: Any) -> None:
    with pytest.raises(TypeError, match=r"'(a|rest)' must be passable by name"):
        read_signature(function)


class Charge:
    """A node with state of its own."""

    rate: str = "annotated as text, and no parameter"

    def __call__(self, amount: int, rate: float) -> float:
        return amount * rate

    def method(self, amount: int) -> int:
        return amount

    @staticmethod
    def static(amount: int) -> int:
        return amount

    @classmethod
    async def made(cls, amount: int) -> int:
        return amount


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (Charge(), {"amount": 2, "rate": 1.0}),
        (Charge().method, {"amount": 2}),
        (Charge.static, {"amount": 2}),
        (Charge.made, {"amount": 2}),
        (functools.partial(Charge(), rate=3.0), {"amount": 2}),
    ],
)
def test_objects_methods_and_partials_are_nodes_too(function: Any, expected: dict[str, Any]) -> None:
    given = {"amount": 2, **({"rate": 1} if expected.keys() > {"amount"} else {})}

    filled = arguments(function, given)

    assert filled == expected
    with pytest.raises(InputError, match="amount"):
        arguments(function, {"amount": "two", "rate": 1})


class AsyncCharge:
    async def __call__(self, amount: int) -> int:
        return amount


@pytest.mark.parametrize(
    ("function", "is_async"),
    [
        (AsyncCharge(), True),
        (functools.partial(AsyncCharge().__call__), True),
        (functools.partial(AsyncCharge()), True),
        (Charge.made, True),
        (Charge(), False),
        (Charge().method, False),
        (functools.partial(Charge()), False),
    ],
)
def test_what_is_async_is_seen_through_objects_and_partials(function: Any, is_async: bool) -> None:  # noqa: FBT001
    registry = Registry()

    registry.register("charge", function)

    assert registry["charge"].is_async is is_async
