from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from famulus.blueprint import Change, differences, digest_of, parse_blueprint
from famulus.blueprint.differences import FieldChange

IDS = st.sampled_from("abc")
NODES = st.lists(
    st.fixed_dictionaries(
        {"id": IDS, "uses": st.sampled_from(["x", "y"])},
        optional={
            "params": st.dictionaries(IDS, st.sampled_from([1, 1.0, True, None, {}, {"k": 1}, [1]]), max_size=2),
            "config": st.fixed_dictionaries({}, optional={"timeout": st.integers(0, 2)}),
        },
    ),
    max_size=3,
    unique_by=lambda node: node["id"],
)
EDGES = st.lists(
    st.fixed_dictionaries(
        {"source": IDS, "target": IDS},
        optional={"action": IDS, "condition": IDS, "transform": IDS},
    ),
    max_size=4,
)
BLUEPRINTS = st.builds(
    lambda nodes, edges, metadata: parse_blueprint({"id": "f", "nodes": nodes, "edges": edges, "metadata": metadata}),
    NODES,
    EDGES,
    st.dictionaries(st.sampled_from(["version", "owner"]), st.sampled_from(["1", "2"])),
)


def document(**changes: Any) -> dict[str, Any]:
    return {
        "id": "f",
        "nodes": [{"id": "a", "uses": "x", "config": {"timeout": 5}}, {"id": "b", "uses": "x"}],
        "edges": [{"source": "a", "target": "b", "condition": "result.output.ok"}],
        **changes,
    }


def found(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    return list(differences(parse_blueprint(before), parse_blueprint(after)))


def test_retries_joins_params_and_limits_are_told_field_by_field() -> None:
    config = {"retryBackoff": 2, "retryOn": ["OSError"], "compensate": "b", "joinDeadline": 5, "joinLosers": "cancel"}
    before, after = (
        document(
            nodes=[{"id": "a", "uses": "wait", "params": params, "config": config}, {"id": "b", "uses": "x"}],
            metadata=metadata,
        )
        for params, config, metadata in (
            ({"timeout": "1d", "form": {"type": "object"}}, {}, {}),
            ({"timeout": "2d", "form": {"type": "string"}}, config, {"timeout": 1000, "failurePolicy": "failFast"}),
        )
    )

    own, node = found(before, after)

    assert [field.path for field in own.fields] == ["metadata.failurePolicy", "metadata.timeout"]
    assert [(field.path, field.after) for field in node.fields] == [
        ("config.compensate", "b"),
        ("config.joinDeadline", 5),
        ("config.joinLosers", "cancel"),
        ("config.retryBackoff", 2),
        ("config.retryOn", ["OSError"]),
        ("params.form.type", "string"),
        ("params.timeout", "2d"),
    ]


@given(BLUEPRINTS, BLUEPRINTS)
def test_there_are_differences_exactly_when_the_digests_differ(before: Any, after: Any) -> None:
    assert bool(differences(before, after)) == (digest_of(before) != digest_of(after))


@given(BLUEPRINTS, BLUEPRINTS)
def test_the_other_way_round_everything_is_the_other_way_round(before: Any, after: Any) -> None:
    opposite = {"added": "removed", "removed": "added", "changed": "changed"}

    forth, back = differences(before, after), differences(after, before)

    assert sorted((opposite[c.kind], c.part) for c in forth) == sorted((c.kind, c.part) for c in back)


def test_a_changed_node_tells_each_field() -> None:
    after = document()
    after["nodes"][0] = {"id": "a", "uses": "y", "params": {"n": 1}, "config": {"timeout": 6}}

    assert found(document(), after) == [
        Change(
            kind="changed",
            part="node",
            name="a",
            fields=(
                FieldChange("config.timeout", 5, 6),
                FieldChange("params.n", after=1),
                FieldChange("uses", "x", "y"),
            ),
        )
    ]


def test_a_node_that_came_and_one_that_went_with_their_edges() -> None:
    after = document(
        nodes=[document()["nodes"][0], {"id": "c", "uses": "z"}], edges=[{"source": "a", "target": "c", "action": "go"}]
    )

    assert [(change.kind, change.part, change.name) for change in found(document(), after)] == [
        ("removed", "node", "b"),
        ("added", "node", "c"),
        ("removed", "edge", "a -> b if result.output.ok"),
        ("added", "edge", "a -> c on go"),
    ]


def test_an_edge_with_another_condition_is_a_changed_edge() -> None:
    after = document(edges=[{"source": "a", "target": "b", "condition": "result.output.no"}])

    assert found(document(), after) == [
        Change(
            kind="changed",
            part="edge",
            name="a -> b if result.output.ok",
            fields=(FieldChange("condition", "result.output.ok", "result.output.no"),),
        )
    ]


def test_another_order_is_a_difference_of_the_blueprint() -> None:
    after = document(nodes=document()["nodes"][::-1])

    assert found(document(), after) == [
        Change(kind="changed", part="blueprint", name="f", fields=(FieldChange("nodes.order", ["a", "b"], ["b", "a"]),))
    ]


def test_id_and_metadata_are_compared_too() -> None:
    (change,) = found(document(), document(id="g", metadata={"version": "2"}))

    assert change.as_json() == {
        "kind": "changed",
        "part": "blueprint",
        "name": "g",
        "fields": [{"path": "id", "before": "f", "after": "g"}, {"path": "metadata.version", "after": "2"}],
    }
