"""What the watchdog makes of what it sees. The time is in what is seen, so nothing waits here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.watchdog.judging import Action, Judge, Sight

PATIENCE = 30.0
JOBS = ("jobs", 0)
WELL = Sight(at=0.0, positions={JOBS: 7})
TROUBLES = {
    "no_assignment": replace(WELL, is_settled=False),
    "topic_missing": replace(WELL, missing=("jobs",), positions={}),
    "fetch_stalled": replace(WELL, waiting=frozenset({JOBS})),
    "commit_stalled": replace(WELL, committable={JOBS: 7}, committed={JOBS: 4}),
    "coordination_dead": replace(WELL, coordination_is_dead=True),
}
READING = replace(WELL, recovered="so far")


def verdicts(judge: Judge, sight: Sight, *times: float) -> list[tuple[set[str], Action]]:
    judged = [judge.judge(replace(sight, at=at)) for at in times]
    return [({trouble.kind for trouble in verdict.troubles}, verdict.action) for verdict in judged]


@pytest.fixture
def judge() -> Judge:
    return Judge(patience_seconds=PATIENCE)


def test_a_worker_that_is_well_is_left_alone(judge: Judge) -> None:
    assert verdicts(judge, WELL, 0, 100, 1000) == [(set(), Action.NOTHING)] * 3


@pytest.mark.parametrize("kind", TROUBLES)
def test_the_consumer_is_restarted_when_a_trouble_has_lasted(judge: Judge, kind: str) -> None:
    assert verdicts(judge, TROUBLES[kind], 0, 29, 30) == [
        (set(), Action.NOTHING),
        (set(), Action.NOTHING),
        ({kind}, Action.RESTART_CONSUMER),
    ]


@pytest.mark.parametrize("kind", TROUBLES)
def test_a_trouble_that_a_restart_has_not_helped_is_given_up_after_as_long_again(judge: Judge, kind: str) -> None:
    verdicts(judge, TROUBLES[kind], 0, 30)
    judge.restarted(31)

    assert verdicts(judge, TROUBLES[kind], 40, 60, 61) == [
        ({kind}, Action.NOTHING),
        ({kind}, Action.NOTHING),
        ({kind}, Action.GIVE_UP),
    ]


def test_after_a_restart_that_has_helped_the_next_trouble_is_a_new_one(judge: Judge) -> None:
    verdicts(judge, TROUBLES["fetch_stalled"], 0, 30)
    judge.restarted(31)
    verdicts(judge, WELL, 40)

    assert verdicts(judge, TROUBLES["no_assignment"], 50, 80)[-1] == ({"no_assignment"}, Action.RESTART_CONSUMER)


def test_a_position_that_moves_is_no_trouble_however_far_behind_it_is(judge: Judge) -> None:
    for at in range(0, 300, 10):
        behind = replace(WELL, at=float(at), positions={JOBS: at}, waiting=frozenset({JOBS}))

        assert not judge.judge(behind).troubles


def test_a_worker_that_takes_no_more_records_does_not_have_to_fetch_any(judge: Judge) -> None:
    full = replace(TROUBLES["fetch_stalled"], is_full=True)

    assert verdicts(judge, full, 0, 1000)[-1] == (set(), Action.NOTHING)


def test_commits_that_go_on_are_no_trouble_though_there_is_always_something_to_commit(judge: Judge) -> None:
    for at in range(0, 300, 10):
        sight = replace(WELL, at=float(at), committable={JOBS: at + 5}, committed={JOBS: at})

        assert not judge.judge(sight).troubles


def test_nothing_is_done_while_the_broker_is_silent(judge: Judge) -> None:
    verdicts(judge, TROUBLES["no_assignment"], 0, 20)

    assert (
        verdicts(judge, Sight(at=0, broker_answers=False, is_settled=False), 25, 10_000)
        == [({"broker_silent"}, Action.NOTHING)] * 2
    )


def test_when_the_broker_is_back_everything_has_its_time_anew(judge: Judge) -> None:
    verdicts(judge, TROUBLES["no_assignment"], 0, 20)
    verdicts(judge, Sight(at=0, broker_answers=False), 25)

    assert verdicts(judge, TROUBLES["no_assignment"], 100, 129, 130) == [
        (set(), Action.NOTHING),
        (set(), Action.NOTHING),
        ({"no_assignment"}, Action.RESTART_CONSUMER),
    ]


def test_nothing_has_to_be_fetched_while_tables_are_still_being_read(judge: Judge) -> None:
    for at in range(0, 300, 10):
        assert not judge.judge(replace(TROUBLES["fetch_stalled"], at=float(at), recovered=at)).troubles


def test_tables_that_are_not_read_to_their_end_are_taken_for_read_before_anything_else(judge: Judge) -> None:
    assert verdicts(judge, READING, 0, 7, 8) == [
        (set(), Action.NOTHING),
        (set(), Action.NOTHING),
        ({"recovery_stalled"}, Action.END_RECOVERY),
    ]
