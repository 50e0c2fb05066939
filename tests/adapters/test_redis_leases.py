"""Who has a turn, for those who look."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

import pytest

from famulus.adapters.redis import RedisLimits
from famulus.client.live import LiveServers
from famulus.flow.turns import Limit
from famulus.settings import Settings

LIMIT = Limit(name="slow", concurrency=2)


@pytest.mark.embedded
async def test_leases_are_told_until_they_are_given_back_or_expire(embedded_servers: Mapping[str, str]) -> None:
    limits = RedisLimits(
        embedded_servers["REDIS_URL"], namespace=f"t{uuid.uuid4().hex[:12]}", lease_seconds=600.0, timeout_seconds=20
    )
    try:
        await limits.take(LIMIT, "w1/r1/a/1")
        await limits.take(LIMIT, "w2/r2/a/1")
        both = await limits.leases("slow")
        await limits.give_back("slow", "w1/r1/a/1")
        one = await limits.leases("slow")
        turns = await LiveServers(Settings(_env_file=None), limits).turns(["slow", "other"])  # type: ignore[call-arg]
    finally:
        await limits.close()

    assert sorted(both or ()) == ["w1/r1/a/1", "w2/r2/a/1"]
    assert one == ["w2/r2/a/1"]
    assert {name: list(facts.leases) for name, facts in turns.items()} == {"slow": ["w2/r2/a/1"]}


async def test_of_a_server_that_is_away_nothing_is_known() -> None:
    limits = RedisLimits("redis://127.0.0.1:1", timeout_seconds=0.2)
    try:
        assert await limits.leases("slow") is None
    finally:
        await limits.close()


async def test_of_a_broker_that_is_away_nothing_is_known() -> None:
    settings = Settings(_env_file=None, kafka_brokers="127.0.0.1:1")  # type: ignore[call-arg]
    live = LiveServers(settings, None, patience_seconds=0.3)
    try:
        assert await live.partition_of("r") is None  # type: ignore[arg-type]
    finally:
        await live.close()
