from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.blueprint.codec import (
    EDGES_MAX,
    NODES_MAX,
    digest_of,
    encode_blueprint,
    parse_blueprint,
    read_blueprint,
)
from famulus.blueprint.model import Blueprint, Edge, JoinPolicy, Node, NodeConfig
from famulus.errors import BlueprintError
from famulus.ids import BlueprintId, NodeId


def node(**properties: Any) -> dict[str, Any]:
    return {"id": "a", "uses": "x", **properties}


def document(*nodes: Any, **properties: Any) -> dict[str, Any]:
    return {"id": "b", "nodes": list(nodes) or [node()], **properties}


def problems(data: Any) -> list[str]:
    with pytest.raises(BlueprintError) as caught:
        parse_blueprint(data)
    return list(caught.value.problems)


def test_everything_that_a_blueprint_can_say_is_read() -> None:
    blueprint = parse_blueprint(
        json.dumps(
            {
                "id": "b",
                "metadata": {"version": "2", "owner": "me"},
                "nodes": [
                    {
                        "id": "a",
                        "uses": "x",
                        "params": {"p": [1, None]},
                        "inputs": {"i": "k"},
                        "config": {
                            "maxRetries": 3,
                            "retryDelay": 10,
                            "timeout": 20.0,
                            "fallback": "f",
                            "joinStrategy": "any",
                        },
                        "position": {"x": 1},
                    }
                ],
                "edges": [
                    {
                        "source": "a",
                        "target": "b",
                        "action": "go",
                        "condition": "c",
                        "transform": "input.x",
                        "label": "?",
                    }
                ],
            }
        )
    )

    assert blueprint == Blueprint(
        id=BlueprintId("b"),
        version="2",
        metadata={"version": "2", "owner": "me"},
        nodes=(
            Node(
                id=NodeId("a"),
                uses="x",
                params={"p": [1, None]},
                inputs={"i": "k"},
                config=NodeConfig(
                    max_attempts=3, retry_delay_ms=10, timeout_ms=20, fallback=NodeId("f"), join=JoinPolicy.ANY
                ),
            ),
        ),
        edges=(Edge(source=NodeId("a"), target=NodeId("b"), action="go", condition="c", transform="input.x"),),
    )


def test_nodes_and_edges_may_be_maps_whose_values_count() -> None:
    blueprint = parse_blueprint({"id": "b", "nodes": {"k": node()}, "edges": {"e": {"source": "a", "target": "a"}}})

    assert [n.id for n in blueprint.nodes] == ["a"]
    assert len(blueprint.edges) == 1


def test_empty_strings_and_nulls_count_as_not_given() -> None:
    blueprint = parse_blueprint(
        document(
            node(inputs="", params=None, config={"maxRetries": 0, "timeout": None, "fallback": "", "joinStrategy": ""}),
            edges=[{"source": "a", "target": "a", "action": "", "condition": "", "transform": None}],
            metadata=None,
            version="",
        )
    )

    assert blueprint.nodes == (Node(id=NodeId("a"), uses="x"),)
    assert blueprint.edges == (Edge(source=NodeId("a"), target=NodeId("a")),)


def test_an_empty_map_of_inputs_is_kept() -> None:
    assert parse_blueprint(document(node(inputs={}))).nodes[0].inputs == {}


@pytest.mark.parametrize(
    ("given", "version"),
    [
        ({"version": "9", "metadata": {"version": "2"}}, "2"),
        ({"version": 3}, "3"),
        ({"metadata": {"version": 2.0}}, "2"),
        ({"metadata": {"version": 2.5}}, "2.5"),
    ],
)
def test_the_version_is_that_of_the_metadata_or_else_of_the_document(given: dict[str, Any], version: str) -> None:
    blueprint = parse_blueprint(document(**given))

    assert blueprint.version == version
    assert parse_blueprint(encode_blueprint(blueprint)) == blueprint


def test_without_a_version_it_is_the_beginning_of_the_digest() -> None:
    blueprint = parse_blueprint(document())

    assert blueprint.version == digest_of(blueprint)[:12]


def test_what_is_dropped_does_not_change_the_digest_and_what_counts_does() -> None:
    plain = digest_of(parse_blueprint(document()))

    assert digest_of(parse_blueprint(document(node(position=1), edges=[]))) == plain
    assert digest_of(parse_blueprint(document(node(params={"p": 1})))) != plain
    assert digest_of(parse_blueprint(document(version="1"))) != plain


def test_canonical_json_is_sorted_and_dense() -> None:
    assert encode_blueprint(parse_blueprint(document(node(params={"b": 1, "a": 2})))) == (
        b'{"edges":[],"id":"b","nodes":[{"id":"a","params":{"a":2,"b":1},"uses":"x"}]}'
    )


def test_every_problem_is_reported_at_once_with_its_path() -> None:
    found = problems(
        {
            "nodes": [
                {
                    "id": "",
                    "uses": 3,
                    "params": [],
                    "inputs": [],
                    "config": {"maxRetries": "3", "timeout": -1, "joinStrategy": "most", "fallback": 1},
                },
                5,
                {"id": "a\n", "uses": "x"},
                {"id": "i" * 257, "uses": "x"},
                node(),
                node(config=[]),
            ],
            "edges": [{"source": "", "target": 4, "action": 5, "condition": {}, "transform": True}, None],
            "metadata": {"version": True, "cycleEntryPoints": "a", "expressionLanguage": "js"},
        }
    )

    assert {problem.partition(":")[0] for problem in found} == {
        "id",
        *(f"metadata.{name}" for name in ("version", "cycleEntryPoints", "expressionLanguage")),
        *(f"nodes[0].{name}" for name in ("id", "uses", "params", "inputs")),
        *(f"nodes[0].config.{name}" for name in ("maxRetries", "timeout", "joinStrategy", "fallback")),
        "nodes[1]",
        "nodes[2].id",
        "nodes[3].id",
        "nodes[5].id",
        "nodes[5].config",
        *(f"edges[0].{name}" for name in ("source", "target", "action", "condition", "transform")),
        "edges[1]",
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (document(node(uses=None)), "nodes[0].uses: missing, expected the name of an implementation"),
        (
            document(node(config={"maxRetries": "three"})),
            "nodes[0].config.maxRetries: found 'three', expected a whole number from 0 to 1000000",
        ),
        (
            document(node(), node()),
            "nodes[1].id: found 'a' is the id of nodes[0] already, expected an id of its own",
        ),
        ({"id": "b"}, "nodes: missing, expected a list of objects"),
        ([], "found a list, expected an object with nodes and edges"),
        (b"null", "missing, expected an object with nodes and edges"),
    ],
)
def test_a_problem_says_what_was_found_and_what_is_expected(data: Any, message: str) -> None:
    assert problems(data if isinstance(data, bytes) else json.dumps(data)) == [message]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[1,]",
        "\ud800",
        b"[" * 20_000,
        b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
        b"NaN",
        b"1e999",
    ],
)
def test_what_is_no_json_is_one_clear_problem(data: bytes | str) -> None:
    (problem,) = problems(data)

    assert "JSON" in problem


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_params_that_nest_too_deep_are_refused() -> None:
    assert parse_blueprint(document(node(params={"p": nested(99)})))
    assert "nests deeper than 100" in problems(document(node(params={"p": nested(100)})))[0]
    assert "nests deeper than 100" in problems(document(node(params={"p": nested(5_000)})))[0]


@pytest.mark.parametrize("value", [{1}, object(), float("nan"), float("inf"), "\ud800", {1: 2}, {"\ud800": 1}, b"x"])
def test_data_that_json_cannot_hold_is_refused(value: Any) -> None:
    assert problems(document(node(params={"p": value})))[0].startswith("nodes[0].params: ")


def test_any_mapping_is_read_as_an_object() -> None:
    frozen = MappingProxyType({"id": "b", "nodes": (MappingProxyType(node(params=MappingProxyType({"p": (1,)}))),)})

    assert parse_blueprint(frozen).nodes[0].params == {"p": [1]}


def test_too_many_nodes_or_edges_are_refused() -> None:
    assert problems(document(*([node()] * (NODES_MAX + 1))))[0].startswith("nodes: found 20001")
    assert problems(document(edges=[{}] * (EDGES_MAX + 1)))[0].startswith("edges: found 100001")


def test_the_message_of_many_problems_stays_short() -> None:
    with pytest.raises(BlueprintError, match="and 980 more") as caught:
        parse_blueprint(document(*([{"uses": "x"}] * 1_000)))

    assert len(caught.value.problems) == 1_000


def test_a_duplicate_leaves_enough_to_be_looked_at() -> None:
    reading = read_blueprint(document(node(), node()))

    assert reading.blueprint is not None
    assert [problem.code for problem in reading.problems] == ["DUPLICATE_NODE_ID"]


def test_n_of_m_says_how_many() -> None:
    given = {"joinStrategy": "n_of_m", "joinCount": 2.0}

    config = parse_blueprint(document(node(config=given))).nodes[0].config

    assert (config.join, config.join_count) == (JoinPolicy.N_OF_M, 2)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"joinStrategy": "n_of_m"}, "missing, expected a whole number from 1 to 20000, for joinStrategy n_of_m"),
        ({"joinStrategy": "n_of_m", "joinCount": 0}, "found 0, expected a whole number from 1 to 20000"),
        ({"joinStrategy": "n_of_m", "joinCount": "2"}, "found '2', expected a whole number from 1 to 20000"),
        ({"joinStrategy": "all", "joinCount": 2}, "found 2, but it is read only with joinStrategy n_of_m"),
    ],
)
def test_a_join_count_that_says_nothing_is_a_problem(given: dict[str, Any], problem: str) -> None:
    reading = read_blueprint(document(node(config=given)))

    assert [str(each) for each in reading.problems] == [f"nodes[0].config.joinCount: {problem}"]


EVERYTHING = {
    "maxRetries": 4,
    "retryDelay": 100,
    "retryBackoff": 2,
    "retryDelayMax": 1000,
    "retryJitter": 0.5,
    "retryOn": ["ConnectionError"],
    "neverRetryOn": ["ValueError", "KeyError"],
    "timeout": 1,
    "totalTimeout": 2,
    "heartbeatTimeout": 3,
    "fallback": "f",
    "compensate": "u",
    "joinStrategy": "any",
    "joinDeadline": 4,
    "joinLosers": "cancel",
}


def test_every_word_of_a_config_is_read_and_written_as_it_was() -> None:
    blueprint = parse_blueprint(document(node(config=EVERYTHING)))

    assert blueprint.nodes[0].config == NodeConfig(
        max_attempts=4,
        retry_delay_ms=100,
        retry_backoff=2.0,
        retry_delay_max_ms=1000,
        retry_jitter=0.5,
        retry_on=("ConnectionError",),
        never_retry_on=("ValueError", "KeyError"),
        timeout_ms=1,
        total_timeout_ms=2,
        heartbeat_ms=3,
        fallback=NodeId("f"),
        compensate=NodeId("u"),
        join=JoinPolicy.ANY,
        join_deadline_ms=4,
        cancel_losers=True,
    )
    assert json.loads(encode_blueprint(blueprint))["nodes"][0]["config"] == EVERYTHING


def test_a_config_that_says_what_holds_anyway_does_not_change_the_digest() -> None:
    defaults = dict.fromkeys(EVERYTHING) | {
        "maxRetries": 1,
        "retryDelay": 0,
        "retryBackoff": 1.0,
        "retryDelayMax": 0,
        "retryJitter": 0,
        "retryOn": [],
        "neverRetryOn": [],
        "timeout": 0,
        "totalTimeout": 0,
        "heartbeatTimeout": 0,
        "joinStrategy": "all",
        "joinDeadline": 0,
        "joinLosers": "keep",
    }

    assert encode_blueprint(parse_blueprint(document(node(config=defaults)))) == encode_blueprint(
        parse_blueprint(document())
    )


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"retryBackoff": 0.5}, "retryBackoff: found 0.5, expected a number from 1 to 1000"),
        ({"retryBackoff": "2"}, "retryBackoff: found '2', expected a number from 1 to 1000"),
        ({"retryBackoff": True}, "retryBackoff: found true, expected a number from 1 to 1000"),
        ({"retryJitter": 1.01}, "retryJitter: found 1.01, expected a number from 0 to 1"),
        ({"retryDelayMax": -1}, "retryDelayMax: found -1, expected a whole number from 0 to 316224000000"),
        ({"totalTimeout": 1.5}, "totalTimeout: found 1.5, expected a whole number from 0 to 316224000000"),
        ({"heartbeatTimeout": "1s"}, "heartbeatTimeout: found '1s', expected a whole number from 0 to 316224000000"),
        ({"joinDeadline": []}, "joinDeadline: found a list, expected a whole number from 0 to 316224000000"),
        ({"retryOn": "ValueError"}, "retryOn: found 'ValueError', expected a list of names of error classes"),
        ({"neverRetryOn": ["A", 1]}, "neverRetryOn[1]: found 1, expected the name of a class"),
        ({"compensate": 1}, "compensate: found 1, expected a string"),
        ({"joinLosers": "kill"}, "joinLosers: found 'kill', expected one of keep, cancel"),
        ({"joinLosers": {}}, "joinLosers: found an object, expected one of keep, cancel"),
    ],
)
def test_a_word_of_a_config_that_is_out_of_range_is_a_problem(given: dict[str, Any], problem: str) -> None:
    assert problems(document(node(config=given))) == [f"nodes[0].config.{problem}"]


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({"timeout": -1}, "timeout: found -1, expected a whole number from 0 to 316224000000"),
        ({"failurePolicy": "stop"}, "failurePolicy: found 'stop', expected one of continue, failFast"),
        ({"strict": "yes"}, "strict: found 'yes', expected true or false"),
    ],
)
def test_metadata_that_a_run_goes_by_is_checked(metadata: dict[str, Any], problem: str) -> None:
    assert problems(document(metadata=metadata)) == [f"metadata.{problem}"]
    assert parse_blueprint(document(metadata={"timeout": 1000, "failurePolicy": "failFast", "strict": True}))


characters = st.characters(exclude_categories=["Cs"])
texts = st.text(characters, min_size=1, max_size=8)
ids = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(characters),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(characters), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, json_values, max_size=3)
milliseconds = st.none() | st.integers(1, 9_999)
names = st.lists(texts, max_size=2).map(tuple)
configs = st.builds(
    NodeConfig,
    max_attempts=st.integers(1, 9),
    retry_delay_ms=st.integers(0, 9_999),
    retry_backoff=st.floats(1, 1000),
    retry_delay_max_ms=milliseconds,
    retry_jitter=st.floats(0, 1),
    retry_on=names,
    never_retry_on=names,
    timeout_ms=milliseconds,
    total_timeout_ms=milliseconds,
    heartbeat_ms=milliseconds,
    fallback=st.none() | ids,
    compensate=st.none() | ids,
    join_deadline_ms=milliseconds,
    cancel_losers=st.booleans(),
    join=st.sampled_from([policy for policy in JoinPolicy if policy is not JoinPolicy.N_OF_M]),
) | st.builds(NodeConfig, join=st.just(JoinPolicy.N_OF_M), join_count=st.integers(1, 99))
nodes = st.builds(Node, id=ids, uses=texts, params=objects, inputs=st.none() | texts | objects, config=configs)
edges = st.builds(
    Edge,
    source=texts,
    target=texts,
    action=st.none() | texts,
    condition=st.none() | texts,
    transform=st.none() | texts,
)
reserved = {"version", "cycleEntryPoints", "expressionLanguage", "timeout", "failurePolicy", "strict"}
blueprints = st.builds(
    Blueprint,
    id=ids,
    version=ids,
    nodes=st.lists(nodes, unique_by=lambda n: n.id, max_size=4).map(tuple),
    edges=st.lists(edges, max_size=4).map(tuple),
    metadata=objects.filter(lambda metadata: not reserved & metadata.keys()),
)


@given(blueprints)
def test_what_is_written_reads_back_equal(blueprint: Blueprint) -> None:
    encoded = encode_blueprint(blueprint)

    read = parse_blueprint(encoded)

    assert read == blueprint
    assert encode_blueprint(read) == encoded
    assert digest_of(read) == digest_of(blueprint)


@given(json_values | st.dictionaries(st.sampled_from(["id", "nodes", "edges", "metadata", "version"]), json_values))
def test_no_json_breaks_the_reader(data: Any) -> None:
    reading = read_blueprint(json.dumps(data))

    assert reading.problems or reading.blueprint
