"""Each rule of the auditor: silent about a run as the heart makes it, and heard when a row of it is broken by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest
from support.audited import STAMP, rows_of
from support.play import Play, played

from famulus.blueprint.graph import Graph
from famulus.engine.audit import deviations_of
from famulus.flow import facts as f
from famulus.flow.limits import RunLimits
from famulus.flow.waiting import TimerKey, TimerKind
from famulus.ids import Epoch, NodeId, Stamp, StepId, stamp_of
from famulus.nodes import Result
from famulus.ports import EventRow, RunRows, StepRow

LOOP = {"uses": "loop-controller", "params": {"condition": "work", "maxRounds": 3}}
MAP = {"uses": "map", "params": {"uses": "x"}, "inputs": "items"}


@dataclass(frozen=True)
class Book:
    """What is recorded of a run, to be changed by hand."""

    graph: Graph
    rows: RunRows
    events: tuple[EventRow, ...]
    limits: RunLimits | None = None

    @property
    def found(self) -> set[tuple[str | None, str]]:
        return {
            (deviation.step_id, deviation.code)
            for deviation in deviations_of(self.graph, self.rows, self.events, limits=self.limits)
        }

    def row(self, step_id: str) -> StepRow:
        return next(row for row in self.rows.steps if row.step_id == step_id)

    def event(self, type_: str, step_id: str | None = None) -> EventRow:
        return next(
            event
            for event in self.events
            if event.type == type_ and step_id in (None, msgspec.json.decode(event.data).get("step"))
        )

    def with_head(self, **changes: Any) -> Book:
        return replace(self, rows=replace(self.rows, head=replace(self.rows.head, **changes)))

    def with_step(self, step_id: str, **changes: Any) -> Book:
        steps = [replace(row, **changes) if row.step_id == step_id else row for row in self.rows.steps]
        assert steps != list(self.rows.steps)
        return replace(self, rows=replace(self.rows, steps=steps))

    def with_rows(self, *rows: StepRow) -> Book:
        return replace(self, rows=replace(self.rows, steps=[*self.rows.steps, *rows]))

    def without_step(self, step_id: str) -> Book:
        return replace(self, rows=replace(self.rows, steps=[row for row in self.rows.steps if row.step_id != step_id]))

    def without_key(self, key: str) -> Book:
        return replace(self, rows=replace(self.rows, context=[row for row in self.rows.context if row.key != key]))

    def with_event(self, event: EventRow, **changes: Any) -> Book:
        assert event in self.events
        return replace(self, events=tuple(replace(e, **changes) if e is event else e for e in self.events))

    def without_event(self, event: EventRow) -> Book:
        return replace(self, events=tuple(each for each in self.events if each is not event))

    def told(self, type_: str, **data: Any) -> Book:
        """One more event, at the end."""
        seq = self.rows.head.next_seq
        event = EventRow(seq=seq, type=type_, at=0.0, data=msgspec.json.encode(data), stamp=STAMP)
        return replace(self.with_head(next_seq=seq + 1), events=(*self.events, event))

    def moved(self, places: dict[int, int]) -> Book:
        """The same rows and events at other places in the order of the run."""
        steps = [replace(row, seq=places.get(row.seq, row.seq)) for row in self.rows.steps]
        events = tuple(replace(event, seq=places.get(event.seq, event.seq)) for event in self.events)
        return replace(self, rows=replace(self.rows, steps=steps), events=events)


def book(play: Play) -> Book:
    rows, events = rows_of(play.heart)
    made = Book(play.heart.graph, rows, tuple(events))
    assert made.found == set()
    return made


def x(given: Any, _run: Any, _step: Any) -> Any:
    return given


def boom(*_: Any) -> Any:
    raise ValueError("no")


def chain(**more: Any) -> Book:
    return book(played({"a": "x", "b": "x"}, ("a", "b"), functions={"x": x, "boom": boom}, **more))


def diamond(join: str = "all", *, left: str = "x", right: str = "x") -> Book:
    return book(
        played(
            {"a": "x", "left": left, "right": right, "join": {"uses": "x", "config": {"joinStrategy": join}}},
            ("a", "left"),
            ("a", "right"),
            ("left", "join"),
            ("right", "join"),
            functions={"x": x, "boom": boom},
        )
    )


def exchanged(of: Book, one: str, other: str) -> Book:
    """The same run, had the one step been recorded when the other was."""
    here, there = of.row(one).seq, of.row(other).seq
    return of.moved({here: there, here + 1: there + 1, there: here, there + 1: here + 1})


def waiting() -> Book:
    return book(played({"w": "wait", "a": "x"}, ("w", "a"), functions={"x": x}))


def mapped() -> Book:
    return book(played({"m": MAP}, functions={"x": x}, initial={"items": [1, 2, 3]}))


def looped() -> Book:
    """Twice round."""

    def work(_given: Any, run: Any, _step: Any) -> Any:
        return run.rounds["loop"] < 2

    return book(
        played(
            {"loop": LOOP, "work": "work", "after": "x"},
            ("loop", "work", {"action": "continue"}),
            ("work", "loop"),
            ("loop", "after", {"action": "break"}),
            functions={"x": x, "work": work},
            initial={"work": True},
        )
    )


# -- the order of what is recorded -------------------------------------------------------------------------------------


def test_two_rows_at_one_place_are_found() -> None:
    run = chain()

    assert (None, "order.twice") in run.with_event(run.event("run.completed"), seq=run.row("b").seq).found


def test_a_row_at_a_place_that_is_still_to_be_given_is_found() -> None:
    run = chain()

    assert run.with_head(next_seq=run.rows.head.next_seq - 1).found == {(None, "order.ahead")}


def test_an_event_of_an_earlier_owner_after_one_of_a_later_is_found() -> None:
    run = chain()
    later = stamp_of(Epoch(2), 1)

    found = run.with_event(run.event("run.started"), stamp=later).found

    assert found == {("a", "order.stale_writer")}


@pytest.mark.parametrize("seals", [{1: STAMP}, {0: STAMP}])
def test_a_seal_of_the_owner_itself_or_at_a_stamp_of_another_epoch_is_found(seals: dict[int, int]) -> None:
    assert chain().with_head(seals=seals).found == {(None, "seal.wrong")}


def test_a_row_that_cannot_be_read_is_found_and_hides_nothing_else() -> None:
    run = chain().with_step("b", output=b"{").with_head(ended_at=None)

    assert {("b", "row.unreadable"), (None, "run.end_time")} <= run.found


def test_a_step_of_an_unknown_node_is_found() -> None:
    run = chain()

    assert ("c", "row.unreadable") in run.with_rows(
        replace(run.row("b"), step_id=StepId("c"), node_id=NodeId("c"))
    ).found


def test_context_and_events_that_cannot_be_read_are_found() -> None:
    run = mapped()
    context = [replace(row, value=b"{") for row in run.rows.context]

    assert (None, "row.unreadable") in replace(run, rows=replace(run.rows, context=context)).found
    assert (None, "row.unreadable") in run.with_event(run.event("run.started"), data=b"[]").found


def test_rows_that_give_no_state_are_found() -> None:
    assert chain().with_step("a", fired=(99,)).found >= {(None, "run.unreadable"), ("a", "edge.unknown")}


# -- rows and events ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [chain, diamond, mapped, looped, lambda: diamond(left="boom")])
def test_an_outcome_without_its_event_is_found(made: Callable[[], Book]) -> None:
    run = made()
    for row in run.rows.steps:
        event = run.event(f"step.{row.status}", row.step_id)
        assert (row.step_id, "event.missing") in run.without_event(event).found, row


def test_an_outcome_and_its_event_in_different_batches_are_found() -> None:
    run = chain()

    assert run.with_step("a", stamp=Stamp(STAMP - 1)).found == {("a", "event.missing")}


def test_a_step_that_waits_without_an_event_is_found() -> None:
    run = waiting()

    assert run.without_event(run.event("step.waiting")).found == {("w", "event.missing")}


def test_an_outcome_whose_row_is_gone_is_found() -> None:
    assert ("b", "outcome.lost") in chain().without_step("b").found


def test_an_outcome_whose_row_says_another_is_found() -> None:
    assert ("b", "outcome.replaced") in chain().with_step("b", status="skipped").found
    assert ("b", "outcome.replaced") in chain().with_step("b", attempt=2).found


def test_a_step_that_is_stored_as_due_is_found() -> None:
    assert ("b", "step.stored_as_due") in chain().with_step("b", status="scheduled", ended_at=None).found


def test_a_step_that_completes_twice_is_found() -> None:
    run = chain()
    again = run.told("step.completed", step="b", node="b", attempt=1)

    assert ("b", "outcome.twice") in again.found


def test_a_step_that_fails_for_good_twice_is_found_unless_it_was_tried_again_on_request() -> None:
    run = diamond(left="boom")

    assert ("left", "outcome.twice") in run.told("step.failed", step="left", node="left", attempt=1).found


def test_a_step_that_goes_on_after_its_outcome_is_found() -> None:
    assert ("b", "outcome.not_final") in chain().told("step.retrying", step="b", node="b", attempt=1).found


def test_more_attempts_than_the_node_allows_are_found() -> None:
    run = chain()
    event = run.event("step.completed", "b")
    told = msgspec.json.encode({"step": "b", "node": "b", "attempt": 2})

    assert run.with_step("b", attempt=2).with_event(event, data=told).found == {("b", "attempts.too_many")}


def test_attempts_that_an_operator_asked_for_are_not_found() -> None:
    play = played({"a": "boom", "b": "x"}, ("a", "b"), functions={"x": x, "boom": boom})
    play.nodes = {"x": x, "boom": x}
    play.tell(f.RetryRequested(step_id=StepId("a"), by="me", at=play.heart.now()))

    assert book(play.go()).row("a").attempt == 2


def test_an_attempt_before_an_earlier_one_is_found() -> None:
    run = book(played({"a": {"uses": "twice", "config": {"maxRetries": 2}}}, functions={"twice": Failing(once=True)}))
    event = run.event("step.retrying")
    told = {**msgspec.json.decode(event.data), "attempt": 3}

    assert run.with_event(event, data=msgspec.json.encode(told)).found == {("a", "attempts.backwards")}


class Failing:
    def __init__(self, *, once: bool) -> None:
        self.left = 1 if once else 100

    def __call__(self, *_: Any) -> Any:
        self.left -= 1
        if self.left >= 0:
            raise ValueError("not yet")
        return None


# -- the run -----------------------------------------------------------------------------------------------------------


def test_a_run_that_has_ended_with_a_step_alive_is_found() -> None:
    run = waiting().told("run.cancelled", reason="enough")

    found = run.with_head(status="cancelled", ended_at=1.0).found

    assert found == {("w", "run.ended_alive")}


def test_a_run_without_the_time_of_its_end_is_found() -> None:
    assert chain().with_head(ended_at=None).found == {(None, "run.end_time")}
    assert waiting().with_head(ended_at=1.0).found == {(None, "run.end_time")}


def test_a_run_that_waits_for_nothing_is_found() -> None:
    run = chain()

    found = run.without_event(run.event("run.completed")).with_head(status="running", ended_at=None).found

    assert found == {(None, "run.waits_for_nothing")}


def chain_that_runs() -> Book:
    play = Play(chain().graph, {"x": x})
    play.tell(f.RunStarted(at=play.heart.now()))
    return book(play)


@pytest.mark.parametrize(("status", "made"), [("running", waiting), ("waiting", chain_that_runs)])
def test_a_run_whose_status_is_not_that_of_its_steps_is_found(status: str, made: Callable[[], Book]) -> None:
    assert made().with_head(status=status).found == {(None, "run.status_wrong")}


def test_a_run_that_has_completed_in_spite_of_a_failure_is_found() -> None:
    run = diamond("any", left="boom")
    event = run.event("run.failed")

    found = run.with_head(status="completed").with_event(event, type="run.completed").found

    assert found == {("left", "run.completed_in_spite")}


def test_events_after_the_end_are_found_unless_somebody_let_the_run_go_on() -> None:
    assert ("a", "run.after_the_end") in chain().told("signal.received", step="a").found
    assert chain().told("command.refused", command="cancel").found == set()


def test_events_that_a_later_version_tells_of_a_run_that_has_ended_are_not_found() -> None:
    assert chain().told("run.praised", by="me").found == set()


def test_an_end_that_only_the_head_or_only_the_events_know_of_is_found() -> None:
    run = chain()

    assert (None, "run.status_untold") in run.without_event(run.event("run.completed")).found
    assert (None, "run.status_untold") in run.with_event(run.event("run.completed"), type="run.failed").found
    assert (None, "run.status_untold") in run.with_head(status="waiting", ended_at=None).found


def test_a_pause_that_only_the_head_or_only_the_events_know_of_is_found() -> None:
    assert waiting().with_head(status="paused").found == {(None, "run.status_untold")}
    assert waiting().told("run.paused", by="me").found == {(None, "run.status_untold")}


def test_a_run_that_begins_otherwise_or_twice_is_found() -> None:
    run = chain()

    assert (None, "run.begins") in run.without_event(run.event("run.started")).found
    assert (None, "run.begins") in waiting().told("run.started").found


# -- edges, joins and what else lets steps start -----------------------------------------------------------------------


def test_edges_that_do_not_lead_from_the_step_are_found() -> None:
    assert ("a", "edge.unknown") in chain().with_step("a", fired=(7,)).found
    assert ("b", "edge.of_another") in chain().with_step("b", fired=(0,)).found
    assert ("a", "edge.twice") in chain().with_step("a", fired=(0, 0)).found


def test_an_edge_of_another_action_than_the_step_has_given_is_found() -> None:
    run = book(
        played(
            {"a": "out", "b": "x"},
            ("a", "b", {"action": "out"}),
            functions={"x": x, "out": lambda *_: Result(1, action="out")},
        )
    )

    assert ("a", "edge.action") in run.with_step("a", action="in").found


def test_edges_of_a_step_that_has_not_completed_are_found() -> None:
    assert ("w", "edge.not_completed") in waiting().with_step("w", fired=(0,)).found


def test_a_step_that_started_before_what_leads_to_it_is_found() -> None:
    assert exchanged(chain(), "a", "b").found == {("b", "step.not_enabled")}


@pytest.mark.parametrize(("join", "is_early"), [("all", True), ("all_settled", True), ("any", False)])
def test_a_join_that_started_before_its_policy_was_met_is_found(join: str, *, is_early: bool) -> None:
    run = diamond(join)
    second = max(("left", "right"), key=lambda step_id: run.row(step_id).seq)

    found = exchanged(run, second, "join").found

    assert found == ({("join", "join.early")} if is_early else set())


def test_a_join_whose_first_trace_is_early_is_found_though_its_outcome_is_not() -> None:
    made = diamond()
    second = max(("left", "right"), key=lambda step_id: made.row(step_id).seq)
    begun = EventRow(
        seq=made.row(second).seq,
        type="step.started",
        at=0.0,
        data=msgspec.json.encode({"step": "join", "node": "join", "attempt": 1}),
        stamp=STAMP,
    )
    later = {seq: seq + 1 for seq in range(begun.seq, made.rows.head.next_seq)}
    run = made.moved(later).with_head(next_seq=made.rows.head.next_seq + 1)

    found = replace(run, events=(*run.events, begun)).found

    assert found == {("join", "join.early")}


def test_a_join_that_started_though_nothing_fired_into_it_is_found() -> None:
    run = diamond().with_step("left", fired=()).with_step("right", fired=())

    assert run.found == {("join", "join.early")}


def test_a_join_that_was_skipped_though_it_was_to_start_is_found() -> None:
    run = diamond()
    event = run.event("step.completed", "join")

    found = run.with_step("join", status="skipped", output=None).with_event(event, type="step.skipped").found

    assert ("join", "join.early") in found


def test_a_join_that_goes_on_at_its_deadline_is_not_found() -> None:
    play = played(
        {"a": "x", "w": "wait", "join": {"uses": "x", "config": {"joinDeadline": 1000}}},
        ("a", "join"),
        ("w", "join"),
        functions={"x": x},
    )
    play.heart.time += 5
    play.tell(f.TimerDue(key=TimerKey(TimerKind.JOIN, StepId("join")), at=play.heart.now()))

    assert book(play.go()).row("join").status == "completed"


def test_a_step_of_a_round_that_has_not_begun_is_found() -> None:
    run = looped()
    first = run.row("loop[1]")

    found = run.without_step("loop[1]").without_event(run.event("step.completed", "loop[1]")).found

    assert first.fired
    assert ("work[1]", "step.not_enabled") in found


def test_where_steps_were_tried_again_it_is_still_found_that_nothing_led_to_a_step() -> None:
    play = played({"a": "boom", "b": "x"}, ("a", "b"), functions={"x": x, "boom": boom})
    play.nodes = {"x": x, "boom": x}
    play.tell(f.RetryRequested(step_id=StepId("a"), by="me", at=play.heart.now()))
    run = book(play.go())
    run = run.without_event(run.event("step.failed", "a"))
    run = run.without_event(run.event("step.skipped", "b"))

    found = exchanged(run, "a", "b").found

    assert ("b", "step.not_enabled") in found


def test_what_was_recorded_by_another_version_of_the_blueprint_is_not_judged_by_this_one() -> None:
    run = exchanged(waiting_behind(), "a", "b").with_step("a", fired=(0, 0), attempt=1)
    assert {code for _, code in run.found} == {"step.not_enabled", "edge.twice"}

    assert run.told("run.migrated", from_version="1", to_version="2").found == set()


def waiting_behind() -> Book:
    return book(played({"a": "x", "b": "x", "w": "wait"}, ("a", "b"), ("b", "w"), functions={"x": x}))


# -- items -------------------------------------------------------------------------------------------------------------


def test_items_of_nothing_are_found() -> None:
    run = mapped()
    item = run.row("m[2]")

    assert ("x[0]", "item.of_nothing") in run.with_rows(replace(item, step_id=StepId("x[0]"))).found
    beyond = replace(item, step_id=StepId("m[3]"), extra=msgspec.json.encode({"item": 3}))
    assert ("m[3]", "item.of_nothing") in run.with_rows(beyond).found


def test_items_that_are_not_kept_are_found() -> None:
    assert mapped().without_key("_batch.m").found == {("m", "item.not_kept")}


def test_a_map_that_completed_before_its_items_is_found() -> None:
    run = mapped()

    found = run.without_step("m[1]").without_event(run.event("step.completed", "m[1]")).found

    assert ("m", "batch.early") in found


def test_a_map_that_completed_in_spite_of_failures_is_found() -> None:
    run = mapped()
    event = run.event("step.completed", "m[1]")
    failed = run.with_step("m[1]", status="failed", output=None).with_event(event, type="step.failed")

    assert ("m", "batch.in_spite") in failed.found


def test_a_map_that_gave_something_else_than_its_items_is_found() -> None:
    assert mapped().with_step("m", output=b"[1,2]").found == {("m", "batch.output")}


# -- limits ------------------------------------------------------------------------------------------------------------


def test_more_rounds_than_the_blueprint_allows_are_found() -> None:
    run = looped()
    node = replace(run.graph.nodes[NodeId("loop")], params={"condition": "work", "maxRounds": 1})
    graph = replace(run.graph, nodes={**run.graph.nodes, node.id: node})

    assert {code for _, code in replace(run, graph=graph).found} == {"limit.rounds"}


def test_limits_of_the_worker_count_only_where_they_are_given() -> None:
    run = looped()

    assert {code for _, code in replace(run, limits=RunLimits(steps=2)).found} == {"limit.steps"}
    assert {code for _, code in replace(run, limits=RunLimits(rounds=1)).found} == {"limit.rounds"}
