from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.site import Site

from app.watchdog.judging import Trouble
from famulus.errors import StoreUnavailableError

BOTH_PLACES = pytest.mark.parametrize("prefix", ["", "/api/v1"])


@BOTH_PLACES
async def test_a_worker_that_answers_is_live(site: Site, prefix: str) -> None:
    assert await site.json(f"{prefix}/health/live") == {"status": "live"}


@BOTH_PLACES
async def test_a_worker_with_partitions_and_a_store_is_ready(site: Site, prefix: str) -> None:
    assert await site.json(f"{prefix}/health/ready") == {"status": "ready", "partitions": [0, 1, 2, 3]}


async def test_a_worker_between_two_assignments_is_not_ready(site: Site) -> None:
    site.world.engines[0].revoked()

    body = await site.json("/health/ready", status=503)

    assert "not settled" in body["reasons"][0]


async def test_a_worker_that_has_not_opened_its_servers_is_live_and_not_ready(site: Site) -> None:
    del site.app.engine

    assert (await site.json("/health/ready", status=503))["reasons"] == ["this worker has not opened its servers yet"]
    assert await site.json("/health/live") == {"status": "live"}


async def test_a_worker_whose_store_is_away_is_not_ready(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(**_: Any) -> Any:
        raise StoreUnavailableError("no host is up")

    monkeypatch.setattr(site.world.store, "recent", away)

    assert "no host is up" in (await site.json("/health/ready", status=503))["reasons"][0]


async def test_a_worker_whose_store_hangs_is_not_ready(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(**_: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr("app.web.health.STORE_SECONDS", 0.02)
    monkeypatch.setattr(site.world.store, "recent", hang)

    assert "within 0.02 s" in (await site.json("/health/ready", status=503))["reasons"][0]


async def test_a_worker_that_is_about_to_end_itself_is_not_live(site: Site) -> None:
    site.app.watchdog.gives_up = "nothing helps"

    assert (await site.json("/health/live", status=503))["reasons"] == ["nothing helps"]


async def test_a_worker_in_trouble_is_not_ready_and_says_why(site: Site) -> None:
    site.app.watchdog.troubles = (Trouble(kind="fetch_stalled", about=("jobs", 0), detail="jobs/0 stands", since=0.0),)

    assert (await site.json("/health/ready", status=503))["reasons"] == ["jobs/0 stands"]
