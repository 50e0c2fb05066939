from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from famulus.blueprint.drawing import to_mermaid
from famulus.blueprint.model import Blueprint, Edge, JoinPolicy, Node, NodeConfig
from famulus.ids import BlueprintId, NodeId

LABEL = r'"(?:[\w .,:/+-]|#[0-9]+;|<br/>)*"'
SHAPE = rf"n\d+(?:\[{LABEL}\]|\(\[{LABEL}\]\))"
ARROW = rf'n\d+ (?:-->(?:\|{LABEL}\|)?|-\.->\|"fallback"\|) n\d+'
CLASS = r"classDef \w+ [#\w:,-]+|class n\d+(?:,n\d+)* \w+"
LINE = re.compile(rf"flowchart TD|    (?:{SHAPE}|{ARROW}|{CLASS})")


def blueprint(nodes: list[Node], edges: list[Edge]) -> Blueprint:
    return Blueprint(id=BlueprintId("b"), version="1", nodes=tuple(nodes), edges=tuple(edges))


def node(node_id: str, uses: str = "x", fallback: str | None = None) -> Node:
    return Node(id=NodeId(node_id), uses=uses, config=NodeConfig(fallback=NodeId(fallback) if fallback else None))


def edge(source: str, target: str, action: str | None = None, condition: str | None = None) -> Edge:
    return Edge(source=NodeId(source), target=NodeId(target), action=action, condition=condition)


def test_a_drawing_shows_nodes_edges_fallbacks_and_statuses() -> None:
    drawn = to_mermaid(
        blueprint(
            [node("start", "fetch", fallback="rescue"), node("end"), node("rescue")],
            [edge("start", "end", "go", "result.output"), edge("start", "ghost")],
        ),
        statuses={NodeId("start"): "completed", NodeId("end"): "no such status", NodeId("other"): "failed"},
    )

    assert drawn == (
        "flowchart TD\n"
        '    n0(["start<br/>fetch"])\n'
        '    n1["end<br/>x"]\n'
        '    n2["rescue<br/>x"]\n'
        '    n3["ghost"]\n'
        '    n0 -->|"go if result.output"| n1\n'
        "    n0 --> n3\n"
        '    n0 -.->|"fallback"| n2\n'
        "    classDef unknown fill:#ffffff,stroke:#dc2626,stroke-dasharray:4\n"
        "    class n3 unknown\n"
        "    classDef completed fill:#dcfce7,stroke:#16a34a\n"
        "    class n0 completed\n"
    )


def test_a_node_that_joins_in_another_way_than_all_says_so() -> None:
    configs = [
        NodeConfig(),
        NodeConfig(join=JoinPolicy.ANY),
        NodeConfig(join=JoinPolicy.ALL_SETTLED),
        NodeConfig(join=JoinPolicy.N_OF_M, join_count=2),
    ]
    nodes = [Node(id=NodeId(f"n{i}"), uses="x", config=config) for i, config in enumerate(configs)]

    drawn = to_mermaid(blueprint(nodes, []))

    assert [line.partition("<br/>x")[2].partition('"')[0] for line in drawn.splitlines()[1:]] == [
        "",
        "<br/>join any",
        "<br/>join all_settled",
        "<br/>join 2 of m",
    ]


def test_hostile_labels_are_written_in_character_codes() -> None:
    drawn = to_mermaid(blueprint([node('"]; click n0 "javascript:x"', "<script>%%{init}%%")], []))

    assert drawn.count('"') == 2
    assert "<script" not in drawn
    assert "%" not in drawn


def test_long_labels_are_cut() -> None:
    assert "y" * 100 not in to_mermaid(blueprint([node("a", "y" * 100)], []))


anything = st.text(max_size=100)


@given(
    st.lists(st.builds(node, anything, anything, st.none() | anything), max_size=4, unique_by=lambda n: n.id),
    st.lists(st.builds(edge, anything, anything, st.none() | anything, st.none() | anything), max_size=4),
    st.dictionaries(anything, st.sampled_from(["completed", "x y", ""]), max_size=2),
)
def test_no_id_or_label_breaks_the_drawing(nodes: list[Node], edges: list[Edge], statuses: dict[NodeId, str]) -> None:
    drawn = to_mermaid(blueprint(nodes, edges), statuses=statuses)

    assert drawn.endswith("\n")
    for line in drawn.removesuffix("\n").split("\n"):
        assert LINE.fullmatch(line), line
