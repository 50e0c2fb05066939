"""Section 1: what a blueprint, a node and an edge may say."""

from __future__ import annotations

from typing import Any

from conformance.case import Case, acts, echo, edge, fails, gives, graph, node, nothing, params, reads

from famulus.nodes import Result


async def shout(ctx: Any) -> str:
    return f"{ctx.params['word']}!"


async def tells_attempt(ctx: Any) -> int:
    return int(ctx.attempt)


CASES = [
    Case(
        claim="nodes and edges may be maps, of which the values count",
        spec="1, Blueprint",
        blueprint={
            "id": "case",
            "nodes": {"first": node("a"), "second": node("b")},
            "edges": {"only": edge("a", "b")},
        },
        nodes={"a": gives(1), "b": echo},
        expect={"status": "completed", "outputs": {"a": 1, "b": 1}, "executed": ["a", "b"]},
    ),
    Case(
        claim="nodes may be a map while edges are a list",
        spec="1, Blueprint",
        blueprint={"id": "case", "nodes": {"x": node("a"), "y": node("b")}, "edges": [edge("a", "b")]},
        nodes={"a": gives(1), "b": echo},
        expect={"status": "completed", "outputs": {"a": 1, "b": 1}},
    ),
    Case(
        claim="the id of a node in a map is its own, not its key",
        spec="1, Blueprint: its values count",
        blueprint={"id": "case", "nodes": {"b": node("a"), "a": node("b")}, "edges": [edge("a", "b")]},
        nodes={"a": gives(1), "b": gives(2)},
        expect={"outputs": {"a": 1, "b": 2}, "executed": ["a", "b"]},
    ),
    Case(
        claim="unknown properties of blueprint, node, config and edge are dropped",
        spec="1, Unknown properties",
        blueprint={
            "id": "case",
            "title": "Not a property",
            "nodes": [
                {"id": "a", "uses": "a", "position": {"x": 1, "y": 2}, "label": "A", "config": {"colour": "red"}},
                {"id": "b", "uses": "b", "data": [1, 2], "type": "custom"},
            ],
            "edges": [{"source": "a", "target": "b", "id": "e1", "label": "go", "animated": True}],
            "viewport": {"zoom": 2},
        },
        nodes={"a": gives(1), "b": echo},
        expect={"status": "completed", "outputs": {"a": 1, "b": 1}},
    ),
    Case(
        claim="metadata may hold anything",
        spec="1, metadata",
        blueprint=graph("a", version="2.1", author={"name": "Ada"}, tags=["x"], cycleEntryPoints=[]),
        nodes={"a": gives(1)},
        expect={"status": "completed", "outputs": {"a": 1}},
    ),
    Case(
        claim="empty texts of an edge count as not given",
        spec="1, Edge: An empty string counts as not given",
        blueprint=graph("a", "b", edge("a", "b", action="", condition="", transform="")),
        nodes={"a": gives({"x": 1}), "b": echo},
        expect={"status": "completed", "outputs": {"a": {"x": 1}, "b": {"x": 1}}},
    ),
    Case(
        claim="an empty action is a default edge, which a matched action leaves out",
        spec="1, Edge; 4.4",
        blueprint=graph("a", "b", "c", edge("a", "b", action=""), edge("a", "c", action="go")),
        nodes={"a": acts("go"), "b": echo, "c": echo},
        expect={"executed": ["a", "c"], "skipped": ["b"], "status": "completed"},
    ),
    Case(
        claim="params are an empty map when not given",
        spec="1, Node",
        blueprint=graph("a"),
        nodes={"a": params},
        expect={"outputs": {"a": {}}},
    ),
    Case(
        claim="params come to the implementation as they are",
        spec="1, Node",
        blueprint=graph(node("a", params={"n": 1, "deep": {"list": [None, True, "x"]}, "with space": 0.5, "": ""})),
        nodes={"a": params},
        expect={"outputs": {"a": {"n": 1, "deep": {"list": [None, True, "x"]}, "with space": 0.5, "": ""}}},
    ),
    Case(
        claim="nodes share an implementation and keep their own params",
        spec="1, Node",
        blueprint=graph(node("a", "shout", {"word": "hey"}), node("b", "shout", {"word": "ho"})),
        nodes={"shout": shout},
        expect={"outputs": {"a": "hey!", "b": "ho!"}},
    ),
    Case(
        claim="a node is tried once when nothing is said of attempts",
        spec="1, config: maxRetries default 1",
        blueprint=graph("a"),
        nodes={"a": fails()},
        expect={"status": "failed", "errors": ["a"], "executed": ["a"], "attempts": {}, "counts": {}, "outputs": {}},
    ),
    Case(
        claim="the first attempt has the number 1",
        spec="1; issue: ctx.attempt",
        blueprint=graph("a"),
        nodes={"a": tells_attempt},
        expect={"outputs": {"a": 1}},
    ),
    Case(
        claim="an empty config is as good as none",
        spec="1, config",
        blueprint={"id": "case", "nodes": [{"id": "a", "uses": "a", "config": {}}], "edges": []},
        nodes={"a": gives(1)},
        expect={"status": "completed", "outputs": {"a": 1}},
    ),
    Case(
        claim="an empty fallback names nobody",
        spec="1, config; an empty string counts as not given",
        blueprint=graph(node("a", fallback="")),
        nodes={"a": gives(1)},
        expect={"status": "completed", "executed": ["a"]},
    ),
    Case(
        claim="an absent output is null and does not stop the successors",
        spec="1: Absent output",
        blueprint=graph("a > b"),
        nodes={"a": gives(Result()), "b": echo},
        expect={"status": "completed", "outputs": {"a": None, "b": None}, "executed": ["a", "b"]},
    ),
    Case(
        claim="a function without a return is a result with an absent output",
        spec="1: Absent output; 4.6 [R]",
        blueprint=graph("a > b > c"),
        nodes={"a": nothing, "b": nothing, "c": gives(3)},
        expect={"status": "completed", "outputs": {"a": None, "b": None, "c": 3}, "executed": ["a", "b", "c"]},
    ),
    Case(
        claim="a result without output and with an action selects by the action",
        spec="1: optional output and optional action",
        blueprint=graph("a", "b", "c", edge("a", "b", action="left"), edge("a", "c", action="right")),
        nodes={"a": acts("right"), "b": echo, "c": echo},
        expect={"outputs": {"a": None, "c": None}, "executed": ["a", "c"], "skipped": ["b"]},
    ),
    Case(
        claim="a Result stores its output alone",
        spec="1: a result with optional output and optional action",
        blueprint=graph("a > b"),
        nodes={"a": gives(Result(output={"n": 1}, action="whatever")), "b": reads("a")},
        expect={"outputs": {"a": {"n": 1}, "b": {"n": 1}}},
    ),
    Case(
        claim="a map that looks like a result is a plain output",
        spec="1; issue: returns a plain value or Result",
        blueprint=graph("a", "b", "c", edge("a", "b", action="go"), edge("a", "c")),
        nodes={"a": gives({"output": 1, "action": "go"}), "b": echo, "c": echo},
        expect={"outputs": {"a": {"output": 1, "action": "go"}, "c": {"output": 1, "action": "go"}}},
    ),
    *(
        Case(
            claim=f"the output {value!r} is stored and delivered as it is",
            spec="1 and 2",
            blueprint=graph("a > b"),
            nodes={"a": gives(value), "b": echo},
            expect={"status": "completed", "outputs": {"a": value, "b": value}},
        )
        for value in (
            0,
            0.5,
            -1,
            "",
            "text",
            "Grüße 東京 🎭",
            False,
            True,
            [],
            {},
            [None],
            {"": None},
            2**53,
            [[[]], {}],
        )
    ),
    *(
        Case(
            claim=f"a node may be called {name!r}",
            spec="1, Node: id",
            blueprint=graph(node(name, "one"), node("z", "echo", inputs={"got": name}), edge(name, "z")),
            nodes={"one": gives(1), "echo": echo},
            expect={"status": "completed", "outputs": {name: 1, "z": {"got": 1}}, "executed": sorted([name, "z"])},
        )
        for name in ("with-hyphen", "with space", "Ünïcode", "123", "UPPER", "result", "input", "context", "a/b:c")
    ),
]
