"""How runs begin, go on and end (blueprint specification, sections 3, 8 and 11)."""

from __future__ import annotations

import pytest
from support.heart import Heart, graph_of, snapshot

from famulus.flow import decisions as d
from famulus.flow import facts as f
from famulus.ids import StepId


def runs(heart: Heart, step_id: str) -> list[d.RunStep]:
    return [decision for decision in heart.decided if isinstance(decision, d.RunStep) and decision.step_id == step_id]


def types(heart: Heart) -> list[str]:
    return [event.type for event in heart.events]


def test_all_nodes_without_incoming_edge_start() -> None:
    heart = Heart(graph_of(dict.fromkeys("abcd", "x"), ("a", "b"), ("c", "d"))).start()

    assert heart.due == {"a", "c"}


def test_an_empty_blueprint_completes() -> None:
    heart = Heart(graph_of({})).start()

    assert heart.run.status == "completed"
    assert types(heart) == ["run.started", "run.completed"]


def test_components_run_side_by_side_and_the_run_ends_with_the_last_of_them() -> None:
    heart = Heart(graph_of(dict.fromkeys("abcd", "x"), ("a", "b"), ("c", "d"))).start()

    heart.succeed("a")
    heart.succeed("c")
    heart.succeed("b")
    before = heart.run.status
    heart.succeed("d")

    assert (before, heart.run.status) == ("running", "completed")


def test_a_run_with_several_endings_completes_with_the_last_one() -> None:
    heart = Heart(graph_of(dict.fromkeys("abc", "x"), ("a", "b"), ("a", "c"))).start()

    heart.succeed("a")
    heart.succeed("c")
    before = heart.run.status
    heart.succeed("b")

    assert (before, heart.run.status) == ("running", "completed")


def test_starting_twice_changes_nothing() -> None:
    heart = Heart(graph_of({"a": "x"})).start()

    assert heart.tell(f.RunStarted(at=9)) == []
    heart.succeed("a")
    assert heart.tell(f.RunStarted(at=9)) == []


def test_a_cycle_is_entered_at_its_first_node_and_its_closing_edge_starts_nothing() -> None:
    heart = Heart(graph_of(dict.fromkeys("abc", "x"), ("a", "b"), ("b", "c"), ("c", "a"))).start()

    assert heart.due == {"a"}
    for name in "abc":
        heart.succeed(name)
    assert heart.run.status == "completed"


def test_a_cycle_is_entered_at_its_declared_entry_point() -> None:
    graph = graph_of(
        dict.fromkeys("abc", "x"), ("a", "b"), ("b", "c"), ("c", "a"), metadata={"cycleEntryPoints": ["b"]}
    )
    heart = Heart(graph).start()

    assert heart.due == {"b"}
    for name in "bca":
        heart.succeed(name)
    assert heart.run.status == "completed"


def test_a_node_that_leads_to_itself_runs_once() -> None:
    heart = Heart(graph_of({"a": "x"}, ("a", "a"))).start()

    heart.succeed("a")

    assert heart.run.status == "completed"


def test_a_cycle_beside_a_start_node_is_never_entered_and_blocks_no_join() -> None:
    heart = Heart(graph_of(dict.fromkeys("abcj", "x"), ("b", "c"), ("c", "b"), ("c", "j"), ("a", "j"))).start()

    heart.succeed("a")
    heart.succeed("j")

    assert heart.statuses == {"a": "completed", "j": "completed"}
    assert heart.run.status == "completed"


def test_a_back_edge_into_a_join_is_not_waited_for() -> None:
    heart = Heart(graph_of(dict.fromkeys("ahbe", "x"), ("a", "h"), ("h", "b"), ("b", "h"), ("b", "e"))).start()

    for name in "ahbe":
        heart.succeed(name)

    assert heart.run.status == "completed"


def test_a_node_entered_with_the_run_is_not_started_again_by_an_edge_from_another_cycle() -> None:
    heart = Heart(
        graph_of(dict.fromkeys("abcd", "x"), ("a", "b"), ("b", "a"), ("c", "d"), ("d", "c"), ("b", "c"))
    ).start()
    assert heart.due == {"a", "c"}

    heart.succeed("c")
    for name in "abd":
        heart.succeed(name)

    assert heart.run.status == "completed"
    assert len(runs(heart, "c")) == 1


def test_a_fallback_node_does_not_start_with_the_run() -> None:
    heart = Heart(graph_of({"a": {"uses": "x", "config": {"fallback": "f"}}, "f": "x"})).start()

    assert heart.due == {"a"}
    heart.succeed("a")
    assert heart.run.status == "completed"


# -- attempts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("max_retries", "attempts"), [(0, 1), (1, 1), (3, 3)])
def test_max_retries_is_the_number_of_attempts(max_retries: int, attempts: int) -> None:
    heart = Heart(graph_of({"a": {"uses": "x", "config": {"maxRetries": max_retries}}})).start()

    while heart.due:
        heart.fail("a")

    assert [run.attempt for run in runs(heart, "a")] == list(range(1, attempts + 1))
    assert heart.run.steps["a"].attempt == attempts
    assert heart.run.status == "failed"


def test_a_retry_waits_for_the_declared_delay() -> None:
    heart = Heart(graph_of({"a": {"uses": "x", "config": {"maxRetries": 2, "retryDelay": 1500}}})).start()

    heart.fail("a")
    assert heart.due == set()
    heart.wake("a")

    assert heart.due == {"a"}
    assert heart.time >= 1.5
    assert heart.statuses["a"] == "retrying"


def test_a_failure_that_is_not_retryable_ends_the_step_at_once() -> None:
    heart = Heart(graph_of({"a": {"uses": "x", "config": {"maxRetries": 5}}})).start()

    heart.fail("a", retryable=False)

    assert heart.statuses["a"] == "failed"


def test_a_late_failure_of_an_earlier_attempt_changes_nothing() -> None:
    heart = Heart(graph_of({"a": {"uses": "x", "config": {"maxRetries": 3}}})).start()
    late = heart.failed("a")
    heart.tell(late)
    before = snapshot(heart.run)

    assert heart.tell(late) == []
    assert snapshot(heart.run) == before


def test_a_late_success_of_an_earlier_attempt_changes_nothing() -> None:
    heart = Heart(graph_of({"a": {"uses": "x", "config": {"maxRetries": 3}}})).start()
    late = heart.succeeded("a")
    heart.fail("a")

    assert heart.tell(late) == []


def test_a_step_that_succeeds_after_a_retry_has_no_error_and_no_reason() -> None:
    heart = Heart(graph_of({"a": {"uses": "x", "config": {"maxRetries": 3}}})).start()

    heart.fail("a", "the first time")
    heart.succeed("a")

    step = heart.run.steps["a"]
    assert (step.status, step.attempt, step.error, step.reason) == ("completed", 2, None, None)


# -- taken, parked ---------------------------------------------------------------------------------------------------


def taken(heart: Heart, worker: str = "w1") -> f.StepTaken:
    return f.StepTaken(step_id=StepId("a"), attempt=heart.attempt_of("a"), worker=worker, started_at=1.0, at=2.0)


def test_a_step_that_is_reported_as_taken_twice_is_recorded_once() -> None:
    heart = Heart(graph_of({"a": "x"})).start()

    heart.tell(taken(heart))

    assert heart.statuses == {"a": "running"}
    assert heart.tell(taken(heart)) == []


def test_a_step_that_another_worker_takes_is_recorded_with_that_worker() -> None:
    heart = Heart(graph_of({"a": "x"})).start()

    heart.tell(taken(heart))
    heart.tell(taken(heart, "w2"))

    assert heart.run.steps["a"].worker == "w2"
    assert heart.run.live == 1


def test_a_step_that_ended_is_not_taken_any_more() -> None:
    heart = Heart(graph_of({"a": "x", "b": "x"})).start()
    late = taken(heart)
    heart.succeed("a")

    assert heart.tell(late) == []


def test_a_parked_step_keeps_the_run_open_and_is_not_due() -> None:
    heart = Heart(graph_of({"a": "x"})).start()
    parked = f.StepParked(step_id=StepId("a"), attempt=1, reason="no implementation", at=1.0)

    heart.tell(parked)

    assert heart.due == set()
    assert (heart.run.status, heart.run.live) == ("waiting", 1)
    assert heart.reloaded().steps["a"].status == "parked"
    assert heart.tell(parked) == []


def test_an_unparked_step_runs_with_its_attempt_and_only_once() -> None:
    heart = Heart(graph_of({"a": {"uses": "x", "config": {"maxRetries": 3}}})).start()
    heart.fail("a")
    heart.tell(f.StepParked(step_id=StepId("a"), attempt=2, reason="no implementation", at=1.0))
    unparked = f.StepUnparked(step_id=StepId("a"), at=2.0)

    heart.tell(unparked)

    assert heart.tell(unparked) == []
    assert [run.attempt for run in runs(heart, "a")] == [1, 2, 2]
    heart.succeed("a")
    assert heart.run.status == "completed"


# -- cancelling and refusing -----------------------------------------------------------------------------------------


def test_cancelling_stops_what_is_live_and_keeps_the_context() -> None:
    heart = Heart(graph_of(dict.fromkeys("abcd", "x"), ("a", "d"), ("b", "d")), {"key": 1}).start()
    heart.succeed("a", "out")

    heart.cancel("enough")

    assert heart.statuses == {"a": "completed", "b": "cancelled", "c": "cancelled"}
    assert (heart.run.status, heart.run.reason) == ("cancelled", "enough")
    assert heart.run.user_context() == {"key": 1, "a": "out"}
    stopped = {decision.step_id for decision in heart.decided if isinstance(decision, d.StopStep)}
    assert stopped == {"b", "c"}
    assert heart.run.live == 0


def test_cancelling_before_the_run_has_started_ends_it_without_a_step() -> None:
    heart = Heart(graph_of({"a": "x"}))

    heart.cancel()
    heart.start()

    assert (heart.run.status, heart.statuses) == ("cancelled", {})


def test_nothing_changes_a_run_that_has_ended() -> None:
    heart = Heart(graph_of(dict.fromkeys("ab", "x"), ("a", "b"))).start()
    late = [heart.succeeded("a", 1), heart.failed("a"), taken(heart)]
    heart.cancel()
    before = snapshot(heart.run)

    for fact in [*late, f.CancelRequested(by="x", reason="y", at=9), f.StepUnparked(step_id=StepId("a"), at=9)]:
        assert heart.tell(fact) == []

    assert snapshot(heart.run) == before


@pytest.mark.parametrize("ended", [False, True])
def test_a_refused_start_is_an_event_and_changes_nothing_else(ended: bool) -> None:  # noqa: FBT001
    heart = Heart(graph_of({"a": "x"})).start()
    if ended:
        heart.succeed("a")
    before = heart.statuses, heart.run.status

    heart.tell(f.StartRefused(detail="another input", at=5))

    assert types(heart)[-1] == "run.start_refused"
    assert (heart.statuses, heart.run.status) == before


# -- sequence numbers and the first failure --------------------------------------------------------------------------


def test_sequence_numbers_are_given_once_and_without_gaps() -> None:
    heart = Heart(graph_of(dict.fromkeys("abj", "x"), ("a", "j", {"transform": "input"}), ("b", "j"))).start()
    heart.succeed("a", 1, key=1, other=2)
    heart.fail("b", third=3)

    seqs = [event.seq for event in heart.events]
    seqs += [decision.step.seq for decision in heart.decided if isinstance(decision, d.RecordStep)]
    seqs += [decision.seq for decision in heart.decided if isinstance(decision, d.WriteContext)]

    assert sorted(seqs) == list(range(heart.run.next_seq))


def test_the_reason_of_a_failed_run_names_the_step_that_failed_first_also_after_a_reload() -> None:
    heart = Heart(graph_of(dict.fromkeys("abc", "x"))).start()

    heart.fail("b")
    heart.fail("a")
    heart.run = heart.reloaded()
    heart.succeed("c")

    assert heart.run.reason == "step b failed"


def test_a_long_reason_is_cut() -> None:
    heart = Heart(graph_of(dict.fromkeys("ab", "x"))).start()

    heart.fail("a", "x" * 100_000)
    heart.cancel("y" * 100_000)

    assert all(len(step.reason or "") <= 2000 for step in heart.run.steps.values())
    assert len(heart.run.reason or "") <= 2000
    assert all(len(str(event.data)) < 5000 for event in heart.events)
