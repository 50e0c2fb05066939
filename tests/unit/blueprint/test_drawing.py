from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from famulus.blueprint.builtins import BUILT_INS
from famulus.blueprint.drawing import to_mermaid
from famulus.blueprint.model import Blueprint, Edge, JoinPolicy, Node, NodeConfig
from famulus.ids import BlueprintId, NodeId

LABEL = r'"(?:[\w .,:/+-]|#[0-9]+;|<br/>)*"'
SHAPES = (("[", "]"), ("([", "])"), ("{", "}"), ("{{", "}}"), ("[[", "]]"), ("[/", "/]"), ("[/", "\\]"), ("[\\", "/]"))
SHAPE = rf"n\d+(?:{'|'.join(re.escape(opening) + LABEL + re.escape(closing) for opening, closing in SHAPES)})"
ARROW = rf'n\d+ (?:-->(?:\|{LABEL}\|)?|-\.->\|"(?:fallback|compensate|items)"\|) n\d+'
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


def built_in(node_id: str, uses: str, /, **params: Any) -> Node:
    return Node(id=NodeId(node_id), uses=uses, params=params)


def test_built_in_nodes_have_shapes_and_say_what_they_do() -> None:
    nodes = [
        built_in("again", "loop-controller", condition="left", maxRounds=3),
        built_in("split", "batch-scatter", workerUsesKey="w", gatherNodeId="all", chunkSize=5),
        built_in("all", "batch-gather"),
        built_in("thumbs", "map", uses="w", maxConcurrency=4, toleratedFailures="10%"),
        built_in("ship", "subflow", blueprintId="shipping"),
        built_in("tell", "startRun", blueprintId="telling"),
        built_in("nap", "sleep", duration="10s"),
        built_in("ask", "wait", signal="answer", timeout="1d", form={}),
        built_in("call", "webhook", timeout=500),
        Node(id=NodeId("j"), uses="x", config=NodeConfig(compensate=NodeId("ship"), join_deadline_ms=50)),
    ]

    assert to_mermaid(blueprint(nodes, [])).splitlines()[1:] == [
        '    n0{"again<br/>loop-controller<br/>while left<br/>rounds at most 3"}',
        '    n1[/"split<br/>batch-scatter<br/>each w<br/>chunks of 5"\\]',
        '    n2[\\"all<br/>batch-gather"/]',
        '    n3[/"thumbs<br/>map<br/>each w<br/>at once 4<br/>may fail 10#37;"/]',
        '    n4[["ship<br/>subflow<br/>of shipping"]]',
        '    n5[["tell<br/>startRun<br/>of telling"]]',
        '    n6{{"nap<br/>sleep<br/>for 10s"}}',
        '    n7{{"ask<br/>wait<br/>signal answer<br/>at most 1d"}}',
        '    n8{{"call<br/>webhook<br/>at most 500"}}',
        '    n9(["j<br/>x<br/>or after 50 ms"])',
        '    n1 -.->|"items"| n2',
        '    n9 -.->|"compensate"| n4',
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
    st.lists(
        st.builds(node, anything, anything, st.none() | anything)
        | st.builds(
            lambda node_id, uses, params: built_in(node_id, uses, **params),
            anything,
            st.sampled_from(sorted(BUILT_INS)),
            st.dictionaries(st.sampled_from(["condition", "gatherNodeId", "uses", "blueprintId"]), anything),
        ),
        max_size=4,
        unique_by=lambda n: n.id,
    ),
    st.lists(st.builds(edge, anything, anything, st.none() | anything, st.none() | anything), max_size=4),
    st.dictionaries(anything, st.sampled_from(["completed", "x y", ""]), max_size=2),
)
def test_no_id_or_label_breaks_the_drawing(nodes: list[Node], edges: list[Edge], statuses: dict[NodeId, str]) -> None:
    drawn = to_mermaid(blueprint(nodes, edges), statuses=statuses)

    assert drawn.endswith("\n")
    for line in drawn.removesuffix("\n").split("\n"):
        assert LINE.fullmatch(line), line
