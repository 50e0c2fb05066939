"""Steps that wait: for time, for signals, for child runs; deadlines of joins, steps and runs."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from support.heart import graph_of
from support.play import Play, played

from famulus.flow import decisions as d
from famulus.flow import facts as f
from famulus.flow.state import RunState, StepState
from famulus.flow.status import RunStatus
from famulus.flow.waiting import TimerKind
from famulus.ids import RunId, StepId


def same(given: Any, _run: RunState, _step: StepState) -> Any:
    return given


def boom(_given: Any, _run: RunState, _step: StepState) -> Any:
    raise ValueError("no")


FUNCTIONS = {"same": same, "boom": boom}


def signal(play: Play, name: str, payload: Any) -> Play:
    play.tell(f.SignalReceived(name=name, payload=payload, by="me", at=play.heart.now()))
    return play.go()


def test_a_sleep_gives_its_input_when_its_time_has_come() -> None:
    run = played(
        {"a": "same", "nap": {"uses": "sleep", "params": {"duration": 5000}}, "b": "same"},
        ("a", "nap"),
        ("nap", "b"),
        functions={"same": lambda given, _r, _s: given or 7},
        crashes=True,
    )
    assert run.run.status == "waiting"
    began = run.heart.time

    run.heart.wake("nap")
    run.go()

    assert run.run.status == "completed"
    assert run.heart.time >= began + 4
    assert run.run.output_of("b") == 7


def test_a_timer_before_its_time_changes_nothing() -> None:
    run = played({"nap": {"uses": "sleep", "params": {"duration": 5000}}}, functions=FUNCTIONS)

    key = next(iter(run.run.timers))
    assert run.tell(f.TimerDue(key=key, at=run.run.timers[key] - 0.5)) == []


def test_other_branches_go_on_while_one_waits() -> None:
    run = played(
        {"a": "same", "w": "wait", "b": "same", "c": "same", "end": "same"},
        ("a", "w"),
        ("a", "b"),
        ("b", "c"),
        ("w", "end"),
        functions=FUNCTIONS,
    )
    assert run.run.status == "waiting"
    assert run.heart.statuses["c"] == "completed"

    run.resume("w", "done")

    assert run.run.status == "completed"
    assert run.run.output_of("end") == "done"


def test_the_action_of_a_resume_selects_edges_and_branches_not_taken_are_skipped() -> None:
    run = played(
        {"w": "wait", "yes": "same", "no": "same"},
        ("w", "yes", {"action": "approve"}),
        ("w", "no", {"action": "reject"}),
        functions=FUNCTIONS,
    )

    run.resume("w", 1, "reject")

    assert run.heart.statuses == {"w": "completed", "no": "completed", "yes": "skipped"}


def test_resuming_what_does_not_wait_is_refused_with_the_reason() -> None:
    run = played({"w": "wait", "a": "same"}, ("w", "a"), functions=FUNCTIONS)
    run.tell(f.StepResumed(step_id=StepId("a"), output=1, action=None, by="me", at=run.heart.now()))
    assert run.heart.events[-1].type == "command.refused"

    run.resume("w", 1)
    decided = run.heart.tell(f.StepResumed(step_id=StepId("w"), output=2, action=None, by="me", at=run.heart.now()))

    assert decided == []
    assert run.run.output_of("w") == 1


def test_a_signal_that_comes_early_is_kept_for_the_wait() -> None:
    run = played(
        {"first": {"uses": "wait", "params": {"signal": "go"}}, "w": {"uses": "wait", "params": {"signal": "paid"}}},
        ("first", "w"),
        functions=FUNCTIONS,
        crashes=True,
    )
    signal(run, "paid", 1)
    signal(run, "paid", 2)
    assert run.run.status == "waiting"

    signal(run, "go", None)

    assert run.run.status == "completed"
    assert run.run.output_of("w") == 1
    assert run.run.context["_signals.paid"] == [2]


def test_a_signal_that_came_early_and_does_not_fit_the_form_is_kept_and_passed_over() -> None:
    params = {"signal": "paid", "form": {"type": "integer"}}
    run = played(
        {
            "first": {"uses": "wait", "params": {"signal": "go"}},
            "w": {"uses": "wait", "params": params},
            "x": {"uses": "wait", "params": params},
        },
        ("first", "w"),
        ("w", "x"),
        functions=FUNCTIONS,
        crashes=True,
    )
    for payload in ("much", "more", 3):
        signal(run, "paid", payload)

    signal(run, "go", None)

    assert run.run.output_of("w") == 3
    assert run.heart.statuses["x"] == "waiting"
    assert run.run.context["_signals.paid"] == ["much", "more"]
    unfit = [event.data for event in run.heart.events if event.type == "signal.unfit"]
    assert [(each["step"], each["signals"]) for each in unfit] == [("w", 2), ("x", 2)]
    assert "is not of type 'integer'" in unfit[0]["reason"]


def test_a_wait_goes_on_by_its_timeout_action_when_nobody_comes() -> None:
    wait = {"uses": "wait", "params": {"timeout": 1000, "timeoutAction": "late"}}
    run = played(
        {"w": wait, "ok": "same", "late": "same"}, ("w", "ok"), ("w", "late", {"action": "late"}), functions=FUNCTIONS
    )

    run.heart.wake("w")
    run.go()

    assert run.heart.statuses == {"w": "completed", "ok": "skipped", "late": "completed"}


def test_a_wait_without_a_timeout_action_fails_at_its_deadline() -> None:
    run = played({"w": {"uses": "wait", "params": {"timeout": 1000}}}, functions=FUNCTIONS)

    run.heart.wake("w")

    assert run.run.status == "failed"
    assert "deadline" in (run.run.steps[StepId("w")].reason or "")


def test_a_retry_with_a_backoff_waits_longer_each_time_up_to_its_cap() -> None:
    config = {"maxRetries": 5, "retryDelay": 1000, "retryBackoff": 2, "retryDelayMax": 3000}
    run = played({"a": {"uses": "boom", "config": config}}, functions=FUNCTIONS)
    delays = []
    while run.run.status == "running":
        key = next(iter(run.run.timers))
        delays.append(round(run.run.timers[key] - run.heart.time, 3))
        run.heart.wake("a")
        run.go()

    assert delays == [1.0, 2.0, 3.0, 3.0]
    assert run.run.status == "failed"


def test_an_error_class_that_is_never_retried_fails_at_once() -> None:
    config = {"maxRetries": 5, "neverRetryOn": ["ValueError"]}
    run = played({"a": {"uses": "boom", "config": config}}, functions=FUNCTIONS)

    assert run.run.steps[StepId("a")].attempt == 1


def test_only_named_error_classes_are_retried_where_some_are_named() -> None:
    config = {"maxRetries": 3, "retryOn": ["OSError"]}
    run = played({"a": {"uses": "boom", "config": config}}, functions=FUNCTIONS)

    assert run.run.steps[StepId("a")].attempt == 1


def test_a_join_goes_on_at_its_deadline_with_what_is_there() -> None:
    run = played(
        {"a": "same", "w": "wait", "j": {"uses": "same", "config": {"joinDeadline": 2000}}},
        ("a", "j"),
        ("w", "j"),
        functions=FUNCTIONS,
        crashes=True,
    )
    assert "j" not in run.run.steps

    run.heart.wake("j", TimerKind.JOIN)
    run.go()

    assert run.heart.statuses["j"] == "completed"
    run.resume("w", 1)
    assert run.run.status == "completed"


def test_late_losers_of_an_any_join_are_cancelled_if_declared() -> None:
    run = played(
        {"a": "same", "w": "wait", "j": {"uses": "same", "config": {"joinStrategy": "any", "joinLosers": "cancel"}}},
        ("a", "j"),
        ("w", "j"),
        functions=FUNCTIONS,
    )

    assert run.run.status == "completed"
    assert run.heart.statuses == {"a": "completed", "w": "cancelled", "j": "completed"}


def test_a_run_that_takes_too_long_fails() -> None:
    run = played({"w": "wait"}, functions=FUNCTIONS, metadata={"timeout": 60_000})

    run.heart.wake("", TimerKind.RUN)

    assert run.run.status == "failed"
    assert "60000 ms" in (run.run.reason or "")
    assert run.heart.statuses == {"w": "cancelled"}


def test_a_step_waits_for_its_child_run_and_takes_over_what_it_gives() -> None:
    run = played({"s": "subflow", "b": "same"}, ("s", "b"), functions=FUNCTIONS)
    started = [decision for decision in run.heart.decided if isinstance(decision, d.StartChild)]
    assert [start.step_id for start in started] == ["s"]
    child = started[0].waiting_for.run_id

    run.tell(ended(run, "someone-else", RunStatus.COMPLETED, 1))
    run.tell(ended(run, child, RunStatus.COMPLETED, 5, {"total": 5}))
    run.go()

    assert run.run.status == "completed"
    assert (run.run.output_of("b"), run.run.context["total"]) == (5, 5)


def test_a_child_that_fails_fails_its_step_which_is_retried_with_a_new_child() -> None:
    run = played({"s": {"uses": "subflow", "config": {"maxRetries": 2}}}, functions=FUNCTIONS)

    for attempt in (1, 2):
        child = run.run.steps[StepId("s")].waiting_for.run_id  # type: ignore[union-attr]
        assert child.endswith(f".{attempt}")
        run.tell(ended(run, child, RunStatus.FAILED, None))
        run.go()

    assert run.run.status == "failed"


def test_cancelling_a_run_cancels_its_children() -> None:
    run = played({"s": "subflow"}, functions=FUNCTIONS)

    run.heart.cancel()

    told = [decision for decision in run.heart.decided if isinstance(decision, d.TellChild)]
    assert [(tell.step_id, tell.command) for tell in told] == [("s", "cancel")]


def test_a_run_started_for_later_begins_when_its_time_has_come() -> None:
    run = Play(graph_of({"a": "same"}), FUNCTIONS, random=Random(1), crashes=True)
    run.tell(f.RunStarted(at=1.0, not_before=100.0))
    assert (run.run.status, run.heart.due) == ("waiting", set())

    run.heart.wake("", TimerKind.START)
    run.go()

    assert run.run.status == "completed"


@pytest.mark.parametrize("seed", range(6))
def test_a_wait_in_a_loop_waits_in_every_round(seed: int) -> None:
    loop = {"uses": "loop-controller", "params": {"condition": "w.more"}, "config": {"joinStrategy": "any"}}
    run = played(
        {"first": "wait", "loop": loop, "w": "wait", "end": "same"},
        ("first", "loop"),
        ("loop", "w", {"action": "continue"}),
        ("w", "loop"),
        ("loop", "end", {"action": "break"}),
        functions=FUNCTIONS,
        initial={"w": {"more": True}},
        random=Random(seed),
        crashes=True,
    )
    run.resume("first")
    run.resume("w[1]", {"more": True})
    run.resume("w[2]", {"more": False})

    assert run.run.status == "completed"
    assert run.counts["w"] == 2


def ended(
    play: Play, child: str, status: RunStatus, output: Any, changes: dict[str, Any] | None = None
) -> f.ChildEnded:
    return f.ChildEnded(
        step_id=StepId("s"),
        child=RunId(child),
        status=status,
        output=output,
        changes=changes or {},
        reason=None,
        at=play.heart.now(),
    )
