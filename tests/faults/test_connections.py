"""Rows 14, 16, 17, 20 and 32: connections between workers and servers break in every way that we can break them.

Two workers with load. The fault comes half way and lasts for some seconds; then every run ends as it should, no step is
recorded twice and the auditor has nothing to say. Nobody starts a worker anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis
from support.faulty import RUNS, lasts
from support.installation import FAN_STEPS
from support.proxy import Direction, Proxy
from support.wires import Message
from support.world import eventually

if TYPE_CHECKING:
    from support.faulty import Rig

pytestmark = [pytest.mark.real, pytest.mark.slow]

SERVERS = ("kafka", "cassandra", "redis")
FAULT_SECONDS = 5.0
FAULTS: dict[str, Callable[[Proxy], None]] = {
    "reset": Proxy.reset,
    "refused": Proxy.refuse,
    "stalled": Proxy.stall,
    "half open": Proxy.forget,
}
ONE_WAY: dict[str, Callable[[Proxy], None]] = {
    "no requests": lambda proxy: proxy.stall(Direction.REQUESTS),
    "no replies": lambda proxy: proxy.stall(Direction.REPLIES),
    "200 ms late": lambda proxy: proxy.delay(0.2),
    "cut in a reply": lambda proxy: proxy.cut(after=100, direction=Direction.REPLIES),
    "cut in a request": lambda proxy: proxy.cut(after=100, direction=Direction.REQUESTS),
}


def proxy_of(rig: Rig, server: str) -> Proxy:
    proxy: Proxy = getattr(rig, server)
    return proxy


# -- row 32, and what of 14, 17 and 20 is a connection -----------------------------------------------------------------


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    "fault",
    [pytest.param(name, marks=[pytest.mark.long] if name != "reset" else []) for name in FAULTS],
)
async def test_connections_that_break_lose_no_run(rig: Rig, server: str, fault: str) -> None:
    run_ids = await rig.half_way()

    FAULTS[fault](proxy_of(rig, server))
    await lasts(FAULT_SECONDS)

    await rig.recovers(run_ids)


@pytest.mark.long
@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("fault", ONE_WAY)
async def test_connections_that_lose_one_way_or_lag_lose_no_run(rig: Rig, server: str, fault: str) -> None:
    run_ids = await rig.half_way()

    ONE_WAY[fault](proxy_of(rig, server))
    await lasts(FAULT_SECONDS)

    await rig.recovers(run_ids)


@pytest.mark.long
@pytest.mark.parametrize("server", SERVERS)
async def test_a_server_that_is_away_for_a_minute_burns_no_attempt(rig: Rig, server: str) -> None:
    run_ids = await rig.half_way()

    proxy_of(rig, server).refuse()
    await lasts(60.0)

    await rig.recovers(run_ids)
    assert {call.attempt for call in rig.calls_of(run_ids)} == {1}


# -- row 14: a slow Redis, at each moment ------------------------------------------------------------------------------


async def test_a_slow_redis_costs_time_and_nothing_else(rig: Rig) -> None:
    rig.redis.delay(0.3)

    run_ids = await rig.installation.start_runs(RUNS)
    await rig.installation.all_completed(run_ids)

    assert rig.called_again(run_ids) == []
    await rig.recovers(run_ids)


async def test_counts_that_redis_took_and_never_answered_fire_no_join_twice(rig: Rig) -> None:
    loss = rig.redis.lose_replies("EVALSHA", "EVAL", times=5)

    run_ids = await rig.installation.start_runs(RUNS)
    await eventually(lambda: loss.lost > 0, within=60.0, every=0.05)

    await rig.recovers(run_ids)
    assert rig.called_again(run_ids) == []


# -- row 15: keys that are lost, and keys that come back ---------------------------------------------------------------


async def test_keys_that_come_back_from_the_past_fire_no_join_early_or_twice(rig: Rig) -> None:
    """As after a failover: what was counted lately is lost, and joins that were forgotten are there again."""
    async with Redis.from_url(f"redis://{rig.valkey.address}/0") as redis:
        run_ids = await rig.installation.start_runs(RUNS)
        await rig.called(run_ids, RUNS * len(FAN_STEPS) // 4)
        snapshot: dict[bytes, bytes] = {}

        async def something_is_counted() -> bool:
            """Not yet, while workers leave Redis alone: it did not answer them in an earlier test."""
            found = {key: await redis.dump(key) for key in await redis.keys("*")}
            snapshot.update({key: value for key, value in found.items() if value is not None})
            return bool(snapshot)

        await eventually(something_is_counted, within=60.0, every=0.02)
        await rig.called(run_ids, RUNS * len(FAN_STEPS) // 2)

        await redis.flushall()
        for key, value in snapshot.items():
            await redis.restore(key, 0, value, replace=True)

        await rig.recovers(run_ids)
        assert rig.called_again(run_ids) == []


# -- row 16: Cassandra times out before or after it applies ------------------------------------------------------------


def writes(message: Message) -> bool:
    return message.operation == "BATCH" or message.text.lstrip().upper().startswith(("INSERT", "UPDATE"))


@pytest.mark.parametrize("moment", ["before it applies", "after it applies"])
async def test_a_write_that_times_out_is_recorded_once(rig: Rig, moment: str) -> None:
    assert rig.cassandra is not None
    lose = rig.cassandra.lose_requests if moment == "before it applies" else rig.cassandra.lose_replies
    loss = lose(matching=writes, times=8)

    run_ids = await rig.installation.start_runs(RUNS)
    await eventually(lambda: loss.lost == 8, within=60.0, every=0.05)

    await rig.recovers(run_ids)
    assert rig.called_again(run_ids) == [], "an outcome that could not be stored is stored again"


@pytest.mark.parametrize("moment", ["before it applies", pytest.param("after it applies", marks=pytest.mark.long)])
async def test_a_worker_that_never_hears_of_its_epoch_takes_the_next_one(rig: Rig, moment: str) -> None:
    """The only lightweight transaction: its time-out says nothing, so the next number is taken."""
    assert rig.cassandra is not None
    lose = rig.cassandra.lose_requests if moment == "before it applies" else rig.cassandra.lose_replies
    loss = lose(matching=lambda message: "epoch" in message.text and " IF " in message.text, times=2)
    run_ids = await rig.half_way()

    (third,) = await rig.start_workers(1)

    await eventually(lambda: loss.lost > 0, within=60.0, every=0.05)
    await rig.recovers(run_ids)
    third.kill()
