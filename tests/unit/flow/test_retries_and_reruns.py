"""Retries and reruns among joins, items and fallbacks: the owner goes on from what its rows tell."""

from __future__ import annotations

from support.play import ByHand

from famulus.flow import facts as f
from famulus.flow.state import StepState
from famulus.flow.waiting import TimerKey, TimerKind
from famulus.ids import StepId

FAIL_FAST = {"failurePolicy": "failFast"}
MAP = {"uses": "map", "params": {"uses": "x"}}


def step(run: ByHand, step_id: str) -> StepState:
    return run.run.steps[StepId(step_id)]


def test_a_join_hears_of_all_that_had_come_when_a_run_that_failed_fast_is_retried() -> None:
    run = ByHand({"a": "x", "b": "x", "join": "x"}, ("a", "join"), ("b", "join"), metadata=FAIL_FAST)
    run.succeed("a")
    run.fail("b")
    assert run.run.status == "failed"

    run.retry()
    run.succeed("b", "join")

    assert run.run.status == "completed"


def test_a_map_that_was_cancelled_with_its_run_goes_on_with_the_items_that_are_left() -> None:
    run = ByHand({"m": MAP, "a": "x"}, metadata=FAIL_FAST)
    run.scatter("m", 3)
    run.succeed("m[1]")
    run.fail("a")
    assert step(run, "m").status == "cancelled"

    run.retry()

    assert run.heart.due == {"a", "m[0]", "m[2]"}
    run.succeed("m[0]", "m[2]", "a")
    assert run.run.output_of("m") == ["m[0]", "m[1]", "m[2]"]


def test_a_join_that_has_started_because_of_a_failure_waits_for_its_retry() -> None:
    nodes = {"a": "x", "b": "x", "join": {"uses": "x", "config": {"joinStrategy": "all_settled"}}}
    run = ByHand(nodes, ("a", "join"), ("b", "join"))
    run.succeed("a")
    run.fail("b")
    assert run.heart.due == {"join"}

    run.retry("b")

    assert run.heart.due == {"b"}
    run.succeed("b")
    assert run.heart.due == {"join"}


def test_a_join_that_has_started_for_another_reason_goes_on_while_a_step_is_retried() -> None:
    nodes = {"a": "x", "b": "x", "join": {"uses": "x", "config": {"joinStrategy": "any"}}}
    run = ByHand(nodes, ("a", "join"), ("b", "join"))
    run.fail("b")
    run.succeed("a")

    run.retry("b")

    assert run.heart.due == {"b", "join"}


def test_a_join_hears_anew_of_a_step_whose_fallback_is_retried() -> None:
    nodes = {
        "a": {"uses": "x", "config": {"fallback": "instead"}},
        "instead": "x",
        "c": "x",
        "join": {"uses": "x", "config": {"joinStrategy": "all_settled"}},
    }
    run = ByHand(nodes, ("a", "join"), ("c", "join"))
    run.fail("a")
    run.fail("instead")

    run.retry("instead")
    run.succeed("c")

    assert run.heart.due == {"instead"}
    run.succeed("instead")
    assert run.heart.due == {"join"}


def test_the_deadline_of_a_join_begins_anew_when_its_run_goes_on() -> None:
    nodes = {"a": "x", "b": "x", "join": {"uses": "x", "config": {"joinDeadline": 4000}}}
    run = ByHand(nodes, ("a", "join"), ("b", "join"), metadata=FAIL_FAST)
    run.succeed("a")
    run.fail("b")
    run.heart.time += 100

    run.retry()

    assert run.run.timers[TimerKey(TimerKind.JOIN, StepId("join"))] == run.heart.time + 4


def test_a_node_that_was_run_again_starts_whatever_is_retried_before_it() -> None:
    run = ByHand({"a": "x", "b": "x", "other": "x"}, ("a", "b"))
    run.succeed("a", "b")
    run.fail("other")

    run.rerun("b")
    run.retry("other")

    assert run.heart.due == {"b#2", "other"}


def test_a_rerun_of_another_step_leaves_items_as_they_are_that_failures_have_stopped() -> None:
    run = ByHand({"m": MAP, "a": "x", "b": "x"}, ("a", "b"))
    run.succeed("a", "b")
    run.scatter("m", 3)
    run.fail("m[1]")
    assert (run.run.status, step(run, "m").status) == ("failed", "failed")

    run.rerun("b")

    assert run.heart.due == {"b#2"}


def test_the_limits_of_items_are_not_changed_while_their_run_is_compensated() -> None:
    scatter = {
        "uses": "batch-scatter",
        "params": {"workerUsesKey": "x", "gatherNodeId": "g"},
        "config": {"compensate": "undo"},
    }
    run = ByHand(
        {"s": scatter, "g": {"uses": "batch-gather", "params": {"gatherNodeId": "g"}}, "undo": "x"}, ("s", "g")
    )
    run.tell(
        run.scattered(step(run, "s"), [1, 2, 3], uses="x", params={}, gather="g", chunk=1, keep_going=True),
    )
    run.heart.cancel()
    assert run.heart.due == {"undo~s"}

    run.tell(
        f.BatchLimited(step_id=StepId("s"), max_concurrency=1, tolerated_failures=None, by="me", at=run.heart.now())
    )
    run.succeed("undo~s")

    assert run.run.status == "cancelled"


def test_a_join_that_started_at_its_deadline_stays_started_for_the_next_owner_whoever_comes_then() -> None:
    nodes = {"a": "x", "b": "x", "join": {"uses": "x", "config": {"joinDeadline": 1000}}}
    run = ByHand(nodes, ("a", "join"), ("b", "join"))
    run.succeed("a")
    run.tell(run.due(TimerKey(TimerKind.JOIN, StepId("join"))))
    run.fail("b")

    run.heart.crash()

    assert run.heart.due == {"join"}


def test_a_rerun_of_a_fallback_runs_again_what_lies_behind_the_node_that_it_stands_in_for() -> None:
    nodes = {"first": "x", "instead": "x", "a": {"uses": "x", "config": {"fallback": "instead"}}, "behind": "x"}
    run = ByHand(nodes, ("first", "instead"), ("a", "behind"), metadata={"cycleEntryPoints": ["a"]})
    run.succeed("first")
    run.fail("a")
    run.succeed("instead")
    assert run.heart.due == {"behind"}

    run.rerun("first")

    assert run.heart.due == {"first#2"}
    run.succeed("first#2", "instead#2")
    assert run.heart.due == {"behind#2"}


def test_items_that_undo_a_step_do_not_come_to_the_gather_of_their_node() -> None:
    scatter = {"uses": "batch-scatter", "params": {"workerUsesKey": "x", "gatherNodeId": "g"}}
    run = ByHand(
        {
            "a": {"uses": "x", "config": {"compensate": "s"}},
            "b": "x",
            "s": scatter,
            "g": {"uses": "batch-gather", "params": {"gatherNodeId": "g"}},
        },
        ("a", "b"),
        ("b", "s", {"action": "left"}),
    )
    run.succeed("a")
    run.heart.cancel()
    run.tell(run.scattered(step(run, "s~a"), [1], uses="x", params={}, gather="g", keep_going=True))

    run.succeed("s~a[0]")

    assert (run.run.status, run.heart.due) == ("cancelled", set())
