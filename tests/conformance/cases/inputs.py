# ruff: noqa: FBT003 - booleans are values like others here
"""Section 7: what a node is given as input."""

from __future__ import annotations

from typing import Any

from conformance.case import Case, echo, edge, fails, fails_until, gives, graph, node, writes

OUTPUT = {
    "x": {"y": [10, {"z": "deep"}]},
    "some key": {"x-y": 1},
    "größe": "L",
    "none": None,
    "zero": 0,
    "list": ["p", "q"],
    "": "empty",
    "0": "digit",
}


def reads_input(
    claim: str, inputs: Any, expected: Any, *, output: Any = OUTPUT, spec: str = "7, String", initial: Any = None
) -> Case:
    return Case(
        claim=claim,
        spec=spec,
        blueprint=graph("a", node("b", "echo", inputs=inputs), "a > b"),
        nodes={"a": gives(output), "echo": echo},
        initial=initial or {},
        expect={"status": "completed", "outputs": {"a": output, "b": expected}},
    )


CASES = [
    Case(
        claim="without inputs a node gets what the edge delivers",
        spec="7, No inputs",
        blueprint=graph("a > b"),
        nodes={"a": gives(5), "b": echo},
        expect={"outputs": {"a": 5, "b": 5}},
    ),
    reads_input("empty inputs are none", "", OUTPUT, spec='7, No inputs (or "")'),
    Case(
        claim="a start node without inputs gets nothing",
        spec="7: absent for a start node",
        blueprint=graph("a"),
        nodes={"a": echo},
        initial={"a": 5, "input": 6},
        expect={"outputs": {"a": None}},
    ),
    Case(
        claim="a start node gets what the initial context has under its _inputs key",
        spec="7: unless the initial context has that key",
        blueprint=graph("a > b"),
        nodes={"a": echo, "b": echo},
        initial={"_inputs.a": {"n": 5}},
        expect={"outputs": {"a": {"n": 5}, "b": {"n": 5}}, "context": {}},
    ),
    Case(
        claim="a start node reads the initial context by its inputs",
        spec="7, String: else the context key",
        blueprint=graph(node("a", inputs="order")),
        nodes={"a": echo},
        initial={"order": {"id": 7}},
        expect={"outputs": {"a": {"id": 7}}, "context": {"order": {"id": 7}}},
        everywhere=True,
    ),
    # -- a string
    reads_input("a name is the output of that node", "a", OUTPUT),
    reads_input("a name that is no node is a context key", "k", [1, 2], initial={"k": [1, 2]}),
    reads_input("the output of a node goes before the context key of that name", "a", 0, output=0, initial={"a": 5}),
    reads_input("an absent output goes before the context key of that name", "a", None, output=None, initial={"a": 5}),
    reads_input("a name that nobody has is absent", "nowhere", None),
    reads_input("a falsy context value is given as it is", "k", False, initial={"k": False}),
    reads_input("a path goes into the output of a node", "a.x.y.1.z", "deep", spec="7, String: With a dot"),
    reads_input("a path may end at a list", "a.x.y", [10, {"z": "deep"}], spec="7, String: With a dot"),
    reads_input("a path may end at a zero", "a.zero", 0, spec="7, String: With a dot"),
    reads_input("a path may end at a null", "a.none", None, spec="7, String: With a dot"),
    reads_input("a path goes into an output that is a list", "a.1", "q", output=["p", "q"], spec="7: list indexes"),
    reads_input("a path goes into a list of lists", "a.1.0", "q", output=["p", ["q"]], spec="7: list indexes"),
    reads_input("a path may hold any characters", "a.some key.x-y", 1, spec="7: (any characters)"),
    reads_input("a path may hold letters outside of ASCII", "a.größe", "L", spec="7: (any characters)"),
    reads_input("a digit is a property of a map", "a.0", "digit", spec="7: a path of properties"),
    reads_input("a path that breaks is absent", "a.x.nowhere.z", None, spec="7: absent if ... the path breaks"),
    reads_input("a missing property is absent", "a.nowhere", None, spec="7: absent if ... the path breaks"),
    reads_input("null on the way is absent", "a.none.z", None, spec="7: absent if ... the path breaks"),
    reads_input("a path into a number is absent", "a.zero.z", None, spec="7: absent if ... the path breaks"),
    reads_input("a path into an absent output is absent", "a.x", None, output=None, spec="7: the path breaks"),
    reads_input("an index beyond the list is absent", "a.list.2", None, spec="7: the path breaks"),
    *(
        reads_input(f"{index!r} is no list index", f"a.list.{index}", None, spec="7: properties and list indexes")
        for index in ("-1", "01", "+1", "1_0", " 1", "1 ", "0x1", "x", "1e0")
    ),
    reads_input("nothing but data is visible in a path", "a.list.append", None, spec="7; 4 [R]"),
    reads_input("attributes of a value are no data", "a.__class__", None, spec="7; 4 [R]"),
    reads_input(
        "a path into a node that nobody knows is absent", "nowhere.x", None, spec="7: absent if that node has no output"
    ),
    reads_input("a leading underscore names a context key as it stands", "_cfg", 5, initial={"_cfg": 5}),
    reads_input("a leading underscore keeps dots from being paths", "_c.x", 6, initial={"_c.x": 6, "_c": {"x": 5}}),
    reads_input("an engine key that is not there is absent", "_nowhere", None),
    reads_input("an output may be named by its engine key", "_outputs.a", OUTPUT),
    reads_input(
        "a path does not go into an engine key", "_outputs.a.zero", None, spec="7: that context key as it stands"
    ),
    reads_input("what was delivered may be named by its engine key", "_inputs.b", OUTPUT),
    Case(
        claim="a name is the output of a node even if the node is no predecessor",
        spec="7, String",
        blueprint=graph("a > b > c", node("c", inputs="a.n")),
        nodes={"a": gives({"n": 1}), "b": gives("B"), "c": echo},
        expect={"outputs": {"a": {"n": 1}, "b": "B", "c": 1}},
    ),
    Case(
        claim="the name of a node that was skipped is the context key",
        spec="7: the output of that node if it has one, else the context key",
        blueprint=graph("a > b", edge("a", "c", condition="no"), node("b", inputs="c")),
        nodes={"a": gives(1), "b": echo, "c": gives(2)},
        initial={"c": "default"},
        expect={"outputs": {"a": 1, "b": "default"}},
    ),
    Case(
        claim="the name of a node that was skipped is absent without such a key",
        spec="7",
        blueprint=graph("a > b", edge("a", "c", condition="no"), node("b", inputs="c")),
        nodes={"a": gives(1), "b": echo, "c": gives(2)},
        expect={"outputs": {"a": 1, "b": None}},
    ),
    Case(
        claim="a path into a node that was skipped is absent",
        spec="7: absent if that node has no output",
        blueprint=graph("a > b", edge("a", "c", condition="no"), node("b", inputs="c.x")),
        nodes={"a": gives(1), "b": echo, "c": gives(2)},
        expect={"outputs": {"a": 1, "b": None}},
    ),
    Case(
        claim="a key that an earlier node set may be named",
        spec="7: else the context key",
        blueprint=graph("a > b", node("b", inputs="k")),
        nodes={"a": writes({"k": {"n": 1}}, "A"), "b": echo},
        expect={"outputs": {"a": "A", "b": {"n": 1}}},
    ),
    # -- a map
    Case(
        claim="each value of a map is read like a string",
        spec="7, Map",
        blueprint=graph(
            "a",
            node(
                "b",
                inputs={
                    "whole": "a",
                    "part": "a.x.0",
                    "key": "k",
                    "engine": "_cfg",
                    "gone": "nowhere",
                    "broken": "a.y.z",
                },
            ),
            "a > b",
        ),
        nodes={"a": gives({"x": [1]}), "b": echo},
        initial={"k": "K", "_cfg": 5},
        expect={
            "outputs": {
                "a": {"x": [1]},
                "b": {"whole": {"x": [1]}, "part": 1, "key": "K", "engine": 5, "gone": None, "broken": None},
            }
        },
        everywhere=True,
    ),
    reads_input("an empty map gives an empty map", {}, {}, spec="7, Map: {} for an empty map"),
    reads_input(
        "the keys of a map may be any text",
        {"a.b": "a.zero", "": "k", "ö ö": "k"},
        {"a.b": 0, "": 1, "ö ö": 1},
        initial={"k": 1},
        spec="7, Map: the same keys",
    ),
    reads_input(
        "falsy values in a map stay as they are",
        {"n": "a.zero", "k": "k"},
        {"n": 0, "k": ""},
        initial={"k": ""},
        spec="7, Map",
    ),
    *(
        Case(
            claim=f"the value {value!r} in a map of inputs fails the node",
            spec="7, Map: A non-string value fails the node",
            blueprint=graph("a > b > c", node("b", inputs={"ok": "a", "bad": value})),
            nodes={"a": gives(1), "b": echo, "c": echo},
            expect={"status": "failed", "errors": ["b"], "outputs": {"a": 1}, "executed_without": ["c"]},
        )
        for value in (5, True, ["a"], {"x": "a"}, 1.5)
    ),
    Case(
        claim="a bad value in a map of inputs leaves other branches alone",
        spec="7, Map; 8: independent branches run to their end",
        blueprint=graph("a > b", "a > c > d", node("b", inputs={"bad": 5})),
        nodes={"a": gives(1), "b": echo, "c": echo, "d": echo},
        expect={"status": "failed", "errors": ["b"], "outputs": {"a": 1, "c": 1, "d": 1}},
    ),
    # -- precedence
    Case(
        claim="explicit inputs go before what the edge delivers",
        spec="7: Explicit inputs beat what edges without transform deliver",
        blueprint=graph("a > b", node("b", inputs="k")),
        nodes={"a": gives("delivered"), "b": echo},
        initial={"k": "explicit"},
        expect={"outputs": {"a": "delivered", "b": "explicit"}},
    ),
    Case(
        claim="explicit inputs that are absent are not filled by the edge",
        spec="7: Explicit inputs beat what edges without transform deliver",
        blueprint=graph("a > b", node("b", inputs="nowhere")),
        nodes={"a": gives("delivered"), "b": echo},
        expect={"outputs": {"a": "delivered", "b": None}},
    ),
    Case(
        claim="an empty map of inputs goes before what the edge delivers",
        spec="7: Explicit inputs beat what edges without transform deliver",
        blueprint=graph("a > b", node("b", inputs={})),
        nodes={"a": gives("delivered"), "b": echo},
        expect={"outputs": {"a": "delivered", "b": {}}},
    ),
    Case(
        claim="two nodes read the same output",
        spec="7",
        blueprint=graph("a > b", "a > c", node("b", inputs="a.n"), node("c", inputs={"n": "a.n"})),
        nodes={"a": gives({"n": 1}), "b": echo, "c": echo},
        expect={"outputs": {"a": {"n": 1}, "b": 1, "c": {"n": 1}}},
    ),
    Case(
        claim="every attempt has the same input",
        spec="7; 8",
        blueprint=graph("a", node("b", inputs={"n": "a"}, maxRetries=3), "a > b > c"),
        nodes={"a": gives(5), "b": fails_until(3, "done"), "c": echo},
        expect={"outputs": {"a": 5, "b": "done", "c": "done"}, "attempts": {"b": 3}},
    ),
    Case(
        claim="the name of a node that failed is the context key",
        spec="7; 8: A failed node has no output",
        blueprint=graph(
            "a",
            "s > b > c",
            node("c", inputs={"a": "a", "path": "a.x"}),
            node("j", joinStrategy="any"),
            "a > j",
            "c > j",
        ),
        nodes={"a": fails(), "s": gives(1), "b": echo, "c": echo, "j": echo},
        initial={"a": "kept"},
        expect={"status": "failed", "outputs_has": {"c": {"a": "kept", "path": None}}},
    ),
]
