"""The owner of schedules: one start for each tick, whatever crashes; pauses, overlaps, what was missed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from support.hands import HandClock

from famulus.adapters.memory import MemoryBus, MemoryScheduleStore
from famulus.engine.schedules import LOOK_SECONDS, POLL_SECONDS, Schedules
from famulus.engine.scheduling.definition import decode_schedule, encode_schedule, parse_schedule
from famulus.engine.scheduling.policy import ON_TIME_SECONDS, SENT_SECONDS
from famulus.engine.tenure import Tenure
from famulus.errors import BusUnavailableError, StoreUnavailableError
from famulus.ids import Epoch, RunId, ScheduleId
from famulus.ports import Record, ScheduleProgress, StoredSchedule

PARTITIONS = 4
MINUTE = 60
HOUR = 3600


def at(text: str) -> float:
    return datetime.fromisoformat(f"2026-11-24T{text}+00:00").timestamp()


NOON = at("12:00:00")


class FixedRuns:
    """Heads of runs, as a test sets them."""

    def __init__(self) -> None:
        self.statuses: dict[str, str] = {}

    async def heads(self, run_ids: Sequence[RunId]) -> Mapping[RunId, Any]:
        found = {run_id: self.statuses[run_id] for run_id in run_ids if run_id in self.statuses}
        return {run_id: (None, SimpleNamespace(status=status)) for run_id, status in found.items()}


class OrderedBus(MemoryBus):
    """Remembers in which order records were sent, over all partitions."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.sent: list[Record] = []

    def append_job(self, *arguments: Any, **options: Any) -> Record:
        self.sent.append(super().append_job(*arguments, **options))
        return self.sent[-1]


class Scene:
    """Schedules on memory ports; owners come and go."""

    def __init__(self, now: float = NOON) -> None:
        self.clock = HandClock(now)
        self.store: Any = MemoryScheduleStore()
        self.bus: Any = OrderedBus(partitions=PARTITIONS, now=self.clock.now)
        self.runs = FixedRuns()
        self.counts: Counter[str] = Counter()
        self._epochs = 0

    async def put(self, schedule_id: str = "s", **fields: Any) -> None:
        if "cron" not in fields:
            fields.setdefault("every", "1h")
        document = {"id": schedule_id, "blueprint_id": "b", **fields}
        await self.write(schedule_id, encode_schedule(parse_schedule(document, now=self.clock.now())))

    async def write(self, schedule_id: str, body: bytes) -> None:
        await self.store.put(
            StoredSchedule(schedule_id=ScheduleId(schedule_id), body=body, written_at=self.clock.now())
        )

    async def turn(self, schedule_id: str, *, paused: bool) -> None:
        stored = await self.store.get(ScheduleId(schedule_id))
        schedule = replace(decode_schedule(stored), paused=paused, active_from=self.clock.now())
        await self.write(schedule_id, encode_schedule(schedule))

    @asynccontextmanager
    async def owner(self, partitions: Sequence[int] = range(PARTITIONS)) -> AsyncIterator[Tenure]:
        self._epochs += 1
        tenure = Tenure(partitions)
        tenure.begin(Epoch(self._epochs))
        schedules = Schedules(self.store, runs=self.runs, bus=self.bus, clock=self.clock, counts=self.counts)  # type: ignore[arg-type]  # of the runs, only heads
        task = asyncio.create_task(schedules.tend(tenure))
        try:
            yield tenure
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def records(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(record.value) for record in self.bus.sent]

    def starts(self) -> list[str]:
        """The run ids of start records, the same one as often as it was sent."""
        return [record["run_id"] for record in self.records() if record["type"] == "start"]

    async def progress(self, schedule_id: str = "s") -> ScheduleProgress:
        stored = await self.store.get(ScheduleId(schedule_id))
        assert stored is not None
        assert stored.progress is not None
        return stored.progress


def run_ids(*times: str, schedule_id: str = "s") -> list[str]:
    return [f"{schedule_id}:2026-11-24T{time}Z" for time in times]


async def test_each_tick_starts_one_run_with_its_time() -> None:
    scene = Scene()
    await scene.put(version="2", input={"region": "north"})

    async with scene.owner():
        await scene.clock.reach(at("14:00:00"))

    assert scene.starts() == run_ids("13:00:00", "14:00:00")
    assert scene.records()[0] == {
        "type": "start",
        "run_id": "s:2026-11-24T13:00:00Z",
        "blueprint_id": "b",
        "version": "2",
        "input": {"region": "north", "scheduled_at": "2026-11-24T13:00:00Z"},
        "by": "schedule s",
    }


async def test_a_tick_starts_at_its_second() -> None:
    scene = Scene()
    await scene.put(cron="30 12 * * *")

    async with scene.owner():
        await scene.clock.reach(at("12:29:59.999"))
        assert scene.starts() == []
        await scene.clock.reach(at("12:30:00"))
        assert scene.starts() == run_ids("12:30:00")


async def test_only_the_owner_of_its_partition_lets_a_schedule_tick() -> None:
    scene = Scene()
    names = [f"s{number}" for number in range(12)]
    for name in names:
        await scene.put(name)

    async with scene.owner([0, 1]), scene.owner([2]):
        await scene.clock.reach(at("13:00:00"))

    owned = [name for name in names if scene.bus.partition_of(RunId(name)) != 3]
    assert sorted(scene.starts()) == sorted(f"{name}:2026-11-24T13:00:00Z" for name in owned)


async def test_two_owners_of_one_partition_start_the_same_run() -> None:
    scene = Scene()
    await scene.put()

    async with scene.owner(), scene.owner():
        await scene.clock.reach(at("15:00:00"))

    assert Counter(scene.starts()) == dict.fromkeys(run_ids("13:00:00", "14:00:00", "15:00:00"), 2)


async def test_the_next_owner_goes_on_where_the_former_one_was() -> None:
    scene = Scene()
    await scene.put()

    async with scene.owner():
        await scene.clock.reach(at("13:00:01"))
    async with scene.owner():
        await scene.clock.reach(at("14:00:01"))

    assert scene.starts() == run_ids("13:00:00", "14:00:00")


class CrashingPort:
    """A port whose worker dies at the n-th call that writes: before it or after it."""

    def __init__(self, port: Any, budget: list[int]) -> None:
        self._port = port
        self._budget = budget

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if name not in ("advance", "send_job"):
            return method

        async def call(*arguments: Any, **options: Any) -> Any:
            self._step()
            result = await method(*arguments, **options)
            self._step()
            return result

        return call

    def _step(self) -> None:
        self._budget[0] -= 1
        if self._budget[0] == 0:
            raise asyncio.CancelledError


@pytest.mark.parametrize("overlap", ["allow", "queue", "cancel_previous", "skip"])
@pytest.mark.parametrize("steps", range(1, 13))
async def test_a_crash_anywhere_loses_no_tick_and_starts_none_but_these(steps: int, overlap: str) -> None:
    scene = Scene()
    await scene.put(every="1m", overlap=overlap, catch_up="all")
    expected = run_ids("12:01:00", "12:02:00", "12:03:00", "12:04:00")
    store, bus = scene.store, scene.bus
    scene.runs.statuses = dict.fromkeys(expected, "completed")

    budget = [steps]
    scene.store, scene.bus = CrashingPort(store, budget), CrashingPort(bus, budget)
    async with scene.owner():
        await scene.clock.reach(at("12:03:10"))
    scene.store, scene.bus = store, bus
    async with scene.owner():
        await scene.clock.reach(at("12:04:10"))

    assert sorted(set(scene.starts())) == expected
    assert max(Counter(scene.starts()).values()) <= 2


async def test_a_store_or_broker_that_is_away_delays_a_tick_and_loses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    await scene.put()
    send, advance = scene.bus.send_job, scene.store.advance
    failures = iter([BusUnavailableError("away"), None, StoreUnavailableError("away"), None])

    def failing(call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def called(*arguments: Any) -> Any:
            error = next(failures, None)
            if error is not None:
                raise error
            return await call(*arguments)

        return called

    monkeypatch.setattr(scene.bus, "send_job", failing(send))
    monkeypatch.setattr(scene.store, "advance", failing(advance))
    async with scene.owner():
        await scene.clock.reach(at("13:00:00") + 5 * LOOK_SECONDS)

    assert set(scene.starts()) == set(run_ids("13:00:00"))
    assert (await scene.progress()).last_tick == at("13:00:00")


async def test_one_that_is_put_paused_changed_or_deleted_is_seen_within_seconds() -> None:
    scene = Scene()

    async with scene.owner():
        await scene.clock.reach(at("12:10:00"))
        await scene.put(every="10m")
        await scene.clock.reach(at("12:20:00"))
        await scene.turn("s", paused=True)
        await scene.clock.reach(at("12:45:00"))
        assert scene.starts() == run_ids("12:20:00")

        await scene.turn("s", paused=False)
        await scene.clock.reach(at("12:50:00"))
        assert scene.starts() == run_ids("12:20:00", "12:50:00")

        await scene.put(every="1h")
        await scene.clock.reach(at("13:00:00"))
        stored = await scene.store.get(ScheduleId("s"))
        await scene.store.delete(stored)
        await scene.clock.reach(at("15:00:00"))

    assert scene.starts() == run_ids("12:20:00", "12:50:00", "13:00:00")
    assert POLL_SECONDS <= 5


async def test_ticks_lie_between_start_and_end() -> None:
    scene = Scene()
    await scene.put(start="2026-11-24T14:00:00Z", end="2026-11-24T15:00:00Z")

    async with scene.owner():
        await scene.clock.reach(at("18:00:00"))

    assert scene.starts() == run_ids("14:00:00", "15:00:00")


async def test_one_that_cannot_be_read_here_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    await scene.put("a", cron="0 * * * *")
    stored = await scene.store.get(ScheduleId("a"))
    await scene.write("odd", stored.body.replace(b'"UTC"', b'"Mars/Base"'))

    async with scene.owner():
        await scene.clock.reach(at("13:00:00"))

    assert scene.starts() == run_ids("13:00:00", schedule_id="a")
    assert len([record for record in caplog.records if "Mars/Base" in record.getMessage()]) == 1


# -- ticks that were missed --------------------------------------------------------------------------------------------


async def missed(scene: Scene, until: str, **fields: Any) -> list[str]:
    """What is started after nobody was there from noon to that time."""
    await scene.put(**fields)
    scene.clock.jump(at(until))
    async with scene.owner():
        await scene.clock.settle()
    return scene.starts()


@pytest.mark.parametrize(
    ("catch_up", "times"),
    [
        ("skip", []),
        ("last", ["15:00:00"]),
        ("all", ["13:00:00", "14:00:00", "15:00:00"]),
    ],
)
async def test_ticks_that_were_missed(catch_up: str, times: list[str]) -> None:
    assert await missed(Scene(), "15:30:00", catch_up=catch_up) == run_ids(*times)


@pytest.mark.parametrize(
    ("catch_up", "times"),
    [
        ("skip", ["15:00:00"]),
        ("last", ["15:00:00"]),
        ("all", ["13:00:00", "14:00:00", "15:00:00"]),
    ],
)
async def test_a_tick_that_is_hardly_late_is_on_time(catch_up: str, times: list[str]) -> None:
    assert ON_TIME_SECONDS >= 30
    assert await missed(Scene(), "15:00:30", catch_up=catch_up) == run_ids(*times)


async def test_catching_up_is_bounded_by_its_count() -> None:
    started = await missed(
        Scene(), "15:30:00", catch_up="all", catch_up_limit=2, every="30s", anchor="2026-11-24T00:00:10Z"
    )

    # The 60 seconds before 15:30 are on time, whatever the limit.
    assert started == run_ids("15:28:10", "15:28:40", "15:29:10", "15:29:40")


async def test_what_was_left_out_is_not_looked_at_again() -> None:
    scene = Scene()
    await missed(scene, "15:30:00", catch_up="skip")

    assert (await scene.progress()).last_tick == at("15:00:00")
    async with scene.owner():
        await scene.clock.reach(at("16:00:00"))
    assert scene.starts() == run_ids("16:00:00")


# -- ticks that come too soon ------------------------------------------------------------------------------------------


async def test_overlap_skip_leaves_out_what_comes_while_a_run_lasts() -> None:
    scene = Scene()
    await scene.put(overlap="skip")

    async with scene.owner():
        await scene.clock.reach(at("13:00:00"))
        scene.runs.statuses["s:2026-11-24T13:00:00Z"] = "running"
        await scene.clock.reach(at("15:10:00"))
        assert scene.starts() == run_ids("13:00:00")

        scene.runs.statuses["s:2026-11-24T13:00:00Z"] = "completed"
        await scene.clock.reach(at("16:00:00"))

    assert scene.starts() == run_ids("13:00:00", "16:00:00")


async def test_the_next_owner_knows_the_run_that_lasts() -> None:
    scene = Scene()
    await scene.put(overlap="skip")

    async with scene.owner():
        await scene.clock.reach(at("14:10:00"))
        scene.runs.statuses["s:2026-11-24T14:00:00Z"] = "running"
        await scene.clock.reach(at("15:10:00"))
    async with scene.owner():
        await scene.clock.reach(at("16:10:00"))

    assert scene.starts() == run_ids("13:00:00", "14:00:00")


async def test_a_run_whose_start_was_sent_lately_lasts_though_nobody_has_recorded_it() -> None:
    scene = Scene()
    await scene.put(every="20s", overlap="skip")

    async with scene.owner():
        await scene.clock.reach(at("12:01:00"))
        assert scene.starts() == run_ids("12:00:20")
        await scene.clock.reach(at("12:00:20") + SENT_SECONDS + 20)

    assert scene.starts() == run_ids("12:00:20", "12:01:20")


async def test_overlap_queue_starts_one_when_the_run_before_has_ended() -> None:
    scene = Scene()
    await scene.put(overlap="queue")

    async with scene.owner():
        await scene.clock.reach(at("13:00:00"))
        scene.runs.statuses["s:2026-11-24T13:00:00Z"] = "running"
        await scene.clock.reach(at("15:10:00"))
        assert scene.starts() == run_ids("13:00:00")
        assert (await scene.progress()).waiting == at("14:00:00")
    async with scene.owner():
        scene.runs.statuses["s:2026-11-24T13:00:00Z"] = "failed"
        await scene.clock.reach(at("15:10:00") + 2 * LOOK_SECONDS)
        assert scene.starts() == run_ids("13:00:00", "14:00:00")
        scene.runs.statuses["s:2026-11-24T14:00:00Z"] = "completed"
        await scene.clock.reach(at("16:00:00"))

    assert scene.starts() == run_ids("13:00:00", "14:00:00", "16:00:00")
    assert (await scene.progress()).waiting is None


async def test_a_pause_forgets_the_tick_that_waits() -> None:
    scene = Scene()
    await scene.put(overlap="queue")

    async with scene.owner():
        await scene.clock.reach(at("13:00:00"))
        scene.runs.statuses["s:2026-11-24T13:00:00Z"] = "running"
        await scene.clock.reach(at("14:10:00"))
        await scene.turn("s", paused=True)
        await scene.clock.reach(at("14:20:00"))
        scene.runs.statuses["s:2026-11-24T13:00:00Z"] = "completed"
        await scene.clock.reach(at("14:30:00"))
        await scene.turn("s", paused=False)
        await scene.clock.reach(at("15:00:00"))

    assert scene.starts() == run_ids("13:00:00", "15:00:00")


async def test_overlap_cancel_previous_cancels_the_run_before_by_its_id() -> None:
    scene = Scene()
    await scene.put(overlap="cancel_previous")

    async with scene.owner():
        await scene.clock.reach(at("13:00:00"))
        scene.runs.statuses["s:2026-11-24T13:00:00Z"] = "running"
        await scene.clock.reach(at("14:00:00"))

    cancels = [record for record in scene.records() if record["type"] == "command"]
    assert [(record["command"], record["run_id"], record["by"]) for record in cancels] == [
        ("cancel", "s:2026-11-24T13:00:00Z", "schedule s")
    ]
    assert scene.starts() == run_ids("13:00:00", "14:00:00")


async def test_what_has_ended_is_not_cancelled() -> None:
    scene = Scene()
    await scene.put(overlap="cancel_previous")

    async with scene.owner():
        await scene.clock.reach(at("13:00:00"))
        scene.runs.statuses["s:2026-11-24T13:00:00Z"] = "completed"
        await scene.clock.reach(at("14:00:00"))

    assert [record["type"] for record in scene.records()] == ["start", "start"]


async def test_what_is_not_recorded_yet_is_cancelled_when_it_is() -> None:
    scene = Scene()
    await scene.put(every="20s", overlap="cancel_previous")

    async with scene.owner():
        await scene.clock.reach(at("12:00:45"))
        assert scene.starts() == run_ids("12:00:20")
        scene.runs.statuses["s:2026-11-24T12:00:20Z"] = "running"
        await scene.clock.reach(at("12:00:45") + 2 * LOOK_SECONDS)

    assert [(record["type"], record["run_id"]) for record in scene.records()] == [
        ("start", "s:2026-11-24T12:00:20Z"),
        ("command", "s:2026-11-24T12:00:20Z"),
        ("start", "s:2026-11-24T12:00:40Z"),
    ]
