"""Section 6, and what design.md changes: when a node with several predecessors starts."""

from __future__ import annotations

from typing import Any

from conformance.case import Case, acts, counts_up, echo, edge, fails, gives, graph, node

BOTH = {"left": "l", "right": "r"}


def diamond(
    *changes: Any, left: dict[str, str] | None = None, right: dict[str, str] | None = None, **config: Any
) -> Any:
    """`s` leads to `l` and `r`, both lead to `j`, which takes both outputs and leads to `z`."""
    return graph(
        "s",
        "l",
        "r",
        node("j", "echo", inputs=BOTH, **config),
        edge("s", "l", **(left or {})),
        edge("s", "r", **(right or {})),
        "l > j > z",
        "r > j",
        *changes,
    )


NODES = {"s": gives("S"), "l": gives("L"), "r": gives("R"), "echo": echo, "z": echo}
NO = {"condition": "no"}

ALL = [
    Case(
        claim="an all-join waits for both branches and reads both",
        spec="6, all",
        blueprint=diamond(),
        nodes=NODES,
        expect={
            "status": "completed",
            "outputs": {
                "s": "S",
                "l": "L",
                "r": "R",
                "j": {"left": "L", "right": "R"},
                "z": {"left": "L", "right": "R"},
            },
            "executed": ["j", "l", "r", "s", "z"],
            "counts": {},
            "skipped": [],
        },
        everywhere=True,
    ),
    Case(
        claim="a join is an all-join if nothing is said, and if `all` is said",
        spec="1, joinStrategy; 6",
        blueprint=diamond(joinStrategy="all"),
        nodes=NODES,
        expect={"outputs_has": {"j": {"left": "L", "right": "R"}}, "counts": {}},
    ),
    Case(
        claim="a join waits for the longer branch",
        spec="6, all",
        blueprint=graph("s > a > j", "s > b > c > d > j", node("j", inputs={"a": "a", "d": "d"})),
        nodes={"s": gives(1), "a": gives("A"), "b": echo, "c": echo, "d": gives("D"), "j": echo},
        expect={"outputs_has": {"j": {"a": "A", "d": "D"}}, "counts": {}},
    ),
    Case(
        claim="a join of many predecessors starts once",
        spec="6, all",
        blueprint=graph(*(f"s > p{i} > j > z" for i in range(20)))
        | {"nodes": [node("s"), *(node(f"p{i}") for i in range(20)), node("j"), node("z")]},
        nodes={"s": gives(1), "j": counts_up("n"), "z": echo, **{f"p{i}": gives(i) for i in range(20)}},
        expect={"status": "completed", "context": {"n": 1}, "counts": {}, "outputs_has": {"z": 1}},
    ),
    Case(
        claim="a join of start nodes",
        spec="6, all",
        blueprint=graph("a > j", "b > j", "c > j", node("j", inputs={"a": "a", "b": "b", "c": "c"})),
        nodes={"a": gives(1), "b": gives(2), "c": gives(3), "j": echo},
        expect={"outputs_has": {"j": {"a": 1, "b": 2, "c": 3}}, "executed": ["a", "b", "c", "j"]},
        everywhere=True,
    ),
    Case(
        claim="a predecessor that is also the predecessor of another counts once",
        spec="6: distinct sources",
        blueprint=graph("a > b > c", "a > c", node("c", inputs="b")),
        nodes={"a": gives("A"), "b": gives("B"), "c": echo},
        expect={"outputs": {"a": "A", "b": "B", "c": "B"}, "counts": {}},
    ),
    Case(
        claim="several edges from one source make one predecessor",
        spec="6: distinct sources of its incoming edges",
        blueprint=graph(
            "a", "b > j", edge("a", "j", action="x"), edge("a", "j", action="y"), edge("a", "j", condition="no")
        ),
        nodes={"a": acts("x", 1), "b": gives(2), "j": counts_up("n")},
        expect={"status": "completed", "context": {"n": 1}, "executed": ["a", "b", "j"]},
    ),
    Case(
        claim="joins follow on joins",
        spec="6",
        blueprint=graph("s > a > j", "s > b > j", "j > c > k", "j > d > k", "k > z"),
        nodes={**dict.fromkeys("abcdkz", echo), "s": gives("S"), "j": counts_up("n")},
        expect={"status": "completed", "executed": sorted("sabjcdkz"), "counts": {}, "context": {"n": 1}},
    ),
    Case(
        claim="joins that cross",
        spec="6",
        blueprint=graph("a > x", "a > y", "b > x", "b > y", "x > j", "y > j", node("j", inputs={"x": "x", "y": "y"})),
        nodes={"a": gives(1), "b": gives(2), "x": gives("X"), "y": gives("Y"), "j": echo},
        expect={"outputs_has": {"j": {"x": "X", "y": "Y"}}, "counts": {}},
    ),
    Case(
        claim="an all-join without inputs gets the value of the only edge that fired",
        spec="5; 6",
        blueprint=graph("s", "l", "r", "j", edge("s", "l"), edge("s", "r", condition="no"), "l > j", "r > j"),
        nodes={"s": gives("S"), "l": gives("L"), "r": gives("R"), "j": echo},
        expect={"outputs": {"s": "S", "l": "L", "j": "L"}},
    ),
]

DEAD = [
    Case(
        claim="a join runs behind a branch that was not taken",
        spec="Dead paths",
        blueprint=diamond(right=NO),
        nodes=NODES,
        expect={
            "status": "completed",
            "executed": ["j", "l", "s", "z"],
            "skipped": ["r"],
            "outputs": {"s": "S", "l": "L", "j": {"left": "L", "right": None}, "z": {"left": "L", "right": None}},
        },
        everywhere=True,
    ),
    Case(
        claim="a join runs behind the branch that an action chose",
        spec="Dead paths",
        blueprint=diamond(left={"action": "left"}, right={"action": "right"}),
        nodes={**NODES, "s": acts("right", "S")},
        expect={"status": "completed", "executed": ["j", "r", "s", "z"], "skipped": ["l"], "counts": {}},
    ),
    Case(
        claim="a join is skipped when no branch was taken, and all behind it",
        spec="Dead paths: a node with all incoming edges settled and none fired is skipped, and so on downwards",
        blueprint=diamond(left=NO, right=NO),
        nodes=NODES,
        expect={"status": "completed", "executed": ["s"], "skipped": ["j", "l", "r", "z"], "outputs": {"s": "S"}},
    ),
    Case(
        claim="a long branch that was not taken is skipped to its end, and the join runs",
        spec="Dead paths: or lies behind such a node",
        blueprint=graph("s", "a", "b", "c", "d", edge("s", "b", condition="no"), "b > c > d > j", "s > a > j"),
        nodes={**dict.fromkeys("abcdj", echo), "s": gives("S")},
        expect={"status": "completed", "executed": ["a", "j", "s"], "skipped": ["b", "c", "d"]},
    ),
    Case(
        claim="a condition that is false on a direct edge does not block the join",
        spec="6: an edge whose condition was false does not block it",
        blueprint=graph("a > b > c", edge("a", "c", condition="no")),
        nodes={"a": gives(1), "b": echo, "c": echo},
        expect={"status": "completed", "executed": ["a", "b", "c"], "skipped": []},
    ),
    Case(
        claim="a join whose last predecessor does not take its edge runs all the same",
        spec="Dead paths: its source completed without taking it",
        blueprint=graph("s > a > j", "s > b > c > d", edge("d", "j", action="never")),
        nodes={**dict.fromkeys("abcdj", echo), "s": gives("S")},
        expect={"status": "completed", "executed": ["a", "b", "c", "d", "j", "s"], "skipped": []},
    ),
    Case(
        claim="two of three action branches taken",
        spec="Dead paths",
        blueprint=graph(
            "s",
            edge("s", "a", action="x"),
            edge("s", "b", action="x"),
            edge("s", "c", action="y"),
            "a > j",
            "b > j",
            "c > j",
            node("j", inputs={"a": "a", "b": "b", "c": "c"}),
        ),
        nodes={"s": acts("x"), "a": gives(1), "b": gives(2), "c": gives(3), "j": echo},
        expect={"outputs_has": {"j": {"a": 1, "b": 2, "c": None}}, "skipped": ["c"], "status": "completed"},
    ),
    Case(
        claim="a diamond inside a branch that was not taken is skipped as a whole",
        spec="Dead paths",
        blueprint=graph("s", edge("s", "a", condition="no"), "a > b > d", "a > c > d", "d > j", "s > e > j"),
        nodes={**dict.fromkeys("abcdej", echo), "s": gives("S")},
        expect={"status": "completed", "executed": ["e", "j", "s"], "skipped": ["a", "b", "c", "d"]},
    ),
    Case(
        claim="a node behind two branches of which one ended and one went on runs",
        spec="Dead paths",
        blueprint=graph(
            "s > a",
            "s > b",
            edge("a", "j", condition="result.output.no"),
            edge("b", "j", condition="result.output.yes"),
        ),
        nodes={"s": gives(1), "a": gives({"no": 0}), "b": gives({"yes": 1}), "j": echo},
        expect={"status": "completed", "executed": ["a", "b", "j", "s"], "outputs_has": {"j": {"yes": 1}}},
    ),
    Case(
        claim="of nested choices exactly the path that was taken reaches the join",
        spec="Dead paths",
        blueprint=graph(
            "s",
            edge("s", "a", action="a"),
            edge("s", "b", action="b"),
            edge("a", "a1", action="1"),
            edge("a", "a2", action="2"),
            "a1 > j",
            "a2 > j",
            "b > j",
            "j > z",
        ),
        nodes={"s": acts("a"), "a": acts("2"), "b": echo, "a1": echo, "a2": gives("A2"), "j": echo, "z": echo},
        expect={
            "status": "completed",
            "executed": ["a", "a2", "j", "s", "z"],
            "skipped": ["a1", "b"],
            "outputs_has": {"j": "A2", "z": "A2"},
        },
    ),
    Case(
        claim="a start node that fires nowhere does not block the join it leads to",
        spec="Dead paths",
        blueprint=graph("a > j", edge("b", "j", action="never")),
        nodes={"a": gives("A"), "b": gives("B"), "j": echo},
        expect={"status": "completed", "executed": ["a", "b", "j"], "outputs": {"a": "A", "b": "B", "j": "A"}},
    ),
    Case(
        claim="a skipped node has no output and leaves no trace in the context",
        spec="Dead paths; 2",
        blueprint=diamond(right=NO),
        nodes={**NODES, "r": counts_up("r_ran")},
        expect={"context": {}, "errors": []},
    ),
]

FAILED = [
    Case(
        claim="a failed predecessor blocks an all-join",
        spec="Dead paths: A failed predecessor still blocks an `all` join (it is skipped; the run fails)",
        blueprint=diamond(),
        nodes={**NODES, "r": fails()},
        expect={
            "status": "failed",
            "errors": ["r"],
            "executed": ["l", "r", "s"],
            "skipped": ["j", "z"],
            "outputs": {"s": "S", "l": "L"},
        },
        everywhere=True,
    ),
    Case(
        claim="a failure and a branch not taken block a join",
        spec="Dead paths",
        blueprint=diamond(left=NO),
        nodes={**NODES, "r": fails()},
        expect={"status": "failed", "errors": ["r"], "executed": ["r", "s"], "skipped": ["j", "l", "z"]},
    ),
    Case(
        claim="a join far behind a failure is blocked",
        spec="6: A failed predecessor does not complete",
        blueprint=graph("s > a > b > c > j", "s > d > j", "j > z"),
        nodes={**dict.fromkeys("bcdjz", echo), "s": gives(1), "a": fails()},
        expect={"status": "failed", "errors": ["a"], "executed": ["a", "d", "s"], "skipped": ["b", "c", "j", "z"]},
    ),
    Case(
        claim="an any-join starts by way of another predecessor than the failed one",
        spec="6: an any-join starts by way of another predecessor",
        blueprint=diamond(joinStrategy="any"),
        nodes={**NODES, "r": fails()},
        expect={
            "status": "failed",
            "errors": ["r"],
            "executed": ["j", "l", "r", "s", "z"],
            "outputs_has": {"j": {"left": "L", "right": None}},
        },
        everywhere=True,
    ),
    Case(
        claim="an any-join whose predecessors all fail does not start",
        spec="6",
        blueprint=diamond(joinStrategy="any"),
        nodes={**NODES, "l": fails(), "r": fails()},
        expect={"status": "failed", "errors": ["l", "r"], "executed": ["l", "r", "s"], "skipped": ["j", "z"]},
    ),
    Case(
        claim="an any-join behind a failure and a branch not taken does not start",
        spec="6",
        blueprint=diamond(joinStrategy="any", left=NO),
        nodes={**NODES, "r": fails()},
        expect={"status": "failed", "errors": ["r"], "executed": ["r", "s"], "executed_without": ["j"]},
    ),
]

ANY = [
    Case(
        claim="an any-join of two branches starts once",
        spec="An `any` join starts once per run",
        blueprint=graph("s > a > j", "s > b > j", "j > z", node("j", joinStrategy="any")),
        nodes={"s": gives(1), "a": echo, "b": echo, "j": counts_up("n"), "z": counts_up("m")},
        expect={
            "status": "completed",
            "executed": ["a", "b", "j", "s", "z"],
            "counts": {},
            "context": {"n": 1, "m": 1},
        },
        everywhere=True,
    ),
    Case(
        claim="an any-join starts once though its predecessors come far apart",
        spec="An `any` join starts once per run",
        blueprint=graph("s > j", "s > a > b > c > j", "j > z", node("j", joinStrategy="any")),
        nodes={"s": gives(1), "a": echo, "b": echo, "c": echo, "j": counts_up("n"), "z": counts_up("m")},
        expect={
            "status": "completed",
            "executed": ["a", "b", "c", "j", "s", "z"],
            "counts": {},
            "context": {"n": 1, "m": 1},
        },
    ),
    Case(
        # The second edge hangs on what comes out of the join, so the first one is the one that started it.
        claim="an any-join has the value of the edge that started it",
        spec="5 and 6, any",
        blueprint=graph("s > j > k", edge("k", "j"), node("j", joinStrategy="any")),
        nodes={"s": gives("first"), "j": echo, "k": gives("second")},
        expect={"status": "completed", "outputs": {"s": "first", "j": "first", "k": "second"}, "counts": {}},
    ),
    Case(
        claim="an any-join starts with the only branch taken",
        spec="6, any",
        blueprint=diamond(joinStrategy="any", left=NO),
        nodes=NODES,
        expect={
            "status": "completed",
            "executed": ["j", "r", "s", "z"],
            "skipped": ["l"],
            "outputs_has": {"j": {"left": None, "right": "R"}},
        },
    ),
    Case(
        claim="an any-join is skipped when no branch is taken",
        spec="6, any; Dead paths",
        blueprint=diamond(joinStrategy="any", left=NO, right=NO),
        nodes=NODES,
        expect={"status": "completed", "executed": ["s"], "skipped": ["j", "l", "r", "z"]},
    ),
    Case(
        claim="an any-join of one predecessor is a plain successor",
        spec="6, any",
        blueprint=graph("a > b", node("b", joinStrategy="any")),
        nodes={"a": gives(1), "b": echo},
        expect={"status": "completed", "outputs": {"a": 1, "b": 1}},
    ),
    Case(
        claim="an any-join that starts the run is a start node",
        spec="3 and 6",
        blueprint=graph(node("a", joinStrategy="any"), "a > b"),
        nodes={"a": gives(1), "b": echo},
        expect={"status": "completed", "executed": ["a", "b"]},
    ),
    Case(
        claim="an all-join behind any-joins starts once",
        spec="6",
        blueprint=graph(
            "s > a",
            "s > b",
            "a > x",
            "b > x",
            "a > y",
            "b > y",
            "x > j",
            "y > j",
            node("x", joinStrategy="any"),
            node("y", joinStrategy="any"),
        ),
        nodes={"s": gives(1), "a": echo, "b": echo, "x": echo, "y": echo, "j": counts_up("n")},
        expect={"status": "completed", "counts": {}, "context": {"n": 1}},
    ),
]

OURS = [
    Case(
        claim="a join of 2 of 3 starts once",
        spec="issue, 6: n_of_m",
        blueprint=graph("s > a > j", "s > b > j", "s > c > j", "j > z", node("j", joinStrategy="n_of_m", joinCount=2)),
        nodes={"s": gives(1), "a": echo, "b": echo, "c": echo, "j": counts_up("n"), "z": counts_up("m")},
        expect={
            "status": "completed",
            "executed": ["a", "b", "c", "j", "s", "z"],
            "counts": {},
            "context": {"n": 1, "m": 1},
        },
    ),
    Case(
        claim="a join of 2 of 3 starts though one fails",
        spec="issue, 6: n_of_m",
        blueprint=graph("s > a > j", "s > b > j", "s > c > j", node("j", joinStrategy="n_of_m", joinCount=2)),
        nodes={"s": gives(1), "a": echo, "b": fails(), "c": echo, "j": counts_up("n")},
        expect={"status": "failed", "errors": ["b"], "executed": ["a", "b", "c", "j", "s"], "context": {"n": 1}},
    ),
    Case(
        claim="a join of 2 of 3 does not start when two fail",
        spec="issue, 6: n_of_m",
        blueprint=graph("s > a > j", "s > b > j", "s > c > j", node("j", joinStrategy="n_of_m", joinCount=2)),
        nodes={"s": gives(1), "a": fails(), "b": fails(), "c": echo, "j": counts_up("n")},
        expect={"status": "failed", "errors": ["a", "b"], "executed": ["a", "b", "c", "s"], "skipped": ["j"]},
    ),
    Case(
        claim="a join of 2 of 3 is skipped when only one is taken",
        spec="issue, 6: n_of_m; Dead paths",
        blueprint=graph(
            "s > a > j",
            edge("s", "b", condition="no"),
            edge("s", "c", condition="no"),
            "b > j",
            "c > j",
            node("j", joinStrategy="n_of_m", joinCount=2),
        ),
        nodes={"s": gives(1), "a": echo, "b": echo, "c": echo, "j": echo},
        expect={"status": "completed", "executed": ["a", "s"], "skipped": ["b", "c", "j"]},
    ),
    Case(
        claim="a join of what has settled goes on behind a failure",
        spec="issue, 6: all_settled",
        blueprint=diamond(joinStrategy="all_settled"),
        nodes={**NODES, "r": fails()},
        expect={
            "status": "failed",
            "errors": ["r"],
            "executed": ["j", "l", "r", "s", "z"],
            "outputs_has": {"j": {"left": "L", "right": None}},
        },
    ),
    Case(
        claim="a join of what has settled goes on behind a branch not taken",
        spec="issue, 6: all_settled",
        blueprint=diamond(joinStrategy="all_settled", right=NO),
        nodes=NODES,
        expect={"status": "completed", "skipped": ["r"], "outputs_has": {"j": {"left": "L", "right": None}}},
    ),
    Case(
        claim="a join of what has settled waits for all",
        spec="issue, 6: all_settled",
        blueprint=diamond(joinStrategy="all_settled"),
        nodes=NODES,
        expect={"status": "completed", "outputs_has": {"j": {"left": "L", "right": "R"}}, "counts": {}},
    ),
    Case(
        claim="a join of what has settled is skipped when nothing was taken",
        spec="issue, 6: all_settled; Dead paths",
        blueprint=diamond(joinStrategy="all_settled", left=NO, right=NO),
        nodes=NODES,
        expect={"status": "completed", "skipped": ["j", "l", "r", "z"]},
    ),
    Case(
        claim="a loser of an any-join is left waiting",
        spec="issue, 6: Late losers of any: left running",
        blueprint=graph("s > a > j", "s > w > j", node("w", "wait"), node("j", joinStrategy="any", joinLosers="keep")),
        nodes={"s": gives(1), "a": echo, "j": echo},
        expect={"status": "awaiting", "awaiting": ["w"], "executed": ["a", "j", "s", "w"], "outputs_has": {"j": 1}},
    ),
    Case(
        claim="a loser of an any-join is cancelled where that is declared",
        spec="issue, 6: Late losers of any: or cancelled, as declared",
        blueprint=graph(
            "s > a > b > j", "s > w > j", node("w", "wait"), node("j", joinStrategy="any", joinLosers="cancel")
        ),
        nodes={"s": gives(1), "a": echo, "b": echo, "j": echo},
        expect={"status": "completed", "executed_has": ["a", "b", "j", "s"], "errors": [], "awaiting": []},
    ),
]

CASES = [*ALL, *DEAD, *FAILED, *ANY, *OURS]
