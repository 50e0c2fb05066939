# ruff: noqa: FBT003 - booleans are values like others here
"""Section 9: batch-scatter and batch-gather, and our own `map`."""

from __future__ import annotations

from typing import Any

from conformance.case import Case, echo, edge, fails, gives, graph, node, reads, writes


async def double(ctx: Any) -> Any:
    return ctx.input * 2


async def no_threes(ctx: Any) -> Any:
    if ctx.input == 3:
        raise ValueError("three")
    await ctx.set(f"seen_{ctx.input}", True)
    return ctx.input


async def input_and_params(ctx: Any) -> Any:
    return {"input": ctx.input, "params": dict(ctx.params)}


async def times_factor(ctx: Any) -> Any:
    return ctx.input * await ctx.get("factor")


async def odd_ones_act(ctx: Any) -> Any:
    return {"odd": ctx.input % 2 == 1}


async def second_time(ctx: Any) -> Any:
    if ctx.attempt == 1:
        raise ValueError("once more")
    return ctx.input * 10


WORK = {"double": double, "echo": echo}


def scatter(worker: str = "double", node_id: str = "sc", gather: str = "ga", inputs: Any = None, **params: Any) -> Any:
    return node(node_id, "batch-scatter", {"workerUsesKey": worker, "gatherNodeId": gather, **params}, inputs=inputs)


def gather(node_id: str = "ga", **params: Any) -> Any:
    return node(node_id, "batch-gather", {"gatherNodeId": node_id, **params})


def batch(*more: Any, worker: str = "double", output_key: str | None = None, **params: Any) -> Any:
    """`s` gives a list, which `sc` scatters and `ga` gathers; `z` comes after it."""
    key = {} if output_key is None else {"outputKey": output_key}
    return graph(scatter(worker, **params), gather(**key), "s > sc > ga > z", *more)


def scattered(
    claim: str, items: Any, results: list[Any], *, spec: str = "9, batch-gather", worker: str = "double", **given: Any
) -> Case:
    """The list goes in, the results come out, whatever the chunks are."""
    params = given.pop("params", {})
    return Case(
        claim=claim,
        spec=spec,
        blueprint=batch(worker=worker, **params),
        nodes={**WORK, "io": input_and_params, "s": gives(items), "z": echo, **given.pop("nodes", {})},
        expect={
            "status": "completed",
            "executed": ["ga", "s", "sc", "z"],
            "counts": {},
            "errors": [],
            "skipped": [],
            "batches": {"sc": results},
            "outputs_has": {"ga": results, "z": results},
            **given.pop("expect", {}),
        },
        **given,
    )


ITEMS = [
    scattered("the outputs of the workers come in the order of the items", [3, 1, 2], [6, 2, 4], everywhere=True),
    scattered("a batch of one item", [5], [10]),
    scattered("a batch of a hundred items", list(range(100)), [2 * i for i in range(100)]),
    scattered("an empty list makes an empty batch", [], [], spec="9, batch-scatter: Input: a list"),
    scattered("an absent list makes an empty batch", None, [], spec="9: absent/falsy = empty list"),
    scattered("a zero makes an empty batch", 0, [], spec="9: absent/falsy = empty list"),
    scattered("an empty text makes an empty batch", "", [], spec="9: absent/falsy = empty list"),
    scattered("a false makes an empty batch", False, [], spec="9: absent/falsy = empty list"),
    scattered("equal items are several items", [1, 1, 1], [2, 2, 2]),
    scattered("items may be texts", ["a", ""], ["aa", ""]),
    scattered("items may be maps and lists", [{"x": 1}, [2]], [{"x": 1}, [2]], worker="echo"),
    scattered("falsy results are kept", [0, False, ""], [0, False, ""], worker="echo"),
    scattered(
        "a worker gets its item as input, and no params",
        ["p", {"q": 1}],
        [{"input": "p", "params": {}}, {"input": {"q": 1}, "params": {}}],
        worker="io",
        spec="9, batch-scatter: with that item as input and no params",
    ),
    scattered(
        "a null item is an item",
        [1, None],
        [{"input": 1, "params": {}}, {"input": None, "params": {}}],
        worker="io",
        spec="9, batch-scatter: For each item",
    ),
    scattered("a list of lists scatters its lists", [[1], [2, 3]], [[1, 1], [2, 3, 2, 3]]),
]

CHUNKS = [
    scattered(
        f"{n} items in chunks of {size} are gathered once, with all results",
        list(range(n)),
        [2 * i for i in range(n)],
        params={"chunkSize": size},
        spec="9 [R]: chunks are processed one after another and the gather completes once with all results",
        everywhere=(n, size) == (5, 2),
    )
    for n, size in ((5, 2), (4, 2), (3, 1), (3, 3), (3, 10), (0, 2), (7, 3))
]

WHERE = [
    Case(
        claim="the scatter and the gather leave their traces in the context",
        spec="9: Context: <scatter>_currentIndex, <gather>_hasMore, <gather>_allWorkerIds",
        blueprint=batch(),
        nodes={**WORK, "s": gives([1, 2, 3]), "z": reads("sc_currentIndex")},
        expect={"outputs_has": {"z": 3}, "context_has": {"sc_currentIndex": 3, "ga_hasMore": False}},
    ),
    Case(
        claim="the output of the scatter names the gather",
        spec="9: Output {gatherNodeId, hasMore}",
        blueprint=batch(),
        nodes={**WORK, "s": gives([1, 2]), "z": reads("sc")},
        expect={"outputs_has": {"sc": {"gatherNodeId": "ga", "hasMore": False}}},
    ),
    Case(
        claim="the results are under the output key as well",
        spec="9, batch-gather: output and context key outputKey",
        blueprint=batch(output_key="results"),
        nodes={**WORK, "s": gives([1, 2]), "z": reads("results")},
        initial={"results": "before"},
        expect={"outputs_has": {"ga": [2, 4], "z": [2, 4]}, "context_has": {"results": [2, 4]}},
        everywhere=True,
    ),
    Case(
        claim="without output key the results are under the id of the gather",
        spec="9, batch-gather: default its id",
        blueprint=batch(),
        nodes={**WORK, "s": gives([1, 2]), "z": reads("ga")},
        expect={"outputs_has": {"z": [2, 4]}, "context_without": ["ga", "results"]},
    ),
    Case(
        claim="an empty batch has an empty list under its output key",
        spec="9",
        blueprint=batch(output_key="results"),
        nodes={**WORK, "s": gives([]), "z": reads("results")},
        expect={"status": "completed", "outputs_has": {"z": []}, "context_has": {"results": []}},
    ),
    Case(
        claim="the scatter reads its list by its inputs",
        spec="7; 9",
        blueprint=graph(scatter(inputs="s.items"), gather(), "s > sc > ga > z"),
        nodes={**WORK, "s": gives({"items": [1, 2]}), "z": echo},
        expect={"outputs_has": {"z": [2, 4]}},
    ),
    Case(
        claim="the scatter reads its list from the initial context",
        spec="7; 9",
        blueprint=graph(scatter(inputs="items"), gather(), "sc > ga > z"),
        nodes={**WORK, "z": echo},
        initial={"items": [1, 2]},
        expect={"outputs_has": {"z": [2, 4]}, "executed": ["ga", "sc", "z"], "context_has": {"items": [1, 2]}},
    ),
    Case(
        claim="a transform may hand the list to the scatter",
        spec="5; 9",
        blueprint=graph(scatter(), gather(), edge("s", "sc", transform="input.items"), "sc > ga > z"),
        nodes={**WORK, "s": gives({"items": [1, 2]}), "z": echo},
        expect={"outputs_has": {"z": [2, 4]}},
    ),
    Case(
        claim="workers read the context of the run",
        spec="1: the run context",
        blueprint=batch(worker="times"),
        nodes={"times": times_factor, "s": gives([1, 2]), "z": echo},
        initial={"factor": 5},
        expect={"outputs_has": {"z": [5, 10]}},
    ),
    Case(
        claim="writes of the workers all survive",
        spec="2: Writes of parallel nodes must all survive",
        blueprint=batch(worker="seen"),
        nodes={"seen": no_threes, "s": gives([1, 2, 4]), "z": echo},
        expect={"context_has": {"seen_1": True, "seen_2": True, "seen_4": True}},
    ),
    Case(
        claim="the gather may be read by its name and by a path",
        spec="7; 9",
        blueprint=graph(
            scatter(), gather(), node("z", inputs="ga.1"), node("y", inputs={"all": "ga"}), "s > sc > ga > z", "ga > y"
        ),
        nodes={**WORK, "s": gives([1, 2]), "z": echo, "y": echo},
        expect={"outputs_has": {"z": 4, "y": {"all": [2, 4]}}},
    ),
    Case(
        claim="a condition behind the gather sees the results",
        spec="4; 9",
        blueprint=graph(
            scatter("odd"),
            gather(),
            "s > sc > ga",
            edge("ga", "y", condition="result.output.0.odd"),
            edge("ga", "z", condition="ga.1.odd"),
        ),
        nodes={"odd": odd_ones_act, "s": gives([1, 2]), "y": gives("Y"), "z": gives("Z")},
        expect={"executed": ["ga", "s", "sc", "y"], "skipped": ["z"]},
    ),
    Case(
        claim="two batches follow one on another",
        spec="9",
        blueprint=graph(
            scatter(node_id="sc1", gather="ga1"),
            gather("ga1"),
            scatter(node_id="sc2", gather="ga2"),
            gather("ga2"),
            "s > sc1 > ga1 > sc2 > ga2",
        ),
        nodes={**WORK, "s": gives([1, 2])},
        expect={
            "status": "completed",
            "outputs_has": {"ga1": [2, 4], "ga2": [4, 8]},
            "batches": {"sc1": [2, 4], "sc2": [4, 8]},
        },
    ),
    Case(
        claim="two batches run side by side and join",
        spec="9; 6",
        blueprint=graph(
            scatter(node_id="sc1", gather="ga1"),
            gather("ga1"),
            scatter("echo", node_id="sc2", gather="ga2"),
            gather("ga2"),
            node("j", "echo", inputs={"one": "ga1", "two": "ga2"}),
            "s > sc1 > ga1 > j",
            "s > sc2 > ga2 > j",
        ),
        nodes={**WORK, "s": gives([1, 2])},
        expect={"status": "completed", "counts": {}, "outputs_has": {"j": {"one": [2, 4], "two": [1, 2]}}},
    ),
    Case(
        claim="a batch beside an ordinary branch",
        spec="9; 6",
        blueprint=graph(
            scatter(), gather(), "s > sc > ga > j", "s > b > j", node("j", "echo", inputs={"ga": "ga", "b": "b"})
        ),
        nodes={**WORK, "s": gives([1, 2]), "b": gives("B")},
        expect={"status": "completed", "counts": {}, "outputs_has": {"j": {"ga": [2, 4], "b": "B"}}},
    ),
    Case(
        claim="the gather waits for another predecessor too",
        spec="9: The workers become predecessors of the gather node (all-join)",
        blueprint=graph(scatter(), gather(), "s > sc > ga > z", "s > b > c > d > ga"),
        nodes={**WORK, "s": gives([1, 2]), "b": echo, "c": echo, "d": writes({"d_ran": True}), "z": reads("d_ran")},
        expect={"status": "completed", "counts": {}, "outputs_has": {"ga": [2, 4], "z": True}},
    ),
    Case(
        claim="a batch in a branch that was not taken is skipped",
        spec="Dead paths",
        blueprint=graph(scatter(), gather(), edge("s", "sc", condition="no"), "sc > ga > j", "s > b > j"),
        nodes={**WORK, "s": gives([1, 2]), "b": echo, "j": echo},
        expect={"status": "completed", "executed": ["b", "j", "s"], "skipped": ["ga", "sc"]},
    ),
]

FAILURES = [
    Case(
        claim="a failed worker lets the others finish, and nothing is gathered",
        spec="9: Any failed worker: the other workers finish, the gather never runs, the run fails",
        blueprint=batch(worker="picky"),
        nodes={"picky": no_threes, "s": gives([1, 2, 3, 4, 5]), "z": echo},
        expect={
            "status": "failed",
            "executed": ["s", "sc"],
            "skipped": ["ga", "z"],
            "context_has": {"seen_1": True, "seen_2": True, "seen_4": True, "seen_5": True},
        },
        everywhere=True,
    ),
    Case(
        claim="a worker that is not registered fails the run, and nothing is gathered",
        spec="9: Any failed worker (unknown implementation included)",
        blueprint=batch(worker="no-such-thing"),
        nodes={"s": gives([1, 2]), "z": echo},
        expect={"status": "failed", "executed_without": ["ga", "z"]},
    ),
    Case(
        claim="a worker that is not registered is no matter when there are no items",
        spec="8: when it is reached; 9",
        blueprint=batch(worker="no-such-thing"),
        nodes={"s": gives([]), "z": echo},
        expect={"status": "completed", "outputs_has": {"ga": [], "z": []}},
    ),
    Case(
        claim="a failed batch leaves other branches alone",
        spec="8: independent branches run to their end",
        blueprint=batch("s > x > y", worker="bad"),
        nodes={"bad": fails(), "s": gives([1, 2]), "x": echo, "y": echo, "z": echo},
        expect={"status": "failed", "executed_has": ["s", "sc", "x", "y"], "executed_without": ["ga", "z"]},
    ),
    *(
        Case(
            claim=f"the input {value!r} fails the scatter",
            spec="9, batch-scatter: anything else fails",
            blueprint=batch(),
            nodes={**WORK, "s": gives(value), "z": echo},
            expect={"status": "failed", "errors": ["sc"], "executed_without": ["ga", "z"]},
        )
        for value in ({"x": 1}, "text", 5, True, {})
    ),
    *(
        Case(
            claim=f"a scatter without {missing} fails",
            spec="9, batch-scatter: both required, else it fails",
            blueprint=graph(
                node(
                    "sc",
                    "batch-scatter",
                    {k: v for k, v in (("workerUsesKey", "double"), ("gatherNodeId", "ga")) if k != missing},
                ),
                gather(),
                "s > sc > ga",
            ),
            nodes={**WORK, "s": gives([1])},
            expect={"status": "failed", "errors": ["sc"], "executed_without": ["ga"]},
        )
        for missing in ("workerUsesKey", "gatherNodeId")
    ),
]


def mapped(**params: Any) -> Any:
    config = params.pop("config", {})
    return graph(node("m", "map", params, **config), "s > m > z")


MAP = [
    Case(
        claim="map runs an implementation for each item and keeps the order",
        spec="issue, 3: map",
        blueprint=mapped(uses="double"),
        nodes={**WORK, "s": gives([3, 1, 2]), "z": echo},
        expect={
            "status": "completed",
            "outputs_has": {"m": [6, 2, 4], "z": [6, 2, 4]},
            "executed": ["m", "s", "z"],
            "counts": {},
        },
        everywhere=True,
    ),
    Case(
        claim="map of nothing is an empty list",
        spec="interfaces: absent/null = []",
        blueprint=mapped(uses="double"),
        nodes={**WORK, "s": gives(None), "z": echo},
        expect={"status": "completed", "outputs_has": {"m": [], "z": []}},
    ),
    Case(
        claim="map of an empty list is an empty list",
        spec="issue, 3: map",
        blueprint=mapped(uses="double"),
        nodes={**WORK, "s": gives([]), "z": echo},
        expect={"status": "completed", "outputs_has": {"m": [], "z": []}},
    ),
    Case(
        claim="map one at a time makes no difference to the result",
        spec="issue, 3: maxConcurrency",
        blueprint=mapped(uses="double", maxConcurrency=1),
        nodes={**WORK, "s": gives(list(range(10))), "z": echo},
        expect={"status": "completed", "outputs_has": {"m": [2 * i for i in range(10)]}},
    ),
    Case(
        claim="map gives its params to each item",
        spec="interfaces: params (object, of each item)",
        blueprint=mapped(uses="io", params={"p": 1}),
        nodes={"io": input_and_params, "s": gives([5]), "z": echo},
        expect={"status": "completed", "outputs_has": {"m": [{"input": 5, "params": {"p": 1}}]}},
    ),
    Case(
        claim="map fails when an item fails",
        spec="issue, 3: toleratedFailures",
        blueprint=mapped(uses="picky"),
        nodes={"picky": no_threes, "s": gives([1, 2, 3]), "z": echo},
        expect={"status": "failed", "errors": ["m"], "executed": ["m", "s"], "skipped": ["z"]},
    ),
    Case(
        claim="map has null for an item whose failure is tolerated",
        spec="issue, 3: toleratedFailures (count)",
        blueprint=mapped(uses="picky", toleratedFailures=1),
        nodes={"picky": no_threes, "s": gives([1, 3, 2]), "z": echo},
        expect={"status": "completed", "errors": [], "outputs_has": {"m": [1, None, 2], "z": [1, None, 2]}},
        everywhere=True,
    ),
    Case(
        claim="map fails when more items fail than are tolerated",
        spec="issue, 3: toleratedFailures (count)",
        blueprint=mapped(uses="picky", toleratedFailures=1),
        nodes={"picky": no_threes, "s": gives([3, 1, 3]), "z": echo},
        expect={"status": "failed", "errors": ["m"], "executed_without": ["z"]},
    ),
    Case(
        claim="map tolerates a share of its items",
        spec="issue, 3: toleratedFailures (%)",
        blueprint=mapped(uses="picky", toleratedFailures="50%"),
        nodes={"picky": no_threes, "s": gives([3, 1, 3, 2]), "z": echo},
        expect={"status": "completed", "outputs_has": {"m": [None, 1, None, 2]}},
    ),
    Case(
        claim="map tolerates no more than its share",
        spec="issue, 3: toleratedFailures (%)",
        blueprint=mapped(uses="picky", toleratedFailures="50%"),
        nodes={"picky": no_threes, "s": gives([3, 3, 3, 2]), "z": echo},
        expect={"status": "failed", "errors": ["m"]},
    ),
    Case(
        claim="map tries an item again",
        spec="interfaces: Retries of the node's config apply to each item",
        blueprint=mapped(uses="again", config={"maxRetries": 2}),
        nodes={"again": second_time, "s": gives([1, 2]), "z": echo},
        expect={"status": "completed", "outputs_has": {"m": [10, 20]}, "counts": {}},
    ),
    Case(
        claim="map runs a blueprint for each item",
        spec="issue, 3: node or subflow per item",
        blueprint=mapped(blueprintId="child"),
        children={"child": graph("x > y", blueprint_id="child")},
        nodes={"x": double, "y": double, "s": gives([1, 2]), "z": echo},
        expect={"status": "completed", "outputs_has": {"m": [4, 8], "z": [4, 8]}},
    ),
    Case(
        claim="map of something that is no list fails",
        spec="interfaces: Input: a list",
        blueprint=mapped(uses="double"),
        nodes={**WORK, "s": gives({"x": 1}), "z": echo},
        expect={"status": "failed", "errors": ["m"], "executed_without": ["z"]},
    ),
    *(
        Case(
            claim=f"map with {told} fails",
            spec="issue, Bad input; interfaces: exactly one of uses and blueprintId",
            blueprint=mapped(**params),
            nodes={**WORK, "s": gives([1]), "z": echo},
            children={"child": graph("echo", blueprint_id="child")},
            expect={"status": "failed", "errors": ["m"], "executed_without": ["z"]},
        )
        for told, params in (
            ("neither implementation nor blueprint", {}),
            ("implementation and blueprint", {"uses": "double", "blueprintId": "child"}),
            ("a concurrency of zero", {"uses": "double", "maxConcurrency": 0}),
            ("a tolerance below zero", {"uses": "double", "toleratedFailures": -1}),
        )
    ),
    Case(
        claim="map with a fallback",
        spec="8, Fallback; issue, 3",
        blueprint=graph(node("m", "map", {"uses": "picky"}, fallback="f"), "s > m > z", "f"),
        nodes={"picky": no_threes, "s": gives([3]), "f": gives("F"), "z": echo},
        expect={"status": "completed", "errors": [], "outputs_has": {"z": "F", "f": "F"}},
    ),
    Case(
        claim="map in a join with another map",
        spec="6; issue, 3",
        blueprint=graph(
            node("m", "map", {"uses": "double"}),
            node("n", "map", {"uses": "echo"}),
            "s > m > j",
            "s > n > j",
            node("j", "echo", inputs={"m": "m", "n": "n"}),
        ),
        nodes={**WORK, "s": gives([1, 2])},
        expect={"status": "completed", "outputs_has": {"j": {"m": [2, 4], "n": [1, 2]}}},
    ),
]

CASES = [*ITEMS, *CHUNKS, *WHERE, *FAILURES, *MAP]
