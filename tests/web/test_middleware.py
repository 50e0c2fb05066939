"""What holds for every request: headers, whose requests are answered, and what is told when something fails."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from support.site import Site, open_site

import agents
import tables
from app.factory import create_app
from famulus.errors import SettingsError, StoreUnavailableError
from famulus.settings import Settings

START = {"blueprint_id": "chain"}


def failing(error: Exception) -> Any:
    async def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/api/v1/runs", "/api/v1/nothing", "/static/style.css", "/health/live"]
)
async def test_every_answer_keeps_browsers_from_running_what_is_not_ours(site: Site, path: str) -> None:
    headers = (await site.client.get(path)).headers

    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] in ("no-store", "no-cache")
    assert "Access-Control-Allow-Origin" not in headers


COMMANDS = ("cancel", "fork", "limit", "migrate", "pause", "rerun", "resume", "retry", "signal", "unpause")


async def test_only_our_routes_exist(site: Site) -> None:
    web: Any = site.app.web

    assert {resource.canonical for resource in web.web_app.router.resources()} == {
        "/",
        "/runs/{run_id}",
        *(f"/runs/{{run_id}}/{command}" for command in ("cancel", "pause", "resume", "retry", "unpause")),
        "/schedules",
        "/schedules/{schedule_id}",
        "/schedules/{schedule_id}/pause",
        "/schedules/{schedule_id}/unpause",
        "/dead-letters",
        "/dead-letters/{letter_id}",
        "/dead-letters/{letter_id}/redrive",
        "/dead-letters/{letter_id}/drop",
        "/api/v1/dead-letters",
        "/api/v1/dead-letters/{letter_id}",
        "/api/v1/dead-letters/{letter_id}/redrive",
        "/api/v1/dead-letters/{letter_id}/drop",
        "/api/v1/runs/{run_id}/explain",
        "/api/v1/parked",
        "/api/v1/schedules",
        "/api/v1/schedules/{schedule_id}",
        "/api/v1/schedules/{schedule_id}/pause",
        "/api/v1/schedules/{schedule_id}/unpause",
        "/api/v1/schedules/{schedule_id}/trigger",
        "/api/v1/runs",
        "/api/v1/runs/{run_id}",
        "/api/v1/runs/{run_id}/events",
        "/api/v1/runs/{run_id}/summary",
        "/api/v1/runs/{run_id}/steps",
        "/api/v1/runs/{run_id}/context",
        *(f"/api/v1/runs/{{run_id}}/{command}" for command in COMMANDS),
        "/hooks/{token}",
        "/api/v1/blueprints",
        "/api/v1/blueprints/{blueprint_id}",
        "/health/live",
        "/health/ready",
        "/api/v1/health/live",
        "/api/v1/health/ready",
        "/static",
        "/login",
        "/logout",
    }


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_a_page_of_another_site_cannot_change_anything(site: Site, headers: dict[str, str]) -> None:
    api = await site.post("/api/v1/runs", START, headers=headers)
    form = await site.client.post("/runs/r1/cancel", data={}, headers=headers)

    assert (api.status, form.status) == (403, 403)
    assert (await site.json("/api/v1/runs"))["runs"] == []


async def test_a_name_that_was_made_to_point_here_is_not_served(site: Site) -> None:
    response = await site.client.get("/api/v1/runs", headers={"Host": "evil.example"})

    assert response.status == 421


@pytest.mark.parametrize("host", ["localhost:6066", "127.0.0.1", "[::1]:6066"])
async def test_every_name_of_this_machine_is_served(site: Site, host: str) -> None:
    assert (await site.client.get("/api/v1/runs", headers={"Host": host})).status == 200


async def test_any_name_is_served_where_that_is_meant(tmp_path: Path) -> None:
    async with open_site(tmp_path, web_host="0.0.0.0", insecure=True) as site:
        assert (await site.client.get("/api/v1/runs", headers={"Host": "famulus.example"})).status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "famulus.example"])
def test_listening_to_strangers_must_be_meant(tmp_path: Path, host: str) -> None:
    settings = Settings(kafka_brokers="127.0.0.1:1", data_dir=tmp_path, web_host=host)

    with pytest.raises(SettingsError, match=r"FAMULUS_WEB_HOST: .*FAMULUS_INSECURE=1"):
        create_app(settings, agents=agents, tables=tables)


async def test_a_method_that_is_not_possible_is_refused_with_those_that_are(site: Site) -> None:
    response = await site.client.delete("/api/v1/runs")

    assert response.status == 405
    assert response.headers["Allow"] == "GET,HEAD,POST"
    assert "DELETE is not possible" in (await response.json())["error"]["message"]


@pytest.mark.parametrize("path", ["/api/v1/runs", "/"])
async def test_a_store_that_is_away_is_told_with_when_to_ask_again(
    site: Site, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site.world.store, "recent", failing(StoreUnavailableError("Cassandra does not answer")))

    response = await site.client.get(path)

    assert response.status == 503
    assert response.headers["Retry-After"] == "2"
    assert "Cassandra does not answer" in await response.text()


@pytest.mark.parametrize("path", ["/api/v1/runs", "/"])
async def test_what_went_wrong_inside_is_told_to_the_log_alone(
    site: Site, path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(site.world.store, "recent", failing(ValueError("the secret")))

    with caplog.at_level(logging.ERROR, logger="app.web.middleware"):
        response = await site.client.get(path)

    assert response.status == 500
    text = await response.text()
    assert "secret" not in text
    assert "Traceback" not in text
    assert "the secret" in caplog.text


async def test_the_token_of_a_webhook_is_in_no_log(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for error in (ValueError("x"), StoreUnavailableError("Cassandra does not answer")):
        monkeypatch.setattr(site.world.hooks, "get", failing(error))
        with caplog.at_level(logging.DEBUG):
            await site.client.post("/hooks/the-token", json={})

    failed = [vars(record)["path"] for record in caplog.records if vars(record).get("action") == "request_failed"]
    assert failed == ["/hooks/...", "/hooks/..."]


async def test_a_request_that_takes_too_long_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr("app.web.middleware.ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(site.world.store, "recent", never)

    assert (await site.client.get("/api/v1/runs")).status == 503
