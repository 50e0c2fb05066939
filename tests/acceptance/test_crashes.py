"""Every construct lives through kill -9: each outcome is recorded once, whatever was under way.

One story for all of them, told in `support.crashes`; each test looks at what is left of its construct. Nodes may be
called twice, as far as they were at work when a worker died: what is recorded must not show it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from support import crashes
from support.crashes import DELAY_SECONDS, FEW_ITEMS, HALF_ROUNDS, ITEMS, ROUNDS, Seen, Story
from support.installation import Installation

from famulus.stacks.ports import free_port
from famulus.stacks.valkey import valkey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.slow

SLACK_SECONDS = 0.05
"""Clocks and rounding."""


@pytest.fixture(
    scope="module",
    params=[pytest.param("embedded", marks=pytest.mark.embedded), pytest.param("real", marks=pytest.mark.real)],
)
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    servers: Mapping[str, str] = request.getfixturevalue(f"{request.param}_servers")
    redis = valkey(tmp_path_factory.mktemp("valkey"), free_port())  # one that may be emptied
    installation = Installation(servers, tmp_path_factory.mktemp("crashes"), blueprints=crashes.BLUEPRINTS)
    redis.up(lambda _: None)
    try:
        yield asyncio.run(crashes.tell(installation, f"redis://{redis.address}/0"))
    except AssertionError as error:
        error.add_note("\n".join(f"--- {name}\n{log}" for name, log in installation.logs_to_show()))
        raise
    finally:
        installation.close()
        redis.down()


def late_but_once(story: Story, seen: Seen, step_id: str) -> None:
    """It fell due while no worker lived, and happened once, when one lived again."""
    ended_at = seen.step(step_id).ended_at
    assert ended_at is not None
    assert ended_at > story.down[1] - SLACK_SECONDS
    assert seen.ends().count(step_id) == 1


# -- of all ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("construct", [*crashes.UNTIMED, *crashes.TIMED, "child"])
def test_every_outcome_is_recorded_once(story: Story, construct: str) -> None:
    for seen in story.runs[construct]:
        run_id = seen.view.summary.run_id
        assert seen.status == ("failed" if construct == "compensation" else "completed"), seen.view
        twice = {step: count for step, count in Counter(seen.ends()).items() if count > 1}
        assert twice == {}, run_id
        assert {step.step_id for step in seen.recorded if step.status == "completed"} <= set(seen.ends())
        runs = Counter(event.type for event in seen.events if event.type.startswith("run."))
        assert set(runs.values()) == {1}, runs
        assert seen.events[-1].type == f"run.{seen.status}"
        assert [event.seq for event in seen.events] == sorted({event.seq for event in seen.events})


def test_what_was_recorded_before_a_crash_is_not_called_again(story: Story) -> None:
    assert len(story.executed_before) > crashes.COPIES * (ITEMS // 2 + HALF_ROUNDS - 1)
    assert {step: story.executed[step] for step in story.executed_before} == dict(story.executed_before)


def test_only_what_was_at_hand_is_called_again(story: Story) -> None:
    """Each owner calls an attempt once. How many a run has is up to the broker too."""
    known = {seen.view.summary.run_id: seen for runs in story.runs.values() for seen in runs}
    for (run_id, step_id), called in story.executed.items():
        # Each owner sends a record of an item, and each of these comes again when that topic is shared out anew.
        most = sum(range(1, story.owners + 1)) if run_id.startswith("spread") else story.owners
        assert called <= most + known[run_id].step(step_id).attempt - 1, f"{run_id} {step_id}: {story.owners} owners"
    assert story.problems == []


# -- of each -----------------------------------------------------------------------------------------------------------


def test_a_retry_whose_delay_ends_while_no_worker_lives(story: Story) -> None:
    for seen in story.runs["retry"]:
        late_but_once(story, seen, "flaky")
        flaky = seen.step("flaky")
        assert (flaky.attempt, flaky.output) == (2, 2)
        assert [event.type for event in seen.events].count("step.retrying") == 1


def test_a_sleep_that_ends_while_no_worker_lives(story: Story) -> None:
    for seen in story.runs["sleep"]:
        late_but_once(story, seen, "nap")
        nap = seen.step("nap")
        assert nap.started_at is not None
        assert nap.ended_at is not None
        assert nap.ended_at - nap.started_at >= DELAY_SECONDS - SLACK_SECONDS


def test_a_signal_that_is_sent_while_no_worker_lives(story: Story) -> None:
    for seen in story.runs["wait"]:
        assert seen.step("paid").output == {"paid": seen.view.summary.run_id}
        assert [event.type for event in seen.events].count("signal.received") == 1
        late_but_once(story, seen, "paid")


@pytest.mark.parametrize(
    ("construct", "items", "result"),
    [("map", ITEMS, "all"), ("spread", FEW_ITEMS, "all"), ("scatter", FEW_ITEMS, "gather")],
)
def test_a_batch_in_the_middle_of_its_items(story: Story, construct: str, items: int, result: str) -> None:
    for seen in story.runs[construct]:
        ends = seen.ends()
        recorded = {step.item: step for step in seen.recorded if step.item is not None}
        assert {index: step.output for index, step in recorded.items()} == {index: index for index in range(items)}
        assert Counter(ends)[f"all[{items - 1}]"] == 1
        assert seen.step(result).output == list(range(items))
        assert ends.index(result) > max(ends.index(f"all[{index}]") for index in range(items))
        assert ends.count("after") == 1


def test_a_loop_in_the_middle_of_its_rounds(story: Story) -> None:
    for seen in story.runs["loop"]:
        assert seen.view.context["round"] == ROUNDS
        works = [step for step in seen.ends() if step.startswith("work")]
        assert works == [f"work[{number}]" for number in range(1, ROUNDS + 1)]
        assert [seen.step(step_id).output for step_id in works] == list(range(1, ROUNDS + 1))
        controllers = [step for step in seen.ends() if step.startswith("again")]
        assert controllers == [f"again[{number}]" for number in range(1, ROUNDS + 2)]


def test_a_subflow_whose_parent_waits_and_whose_child_runs(story: Story) -> None:
    for parent, child in zip(story.runs["subflow"], story.runs["child"], strict=True):
        assert child.view.parent is not None
        assert child.view.parent.run_id == parent.view.summary.run_id
        assert child.ends() == ["waits", "runs", "last"]
        assert parent.ends() == ["child", "after"]
        assert parent.step("child").output == "last"


def test_a_run_between_two_of_its_compensations(story: Story) -> None:
    for seen in story.runs["compensation"]:
        assert seen.ends() == ["a", "b", "c", "bad", "undo-c~c", "undo-b~b", "undo-a~a"]
        assert all(story.executed[seen.view.summary.run_id, step] for step in seen.ends())


def test_a_join_whose_deadline_passes_while_no_worker_lives(story: Story) -> None:
    for seen in story.runs["deadline"]:
        late_but_once(story, seen, "join")
        assert seen.step("slow").status == "cancelled"
        assert [event.type for event in seen.events].count("join.deadline_passed") == 1
