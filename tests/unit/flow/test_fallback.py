"""Fallbacks (blueprint specification, section 8): who runs instead of a node that failed, and what follows from it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from support.heart import Heart, graph_of
from support.world import World, blueprint, outputs, statuses

from famulus.flow import facts as f
from famulus.ids import StepId


def falls_back_to(fallback: str, **config: Any) -> dict[str, Any]:
    return {"uses": "x", "config": {"fallback": fallback, **config}}


def guarded(*edges: tuple[Any, ...], **nodes: Any) -> Heart:
    """`a` falls back to `f` and leads to `b`."""
    return Heart(graph_of({"a": falls_back_to("f"), "f": "x", "b": "x", **nodes}, ("a", "b"), *edges)).start()


def test_the_failed_node_is_completed_with_null_and_keeps_its_error() -> None:
    heart = guarded()

    heart.fail("a", "boom")

    step = heart.run.steps[StepId("a")]
    assert (step.status, step.output, step.reason) == ("completed", None, "ValueError: boom")
    assert step.error is not None
    assert heart.run.context["a"] is None
    (event,) = (event for event in heart.events if event.type == "step.failed")
    assert event.data["fallback"] == "f"


def test_the_fallback_starts_and_none_of_the_edges_fires_yet() -> None:
    heart = guarded()

    heart.fail("a")

    assert heart.statuses == {"a": "completed", "f": "scheduled"}


def test_the_fallback_starts_only_after_the_last_attempt() -> None:
    heart = guarded(a=falls_back_to("f", maxRetries=2))

    heart.fail("a")
    before = heart.due
    heart.fail("a")

    assert (before, heart.due) == ({"a"}, {"f"})


def test_an_error_that_allows_no_retry_has_the_fallback_too() -> None:
    heart = guarded(a=falls_back_to("f", maxRetries=3))

    heart.fail("a", retryable=False)

    assert heart.due == {"f"}


def test_when_the_fallback_completes_its_own_edges_and_those_of_the_node_fire_with_its_result() -> None:
    heart = guarded(("f", "c"), c="x")

    heart.fail("a")
    heart.succeed("f", "saved")

    assert heart.due == {"b", "c"}
    assert (heart.given_to("b"), heart.given_to("c")) == ("saved", "saved")
    heart.crash()
    assert heart.due == {"b", "c"}
    assert (heart.given_to("b"), heart.given_to("c")) == ("saved", "saved")


def test_a_transform_and_a_condition_of_the_failed_node_see_the_result_of_the_fallback() -> None:
    edges = (
        ("a", "b", {"transform": "input.v", "condition": "result.output.ok"}),
        ("a", "c", {"condition": "result.output.no"}),
    )
    heart = Heart(graph_of({"a": falls_back_to("f"), "f": "x", "b": "x", "c": "x"}, *edges)).start()

    heart.fail("a")
    heart.succeed("f", {"v": 7, "ok": True})

    assert heart.due == {"b"}
    assert heart.given_to("b") == 7
    assert heart.statuses["c"] == "skipped"


def test_the_action_of_the_fallback_selects_among_the_edges_of_the_node() -> None:
    edges = (("a", "b", {"action": "good"}), ("a", "c", {"action": "bad"}), ("a", "d"))
    heart = Heart(graph_of({"a": falls_back_to("f"), **dict.fromkeys("fbcd", "x")}, *edges)).start()

    heart.fail("a")
    heart.succeed("f", action="bad")

    assert heart.due == {"c"}


def test_edges_without_action_do_not_fire_beside_an_action_edge_of_the_fallback() -> None:
    heart = guarded(("f", "c", {"action": "done"}), c="x")

    heart.fail("a")
    heart.succeed("f", action="done")

    assert heart.due == {"c"}
    assert heart.statuses["b"] == "skipped"


def test_a_handled_failure_is_no_failure_of_the_run() -> None:
    heart = guarded()

    heart.fail("a")
    heart.succeed("f")
    heart.succeed("b")

    assert heart.run.status == "completed"


def test_a_fallback_waits_for_its_own_predecessors() -> None:
    heart = guarded(("p", "f", {"action": "never"}), p="x")

    heart.fail("a")
    before = heart.due
    heart.succeed("p")

    assert (before, heart.due) == ({"p"}, {"f"})


def test_a_fallback_whose_own_predecessor_failed_is_blocked_and_so_are_the_branches_of_its_nodes() -> None:
    heart = guarded(("p", "f"), p="x")

    heart.fail("a")
    heart.fail("p")

    assert heart.statuses == {"a": "completed", "p": "failed", "f": "skipped", "b": "skipped"}
    assert heart.run.steps[StepId("b")].blocked
    assert heart.run.status == "failed"


def test_all_nodes_that_name_a_fallback_share_one_run_of_it() -> None:
    nodes = {"a": falls_back_to("f"), "b": falls_back_to("f"), "f": "x", "c": "x", "d": "x"}
    heart = Heart(graph_of(nodes, ("a", "c"), ("b", "d"))).start()

    heart.fail("a")
    heart.fail("b")
    before = heart.due
    heart.succeed("f", "saved")

    assert (before, heart.due) == ({"f"}, {"c", "d"})
    assert (heart.given_to("c"), heart.given_to("d")) == ("saved", "saved")


def test_the_edges_of_a_node_that_did_not_fail_fire_with_its_own_result_only() -> None:
    nodes = {"a": falls_back_to("f"), "b": falls_back_to("f"), "f": "x", "c": "x", "d": "x"}
    heart = Heart(graph_of(nodes, ("a", "c"), ("b", "d"))).start()

    heart.fail("a")
    heart.succeed("f", "saved")
    heart.succeed("b", "own")

    assert heart.given_to("d") == "own"
    assert heart.statuses["f"] == "completed"


@pytest.mark.parametrize("crashed", [False, True])
def test_a_node_that_fails_after_the_fallback_has_completed_fires_its_edges_all_the_same(*, crashed: bool) -> None:
    nodes = {"a": falls_back_to("f"), "b": falls_back_to("f"), "f": "x", "c": "x", "d": "x"}
    heart = Heart(graph_of(nodes, ("a", "c"), ("b", "d"))).start()

    heart.fail("a")
    heart.succeed("f", "saved")
    heart.fail("b")
    if crashed:
        heart.crash()

    assert heart.due == {"c", "d"}
    assert heart.given_to("d") == "saved"


def test_a_fallback_that_an_edge_started_serves_a_node_that_fails_behind_it() -> None:
    heart = Heart(graph_of({"f": "x", "a": falls_back_to("f"), "s": "x", "b": "x"}, ("s", "f"), ("f", "a"), ("a", "b")))
    heart.start()

    heart.succeed("s")
    heart.succeed("f", "first")
    heart.fail("a")

    assert heart.due == {"b"}
    assert heart.given_to("b") == "first"


def test_a_join_fed_by_the_failed_node_waits_for_the_fallback() -> None:
    heart = guarded(("c", "b"), c="x")

    heart.fail("a")
    heart.succeed("c")
    before = heart.due
    heart.succeed("f")

    assert (before, heart.due) == ({"f"}, {"b"})


def test_a_fallback_that_fails_fails_the_run_and_blocks_the_branches_of_its_nodes() -> None:
    heart = guarded()

    heart.fail("a")
    heart.fail("f")

    assert heart.statuses == {"a": "completed", "f": "failed", "b": "skipped"}
    assert heart.run.steps[StepId("b")].blocked
    assert (heart.run.status, heart.run.reason) == ("failed", "step f failed")


def test_a_join_blocked_by_node_and_fallback_gives_the_same_reason_after_a_crash() -> None:
    live, crashed = guarded(("f", "b")), guarded(("f", "b"))
    for heart in (live, crashed):
        heart.fail("a")
        heart.tell(heart.failed("f"))

    live.count_joins()
    crashed.crash()

    assert live.run.steps[StepId("b")].reason == crashed.run.steps[StepId("b")].reason


def test_other_failures_fail_the_run_although_a_fallback_has_run() -> None:
    heart = guarded(c="x")

    heart.fail("a")
    heart.succeed("f")
    heart.succeed("b")
    heart.fail("c")

    assert heart.run.status == "failed"


def test_a_fallback_that_does_not_exist_handles_nothing() -> None:
    heart = Heart(graph_of({"a": falls_back_to("ghost"), "b": "x"}, ("a", "b"))).start()

    heart.fail("a")

    assert heart.statuses == {"a": "failed", "b": "skipped"}
    assert heart.run.status == "failed"


def test_a_fatal_failure_has_no_fallback() -> None:
    heart = guarded()
    error = f.ErrorInfo(type="MissingImplementation", message="no")

    heart.tell(
        f.StepFailed(
            step_id=StepId("a"), attempt=1, error=error, retryable=False, fatal=True, changes={}, started_at=0, at=1
        )
    )
    heart.count_joins()

    assert heart.statuses == {"a": "failed", "b": "skipped", "f": "skipped"}
    assert heart.run.status == "failed"


def test_an_unused_fallback_is_skipped_as_soon_as_no_node_can_need_it() -> None:
    nodes = {"a": falls_back_to("f"), "b": falls_back_to("f"), "f": "x", "g": "x"}
    heart = Heart(graph_of(nodes, ("f", "g"))).start()

    heart.succeed("a")
    before = dict(heart.statuses)
    heart.succeed("b")

    assert "f" not in before
    assert heart.statuses == {"a": "completed", "b": "completed", "f": "skipped", "g": "skipped"}
    assert heart.run.steps[StepId("f")].reason == "no node needs it as a fallback"
    assert heart.run.status == "completed"


def test_the_fallback_of_a_node_that_is_skipped_is_skipped_too() -> None:
    heart = Heart(graph_of({"s": "x", "a": falls_back_to("f"), "f": "x"}, ("s", "a", {"action": "never"}))).start()

    heart.succeed("s")

    assert heart.statuses == {"s": "completed", "a": "skipped", "f": "skipped"}


def test_an_unused_fallback_does_not_block_a_join() -> None:
    heart = guarded(("f", "b"))

    heart.succeed("a")

    assert heart.due == {"b"}


def test_a_join_fed_by_node_and_fallback_starts_once_when_the_fallback_has_run() -> None:
    heart = guarded(("f", "b"))

    heart.fail("a")
    heart.succeed("f")
    heart.succeed("b")

    assert heart.statuses == {"a": "completed", "f": "completed", "b": "completed"}


def test_a_fallback_with_edges_of_its_own_starts_in_the_ordinary_way_and_only_once() -> None:
    heart = guarded(("p", "f"), p="x")

    heart.succeed("p")
    before = heart.due
    heart.succeed("f", "early")
    heart.fail("a")

    assert before == {"a", "f"}
    assert heart.given_to("b") == "early"


def test_an_edge_to_the_own_fallback_starts_it_if_it_fires_and_does_not_hold_it_up_else() -> None:
    good, bad = guarded(("a", "f")), guarded(("a", "f"))

    good.succeed("a")
    bad.fail("a")

    assert good.due == {"b", "f"}
    assert bad.due == {"f"}


def test_what_leads_to_the_fallback_is_left_out_when_the_node_before_it_fails() -> None:
    good, bad = guarded(("b", "f")), guarded(("b", "f"))

    good.succeed("a")
    good.succeed("b")
    bad.fail("a")
    bad.succeed("f")

    assert good.due == {"f"}
    assert bad.statuses == {"a": "completed", "b": "skipped", "f": "completed"}
    assert bad.run.status == "completed"


def test_a_chain_that_shares_one_fallback_goes_on_behind_it() -> None:
    nodes = {"a": falls_back_to("f"), "b": falls_back_to("f"), "c": "x", "f": "x"}
    heart = Heart(graph_of(nodes, ("a", "b"), ("b", "c"))).start()

    heart.fail("a")
    heart.succeed("f", "saved")
    heart.fail("b")

    assert heart.due == {"c"}
    assert heart.given_to("c") == "saved"


def test_the_fallback_of_a_fallback_stands_in_for_both() -> None:
    heart = guarded(("f", "c"), f=falls_back_to("g"), g="x", c="x")

    heart.fail("a")
    heart.fail("f")
    before = heart.due
    heart.succeed("g", "at last")

    assert (before, heart.due) == ({"g"}, {"b", "c"})
    heart.crash()
    assert (heart.given_to("b"), heart.given_to("c")) == ("at last", "at last")


def test_nodes_that_are_each_other_s_fallback_and_both_fail_fail_the_run() -> None:
    nodes = {"s": "x", "a": falls_back_to("f"), "f": falls_back_to("a"), "b": "x"}
    heart = Heart(graph_of(nodes, ("s", "a"), ("a", "b"))).start()

    heart.succeed("s")
    heart.fail("a")
    heart.fail("f")

    assert heart.statuses == {"s": "completed", "a": "completed", "f": "failed", "b": "skipped"}
    assert heart.run.status == "failed"


def test_a_crash_before_the_fallback_starts_loses_nothing() -> None:
    heart = guarded()
    heart.tell(heart.failed("a"))

    heart.crash()

    assert heart.due == {"f"}


def test_a_failure_that_an_older_release_recorded_stays_one_and_its_fallback_is_settled() -> None:
    heart = guarded(c="x")
    error = f.ErrorInfo(type="ValueError", message="boom")
    heart.tell(
        f.StepFailed(
            step_id=StepId("a"), attempt=1, error=error, retryable=False, fatal=True, changes={}, started_at=0, at=1
        )
    )

    heart.crash()

    assert heart.statuses == {"a": "failed", "b": "skipped", "c": "scheduled", "f": "skipped"}


def test_the_cost_of_a_failure_does_not_grow_with_the_nodes_that_share_the_fallback() -> None:
    def seconds_for_each(width: int) -> float:
        names = [f"n{i}" for i in range(width)]
        nodes = {**{name: falls_back_to("f") for name in names}, "f": "x"}
        heart = Heart(graph_of(nodes)).start()
        facts = [heart.failed(name) for name in names]
        began = time.process_time()
        for fact in facts:
            heart.tell(fact)
        return (time.process_time() - began) / width

    few = min(seconds_for_each(200) for _ in range(3))
    many = min(seconds_for_each(6000) for _ in range(2))

    assert many < 5 * few


async def one() -> int:
    return 1


async def broken() -> None:
    raise RuntimeError("out of order")


async def test_a_run_with_a_fallback_completes_and_its_view_tells_why() -> None:
    document = blueprint(
        "b",
        {"a": {"uses": "broken", "config": {"fallback": "f"}}, "f": "one", "j": "one"},
        ("a", "j"),
        ("f", "j"),
    )

    async with World({"one": one, "broken": broken}) as world:
        view = await world.run(document)

    assert view.summary.status == "completed"
    assert statuses(view) == {"a": "completed", "f": "completed", "j": "completed"}
    assert outputs(view) == {"a": None, "f": 1, "j": 1}
    assert view.steps[0].reason == "RuntimeError: out of order"


async def test_a_missing_implementation_has_no_fallback() -> None:
    document = blueprint("b", {"a": {"uses": "ghost", "config": {"fallback": "f"}}, "f": "one"})

    async with World({"one": one}) as world:
        view = await world.run(document)

    assert view.summary.status == "failed"
    assert statuses(view) == {"a": "failed", "f": "skipped"}
