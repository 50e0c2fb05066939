"""Section 4: which edges fire."""

from __future__ import annotations

from typing import Any

from conformance.case import (
    Case,
    acts,
    counts_up,
    echo,
    edge,
    gives,
    graph,
    loop_controller,
    node,
    nothing,
    once_more,
    out_of,
    writes,
)

YES_NO = {"yes": echo, "no": echo}


def asks(condition: str, **metadata: Any) -> dict[str, Any]:
    """`a` leads to `b` under the condition."""
    return graph("a", "b", edge("a", "b", condition=condition), **metadata)


def holds(claim: str, condition: str, *, output: Any = None, initial: dict[str, Any] | None = None, spec: str) -> Case:
    return Case(
        claim=claim,
        spec=spec,
        blueprint=asks(condition),
        nodes={"a": gives(output), "b": gives("ran")},
        initial=initial or {},
        expect={"status": "completed", "executed": ["a", "b"], "skipped": []},
    )


def fails_to_hold(
    claim: str, condition: str, *, output: Any = None, initial: dict[str, Any] | None = None, spec: str
) -> Case:
    return Case(
        claim=claim,
        spec=spec,
        blueprint=asks(condition),
        nodes={"a": gives(output), "b": gives("ran")},
        initial=initial or {},
        expect={"status": "completed", "executed": ["a"], "skipped": ["b"], "errors": []},
    )


TRUE = (True, 1, -1, 0.5, "a", " ", "0", "false", "null", [], {}, [0], [None], {"x": None}, {"x": False}, 10**15, 1e-9)
FALSE = (False, 0, 0.0, -0.0, "", None)

TRUTH = [
    *(
        holds(f"{value!r} in an output is true", "result.output", output=value, spec="4: Truth is JavaScript's")
        for value in TRUE
    ),
    *(
        fails_to_hold(
            f"{value!r} in an output is false", "result.output", output=value, spec="4: Truth is JavaScript's"
        )
        for value in FALSE
    ),
    *(
        holds(f"{value!r} under a context key is true", "flag", initial={"flag": value}, spec="4: Truth")
        for value in TRUE
    ),
    *(
        fails_to_hold(f"{value!r} under a context key is false", "flag", initial={"flag": value}, spec="4: Truth")
        for value in FALSE
    ),
    *(
        holds(f"{value!r} inside a value is true", "flag.deep.0", initial={"flag": {"deep": [value]}}, spec="4: Truth")
        for value in (True, [], {}, "0", "false", -1)
    ),
    *(
        fails_to_hold(
            f"{value!r} inside a value is false", "flag.deep.0", initial={"flag": {"deep": [value]}}, spec="4"
        )
        for value in (False, 0, "", None)
    ),
]

PATH = "4: Conditions are property paths"
PATHS = [
    holds("a path goes into the output being routed", "result.output.a.b", output={"a": {"b": 1}}, spec=PATH),
    holds("a path goes through lists by index", "result.output.1.ok", output=[{}, {"ok": True}], spec=PATH),
    holds("result alone is a thing, so it is true", "result", output=None, spec="4: plus `result`"),
    holds(
        "the output of the node is a context key as well", "a.ok", output={"ok": 1}, spec="4: `someNode.field` works"
    ),
    holds(
        "a whole output may be named by its node", "a", output="x", spec="4: every node output is also a context key"
    ),
    holds("list indexes reach into context values", "items.2", initial={"items": [0, 0, 1]}, spec=PATH),
    holds("a digit names a property of a map as well", "map.0", initial={"map": {"0": True}}, spec=PATH),
    holds("names may hold dollar and underscore", "$a_b.$c", initial={"$a_b": {"$c": 1}}, spec="4: [A-Za-z0-9_$.]+"),
    holds("names may begin with a digit", "2nd", initial={"2nd": 1}, spec="4: [A-Za-z0-9_$.]+"),
    fails_to_hold("a zero inside the output is false", "result.output.n", output={"n": 0}, spec="4: Truth"),
    fails_to_hold("an unknown first name is absent", "unknown", spec="4: unknown first name"),
    fails_to_hold("a missing property is absent", "result.output.b", output={"a": 1}, spec="4: missing step"),
    fails_to_hold(
        "a missing step on the way is absent", "result.output.b.c.d", output={"a": 1}, spec="4: missing step"
    ),
    fails_to_hold("null on the way is absent", "result.output.a.b", output={"a": None}, spec="4: null on the way"),
    fails_to_hold("a number on the way is absent", "result.output.a.b", output={"a": 5}, spec="4: missing step"),
    fails_to_hold("a path into an absent output is absent", "result.output.x", output=None, spec="4: null on the way"),
    fails_to_hold(
        "an index beyond the list is absent", "items.3", initial={"items": [1, 2, 3]}, spec="4: missing step"
    ),
    fails_to_hold("a name in a list is absent", "items.first", initial={"items": [1]}, spec="4: missing step"),
    fails_to_hold("a list index is a plain number, no leading zero", "items.01", initial={"items": [0, 1]}, spec=PATH),
    fails_to_hold("a list index has no underscores", "items.0_1", initial={"items": [0, 1]}, spec=PATH),
    fails_to_hold("the name of a node that has not run is absent", "b", output=1, spec="4: top-level name"),
    fails_to_hold("there is no `input` in conditions", "input", output={"x": 1}, spec="4: There is no `input`"),
    fails_to_hold("there is no path from `input` in conditions", "input.x", output={"x": 1}, spec="4: no `input`"),
    fails_to_hold(
        "a dotted context key cannot be named", "x.y", initial={"x.y": True}, spec="2: a dot is not a path; 4"
    ),
    holds(
        "between two dots may stand the empty name of a property",
        "flag..x",
        initial={"flag": {"": {"x": 1}}},
        spec="4: [A-Za-z0-9_$.]+, split at dots",
    ),
    fails_to_hold("a path that ends with a dot is absent", "flag.", initial={"flag": {"x": 1}}, spec="4: missing step"),
    fails_to_hold(
        "a path of two dots in a row is absent", "flag..x", initial={"flag": {"x": 1}}, spec="4: missing step"
    ),
    fails_to_hold("a lone dot is absent", ".", initial={"flag": 1}, spec="4: unknown first name"),
    fails_to_hold("names are case-sensitive", "Flag", initial={"flag": 1}, spec="4: unknown first name"),
    *(
        fails_to_hold(
            f"{text!r} is no path, so it is false", text, initial={"flag": {"x": 1, "-1": 1}, "n": 5}, spec=PATH
        )
        for text in (
            "!flag",
            "flag == true",
            "flag && n",
            "flag||n",
            "n > 1",
            "n>1",
            "-n",
            "(flag)",
            "flag[0]",
            "flag['x']",
            "flag.-1",
            " flag",
            "flag ",
            "flag .x",
            "flag?.x",
            "flag,n",
            "`flag`",
            "'flag'",
            "true && flag",
            "flag;",
            "flag\n",
            "\tflag",
            "n*1",
            "n/1",
            "flag:x",
            "{{flag}}",
            "${flag}",
        )
    ),
    # `true` and `1` pass the grammar, but are names nobody has.
    *(
        fails_to_hold(f"{text!r} is a name, no literal", text, spec="4: unknown first name")
        for text in ("true", "1", "null", "false", "undefined")
    ),
    fails_to_hold("a name outside of ASCII is no path", "größe", initial={"größe": True}, spec="4: non-ASCII"),
    fails_to_hold("a name with a hyphen is no path", "is-ok", initial={"is-ok": True}, spec="4: `-`"),
    *(
        fails_to_hold(
            f"nothing but data is visible under {text!r}",
            text,
            output={"x": [1]},
            initial={"flag": {"x": 1}, "items": [1], "text": "abc", "n": 5},
            spec="4 [R]: only data should be visible",
        )
        for text in (
            "constructor",
            "__proto__",
            "flag.constructor",
            "flag.__proto__",
            "flag.toString",
            "flag.hasOwnProperty",
            "result.constructor",
            "result.output.constructor",
            "items.map",
            "items.constructor",
            "text.toUpperCase",
            "n.toFixed",
            "flag.__class__",
            "flag.keys",
            "items.append",
            "result.__class__",
            "result.output.items",
            "text.upper",
        )
    ),
    holds(
        "a property called like a method is data when it is there",
        "flag.keys",
        initial={"flag": {"keys": 1}},
        spec=PATH,
    ),
    holds(
        "a property called constructor is data when it is there",
        "f.constructor",
        initial={"f": {"constructor": 1}},
        spec=PATH,
    ),
    Case(
        claim="a condition sees the action of the result",
        spec="4: result.action",
        blueprint=graph("a", "b", "c", edge("a", "b", condition="result.action"), edge("a", "c", action="x")),
        nodes={"a": acts("y"), "b": echo, "c": echo},
        expect={"executed": ["a", "b"], "skipped": ["c"]},
    ),
    Case(
        claim="without action result.action is absent",
        spec="4: result.action",
        blueprint=asks("result.action"),
        nodes={"a": gives(1), "b": echo},
        expect={"executed": ["a"], "skipped": ["b"]},
    ),
    Case(
        claim="a condition sees what its own source wrote",
        spec="4: among all context keys",
        blueprint=asks("ready"),
        nodes={"a": writes({"ready": True}), "b": echo},
        expect={"executed": ["a", "b"]},
    ),
    Case(
        claim="a condition sees what an earlier node wrote",
        spec="4: among all context keys",
        blueprint=graph("z > a", "b", edge("a", "b", condition="ready.now")),
        nodes={"z": writes({"ready": {"now": 1}}), "a": gives(0), "b": echo},
        expect={"executed": ["a", "b", "z"]},
    ),
    Case(
        claim="a condition sees the output of an earlier node",
        spec="4: `someNode.field` works",
        blueprint=graph("z > a", "b", "c", edge("a", "b", condition="z.left"), edge("a", "c", condition="z.right")),
        nodes={"z": gives({"left": 0, "right": "yes"}), "a": gives(1), "b": echo, "c": echo},
        expect={"executed": ["a", "c", "z"], "skipped": ["b"]},
    ),
    Case(
        claim="the output beats the initial value under the node's name in conditions",
        spec="2 and 4",
        blueprint=asks("a"),
        nodes={"a": gives(0), "b": echo},
        initial={"a": True},
        expect={"executed": ["a"], "skipped": ["b"]},
    ),
]

RULES = [
    Case(
        claim="of equal edges the last one counts",
        spec="4.1: one edge (the last listed)",
        blueprint=graph("a", "b", edge("a", "b", transform="input.x"), edge("a", "b", transform="input.y")),
        nodes={"a": gives({"x": 1, "y": 2}), "b": echo},
        expect={"outputs": {"a": {"x": 1, "y": 2}, "b": 2}, "executed": ["a", "b"], "counts": {}},
    ),
    Case(
        claim="of equal edges with action and condition the last one counts",
        spec="4.1",
        blueprint=graph(
            "a",
            "b",
            edge("a", "b", action="go", condition="ok", transform="input.x"),
            edge("a", "b", action="go", condition="ok"),
        ),
        nodes={"a": acts("go", {"x": 1}), "b": echo},
        initial={"ok": 1},
        expect={"outputs": {"a": {"x": 1}, "b": {"x": 1}}, "counts": {}},
    ),
    Case(
        claim="edges that differ in their action are two",
        spec="4.1: equal in source, target, action and condition",
        blueprint=graph(
            "a", "b", edge("a", "b", action="x", transform="input.x"), edge("a", "b", action="y", transform="input.y")
        ),
        nodes={"a": acts("x", {"x": 1, "y": 2}), "b": echo},
        expect={"outputs_has": {"b": 1}, "counts": {}},
    ),
    Case(
        claim="edges that differ in their condition are two",
        spec="4.1: equal in source, target, action and condition",
        blueprint=graph(
            "a",
            "b",
            edge("a", "b", condition="p", transform="input.x"),
            edge("a", "b", condition="q", transform="input.y"),
        ),
        nodes={"a": gives({"x": 1, "y": 2}), "b": echo},
        initial={"p": True, "q": False},
        expect={"outputs_has": {"b": 1}, "counts": {}},
    ),
    Case(
        claim="two edges that both fire into one node start it once",
        spec="3: not started again; 4.4: All edges selected fire",
        blueprint=graph("a", "b", edge("a", "b", condition="p"), edge("a", "b", condition="q")),
        nodes={"a": gives(7), "b": counts_up("n")},
        initial={"p": 1, "q": 1},
        expect={"counts": {}, "context": {"p": 1, "q": 1, "n": 1}, "executed": ["a", "b"]},
    ),
    # -- rule 2
    Case(
        claim="a condition that holds on an edge of a loop controller goes before its action",
        spec="4.2: exactly those that hold fire",
        blueprint=graph(
            "s > c",
            loop_controller("c", "go"),
            once_more("c", "b"),
            edge("b", "c"),
            out_of("c", "e"),
            edge("c", "alarm", condition="stop"),
        ),
        nodes={"s": gives(1), "b": counts_up("i", 5), "e": gives("end"), "alarm": gives("rang")},
        initial={"go": True, "stop": True},
        expect={
            "status": "completed",
            "executed": ["alarm", "c", "s"],
            "counts": {},
            "outputs_has": {"alarm": "rang"},
        },
    ),
    Case(
        claim="a condition that does not hold leaves a loop controller to its action",
        spec="4.2: Else go on",
        blueprint=graph(
            "s > c",
            loop_controller("c", "go"),
            once_more("c", "b"),
            edge("b", "c"),
            out_of("c", "e"),
            edge("c", "alarm", condition="stop"),
        ),
        nodes={"s": gives(1), "b": counts_up("i", 3), "e": gives("end"), "alarm": gives("rang")},
        initial={"go": True},
        expect={
            "status": "completed",
            "executed": ["b", "c", "e", "s"],
            "counts": {"b": 3, "c": 4},
            "skipped": ["alarm"],
        },
    ),
    Case(
        claim="a break edge whose condition comes to hold ends a loop that would go on",
        spec="4.2",
        blueprint=graph(
            "s > c",
            loop_controller("c", "go"),
            once_more("c", "b"),
            edge("b", "c"),
            out_of("c", "e", condition="b.stop"),
        ),
        nodes={"s": gives(1), "b": gives({"stop": True}), "e": gives("end")},
        initial={"go": True},
        expect={"status": "completed", "executed": ["b", "c", "e", "s"], "counts": {"c": 2}},
    ),
    Case(
        claim="several conditions that hold on a loop controller all fire",
        spec="4.2: exactly those that hold fire",
        blueprint=graph(
            "s > c",
            loop_controller("c", "go"),
            once_more("c", "b"),
            edge("b", "c"),
            out_of("c", "e"),
            edge("c", "x", condition="p"),
            edge("c", "y", condition="q"),
            edge("c", "z", condition="r"),
        ),
        nodes={"s": gives(1), "b": counts_up("i", 5), "e": gives(1), "x": gives(1), "y": gives(2), "z": gives(3)},
        initial={"go": True, "p": 1, "q": 1, "r": 0},
        expect={"status": "completed", "executed": ["c", "s", "x", "y"]},
    ),
    Case(
        claim="a continue edge whose condition holds goes on for one more round",
        spec="4.2",
        blueprint=graph(
            "s > c", loop_controller("c", "go"), once_more("c", "b", condition="go"), edge("b", "c"), out_of("c", "e")
        ),
        nodes={"s": gives(1), "b": counts_up("i", 3), "e": gives("end")},
        initial={"go": True},
        expect={"status": "completed", "executed": ["b", "c", "e", "s"], "counts": {"b": 3, "c": 4}},
    ),
    Case(
        claim="a continue edge whose condition does not hold goes nowhere, and no break is made of it",
        spec="4.3 and 4.5 [R]: the branch ends there",
        blueprint=graph(
            "s > c", loop_controller("c", "go"), once_more("c", "b", condition="no"), edge("b", "c"), out_of("c", "e")
        ),
        nodes={"s": gives(1), "b": counts_up("i", 3), "e": gives("end")},
        initial={"go": True},
        expect={"status": "completed", "executed": ["c", "s"]},
    ),
    Case(
        claim="conditions of a node that is no loop controller do not go before its action",
        spec="4.2: Loop controller only",
        blueprint=graph("a", "b", "c", edge("a", "b", condition="p"), edge("a", "c", action="go")),
        nodes={"a": acts("go"), "b": echo, "c": echo},
        initial={"p": True},
        expect={"executed": ["a", "c"], "skipped": ["b"]},
    ),
    # -- rule 3
    Case(
        claim="the edge with the action fires and no other",
        spec="4.3",
        blueprint=graph("a", edge("a", "yes", action="yes"), edge("a", "no", action="no")),
        nodes={"a": acts("yes", 1), **YES_NO},
        expect={"status": "completed", "executed": ["a", "yes"], "skipped": ["no"], "outputs": {"a": 1, "yes": 1}},
        everywhere=True,
    ),
    *(
        Case(
            claim=f"the action {action!r} is not {edge_action!r}",
            spec="4.3: exactly that action (case-sensitive)",
            blueprint=graph("a", edge("a", "yes", action=edge_action), edge("a", "no")),
            nodes={"a": acts(action), **YES_NO},
            expect={"executed": ["a", "no"], "skipped": ["yes"]},
        )
        for action, edge_action in (
            ("yes", "Yes"),
            ("YES", "yes"),
            ("yes", "yes "),
            (" yes", "yes"),
            ("ye", "yes"),
            ("1", "01"),
        )
    ),
    *(
        Case(
            claim=f"{action!r} is an action like any other",
            spec="4.3",
            blueprint=graph("a", edge("a", "yes", action=action), edge("a", "no")),
            nodes={"a": acts(action), **YES_NO},
            expect={"executed": ["a", "yes"], "skipped": ["no"]},
        )
        for action in ("needs review", "größer", "0", "false", "null", "default", "continue", "break", "a.b", "*")
    ),
    Case(
        claim="all edges of an action fire",
        spec="4.3: the edges with exactly that action",
        blueprint=graph("a", edge("a", "b", action="x"), edge("a", "c", action="x"), edge("a", "d", action="y")),
        nodes={"a": acts("x", 1), "b": echo, "c": echo, "d": echo},
        expect={"executed": ["a", "b", "c"], "skipped": ["d"]},
    ),
    Case(
        claim="an action edge fires only if its condition holds",
        spec="4.3: whose condition, if any, holds",
        blueprint=graph("a", edge("a", "b", action="x", condition="p"), edge("a", "c", action="x", condition="q")),
        nodes={"a": acts("x", 1), "b": echo, "c": echo},
        initial={"p": False, "q": True},
        expect={"executed": ["a", "c"], "skipped": ["b"]},
    ),
    Case(
        claim="an empty action is none",
        spec="4.3: a (nonempty) action",
        blueprint=graph("a", edge("a", "yes", action="x"), edge("a", "no")),
        nodes={"a": acts(""), **YES_NO},
        expect={"executed": ["a", "no"], "skipped": ["yes"]},
    ),
    Case(
        claim="an action edge into a join beside a default edge from elsewhere",
        spec="4.3 and 6",
        blueprint=graph("s > a", "s > j", edge("a", "j", action="x"), edge("a", "k", action="y")),
        nodes={"s": gives(1), "a": acts("x"), "j": counts_up("n"), "k": gives(1)},
        expect={"executed": ["a", "j", "s"], "skipped": ["k"], "context": {"n": 1}},
    ),
    # -- rule 4
    Case(
        claim="default edges do not fire when an action edge does",
        spec="4.4: default edges do not fire when an action edge does",
        blueprint=graph("a", edge("a", "b"), edge("a", "c", action="x"), edge("a", "d")),
        nodes={"a": acts("x"), "b": echo, "c": echo, "d": echo},
        expect={"executed": ["a", "c"], "skipped": ["b", "d"]},
    ),
    Case(
        claim="default edges fire when no edge has the action",
        spec="4.4: no such edge",
        blueprint=graph("a", edge("a", "b"), edge("a", "c", action="x"), edge("a", "d")),
        nodes={"a": acts("unknown", 5), "b": echo, "c": echo, "d": echo},
        expect={"executed": ["a", "b", "d"], "skipped": ["c"], "outputs": {"a": 5, "b": 5, "d": 5}},
        everywhere=True,
    ),
    Case(
        claim="default edges fire when the conditions of all edges of the action are false",
        spec="4.4: or all conditions false",
        blueprint=graph(
            "a",
            edge("a", "b"),
            edge("a", "c", action="x", condition="no"),
            edge("a", "d", action="x", condition="no.no"),
        ),
        nodes={"a": acts("x"), "b": echo, "c": echo, "d": echo},
        expect={"executed": ["a", "b"], "skipped": ["c", "d"]},
    ),
    Case(
        claim="one edge of the action that holds keeps all default edges from firing",
        spec="4.4: If step 3 gave none",
        blueprint=graph("a", edge("a", "b"), edge("a", "c", action="x", condition="no"), edge("a", "d", action="x")),
        nodes={"a": acts("x"), "b": echo, "c": echo, "d": echo},
        expect={"executed": ["a", "d"], "skipped": ["b", "c"]},
    ),
    Case(
        claim="without action action edges do not fire",
        spec="4.4: the edges WITHOUT action",
        blueprint=graph("a", edge("a", "b"), edge("a", "c", action="x")),
        nodes={"a": gives(1), "b": echo, "c": echo},
        expect={"executed": ["a", "b"], "skipped": ["c"]},
    ),
    Case(
        claim="default edges fire if their condition holds",
        spec="4.4",
        blueprint=graph(
            "a", edge("a", "b", condition="result.output.big"), edge("a", "c", condition="result.output.small")
        ),
        nodes={"a": gives({"big": True, "small": False}), "b": echo, "c": echo},
        expect={"executed": ["a", "b"], "skipped": ["c"]},
        everywhere=True,
    ),
    Case(
        claim="an edge without condition fires beside one whose condition holds",
        spec="4.4: no first-match rule",
        blueprint=graph("a", edge("a", "b", condition="p"), edge("a", "c"), edge("a", "d", condition="p")),
        nodes={"a": gives(1), "b": echo, "c": echo, "d": echo},
        initial={"p": 1},
        expect={"executed": ["a", "b", "c", "d"], "skipped": []},
    ),
    Case(
        claim="conditions of default edges are asked after an action without edge",
        spec="4.4",
        blueprint=graph("a", edge("a", "b", condition="p"), edge("a", "c", condition="q"), edge("a", "d", action="x")),
        nodes={"a": acts("y"), "b": echo, "c": echo, "d": echo},
        initial={"q": 1},
        expect={"executed": ["a", "c"], "skipped": ["b", "d"]},
    ),
    Case(
        claim="an unknown target beside known ones is passed over",
        spec="4.4: Edges to unknown nodes are ignored",
        blueprint={"id": "case", "nodes": [node("a"), node("b")], "edges": [edge("a", "ghost"), edge("a", "b")]},
        nodes={"a": gives(1), "b": echo},
        expect={"status": "completed", "executed": ["a", "b"]},
    ),
    # -- rule 5
    Case(
        claim="an unmatched action without default edge starts nothing",
        spec="4.5 [R]: nothing is started, the branch ends there",
        blueprint=graph("a", edge("a", "yes", action="yes"), edge("a", "no", action="no")),
        nodes={"a": acts("maybe"), **YES_NO},
        expect={
            "status": "completed",
            "executed": ["a"],
            "skipped": ["no", "yes"],
            "errors": [],
            "outputs": {"a": None},
        },
        everywhere=True,
    ),
    Case(
        claim="no action where all edges have one starts nothing",
        spec="4.5 [R]",
        blueprint=graph("a", edge("a", "yes", action="yes"), edge("a", "no", action="no")),
        nodes={"a": gives(1), **YES_NO},
        expect={"status": "completed", "executed": ["a"], "skipped": ["no", "yes"]},
    ),
    Case(
        claim="a false condition starts nothing",
        spec="4.5 [R]",
        blueprint=graph("a", edge("a", "b", condition="no"), "b > c"),
        nodes={"a": gives(1), "b": echo, "c": echo},
        expect={"status": "completed", "executed": ["a"], "skipped": ["b", "c"]},
    ),
    Case(
        claim="a branch that ends leaves the other branches alone",
        spec="4.5 [R]",
        blueprint=graph("s > a", "s > x > y", edge("a", "b", action="go")),
        nodes={"s": gives(1), "a": acts("stay"), "b": echo, "x": echo, "y": echo},
        expect={"status": "completed", "executed": ["a", "s", "x", "y"], "skipped": ["b"]},
    ),
    Case(
        claim="action branches not taken stay so when a join lies behind them",
        spec="4.5 [R]; dead paths",
        blueprint=graph("a", edge("a", "x", action="x"), edge("a", "y", action="y"), "x > j", "y > j"),
        nodes={"a": acts("z"), "x": echo, "y": echo, "j": echo},
        expect={"status": "completed", "executed": ["a"], "skipped": ["j", "x", "y"]},
    ),
    Case(
        claim="a loop without break edge ends",
        spec="4.5 [R]: and a loop without break edge never ends",
        blueprint=graph("s > c", loop_controller("c", "go"), once_more("c", "b"), edge("b", "c")),
        nodes={"s": gives(1), "b": counts_up("i", 2)},
        initial={"go": True},
        expect={"status": "completed", "executed": ["b", "c", "s"], "counts": {"b": 2, "c": 3}},
    ),
    # -- rule 6
    Case(
        claim="a node that returns nothing is recorded and evaluates its edges",
        spec="4.6 [R]: treat it as a result with absent output",
        blueprint=graph("a", edge("a", "b"), edge("a", "c", condition="result.output"), edge("a", "d", action="x")),
        nodes={"a": nothing, "b": echo, "c": echo, "d": echo},
        expect={"executed": ["a", "b"], "outputs": {"a": None, "b": None}, "skipped": ["c", "d"]},
    ),
]

CASES = [*TRUTH, *PATHS, *RULES]
