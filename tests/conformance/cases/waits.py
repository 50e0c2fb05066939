"""Sections 9 and 10: sleep, wait, and what a resume does."""

from __future__ import annotations

from typing import Any

from conformance.case import (
    Case,
    acts,
    counts_up,
    echo,
    edge,
    fails,
    fails_until,
    gives,
    graph,
    node,
    nothing,
    reads,
    writes,
)

W = node("w", "wait")
N = {"s": gives("S"), "z": echo, "a": echo, "b": echo}


def waits(*parts: Any) -> Any:
    return graph(W, "s > w > z", *parts)


WAIT = [
    Case(
        claim="a run waits at a wait",
        spec="9, wait: the run becomes awaiting at this node",
        blueprint=waits(),
        nodes=N,
        initial={"k": 1},
        expect={
            "status": "awaiting",
            "awaiting": ["w"],
            "executed": ["s", "w"],
            "outputs": {"s": "S"},
            "context": {"k": 1},
            "errors": [],
            "skipped": [],
        },
        everywhere=True,
    ),
    Case(
        claim="the output of a resume is the output of the wait",
        spec="10: The node's output becomes the given output; then its edges fire",
        blueprint=waits(),
        nodes=N,
        resume=[{"output": {"approved": True}}],
        expect={
            "status": "completed",
            "awaiting": [],
            "executed": ["s", "w", "z"],
            "counts": {},
            "outputs": {"s": "S", "w": {"approved": True}, "z": {"approved": True}},
        },
        everywhere=True,
    ),
    *(
        Case(
            claim=f"a resume may bring {value!r}",
            spec="10: null counts as given",
            blueprint=waits(),
            nodes=N,
            resume=[{"output": value}],
            expect={"status": "completed", "outputs": {"s": "S", "w": value, "z": value}},
        )
        for value in (None, 0, "", False, [], {}, "text", [1, {"x": None}])
    ),
    Case(
        claim="a resume without output lets a wait go on",
        spec="10: else what it had",
        blueprint=waits(),
        nodes={**N, "z": gives("Z")},
        resume=[{}],
        expect={"status": "completed", "outputs_has": {"z": "Z"}, "executed": ["s", "w", "z"]},
    ),
    Case(
        claim="a wait may start the run",
        spec="9, wait",
        blueprint=graph(W, "w > z"),
        nodes=N,
        resume=[{"output": 1}],
        expect={"status": "completed", "outputs": {"w": 1, "z": 1}},
    ),
    Case(
        claim="a wait may end the run",
        spec="9, wait",
        blueprint=graph(W, "s > w"),
        nodes=N,
        resume=[{"output": 1}],
        expect={"status": "completed", "outputs": {"s": "S", "w": 1}, "executed": ["s", "w"]},
    ),
    Case(
        claim="a run of a single wait",
        spec="9, wait; 10",
        blueprint=graph(W),
        resume=[{"output": 1}],
        expect={"status": "completed", "outputs": {"w": 1}, "executed": ["w"]},
    ),
    Case(
        claim="a wait in a branch that was not taken does not wait",
        spec="Dead paths",
        blueprint=graph(W, edge("s", "w", condition="no"), "w > z", "s > z"),
        nodes=N,
        expect={"status": "completed", "executed": ["s", "z"], "skipped": ["w"], "awaiting": []},
    ),
    Case(
        claim="a wait behind a failure does not wait",
        spec="8; 9",
        blueprint=waits(),
        nodes={**N, "s": fails()},
        expect={"status": "failed", "executed": ["s"], "awaiting": []},
    ),
    Case(
        claim="conditions behind a wait see what the resume brought",
        spec="4; 10: then its edges fire",
        blueprint=graph(
            W, "s > w", edge("w", "a", condition="result.output.approved"), edge("w", "b", condition="w.rejected")
        ),
        nodes=N,
        resume=[{"output": {"approved": True, "rejected": False}}],
        expect={"status": "completed", "executed": ["a", "s", "w"], "skipped": ["b"]},
    ),
    Case(
        claim="a transform behind a wait takes from what the resume brought",
        spec="5; 10",
        blueprint=graph(W, "s > w", edge("w", "z", transform="input.by")),
        nodes=N,
        resume=[{"output": {"by": "Ada"}}],
        expect={"status": "completed", "outputs_has": {"z": "Ada"}},
    ),
    Case(
        claim="later nodes read the wait by their inputs and from the context",
        spec="2; 7; 10",
        blueprint=graph(W, "s > w > a > z", node("z", inputs={"by": "w.by", "k": "k"})),
        nodes={**N, "a": reads("w")},
        initial={"k": 1},
        resume=[{"output": {"by": "Ada"}}],
        expect={"status": "completed", "outputs_has": {"a": {"by": "Ada"}, "z": {"by": "Ada", "k": 1}}},
    ),
    Case(
        claim="a context key of the wait's name is overwritten by the resume",
        spec="2; 10",
        blueprint=waits(),
        nodes={**N, "z": reads("w")},
        initial={"w": "before"},
        resume=[{"output": "after"}],
        expect={"outputs_has": {"z": "after"}},
    ),
    Case(
        claim="a wait joins its predecessors first",
        spec="6; 9",
        blueprint=graph(W, "s > a > w", "s > b > c > w", "w > z"),
        nodes={**N, "c": echo},
        resume=[{"output": 1}],
        expect={"status": "completed", "executed": ["a", "b", "c", "s", "w", "z"], "counts": {}},
    ),
]

ACTION = [
    *(
        Case(
            claim=f"a resume with the action {action!r} takes its edge",
            spec="10 [R]: the resume action is dropped; it selects action edges like a result's action",
            blueprint=graph(
                W, "s > w", edge("w", "a", action="approve"), edge("w", "b", action="reject"), edge("w", "z")
            ),
            nodes=N,
            resume=[{"output": 1, "action": action}],
            expect={
                "status": "completed",
                "executed": sorted(["s", "w", taken]),
                "skipped": sorted({"a", "b", "z"} - {taken}),
                "outputs": {"s": "S", "w": 1, taken: 1},
            },
            everywhere=action == "reject",
        )
        for action, taken in (("approve", "a"), ("reject", "b"), ("unknown", "z"), ("Approve", "z"), ("", "z"))
    ),
    Case(
        claim="a resume without action takes the default edges",
        spec="10 [R]; 4.4",
        blueprint=graph(W, "s > w", edge("w", "a", action="approve"), edge("w", "z")),
        nodes=N,
        resume=[{"output": 1}],
        expect={"status": "completed", "executed": ["s", "w", "z"], "skipped": ["a"]},
    ),
    Case(
        claim="a resume without action where all edges have one ends the branch",
        spec="10 [R]; 4.5 [R]",
        blueprint=graph(W, "s > w", edge("w", "a", action="approve"), edge("w", "b", action="reject")),
        nodes=N,
        resume=[{"output": 1}],
        expect={"status": "completed", "executed": ["s", "w"], "skipped": ["a", "b"]},
    ),
    Case(
        claim="a resume with an action and no output",
        spec="10: resume(run, output?, action?)",
        blueprint=graph(W, "s > w", edge("w", "a", action="approve"), edge("w", "b", action="reject")),
        nodes={**N, "a": gives("A")},
        resume=[{"action": "approve"}],
        expect={"status": "completed", "executed": ["a", "s", "w"], "skipped": ["b"], "outputs_has": {"a": "A"}},
    ),
    Case(
        claim="a diamond behind a resumed wait joins, whichever branch was chosen",
        spec="10 [R]; Dead paths",
        blueprint=graph(
            W, "s > w", edge("w", "a", action="approve"), edge("w", "b", action="reject"), "a > j", "b > j"
        ),
        nodes={**N, "j": echo},
        resume=[{"output": 1, "action": "reject"}],
        expect={"status": "completed", "executed": ["b", "j", "s", "w"], "skipped": ["a"], "outputs_has": {"j": 1}},
    ),
    Case(
        claim="branches that were not taken before the pause stay so after it",
        spec="10 [R]: action branches not taken earlier are started",
        blueprint=graph(W, edge("s", "a", action="x"), edge("s", "b", action="y"), "a > w > z"),
        nodes={**N, "s": acts("x")},
        resume=[{"output": 1}],
        expect={"status": "completed", "executed": ["a", "s", "w", "z"], "skipped": ["b"]},
        everywhere=True,
    ),
    Case(
        claim="a condition that was false before the pause is not asked again after it",
        spec="10 [R]: branches not taken earlier are started",
        blueprint=graph(W, edge("s", "b", condition="w"), "s > w > z"),
        nodes=N,
        resume=[{"output": True}],
        expect={"status": "completed", "executed": ["s", "w", "z"], "skipped": ["b"]},
    ),
]

OTHERS = [
    Case(
        claim="other branches go on while one waits",
        spec="10 [R]: one awaiting node stops all other branches until resumed",
        blueprint=waits("s > a > b > c"),
        nodes={**N, "c": echo},
        expect={
            "status": "awaiting",
            "awaiting": ["w"],
            "executed": ["a", "b", "c", "s", "w"],
            "outputs": {"s": "S", "a": "S", "b": "S", "c": "S"},
        },
        everywhere=True,
    ),
    Case(
        claim="no node that has completed runs again after a resume",
        spec="10: no node already completed runs again",
        blueprint=waits("s > a > b"),
        nodes={"s": counts_up("s_ran"), "a": counts_up("a_ran"), "b": counts_up("b_ran"), "z": counts_up("z_ran")},
        resume=[{}],
        expect={
            "status": "completed",
            "counts": {},
            "context": {"s_ran": 1, "a_ran": 1, "b_ran": 1, "z_ran": 1},
        },
        everywhere=True,
    ),
    Case(
        claim="nodes with an absent output do not run again after a resume",
        spec="10 [R]: nodes with absent output run again",
        blueprint=graph(W, "s > p > w > z", "s > q"),
        nodes={"s": nothing, "p": writes({"p_ran": True}), "q": nothing, "z": gives("Z")},
        resume=[{}],
        expect={"status": "completed", "counts": {}, "executed": ["p", "q", "s", "w", "z"]},
    ),
    Case(
        claim="a join behind a wait starts when both have come",
        spec="10 [R]: joins after the resumed node are not checked",
        blueprint=graph(W, "s > w > j", "s > a > j", node("j", "echo", inputs={"w": "w", "a": "a"}), "j > z"),
        nodes={**N, "a": gives("A"), "echo": echo},
        resume=[{"output": "W"}],
        expect={
            "status": "completed",
            "outputs_has": {"j": {"w": "W", "a": "A"}},
            "executed": ["a", "j", "s", "w", "z"],
            "counts": {},
        },
        everywhere=True,
    ),
    Case(
        claim="a join behind a wait waits",
        spec="6; 10",
        blueprint=graph(W, "s > w > j", "s > a > j"),
        nodes={**N, "j": echo},
        expect={"status": "awaiting", "awaiting": ["w"], "executed": ["a", "s", "w"]},
    ),
    Case(
        claim="an any-join behind a wait does not wait for it, and starts once",
        spec="6; 10; An any join starts once per run",
        blueprint=graph(W, "s > w > j", "s > a > j", node("j", joinStrategy="any")),
        nodes={**N, "j": counts_up("n")},
        resume=[{"output": 1}],
        expect={"status": "completed", "executed": ["a", "j", "s", "w"], "counts": {}, "context": {"n": 1}},
    ),
    Case(
        claim="a wait in parallel with a diamond",
        spec="10 [R]",
        blueprint=graph(
            W, "s > w > j", "s > p", edge("p", "a", action="a"), edge("p", "b", action="b"), "a > q", "b > q", "q > j"
        ),
        nodes={**N, "p": acts("b"), "q": echo, "j": gives("J")},
        resume=[{"output": 1}],
        expect={"status": "completed", "executed": ["b", "j", "p", "q", "s", "w"], "skipped": ["a"], "counts": {}},
    ),
    Case(
        claim="two waits wait side by side",
        spec="10 [R]; 2: _awaitingNodeIds (list)",
        blueprint=graph(W, node("v", "wait"), "s > w", "s > v"),
        nodes=N,
        expect={"status": "awaiting", "awaiting": ["v", "w"], "executed": ["s", "v", "w"]},
        everywhere=True,
    ),
    Case(
        claim="one of two waits is resumed by its name, and the other waits on",
        spec="10: resume(node); [R] other waiting nodes are started again",
        blueprint=graph(W, node("v", "wait"), "s > w > a", "s > v > b"),
        nodes=N,
        resume=[{"node": "w", "output": 1}],
        expect={
            "status": "awaiting",
            "awaiting": ["v"],
            "executed": ["a", "s", "v", "w"],
            "counts": {},
            "outputs": {"s": "S", "w": 1, "a": 1},
        },
        everywhere=True,
    ),
    Case(
        claim="the second of two waits is resumed by its name, and the first waits on",
        spec="10: resume(node)",
        blueprint=graph(W, node("v", "wait"), "s > w > a", "s > v > b"),
        nodes=N,
        resume=[{"node": "v", "output": 1}],
        expect={"status": "awaiting", "awaiting": ["w"], "executed": ["b", "s", "v", "w"]},
    ),
    Case(
        claim="two waits are resumed in any order, each with its own output",
        spec="10: resume(node)",
        blueprint=graph(W, node("v", "wait"), "s > w > j", "s > v > j", node("j", "echo", inputs={"w": "w", "v": "v"})),
        nodes={**N, "echo": echo},
        resume=[{"node": "v", "output": "V"}, {"node": "w", "output": "W"}],
        expect={"status": "completed", "outputs_has": {"j": {"w": "W", "v": "V"}}, "counts": {}},
        everywhere=True,
    ),
    Case(
        claim="two waits are resumed without names, one after another",
        spec="10: node = first awaiting node",
        blueprint=graph(W, node("v", "wait"), "s > w > a", "s > v > b"),
        nodes=N,
        resume=[{"output": 1}, {"output": 1}],
        expect={
            "status": "completed",
            "executed": ["a", "b", "s", "v", "w"],
            "outputs_has": {"a": 1, "b": 1},
            "counts": {},
        },
    ),
    Case(
        claim="a resumed node without successors does not end a run in which another waits",
        spec="10 [R]: a resumed node without successors ends the run at once",
        blueprint=graph(W, node("v", "wait"), "s > w", "s > v > b"),
        nodes=N,
        resume=[{"node": "w", "output": 1}],
        expect={"status": "awaiting", "awaiting": ["v"], "executed": ["s", "v", "w"]},
    ),
    Case(
        claim="after a resumed node without successors the other branch goes to its end",
        spec="10 [R]: a resumed node without successors ends the run at once",
        blueprint=graph(W, node("v", "wait"), "s > w", "s > v > b"),
        nodes=N,
        resume=[{"node": "w", "output": 1}, {"node": "v", "output": 2}],
        expect={"status": "completed", "outputs": {"s": "S", "w": 1, "v": 2, "b": 2}},
    ),
    Case(
        claim="a run waits again at a second wait",
        spec="10: A node may await again later (sequence)",
        blueprint=graph(W, node("v", "wait"), "s > w > a > v > z"),
        nodes=N,
        resume=[{"output": 1}],
        expect={
            "status": "awaiting",
            "awaiting": ["v"],
            "executed": ["a", "s", "v", "w"],
            "outputs": {"s": "S", "w": 1, "a": 1},
        },
    ),
    Case(
        claim="a second wait has its own resume",
        spec="10: A node may await again later (sequence)",
        blueprint=graph(W, node("v", "wait"), "s > w > v > z"),
        nodes=N,
        resume=[{"output": 1}, {"output": 2}],
        expect={"status": "completed", "outputs": {"s": "S", "w": 1, "v": 2, "z": 2}, "counts": {}},
        everywhere=True,
    ),
    Case(
        claim="the context survives the pause",
        spec="10: context and completed nodes survive the pause",
        blueprint=waits(node("z", inputs={"s": "s", "k": "k", "m": "m"})),
        nodes={"s": writes({"k": [1]}, {"n": 1}), "z": echo},
        initial={"m": 0},
        resume=[{"output": 1}],
        expect={"outputs_has": {"z": {"s": {"n": 1}, "k": [1], "m": 0}}, "context": {"k": [1], "m": 0}},
    ),
    Case(
        claim="a failure before the pause is not forgotten, nor tried again",
        spec="10 [R]: failures before the pause are forgotten and retried",
        blueprint=waits("s > a > b"),
        nodes={**N, "a": fails()},
        resume=[{"output": 1}],
        expect={
            "status": "failed",
            "errors": ["a"],
            "executed": ["a", "s", "w", "z"],
            "counts": {},
            "attempts": {},
            "skipped": ["b"],
        },
        everywhere=True,
    ),
    Case(
        claim="a failed branch blocks the join behind a wait also after the pause",
        spec="10 [R]; 6",
        blueprint=graph(W, "s > w > j", "s > a > j"),
        nodes={**N, "a": fails(), "j": echo},
        resume=[{"output": 1}],
        expect={"status": "failed", "errors": ["a"], "executed": ["a", "s", "w"], "skipped": ["j"]},
    ),
    Case(
        claim="a failure after the pause fails the run",
        spec="8; 10",
        blueprint=waits(),
        nodes={**N, "z": fails()},
        resume=[{"output": 1}],
        expect={"status": "failed", "errors": ["z"], "outputs": {"s": "S", "w": 1}},
    ),
    Case(
        claim="a node after the pause is tried again as usual",
        spec="8; 10",
        blueprint=waits(node("z", maxRetries=2)),
        nodes={**N, "z": fails_until(2, "Z")},
        resume=[{}],
        expect={"status": "completed", "attempts": {"z": 2}, "outputs_has": {"z": "Z"}},
    ),
    Case(
        claim="a fallback that was used before the pause is not used again",
        spec="8; 10",
        blueprint=graph(node("a", fallback="f"), "f", W, "s > a > w > z"),
        nodes={**N, "a": fails(), "f": counts_up("n")},
        resume=[{"output": 1}],
        expect={"status": "completed", "counts": {}, "context": {"n": 1}, "executed": ["a", "f", "s", "w", "z"]},
    ),
    Case(
        claim="a fallback may wait",
        spec="8; 9",
        blueprint=graph(node("a", fallback="w"), W, "s > a > z"),
        nodes={**N, "a": fails()},
        resume=[{"output": "by hand"}],
        expect={"status": "completed", "errors": [], "outputs_has": {"a": None, "w": "by hand", "z": "by hand"}},
    ),
    Case(
        claim="resumes that are left when the run has ended do nothing",
        spec="10: Refused when the run is not awaiting; issue: each time the run waits",
        blueprint=waits(),
        nodes=N,
        resume=[{"output": 1}, {"output": 2}, {"output": 3}],
        expect={"status": "completed", "outputs": {"s": "S", "w": 1, "z": 1}, "counts": {}},
    ),
    Case(
        claim="a cancelled run that would have waited",
        spec="3; 10",
        blueprint=waits(),
        nodes=N,
        cancel={"before": True},
        resume=[{"output": 1}],
        expect={"status": "cancelled", "executed": [], "awaiting": []},
    ),
]


def sleeps(duration: Any, *parts: Any) -> Any:
    return graph(node("n", "sleep", {"duration": duration}), "s > n > z", *parts)


SLEEP = [
    Case(
        claim="a run waits at a sleep",
        spec="9, sleep: awaits",
        blueprint=sleeps("1h"),
        nodes=N,
        expect={"status": "awaiting", "awaiting": ["n"], "executed": ["n", "s"]},
    ),
    Case(
        claim="the output of a sleep is its input",
        spec="9, sleep: its output is its input",
        blueprint=sleeps(30),
        nodes=N,
        resume=[{}],
        expect={
            "status": "completed",
            "outputs": {"s": "S", "n": "S", "z": "S"},
            "executed": ["n", "s", "z"],
            "counts": {},
        },
        everywhere=True,
    ),
    *(
        Case(
            claim=f"a sleep may last {duration!r}",
            spec="9, sleep: ms number >= 0 or <digits> + s|m|h|d",
            blueprint=sleeps(duration),
            nodes=N,
            resume=[{}],
            expect={"status": "completed", "outputs": {"s": "S", "n": "S", "z": "S"}, "errors": []},
        )
        for duration in (0, 1, 1500, 0.5, "0s", "1s", "10s", "5m", "2h", "1d", "090s", "365d")
    ),
    *(
        Case(
            claim=f"a sleep cannot last {duration!r}",
            spec="9, sleep: anything else fails",
            blueprint=sleeps(duration),
            nodes=N,
            resume=[{}],
            expect={"status": "failed", "errors": ["n"], "executed_without": ["z"], "awaiting": []},
        )
        for duration in (
            -1,
            -0.5,
            "",
            "10",
            "s",
            "10x",
            "10ms",
            "1.5s",
            "-1s",
            "10 s",
            " 10s",
            "10s ",
            "10S",
            "1h30m",
            "1w",
            "ten",
            "\uff11s",
            True,
            None,
            [],
            {"seconds": 1},
        )
    ),
    Case(
        claim="a sleep without duration fails",
        spec="9, sleep: anything else fails",
        blueprint=graph(node("n", "sleep", {}), "s > n > z"),
        nodes=N,
        resume=[{}],
        expect={"status": "failed", "errors": ["n"], "executed_without": ["z"]},
    ),
    Case(
        claim="a bad duration is a failure that a fallback handles",
        spec="8, Fallback; 9, sleep",
        blueprint=graph(node("n", "sleep", {"duration": "soon"}, fallback="f"), "s > n > z", "f"),
        nodes={**N, "f": gives("F")},
        expect={"status": "completed", "errors": [], "outputs_has": {"z": "F"}},
    ),
    Case(
        claim="a resume with an output replaces what a sleep had",
        spec="10: The node's output becomes the given output",
        blueprint=sleeps("1h"),
        nodes=N,
        resume=[{"output": "woken"}],
        expect={"status": "completed", "outputs": {"s": "S", "n": "woken", "z": "woken"}},
    ),
    Case(
        claim="a resume with null replaces what a sleep had",
        spec="10: null counts as given; else what it had: for sleep its input",
        blueprint=sleeps("1h"),
        nodes=N,
        resume=[{"output": None}],
        expect={"status": "completed", "outputs": {"s": "S", "n": None, "z": None}},
    ),
    Case(
        claim="an action wakes a sleep into its edge",
        spec="10 [R]: it selects action edges",
        blueprint=graph(
            node("n", "sleep", {"duration": "1h"}), "s > n", edge("n", "a", action="early"), edge("n", "z")
        ),
        nodes=N,
        resume=[{"action": "early"}],
        expect={"status": "completed", "executed": ["a", "n", "s"], "skipped": ["z"], "outputs_has": {"a": "S"}},
    ),
    Case(
        claim="a sleep reads its own inputs",
        spec="7; 9, sleep: its output is its input",
        blueprint=graph(node("n", "sleep", {"duration": 10}, inputs={"s": "s", "k": "k"}), "s > n > z"),
        nodes=N,
        initial={"k": 1},
        resume=[{}],
        expect={"status": "completed", "outputs_has": {"n": {"s": "S", "k": 1}, "z": {"s": "S", "k": 1}}},
    ),
    Case(
        claim="a sleep that starts the run has nothing to hand on",
        spec="9, sleep: its output is its input",
        blueprint=graph(node("n", "sleep", {"duration": 10}), "n > z"),
        nodes=N,
        resume=[{}],
        expect={"status": "completed", "outputs": {"n": None, "z": None}},
    ),
    Case(
        claim="other branches go on while one sleeps",
        spec="10 [R]: one awaiting node stops all other branches until resumed",
        blueprint=sleeps("1h", "s > a > b"),
        nodes=N,
        expect={"status": "awaiting", "awaiting": ["n"], "executed": ["a", "b", "n", "s"]},
    ),
    Case(
        claim="a sleep and a branch beside it join",
        spec="6; 9, sleep",
        blueprint=graph(
            node("n", "sleep", {"duration": 10}),
            "s > n > j",
            "s > a > j",
            node("j", "echo", inputs={"n": "n", "a": "a"}),
        ),
        nodes={**N, "a": gives("A"), "echo": echo},
        resume=[{}],
        expect={"status": "completed", "outputs_has": {"j": {"n": "S", "a": "A"}}, "counts": {}},
    ),
    Case(
        claim="a sleep, then a wait",
        spec="9; 10",
        blueprint=graph(node("n", "sleep", {"duration": 10}), W, "s > n > w > z"),
        nodes=N,
        resume=[{}, {"output": "W"}],
        expect={"status": "completed", "outputs": {"s": "S", "n": "S", "w": "W", "z": "W"}},
    ),
    Case(
        claim="two sleeps one after another",
        spec="9, sleep; 10",
        blueprint=graph(node("n", "sleep", {"duration": 10}), node("m", "sleep", {"duration": "1s"}), "s > n > m > z"),
        nodes=N,
        resume=[{}, {}],
        expect={"status": "completed", "outputs": {"s": "S", "n": "S", "m": "S", "z": "S"}, "counts": {}},
    ),
]

CASES = [*WAIT, *ACTION, *OTHERS, *SLEEP]
