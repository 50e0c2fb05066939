"""What the throughput counts, with dictionaries in place of the windowed table."""

from __future__ import annotations

from typing import Any

from tables.throughput import EXPIRES_SECONDS, Throughput

NOW = 1_000_005.0


class Windows:
    """As a tumbling table of Faust, relative to a time."""

    def __init__(self, table: dict[Any, Any] | None = None, at: float = 0.0) -> None:
        self.table: dict[Any, Any] = {} if table is None else table
        self._range = (at, at + 9.9)

    def relative_to(self, at: float) -> Windows:
        return Windows(self.table, at)

    def __getitem__(self, key: str) -> Window:
        return Window(self.table.get((key, self._range), {}))

    def __setitem__(self, key: str, value: Any) -> None:
        self.table[key, self._range] = value


class Window:
    def __init__(self, found: Any) -> None:
        self._found = found

    def value(self) -> Any:
        return self._found


def test_steps_and_runs_are_counted_in_the_window_in_which_they_happened() -> None:
    throughput = Throughput(Windows(), "w1")

    throughput.add(steps=[NOW - 10, NOW - 9, NOW], runs=[NOW - 10], now=NOW)

    latest = throughput.latest(count=3, now=NOW)
    assert [(window.start, window.steps, window.runs) for window in latest] == [
        (999_980.0, 0, 0),
        (999_990.0, 2, 1),
        (1_000_000.0, 1, 0),
    ]


def test_later_batches_add_to_a_window() -> None:
    throughput = Throughput(Windows(), "w1")

    throughput.add(steps=[NOW, NOW], runs=[], now=NOW)
    throughput.add(steps=[NOW], runs=[NOW], now=NOW)

    assert throughput.latest(count=1, now=NOW)[0].steps == 3


def test_workers_add_up() -> None:
    windows = Windows()
    first, second = Throughput(windows, "w1"), Throughput(windows, "w2")

    first.add(steps=[NOW], runs=[], now=NOW)
    second.add(steps=[NOW], runs=[], now=NOW)

    assert first.latest(count=1, now=NOW)[0].steps == 2


def test_what_has_expired_is_not_written() -> None:
    windows = Windows()

    Throughput(windows, "w1").add(steps=[NOW - EXPIRES_SECONDS - 10], runs=[], now=NOW)

    assert windows.table == {}
