"""The buttons and forms of a run's page."""

from __future__ import annotations

from typing import Any

import pytest
from support.site import FORM, NASTY_TEXT, Site
from support.world import blueprint, eventually

from app.web.fields import RequestError
from app.web.forms import fields_of, payload_of
from famulus.blueprint import ABSENT


async def pressed(site: Site, command: str, *, run_id: str = "r1", status: int = 303, **filled_in: str) -> str:
    response = await site.client.post(f"/runs/{run_id}/{command}", data=filled_in, allow_redirects=False)
    text = await response.text()
    assert response.status == status, text
    if status == 303:
        assert response.headers["Location"] == f"/runs/{run_id}"
    return text


async def waits(site: Site, step_id: str) -> None:
    async def is_waiting() -> bool:
        steps = (await site.json("/api/v1/runs/r1"))["steps"]
        return any(step["step_id"] == step_id and step["waiting"] for step in steps)

    await eventually(is_waiting)


async def test_a_page_shows_what_a_step_waits_for_and_its_form(site: Site) -> None:
    await site.start("waiting", "r1")
    await waits(site, "ask")

    page = await site.page("/runs/r1")

    assert "waits for the signal answer" in page
    assert "until 20" in page
    assert 'name="field.amount"' in page
    assert "How much" in page
    assert '<option value="&#34;gift&#34;">' in page
    assert 'type="checkbox" name="field.sure"' in page


async def test_a_form_that_is_filled_in_lets_the_step_go_on(site: Site) -> None:
    await site.start("waiting", "r1")
    await waits(site, "ask")

    fields = {"field.amount": "5", "field.kind": '"gift"', "field.sure": "on", "field.more": '{"a": 1}'}
    await pressed(site, "resume", step_id="ask", action="yes", **fields)

    view = await site.world.ended("r1")
    (ask, _) = view.steps
    assert (ask.output, ask.action) == ({"amount": 5, "kind": "gift", "sure": True, "more": {"a": 1}}, "yes")


async def test_what_does_not_fit_is_a_page_that_says_why(site: Site) -> None:
    await site.start("waiting", "r1")
    await waits(site, "ask")

    refused = await pressed(site, "resume", step_id="ask", status=409, **{"field.amount": "much"})
    no_json = await pressed(site, "resume", step_id="ask", status=422, **{"field.amount": "1", "field.more": "{"})

    assert "form of step ask" in refused
    assert "more is not JSON" in no_json
    assert (await site.json("/api/v1/runs/r1"))["status"] == "waiting"


@pytest.mark.parametrize(("output", "given"), [("", None), ("null", None), ("[1]", [1])])
async def test_a_step_without_a_form_takes_json(site: Site, output: str, given: Any) -> None:
    await site.start("resumed", "r1")
    await waits(site, "hold")

    await pressed(site, "resume", step_id="hold", output=output, action="")

    assert (await site.world.ended("r1")).steps[0].output == given


async def test_a_second_press_is_refused(site: Site) -> None:
    await site.start("resumed", "r1")
    await waits(site, "hold")
    await pressed(site, "resume", step_id="hold")
    await site.world.ended("r1")

    assert "has ended" in await pressed(site, "resume", step_id="hold", status=409)


async def test_a_run_is_paused_and_goes_on(site: Site) -> None:
    await site.start("waiting", "r1")
    await waits(site, "ask")
    assert 'action="/runs/r1/pause"' in await site.page("/runs/r1")

    await pressed(site, "pause", reason="lunch")

    page = await site.page("/runs/r1")
    assert "lunch" in page
    assert 'action="/runs/r1/unpause"' in page
    assert 'action="/runs/r1/pause"' not in page
    await pressed(site, "unpause")
    assert (await site.json("/api/v1/runs/r1"))["status"] == "waiting"


async def test_a_failed_run_has_a_button_to_retry_it(site: Site) -> None:
    await site.start("failing", "r1")
    await site.world.ended("r1")
    assert 'action="/runs/r1/retry"' in await site.page("/runs/r1")
    assert 'action="/runs/r1/cancel"' not in await site.page("/runs/r1")

    await pressed(site, "retry")

    events = (await site.json("/api/v1/runs/r1/events"))["events"]
    assert "step.retry_requested" in [event["type"] for event in events]


async def test_a_page_of_another_site_cannot_press_a_button(site: Site) -> None:
    await site.start("waiting", "r1")
    await waits(site, "ask")

    for command in ("pause", "unpause", "resume", "retry", "cancel"):
        response = await site.client.post(f"/runs/r1/{command}", headers={"Sec-Fetch-Site": "cross-site"})
        assert response.status == 403


async def test_items_are_one_line(site: Site) -> None:
    await site.start("items", "r1", input={"n": list(range(50))})
    await site.world.ended("r1")

    page = await site.page("/runs/r1")

    assert "50 of 50 items done" in page
    assert "all[7]" not in page.partition("<h2>Events</h2>")[0]


async def test_parent_and_child_link_each_other(site: Site) -> None:
    await site.start("calling", "r1")
    await waits(site, "sub")
    child = (await site.json("/api/v1/runs/r1"))["steps"][0]["child"]

    assert f'href="/runs/{child}"' in await site.page("/runs/r1")

    async def is_there() -> bool:
        return (await site.client.get(f"/runs/{child}")).status == 200

    await eventually(is_there)
    assert 'href="/runs/r1"' in await site.page(f"/runs/{child}")


async def test_nothing_in_a_form_is_markup(site: Site) -> None:
    nasty = {"properties": {NASTY_TEXT: {"title": NASTY_TEXT, "enum": [NASTY_TEXT]}}, "required": [NASTY_TEXT]}
    document = blueprint("nasty form", {"ask": {"uses": "wait", "params": {"signal": NASTY_TEXT, "form": nasty}}})
    await site.world.push(document)
    await site.start("nasty form", "r1")
    await waits(site, "ask")

    page = await site.page("/runs/r1")

    assert "<script" not in page
    assert "<img" not in page


# -- forms -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        None,
        {},
        {"type": "string"},
        {"properties": {}},
        {"properties": []},
        {"properties": {f"p{i}": {} for i in range(51)}},
    ],
)
def test_what_has_no_simple_properties_is_filled_in_as_json(form: Any) -> None:
    assert fields_of(form) == ()
    assert payload_of(form, {"output": ' {"a": 1} '}) == {"a": 1}
    assert payload_of(form, {"output": "  "}) is ABSENT
    assert payload_of(form, {}) is ABSENT
    with pytest.raises(RequestError, match="not JSON"):
        payload_of(form, {"output": "{"})


def test_what_is_left_empty_is_not_given() -> None:
    assert payload_of(FORM, {"field.amount": "", "field.note": "", "field.kind": "", "field.more": " "}) == {
        "sure": False
    }


@pytest.mark.parametrize(("text", "value"), [("5", 5), ("2.5", 2.5), ("1e3", 1000.0), ("x", "x"), ("true", "true")])
def test_a_number_is_one_and_anything_else_stays_a_text(text: str, value: Any) -> None:
    assert payload_of(FORM, {"field.amount": text})["amount"] == value


@pytest.mark.parametrize("schema", [True, None, 5, {"type": ["string", "null"]}, {"enum": []}, {"title": 5}])
def test_odd_properties_are_filled_in_as_json(schema: Any) -> None:
    (field,) = fields_of({"properties": {"x": schema}, "required": "x"})

    assert (field.kind, field.title, field.is_required) == ("json", "x", False)
