"""The builder makes the JSON that one would have written, and says everything that is wrong with it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.blueprint import digest_of, parse_blueprint
from famulus.builder import Flow, Step, flow, step
from famulus.errors import BlueprintError

NAMES = st.text("abcxyz-_. ü\"'", min_size=1, max_size=6)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
OPTIONS = st.fixed_dictionaries(
    {"uses": NAMES},
    optional={
        "params": st.dictionaries(NAMES, JSON_VALUES, max_size=3),
        "inputs": NAMES | st.dictionaries(NAMES, NAMES, max_size=3),
        "retries": st.integers(0, 9),
        "retry_delay": st.floats(0, 1e6) | st.timedeltas(timedelta(0), timedelta(days=9)),
        "timeout": st.floats(0, 1e6),
        "join": st.sampled_from(["all", "any"]),
        "retry_backoff": st.floats(1, 10),
        "retry_delay_max": st.floats(0, 1e6),
        "retry_jitter": st.floats(0, 1),
        "retry_on": st.lists(st.sampled_from([OSError, "ValueError"]), max_size=2),
        "never_retry_on": st.lists(st.just(KeyError), max_size=1),
        "total_timeout": st.floats(0, 1e6),
        "heartbeat": st.floats(0, 1e6),
        "join_deadline": st.floats(0, 1e6),
        "cancel_losers": st.booleans(),
    },
)
EDGE = st.fixed_dictionaries(
    {}, optional={"when": st.just("result.output.ok"), "action": NAMES, "transform": st.just("input.id")}
)


def config_of(made: Flow) -> Any:
    return json.loads(made.to_json())["nodes"][0].get("config")


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    """Chains and fan-outs, in which every node is reached."""
    ids = draw(st.lists(NAMES, min_size=1, max_size=8, unique=True))
    version = draw(st.none() | st.just("7"))
    made = flow("drawn", version=version, metadata=draw(st.dictionaries(st.just("owner"), NAMES)))
    made = made.node(ids.pop(0), **draw(OPTIONS))
    while ids:
        width = draw(st.integers(1, len(ids)))
        steps, ids = [step(each, **draw(OPTIONS), **draw(EDGE)) for each in ids[:width]], ids[width:]
        made = made.fan_out(*steps) if len(steps) > 1 else chained(made, steps[0], draw)
    return made


def chained(made: Flow, one: Step, draw: st.DrawFn) -> Flow:
    return made.then(one.node["id"], **draw(OPTIONS), **draw(EDGE))


@given(flows())
def test_the_json_is_the_blueprint(made: Flow) -> None:
    built = made.blueprint()

    read = parse_blueprint(made.to_json())

    assert read == built
    assert digest_of(read) == digest_of(built)


def test_it_makes_the_json_that_one_would_have_written() -> None:
    made = (
        flow("order", version="1")
        .node("check", uses="check", params={"strict": True}, inputs={"order": "order"}, timeout=2.5)
        .then("charge", uses="charge", when="result.output.ok", retries=2, retry_delay=timedelta(milliseconds=100))
        .then("refund", uses="refund", action="refused", transform="input.id", join="any")
        .at("check")
        .edge("check", "refund", action="odd")
    )

    assert json.loads(made.to_json()) == {
        "id": "order",
        "metadata": {"version": "1"},
        "nodes": [
            {
                "id": "check",
                "uses": "check",
                "params": {"strict": True},
                "inputs": {"order": "order"},
                "config": {"timeout": 2500},
            },
            {"id": "charge", "uses": "charge", "config": {"maxRetries": 3, "retryDelay": 100}},
            {"id": "refund", "uses": "refund", "config": {"joinStrategy": "any"}},
        ],
        "edges": [
            {"source": "check", "target": "charge", "condition": "result.output.ok"},
            {"source": "charge", "target": "refund", "action": "refused", "transform": "input.id"},
            {"source": "check", "target": "refund", "action": "odd"},
        ],
    }


def test_a_fan_out_goes_on_from_all_of_its_branches() -> None:
    made = (
        flow("fan")
        .node("begin", uses="x")
        .fan_out(step("left", uses="x", when="result.output.l"), step("right", uses="x"))
        .then("join", uses="y")
    )

    edges = [(edge.source, edge.target, edge.condition) for edge in made.blueprint().edges]
    assert edges == [
        ("begin", "left", "result.output.l"),
        ("begin", "right", None),
        ("left", "join", None),
        ("right", "join", None),
    ]


def test_then_without_an_implementation_leads_to_a_node_that_is_there() -> None:
    made = (
        flow("ends")
        .node("a", uses="x")
        .then("end", uses="x", join="any")
        .at("a")
        .then("b", uses="x", action="other")
        .then("end")
    )

    blueprint = made.blueprint()
    assert [node.id for node in blueprint.nodes] == ["a", "end", "b"]
    assert [(edge.source, edge.target) for edge in blueprint.edges] == [("a", "end"), ("a", "b"), ("b", "end")]


def test_a_common_beginning_can_be_shared() -> None:
    begin = flow("f").node("a", uses="x")

    one, other = begin.then("b", uses="x"), begin.then("c", uses="x")

    assert [node.id for node in one.blueprint().nodes] == ["a", "b"]
    assert [node.id for node in other.blueprint().nodes] == ["a", "c"]
    assert [node.id for node in begin.blueprint().nodes] == ["a"]


@pytest.mark.parametrize(
    ("options", "config"),
    [
        ({}, None),
        ({"retries": 0}, None),
        ({"retries": 1}, {"maxRetries": 2}),
        ({"timeout": 0.0001}, {"timeout": 1}),
        ({"timeout": timedelta(minutes=1)}, {"timeout": 60_000}),
        ({"fallback": "b"}, {"fallback": "b"}),
        ({"compensate": "b"}, {"compensate": "b"}),
        ({"retry_backoff": 2, "retry_jitter": 0.5}, {"retryBackoff": 2, "retryJitter": 0.5}),
        ({"retry_delay_max": 60}, {"retryDelayMax": 60_000}),
        ({"retry_on": [ConnectionError, "Busy"]}, {"retryOn": ["ConnectionError", "Busy"]}),
        ({"never_retry_on": (ValueError,)}, {"neverRetryOn": ["ValueError"]}),
        ({"total_timeout": 9, "heartbeat": 0.5}, {"totalTimeout": 9000, "heartbeatTimeout": 500}),
        ({"join": "any", "join_deadline": 1}, {"joinStrategy": "any", "joinDeadline": 1000}),
        ({"cancel_losers": True}, {"joinLosers": "cancel"}),
        ({"cancel_losers": False}, None),
    ],
)
def test_attempts_and_times_are_counted_as_the_json_does(options: dict[str, Any], config: Any) -> None:
    assert config_of(flow("f").node("a", uses="x", **options).at().node("b", uses="x")) == config


def test_a_version_and_a_language_go_into_the_metadata() -> None:
    made = flow("f", version="2", expressions="cel", metadata={"owner": "ada"}).node("a", uses="x")

    assert made.blueprint().version == "2"
    assert made.document()["metadata"] == {"owner": "ada", "version": "2", "expressionLanguage": "cel"}


def test_every_problem_is_told_at_once_with_its_path() -> None:
    wrong: Any = {
        "retries": -1,
        "timeout": "soon",
        "retry_delay": -1,
        "join": "most",
        "retry_on": OSError,
        "cancel_losers": "no",
    }
    made = (
        flow("")
        .node("a", uses="", **wrong)
        .node("a", uses="x", fallback="nobody", params={"when": object()})
        .edge("a", "gone", when="cel:1 +")
    )

    for call in (made.blueprint, made.to_json):
        with pytest.raises(BlueprintError) as caught:
            call()
        assert {problem.partition(":")[0] for problem in caught.value.problems} == {
            "id",
            "nodes[0].uses",
            "nodes[0].config.maxRetries",
            "nodes[0].config.timeout",
            "nodes[0].config.retryDelay",
            "nodes[0].config.joinStrategy",
            "nodes[0].config.retryOn",
            "nodes[0].config.joinLosers",
            "nodes[1].id",
            "nodes[1].params",
            "nodes[1].config.fallback",
            "edges[0].target",
            "edges[0].condition",
        }


def test_a_number_as_join_waits_for_so_many_predecessors() -> None:
    built = flow("b").node("a", uses="x").node("b", uses="x").node("c", uses="x", join=2)
    built = built.edge("a", "c").edge("b", "c")

    node = built.blueprint().nodes[2]

    assert (node.config.join.value, node.config.join_count) == ("n_of_m", 2)


def test_what_a_run_goes_by_goes_into_the_metadata() -> None:
    made = flow("f", timeout=60, fail_fast=True, strict=True, cycle_entry_points=["a"]).node("a", uses="x")

    assert json.loads(made.to_json())["metadata"] == {
        "timeout": 60_000,
        "failurePolicy": "failFast",
        "strict": True,
        "cycleEntryPoints": ["a"],
    }


def test_built_in_nodes_are_links_of_a_chain_with_words_of_their_own() -> None:
    form = {"type": "object"}
    made = (
        flow("built-in")
        .sleep("nap", "10s")
        .sleep("until", until=datetime(2026, 7, 1, 12, tzinfo=UTC))
        .wait("ask", signal="answer", deadline=timedelta(days=1), on_deadline="late", form=form)
        .webhook("call", deadline=1.5, token_expires="1d", action="yes", retries=1)
        .scatter("split", uses="resize", gather="all", chunk=10, inputs="images")
        .gather("all", output_key="thumbs")
        .map("each", uses="resize", params={"size": 1}, max_concurrency=4, tolerated_failures="10%", spread=True)
        .subflow("ship", "shipping", version="2", child_inputs={"id": "order"}, child_outputs={"label": "label"})
        .start_run("tell", "telling", run_id="r1", when="result.output")
    )

    document = json.loads(made.to_json())
    assert {node["id"]: (node["uses"], node["params"]) for node in document["nodes"]} == {
        "nap": ("sleep", {"duration": "10s"}),
        "until": ("sleep", {"until": "2026-07-01T12:00:00+00:00"}),
        "ask": ("wait", {"signal": "answer", "timeout": 86_400_000, "timeoutAction": "late", "form": form}),
        "call": ("webhook", {"timeout": 1500, "tokenExpires": "1d"}),
        "split": ("batch-scatter", {"workerUsesKey": "resize", "gatherNodeId": "all", "chunkSize": 10}),
        "all": ("batch-gather", {"gatherNodeId": "all", "outputKey": "thumbs"}),
        "each": (
            "map",
            {
                "uses": "resize",
                "params": {"size": 1},
                "maxConcurrency": 4,
                "toleratedFailures": "10%",
                "spread": True,
            },
        ),
        "ship": (
            "subflow",
            {"blueprintId": "shipping", "version": "2", "inputs": {"id": "order"}, "outputs": {"label": "label"}},
        ),
        "tell": ("startRun", {"blueprintId": "telling", "runId": "r1"}),
    }
    assert [edge["target"] for edge in document["edges"]] == [node["id"] for node in document["nodes"][1:]]
    assert document["edges"][2]["action"] == "yes"
    assert document["edges"][-1]["condition"] == "result.output"


def test_a_loop_leads_into_its_body_back_and_out() -> None:
    made = (
        flow("loops")
        .node("begin", uses="x")
        .loop(
            "outer",
            "more",
            max_rounds=9,
            body=lambda outer: (
                outer.fan_out(step("left", uses="x"), step("right", uses="x"))
                .then("both", uses="x")
                .loop("inner", "still_more", body=lambda inner: inner.then("work", uses="x"))
            ),
        )
        .then("end", uses="x", transform="context.both")
    )

    blueprint = made.blueprint()
    assert [(edge.source, edge.target, edge.action) for edge in blueprint.edges] == [
        ("begin", "outer", None),
        ("outer", "left", "continue"),
        ("outer", "right", "continue"),
        ("left", "both", None),
        ("right", "both", None),
        ("both", "inner", None),
        ("inner", "work", "continue"),
        ("work", "inner", None),
        ("inner", "outer", "break"),
        ("outer", "end", "break"),
    ]
    (outer,) = [node for node in blueprint.nodes if node.id == "outer"]
    assert (outer.params, outer.config.join.value) == ({"condition": "more", "maxRounds": 9}, "any")


def test_params_of_a_built_in_node_that_are_wrong_are_told_with_their_paths() -> None:
    made = flow("f").sleep("nap").then("each", uses="map").wait("ask", deadline="soon")

    with pytest.raises(BlueprintError) as caught:
        made.blueprint()

    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "nodes[0].params.duration",
        "nodes[1].params.uses",
        "nodes[2].params.timeout",
    ]


@pytest.mark.parametrize(
    "call",
    [
        lambda wrong: flow("f").node("a", uses="x", when="b", **wrong),
        lambda wrong: flow("f").then("a", **wrong),
        lambda wrong: flow("f").edge("a", "b", **wrong),
        lambda wrong: flow("f").sleep("a", 1, **wrong),
        lambda wrong: step("a", uses="x", **wrong),
    ],
)
def test_a_word_that_there_is_not_is_refused_where_it_is_said(call: Any) -> None:
    with pytest.raises(TypeError, match=r"there is no .*wenn.*: known are"):
        call({"wenn": "x"})
