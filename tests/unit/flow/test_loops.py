"""Loops: rounds, what is armed anew, and how they end."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
from support.heart import graph_of
from support.play import ByHand, Play

from famulus.errors import BlueprintError
from famulus.flow import facts as f
from famulus.flow.state import RunState, StepState
from famulus.flow.waiting import TimerKey, TimerKind
from famulus.ids import StepId
from famulus.nodes import Result

LOOP = {"uses": "loop-controller", "params": {"condition": "more"}, "config": {"joinStrategy": "any"}}
SEEDS = pytest.mark.parametrize("seed", range(8))


def nothing(given: Any, _run: RunState, _step: StepState) -> Any:
    return given


def while_loop(more: Mapping[str, Any], *edges: tuple[Any, ...]) -> tuple[Any, ...]:
    return (
        {"before": "nothing", "loop": LOOP, "after": "nothing", **more},
        ("before", "loop"),
        ("loop", "after", {"action": "break"}),
        *edges,
    )


class Counter:
    """Nodes that keep what they count in the context, as a node's own writes would."""

    def __init__(self, key: str = "more", *, rounds: int) -> None:
        self.key = key
        self.rounds = rounds

    def __call__(self, _given: Any, run: RunState, step: StepState) -> Any:
        raise AssertionError("told by `CountingPlay`")


class CountingPlay(Play):
    def attempt(self, step: StepState) -> Any:
        function = self.nodes.get(self.run.graph.node(step.node_id).uses)
        if not isinstance(function, Counter):
            return super().attempt(step)
        self.executed.append(step.node_id)
        if isinstance(function, Opener):
            return self.succeeded(step, None, **{function.key: True})
        n = self.run.context.get(f"n_{function.key}", 0) + 1
        done = n >= function.rounds
        changes = {f"n_{function.key}": 0 if done else n, function.key: not done}
        return self.succeeded(step, n, **changes)


def play(nodes: Any, *edges: Any, functions: Mapping[str, Any], seed: int = 1, initial: Any = None) -> CountingPlay:
    graph = graph_of(nodes, *edges)
    found = CountingPlay(graph, functions, initial or {"more": True}, random=Random(seed), crashes=True)
    found.go()
    return found


@SEEDS
def test_n_rounds_are_n_plus_one_evaluations(seed: int) -> None:
    run = play(
        *while_loop({"work": "count"}, ("loop", "work", {"action": "continue"}), ("work", "loop")),
        functions={"nothing": nothing, "count": Counter(rounds=3)},
        seed=seed,
    )

    assert run.run.status == "completed"
    assert run.counts == {"before": 1, "loop": 4, "work": 3, "after": 1}
    assert {"work[1]", "work[2]", "work[3]", "loop[4]"} <= set(run.ids)


def test_a_loop_whose_condition_is_false_at_first_skips_its_body() -> None:
    run = play(
        *while_loop({"work": "count"}, ("loop", "work", {"action": "continue"}), ("work", "loop")),
        functions={"nothing": nothing, "count": Counter(rounds=3)},
        initial={"more": False},
    )

    assert run.run.status == "completed"
    assert run.counts == {"before": 1, "loop": 1, "after": 1}
    assert run.heart.statuses["work[0]"] == "skipped"


@SEEDS
def test_a_body_that_is_entered_before_its_controller_runs_once_more_than_it_is_sent_round(seed: int) -> None:
    run = play(
        {
            "start": "nothing",
            "work": {"uses": "count", "config": {"joinStrategy": "any"}},
            "loop": LOOP,
            "end": "nothing",
        },
        ("start", "work"),
        ("work", "loop"),
        ("loop", "work", {"action": "continue"}),
        ("loop", "end", {"action": "break"}),
        functions={"nothing": nothing, "count": Counter(rounds=3)},
        seed=seed,
    )

    assert run.run.status == "completed"
    assert run.counts == {"start": 1, "work": 3, "loop": 3, "end": 1}


@SEEDS
def test_joins_in_a_body_wait_again_in_every_round(seed: int) -> None:
    run = play(
        *while_loop(
            {"fork": "nothing", "a": "nothing", "b": "nothing", "join": "count"},
            ("loop", "fork", {"action": "continue"}),
            ("fork", "a"),
            ("fork", "b"),
            ("a", "join"),
            ("b", "join"),
            ("join", "loop"),
        ),
        functions={"nothing": nothing, "count": Counter(rounds=4)},
        seed=seed,
    )

    assert run.run.status == "completed"
    assert run.counts["join"] == run.counts["a"] == run.counts["b"] == 4


@SEEDS
def test_nested_loops_go_round_anew_in_every_outer_round(seed: int) -> None:
    inner = {**LOOP, "params": {"condition": "inner_more"}}
    run = play(
        *while_loop(
            {"prepare": "open", "inner": inner, "work": "inner_count", "close": "count"},
            ("loop", "prepare", {"action": "continue"}),
            ("prepare", "inner"),
            ("inner", "work", {"action": "continue"}),
            ("work", "inner"),
            ("inner", "close", {"action": "break"}),
            ("close", "loop"),
        ),
        functions={
            "nothing": nothing,
            "open": Opener("inner_more"),
            "inner_count": Counter("inner_more", rounds=2),
            "count": Counter(rounds=3),
        },
        seed=seed,
        initial={"more": True, "inner_more": True},
    )

    assert run.run.status == "completed"
    assert run.counts == {"before": 1, "loop": 4, "prepare": 3, "inner": 9, "work": 6, "close": 3, "after": 1}
    assert "loop[2].work[1]" in run.ids


class Opener(Counter):
    """Sets its key, so that the inner loop goes round again."""

    def __init__(self, key: str) -> None:
        super().__init__(key, rounds=10**9)


@SEEDS
def test_a_branch_of_a_body_that_leads_nowhere_is_over_before_the_next_round(seed: int) -> None:
    run = play(
        *while_loop(
            {"work": "count", "log": "nothing", "log2": "nothing"},
            ("loop", "work", {"action": "continue"}),
            ("work", "loop"),
            ("work", "log"),
            ("log", "log2"),
        ),
        functions={"nothing": nothing, "count": Counter(rounds=3)},
        seed=seed,
    )

    assert run.run.status == "completed"
    assert run.counts["log"] == run.counts["log2"] == 3


def test_a_failing_body_fails_the_run_and_what_lies_behind_the_loop_is_skipped() -> None:
    def boom(_given: Any, _run: RunState, _step: StepState) -> Any:
        raise ValueError("no")

    run = play(
        *while_loop({"work": "boom"}, ("loop", "work", {"action": "continue"}), ("work", "loop")),
        functions={"nothing": nothing, "boom": boom},
    )

    assert run.run.status == "failed"
    assert run.heart.statuses["after"] == "skipped"


def test_a_body_may_leave_its_loop_by_an_edge_of_its_own() -> None:
    def leave(_given: Any, _run: RunState, _step: StepState) -> Any:
        return Result(7, action="out")

    run = play(
        {"before": "nothing", "loop": LOOP, "work": "leave", "end": "nothing"},
        ("before", "loop"),
        ("loop", "work", {"action": "continue"}),
        ("work", "loop", {"action": "again"}),
        ("work", "end", {"action": "out"}),
        ("loop", "end", {"action": "break"}),
        functions={"nothing": nothing, "leave": leave},
    )

    assert run.run.status == "completed"
    assert run.counts == {"before": 1, "loop": 1, "work": 1, "end": 1}
    assert run.run.output_of("end") == 7


def test_a_loop_stops_at_its_limit_of_rounds_with_a_clear_reason() -> None:
    loop = {**LOOP, "params": {"condition": "more", "maxRounds": 5}}
    run = play(
        {"loop": loop, "work": "nothing", "after": "nothing"},
        ("loop", "work", {"action": "continue"}),
        ("work", "loop"),
        ("loop", "after", {"action": "break"}),
        functions={"nothing": nothing},
    )

    assert run.run.status == "failed"
    assert run.counts["work"] == 5
    assert "5 times" in (run.heart.step_rows["loop[6]"].reason or "")  # type: ignore[index]


def test_a_loop_without_a_continue_edge_is_refused() -> None:
    with pytest.raises(BlueprintError, match="continue"):
        graph_of({"loop": LOOP, "a": "x"}, ("loop", "a", {"action": "break"}))


@SEEDS
def test_a_batch_in_a_body_scatters_afresh_in_every_round(seed: int) -> None:
    scatter = {"uses": "batch-scatter", "inputs": "items", "params": {"workerUsesKey": "double", "gatherNodeId": "g"}}
    run = play(
        *while_loop(
            {"s": scatter, "g": {"uses": "batch-gather", "params": {"gatherNodeId": "g"}}, "work": "count"},
            ("loop", "s", {"action": "continue"}),
            ("s", "g"),
            ("g", "work"),
            ("work", "loop"),
        ),
        functions={"nothing": nothing, "count": Counter(rounds=2), "double": lambda given, _r, _s: given * 2},
        initial={"more": True, "items": [1, 2, 3]},
        seed=seed,
    )

    assert run.run.status == "completed"
    assert run.run.output_of("g") == [2, 4, 6]
    assert run.counts["s"] == 2
    assert {"s[1][0]", "s[2][2]"} <= set(run.ids)


def test_the_steps_of_earlier_rounds_take_no_memory() -> None:
    run = play(
        *while_loop({"work": "count"}, ("loop", "work", {"action": "continue"}), ("work", "loop")),
        functions={"nothing": nothing, "count": Counter(rounds=100)},
    )

    assert len(run.run.steps) == 4


@SEEDS
def test_a_step_that_failed_in_a_round_is_tried_again_in_that_round(seed: int) -> None:
    broken = {"now": False}

    def work(given: Any, run: RunState, _step: StepState) -> Any:
        if run.context.get("n_more") == 1 and broken["now"]:
            raise ValueError("broken")
        return given

    broken["now"] = True
    run = play(
        *while_loop(
            {"count": "count", "work": "work"},
            ("loop", "count", {"action": "continue"}),
            ("count", "work"),
            ("work", "loop"),
        ),
        functions={"nothing": nothing, "count": Counter(rounds=3), "work": work},
        seed=seed,
    )
    assert (run.run.status, run.heart.statuses["work[1]"]) == ("failed", "failed")
    broken["now"] = False

    run.tell(f.RetryRequested(step_id=StepId("work[1]"), by="me", at=run.heart.now()))
    run.go()

    assert run.run.status == "completed"
    assert {"work[1]", "work[2]", "work[3]", "loop[4]"} <= set(run.ids)
    assert run.run.output_of("after") is None


# -- told by hand ------------------------------------------------------------------------------------------------------


def going_round(nodes: Mapping[str, Any], *edges: tuple[Any, ...]) -> ByHand:
    """`loop` has been asked, and has sent its body, `work`, round."""
    run = ByHand(
        {"loop": LOOP, "work": "x", **nodes},
        ("loop", "work", {"action": "continue"}),
        ("work", "loop"),
        *edges,
        metadata={"cycleEntryPoints": ["loop"]},
    )
    run.succeed("loop[1]", action="continue")
    return run


def going_round_inside() -> ByHand:
    """`outer` has sent `inner` round, and that has sent `work` round, which may lead back to both."""
    run = ByHand(
        {"outer": LOOP, "inner": LOOP, "work": "x", "after": "x"},
        ("outer", "inner", {"action": "continue"}),
        ("inner", "work", {"action": "continue"}),
        ("work", "inner"),
        ("work", "outer", {"condition": "flag"}),
        ("outer", "after", {"action": "break"}),
        metadata={"cycleEntryPoints": ["outer"]},
        initial={"flag": False},
    )
    run.succeed("outer[1]", action="continue")
    run.succeed("outer[1].inner[1]", action="continue")
    return run


def test_what_an_inner_round_has_not_led_back_to_is_open_again_in_the_next_one() -> None:
    run = going_round_inside()
    run.succeed("outer[1].work[1]")
    assert run.run.joins[StepId("outer[2]")].counts.dead == 1

    run.succeed("outer[1].inner[2]", action="continue")

    assert StepId("outer[2]") not in run.run.joins


def test_what_an_inner_round_has_led_back_to_is_reached_whatever_later_rounds_do() -> None:
    run = going_round_inside()
    run.succeed("outer[1].work[1]", flag=True)
    run.succeed("outer[1].inner[2]", action="continue")

    run.succeed("outer[1].work[2]", flag=False)
    run.succeed("outer[1].inner[3]", action="break")

    assert run.heart.due == {"outer[2]"}


def test_a_join_in_a_loop_waits_from_the_beginning_of_its_round_for_those_outside() -> None:
    join = {"uses": "x", "config": {"joinDeadline": 5000}}
    run = ByHand(
        {"first": "x", "loop": LOOP, "work": "x", "join": join},
        ("first", "loop"),
        ("first", "join"),
        ("loop", "work", {"action": "continue"}),
        ("work", "join"),
        ("join", "loop"),
    )
    run.succeed("first")
    run.heart.time += 100

    run.succeed("loop[1]", action="continue")

    assert run.run.timers[TimerKey(TimerKind.JOIN, StepId("join[1]"))] == run.heart.time + 5


def test_a_retry_does_not_start_the_first_node_of_a_loop_that_goes_round() -> None:
    run = going_round({})
    run.fail("work[1]")
    assert run.heart.statuses == {"loop[2]": "skipped", "work[1]": "failed"}

    run.retry()

    assert run.heart.due == {"work[1]"}
    run.succeed("work[1]")
    assert run.heart.due == {"loop[2]"}


def test_a_fallback_does_not_send_the_loop_round_whose_controller_it_stands_in_for() -> None:
    loop = {**LOOP, "config": {"joinStrategy": "any", "fallback": "instead"}}
    run = going_round({"loop": loop, "instead": "x", "after": "x"}, ("loop", "after", {"action": "break"}))
    run.succeed("work[1]")

    run.fail("loop[2]")
    run.succeed("instead", action="continue")

    assert run.run.rounds == {"loop": 1}
    assert (run.run.status, run.heart.statuses["after"]) == ("completed", "skipped")


def test_a_controller_stands_in_for_a_step_when_its_loop_has_come_to_its_end() -> None:
    run = ByHand(
        {"loop": LOOP, "work": "x", "a": {"uses": "x", "config": {"fallback": "loop"}}, "behind": "x", "after": "x"},
        ("loop", "work", {"action": "continue"}),
        ("work", "loop"),
        ("loop", "after", {"action": "break"}),
        ("a", "behind"),
        metadata={"cycleEntryPoints": ["loop"]},
    )
    run.fail("a")
    run.succeed("loop[1]", action="continue")
    assert run.heart.due == {"work[1]"}

    run.succeed("work[1]")
    run.tell(
        f.StepSucceeded(step_id=StepId("loop[2]"), attempt=1, output=1, action=None, changes={}, started_at=0, at=9)
    )

    assert run.heart.due == {"behind"}


def test_a_controller_waits_for_a_step_of_its_round_that_is_retried_though_it_leads_nowhere() -> None:
    run = going_round({"side": "x"}, ("loop", "side", {"action": "continue"}))
    run.fail("side[1]")
    run.succeed("work[1]")
    assert run.heart.due == {"loop[2]"}

    run.retry()

    assert run.heart.due == {"side[1]"}
    run.succeed("side[1]")
    assert run.heart.due == {"loop[2]"}


def test_a_node_of_the_body_hears_of_every_edge_by_which_its_controller_began_the_round() -> None:
    run = ByHand(
        {"loop": LOOP, "work": "x", "side": "x"},
        ("loop", "work", {"action": "continue", "condition": "flag"}),
        ("loop", "side", {"action": "break", "condition": "flag"}),
        ("work", "side"),
        ("work", "loop"),
        metadata={"cycleEntryPoints": ["loop"]},
        initial={"flag": True},
    )
    run.succeed("loop[1]", action="continue")

    run.succeed("work[1]")

    assert run.heart.due == {"side[1]"}


@SEEDS
def test_a_controller_that_a_scatter_names_as_its_gather_waits_for_its_edges_alone(seed: int) -> None:
    scatter = {"uses": "batch-scatter", "inputs": "few", "params": {"workerUsesKey": "nothing", "gatherNodeId": "loop"}}
    run = play(
        *while_loop({"work": "count", "scatter": scatter}, ("loop", "work", {"action": "continue"}), ("work", "loop")),
        functions={"nothing": nothing, "count": Counter(rounds=1)},
        initial={"more": True, "few": []},
        seed=seed,
    )

    assert run.run.status == "completed"
    assert run.counts == {"before": 1, "scatter": 1, "loop": 2, "work": 1, "after": 1}
