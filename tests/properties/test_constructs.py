"""Random blueprints of all constructs: they end, the same way in whatever order things happen, and after any crash."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.audited import deviations_by_hand
from support.constructs import ConstructPlay, documents

RANDOMS = st.integers(0, 2**32)


def end_of(play: ConstructPlay) -> tuple[Any, ...]:
    outcomes = {step_id: row.status.value for step_id, row in play.heart.step_rows.items()}
    return play.run.status, outcomes, play.run.user_context()


@settings(max_examples=150, deadline=None)
@given(documents(), RANDOMS, RANDOMS)
def test_a_run_ends_the_same_in_any_order_and_after_any_crash(document: dict[str, Any], one: int, another: int) -> None:
    first = ConstructPlay(document, random=Random(one)).to_the_end()
    second = ConstructPlay(document, random=Random(another), crashes=False).to_the_end()

    assert end_of(first) == end_of(second)


@settings(max_examples=100, deadline=None)
@given(documents(), RANDOMS)
def test_a_run_that_has_ended_has_nothing_live_nor_waiting(document: dict[str, Any], seed: int) -> None:
    run = ConstructPlay(document, random=Random(seed)).to_the_end().run

    assert (run.live, run.active, run.timers, run.pending_joins) == (0, 0, {}, set())
    assert all(not step.is_live for step in run.steps.values())
    assert {node_id: count for node_id, count in run.busy.items() if count} == {}


@settings(max_examples=100, deadline=None)
@given(documents(), RANDOMS)
def test_no_step_has_two_outcomes(document: dict[str, Any], seed: int) -> None:
    play = ConstructPlay(document, random=Random(seed)).to_the_end()

    ended = [event.data["step"] for event in play.heart.events if event.type in ("step.completed", "step.skipped")]
    assert len(ended) == len(set(ended))


@settings(max_examples=100, deadline=None)
@given(documents(), RANDOMS)
def test_the_auditor_has_nothing_to_say(document: dict[str, Any], seed: int) -> None:
    play = ConstructPlay(document, random=Random(seed)).to_the_end()

    assert deviations_by_hand(play.heart) == []
