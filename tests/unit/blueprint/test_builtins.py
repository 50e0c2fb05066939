from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.blueprint.builtins import (
    BUILT_INS,
    GatherParams,
    LoopParams,
    MapParams,
    Params,
    ScatterParams,
    SleepParams,
    StartRunParams,
    SubflowParams,
    WaitParams,
    WebhookParams,
    parse_params,
    read_params,
)
from famulus.blueprint.model import Node
from famulus.errors import InputError, ParameterError
from famulus.ids import BlueprintId, NodeId, RunId

FORM = {"type": "object"}


def node(uses: str, /, **params: Any) -> Node:
    return Node(id=NodeId("nap"), uses=uses, params=params)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (node("sleep", duration=250), SleepParams(duration_ms=250)),
        (node("sleep", duration=0), SleepParams(duration_ms=0)),
        (node("sleep", duration="10s", until=None), SleepParams(duration_ms=10_000)),
        (node("sleep", until="1970-01-02T00:00:00Z"), SleepParams(until=86_400.0)),
        (node("sleep", until=12.5, duration=""), SleepParams(until=12.5)),
        (node("wait"), WaitParams()),
        (
            node("wait", signal="go", timeout="1d", timeoutAction="late", form=FORM),
            WaitParams(signal="go", timeout_ms=86_400_000, timeout_action="late", form=FORM),
        ),
        (node("webhook"), WebhookParams()),
        (
            node("webhook", timeout=5, timeoutAction="late", form=FORM),
            WebhookParams(timeout_ms=5, timeout_action="late", form=FORM),
        ),
        (node("webhook", tokenExpires="2h"), WebhookParams(token_expires_ms=7_200_000)),
        (node("webhook", tokenExpires=0), WebhookParams(token_expires_ms=0)),
        (
            node("batch-scatter", workerUsesKey="w", gatherNodeId="g", outputKey=3),
            ScatterParams(worker_uses="w", gather=NodeId("g")),
        ),
        (
            node("batch-scatter", workerUsesKey="w", gatherNodeId="g", chunkSize=2.0),
            ScatterParams(worker_uses="w", gather=NodeId("g"), chunk=2),
        ),
        (node("batch-gather"), GatherParams()),
        (node("batch-gather", gatherNodeId="nap", outputKey="all"), GatherParams(output_key="all")),
        (node("map", uses="w"), MapParams(uses="w")),
        (
            node("map", blueprintId="b", version=2, maxConcurrency=9, toleratedFailures="12.5%", spread=True),
            MapParams(
                blueprint_id=BlueprintId("b"), version="2", max_concurrency=9, tolerated_failures="12.5%", spread=True
            ),
        ),
        (
            node("map", uses="w", params={"size": 1}, toleratedFailures=3.0),
            MapParams(uses="w", params={"size": 1}, tolerated_failures=3),
        ),
        (node("subflow", blueprintId="b"), SubflowParams(blueprint_id=BlueprintId("b"))),
        (
            node("subflow", blueprintId="b", version="1", inputs={}, outputs={"x": "y"}),
            SubflowParams(blueprint_id=BlueprintId("b"), version="1", inputs={}, outputs={"x": "y"}),
        ),
        (
            node("startRun", blueprintId="b", inputs={"x": "y"}, runId="r-1"),
            StartRunParams(blueprint_id=BlueprintId("b"), inputs={"x": "y"}, run_id=RunId("r-1")),
        ),
    ],
)
def test_params_are_read(given: Node, expected: Params) -> None:
    assert parse_params(given) == expected


@pytest.mark.parametrize(
    ("given", "parameter", "problem"),
    [
        (node("sleep"), "duration", "is missing, expected milliseconds as a number from 0"),
        (node("sleep", duration="ten"), "duration", "is 'ten', expected milliseconds as a number from 0"),
        (node("sleep", duration=-1), "duration", "is -1, expected milliseconds as a number from 0"),
        (node("sleep", duration=1, until=1), "until", "is given beside params.duration, expected one of the two"),
        (node("sleep", until="2026-07-01T12:00"), "until", "is '2026-07-01T12:00', expected seconds since 1970"),
        (node("wait", signal=["go"]), "signal", "is a list, expected the name of a signal"),
        (node("wait", timeout=True), "timeout", "is true, expected milliseconds"),
        (node("wait", timeoutAction=1), "timeoutAction", "is 1, expected a text"),
        (node("wait", form=[]), "form", "is a list, expected an object, a JSON Schema"),
        (node("webhook", form={"type": "objekt"}), "form", "is no JSON Schema: type: 'objekt'"),
        (node("webhook", timeout={}), "timeout", "is an object, expected milliseconds"),
        (node("webhook", tokenExpires="soon"), "tokenExpires", "is 'soon', expected milliseconds"),
        (node("loop-controller"), "condition", "is missing, expected what has to hold for another round"),
        (node("loop-controller", condition=True), "condition", "is true, expected what has to hold"),
        (node("loop-controller", condition="cel:1 +"), "condition", "cannot be used: "),
        (node("loop-controller", condition="c", maxRounds=0), "maxRounds", "is 0, expected a whole number from 1"),
        (node("batch-scatter", gatherNodeId="g"), "workerUsesKey", "is missing, expected the name of the implement"),
        (node("batch-scatter", workerUsesKey="w"), "gatherNodeId", "is missing, expected the id of the batch-gather"),
        (
            node("batch-scatter", workerUsesKey="w", gatherNodeId="g", chunkSize=1.5),
            "chunkSize",
            "is 1.5, expected a whole number from 1",
        ),
        (node("batch-gather", outputKey=1), "outputKey", "is 1, expected a context key"),
        (node("batch-gather", gatherNodeId=1), "gatherNodeId", "is 1, expected the id of the node itself"),
        (node("map"), "uses", "is missing, expected the name of the implementation of each item, or params.bluep"),
        (node("map", uses="w", blueprintId="b"), "blueprintId", "is given beside params.uses"),
        (node("map", uses=1), "uses", "is 1, expected the name of the implementation of each item"),
        (node("map", uses="w", maxConcurrency="2"), "maxConcurrency", "is '2', expected a whole number from 1"),
        (node("map", uses="w", toleratedFailures="101%"), "toleratedFailures", "is '101%', expected a whole number"),
        (node("map", uses="w", toleratedFailures=-1), "toleratedFailures", "is -1, expected a whole number from 0"),
        (node("map", uses="w", toleratedFailures=True), "toleratedFailures", "is true, expected a whole number"),
        (node("map", uses="w", params=[]), "params", "is a list, expected an object"),
        (node("map", uses="w", spread=1), "spread", "is 1, expected true or false"),
        (node("subflow"), "blueprintId", "is missing, expected the id of a blueprint"),
        (node("subflow", blueprintId=7), "blueprintId", "is 7, expected the id of a blueprint"),
        (node("subflow", blueprintId="b", version=[]), "version", "is a list, expected a text or number"),
        (node("subflow", blueprintId="b", inputs="x"), "inputs", "is 'x', expected an object of texts"),
        (node("subflow", blueprintId="b", outputs={"x": 1}), "outputs.x", "is 1, expected the name of a key"),
        (node("startRun"), "blueprintId", "is missing, expected the id of a blueprint"),
        (node("startRun", blueprintId="b", runId="a b"), "runId", "is 'a b', expected a run id"),
    ],
)
def test_a_param_that_is_missing_or_wrong_names_node_and_param(given: Node, parameter: str, problem: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_params(given)

    assert isinstance(caught.value, InputError)
    assert (caught.value.node_id, caught.value.parameter) == ("nap", parameter)
    assert caught.value.problem.startswith(problem)
    assert str(caught.value) == f"node 'nap': params.{parameter} {caught.value.problem}"


def test_every_problem_is_found_at_once() -> None:
    reading = read_params(node("wait", signal=1, timeout="soon", timeoutAction=2, form=3))

    assert reading.params is None
    assert [problem.parameter for problem in reading.problems] == ["signal", "timeout", "timeoutAction", "form"]


@pytest.mark.parametrize(("text", "language"), [("cel:left > 0", "path"), ("left > 0", "cel"), ("left", "path")])
def test_the_condition_of_a_loop_is_compiled_in_the_language_of_the_blueprint(text: str, language: Any) -> None:
    params = parse_params(node("loop-controller", condition=text, maxRounds=3), language=language)

    assert isinstance(params, LoopParams)
    assert params.max_rounds == 3
    assert params.condition.evaluate({"left": 2}.__getitem__)


names = st.sampled_from(
    [
        *("duration", "until", "signal", "timeout", "timeoutAction", "form", "tokenExpires", "condition", "maxRounds"),
        *("workerUsesKey", "gatherNodeId", "chunkSize", "outputKey", "uses", "blueprintId", "version", "params"),
        *("maxConcurrency", "toleratedFailures", "spread", "inputs", "outputs", "runId"),
    ]
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "b", "1s", "5%", "2026-07-01T00:00Z"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "type", "$ref"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(st.sampled_from(sorted(BUILT_INS)), st.dictionaries(names, json_values, max_size=6))
def test_no_params_break_the_reader(uses: str, params: dict[str, Any]) -> None:
    reading = read_params(node(uses, **params))

    assert (reading.params is None) == bool(reading.problems)
    assert all(
        problem.parameter.partition(".")[0] in {*params, "duration", "uses"} | REQUIRED for problem in reading.problems
    )


REQUIRED = {"condition", "workerUsesKey", "gatherNodeId", "blueprintId"}
