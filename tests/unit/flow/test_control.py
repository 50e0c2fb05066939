"""What operators ask of a run, failure policies and compensation."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from support.heart import Heart, graph_of
from support.play import Play, played

from famulus.flow import facts as f
from famulus.flow.state import RunState, StepState
from famulus.flow.status import RunStatus
from famulus.flow.waiting import TimerKey, TimerKind
from famulus.ids import StepId

SEEDS = pytest.mark.parametrize("seed", range(6))


class World:
    """What nodes do: those that are broken fail until they are mended."""

    def __init__(self, *broken: str) -> None:
        self.broken = set(broken)
        self.calls: list[str] = []
        self.given: dict[str, Any] = {}

    def __call__(self, given: Any, _run: RunState, step: StepState) -> Any:
        self.calls.append(step.step_id)
        self.given[step.step_id] = given
        if step.node_id in self.broken:
            raise ValueError("broken")
        return f"{step.node_id}!"


def ask(play: Play, fact_type: Any, **fields: Any) -> Play:
    play.tell(fact_type(by="me", at=play.heart.now(), **fields))
    return play.go()


def test_a_paused_run_starts_nothing_until_it_goes_on() -> None:
    world = World()
    run = played({"w": "wait", "a": "x"}, ("w", "a"), functions={"x": world})
    ask(run, f.PauseRequested, reason="lunch")
    assert run.run.status == "paused"

    run.resume("w")
    assert world.calls == []

    ask(run, f.UnpauseRequested)
    assert (world.calls, run.run.status) == (["a"], "completed")


def test_pausing_a_paused_run_is_refused() -> None:
    run = played({"w": "wait"}, functions={})
    ask(run, f.PauseRequested, reason="")
    ask(run, f.PauseRequested, reason="")

    assert run.heart.events[-1].type == "command.refused"


@SEEDS
def test_a_failed_step_that_is_retried_lets_what_lies_behind_it_run(seed: int) -> None:
    world = World("b")
    run = played(
        {"a": "x", "b": "x", "c": "x", "d": "x", "side": "x"},
        ("a", "b"),
        ("b", "c"),
        ("c", "d"),
        ("a", "side"),
        ("side", "d"),
        functions={"x": world},
        random=Random(seed),
        crashes=True,
    )
    assert (run.run.status, run.heart.statuses["d"]) == ("failed", "skipped")
    world.broken.clear()

    ask(run, f.RetryRequested, step_id=StepId("b"))

    assert run.run.status == "completed"
    assert set(run.heart.statuses.values()) == {"completed"}
    assert run.run.steps[StepId("b")].attempt == 2
    assert world.calls.count("a") == 1


def test_retrying_what_has_not_failed_is_refused_and_a_completed_run_stays_completed() -> None:
    run = played({"a": "x"}, functions={"x": World()})

    ask(run, f.RetryRequested, step_id=StepId("a"))

    assert run.run.status == "completed"
    assert run.heart.events[-1].type == "command.refused"


@SEEDS
def test_a_rerun_runs_a_step_and_everything_behind_it_as_new_steps(seed: int) -> None:
    world = World()
    run = played(
        {"a": "x", "b": "x", "c": "x", "other": "x", "join": "x"},
        ("a", "b"),
        ("b", "c"),
        ("c", "join"),
        ("other", "join"),
        functions={"x": world},
        random=Random(seed),
        crashes=True,
    )
    world.calls.clear()

    ask(run, f.RerunRequested, step_id=StepId("b"), changes={"k": 1})

    assert run.run.status == "completed"
    assert sorted(world.calls) == ["b#2", "c#2", "join#2"]
    assert run.run.context["k"] == 1


@SEEDS
def test_a_failed_step_that_is_run_again_does_not_fail_the_run(seed: int) -> None:
    world = World("b")
    run = played(
        {"a": "x", "b": "x", "c": "x"},
        ("a", "b"),
        ("b", "c"),
        functions={"x": world},
        random=Random(seed),
        crashes=True,
    )
    assert run.run.status == "failed"
    world.broken.clear()

    ask(run, f.RerunRequested, step_id=StepId("b"), changes={})

    assert (run.run.status, run.run.first_failure) == ("completed", None)
    assert run.heart.reloaded().first_failure is None


def test_a_run_that_fails_fast_cancels_its_other_branches() -> None:
    run = played(
        {"a": "x", "b": "x", "w": "wait"},
        ("a", "b"),
        functions={"x": World("b")},
        metadata={"failurePolicy": "failFast"},
    )

    assert run.run.status == "failed"
    assert run.heart.statuses == {"a": "completed", "b": "failed", "w": "cancelled"}


@SEEDS
def test_completed_steps_are_compensated_in_reverse_order_once_the_run_has_failed(seed: int) -> None:
    world = World("ship")
    run = played(
        {
            "reserve": {"uses": "x", "config": {"compensate": "release"}},
            "charge": {"uses": "x", "config": {"compensate": "refund"}},
            "ship": "x",
            "release": "x",
            "refund": "x",
        },
        ("reserve", "charge"),
        ("charge", "ship"),
        functions={"x": world},
        random=Random(seed),
        crashes=True,
    )

    assert run.run.status == "failed"
    assert [call for call in world.calls if "~" in call] == ["refund~charge", "release~reserve"]
    assert world.given["refund~charge"] == "charge!"
    assert run.heart.statuses["release~reserve"] == "completed"


def test_nothing_is_compensated_in_a_run_that_completes() -> None:
    world = World()
    run = played({"a": {"uses": "x", "config": {"compensate": "undo"}}, "undo": "x"}, functions={"x": world})

    assert (run.run.status, world.calls) == ("completed", ["a"])


def test_a_cancelled_run_is_compensated_and_then_cancelled() -> None:
    world = World()
    run = played(
        {"a": {"uses": "x", "config": {"compensate": "undo"}}, "w": "wait", "undo": "x"},
        ("a", "w"),
        functions={"x": world},
        crashes=True,
    )

    ask(run, f.CancelRequested, reason="enough")

    assert (run.run.status, world.calls) == ("cancelled", ["a", "undo~a"])


def test_a_failed_compensation_keeps_no_other_from_being_done() -> None:
    world = World("ship", "refund")
    run = played(
        {
            "reserve": {"uses": "x", "config": {"compensate": "release"}},
            "charge": {"uses": "x", "config": {"compensate": "refund"}},
            "ship": "x",
            "release": "x",
            "refund": {"uses": "x", "config": {"maxRetries": 2}},
        },
        ("reserve", "charge"),
        ("charge", "ship"),
        functions={"x": world},
    )

    assert run.run.status == "failed"
    assert run.heart.statuses["refund~charge"] == "failed"
    assert run.heart.statuses["release~reserve"] == "completed"


def test_a_run_that_starts_too_many_steps_fails_and_says_so() -> None:
    run = Play(
        played({"w": "wait", "a": "x", "b": "x"}, ("w", "a"), ("w", "b"), functions={}).heart.graph, {"x": World()}
    )
    run.run.limits = replace(run.run.limits, steps=2)
    run.go()
    run.resume("w")

    assert run.run.status == "failed"
    assert "FAMULUS_MAX_STEPS" in (run.run.reason or "")


@pytest.mark.parametrize("crash", [False, True])
def test_a_join_that_heard_of_a_failure_hears_of_what_came_of_its_retry(*, crash: bool) -> None:
    edges = (("s", "b"), ("s", "c"), ("b", "join"), ("c", "join"))
    heart = Heart(graph_of({"s": "x", "b": "x", "c": "x", "join": "x"}, *edges)).start()
    heart.succeed("s")
    heart.fail("b")

    heart.tell(f.RetryRequested(step_id=StepId("b"), by="me", at=heart.now()))
    if crash:
        heart.crash()
    heart.succeed("b")
    heart.succeed("c")

    assert heart.due == {"join"}


def test_a_retry_while_steps_are_compensated_is_refused() -> None:
    nodes = {"a": {"uses": "x", "config": {"compensate": "undo"}}, "b": "x", "undo": "x"}
    heart = Heart(graph_of(nodes, ("a", "b"))).start()
    heart.succeed("a")
    heart.fail("b")

    heart.tell(f.RetryRequested(step_id=StepId("b"), by="me", at=heart.now()))

    assert heart.events[-1].type == "command.refused"
    assert heart.due == {"undo~a"}


def test_a_join_that_cancels_losers_does_not_cancel_itself() -> None:
    scatter = {"uses": "batch-scatter", "inputs": "items", "params": {"workerUsesKey": "x", "gatherNodeId": "j"}}
    run = played(
        {"j": {"uses": "x", "config": {"joinStrategy": "any", "joinLosers": "cancel"}}, "s": scatter},
        ("j", "s"),
        functions={"x": World()},
        initial={"items": []},
    )

    ask(run, f.RerunRequested, step_id=StepId("j"), changes={})

    assert run.run.status == "completed"


def test_a_run_that_is_paused_before_its_time_begins_when_it_goes_on() -> None:
    heart = Heart(graph_of({"a": "x"}))
    heart.tell(f.RunStarted(at=0.0, not_before=100.0))
    heart.tell(f.PauseRequested(by="me", reason="", at=1.0))

    heart.tell(f.TimerDue(key=TimerKey(TimerKind.START, StepId("")), at=101.0))
    assert (heart.run.status, heart.due) == (RunStatus.PAUSED, {"a"})

    heart.tell(f.UnpauseRequested(by="me", at=102.0))
    assert (heart.run.status, heart.due) == (RunStatus.RUNNING, {"a"})
