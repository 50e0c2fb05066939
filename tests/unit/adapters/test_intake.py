"""The intake with events made by hand: no Faust worker, no broker."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from famulus.adapters.faust.intake import Intake, retry_delay
from famulus.errors import BusUnavailableError

if TYPE_CHECKING:
    from famulus.ports import Record


@dataclass
class Partition:
    """Delivers events and keeps the offsets that were acknowledged, in order."""

    generation: int = 1
    acknowledged: list[int] = field(default_factory=list)

    def event(self, offset: int) -> Any:
        message = SimpleNamespace(
            topic="jobs", partition=0, tp=("jobs", 0), offset=offset, key=b"k", value=b"v", headers=[], timestamp=1.0
        )
        message.generation_id = self.generation
        app = SimpleNamespace(flow_control=SimpleNamespace(is_active=lambda: True))
        app.consumer_generation_id = self.generation
        return SimpleNamespace(message=message, app=app, ack=lambda: self.acknowledged.append(offset))


class Gates:
    """A handler whose records end when the test says so."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self._gates: dict[int, asyncio.Event] = {}

    async def __call__(self, record: Record) -> None:
        self.started.append(record.offset)
        await self._gate(record.offset).wait()

    async def open(self, *offsets: int) -> None:
        for offset in offsets:
            self._gate(offset).set()
        await settle()

    def _gate(self, offset: int) -> asyncio.Event:
        return self._gates.setdefault(offset, asyncio.Event())


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


def at_once(_attempt: int, _error: Exception) -> float:
    return 0.0


async def test_records_run_side_by_side_and_are_acknowledged_in_order() -> None:
    partition, gates = Partition(), Gates()
    intake = Intake(gates, concurrency=10, window=10)
    for offset in range(3):
        await intake.admit(partition.event(offset))
    await settle()

    assert gates.started == [0, 1, 2]
    await gates.open(2, 1)
    assert partition.acknowledged == []
    await gates.open(0)
    assert partition.acknowledged == [0, 1, 2]


async def test_a_record_that_is_finished_at_once_costs_no_task() -> None:
    partition = Partition()
    intake = Intake(lambda _: None, concurrency=1, window=10)

    await intake.admit(partition.event(0))

    assert partition.acknowledged == [0]
    assert intake.running == 0


@pytest.mark.parametrize("limits", [{"concurrency": 2, "window": 10}, {"concurrency": 10, "window": 2}])
async def test_no_more_are_admitted_than_the_limits_allow(limits: dict[str, int]) -> None:
    partition, gates = Partition(), Gates()
    intake = Intake(gates, **limits)
    await intake.admit(partition.event(0))
    await intake.admit(partition.event(1))

    third = asyncio.create_task(intake.admit(partition.event(2)))
    await settle()
    assert not third.done()
    await gates.open(0)

    assert third.done()
    await gates.open(1, 2)


async def test_a_handler_that_raises_is_called_again_until_it_goes_through(caplog: pytest.LogCaptureFixture) -> None:
    outcomes: list[Exception | None] = [RuntimeError("later"), BusUnavailableError("not yet"), None]

    async def handle(_: Record) -> None:
        outcome = outcomes.pop(0)
        if outcome:
            raise outcome

    partition = Partition()
    intake = Intake(handle, concurrency=1, window=10, delay=at_once)

    await intake.admit(partition.event(0))
    await settle()

    assert partition.acknowledged == [0]
    assert intake.counts.retried == 2
    assert len(caplog.records) == 2


async def test_a_handler_that_raises_before_it_awaits_is_called_again() -> None:
    calls: list[int] = []

    def handle(record: Record) -> None:
        calls.append(record.offset)
        if len(calls) < 3:
            raise RuntimeError("later")

    partition = Partition()
    intake = Intake(handle, concurrency=1, window=10, delay=at_once)

    await intake.admit(partition.event(0))
    await settle()

    assert calls == [0, 0, 0]
    assert partition.acknowledged == [0]


async def test_a_record_that_fails_after_its_partition_was_revoked_is_left_to_the_next_owner() -> None:
    fail = asyncio.Event()
    calls: list[int] = []

    async def handle(record: Record) -> None:
        calls.append(record.offset)
        if len(calls) == 1:
            await fail.wait()
            raise RuntimeError("no longer mine")

    partition = Partition()
    intake = Intake(handle, concurrency=1, window=10, delay=at_once)
    await intake.admit(partition.event(0))
    intake.take_back([("jobs", 0)])
    fail.set()
    await settle()

    assert (calls, partition.acknowledged, intake.running) == ([0], [], 0)
    partition.generation = 2
    await intake.admit(partition.event(0))
    await settle()
    assert (calls, partition.acknowledged) == ([0, 0], [0])


async def test_a_record_delivered_again_while_it_runs_is_not_started_again() -> None:
    partition, gates = Partition(), Gates()
    intake = Intake(gates, concurrency=10, window=10)
    await intake.admit(partition.event(0))
    await settle()

    partition.generation = 2
    await intake.admit(partition.event(0))
    await gates.open(0)

    assert gates.started == [0]
    assert partition.acknowledged == [0]
    assert intake.unacknowledged == 0


async def test_draining_waits_for_what_runs_and_starts_nothing_more() -> None:
    partition, gates = Partition(), Gates()
    intake = Intake(gates, concurrency=10, window=10)
    await intake.admit(partition.event(0))
    await settle()

    draining = asyncio.create_task(intake.drain(5))
    await settle()
    await intake.admit(partition.event(1))
    await gates.open(0, 1)

    assert await draining == 0
    assert gates.started == [0]
    assert partition.acknowledged == [0]


async def test_what_does_not_end_in_time_is_cancelled_and_not_acknowledged() -> None:
    partition, gates = Partition(), Gates()
    intake = Intake(gates, concurrency=10, window=10)
    await intake.admit(partition.event(0))
    await settle()

    assert await intake.drain(0) == 1
    assert partition.acknowledged == []


def test_the_delay_grows_up_to_a_limit_unless_the_error_asks_for_one() -> None:
    assert retry_delay(0, RuntimeError()) <= 0.1
    assert 15 <= retry_delay(1000, RuntimeError()) <= 30
    assert 1 <= retry_delay(0, BusUnavailableError("x", retry_after=2)) <= 2
