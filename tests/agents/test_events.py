"""How the records of the events topic are counted."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from agents.events import EventsRecord, HappenedEvent, NewEvents, count


@dataclass
class Counted:
    """In place of both tables."""

    records: list[tuple[int, int, list[tuple[str, str]]]] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    runs: list[float] = field(default_factory=list)
    written: int = 0

    def count(self, partition: int, offset: int, timestamp: float, events: Iterable[tuple[str, str]]) -> None:
        self.records.append((partition, offset, list(events)))

    def write(self) -> None:
        self.written += 1

    def add(self, *, steps: Iterable[float], runs: Iterable[float], now: float) -> None:
        self.steps += steps
        self.runs += runs


def record(run_id: str, *events: tuple[int, str, float], blueprint_id: str = "order") -> bytes:
    return msgspec.json.encode(
        {
            "run_id": run_id,
            "blueprint_id": blueprint_id,
            "version": "1",
            "events": [{"seq": seq, "type": type_, "at": at, "step": "a"} for seq, type_, at in events],
        }
    )


def delivered(*values: bytes | None, partition: int = 0) -> list[Any]:
    return [
        SimpleNamespace(value=value, message=SimpleNamespace(partition=partition, offset=offset, timestamp=time.time()))
        for offset, value in enumerate(values)
    ]


def test_a_batch_is_counted_and_written_once() -> None:
    counted = Counted()
    first = record("r1", (0, "run.started", 1.0))
    last = record("r1", (2, "step.completed", 2.0), (3, "run.completed", 2.5))

    count(delivered(first, last), NewEvents(), counted, counted)

    assert counted.records == [
        (0, 0, [("order", "run.started")]),
        (0, 1, [("order", "step.completed"), ("order", "run.completed")]),
    ]
    assert (counted.steps, counted.runs, counted.written) == ([2.0], [2.5], 1)


def test_a_record_that_the_producer_sent_twice_is_counted_once() -> None:
    counted = Counted()
    twice = record("r1", (4, "step.completed", 1.0), (5, "run.completed", 1.0))

    count(delivered(twice, twice), NewEvents(), counted, counted)

    assert counted.records[1] == (0, 1, [])
    assert len(counted.steps) == len(counted.runs) == 1


@pytest.mark.parametrize(
    "value",
    [None, b"", b"\xff", b"[]", b"{}", b"nonsense", b'{"run_id": 1, "blueprint_id": "b", "events": []}', b"[" * 20_000],
    ids=["null", "empty", "not utf-8", "list", "no fields", "not json", "wrong type", "deep"],
)
def test_what_is_no_record_of_events_is_passed_over(value: bytes | None) -> None:
    counted = Counted()

    count(delivered(value, record("r1", (0, "run.started", 1.0))), NewEvents(), counted, counted)

    assert counted.records == [(0, 1, [("order", "run.started")])]


def test_runs_are_forgotten_beyond_the_limit_oldest_first() -> None:
    new_events = NewEvents(runs_remembered=2)

    def offer(run_id: str) -> int:
        happened = [HappenedEvent(seq=0, type="run.started", at=0.0)]
        return len(new_events.of(EventsRecord(run_id=run_id, blueprint_id="b", events=happened)))

    assert [offer("r1"), offer("r2"), offer("r1"), offer("r3")] == [1, 1, 0, 1]
    assert offer("r1") == 0
    assert offer("r2") == 1


def test_what_steps_tell_while_they_run_is_neither_counted_nor_hides_an_event() -> None:
    counted = Counted()
    told = record("r1", (-1, "step.progress", 1.0), (-1, "step.chunk", 1.1))

    count(delivered(told, record("r1", (0, "run.started", 1.0)), told), NewEvents(), counted, counted)

    assert [events for _, _, events in counted.records] == [[], [("order", "run.started")], []]
