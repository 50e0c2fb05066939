"""What every counter of joins promises; see `famulus.ports.Joins`."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from support.at_once import at_once
from support.valkey import Server

from famulus.adapters.redis import RedisJoins
from famulus.errors import JoinsUnavailableError
from famulus.flow.arrivals import Arrivals
from famulus.ids import NodeId, RunId, StepId
from famulus.ports import JoinKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import JoinsBackend

    from famulus.ports import Joins

KINDS = ("fired", "dead", "failed")
SERVER_SECONDS = 20.0
"""What a server may take that is there, on a machine that has much else to do."""


def a_key(run_id: str = "run-1", step_id: str = "join") -> JoinKey:
    return JoinKey(RunId(run_id), StepId(step_id))


def by(**arrivals: str) -> dict[NodeId, str]:
    return {NodeId(node_id): kind for node_id, kind in arrivals.items()}


# -- counting --------------------------------------------------------------------------------------------------------


async def test_predecessors_are_counted_by_how_they_came(joins: Joins) -> None:
    assert await joins.arrive(a_key(), by(a="fired")) == Arrivals(fired=1)
    assert await joins.arrive(a_key(), by(b="dead", c="failed")) == Arrivals(fired=1, dead=1, failed=1)
    assert await joins.arrive(a_key(), by(d="fired")) == Arrivals(fired=2, dead=1, failed=1)


async def test_a_second_arrival_counts_nothing_and_gets_the_same_answer(joins: Joins) -> None:
    await joins.arrive(a_key(), by(a="fired"))
    once = await joins.arrive(a_key(), by(b="fired"))

    assert await joins.arrive(a_key(), by(b="fired")) == once == Arrivals(fired=2)


async def test_a_predecessor_stays_as_it_came_first(joins: Joins) -> None:
    await joins.arrive(a_key(), by(a="fired"))

    assert await joins.arrive(a_key(), by(a="dead")) == Arrivals(fired=1)
    assert await joins.arrive(a_key(), by(a="failed", b="dead")) == Arrivals(fired=1, dead=1)


async def test_nobody_arriving_only_asks(joins: Joins) -> None:
    assert await joins.arrive(a_key(), {}) == Arrivals()
    await joins.arrive(a_key(), by(a="fired"))
    assert await joins.arrive(a_key(), {}) == Arrivals(fired=1)


async def test_joins_of_other_steps_and_runs_count_for_themselves(joins: Joins) -> None:
    await joins.arrive(a_key("run-1", "join"), by(a="fired"))

    assert await joins.arrive(a_key("run-1", "join[2]"), by(b="dead")) == Arrivals(dead=1)
    assert await joins.arrive(a_key("run-2", "join"), by(b="failed")) == Arrivals(failed=1)


async def test_names_that_look_like_ours_are_names(joins: Joins) -> None:
    odd = ["c:fired", "n:a", "fired", "", " ", "{a}", "ü\n\0"]

    counts = [await joins.arrive(a_key("a:b.c_d-e", "outer[1].{x}"), {NodeId(name): "fired"}) for name in odd]

    assert [count.fired for count in counts] == list(range(1, len(odd) + 1))


async def test_a_thousand_predecessors_at_once_see_each_count_once(joins: Joins) -> None:
    arriving = {f"node-{number}": KINDS[number % 3] for number in range(1000)}

    # Each comes twice: deliveries double.
    answers = await asyncio.gather(
        *(joins.arrive(a_key(), by(**{node_id: kind})) for node_id, kind in [*arriving.items(), *arriving.items()])
    )

    complete = Arrivals(fired=334, dead=333, failed=333)
    assert answers.index(complete) == 999
    assert answers.count(complete) == 1001
    assert await joins.arrive(a_key(), by(**arriving)) == complete


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    steps=st.lists(st.dictionaries(st.sampled_from("abcd"), st.sampled_from(KINDS), max_size=3), max_size=8),
    run=st.uuids(),
)
async def test_counts_are_those_of_first_arrivals(joins: Joins, steps: list[dict[str, str]], run: Any) -> None:
    key, first = a_key(str(run)), dict[str, str]()

    for arrivals in steps:
        first = arrivals | first
        answer = await joins.arrive(key, by(**arrivals))

        came = list(first.values())
        assert answer == Arrivals(fired=came.count("fired"), dead=came.count("dead"), failed=came.count("failed"))
    await joins.forget(key.run_id, [key.step_id])


# -- losing and repairing --------------------------------------------------------------------------------------------


async def test_refill_replaces_what_is_known(joins: Joins) -> None:
    await joins.arrive(a_key(), by(a="fired", stranger="failed"))

    await joins.refill(a_key(), by(a="dead", b="fired"))

    assert await joins.arrive(a_key(), by(b="fired")) == Arrivals(fired=1, dead=1)
    assert await joins.arrive(a_key(), by(c="fired")) == Arrivals(fired=2, dead=1)


async def test_refill_with_nobody_empties_the_join(joins: Joins) -> None:
    await joins.arrive(a_key(), by(a="fired"))

    await joins.refill(a_key(), {})

    assert await joins.arrive(a_key(), by(b="dead")) == Arrivals(dead=1)


async def test_a_join_that_was_lost_counts_from_the_start_until_it_is_refilled(joins_backend: JoinsBackend) -> None:
    joins = joins_backend.joins
    await joins.arrive(a_key(), by(a="fired", b="fired"))

    await joins_backend.lose_everything()

    assert await joins.arrive(a_key(), by(c="fired")) == Arrivals(fired=1)
    await joins.refill(a_key(), by(a="fired", b="fired", c="fired"))
    assert await joins.arrive(a_key(), by(d="fired")) == Arrivals(fired=4)


async def test_forgotten_joins_start_again(joins: Joins) -> None:
    steps = [StepId("one"), StepId("two")]
    for step_id in steps:
        await joins.arrive(a_key("run-1", step_id), by(a="fired"))
        await joins.arrive(a_key("run-2", step_id), by(a="fired"))

    await joins.forget(RunId("run-1"), [*steps, StepId("never was")])
    await joins.forget(RunId("run-1"), [])

    for step_id in steps:
        assert await joins.arrive(a_key("run-1", step_id), by(b="fired")) == Arrivals(fired=1)
        assert await joins.arrive(a_key("run-2", step_id), by(b="fired")) == Arrivals(fired=2)


# -- a server that goes away -----------------------------------------------------------------------------------------


@asynccontextmanager
async def joins_on_own_server(*, timeout_seconds: float = SERVER_SECONDS) -> AsyncIterator[tuple[Server, RedisJoins]]:
    server = Server()
    joins = RedisJoins(server.url, first_probe_seconds=0.05, timeout_seconds=timeout_seconds)
    try:
        yield server, joins
    finally:
        await joins.close()
        server.kill()


async def eventually_arrive(joins: Joins, key: JoinKey, arrivals: dict[NodeId, str]) -> Arrivals:
    deadline = time.monotonic() + 60
    while True:
        try:
            return await joins.arrive(key, arrivals)
        except JoinsUnavailableError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)


@pytest.mark.embedded
async def test_while_the_server_is_away_no_arrival_waits_and_afterwards_they_count_again() -> None:
    async with joins_on_own_server() as (server, joins):
        await joins.arrive(a_key(), by(a="fired"))
        server.kill()

        with pytest.raises(JoinsUnavailableError):
            await joins.arrive(a_key(), by(b="fired"))
        for _ in range(3):
            with pytest.raises(JoinsUnavailableError) as refused:
                at_once(joins.arrive(a_key(), by(b="fired")))
        assert refused.value.retry_after
        at_once(joins.forget(RunId("run-1"), [StepId("join")]))

        server.start()
        assert await eventually_arrive(joins, a_key(), by(b="fired")) == Arrivals(fired=1)


@pytest.mark.embedded
async def test_a_server_that_restarts_between_two_arrivals_is_not_noticed() -> None:
    async with joins_on_own_server() as (server, joins):
        await joins.arrive(a_key(), by(a="fired"))
        server.kill()
        server.start()

        assert await joins.arrive(a_key(), by(b="fired")) == Arrivals(fired=1)


@pytest.mark.embedded
async def test_everyone_who_waits_when_the_server_dies_is_told() -> None:
    async with joins_on_own_server(timeout_seconds=0.2) as (server, joins):
        await eventually_arrive(joins, a_key(), by(a="fired"))
        server.pause()
        waiting = [asyncio.ensure_future(joins.arrive(a_key(), by(**{f"n{at}": "fired"}))) for at in range(50)]
        await asyncio.sleep(0.01)
        waiting += [asyncio.ensure_future(joins.arrive(a_key(), by(**{f"m{at}": "fired"}))) for at in range(50)]

        answers = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 60)

        assert {type(answer) for answer in answers} == {JoinsUnavailableError}
        server.go_on()
        # What was sent before the server stopped is counted now; a second arrival must not count again.
        arrivals = by(**{f"n{at}": "fired" for at in range(50)})
        assert (await eventually_arrive(joins, a_key(), arrivals)).fired == 51


@pytest.mark.embedded
async def test_a_server_that_was_never_there_is_probed_until_it_comes() -> None:
    server = Server()
    server.kill()
    joins = RedisJoins(server.url, first_probe_seconds=0.05, timeout_seconds=SERVER_SECONDS)
    with pytest.raises(JoinsUnavailableError):
        await joins.arrive(a_key(), by(a="fired"))

    server.start()

    assert await eventually_arrive(joins, a_key(), by(a="fired")) == Arrivals(fired=1)
    await joins.close()
    server.kill()


@pytest.mark.embedded
async def test_joins_of_a_run_share_a_hash_tag_and_expire(valkey_url: str, namespace: str) -> None:
    joins = RedisJoins(valkey_url, namespace=namespace, ttl_seconds=3600, timeout_seconds=SERVER_SECONDS)
    await joins.arrive(a_key("run-1", "join[2]"), by(a="fired"))

    async with Redis.from_url(valkey_url, protocol=2) as redis:
        remaining = await redis.ttl(f"famulus:{namespace}:{{run-1}}:join:join[2]")

    assert 3000 < remaining <= 3600
    await joins.close()


@pytest.mark.embedded
async def test_a_key_of_another_kind_fails_its_own_join_only(valkey_url: str, namespace: str) -> None:
    joins = RedisJoins(valkey_url, namespace=namespace, timeout_seconds=SERVER_SECONDS)
    async with Redis.from_url(valkey_url, protocol=2) as redis:
        await redis.set(f"famulus:{namespace}:{{run-1}}:join:broken", "not a hash")

    broken, sound = await asyncio.gather(
        joins.arrive(a_key("run-1", "broken"), by(a="fired")),
        joins.arrive(a_key("run-1", "sound"), by(a="fired")),
        return_exceptions=True,
    )

    assert isinstance(broken, JoinsUnavailableError)
    assert sound == Arrivals(fired=1)
    await joins.refill(a_key("run-1", "broken"), by(a="fired"))
    assert await joins.arrive(a_key("run-1", "broken"), by(b="fired")) == Arrivals(fired=2)
    await joins.close()
