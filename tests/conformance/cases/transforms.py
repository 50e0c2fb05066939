# ruff: noqa: FBT003 - booleans are values like others here
"""Section 5: what an edge delivers."""

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
    notes,
    once_more,
    out_of,
    writes,
)

VALUE = {
    "x": 1,
    "deep": {"list": [{"name": "first"}, {"name": "second"}], "": "empty"},
    "zero": 0,
    "no": False,
    "none": None,
}


def delivers(claim: str, transform: str, expected: Any, *, output: Any = VALUE, spec: str = "5", **given: Any) -> Case:
    return Case(
        claim=claim,
        spec=spec,
        blueprint=graph("a", "b", edge("a", "b", transform=transform)),
        nodes={"a": gives(output), "b": echo},
        initial=given.pop("initial", {}),
        expect={"status": "completed", "outputs": {"a": output, "b": expected}},
        **given,
    )


async def picks(ctx: Any) -> Any:
    return [ctx.input["k"], ctx.input["a"]]


async def counts_in_a_map(ctx: Any) -> dict[str, int]:
    n = (await ctx.get("i") or 0) + 1
    await ctx.set("i", n)
    await ctx.set("go", n < 3)
    return {"n": n}


async def stops_and_echoes(ctx: Any) -> Any:
    await ctx.set("go", False)
    return ctx.input


ABSENT = "5: An invalid or missing path delivers an absent value"

CASES = [
    Case(
        claim="without transform an edge delivers the output of its source",
        spec="5: Without transform",
        blueprint=graph("a > b"),
        nodes={"a": gives(VALUE), "b": echo},
        expect={"outputs": {"a": VALUE, "b": VALUE}},
    ),
    delivers("`input` is the whole output", "input", VALUE),
    delivers("a path goes into the output", "input.deep.list.1.name", "second", everywhere=True),
    delivers("a path may deliver a map", "input.deep", VALUE["deep"]),
    delivers("a path may deliver a list", "input.deep.list", [{"name": "first"}, {"name": "second"}]),
    delivers("a zero is delivered as it is", "input.zero", 0),
    delivers("a false is delivered as it is", "input.no", False),
    delivers("a null is delivered as it is", "input.none", None),
    delivers("an index goes into an output that is a list", "input.1", "y", output=["x", "y"]),
    delivers("a context key may be delivered", "context.k", {"n": 1}, initial={"k": {"n": 1}}),
    delivers("a path goes into a context value", "context.k.n.0", 5, initial={"k": {"n": [5]}}),
    delivers("the source is in the context too", "context.a.x", 1, spec="5: context.nodeId"),
    delivers("a key with a dollar may be named", "context.$k", 5, initial={"$k": 5}),
    delivers("a missing property is absent", "input.y", None, spec=ABSENT),
    delivers("a missing step on the way is absent", "input.y.z", None, spec=ABSENT),
    delivers("null on the way is absent", "input.none.z", None, spec=ABSENT),
    delivers("an index beyond the list is absent", "input.2", None, output=["x", "y"], spec=ABSENT),
    delivers("a path into an absent output is absent", "input.x", None, output=None, spec=ABSENT),
    delivers("a path into a text is absent", "input.x", None, output="text", spec=ABSENT),
    delivers("a missing context key is absent", "context.missing", None, spec=ABSENT),
    delivers("a context key is not named alone", "k", None, initial={"k": 5}, spec="5: exactly two names"),
    delivers("a node is not named alone", "a.x", None, spec="5: exactly two names"),
    delivers("there is no `result` in transforms", "result.output.x", None, spec="5: exactly two names"),
    delivers("there is no `output` in transforms", "output.x", None, spec="5: exactly two names"),
    delivers("a dotted context key cannot be named", "context.x.y", None, initial={"x.y": 5}, spec="2; 5"),
    *(
        delivers(f"{text!r} is no path, so it is absent", text, None, spec=ABSENT)
        for text in (
            "input.x + 1",
            "input['x']",
            "input.deep.list[0]",
            "!input.no",
            "input.x ",
            " input",
            "{{input}}",
            "`${input.x}`",
            "input => input.x",
            "({x: input.x})",
            "input.x.toFixed(2)",
            "JSON.stringify(input)",
            "$.x",
            "'text'",
            "42",
            "true",
        )
    ),
    *(
        delivers(f"nothing but data is visible under {text!r}", text, None, spec="4 [R]: only data should be visible")
        for text in (
            "input.constructor",
            "input.__proto__",
            "input.keys",
            "input.deep.list.append",
            "context.constructor",
        )
    ),
    Case(
        claim="`context` is the whole context, the source's output included",
        spec="5: context (whole context)",
        blueprint=graph("a", "b", edge("a", "b", transform="context")),
        nodes={"a": gives("A"), "b": picks},
        initial={"k": 1},
        expect={"outputs": {"a": "A", "b": [1, "A"]}},
    ),
    Case(
        claim="a transform sees what its source wrote",
        spec="5: context",
        blueprint=graph("a", "b", edge("a", "b", transform="context.k.n")),
        nodes={"a": writes({"k": {"n": 5}}, "A"), "b": echo},
        expect={"outputs": {"a": "A", "b": 5}},
    ),
    Case(
        claim="a transform may deliver the output of another node",
        spec="5: context.nodeId",
        blueprint=graph("z > a", "b", edge("a", "b", transform="context.z.n")),
        nodes={"z": gives({"n": 5}), "a": gives("A"), "b": echo},
        expect={"outputs": {"z": {"n": 5}, "a": "A", "b": 5}},
    ),
    Case(
        claim="each edge of a node has its own transform",
        spec="5",
        blueprint=graph(
            "a", "b", "c", "d", edge("a", "b", transform="input.x"), edge("a", "c", transform="input.y"), edge("a", "d")
        ),
        nodes={"a": gives({"x": 1, "y": 2}), "b": echo, "c": echo, "d": echo},
        expect={"outputs": {"a": {"x": 1, "y": 2}, "b": 1, "c": 2, "d": {"x": 1, "y": 2}}},
    ),
    Case(
        claim="the output of the source is not changed by a transform",
        spec="5: The source output is unchanged",
        blueprint=graph("a", "b", "c", edge("a", "b", transform="input.x"), node("c", inputs="a.x"), "b > c"),
        nodes={"a": gives({"x": 1}), "b": echo, "c": echo},
        expect={"outputs": {"a": {"x": 1}, "b": 1, "c": 1}},
    ),
    Case(
        claim="transforms follow one on another along a chain",
        spec="5: the output of the edge's own source",
        blueprint=graph("a", "b", "c", edge("a", "b", transform="input.x"), edge("b", "c", transform="input.y")),
        nodes={"a": gives({"x": {"y": 5}}), "b": echo, "c": echo},
        expect={"outputs": {"a": {"x": {"y": 5}}, "b": {"y": 5}, "c": 5}},
    ),
    Case(
        claim="an edge with an action has a transform as well",
        spec="5",
        blueprint=graph(
            "a",
            "b",
            "c",
            edge("a", "b", action="go", transform="input.x"),
            edge("a", "c", action="no", transform="input.y"),
        ),
        nodes={"a": acts("go", {"x": 1, "y": 2}), "b": echo, "c": echo},
        expect={"outputs": {"a": {"x": 1, "y": 2}, "b": 1}},
    ),
    Case(
        claim="an edge with a condition has a transform as well",
        spec="5",
        blueprint=graph("a", "b", edge("a", "b", condition="result.output.ok", transform="input.x")),
        nodes={"a": gives({"x": 1, "ok": True}), "b": echo},
        expect={"outputs": {"a": {"x": 1, "ok": True}, "b": 1}},
    ),
    Case(
        claim="a condition asks the output, not what the transform delivers",
        spec="4: result.output; 5: The source output is unchanged",
        blueprint=graph("a", "b", edge("a", "b", condition="result.output.ok", transform="input.no")),
        nodes={"a": gives({"ok": True, "no": False}), "b": echo},
        expect={"executed": ["a", "b"], "outputs": {"a": {"ok": True, "no": False}, "b": False}},
    ),
    Case(
        claim="an absent value starts the target all the same",
        spec="5: delivers an absent value",
        blueprint=graph("a", "b", edge("a", "b", transform="input.nowhere")),
        nodes={"a": gives(1), "b": gives("ran")},
        expect={"outputs": {"a": 1, "b": "ran"}, "skipped": []},
    ),
    Case(
        # a -> j delivers x of a; b -> j comes later, with y of b. The reference would look for y in x of a.
        claim="a second transform into a join sees the output of its own source",
        spec="5 [R]: always the output of the edge's own source",
        blueprint=graph("a > b", "j", edge("a", "j", transform="input.x"), edge("b", "j", transform="input.y")),
        nodes={"a": gives({"x": {"y": "wrong"}, "y": 1}), "b": gives({"y": "right"}), "j": echo},
        expect={"outputs_has": {"j": "right"}, "counts": {}},
        everywhere=True,
    ),
    Case(
        claim="in every round a transform sees the output of that round",
        spec="5 [R]: the next round of a loop",
        blueprint=graph(
            "s > c",
            loop_controller("c", "go"),
            once_more("c", "b"),
            edge("b", "d", transform="input.n"),
            edge("d", "c"),
            out_of("c", "e"),
        ),
        nodes={"s": gives(1), "b": counts_in_a_map, "d": notes("seen"), "e": gives(1)},
        initial={"go": True},
        expect={"context": {"seen": [1, 2, 3], "go": False, "i": 3}, "counts": {"b": 3, "d": 3, "c": 4}},
    ),
    Case(
        claim="a continue edge with a transform delivers anew in every round",
        spec="5 [R]: the next round of a loop",
        blueprint=graph(
            "s > c",
            loop_controller("c", "go"),
            once_more("c", "d", transform="context.i"),
            "d > b > c",
            out_of("c", "e", transform="context.seen"),
        ),
        nodes={"s": gives(1), "b": counts_up("i", 3), "d": notes("seen"), "e": echo},
        initial={"go": True, "i": 0},
        expect={"context": {"seen": [0, 1, 2], "go": False, "i": 3}, "outputs_has": {"e": [0, 1, 2]}},
    ),
    Case(
        claim="the input of a continue edge's transform is the absent output of the controller",
        spec="5; 9: Condition true: action continue, output absent",
        blueprint=graph(
            "s > c",
            loop_controller("c", "go"),
            once_more("c", "b", transform="input.x"),
            edge("b", "c"),
            out_of("c", "e"),
        ),
        nodes={"s": gives({"x": 1}), "b": stops_and_echoes, "e": echo},
        initial={"go": True},
        expect={"outputs_has": {"b": None, "e": None}, "counts": {"c": 2}},
    ),
]
