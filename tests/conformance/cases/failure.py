"""Section 8: failures, retries, fallbacks, timeouts; and what famulus adds to them."""

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
    hangs,
    node,
    notes,
    writes,
)

from famulus.errors import NonRetryableError


async def hangs_once(ctx: Any) -> Any:
    return await hangs(ctx) if ctx.attempt == 1 else "in time"


def guarded(*more: Any, **config: Any) -> dict[str, Any]:
    """`s > a > b`, where `f` stands in for `a`."""
    return graph(node("s"), node("a", fallback="f", **config), node("b"), node("f"), "s > a > b", *more)


G = {"s": gives("S"), "a": fails(), "b": echo, "f": gives("F"), "c": echo}

PLAIN = [
    Case(
        claim="a failed node has no output, and its successors do not start",
        spec="8: A failed node has no output",
        blueprint=graph("s > a > b > c"),
        nodes={"s": gives(1), "a": fails(), "b": echo, "c": echo},
        expect={
            "status": "failed",
            "errors": ["a"],
            "outputs": {"s": 1},
            "executed": ["a", "s"],
            "skipped": ["b", "c"],
            "counts": {},
            "attempts": {},
        },
        everywhere=True,
    ),
    *(
        Case(
            claim=f"a {kind.__name__} is a failure like any other",
            spec="8: A raised error",
            blueprint=graph("a > b"),
            nodes={"a": fails("x", kind), "b": echo},
            expect={"status": "failed", "errors": ["a"], "executed": ["a"]},
        )
        for kind in (RuntimeError, KeyError, TypeError, AssertionError, ZeroDivisionError, TimeoutError)
    ),
    Case(
        claim="independent branches run to their end",
        spec="8: independent branches run to their end",
        blueprint=graph("s > a > b", "s > x > y > z", "p > q"),
        nodes={"s": gives(1), "a": fails(), **dict.fromkeys("bxyz", echo), "p": gives(2), "q": echo},
        expect={
            "status": "failed",
            "errors": ["a"],
            "executed": ["a", "p", "q", "s", "x", "y", "z"],
            "skipped": ["b"],
            "outputs": {"s": 1, "x": 1, "y": 1, "z": 1, "p": 2, "q": 2},
        },
        everywhere=True,
    ),
    Case(
        claim="several failures are all named",
        spec="8; 11: Errors carry the failed node's id",
        blueprint=graph("s > z", "s > m", "s > a", "s > ok"),
        nodes={"s": gives(1), "z": fails(), "m": fails(), "a": fails(), "ok": gives(2)},
        expect={"status": "failed", "errors": ["a", "m", "z"], "outputs": {"s": 1, "ok": 2}},
    ),
    Case(
        claim="a failed start node leaves other start nodes alone",
        spec="8",
        blueprint=graph("a > b", "x > y"),
        nodes={"a": fails(), "b": echo, "x": gives(1), "y": echo},
        expect={"status": "failed", "errors": ["a"], "outputs": {"x": 1, "y": 1}, "skipped": ["b"]},
    ),
    Case(
        claim="context writes stay after a failure",
        spec="8: context writes stay",
        blueprint=graph("s > a", "s > x"),
        nodes={"s": writes({"k": 1}), "a": fails(), "x": writes({"m": 2})},
        expect={"status": "failed", "context": {"k": 1, "m": 2}},
    ),
]

RETRY = [
    Case(
        claim="maxRetries is the number of attempts in all, and the last may succeed",
        spec="8: retried until maxRetries attempts are used",
        blueprint=graph(node("a", maxRetries=3), "a > b"),
        nodes={"a": fails_until(3, "A"), "b": echo},
        expect={
            "status": "completed",
            "outputs": {"a": "A", "b": "A"},
            "attempts": {"a": 3},
            "counts": {},
            "errors": [],
            "executed": ["a", "b"],
        },
        everywhere=True,
    ),
    Case(
        claim="after maxRetries attempts a node has failed",
        spec="8: until maxRetries attempts are used",
        blueprint=graph(node("a", maxRetries=3), "a > b"),
        nodes={"a": fails_until(4), "b": echo},
        expect={
            "status": "failed",
            "errors": ["a"],
            "attempts": {"a": 3},
            "counts": {},
            "executed": ["a"],
            "outputs": {},
        },
        everywhere=True,
    ),
    Case(
        claim="two attempts",
        spec="1, maxRetries: total number of ATTEMPTS",
        blueprint=graph(node("a", maxRetries=2)),
        nodes={"a": fails_until(2, "A")},
        expect={"status": "completed", "attempts": {"a": 2}, "outputs": {"a": "A"}},
    ),
    Case(
        claim="two attempts are not three",
        spec="1, maxRetries: total number of ATTEMPTS",
        blueprint=graph(node("a", maxRetries=2)),
        nodes={"a": fails_until(3, "A")},
        expect={"status": "failed", "attempts": {"a": 2}},
    ),
    Case(
        claim="one attempt is no retry",
        spec="1, maxRetries: total number of ATTEMPTS",
        blueprint=graph(node("a", maxRetries=1)),
        nodes={"a": fails_until(2, "A")},
        expect={"status": "failed", "attempts": {}, "errors": ["a"]},
    ),
    Case(
        claim="zero attempts mean one that may succeed",
        spec="8 [R]: treat as 1",
        blueprint=graph(node("a", maxRetries=0), "a > b"),
        nodes={"a": gives("A"), "b": echo},
        expect={"status": "completed", "outputs": {"a": "A", "b": "A"}, "attempts": {}, "errors": []},
        everywhere=True,
    ),
    Case(
        claim="zero attempts mean one that may fail",
        spec="8 [R]: treat as 1",
        blueprint=graph(node("a", maxRetries=0)),
        nodes={"a": fails_until(2, "A")},
        expect={"status": "failed", "errors": ["a"], "executed": ["a"], "attempts": {}},
    ),
    Case(
        claim="a success is not tried again",
        spec="8",
        blueprint=graph(node("a", maxRetries=5)),
        nodes={"a": counts_up("n")},
        expect={"status": "completed", "attempts": {}, "context": {"n": 1}},
    ),
    Case(
        claim="a retry runs nothing else again",
        spec="8; issue: a retry is no new start",
        blueprint=graph("s > a > b", "s > x", node("a", maxRetries=4)),
        nodes={"s": counts_up("s_ran"), "a": fails_until(4, "A"), "b": counts_up("b_ran"), "x": counts_up("x_ran")},
        expect={
            "status": "completed",
            "attempts": {"a": 4},
            "counts": {},
            "context": {"s_ran": 1, "b_ran": 1, "x_ran": 1},
        },
    ),
    Case(
        claim="parallel nodes count their attempts each for itself",
        spec="8",
        blueprint=graph("s > a > j", "s > b > j", node("a", maxRetries=3), node("b", maxRetries=2)),
        nodes={"s": gives(1), "a": fails_until(3, "A"), "b": fails_until(2, "B"), "j": gives("J")},
        expect={"status": "completed", "attempts": {"a": 3, "b": 2}, "counts": {}, "executed": ["a", "b", "j", "s"]},
    ),
    Case(
        claim="a join waits for a predecessor that is tried again",
        spec="6; 8",
        blueprint=graph(
            "s > a > j", "s > b > j", node("a", maxRetries=3, retryDelay=20), node("j", inputs={"a": "a", "b": "b"})
        ),
        nodes={"s": gives(1), "a": fails_until(3, "A"), "b": gives("B"), "j": echo},
        expect={"status": "completed", "outputs_has": {"j": {"a": "A", "b": "B"}}, "attempts": {"a": 3}, "counts": {}},
        everywhere=True,
    ),
    Case(
        claim="the delay before a retry makes no run wait for a resume",
        spec="8 [R]: wait",
        blueprint=graph(node("a", maxRetries=3, retryDelay=3_600_000)),
        nodes={"a": fails_until(3, "A")},
        expect={"status": "completed", "attempts": {"a": 3}, "awaiting": []},
    ),
    Case(
        claim="while one node waits for its retry the others go on",
        spec="8; issue, 1: other runs go on",
        blueprint=graph("s > a > b", "s > x > y", node("a", maxRetries=2, retryDelay=50)),
        nodes={"s": gives(1), "a": fails_until(2, "A"), "b": echo, "x": echo, "y": echo},
        expect={"status": "completed", "outputs": {"s": 1, "a": "A", "b": "A", "x": 1, "y": 1}, "attempts": {"a": 2}},
    ),
    Case(
        claim="delays may grow",
        spec="issue, 1: exponential backoff with cap and jitter",
        blueprint=graph(
            node("a", maxRetries=5, retryDelay=10, retryBackoff=2, retryDelayMax=40, retryJitter=0.5),
        ),
        nodes={"a": fails_until(5, "A")},
        expect={"status": "completed", "attempts": {"a": 5}, "outputs": {"a": "A"}},
    ),
    Case(
        claim="a named error is tried again",
        spec="issue, 1: retry only on named error classes",
        blueprint=graph(node("a", maxRetries=3, retryOn=["ValueError"])),
        nodes={"a": fails_until(2, "A")},
        expect={"status": "completed", "attempts": {"a": 2}},
    ),
    Case(
        claim="an error that is not named is not tried again",
        spec="issue, 1: retry only on named error classes",
        blueprint=graph(node("a", maxRetries=3, retryOn=["KeyError", "OSError"])),
        nodes={"a": fails_until(2, "A")},
        expect={"status": "failed", "attempts": {}, "errors": ["a"]},
    ),
    Case(
        claim="an error whose base class is named is tried again",
        spec="interfaces: names of error classes, their base classes included",
        blueprint=graph(node("a", maxRetries=2, retryOn=["LookupError"])),
        nodes={"a": fails_until(2, "A", KeyError)},
        expect={"status": "completed", "attempts": {"a": 2}},
    ),
    Case(
        claim="an error that is never retried is not tried again",
        spec="issue, 1: never on named error classes",
        blueprint=graph(node("a", maxRetries=3, neverRetryOn=["ValueError"])),
        nodes={"a": fails_until(2, "A")},
        expect={"status": "failed", "attempts": {}, "errors": ["a"]},
    ),
    Case(
        claim="an error of another class than those never retried is tried again",
        spec="issue, 1: never on named error classes",
        blueprint=graph(node("a", maxRetries=3, neverRetryOn=["KeyError"])),
        nodes={"a": fails_until(2, "A")},
        expect={"status": "completed", "attempts": {"a": 2}},
    ),
    Case(
        claim="a NonRetryableError is not tried again",
        spec="issue, 1: NonRetryableError",
        blueprint=graph(node("a", maxRetries=3)),
        nodes={"a": fails_until(2, "A", NonRetryableError)},
        expect={"status": "failed", "attempts": {}, "errors": ["a"]},
    ),
    Case(
        claim="a NonRetryableError has its fallback all the same",
        spec="issue, 1; 8, Fallback",
        blueprint=guarded(maxRetries=3),
        nodes={**G, "a": fails("x", NonRetryableError)},
        expect={"status": "completed", "attempts": {}, "outputs": {"s": "S", "a": None, "f": "F", "b": "F"}},
    ),
]

TIMEOUT = [
    Case(
        claim="an attempt that takes longer than its timeout fails",
        spec="8 [R]: fail the attempt after timeout ms",
        blueprint=graph(node("a", timeout=50), "a > b"),
        nodes={"a": hangs, "b": echo},
        expect={"status": "failed", "errors": ["a"], "executed": ["a"], "outputs": {}},
        everywhere=True,
    ),
    Case(
        claim="an attempt within its timeout succeeds",
        spec="8 [R]",
        blueprint=graph(node("a", timeout=20_000), "a > b"),
        nodes={"a": gives(1), "b": echo},
        expect={"status": "completed", "outputs": {"a": 1, "b": 1}},
    ),
    Case(
        claim="an attempt that timed out is tried again",
        spec="8 [R]: timeout ms per attempt",
        blueprint=graph(node("a", timeout=50, maxRetries=2), "a > b"),
        nodes={"a": hangs_once, "b": echo},
        expect={"status": "completed", "attempts": {"a": 2}, "outputs": {"a": "in time", "b": "in time"}},
    ),
    Case(
        claim="a node that timed out has its fallback",
        spec="8",
        blueprint=guarded(timeout=50),
        nodes={**G, "a": hangs},
        expect={"status": "completed", "errors": [], "outputs": {"s": "S", "a": None, "f": "F", "b": "F"}},
    ),
]

UNKNOWN = [
    Case(
        claim="an implementation that is not registered fails the node",
        spec="8: An unknown `uses` fails the node when it is reached",
        blueprint=graph("a > b", node("b", "no-such-thing"), "b > c"),
        nodes={"a": gives(1), "c": echo},
        expect={"status": "failed", "errors": ["b"], "outputs": {"a": 1}, "executed_without": ["c"]},
    ),
    Case(
        claim="an implementation that is not registered fails nothing while it is not reached",
        spec="8: when it is reached",
        blueprint=graph("a", "b", node("c", "no-such-thing"), edge("a", "b"), edge("a", "c", condition="no")),
        nodes={"a": gives(1), "b": echo},
        expect={"status": "completed", "executed": ["a", "b"], "skipped": ["c"]},
    ),
    Case(
        claim="an implementation that is not registered has no retry",
        spec="8: fatal, no retry, no fallback",
        blueprint=graph("a > b", node("b", "no-such-thing", maxRetries=5)),
        nodes={"a": gives(1)},
        expect={"status": "failed", "errors": ["b"], "attempts": {}},
    ),
    Case(
        claim="an implementation that is not registered has no fallback",
        spec="8: fatal, no retry, no fallback",
        blueprint=graph("s", node("a", "no-such-thing", fallback="f"), "b", "f", "s > a > b"),
        nodes={"s": gives(1), "b": echo, "f": gives("F")},
        expect={"status": "failed", "errors": ["a"], "executed_without": ["b", "f"], "outputs": {"s": 1}},
    ),
    Case(
        claim="an implementation that is not registered leaves other branches alone",
        spec="8: independent branches run to their end",
        blueprint=graph("s > a", "s > x > y", node("a", "no-such-thing")),
        nodes={"s": gives(1), "x": echo, "y": echo},
        expect={"status": "failed", "errors": ["a"], "outputs": {"s": 1, "x": 1, "y": 1}},
    ),
    Case(
        claim="a subflow without blueprintId fails, without retry and without fallback",
        spec="8: Likewise a subflow without or with unknown blueprintId",
        blueprint=graph("s", node("a", "subflow", {}, fallback="f", maxRetries=3), "b", "f", "s > a > b"),
        nodes={"s": gives(1), "b": echo, "f": gives("F")},
        expect={"status": "failed", "errors": ["a"], "attempts": {}, "executed_without": ["b", "f"]},
    ),
    Case(
        claim="a subflow of an unknown blueprint fails, without retry and without fallback",
        spec="8: Likewise a subflow without or with unknown blueprintId",
        blueprint=graph(
            "s", node("a", "subflow", {"blueprintId": "nowhere"}, fallback="f", maxRetries=3), "b", "f", "s > a > b"
        ),
        nodes={"s": gives(1), "b": echo, "f": gives("F")},
        expect={"status": "failed", "errors": ["a"], "attempts": {}, "executed_without": ["b", "f"]},
    ),
]

FALLBACK = [
    Case(
        claim="a fallback stands in for a failed node",
        spec="8, Fallback",
        blueprint=guarded(),
        nodes=G,
        expect={
            "status": "completed",
            "errors": [],
            "executed": ["a", "b", "f", "s"],
            "counts": {},
            "skipped": [],
            "outputs": {"s": "S", "a": None, "f": "F", "b": "F"},
        },
        everywhere=True,
    ),
    Case(
        claim="a fallback runs after the last attempt only",
        spec="8, Fallback: after the last attempt",
        blueprint=guarded(maxRetries=3),
        nodes={**G, "f": counts_up("n")},
        expect={"status": "completed", "attempts": {"a": 3}, "context": {"n": 1}, "outputs_has": {"b": 1}},
    ),
    Case(
        claim="a fallback is not needed when a later attempt succeeds",
        spec="8: If the node succeeds the fallback never runs",
        blueprint=guarded(maxRetries=3),
        nodes={**G, "a": fails_until(3, "A")},
        expect={
            "status": "completed",
            "attempts": {"a": 3},
            "executed": ["a", "b", "s"],
            "outputs": {"s": "S", "a": "A", "b": "A"},
        },
    ),
    Case(
        claim="a fallback never runs when the node succeeds",
        spec="8: If the node succeeds the fallback never runs",
        blueprint=guarded("f > c"),
        nodes={**G, "a": gives("A")},
        expect={"status": "completed", "executed": ["a", "b", "s"], "outputs": {"s": "S", "a": "A", "b": "A"}},
        everywhere=True,
    ),
    Case(
        claim="a failed start node has its fallback",
        spec="8, Fallback",
        blueprint=graph(node("a", fallback="f"), "a > b", "f"),
        nodes=G,
        expect={"status": "completed", "executed": ["a", "b", "f"], "outputs": {"a": None, "f": "F", "b": "F"}},
    ),
    Case(
        claim="a failed last node has its fallback",
        spec="8, Fallback",
        blueprint=graph("s > a", node("a", fallback="f"), "f"),
        nodes=G,
        expect={
            "status": "completed",
            "executed": ["a", "f", "s"],
            "outputs": {"s": "S", "a": None, "f": "F"},
            "errors": [],
        },
    ),
    Case(
        claim="the edges of the fallback fire too",
        spec="8, Fallback: its own edges and those of the nodes it stands in for",
        blueprint=guarded("f > c"),
        nodes=G,
        expect={
            "status": "completed",
            "executed": ["a", "b", "c", "f", "s"],
            "outputs": {"s": "S", "a": None, "f": "F", "b": "F", "c": "F"},
        },
    ),
    Case(
        claim="the action of the fallback chooses among the edges of the failed node",
        spec="8, Fallback: fire with ITS result",
        blueprint=graph(
            node("a", fallback="f"), "f", edge("a", "b", action="good"), edge("a", "c", action="bad"), edge("a", "d")
        ),
        nodes={"a": fails(), "f": acts("bad", "F"), "b": echo, "c": echo, "d": echo},
        expect={
            "status": "completed",
            "executed": ["a", "c", "f"],
            "skipped": ["b", "d"],
            "outputs": {"a": None, "f": "F", "c": "F"},
        },
    ),
    Case(
        claim="an edge of the failed node that the action selects keeps the fallback's default edges from firing",
        spec="8, Fallback; 4.1: candidates; 4.4: default edges do not fire when an action edge does",
        blueprint=graph(node("a", fallback="f"), "f", edge("a", "b", action="good"), edge("f", "c")),
        nodes={"a": fails(), "f": acts("good", "F"), "b": echo, "c": echo},
        expect={
            "status": "completed",
            "executed": ["a", "b", "f"],
            "skipped": ["c"],
            "outputs": {"a": None, "f": "F", "b": "F"},
        },
    ),
    Case(
        claim="an edge of one failed node that the action selects keeps default edges of the other from firing",
        spec="8, Fallback; 4.1: candidates; 4.4: default edges do not fire when an action edge does",
        blueprint=graph(
            node("a", fallback="f"), node("b", fallback="f"), "f", edge("a", "c", action="good"), edge("b", "d")
        ),
        nodes={"a": fails(), "b": fails(), "f": acts("good", "F"), "c": echo, "d": echo},
        expect={"status": "completed", "executed": ["a", "b", "c", "f"], "skipped": ["d"]},
    ),
    Case(
        claim="an action that the edges of none of them have takes the default edges of all of them",
        spec="8, Fallback; 4.1: candidates; 4.4",
        blueprint=graph(node("a", fallback="f"), "f", edge("a", "b", action="good"), edge("a", "c"), edge("f", "d")),
        nodes={"a": fails(), "f": acts("other", "F"), "b": echo, "c": echo, "d": echo},
        expect={"status": "completed", "executed": ["a", "c", "d", "f"], "skipped": ["b"]},
    ),
    Case(
        claim="conditions of the failed node's edges see the result of the fallback",
        spec="8, Fallback: fire with ITS result",
        blueprint=graph(
            node("a", fallback="f"),
            "f",
            edge("a", "b", condition="result.output.ok"),
            edge("a", "c", condition="result.output.no"),
        ),
        nodes={"a": fails(), "f": gives({"ok": True}), "b": echo, "c": echo},
        expect={"status": "completed", "executed": ["a", "b", "f"], "skipped": ["c"]},
    ),
    Case(
        # `result` is the result being routed, and `input` the output of the source: here both are the fallback's.
        claim="a transform on the failed node's edge takes from the result of the fallback",
        spec="8, Fallback: fire with ITS result",
        blueprint=graph(node("a", fallback="f"), "f", edge("a", "b", transform="input.x")),
        nodes={"a": fails(), "f": gives({"x": 5}), "b": echo},
        expect={"status": "completed", "outputs": {"a": None, "f": {"x": 5}, "b": 5}},
    ),
    Case(
        claim="a fallback reads its own inputs",
        spec="8, Fallback: It reads its own inputs",
        blueprint=graph(
            "s", node("a", fallback="f"), node("f", "echo", inputs={"order": "order", "s": "s.n"}), "s > a > b"
        ),
        nodes={"s": gives({"n": 1}), "a": fails(), "echo": echo, "b": echo},
        initial={"order": 7},
        expect={
            "outputs": {"s": {"n": 1}, "a": None, "f": {"order": 7, "s": 1}, "b": {"order": 7, "s": 1}},
            "context": {"order": 7},
        },
    ),
    Case(
        claim="a node that read the output of the failed node gets null",
        spec="8, Fallback: completed with output null",
        blueprint=graph(node("a", fallback="f"), "f", node("b", inputs={"a": "a", "f": "f"}), "a > b"),
        nodes={"a": fails(), "f": gives("F"), "b": echo},
        initial={"a": "before"},
        expect={"outputs": {"a": None, "f": "F", "b": {"a": None, "f": "F"}}},
    ),
    Case(
        claim="a join fed by the failed node waits for the fallback, and starts once",
        spec="8, Fallback [R]: it waits for the fallback",
        blueprint=graph(
            "s > a > j",
            "s > b > j",
            node("a", fallback="f"),
            "f",
            node("j", inputs={"f": "f", "b": "b", "a": "a"}),
            "j > z",
        ),
        nodes={"s": gives("S"), "a": fails(), "b": gives("B"), "f": gives("F"), "j": echo, "z": counts_up("n")},
        expect={
            "status": "completed",
            "executed": ["a", "b", "f", "j", "s", "z"],
            "counts": {},
            "outputs_has": {"j": {"f": "F", "b": "B", "a": None}},
            "context": {"n": 1},
        },
        everywhere=True,
    ),
    Case(
        claim="a join fed by the failed node waits for a fallback that is tried again",
        spec="8, Fallback [R]: it waits for the fallback",
        blueprint=graph(
            "s > a > j",
            "s > b > j",
            node("a", fallback="f"),
            node("f", maxRetries=3, retryDelay=10),
            node("j", inputs={"f": "f", "b": "b"}),
        ),
        nodes={"s": gives("S"), "a": fails(), "b": gives("B"), "f": fails_until(3, "F"), "j": echo},
        expect={"status": "completed", "counts": {}, "attempts": {"f": 3}, "outputs_has": {"j": {"f": "F", "b": "B"}}},
    ),
    Case(
        claim="an unused fallback does not block a join",
        spec="8 [R]: an unused fallback does not block",
        blueprint=graph("s > a > j", node("a", fallback="f"), "f > j"),
        nodes={"s": gives("S"), "a": gives("A"), "f": gives("F"), "j": echo},
        expect={
            "status": "completed",
            "executed": ["a", "j", "s"],
            "outputs": {"s": "S", "a": "A", "j": "A"},
        },
        everywhere=True,
    ),
    Case(
        claim="a join fed by the failed node and its fallback starts once",
        spec="8, Fallback: its own edges and those of the nodes it stands in for",
        blueprint=graph("s > a > j", node("a", fallback="f"), "f > j", "j > z"),
        nodes={"s": gives("S"), "a": fails(), "f": gives("F"), "j": echo, "z": counts_up("n")},
        expect={
            "status": "completed",
            "executed": ["a", "f", "j", "s", "z"],
            "counts": {},
            "outputs_has": {"j": "F"},
            "context": {"n": 1},
        },
    ),
    Case(
        claim="an any-join fed by the failed node and its fallback starts once",
        spec="8, Fallback; An any join starts once per run",
        blueprint=graph("s > a > j", node("a", fallback="f"), "f > j", node("j", joinStrategy="any")),
        nodes={"s": gives("S"), "a": fails(), "f": gives("F"), "j": counts_up("n")},
        expect={"status": "completed", "executed": ["a", "f", "j", "s"], "counts": {}, "context": {"n": 1}},
    ),
    Case(
        claim="a fallback that does not exist is none",
        spec="8, Fallback: A fallback id that does not exist: the node fails",
        blueprint=graph("s > a > b", node("a", fallback="nowhere")),
        nodes=G,
        expect={"status": "failed", "errors": ["a"], "executed": ["a", "s"], "outputs": {"s": "S"}, "skipped": ["b"]},
    ),
    Case(
        claim="a fallback that fails fails the run",
        spec="8 [R]: unhandled failures (the fallback's too) fail the run",
        blueprint=guarded(),
        nodes={**G, "f": fails()},
        expect={"status": "failed", "errors_has": ["f"], "executed": ["a", "f", "s"], "executed_without": ["b"]},
        everywhere=True,
    ),
    Case(
        claim="a used fallback hides no other failure",
        spec="8 [R]: unhandled failures fail the run",
        blueprint=guarded("s > x > y"),
        nodes={**G, "x": fails(), "y": echo},
        expect={"status": "failed", "errors": ["x"], "executed": ["a", "b", "f", "s", "x"], "skipped": ["y"]},
        everywhere=True,
    ),
    Case(
        claim="a failure before a used fallback fails the run",
        spec="8 [R]: unhandled failures fail the run",
        blueprint=graph("x", "s > p > q > a > b", node("a", fallback="f"), "f"),
        nodes={**G, "x": fails(), "p": echo, "q": echo},
        expect={"status": "failed", "errors": ["x"], "executed": ["a", "b", "f", "p", "q", "s", "x"]},
    ),
    Case(
        claim="what follows on the fallback may fail the run",
        spec="8",
        blueprint=guarded("b > c"),
        nodes={**G, "b": fails()},
        expect={"status": "failed", "errors": ["b"], "executed": ["a", "b", "f", "s"], "skipped": ["c"]},
    ),
    Case(
        claim="a fallback may have a fallback",
        spec="8: A fallback of a fallback runs",
        blueprint=graph(node("a", fallback="f"), node("f", fallback="g"), "g", "f > c"),
        nodes={"a": fails(), "f": fails(), "g": gives("G"), "c": echo},
        expect={
            "status": "completed",
            "errors": [],
            "executed": ["a", "c", "f", "g"],
            "outputs_has": {"a": None, "f": None, "g": "G", "c": "G"},
        },
    ),
    Case(
        claim="two nodes that fail side by side both go on with their fallback",
        spec="8, Fallback",
        blueprint=graph("s > a > b", "s > c > d", node("a", fallback="f"), node("c", fallback="f"), "f"),
        nodes={"s": gives(1), "a": fails(), "c": fails(), "b": echo, "d": echo, "f": gives("F")},
        expect={"status": "completed", "executed": ["a", "b", "c", "d", "f", "s"], "outputs_has": {"b": "F", "d": "F"}},
    ),
    Case(
        claim="only the edges of the node that failed fire with a shared fallback",
        spec="4.1 [R]: only of those that failed",
        blueprint=graph("s > a > b", "s > c > d", node("a", fallback="f"), node("c", fallback="f"), "f"),
        nodes={"s": gives("S"), "a": fails(), "c": gives("C"), "b": echo, "d": echo, "f": gives("F")},
        expect={
            "status": "completed",
            "executed": ["a", "b", "c", "d", "f", "s"],
            "counts": {},
            "outputs": {"s": "S", "a": None, "c": "C", "f": "F", "b": "F", "d": "C"},
        },
        everywhere=True,
    ),
    Case(
        claim="the successors of a node that did not take part do not start through a shared fallback",
        spec="4.1 [R]: only of those that failed",
        blueprint=graph(
            "s > a > b", edge("s", "c", condition="no"), "c > d", node("a", fallback="f"), node("c", fallback="f"), "f"
        ),
        nodes={"s": gives("S"), "a": fails(), "c": gives("C"), "b": echo, "d": echo, "f": gives("F")},
        expect={"status": "completed", "executed": ["a", "b", "f", "s"], "skipped": ["c", "d"]},
    ),
    Case(
        claim="a node that fails after its fallback has completed goes on with the result that is there",
        spec="8, Fallback [R]: that node's edges fire all the same",
        blueprint=graph("s > a > c > d", node("a", fallback="f"), node("c", fallback="f"), "f"),
        nodes={"s": gives("S"), "a": fails(), "c": fails(), "f": gives("F"), "d": counts_up("n")},
        expect={"status": "completed", "errors": [], "executed": ["a", "c", "d", "f", "s"], "context": {"n": 1}},
        everywhere=True,
    ),
    Case(
        claim="a fallback with a predecessor of its own runs once",
        spec="8, Fallback: at once if its own predecessors are complete",
        blueprint=graph("s > a > b", "s > p > f", node("a", fallback="f")),
        nodes={"s": gives("S"), "a": fails(), "b": echo, "p": gives("P"), "f": counts_up("n")},
        expect={
            "status": "completed",
            "errors": [],
            "executed": ["a", "b", "f", "p", "s"],
            "counts": {},
            "context": {"n": 1},
        },
    ),
    Case(
        claim="a handled failure in one branch and a condition in the other",
        spec="8; Dead paths",
        blueprint=graph("s > a > j", edge("s", "c", condition="no"), "c > j", node("a", fallback="f"), "f"),
        nodes={"s": gives("S"), "a": fails(), "c": echo, "f": gives("F"), "j": echo},
        expect={"status": "completed", "executed": ["a", "f", "j", "s"], "skipped": ["c"], "outputs_has": {"j": "F"}},
    ),
    Case(
        claim="a node in a branch that was not taken does not start its fallback",
        spec="8; Dead paths",
        blueprint=graph("s > x", edge("s", "a", condition="no"), "a > b", node("a", fallback="f"), "f > g"),
        nodes={"s": gives("S"), "x": echo, "a": fails(), "b": echo, "f": gives("F"), "g": echo},
        expect={"status": "completed", "executed": ["s", "x"], "executed_without": ["f", "g"]},
    ),
    Case(
        claim="a node behind a failure does not start its fallback",
        spec="8: its successors do not start",
        blueprint=graph("s > a > b > c", node("b", fallback="f"), "f"),
        nodes=G,
        expect={"status": "failed", "errors": ["a"], "executed": ["a", "s"], "executed_without": ["f"]},
    ),
    Case(
        claim="bad inputs are a failure that a fallback handles",
        spec="7: A non-string value fails the node; 8, Fallback",
        blueprint=graph(node("a", inputs={"x": 5}, fallback="f"), "a > b", "f"),
        nodes={"a": echo, "b": echo, "f": gives("F")},
        expect={"status": "completed", "executed_has": ["b", "f"], "outputs_has": {"b": "F"}},
    ),
    Case(
        claim="the fallback of one node may be an ordinary node of the flow",
        spec="8, Fallback",
        blueprint=graph("s > a > b", "s > x > f", node("a", fallback="f"), "f > z"),
        nodes={"s": gives("S"), "a": gives("A"), "b": echo, "x": gives("X"), "f": echo, "z": echo},
        expect={
            "status": "completed",
            "executed": ["a", "b", "f", "s", "x", "z"],
            "outputs": {"s": "S", "a": "A", "b": "A", "x": "X", "f": "X", "z": "X"},
            "counts": {},
        },
    ),
]

OURS = [
    Case(
        claim="with the default policy a failure lets a waiting branch go on",
        spec="issue, 1: let independent branches end (default); 11: awaiting if any node awaits",
        blueprint=graph("s > a", "s > w > x", node("w", "wait")),
        nodes={"s": gives(1), "a": fails(), "x": echo},
        expect={"status": "awaiting", "awaiting": ["w"], "errors": ["a"]},
    ),
    Case(
        claim="with the policy failFast a failure ends what waits",
        spec="issue, 1: Failure policy of a run: fail at once",
        blueprint=graph("s > a", "s > w > x", node("w", "wait"), failurePolicy="failFast"),
        nodes={"s": gives(1), "a": fails(), "x": echo},
        expect={"status": "failed", "errors": ["a"], "executed_without": ["x"], "awaiting": []},
    ),
    Case(
        claim="with the policy failFast a handled failure ends nothing",
        spec="issue, 1; 8: A handled failure is no error of the run",
        blueprint=graph("s > a > b", node("a", fallback="f"), "f", failurePolicy="failFast"),
        nodes=G,
        expect={"status": "completed", "outputs_has": {"b": "F"}},
    ),
    Case(
        claim="with the policy continue independent branches run to their end",
        spec="issue, 1: let independent branches end",
        blueprint=graph("s > a", "s > x > y > z", failurePolicy="continue"),
        nodes={"s": gives(1), "a": fails(), "x": echo, "y": echo, "z": echo},
        expect={"status": "failed", "errors": ["a"], "executed": ["a", "s", "x", "y", "z"]},
    ),
    Case(
        claim="a compensation is no start node, and nothing is compensated in a run that completes",
        spec="issue, 1: compensate: when the run fails or is cancelled",
        blueprint=graph(node("a", compensate="undo_a"), "a > b", "undo_a"),
        nodes={"a": gives(1), "b": echo, "undo_a": writes({"undone": True})},
        expect={"status": "completed", "executed": ["a", "b"], "context": {}},
    ),
    Case(
        claim="completed steps of a failed run are compensated in reverse order",
        spec="issue, 1: compensated in reverse order of completion, each once",
        blueprint=graph(
            node("a", compensate="undo_a"),
            node("b", compensate="undo_b"),
            node("c", compensate="undo_c"),
            "a > b > c > d",
            "undo_a",
            "undo_b",
            "undo_c",
        ),
        nodes={
            "a": gives(1),
            "b": gives(2),
            "c": gives(3),
            "d": fails(),
            **{f"undo_{name}": notes("undone", name) for name in "abc"},
        },
        expect={"status": "failed", "errors": ["d"], "context": {"undone": ["c", "b", "a"]}},
    ),
    Case(
        claim="a step that failed is not compensated, nor one that was not run",
        spec="issue, 1: completed steps are compensated",
        blueprint=graph(
            node("a", compensate="undo_a"),
            node("b", compensate="undo_b"),
            node("c", compensate="undo_c"),
            "a > b > c",
            "undo_a",
            "undo_b",
            "undo_c",
        ),
        nodes={
            "a": gives(1),
            "b": fails(),
            "c": gives(3),
            **{f"undo_{name}": notes("undone", name) for name in "abc"},
        },
        expect={"status": "failed", "errors": ["b"], "context": {"undone": ["a"]}},
    ),
    Case(
        claim="nothing is compensated for a failure that was handled",
        spec="issue, 1: when the run fails",
        blueprint=graph(node("s", compensate="undo"), node("a", fallback="f"), "f", "undo", "s > a > b"),
        nodes={**G, "undo": writes({"undone": True})},
        expect={"status": "completed", "context": {}, "executed_without": ["undo"]},
    ),
]

CASES = [*PLAIN, *RETRY, *TIMEOUT, *UNKNOWN, *FALLBACK, *OURS]
