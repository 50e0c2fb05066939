"""The pages: what they show, and that nothing of it is taken for markup."""

from __future__ import annotations

import re
import time
from urllib.parse import urlsplit

import pytest
from support.pages import Elements, assert_harmless
from support.site import NASTY, NASTY_TEXT, Site

from famulus.engine.reading import RunReader
from famulus.ids import RunId, StepId
from famulus.ports import Progress


async def test_the_front_page_shows_runs_counts_and_throughput(site: Site) -> None:
    await site.start("chain", "r1")
    await site.world.ended("r1")

    text = assert_harmless(await site.page("/")).text

    assert re.search(r"r1 completed chain \w+ \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", text)
    assert "order 3 40 2 0" in text
    assert "2.5 steps/s" in text


async def test_the_front_page_says_how_to_begin_when_there_is_nothing(site: Site) -> None:
    assert "No run yet" in await site.page("/")


async def test_the_front_page_is_filtered_and_leads_to_older_runs(site: Site) -> None:
    for number in range(3):
        await site.start("chain", f"r{number}")
    await site.start("failing", "bad")

    filtered = Elements(await site.page("/?blueprint=chain&limit=2"))

    runs = [urlsplit(a["href"] or "").path for tag, a in filtered.found if tag == "a" and "/runs/" in (a["href"] or "")]
    assert runs == ["/runs/r2", "/runs/r1"]
    older = next(a["href"] for tag, a in filtered.found if tag == "a" and "before=" in (a["href"] or ""))
    assert older is not None
    assert "/runs/r0" in await site.page(older)


async def test_a_run_is_shown_with_steps_events_and_drawing(site: Site) -> None:
    await site.start("failing", "r1", input={"n": 1})
    await site.world.ended("r1")

    text = assert_harmless(await site.page("/runs/r1")).text

    for shown in ("step a failed", "ValueError", '"n": 1', "run.started", "step.failed", "flowchart TD"):
        assert shown in text
    assert "Cancel the run" not in text


async def test_a_step_that_a_cancelled_run_left_out_is_shown_as_not_run(site: Site) -> None:
    await site.start("waiting", "r1")
    await site.post("/api/v1/runs/r1/cancel")
    await site.world.ended("r1")

    assert [step["status"] for step in (await site.json("/api/v1/runs/r1"))["steps"]] == ["cancelled", "not_run"]
    text = assert_harmless(await site.page("/runs/r1")).text
    assert "not run" in text
    assert "pending" not in text


async def test_nothing_of_a_hostile_blueprint_or_output_is_markup(site: Site) -> None:
    await site.start(NASTY_TEXT, "r1", input={NASTY_TEXT: NASTY})
    await site.world.ended("r1")

    front = assert_harmless(await site.page("/"))
    shown = assert_harmless(await site.page("/runs/r1"))

    assert NASTY_TEXT in front.text
    assert NASTY_TEXT in shown.text
    assert "\\u001b[31m\\u202e" in shown.text


async def test_long_values_are_cut_and_lead_to_the_json(site: Site) -> None:
    await site.start(NASTY_TEXT, "r1")
    await site.world.ended("r1")

    elements = Elements(await site.page("/runs/r1"))

    outputs = [text for text in elements.texts if "xxxx" in text and len(text) < 300]
    assert outputs
    assert outputs[0].endswith("…")
    assert ("a", {"href": "/api/v1/runs/r1"}) in elements.found


async def test_the_button_cancels_and_leads_back(site: Site) -> None:
    await site.start("endless", "r1")
    form = next(
        attributes
        for tag, attributes in Elements(await site.page("/runs/r1")).found
        if attributes.get("method") == "post" and (attributes.get("action") or "").endswith("/cancel")
    )

    response = await site.client.post(
        form["action"] or "",
        data={"reason": "enough"},
        headers={"Sec-Fetch-Site": "same-origin", "Origin": str(site.client.make_url("/"))[:-1]},
        allow_redirects=False,
    )

    assert (response.status, response.headers["Location"]) == (303, "/runs/r1")
    view = await site.world.ended("r1")
    assert (view.summary.status, view.summary.reason) == ("cancelled", "enough")


@pytest.mark.parametrize(
    ("path", "status"), [("/runs/nobody", 404), ("/runs/%3Cb%3E", 400), ("/nothing", 404), ("/?limit=x", 400)]
)
async def test_errors_are_pages(site: Site, path: str, status: int) -> None:
    elements = assert_harmless(await site.page(path, status=status))

    assert "All runs" in elements.text


async def test_an_error_shows_the_path_as_text(site: Site) -> None:
    assert_harmless(await site.page("/%3Cscript%3Ealert(1)%3C/script%3E", status=404))


async def test_styles_are_served_and_nothing_beside_them(site: Site) -> None:
    style = await site.client.get("/static/style.css")
    folder = await site.client.get("/static/")
    outside = await site.client.get("/static/..%2ftemplates%2frun.html")

    assert (style.status, style.content_type) == (200, "text/css")
    assert folder.status in (403, 404)
    assert outside.status in (403, 404)


async def test_a_page_that_follows_is_loaded_again_until_its_run_has_ended(site: Site) -> None:
    await site.start("endless", "r1")
    page = await site.page("/runs/r1")
    followed = await site.page("/runs/r1?follow=1")
    await site.post("/api/v1/runs/r1/cancel", {"reason": "enough"})
    await site.world.ended("r1")
    ended = await site.page("/runs/r1?follow=1")

    assert "?follow=1" in page
    assert ["refresh" in text for text in (page, followed, ended)] == [False, True, False]


async def test_the_progress_of_a_step_is_on_the_page_and_in_the_api_without_its_markup(site: Site) -> None:
    await site.start("endless", "r1")
    site.app.reader = RunReader(site.world.store, site.world.engines[0].catalog, site.world.progress)
    told = Progress(fraction=0.4, text=NASTY_TEXT, at=time.time())
    await site.world.progress.show(RunId("r1"), StepId("a"), told)

    elements = assert_harmless(await site.page("/runs/r1"))
    run = await site.json("/api/v1/runs/r1")

    assert ("progress", {"value": "0.4"}) in elements.found
    assert run["steps"][0]["progress"] == {"fraction": 0.4, "text": NASTY_TEXT, "at": told.at}
