"""When ticks are, above all where the clocks are turned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.engine.scheduling.ticks import Cron, Interval, tick_text

BERLIN = ZoneInfo("Europe/Berlin")
SPRING = datetime(2026, 3, 28, 12, tzinfo=BERLIN)
"""At 02:00 of the next day the clock is put on to 03:00."""
AUTUMN = datetime(2026, 10, 24, 12, tzinfo=BERLIN)
"""At 03:00 of the next day the clock is put back to 02:00."""
ZONES = ("Europe/Berlin", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Pacific/Apia", "UTC")
EXPRESSIONS = (
    "30 2 * * *",
    "0,30 2 * * *",
    "0 0 * * *",
    "15 0,1,2,3 * * *",
    "*/7 * * * *",
    "*/30 0-3 * * *",
    "0 * * * *",
    "59 23 L * *",
    "0 12 * * MON#1",
)


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def shown(cron: Cron, begin: datetime, count: int) -> list[str]:
    ticks = islice(cron.after(begin.timestamp()), count)
    return [f"{datetime.fromtimestamp(tick, cron.zone):%m-%d %H:%M %z}" for tick in ticks]


def test_a_daily_time_that_does_not_exist_comes_right_after_the_gap() -> None:
    assert shown(Cron("30 2 * * *", BERLIN), SPRING, 2) == ["03-29 03:00 +0200", "03-30 02:30 +0200"]


def test_several_times_of_the_gap_come_once_together() -> None:
    assert shown(Cron("0,30 2 * * *", BERLIN), SPRING, 2) == ["03-29 03:00 +0200", "03-30 02:00 +0200"]
    assert shown(Cron("0 2,3 * * *", BERLIN), SPRING, 2) == ["03-29 03:00 +0200", "03-30 02:00 +0200"]


def test_a_daily_time_that_comes_twice_counts_the_first_time() -> None:
    assert shown(Cron("30 2 * * *", BERLIN), AUTUMN, 2) == ["10-25 02:30 +0200", "10-26 02:30 +0100"]


def test_a_daily_time_is_not_repeated_for_who_begins_in_the_hour_that_is() -> None:
    second_two = datetime(2026, 10, 25, 2, 10, tzinfo=BERLIN, fold=1)

    assert shown(Cron("30 2 * * *", BERLIN), second_two, 1) == ["10-26 02:30 +0100"]


def test_what_runs_in_steps_goes_on_in_the_hour_that_is_repeated() -> None:
    begin = datetime(2026, 10, 25, 1, 45, tzinfo=BERLIN)

    assert shown(Cron("*/30 * * * *", BERLIN), begin, 5) == [
        "10-25 02:00 +0200",
        "10-25 02:30 +0200",
        "10-25 02:00 +0100",
        "10-25 02:30 +0100",
        "10-25 03:00 +0100",
    ]


def test_the_repeated_hour_is_whole_for_who_begins_in_the_first_one() -> None:
    begin = datetime(2026, 10, 25, 2, 45, tzinfo=BERLIN)

    assert shown(Cron("*/30 * * * *", BERLIN), begin, 2) == ["10-25 02:00 +0100", "10-25 02:30 +0100"]


def test_what_runs_in_steps_leaves_out_what_does_not_exist() -> None:
    begin = datetime(2026, 3, 29, 1, 15, tzinfo=BERLIN)

    assert shown(Cron("*/30 * * * *", BERLIN), begin, 3) == [
        "03-29 01:30 +0100",
        "03-29 03:00 +0200",
        "03-29 03:30 +0200",
    ]
    assert shown(Cron("*/30 2 * * *", BERLIN), begin, 1) == ["03-30 02:00 +0200"]


def test_a_day_that_was_left_out_comes_with_the_next_one() -> None:
    apia = ZoneInfo("Pacific/Apia")  # went from the 29th of December 2011 to the 31st
    begin = datetime(2011, 12, 29, 12, tzinfo=apia)

    assert shown(Cron("0 9 * * *", apia), begin, 2) == ["12-31 00:00 +1400", "12-31 09:00 +1400"]


@given(
    expression=st.sampled_from(EXPRESSIONS),
    zone=st.sampled_from(ZONES),
    begin=st.sampled_from(
        ["2026-03-08", "2026-03-29", "2026-04-05", "2026-09-06", "2026-10-04", "2026-10-25", "2011-12-30"]
    ),
    offset=st.integers(-36 * 3600, 36 * 3600),
)
def test_the_ticks_are_the_same_from_wherever_they_are_counted(
    expression: str, zone: str, begin: str, offset: int
) -> None:
    cron = Cron(expression, ZoneInfo(zone))
    turned = datetime.fromisoformat(begin).replace(tzinfo=UTC)
    first = (turned - timedelta(days=3)).timestamp()
    end = (turned + timedelta(days=4)).timestamp()
    every = cron.newest(10_000, after=first, until=end)
    here = turned.timestamp() + offset

    assert every == sorted(set(every))
    assert cron.newest(10_000, after=here, until=end) == [tick for tick in every if tick > here]
    assert cron.newest(3, after=first, until=here) == [tick for tick in every if tick <= here][-3:]


def test_the_newest_of_a_year_of_minutes_are_found_from_the_end() -> None:
    cron = Cron("* * * * *", ZoneInfo("UTC"))
    until = seconds("2026-11-24T15:00:30Z")

    found = cron.newest(100, after=until - 366 * 86_400, until=until)

    assert (found[0], found[-1], len(found)) == (until - 30 - 99 * 60, until - 30, 100)


def test_an_interval_is_counted_from_its_anchor() -> None:
    interval = Interval(600, anchor=seconds("2026-11-24T15:05:00Z"))
    begin = seconds("2026-11-24T14:59:00Z")

    assert [tick_text(tick) for tick in islice(interval.after(begin), 2)] == [
        "2026-11-24T15:05:00Z",
        "2026-11-24T15:15:00Z",
    ]


def test_a_tick_is_not_later_than_itself() -> None:
    tick = seconds("2026-11-24T15:00:00Z")
    for timing in (Interval(600), Cron("*/10 * * * *", BERLIN)):
        assert next(timing.after(tick)) == tick + 600
        assert next(timing.after(tick - 0.001)) == tick
        assert timing.newest(5, after=tick - 600, until=tick) == [tick]
        assert timing.newest(5, after=tick, until=tick) == []


@pytest.mark.parametrize("expression", ["0 0 29 2 *", "0 0 * 2 MON#5"])
def test_a_rare_tick_is_found(expression: str) -> None:
    assert next(Cron(expression, BERLIN).after(seconds("2026-11-24T15:00:00Z"))) > 0
