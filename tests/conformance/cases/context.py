"""Section 2: one flat map of keys that all nodes of a run share."""

from __future__ import annotations

from typing import Any

from conformance.case import Case, echo, edge, fails, gives, graph, node, reads, writes


async def sees(ctx: Any) -> dict[str, Any]:
    """For each key in params: whether it is there, and what."""
    return {key: [await ctx.has(key), await ctx.get(key)] for key in ctx.params["keys"]}


def looks_at(*keys: str, node_id: str = "look") -> dict[str, Any]:
    return node(node_id, "sees", {"keys": list(keys)})


async def sets_then_deletes(ctx: Any) -> list[bool]:
    await ctx.set("k", 1)
    before = await ctx.has("k")
    await ctx.delete("k")
    return [before, await ctx.has("k")]


async def deletes(ctx: Any) -> None:
    await ctx.delete("k")


async def deletes_then_sets(ctx: Any) -> Any:
    await ctx.delete("k")
    gone = await ctx.get("k")
    await ctx.set("k", "new")
    return [gone, await ctx.get("k")]


async def writes_own_name(ctx: Any) -> str:
    await ctx.set(ctx.params["key"], "mine")
    return "done"


async def sets_then_fails(ctx: Any) -> None:
    await ctx.set("half", "way")
    raise ValueError("after the write")


CASES = [
    Case(
        claim="a node reads the initial context",
        spec="2: seeded with the initial context",
        blueprint=graph("a"),
        nodes={"a": reads("n")},
        initial={"n": {"deep": [1]}},
        expect={"outputs": {"a": {"deep": [1]}}, "context": {"n": {"deep": [1]}}},
        everywhere=True,
    ),
    Case(
        claim="the initial context is in the result even if nobody reads it",
        spec="2: All other keys belong to the result",
        blueprint=graph("a"),
        nodes={"a": gives(1)},
        initial={"x": None, "y": [1, {"z": False}], "Ö": ""},
        expect={"context": {"x": None, "y": [1, {"z": False}], "Ö": ""}, "outputs": {"a": 1}},
    ),
    Case(
        claim="an output is also a context key of the node's name",
        spec="2: also the bare key <id>",
        blueprint=graph("a > b"),
        nodes={"a": gives({"n": 1}), "b": reads("a")},
        expect={"outputs": {"a": {"n": 1}, "b": {"n": 1}}, "context": {}},
    ),
    Case(
        claim="an output overwrites the context key of the node's name",
        spec="2: overwriting a context key of that name",
        blueprint=graph("a > b"),
        nodes={"a": gives("from the node"), "b": reads("a")},
        initial={"a": "from the start", "other": 1},
        expect={"outputs": {"a": "from the node", "b": "from the node"}, "context": {"other": 1}},
    ),
    Case(
        claim="a null output overwrites the context key of the node's name too",
        spec="2: overwriting a context key of that name",
        blueprint=graph("a > b"),
        nodes={"a": gives(None), "b": reads("a", "nothing there")},
        initial={"a": "from the start"},
        expect={"outputs": {"a": None, "b": None}},
    ),
    Case(
        claim="a node sees the initial value under its own name until it completes",
        spec="2",
        blueprint=graph("a"),
        nodes={"a": reads("a")},
        initial={"a": 7},
        expect={"outputs": {"a": 7}, "context": {}},
    ),
    Case(
        claim="the output beats what the node wrote under its own name",
        spec="2: When a node completes",
        blueprint=graph(node("a", "own", {"key": "a"}), "a > b"),
        nodes={"own": writes_own_name, "b": reads("a")},
        expect={"outputs": {"a": "done", "b": "done"}, "context": {}},
    ),
    Case(
        claim="the output of a node that wrote over another's key can still be named in inputs",
        spec="2 and 7: the output of that node if it has one, else the context key",
        blueprint=graph("a", node("b", "own", {"key": "a"}), node("c", "echo", inputs="a"), "a > b > c"),
        nodes={"a": gives("output of a"), "own": writes_own_name, "echo": echo},
        expect={"outputs": {"a": "output of a", "b": "done", "c": "output of a"}},
    ),
    Case(
        claim="a later write under another node's name is what the context shows",
        spec="2: one flat map",
        blueprint=graph("a", node("b", "own", {"key": "a"}), "c", "a > b > c"),
        nodes={"a": gives("output of a"), "own": writes_own_name, "c": reads("a")},
        expect={"outputs": {"a": "output of a", "b": "done", "c": "mine"}},
    ),
    Case(
        claim="the context key of a node that was not run stays as it was",
        spec="2; issue: none equal to the id of a node with an output",
        blueprint=graph("a", "b", edge("a", "b", condition="no")),
        nodes={"a": gives(1), "b": gives(2)},
        initial={"b": "kept"},
        expect={"context": {"b": "kept"}, "outputs": {"a": 1}, "skipped": ["b"]},
    ),
    Case(
        claim="the context key of a node that failed stays as it was",
        spec="2; 8: A failed node has no output",
        blueprint=graph("b"),
        nodes={"b": fails()},
        initial={"b": "kept"},
        expect={"context": {"b": "kept"}, "outputs": {}, "status": "failed"},
    ),
    Case(
        claim="what one node sets the next one reads",
        spec="2: shared by all nodes",
        blueprint=graph("a > b"),
        nodes={"a": writes({"k": [1, 2]}), "b": reads("k")},
        expect={"outputs": {"a": None, "b": [1, 2]}, "context": {"k": [1, 2]}},
    ),
    Case(
        claim="a node reads its own writes",
        spec="2",
        blueprint=graph(node("a", "sets")),
        nodes={"sets": sets_then_deletes},
        expect={"outputs": {"a": [True, False]}, "context": {}},
    ),
    Case(
        claim="a deleted key is gone for those who come after, and from the result",
        spec="1: async get/set/has/delete",
        blueprint=graph(node("a", "deletes"), looks_at("k"), "a > look"),
        nodes={"deletes": deletes, "sees": sees},
        initial={"k": 1, "other": 2},
        expect={"outputs": {"a": None, "look": {"k": [False, None]}}, "context": {"other": 2}},
    ),
    Case(
        claim="a key may be deleted and set again",
        spec="1: async get/set/has/delete",
        blueprint=graph("a"),
        nodes={"a": deletes_then_sets},
        initial={"k": "old"},
        expect={"outputs": {"a": [None, "new"]}, "context": {"k": "new"}},
    ),
    Case(
        claim="deleting a key that is not there does nothing",
        spec="1: async get/set/has/delete",
        blueprint=graph("a"),
        nodes={"a": deletes},
        expect={"status": "completed", "context": {}},
    ),
    Case(
        claim="a key set to null is there",
        spec="1: async get/set/has/delete",
        blueprint=graph("a", looks_at("k", "missing"), "a > look"),
        nodes={"a": writes({"k": None}), "sees": sees},
        expect={"outputs": {"a": None, "look": {"k": [True, None], "missing": [False, None]}}, "context": {"k": None}},
    ),
    Case(
        claim="a dot in a key is not a path",
        spec="2: Keys are whole strings",
        blueprint=graph("a", looks_at("x.y", "x", "p", "p.q"), "a > look"),
        nodes={"a": writes({"x.y": 1}), "sees": sees},
        initial={"p": {"q": 2}},
        expect={
            "outputs": {
                "a": None,
                "look": {"x.y": [True, 1], "x": [False, None], "p": [True, {"q": 2}], "p.q": [False, None]},
            },
            "context": {"x.y": 1, "p": {"q": 2}},
        },
    ),
    Case(
        claim="a key with a dot and a map of the first half live side by side",
        spec="2: Keys are whole strings",
        blueprint=graph("a"),
        nodes={"a": writes({"x.y": "whole", "x": {"y": "inner"}})},
        expect={"context": {"x.y": "whole", "x": {"y": "inner"}}},
    ),
    Case(
        claim="keys may be any text",
        spec="2: Keys are whole strings",
        blueprint=graph("a"),
        nodes={"a": writes({"with space": 1, "Größe": 2, "a/b": 3, "x[0]": 4, "'quoted'": 5})},
        expect={"context": {"with space": 1, "Größe": 2, "a/b": 3, "x[0]": 4, "'quoted'": 5}},
    ),
    Case(
        claim="a later write replaces an earlier one whole",
        spec="2",
        blueprint=graph("a > b"),
        nodes={"a": writes({"k": {"x": 1, "y": 2}}), "b": writes({"k": {"z": 3}})},
        initial={"k": {"w": 0}},
        expect={"context": {"k": {"z": 3}}},
    ),
    Case(
        claim="writes of parallel nodes all survive",
        spec="2: Writes of parallel nodes must all survive",
        blueprint=graph("s", *(f"s > p{i} > j" for i in range(8))),
        nodes={"s": gives(1), "j": gives(2), **{f"p{i}": writes({f"k{i}": i}) for i in range(8)}},
        expect={"status": "completed", "context": {f"k{i}": i for i in range(8)}},
        everywhere=True,
    ),
    Case(
        claim="writes of parallel start nodes all survive",
        spec="2: Writes of parallel nodes must all survive",
        blueprint=graph(*(f"p{i}" for i in range(5))),
        nodes={f"p{i}": writes({f"k{i}": i, "both": "same"}) for i in range(5)},
        expect={"context": {**{f"k{i}": i for i in range(5)}, "both": "same"}},
    ),
    Case(
        claim="an engine key in the initial context is no part of the result",
        spec="2: Keys with a leading underscore are the engine's",
        blueprint=graph("a"),
        nodes={"a": gives(1)},
        initial={"_mine": 1, "yours": 2},
        expect={"context": {"yours": 2}, "outputs": {"a": 1}},
    ),
    Case(
        claim="a key with an inner or trailing underscore is the user's",
        spec="2: Keys with a leading underscore",
        blueprint=graph("a"),
        nodes={"a": writes({"x_y": 1, "z_": 2})},
        expect={"context": {"x_y": 1, "z_": 2}},
    ),
    Case(
        claim="outputs can be read under _outputs",
        spec="2: _outputs.<id> = output",
        blueprint=graph("a > b"),
        nodes={"a": gives({"n": 1}), "b": reads("_outputs.a")},
        expect={"outputs": {"a": {"n": 1}, "b": {"n": 1}}},
    ),
    Case(
        claim="what an edge delivers can be read under _inputs",
        spec="2: _inputs.<target>",
        blueprint=graph("a", "b", "c", edge("a", "b", transform="input.n"), edge("b", "c")),
        nodes={"a": gives({"n": 1}), "b": gives("own"), "c": reads("_inputs.b")},
        expect={"outputs": {"a": {"n": 1}, "b": "own", "c": 1}},
    ),
    Case(
        claim="an edge that does not fire delivers nothing",
        spec="2: When an edge fires",
        blueprint=graph("a", "b", "c", edge("a", "b", condition="no"), edge("a", "c")),
        nodes={"a": gives(1), "b": gives(2), "c": reads("_inputs.b", "nothing")},
        expect={"outputs": {"a": 1, "c": "nothing"}},
    ),
    Case(
        claim="context writes stay when a later node fails",
        spec="8: context writes stay",
        blueprint=graph("a > b"),
        nodes={"a": writes({"k": 1}), "b": fails()},
        initial={"x": 0},
        expect={"status": "failed", "context": {"x": 0, "k": 1}, "outputs": {"a": None}},
    ),
    Case(
        # "A failed node has no output; ...; context writes stay": said of the failed node, so its own are meant too.
        claim="context writes of the failing node itself stay",
        spec="8: context writes stay",
        blueprint=graph("a"),
        nodes={"a": sets_then_fails},
        expect={"status": "failed", "context": {"half": "way"}, "outputs": {}},
    ),
    Case(
        claim="numbers, nulls and nested values survive the context unchanged",
        spec="2",
        blueprint=graph("a > b"),
        nodes={"a": writes({"k": {"i": 3, "f": 1.5, "n": None, "t": True, "l": [[1], {"x": []}]}}), "b": reads("k")},
        expect={"outputs_has": {"b": {"i": 3, "f": 1.5, "n": None, "t": True, "l": [[1], {"x": []}]}}},
    ),
]
