from __future__ import annotations

import pytest

from famulus.engine.durations import duration_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (-1.0, "0 ms"),
        (0.0042, "4 ms"),
        (1.25, "1.25 s"),
        (200.0, "3 min 20 s"),
        (7500.0, "2 h 5 min"),
        (90_000.0, "1 d 1 h"),
    ],
)
def test_a_duration_is_told_in_the_two_units_that_matter(seconds: float | None, text: str) -> None:
    assert duration_text(seconds) == text


def test_a_view_says_how_exact_seconds_are() -> None:
    assert duration_text(1.24, decimals=1) == "1.2 s"
