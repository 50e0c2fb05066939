"""Dead letters over HTTP and as pages."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest
from support.pages import assert_harmless
from support.site import NASTY, NASTY_TEXT, Site
from support.world import blueprint, eventually

from famulus.engine.dead_letters.desk import LetterKeeper
from famulus.ports import REDRIVEN

API = "/api/v1/dead-letters"
POISON = b"\xff\xfe" + NASTY.encode()


async def bury(site: Site, value: bytes | None = POISON, *, key: bytes | None = b"\x00\x1b[2J") -> str:
    """Put a record on the jobs topic that cannot be handled; returns the id of its letter once it is kept."""
    bus, keeper = site.world.bus, LetterKeeper(site.world.letters)
    before = len(bus.letters)
    bus.append_job(0, key, value, headers=((f"h {NASTY_TEXT}", NASTY.encode()), ("raw", b"\x00\xff"), ("none", None)))
    await eventually(lambda: len(bus.letters) > before)
    await keeper.keep(bus.letters[-1])
    (newest,) = await site.world.letters.newest(limit=1)
    return newest.summary.letter_id


async def post(site: Site, path: str, body: Any = None, *, status: int = 200) -> Any:
    response = await site.post(path, body)
    assert response.status == status, await response.text()
    return await response.json()


async def test_a_letter_is_listed_and_shown_with_every_byte(site: Site) -> None:
    letter_id = await bury(site)

    (listed,) = (await site.json(API))["dead_letters"]
    shown = await site.json(f"{API}/{letter_id}")

    assert (listed["id"], listed["code"], listed["state"]) == (letter_id, "not_json", "open")
    assert "value" not in listed
    assert b64decode(shown["value"]["base64"]) == POISON
    assert shown["value"]["text"] is None
    assert b64decode(shown["headers"][0]["base64"]) == NASTY.encode()
    assert shown["headers"][2] == {"name": "none", "text": None}
    assert shown["source"] == {"topic": "jobs", "partition": 0, "offset": 0}


async def test_letters_are_filtered_and_page_from_the_newest_on(site: Site) -> None:
    first = await bury(site)
    second = await bury(site, b'{"run_id": "r-7", "blueprint_id": "nobody"}', key=b"r-7")

    async def found(**query: Any) -> list[str]:
        response = await site.client.get(API, params=query)
        assert response.status == 200, await response.text()
        return [each["id"] for each in (await response.json())["dead_letters"]]

    assert await found() == [second, first]
    assert await found(run_id="r-7") == [second]
    assert await found(code="not_json") == [first]
    assert await found(text="NOBODY") == [second]
    assert await found(topic="items") == []
    assert await found(since="2100-01-01T00:00:00Z") == []
    assert await found(until="2100-01-01T00:00:00Z", state="open") == [second, first]
    page = await (await site.client.get(API, params={"limit": 1})).json()
    following = await (await site.client.get(page["next"])).json()
    assert [each["id"] for each in following["dead_letters"]] == [first]


@pytest.mark.parametrize("query", ["state=gone", "limit=0", "since=yesterday", "since=2026-01-01", "before=x"])
async def test_a_query_that_does_not_fit_is_told_what_was_expected(site: Site, query: str) -> None:
    response = await site.client.get(f"{API}?{query}")

    assert response.status == 400
    assert "expected" in (await response.text())


async def test_a_letter_of_an_unknown_blueprint_is_redriven_to_its_end(site: Site) -> None:
    letter_id = await bury(site, b'{"run_id": "late", "blueprint_id": "late"}', key=b"late")
    await site.world.push(blueprint("late", {"a": "t.echo"}))

    done = await post(site, f"{API}/{letter_id}/redrive", {"by": "ada"})

    assert (done["outcome"], done["dead_letter"]["state"], done["dead_letter"]["by"]) == ("redriven", "redriven", "ada")
    assert (await site.world.ended("late")).summary.status == "completed"


async def test_what_was_redriven_is_refused_unless_it_is_meant(site: Site) -> None:
    letter_id = await bury(site)
    await post(site, f"{API}/{letter_id}/redrive")

    refused = await post(site, f"{API}/{letter_id}/redrive", status=409)
    await post(site, f"{API}/{letter_id}/redrive", {"again": True})

    assert "redriven by api" in str(refused)
    sent = [record for partition in site.world.bus.jobs for record in partition if REDRIVEN in dict(record.headers)]
    assert [(record.value, dict(record.headers)[REDRIVEN]) for record in sent] == [(POISON, letter_id.encode())] * 2


async def test_a_dropped_letter_says_by_whom_and_why(site: Site) -> None:
    letter_id = await bury(site)

    await post(site, f"{API}/{letter_id}/drop", {"by": "ada", "reason": "junk"})

    shown = await site.json(f"{API}/{letter_id}")
    assert (shown["state"], shown["by"], shown["note"]) == ("dropped", "ada", "junk")
    assert (await site.json(f"{API}?state=open"))["dead_letters"] == []


async def test_an_unknown_letter_is_not_found(site: Site) -> None:
    await site.json(f"{API}/{'0' * 24}", status=404)
    await post(site, f"{API}/nowhere/redrive", status=404)
    assert_harmless(await site.page(f"/dead-letters/{'0' * 24}", status=404))


@pytest.mark.parametrize("body", [{"again": "yes"}, {"whatever": 1}, {"by": 5}])
async def test_a_body_that_does_not_fit_is_refused(site: Site, body: dict[str, Any]) -> None:
    letter_id = await bury(site)

    await post(site, f"{API}/{letter_id}/redrive", body, status=422)


@pytest.mark.parametrize("value", [POISON, NASTY.encode(), None, b"", b'{"run_id": "x\xed\xa0\x80"}'])
async def test_pages_show_hostile_bytes_harmlessly(site: Site, value: bytes | None) -> None:
    letter_id = await bury(site, value)

    assert_harmless(await site.page("/dead-letters"))
    assert_harmless(await site.page("/dead-letters?state="))
    page = assert_harmless(await site.page(f"/dead-letters/{letter_id}"))

    assert "Redrive" in page.text


async def test_buttons_redrive_and_drop(site: Site) -> None:
    letter_id = await bury(site)

    async def press(command: str, **filled_in: str) -> None:
        path = f"/dead-letters/{letter_id}/{command}"
        response = await site.client.post(path, data=filled_in, allow_redirects=False)
        assert response.status == 303, await response.text()
        assert response.headers["Location"] == f"/dead-letters/{letter_id}"

    await press("redrive")
    page = await site.page(f"/dead-letters/{letter_id}")
    await press("redrive", again="1")
    await press("drop", reason="junk")

    assert "Redrive again" in page
    assert "redriven" in page
    assert (await site.json(f"{API}/{letter_id}"))["note"] == "junk"


async def test_a_run_that_never_began_is_explained_by_its_dead_letter(site: Site) -> None:
    letter_id = await bury(site, b'{"run_id": "late", "blueprint_id": "nobody"}', key=b"late")

    explanation = await site.json("/api/v1/runs/late/explain", status=404)

    assert [each["kind"] for each in explanation["run"]] == ["unknown_run", "dead_letter"]
    assert f"famulus dlq redrive {letter_id}" in explanation["run"][1]["sentence"]
    page = await site.page("/runs/late", status=404)
    assert_harmless(page)
    assert f'href="/dead-letters/{letter_id}"' in page
