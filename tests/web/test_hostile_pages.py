"""A blueprint that is hostile wherever it has a word to say: in no page does any of it become more than text."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from support.chromium import dom_of, find_chromium
from support.documents import blueprint
from support.pages import assert_harmless
from support.site import Site
from support.world import eventually

from famulus.engine.reading import RunReader
from famulus.ids import RunId, StepId
from famulus.ports import Progress

MARK = "PWNED"
RUN_SCRIPT = f"document.documentElement.setAttribute('data-x','{MARK}')"
ATTACKS = (
    f"<script>{RUN_SCRIPT}</script>",
    f'"><img src=x onerror="{RUN_SCRIPT}">',
    f"'><svg onload={RUN_SCRIPT}>",
    f"</pre></title></textarea></style><script>{RUN_SCRIPT}</script>",
    f"javascript:{RUN_SCRIPT}",
    "{{ 7 * 191 }}{% raw %}",
    "\x1b[31m\u202e\x00<b>",
)
HOSTILE = " ".join(ATTACKS)
HOSTILE_ID = ATTACKS[0] + ATTACKS[2]
"""Ids have no control characters and are not as long as one likes; for the rest they are free."""
RESULT_OF_A_TEMPLATE = "1337"


def document() -> dict[str, Any]:
    """Ids, names, labels, descriptions, params, signals, forms, conditions: all of them hostile."""
    form = {
        "type": "object",
        "title": HOSTILE,
        "properties": {
            HOSTILE: {"type": "string", "title": HOSTILE, "description": HOSTILE},
            "choice": {"enum": [HOSTILE, 1], "title": HOSTILE},
            "deep": {"type": "object", "title": HOSTILE},
        },
    }
    nodes: dict[str, Any] = {
        HOSTILE_ID: {"uses": "t.nasty", "params": {HOSTILE: HOSTILE}, "description": HOSTILE, "label": HOSTILE},
        "ask": {"uses": "wait", "params": {"signal": HOSTILE, "form": form}},
        "fails": "t.hostile",
        "next": "t.echo",
    }
    known = blueprint(HOSTILE_ID, nodes, (HOSTILE_ID, "next"))
    return {**known, "name": HOSTILE, "description": HOSTILE, "metadata": {HOSTILE: HOSTILE}, "labels": [HOSTILE]}


class HostileError(Exception):
    pass


HostileError.__name__ = HostileError.__qualname__ = HOSTILE.replace("\x00", "")


def fail() -> None:
    raise HostileError(HOSTILE)


@pytest.fixture
async def hostile(site: Site) -> tuple[Site, list[str]]:
    """The site with everything hostile in it, and the paths of its pages."""
    site.world.registry.register("t.hostile", fail)
    await site.world.push(document())
    await site.start(HOSTILE_ID, "r1", input={HOSTILE: HOSTILE})
    await site.start("endless", "r2", input={HOSTILE: [HOSTILE, {HOSTILE: HOSTILE}]})
    site.app.reader = RunReader(site.world.store, site.world.engines[0].catalog, site.world.progress)
    await site.world.progress.show(RunId("r2"), StepId("a"), Progress(fraction=0.5, text=HOSTILE, at=time.time()))
    schedule = {"id": "s", "blueprint_id": HOSTILE_ID, "every": "1h", "input": {HOSTILE: HOSTILE}, "by": HOSTILE[:100]}
    assert (await site.post("/api/v1/schedules", schedule)).status == 201
    cancelled = {"reason": HOSTILE[:400], "by": HOSTILE[:400]}
    assert (await site.post("/api/v1/runs/r2/pause", cancelled)).status == 200
    await eventually(lambda: _has_come_to_rest(site))
    return (
        site,
        [
            "/",
            "/runs/r1",
            "/runs/r2",
            "/schedules",
            "/schedules/s",
            f"/?blueprint={ATTACKS[1]}",
            f"/runs/{ATTACKS[0].replace('/', '%2F')}",
            f"/{ATTACKS[0].replace('/', '%2F')}",
            f"/?limit={ATTACKS[0]}",
            f"/login?next={ATTACKS[4]}",
            f'/login?next=/"{ATTACKS[1]}',
        ],
    )


async def _has_come_to_rest(site: Site) -> bool:
    steps = {step.node_id: step.status for step in (await site.world.reader.show(RunId("r1"))).steps}
    return (steps["fails"], steps["ask"]) == ("failed", "waiting")


async def test_nothing_hostile_becomes_an_element_or_steers_anything(hostile: tuple[Site, list[str]]) -> None:
    site, paths = hostile

    for path in paths:
        response = await site.client.get(path)
        text = await response.text()

        assert response.content_type == "text/html", path
        assert_harmless(text)
        assert RESULT_OF_A_TEMPLATE not in text, path


async def test_what_is_json_is_never_taken_for_a_page(hostile: tuple[Site, list[str]]) -> None:
    site, _ = hostile

    for path in ("/api/v1/runs", "/api/v1/runs/r1", "/api/v1/runs/r1/events", f"/api/v1/{ATTACKS[0]}", "/hooks/<b>"):
        response = await site.client.get(path)

        assert response.content_type == "application/json", path
        assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.slow
async def test_no_script_runs_in_a_real_browser(hostile: tuple[Site, list[str]], tmp_path: Path) -> None:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium is installed")
    site, paths = hostile
    # The browser must be able to run what we look for, or the rest proves nothing.
    assert MARK in (await _dom_of_an_open_door(chromium, tmp_path)).partition("<head>")[0]

    for path in paths:
        dom = await dom_of(chromium, str(site.client.make_url("/"))[:-1] + path, tmp_path)

        assert "famulus</a>" in dom, path
        assert MARK not in dom.partition("<head>")[0], path


async def _dom_of_an_open_door(chromium: str, profile: Path) -> str:
    """A page that serves the same text as it is."""

    async def serve(_request: web.Request) -> web.Response:
        return web.Response(
            text=f"<!doctype html><html><head></head><body>{HOSTILE}</body></html>", content_type="text/html"
        )

    application = web.Application()
    application.router.add_get("/", serve)
    async with TestServer(application) as server:
        return await dom_of(chromium, str(server.make_url("/")), profile)
