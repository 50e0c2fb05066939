"""The views of real workers: started by HTTP, read as pages, counted over all workers."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from support.installation import END_SECONDS, Installation
from support.workers import Worker
from support.world import eventually

STACKS = [pytest.param("embedded", marks=pytest.mark.embedded), pytest.param("real", marks=pytest.mark.real)]


@pytest.fixture(params=STACKS)
async def installation(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Installation]:
    servers: Mapping[str, str] = request.getfixturevalue(f"{request.param}_servers")
    installation = Installation(servers, tmp_path)
    await installation.prepare()
    yield installation
    installation.close()


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def start(http: ClientSession, worker: Worker, **body: Any) -> Any:
    async with http.post(f"{worker.url}/api/v1/runs", json={"blueprint_id": "fan10", **body}) as response:
        return {"status": response.status, **await response.json()}


async def page(http: ClientSession, worker: Worker, path: str) -> str:
    async with http.get(f"{worker.url}{path}") as response:
        assert response.status == 200
        return " ".join((await response.text()).split())


async def shows(http: ClientSession, worker: Worker, *, completed: int) -> None:
    """Wait until the board on the front page of the worker has the count."""
    counted = f'<a href="/?blueprint=fan10&amp;status=completed">{completed}</a>'

    async def is_shown() -> bool:
        return counted in await page(http, worker, "/")

    await eventually(is_shown, within=END_SECONDS, every=0.1)


async def test_runs_are_started_watched_and_counted_whichever_worker_is_asked(
    installation: Installation, http: ClientSession
) -> None:
    first, second = await installation.start_workers(2)

    answers = await asyncio.gather(
        *(start(http, worker, run_id=f"r{number}-{worker.name}") for worker in (first, second) for number in range(10))
    )
    assert {answer["status"] for answer in answers} <= {201, 202}
    for worker in (first, second):
        await shows(http, worker, completed=20)
    again = await start(http, second, run_id=f"r0-{first.name}")
    assert (again["status"], again["outcome"]) == (200, "existing")
    other = await start(http, second, run_id=f"r0-{first.name}", input={"n": 1})
    assert other["status"] == 409

    async def is_told(worker: Worker) -> bool:
        return "run.start_refused" in await page(http, worker, f"/runs/r0-{first.name}")

    for worker in (first, second):
        await eventually(partial(is_told, worker), within=END_SECONDS, every=0.1)
        await shows(http, worker, completed=20)

    third = installation.start_worker()
    await third.ready()
    await shows(http, third, completed=20)
    second.kill()
    await start(http, third, run_id="last")
    for worker in (first, third):
        await shows(http, worker, completed=21)

    for worker in (first, third):
        worker.send(signal.SIGTERM)
        assert await worker.ended() == 0
        assert worker.problems() == []


async def test_what_is_no_record_of_events_stops_no_counting(installation: Installation, http: ClientSession) -> None:
    (worker,) = await installation.start_workers(1)
    async with installation.producer() as producer:
        for value in (b"nonsense", None, b"\xff\xfe", b"[]", b"[" * 20_000, b'{"run_id": 1, "events": {}}'):
            await producer.send_and_wait(f"{installation.name}.events", value, key=b"k")

    await start(http, worker, run_id="r1")

    await shows(http, worker, completed=1)
    assert worker.problems() == []
