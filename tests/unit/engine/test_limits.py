"""Implementations that may not run as often as they like: over workers, without holding up what does not wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest
from support.world import World, blueprint, eventually, statuses

from famulus.engine.execution import ExecutionLimits
from famulus.errors import LimitsUnavailableError
from famulus.flow.turns import Limit, TurnBook
from famulus.nodes import Registry, node


class Gauge:
    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self.starts: list[float] = []

    async def hold(self, seconds: float = 0.01) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        self.starts.append(time.monotonic())
        await asyncio.sleep(seconds)
        self.now -= 1


class AbsentLimits:
    """A server that is away until it is there."""

    def __init__(self) -> None:
        self.is_away = True
        self.taken: set[str] = set()

    async def take(self, limit: Limit, lease: str) -> float:
        self._ask()
        self.taken.add(lease)
        return 0.0

    async def renew(self, held: Mapping[str, str]) -> None:
        self._ask()

    async def give_back(self, name: str, lease: str) -> None:
        self.taken.discard(lease)

    def _ask(self) -> None:
        if self.is_away:
            raise LimitsUnavailableError("away")


def many(count: int, uses: str = "f") -> dict[str, str]:
    return {f"{uses}{number}": uses for number in range(count)}


async def test_no_more_attempts_run_at_once_than_the_node_allows() -> None:
    gauge = Gauge()

    @node("f", concurrency=3)
    async def f() -> None:
        await gauge.hold()

    async with World({"f": f}) as world:
        view = await world.run(blueprint("one", many(20)))

    assert set(statuses(view).values()) == {"completed"}
    assert gauge.most == 3


async def test_the_limit_holds_over_workers() -> None:
    gauge = Gauge()

    @node("f", concurrency=2)
    async def f() -> None:
        await gauge.hold(0.02)

    world = World({"f": f})
    engines = [world.engine("w1"), world.engine("w2")]
    async with world:
        for number, engine in enumerate(engines):
            engine.assigned(range(number * 2, number * 2 + 2))
        await world.push(blueprint("one", many(3)))
        for number in range(6):
            await world.start("one", f"r{number}")
        views = [await world.ended(f"r{number}") for number in range(6)]

    assert {step.worker for view in views for step in view.steps} == {"w1", "w2"}
    assert gauge.most == 2


async def test_starts_are_spread_over_time() -> None:
    gauge = Gauge()

    @node("f", rate="5/s")
    async def f() -> None:
        await gauge.hold(0)

    async with World({"f": f}) as world:
        began = time.monotonic()
        await world.run(blueprint("one", many(7)))

    assert gauge.starts[6] - began > 0.38


async def test_steps_that_wait_for_their_turn_hold_no_slot() -> None:
    gauge, done = Gauge(), asyncio.Event()

    @node("slow", concurrency=1)
    async def slow() -> None:
        gauge.starts.append(1)
        await done.wait()

    async def quick() -> None: ...

    execution = ExecutionLimits(steps=2, steps_per_run=2)
    async with World({"slow": slow, "quick": quick}, execution=execution) as world:
        await world.push(blueprint("slow", many(10, "slow")))
        await world.start("slow", "r1")
        await eventually(lambda: bool(gauge.starts))
        view = await world.run(blueprint("quick", many(10, "quick")), run_id="r2")
        done.set()
        await world.ended("r1")

    assert set(statuses(view).values()) == {"completed"}


async def test_a_step_that_is_cancelled_while_it_waits_leaves_its_place_to_the_next() -> None:
    began: list[str] = []
    done = asyncio.Event()

    @node("f", concurrency=1)
    async def f(ctx: Any) -> None:
        began.append(ctx.run_id)
        await done.wait()

    async with World({"f": f}) as world:
        await world.push(blueprint("one", {"a": "f"}))
        await world.start("one", "r1")
        await eventually(lambda: began == ["r1"])
        await world.start("one", "r2")
        await eventually(lambda: world.engines[0].counts["turns_awaited"] > 0)
        await world.send({"type": "command", "command": "cancel", "run_id": "r2"})
        assert (await world.ended("r2")).summary.status == "cancelled"
        await world.start("one", "r3")
        done.set()
        await world.ended("r1")
        await world.ended("r3")

    assert began == ["r1", "r3"]


async def test_while_the_server_is_away_each_worker_keeps_the_limit_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gauge, limits = Gauge(), AbsentLimits()

    @node("f", concurrency=2)
    async def f() -> None:
        await gauge.hold()

    world = World({"f": f})
    world.limits = limits
    async with world:
        await world.run(blueprint("one", many(8)))
        assert gauge.most == 2
        assert world.engines[0].counts["limits_kept_locally"] >= 8

        limits.is_away = False
        await world.run(blueprint("one", many(8)), run_id="r2")
        await eventually(lambda: not limits.taken)

    actions = [getattr(record, "action", "") for record in caplog.records]
    assert actions.count("limits_local") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": True}, "concurrency"),
        ({"rate": "10"}, "rate"),
        ({"rate": "0/s"}, "rate"),
        ({"rate": "10/0s"}, "rate"),
        ({"rate": 10}, "rate"),
        ({"reads": ["x"]}, "reads"),
        ({"cpu_bound": True, "reads": "x"}, "reads"),
    ],
)
def test_limits_that_are_none_are_refused(options: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        node("f", **options)


@pytest.mark.parametrize(
    ("rate", "starts", "seconds"), [("10/s", 10, 1), ("5/10m", 5, 600), ("100/h", 100, 3600), ("1/2d", 1, 172_800)]
)
def test_a_rate_is_so_many_starts_in_a_time(rate: str, starts: int, seconds: float) -> None:
    known = Registry()
    known.register("f", node("f", rate=rate)(lambda: None))

    limit = known["f"].limit
    assert limit is not None
    assert (limit.name, limit.starts, limit.seconds, limit.concurrency) == ("f", starts, seconds, None)


def test_never_more_starts_than_twice_the_rate_in_any_period_and_the_rate_on_the_long_run() -> None:
    book, limit, now = TurnBook(), Limit(name="f", starts=10), 0.0
    starts: list[float] = []
    while now < 20:
        wait = book.take(limit, f"{len(starts)}", now=now)
        if wait:
            now += wait
        else:
            starts.append(now)

    assert 205 <= len(starts) <= 211
    assert all(after - before > 0.99 for before, after in zip(starts, starts[20:], strict=False))
