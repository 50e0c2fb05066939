"""Who is let in where callers are asked who they are (FAMULUS_AUTH=on), and what they may do there."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from support.site import Site, open_site

import app.web
from app.web.gate import OPEN, SAFE_METHODS
from famulus.security.scopes import Scope
from famulus.security.tokens import create_token, revoke_tokens

OPEN_TO_ALL = {
    "/health/live",
    "/health/ready",
    "/api/v1/health/live",
    "/api/v1/health/ready",
    "/static",
    "/login",
    "/hooks/{token}",
}
START = {"blueprint_id": "chain"}
PROXY = {"trusted_proxies": "127.0.0.0/8"}
USER = {"X-Forwarded-User": "ada", "X-Forwarded-Groups": "staff, famulus-operator"}
SAME = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path, auth="on") as site:
        yield site


async def token(site: Site, scope: Scope = Scope.OPERATOR, name: str = "", **options: Any) -> str:
    secret, _ = await create_token(
        site.world.tokens, name or f"my-{scope}", scope, by="a test", now=site.app.engine.ports.clock.now(), **options
    )
    return secret


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def routes(site: Site) -> list[tuple[str, str, str]]:
    """Method, path as the route has it, and a path that leads there, for every route but open ones."""
    web: Any = site.app.web
    table = []
    for resource in web.web_app.router.resources():
        template = resource.canonical
        if template in OPEN_TO_ALL:
            continue
        path = re.sub(r"\{[^}]*\}", "some", template)
        table += [(method, template, path) for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")]
    return table


def test_what_is_open_to_all_is_known_here_too() -> None:
    """A path that is opened has to be opened twice: by mistake nobody does that."""
    assert OPEN == OPEN_TO_ALL


async def test_without_a_token_every_route_but_the_open_ones_asks_who_it_is(closed: Site) -> None:
    table = routes(closed)
    assert len(table) > 100

    for method, _, path in table:
        response = await closed.client.request(method, path, allow_redirects=False)

        assert response.status == 401, (method, path)
        assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_a_path_that_does_not_exist_is_not_told_to_strangers(closed: Site) -> None:
    assert (await closed.client.get("/api/v1/nothing")).status == 401
    assert (await closed.client.get("/api/v1/nothing", headers=bearer(await token(closed)))).status == 404


async def test_a_viewer_may_look_everywhere_and_change_nothing(closed: Site) -> None:
    viewer = bearer(await token(closed, Scope.VIEWER))

    for method, template, path in routes(closed):
        response = await closed.client.request(method, path, headers=viewer, allow_redirects=False)

        if method in SAFE_METHODS or (method, template) == ("POST", "/logout"):
            assert response.status not in (401, 403), (method, path)
        else:
            assert response.status == 403, (method, path)


@pytest.mark.parametrize("scope", [Scope.OPERATOR, Scope.ADMIN])
async def test_an_operator_is_stopped_nowhere(closed: Site, scope: Scope) -> None:
    operator = bearer(await token(closed, scope))

    for method, _, path in routes(closed):
        response = await closed.client.request(method, path, headers=operator, allow_redirects=False)

        assert response.status not in (401, 403), (method, path)


async def test_open_paths_ask_nobody(closed: Site) -> None:
    assert (await closed.client.get("/health/live")).status == 200
    assert (await closed.client.get("/static/style.css")).status == 200
    assert (await closed.client.get("/login")).status == 200
    assert (await closed.post("/hooks/unknown")).status == 404


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer wrong", "Basic b3BzOnB3", "wrong", "Bearer \u00fc" * 200]
)
async def test_what_is_no_token_lets_nobody_in(closed: Site, header: str) -> None:
    assert (await closed.client.get("/api/v1/runs", headers={"Authorization": header})).status == 401


async def test_a_token_in_the_address_is_none(closed: Site) -> None:
    secret = await token(closed)

    assert (await closed.client.get(f"/api/v1/runs?token={secret}&access_token={secret}")).status == 401


async def test_an_expired_token_lets_nobody_in(closed: Site) -> None:
    now = closed.app.engine.ports.clock.now()
    secret, _ = await create_token(closed.world.tokens, "old", Scope.ADMIN, by="x", now=now - 60, expires_at=now - 1)

    assert (await closed.client.get("/api/v1/runs", headers=bearer(secret))).status == 401


async def test_a_revoked_token_lets_nobody_in_after_some_seconds(closed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("famulus.security.keyring.KEPT_SECONDS", 0.0)
    secret = await token(closed, name="gone")
    assert (await closed.client.get("/api/v1/runs", headers=bearer(secret))).status == 200

    await revoke_tokens(closed.world.tokens, "gone", by="x", now=closed.app.engine.ports.clock.now())

    assert (await closed.client.get("/api/v1/runs", headers=bearer(secret))).status == 401


async def test_a_token_that_is_known_costs_no_read(closed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    known = bearer(await token(closed))
    assert (await closed.client.get("/api/v1/runs", headers=known)).status == 200

    async def never(_digest: str) -> Any:
        raise AssertionError("the store is asked")

    monkeypatch.setattr(closed.world.tokens, "get", never)

    assert (await closed.client.get("/api/v1/runs", headers=known)).status == 200


async def test_whoever_offers_wrong_tokens_again_and_again_has_to_wait(tmp_path: Path) -> None:
    async with open_site(tmp_path, auth="on", auth_failures=3) as site:
        known, other = bearer(await token(site)), bearer(await token(site, name="other"))
        await site.client.get("/api/v1/runs", headers=known)
        for _ in range(3):
            assert (await site.client.get("/api/v1/runs", headers=bearer("wrong"))).status == 401

        held_off = await site.client.get("/api/v1/runs", headers=bearer("wrong"))
        at_login = await site.client.post("/login", data={"token": "wrong"})
        not_looked_at = await site.client.get("/api/v1/runs", headers=other)
        let_in_before = await site.client.get("/api/v1/runs", headers=known)

    assert (held_off.status, at_login.status, not_looked_at.status, let_in_before.status) == (429, 429, 429, 200)
    assert 0 < int(held_off.headers["Retry-After"]) <= 60


# -- who asks --------------------------------------------------------------------------------------------------------


async def events(site: Site, run_id: str, headers: dict[str, str]) -> list[dict[str, Any]]:
    response = await site.client.get(f"/api/v1/runs/{run_id}/events", headers=headers)
    return (await response.json())["events"]


async def test_who_asked_is_recorded_by_the_name_of_the_token_whatever_the_body_says(closed: Site) -> None:
    operator = bearer(await token(closed, name="night-shift"))
    await closed.post("/api/v1/runs", {"blueprint_id": "endless", "run_id": "r1", "by": "the boss"}, headers=operator)

    response = await closed.post("/api/v1/runs/r1/pause", {"by": "the boss"}, headers=operator)

    assert response.status == 200, await response.text()
    told = str(await events(closed, "r1", operator))
    assert "night-shift" in told
    assert "the boss" not in told


async def test_who_made_a_schedule_is_recorded_by_the_name_of_the_token(closed: Site) -> None:
    operator = bearer(await token(closed, name="night-shift"))
    schedule = {"id": "s", "blueprint_id": "chain", "every": "1h", "by": "the boss"}

    created = await closed.post("/api/v1/schedules", schedule, headers=operator)
    paused = await closed.post("/api/v1/schedules/s/pause", {"by": "the boss"}, headers=operator)

    assert [(await each.json())["schedule"]["by"] for each in (created, paused)] == ["night-shift"] * 2


async def test_who_triggers_a_schedule_is_recorded_in_the_run_by_the_name_of_the_token(closed: Site) -> None:
    operator = bearer(await token(closed, name="night-shift"))
    await closed.post("/api/v1/schedules", {"id": "s", "blueprint_id": "chain", "every": "1h"}, headers=operator)

    body = {"at": "2026-11-24T15:00:00Z", "by": "the boss"}
    response = await closed.post("/api/v1/schedules/s/trigger", body, headers=operator)

    assert response.status == 201, await response.text()
    started = (await events(closed, "s:2026-11-24T15:00:00Z", operator))[0]
    assert (started["type"], started["by"]) == ("run.started", "night-shift")


async def test_everything_that_somebody_changes_is_told_to_the_log(
    closed: Site, caplog: pytest.LogCaptureFixture
) -> None:
    operator = bearer(await token(closed, name="night-shift"))

    with caplog.at_level(logging.INFO, logger="famulus.audit"):
        await closed.client.get("/api/v1/runs", headers=operator)
        await closed.post("/api/v1/runs/nothing/pause", {}, headers=operator)
        await closed.post("/api/v1/runs", START)
        await closed.post("/hooks/the-token-of-a-webhook", {})

    lines: list[Any] = [record for record in caplog.records if record.action == "audit"]
    assert [(line.what, line.by, line.status) for line in lines] == [
        ("POST /api/v1/runs/{run_id}/pause", "night-shift", 404),
        ("POST /hooks/{token}", "", 404),
    ]
    assert lines[0].run_id == "nothing"
    assert "the-token-of-a-webhook" not in caplog.text


# -- browsers --------------------------------------------------------------------------------------------------------


async def log_in(site: Site, secret: str, **form: str) -> ClientResponse:
    return await site.client.post("/login", data={"token": secret, **form}, allow_redirects=False, headers=SAME)


async def form_token(site: Site, path: str = "/runs/r1") -> str:
    text = await (await site.client.get(path)).text()
    found = re.search(r'name="form_token" value="(\w+)"', text)
    assert found is not None, text
    return found[1]


async def logged_in(site: Site, scope: Scope = Scope.OPERATOR) -> None:
    operator = await token(site)
    await site.post("/api/v1/runs", {"blueprint_id": "endless", "run_id": "r1"}, headers=bearer(operator))
    answer = await log_in(site, operator if scope is Scope.OPERATOR else await token(site, scope))
    assert answer.status == 303, await answer.text()


async def test_a_page_asks_for_a_login_and_leads_on_to_where_one_wanted_to_go(closed: Site) -> None:
    asked = await closed.client.get("/schedules?x=1")
    text = await asked.text()

    answer = await log_in(closed, await token(closed), next="/schedules?x=1")

    assert asked.status == 401
    assert 'action="/login"' in text
    assert 'value="/schedules?x=1"' in text
    assert (answer.status, answer.headers["Location"]) == (303, "/schedules?x=1")
    assert (await closed.client.get("/schedules")).status == 200


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/\\evil.example", "/\r\nx", "login", ""])
async def test_a_login_leads_to_no_other_site(closed: Site, target: str) -> None:
    answer = await log_in(closed, await token(closed), next=target)

    assert answer.headers["Location"] == "/"


async def test_the_cookie_of_a_session_is_no_token_and_out_of_reach_of_scripts(closed: Site) -> None:
    secret = await token(closed)

    answer = await log_in(closed, secret)

    cookie = answer.headers["Set-Cookie"]
    assert re.match(r"famulus_session=[\w-]{43};", cookie)
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"))
    assert secret not in cookie
    session = answer.cookies["famulus_session"].value
    stored = str(vars(closed.world.tokens))
    assert session not in stored
    assert secret not in stored
    assert (await closed.client.get("/", headers=bearer(session))).status == 401


async def test_over_https_the_cookie_is_for_this_host_and_https_alone(tmp_path: Path) -> None:
    async with open_site(tmp_path, auth="on", **PROXY) as site:
        form = {"token": await token(site)}
        answer = await site.client.post(
            "/login", data=form, allow_redirects=False, headers={"X-Forwarded-Proto": "https"}
        )

    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-famulus_session=")
    assert "Secure" in cookie
    assert "Domain" not in cookie


async def test_a_wrong_token_gets_no_session(closed: Site) -> None:
    answer = await log_in(closed, "wrong")

    assert answer.status == 401
    assert "Set-Cookie" not in answer.headers
    assert "there is no such token" in await answer.text()


async def test_after_logging_out_the_session_is_worth_nothing(closed: Site) -> None:
    await logged_in(closed)
    jar = {cookie.key: cookie.value for cookie in closed.client.session.cookie_jar}

    answer = await closed.client.post(
        "/logout", data={"form_token": await form_token(closed)}, headers=SAME, allow_redirects=False
    )

    assert (answer.status, answer.headers["Location"]) == (303, "/login")
    assert (await closed.client.get("/", cookies=jar)).status == 401


async def test_a_session_ends_with_its_token(closed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("famulus.security.keyring.KEPT_SECONDS", 0.0)
    await logged_in(closed)
    assert (await closed.client.get("/")).status == 200

    await revoke_tokens(closed.world.tokens, "my-operator", by="x", now=closed.app.engine.ports.clock.now())

    assert (await closed.client.get("/")).status == 401


async def test_a_button_works_with_the_token_of_its_form(closed: Site) -> None:
    await logged_in(closed)

    answer = await closed.client.post(
        "/runs/r1/pause", data={"form_token": await form_token(closed)}, headers=SAME, allow_redirects=False
    )

    assert answer.status == 303, await answer.text()
    assert "my-operator" in str(await events(closed, "r1", {}))


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        ({}, SAME),
        ({"form_token": "wrong"}, SAME),
        ({"form_token": "right"}, {}),
        ({"form_token": "right"}, {"Sec-Fetch-Site": "cross-site"}),
        ({"form_token": "right"}, {"Origin": "https://evil.example"}),
        ({"form_token": "right"}, {"Sec-Fetch-Site": "cross-site", "X-Famulus-Request": "1"}),
    ],
)
async def test_what_may_come_from_another_page_changes_nothing(
    closed: Site, form: dict[str, str], headers: dict[str, str]
) -> None:
    await logged_in(closed)
    right = await form_token(closed)
    sent = {name: right if value == "right" else value for name, value in form.items()}

    answer = await closed.client.post("/runs/r1/pause", data=sent, headers=headers, allow_redirects=False)

    assert answer.status == 403
    assert (await (await closed.client.get("/api/v1/runs/r1")).json())["status"] == "running"


async def test_json_from_a_session_needs_the_header_that_no_other_site_can_send(closed: Site) -> None:
    await logged_in(closed)

    without = await closed.post("/api/v1/runs", START, headers=SAME)
    with_it = await closed.post("/api/v1/runs", START, headers={**SAME, "X-Famulus-Request": "1"})

    assert (without.status, with_it.status) == (403, 201)


async def test_a_viewer_sees_no_buttons_that_would_be_refused(closed: Site) -> None:
    await logged_in(closed, Scope.VIEWER)

    text = await (await closed.client.get("/runs/r1")).text()

    assert "/runs/r1/pause" not in text
    assert "my-viewer" in text


def test_every_form_that_changes_something_carries_its_token() -> None:
    folder = Path(app.web.__file__).parent / "templates"
    for template in folder.glob("*.html"):
        for form in re.findall(r"<form method=\"post\"[^>]*>.{0,20}", template.read_text(encoding="utf-8")):
            assert "{{ form_token() }}" in form or 'action="/login"' in form, f"{template.name}: {form}"


# -- proxies ---------------------------------------------------------------------------------------------------------


async def test_a_trusted_proxy_says_who_asks(tmp_path: Path) -> None:
    async with open_site(tmp_path, auth="on", **PROXY) as site:
        looked = await site.client.get("/api/v1/runs", headers=USER)
        started = await site.post(
            "/api/v1/runs",
            {"blueprint_id": "chain", "run_id": "r1", "by": "the boss"},
            headers={**USER, "X-Famulus-Request": "1"},
        )
        stranger = await site.client.get("/api/v1/runs", headers={"X-Forwarded-User": "eve", "X-Forwarded-Groups": "x"})
        told = str(await events(site, "r1", USER))

    assert (looked.status, started.status, stranger.status) == (200, 201, 401)
    assert "ada" in told
    assert "the boss" not in told


async def test_the_cookie_of_a_proxy_is_no_better_than_ours(tmp_path: Path) -> None:
    async with open_site(tmp_path, auth="on", **PROXY) as site:
        await site.post(
            "/api/v1/runs",
            {"blueprint_id": "endless", "run_id": "r1"},
            headers={**USER, "X-Famulus-Request": "1"},
        )
        text = await (await site.client.get("/runs/r1", headers=USER)).text()
        found = re.search(r'name="form_token" value="(\w+)"', text)
        assert found is not None

        without = await site.client.post("/runs/r1/pause", data={}, headers={**USER, **SAME})
        with_it = await site.client.post(
            "/runs/r1/pause", data={"form_token": found[1]}, headers={**USER, **SAME}, allow_redirects=False
        )

    assert (without.status, with_it.status) == (403, 303)


async def test_what_anybody_else_says_of_who_asks_is_not_believed(closed: Site) -> None:
    assert (await closed.client.get("/api/v1/runs", headers=USER)).status == 401


async def test_a_page_behind_a_proxy_is_of_the_same_origin_as_its_public_name(tmp_path: Path) -> None:
    async with open_site(tmp_path, auth="on", **PROXY) as site:
        headers = {**USER, "X-Famulus-Request": "1", "X-Forwarded-Host": "flows.example"}
        ours = await site.post("/api/v1/runs", START, headers={**headers, "Origin": "https://flows.example"})
        theirs = await site.post("/api/v1/runs", START, headers={**headers, "Origin": "https://evil.example"})

    assert (ours.status, theirs.status) == (201, 403)


async def test_with_login_any_name_and_address_is_served(tmp_path: Path) -> None:
    async with open_site(tmp_path, auth="on", web_host="0.0.0.0") as site:
        known = {**bearer(await token(site)), "Host": "famulus.example"}

        assert (await site.client.get("/api/v1/runs", headers=known)).status == 200
