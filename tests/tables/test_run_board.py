"""What the run board counts, with a dictionary in place of the table."""

from __future__ import annotations

from typing import Any

from tables.run_board import RunBoard

STARTED = ("order", "run.started")
COMPLETED = ("order", "run.completed")


def test_a_run_moves_from_running_to_the_status_it_ends_with() -> None:
    board = RunBoard({}, "w1")

    board.count(0, 0, 10.0, [STARTED, ("other", "run.started")])
    board.count(0, 1, 11.0, [("order", "step.completed"), ("order", "run.failed")])
    board.write()

    assert board.totals() == {
        "order": {"running": 0, "completed": 0, "failed": 1, "cancelled": 0},
        "other": {"running": 1, "completed": 0, "failed": 0, "cancelled": 0},
    }


def test_nothing_is_written_for_events_of_steps() -> None:
    table: dict[str, Any] = {}
    board = RunBoard(table, "w1")

    board.count(0, 0, 10.0, [("order", "step.completed")])
    board.write()

    assert table == {}


def test_a_run_that_started_here_and_ended_on_another_worker_is_counted_once() -> None:
    table: dict[str, Any] = {}
    first, second = RunBoard(table, "w1"), RunBoard(table, "w2")

    first.count(0, 0, 10.0, [STARTED])
    first.write()
    second.count(0, 1, 11.0, [COMPLETED])
    second.write()

    assert first.totals() == second.totals()
    assert first.totals()["order"] == {"running": 0, "completed": 1, "failed": 0, "cancelled": 0}


def test_records_that_come_again_are_not_counted_again() -> None:
    table: dict[str, Any] = {}
    board = RunBoard(table, "w1")
    records = [(0, 10.0, [STARTED]), (1, 11.0, [COMPLETED])]

    for _ in range(2):
        for offset, timestamp, events in records:
            board.count(0, offset, timestamp, events)
        board.write()

    assert board.totals()["order"]["completed"] == 1


def test_records_that_another_worker_has_counted_are_not_counted_by_the_next_owner() -> None:
    table: dict[str, Any] = {}
    dead, next_owner = RunBoard(table, "w1"), RunBoard(table, "w2")
    dead.count(0, 0, 10.0, [STARTED])
    dead.count(0, 1, 11.0, [STARTED])
    dead.write()

    next_owner.count(0, 1, 11.0, [STARTED])
    next_owner.count(0, 2, 12.0, [STARTED])
    next_owner.write()

    assert next_owner.totals()["order"]["running"] == 3


def test_each_partition_has_its_own_position() -> None:
    board = RunBoard({}, "w1")

    board.count(0, 5, 10.0, [STARTED])
    board.count(1, 0, 9.0, [STARTED])
    board.write()

    assert board.totals()["order"]["running"] == 2


def test_a_topic_that_began_anew_is_counted_from_its_beginning() -> None:
    board = RunBoard({}, "w1")
    board.count(0, 500, 10.0, [STARTED])

    board.count(0, 0, 20.0, [STARTED])
    board.count(0, 1, 21.0, [STARTED])
    board.write()

    assert board.totals()["order"]["running"] == 3


def test_a_run_whose_start_is_older_than_the_topic_does_not_count_below_zero() -> None:
    board = RunBoard({}, "w1")

    board.count(0, 0, 10.0, [COMPLETED])
    board.write()

    assert board.totals()["order"] == {"running": 0, "completed": 1, "failed": 0, "cancelled": 0}


def test_what_was_written_does_not_change_with_what_is_counted_later() -> None:
    table: dict[str, Any] = {}
    board = RunBoard(table, "w1")
    board.count(0, 0, 10.0, [STARTED])
    board.write()

    board.count(0, 1, 11.0, [STARTED])

    assert table["w1"]["counts"] == {"order": {"run.started": 1}}
