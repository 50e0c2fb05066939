from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.blueprint.times import MILLISECONDS_MAX, milliseconds_of, seconds_of

OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@pytest.mark.parametrize(
    ("given", "milliseconds"),
    [(0, 0), (1, 1), (1500, 1500), (0.2, 1), ("10s", 10_000), ("5m", 300_000), ("2h", 7_200_000), ("1d", 86_400_000)],
)
def test_a_duration_is_milliseconds_or_a_number_with_a_unit(given: Any, milliseconds: int) -> None:
    assert milliseconds_of(given) == milliseconds


@pytest.mark.parametrize(
    "given",
    [
        *("ten", "", "10", "10 s", "1.5h", "-1s", "10S", "1w", "10s\n", "٣s", "9" * 5000 + "s", "99999d"),
        *(-1, float("nan"), float("inf"), True, None, [], {}, MILLISECONDS_MAX + 1),
    ],
)
def test_anything_else_is_no_duration(given: Any) -> None:
    with pytest.raises(ValueError, match="expected milliseconds as a number from 0"):
        milliseconds_of(given)


@given(st.datetimes(datetime(1970, 1, 3), datetime(9999, 12, 29), timezones=OFFSETS))  # noqa: DTZ001  # the bounds have to be naive
def test_a_time_is_the_one_that_python_reads(moment: datetime) -> None:
    assert seconds_of(moment.isoformat()) == pytest.approx(moment.timestamp(), abs=1e-6)


def test_times_in_the_forms_that_people_write() -> None:
    noon = datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp()

    for text in ("2026-07-01T12:00:00Z", "2026-07-01 12:00z", "2026-07-01T14:00+0200", "2026-07-01T12:00:00.000+00:00"):
        assert seconds_of(text) == noon
    assert seconds_of(1.5) == 1.5


@pytest.mark.parametrize(
    "given",
    [
        *("2026-07-01", "2026-07-01T12:00:00", "2026-02-29T12:00:00Z", "2026-13-01T00:00Z", "2026-07-01T24:00Z"),
        *("2026-07-01T12:00:00Z ", "1969-12-31T23:59:59Z", "tomorrow", "", "12", -1, 1e12, True, None, float("nan")),
    ],
)
def test_anything_else_is_no_time(given: Any) -> None:
    with pytest.raises(ValueError, match="expected seconds since 1970"):
        seconds_of(given)
