"""Schedules as they are given: defaults, and everything that is wrong, told at once."""

from __future__ import annotations

from typing import Any

import pytest

from famulus.engine.scheduling.definition import (
    CatchUp,
    Overlap,
    decode_schedule,
    encode_schedule,
    parse_schedule,
    replacing,
)
from famulus.engine.scheduling.ticks import Interval
from famulus.errors import ScheduleError
from famulus.ids import ScheduleId
from famulus.ports import StoredSchedule

NOW = 1_795_536_000.5
HOURLY: dict[str, Any] = {"id": "report", "blueprint_id": "daily", "cron": "0 * * * *"}


def problems(**fields: Any) -> list[str]:
    document = {name: value for name, value in {**HOURLY, **fields}.items() if value is not ...}
    with pytest.raises(ScheduleError) as caught:
        parse_schedule(document, now=NOW)
    assert all(problem in str(caught.value) for problem in caught.value.problems)
    return list(caught.value.problems)


def test_what_is_left_out_has_defaults() -> None:
    schedule = parse_schedule(HOURLY, now=NOW)

    assert (schedule.catch_up, schedule.catch_up_limit) == (CatchUp.LAST, 100)
    assert (schedule.overlap, schedule.paused, schedule.version) == (Overlap.ALLOW, False, None)
    assert schedule.document()["timezone"] == "UTC"
    assert schedule.created_at == schedule.active_from == NOW


@pytest.mark.parametrize(
    ("given", "seconds"), [(1, 1), (90, 90), (60.0, 60), ("10s", 10), ("5m", 300), ("2h", 7200), ("1d", 86_400)]
)
def test_an_interval_is_seconds_or_a_duration(given: Any, seconds: int) -> None:
    document = {"id": "s", "blueprint_id": "b", "every": given, "anchor": "2026-11-24T16:05:00+01:00"}

    assert parse_schedule(document, now=NOW).timing == Interval(seconds, 1_795_532_700)


@pytest.mark.parametrize("given", [0, -5, 1.5, "10", "1w", "1h30m", "", [], True, float("inf"), 10**12, "999999999d"])
def test_what_is_no_interval_is_refused(given: Any) -> None:
    (problem,) = problems(cron=..., every=given)

    assert problem.startswith("every: is ")
    assert "such as '15m'" in problem


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("61 * * * *", "'61' is no minute"),
        ("0 24 * * *", "'24' is no hour"),
        ("0 0 32 * *", "'32' is no day of the month"),
        ("0 0 30 2 *", "'30' is no day of the month"),
        ("0 0 * FOO *", "'FOO' is no month"),
        ("0 0 * * 8", "'8' is no day of the week"),
        ("0 0 * *", "has 4 fields, expected five"),
        ("0 0 0 * * *", "has 6 fields, expected five"),
        ("@daily", "has 1 fields, expected five"),
        ("0 0 31 2,4 *", "'31' is no day of the month"),
        ("*/0 * * * *", "'*/0' is no minute"),
        ("0 0 */31 2 MON#5", "does not come within 50 years"),
        ("\x1b[2J * * * *", "is no minute"),
        (f"{'9' * 100} * * * *", "is no minute"),
        ("1," * 200 + "1 * * * *", "expected five fields"),
        (15, "is 15, expected five fields"),
    ],
)
def test_what_is_no_cron_expression_is_refused_with_what_and_where(expression: Any, told: str) -> None:
    (problem,) = problems(cron=expression)

    assert problem.startswith("cron: ")
    assert told.lower() in problem.lower()


@pytest.mark.parametrize("name", ["Mars/Base", "../../etc/passwd", "/etc/localtime", "Europe", "", "\x00", "Ü"])
def test_a_zone_that_is_not_known_is_refused(name: str) -> None:
    if not name:
        assert parse_schedule({**HOURLY, "timezone": name}, now=NOW).document()["timezone"] == "UTC"
        return
    (problem,) = problems(timezone=name)

    assert problem.startswith("timezone: ")
    assert "such as 'Europe/Berlin'" in problem


def test_cron_or_interval_and_what_belongs_to_each() -> None:
    assert problems(cron=...)[0].startswith("cron: neither")
    assert problems(every="5m")[0].startswith("cron: it and `every` are both there")
    assert problems(anchor=0)[0].startswith("anchor: belongs to `every`")
    assert problems(cron=..., every=5, timezone="UTC")[0].startswith("timezone: belongs to `cron`")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("tomorrow", "is no time"),
        ("2026-11-24T15:00:00", "does not say of which zone"),
        (-1, "not between the years"),
        (1e18, "not between the years"),
        (True, "is no time"),
        ([], "is no time"),
    ],
)
def test_what_is_no_time_is_refused(given: Any, told: str) -> None:
    (problem,) = problems(start=given)

    assert problem.startswith("start: ")
    assert told in problem


def test_every_problem_is_told_at_once() -> None:
    found = problems(
        id="a b",
        blueprint_id=7,
        version=["1"],
        input=[],
        cron="61 * * * *",
        timezone="Mars/Base",
        end="2026-01-01T00:00:00Z",
        start="2026-01-02T00:00:00Z",
        catch_up="some",
        catch_up_limit=0,
        overlap=1,
        paused="no",
        by={},
        colour="red",
    )

    assert sorted(problem.partition(":")[0] for problem in found) == [
        "blueprint_id",
        "by",
        "catch_up",
        "catch_up_limit",
        "colour",
        "cron",
        "end",
        "id",
        "input",
        "overlap",
        "paused",
        "timezone",
        "version",
    ]


@pytest.mark.parametrize("given", ["", None, "a:b", "-a", "..", "x" * 101, "a/b", "ü"])
def test_what_cannot_be_an_id_is_refused(given: Any) -> None:
    assert problems(id=given)[0].startswith("id: ")


def test_the_time_of_a_tick_is_not_for_the_input_to_say() -> None:
    assert problems(input={"scheduled_at": "now"})[0].startswith("input: has the key 'scheduled_at'")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"timezone": "Europe/Berlin", "start": 5, "end": "2027-01-01T00:00:00Z", "by": "ada", "version": "3"},
        {"cron": None, "every": "15m", "anchor": 300, "input": {"ü": [1, None]}, "overlap": "queue", "paused": True},
    ],
)
def test_what_is_stored_is_read_again_as_it_was(fields: dict[str, Any]) -> None:
    schedule = parse_schedule({**HOURLY, **fields}, now=NOW)
    stored = StoredSchedule(schedule_id=ScheduleId("report"), body=encode_schedule(schedule), written_at=NOW)

    assert decode_schedule(stored) == schedule
    assert parse_schedule(schedule.document(), now=NOW) == schedule


def test_one_that_is_replaced_goes_on_unless_its_times_change() -> None:
    old = parse_schedule(HOURLY, now=NOW)

    other_input = replacing(parse_schedule({**HOURLY, "input": {"n": 1}}, now=NOW + 100), old)
    other_times = replacing(parse_schedule({**HOURLY, "cron": "5 * * * *"}, now=NOW + 100), old)
    paused = replacing(parse_schedule({**HOURLY, "paused": True}, now=NOW + 100), old)

    assert (other_input.active_from, other_times.active_from, paused.active_from) == (NOW, NOW + 100, NOW + 100)
    assert other_times.created_at == NOW
