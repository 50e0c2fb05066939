"""Schedules over the HTTP API and on the pages."""

from __future__ import annotations

from typing import Any

import pytest
from support.pages import assert_harmless
from support.site import NASTY_TEXT, Site
from support.world import eventually

HOURLY: dict[str, Any] = {"id": "hourly", "blueprint_id": "chain", "cron": "0 * * * *", "timezone": "Europe/Berlin"}
API = "/api/v1/schedules"


async def posted(site: Site, path: str, body: Any, *, status: int) -> Any:
    response = await site.post(path, body)
    assert response.status == status, await response.text()
    return await response.json()


async def test_a_schedule_is_registered_once(site: Site) -> None:
    first = await posted(site, API, HOURLY, status=201)
    again = await posted(site, API, {**HOURLY, "by": "somebody else"}, status=200)

    assert (first["outcome"], again["outcome"]) == ("created", "existing")
    assert first["schedule"] == again["schedule"]
    assert first["schedule"]["links"]["self"] == f"{API}/hourly"
    assert len(first["schedule"]["next"]) == 5
    assert all(text.endswith(":00:00Z") for text in first["schedule"]["next"])


async def test_another_schedule_takes_the_place_only_if_asked_to(site: Site) -> None:
    await posted(site, API, HOURLY, status=201)
    other = {**HOURLY, "cron": "30 * * * *"}

    refused = await posted(site, API, other, status=409)
    replaced = await posted(site, f"{API}?replace=true", other, status=200)

    assert refused["error"]["type"] == "ScheduleConflictError"
    assert "another cron" in refused["error"]["message"]
    assert (replaced["outcome"], replaced["schedule"]["cron"]) == ("replaced", "30 * * * *")


async def test_what_cannot_be_used_is_refused_with_every_problem(site: Site) -> None:
    refused = await posted(site, API, {"id": "a b", "blueprint_id": "chain", "cron": "61 * * * *"}, status=422)

    assert [problem.partition(":")[0] for problem in refused["error"]["problems"]] == ["cron", "id"]
    assert (await site.json(API))["schedules"] == []


async def test_a_blueprint_that_is_not_registered_is_refused(site: Site) -> None:
    refused = await posted(site, API, {**HOURLY, "blueprint_id": "nobody"}, status=404)

    assert refused["error"]["type"] == "BlueprintNotFoundError"


async def test_an_input_that_fits_into_no_record_is_refused(site: Site) -> None:
    await posted(site, API, {**HOURLY, "input": {"n": "x" * 12_000}}, status=413)


@pytest.mark.parametrize("schedule_id", ["nobody", "a%20b", "..%2f", "%00"])
async def test_one_that_does_not_exist_is_not_found(site: Site, schedule_id: str) -> None:
    assert (await site.json(f"{API}/{schedule_id}", status=404))["error"]["status"] == 404
    assert (await site.post(f"{API}/{schedule_id}/pause")).status == 404
    assert (await site.post(f"{API}/{schedule_id}/trigger")).status == 404
    assert (await site.client.delete(f"{API}/{schedule_id}")).status == 404


async def test_pause_and_unpause_are_safe_to_repeat(site: Site) -> None:
    await posted(site, API, HOURLY, status=201)

    paused = [await posted(site, f"{API}/hourly/pause", {"by": "ada"}, status=200) for _ in range(2)]
    assert [each["schedule"]["paused"] for each in paused] == [True, True]
    assert (paused[0]["schedule"]["by"], paused[0]["schedule"]["next"]) == ("ada", [])

    unpaused = [await posted(site, f"{API}/hourly/unpause", None, status=200) for _ in range(2)]
    assert [each["schedule"]["paused"] for each in unpaused] == [False, False]


async def test_a_trigger_of_the_same_time_starts_one_run(site: Site) -> None:
    await posted(site, API, HOURLY, status=201)
    body = {"at": "2026-11-24T16:00:00+01:00"}

    first = await posted(site, f"{API}/hourly/trigger", body, status=201)
    again = await posted(site, f"{API}/hourly/trigger", {"at": 1_795_532_400}, status=200)

    run_id = "hourly:2026-11-24T15:00:00Z"
    assert (first["run"]["run_id"], again["run"]["run_id"], again["outcome"]) == (run_id, run_id, "existing")
    view = await site.world.ended(run_id)
    assert view.input == {"scheduled_at": "2026-11-24T15:00:00Z"}


@pytest.mark.parametrize("at", ["soon", [], True, "2026-11-24T15:00:00"])
async def test_a_trigger_of_no_time_is_refused(site: Site, at: Any) -> None:
    await posted(site, API, HOURLY, status=201)

    assert "at" in (await posted(site, f"{API}/hourly/trigger", {"at": at}, status=422))["error"]["message"]


async def test_what_is_deleted_is_gone(site: Site) -> None:
    await posted(site, API, HOURLY, status=201)

    response = await site.client.delete(f"{API}/hourly")

    assert (response.status, await response.json()) == (200, {"deleted": "hourly"})
    await site.json(f"{API}/hourly", status=404)


async def test_a_worker_lets_a_schedule_tick(site: Site) -> None:
    await posted(site, API, {"id": "often", "blueprint_id": "chain", "every": 1}, status=201)

    async def has_run() -> bool:
        return any(run["status"] == "completed" for run in (await site.json(f"{API}/often"))["runs"])

    await eventually(has_run, every=0.1)


# -- pages -------------------------------------------------------------------------------------------------------------


async def test_pages_show_ticks_and_runs(site: Site) -> None:
    assert "No schedule yet" in await site.page("/schedules")
    await posted(site, API, {**HOURLY, "overlap": "queue", "end": "2999-01-01T00:00:00Z"}, status=201)

    listed = assert_harmless(await site.page("/schedules")).text
    shown = assert_harmless(await site.page("/schedules/hourly")).text

    assert "hourly 0 * * * * (Europe/Berlin) chain" in listed
    for text in ("Overlap queue", "Catch up last", "End 2999-01-01 00:00:00", "Next ticks", "no run yet"):
        assert text in shown


async def test_pages_take_nothing_for_markup(site: Site) -> None:
    body = {"id": "odd", "blueprint_id": NASTY_TEXT, "every": 60, "input": {NASTY_TEXT: NASTY_TEXT}, "by": NASTY_TEXT}
    await posted(site, API, body, status=201)

    assert_harmless(await site.page("/schedules"))
    assert NASTY_TEXT in assert_harmless(await site.page("/schedules/odd")).text


async def test_the_buttons_of_a_page_pause_and_unpause(site: Site) -> None:
    await posted(site, API, HOURLY, status=201)

    paused = await site.client.post("/schedules/hourly/pause")
    assert "paused" in await paused.text()
    unpaused = await site.client.post("/schedules/hourly/unpause")
    assert "Pause" in await unpaused.text()

    assert (await site.json(f"{API}/hourly"))["by"] == "web page"


async def test_a_page_of_another_site_cannot_pause(site: Site) -> None:
    await posted(site, API, HOURLY, status=201)

    response = await site.client.post("/schedules/hourly/pause", headers={"Origin": "http://evil.example"})

    assert response.status == 403
    assert (await site.json(f"{API}/hourly"))["paused"] is False
