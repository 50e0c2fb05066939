"""A function that is traced says the same as the blueprint, and what no blueprint can say is refused with advice."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from famulus.builder import Flow, each, first_of, on, task, when, workflow
from famulus.errors import BlueprintError, TracingError

fetch, parse, store = (task(name) for name in ("fetch", "parse", "store"))


def made(flow: Flow) -> Any:
    document = json.loads(flow.to_json())
    edges = [tuple(edge.get(key) for key in ("source", "target", "action", "condition")) for edge in document["edges"]]
    return {node.pop("id"): node for node in document["nodes"]}, [tuple(filter(None, edge)) for edge in edges]


def test_values_become_edges_and_inputs_and_everything_else_params() -> None:
    @workflow("site", version="3")
    def site(url: Any, depth: Any) -> None:
        page = fetch(url=url, depth=depth, retries=3)
        links = parse(page)
        store(page["body"], folder="out")
        store(links=links[0]["href"], page=page)

    assert json.loads(site.to_json())["metadata"] == {"version": "3"}
    assert made(site) == (
        {
            "fetch": {"uses": "fetch", "params": {"retries": 3}, "inputs": {"url": "url", "depth": "depth"}},
            "parse": {"uses": "parse"},
            "store": {"uses": "store", "params": {"folder": "out"}, "inputs": "fetch.body"},
            "store_2": {"uses": "store", "inputs": {"links": "parse.0.href", "page": "fetch"}},
        },
        [("fetch", "parse"), ("fetch", "store"), ("parse", "store_2"), ("fetch", "store_2")],
    )


def test_branches_lead_on_in_some_cases_and_come_together_again() -> None:
    @workflow("order")
    def order(items: Any) -> None:
        checked = task("check")(items=items)
        charged = task("charge", retries=2)(when(checked, "result.output.ok"))
        sorry = task("apologise")(on(checked, "refuse"))
        task("archive")(first_of(charged, sorry))
        task("report").after(charged, checked)()

    nodes, edges = made(order)
    assert nodes["charge"] == {"uses": "charge", "config": {"maxRetries": 3}}
    assert nodes["archive"] == {"uses": "archive", "config": {"joinStrategy": "any"}}
    assert nodes["report"] == {"uses": "report"}
    assert edges == [
        ("check", "charge", "result.output.ok"),
        ("check", "apologise", "refuse"),
        ("charge", "archive"),
        ("apologise", "archive"),
        ("charge", "report"),
        ("check", "report"),
    ]


def test_a_task_runs_for_each_item_of_a_list() -> None:
    @workflow("thumbs")
    def thumbs(folder: Any) -> None:
        images = task("list")(folder)
        resized = each(task("resize", timeout=5), images["names"], params={"size": 64}, max_concurrency=4)
        task("sheet")(resized)

    nodes, edges = made(thumbs)
    assert nodes["list"] == {"uses": "list", "inputs": "folder"}
    assert nodes["resize"] == {
        "uses": "map",
        "params": {"uses": "resize", "params": {"size": 64}, "maxConcurrency": 4},
        "inputs": "list.names",
        "config": {"timeout": 5000},
    }
    assert edges == [("list", "resize"), ("resize", "sheet")]


def test_a_node_that_only_stands_by_is_called_without_anything() -> None:
    @workflow("pay")
    def pay(order: Any) -> None:
        task("refund")()
        task("charge", compensate="refund", id="take")(order)

    nodes, edges = made(pay)
    assert nodes["take"]["config"] == {"compensate": "refund"}
    assert edges == []


def test_python_itself_happens_while_it_is_traced() -> None:
    @workflow("chain")
    def chain(start: Any) -> None:
        value = start
        for number in range(3):
            value = task("work").named(f"w{number}")(value)

    assert made(chain)[1] == [("w0", "w1"), ("w1", "w2")]


def test_built_in_nodes_are_tasks_as_well() -> None:
    @workflow("nap")
    def nap() -> None:
        store(task("sleep")(fetch(), duration="10s"))

    assert made(nap)[0]["sleep"] == {"uses": "sleep", "params": {"duration": "10s"}}


def test_what_is_wrong_with_the_blueprint_is_told_by_the_flow() -> None:
    @workflow("wrong")
    def wrong() -> None:
        task("sleep")(duration="ten")

    with pytest.raises(BlueprintError, match=r"nodes\[0\].params.duration"):
        wrong.blueprint()


def decides(value: Any) -> None:
    if value:
        fetch()


def compares(value: Any) -> None:
    fetch(same=value == 3)


def goes_through(value: Any) -> None:
    for item in value:
        fetch(item)


def returns(value: Any) -> Any:
    return fetch(value)


async def waits(value: Any) -> None:
    fetch(value)


def has_defaults(value: Any = 3) -> None:
    fetch(value)


def belongs_to_the_engine(_outputs: Any) -> None:
    fetch(_outputs)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (decides, "<value> is known only in a run, so it is neither true nor false .* on\\(value, action\\)"),
        (compares, "<value> is known only in a run, so it cannot be compared"),
        (goes_through, "its items cannot be gone through .* each\\(task, value\\)"),
        (lambda value: fetch(value + 1), "nothing can be computed with it"),
        (lambda value: fetch(name=f"{value}"), "it has no text"),
        (
            lambda value: fetch(fetch(value).body),
            r"<fetch> has no attribute 'body': a field is written as value\['body'\]",
        ),
        (lambda value: fetch(value["field"]), "<value> is a parameter, of which no field can be named"),
        (lambda value: fetch(fetch(value)["a.b"]), "has no field 'a.b'"),
        (lambda value: fetch(fetch(value)[-1]), "has no field -1"),
        (lambda value: fetch(value, value), "expected one value as its whole input, or all of them by name"),
        (lambda value: fetch(value, url=value), "expected one value as its whole input, or all of them by name"),
        (lambda value: fetch("text"), "'text' is no value of a run, give it by name as a param"),
        (lambda value: fetch(urls=[value]), "a param holds a value of a run"),
        (lambda value: fetch.after("text")(), "'text' is no value of a run, expected the output of a task"),
        (lambda value: fetch(on(value, "go")), "<value> is not the output of a node, so nothing leads on from it"),
        (lambda value: fetch(first_of(value)), "expected outputs of nodes, each as a whole"),
        (lambda value: fetch(first_of()), "first_of has no values of one workflow"),
        (lambda value: fetch(x=first_of(fetch(), fetch()), y=fetch()), "first_of\\(...\\) is its only argument"),
        (lambda value: fetch(first_of(fetch(), fetch())["x"]), "is one of several nodes, of which no field"),
        (lambda value: each(fetch, [1, 2]), "is no value of a run: call the task in a loop instead"),
        (lambda value: fetch.named("value")(x=value), "value is both a parameter and a node"),
        (lambda value: fetch.named("a.b")(x=value), "'a.b' is an id that no `inputs` can name"),
        (returns, "returns Value, expected nothing"),
        (waits, "is async or a generator, expected a plain function"),
        (has_defaults, "parameter 'value' is no plain one"),
        (belongs_to_the_engine, "keys with a leading _ belong to the engine"),
    ],
)
def test_what_no_blueprint_can_say_is_refused_with_advice(function: Callable[..., Any], message: str) -> None:
    def traced(value: Any) -> None:
        function(value)

    lambdas = function.__name__ == "<lambda>"

    with pytest.raises(TracingError, match=message):
        workflow("w")(traced if lambdas else function)


def test_a_task_is_called_inside_of_a_workflow_with_values_of_its_own() -> None:
    with pytest.raises(TracingError, match="task 'fetch' is called outside of a function with @workflow"):
        fetch()
    kept: list[Any] = []

    @workflow("one")
    def one() -> None:
        kept.append(fetch())

    with pytest.raises(TracingError, match="<fetch> belongs to another workflow"):

        @workflow("two")
        def two() -> None:
            parse(kept[0])

    assert one.id == "one"


def test_an_error_in_the_function_passes_through_and_ends_the_tracing() -> None:
    def broken() -> None:
        fetch()
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        workflow("w")(broken)
    with pytest.raises(TracingError, match="outside"):
        fetch()


def test_words_that_there_are_not_are_refused() -> None:
    unknown: dict[str, Any] = {"retires": 3}

    with pytest.raises(TypeError, match="there is no retires"):
        task("x", **unknown)
    with pytest.raises(TypeError, match="there is no retires"):
        workflow("x", **unknown)
