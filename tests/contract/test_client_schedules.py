"""Schedules through every client, over topics and store and over HTTP: the same answers, the same errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.site import Site, open_site

from famulus.client import Famulus, StartOutcome
from famulus.client.direct import DirectTransport
from famulus.errors import (
    BadRecordError,
    BlueprintNotFoundError,
    InputError,
    ScheduleConflictError,
    ScheduleError,
    ScheduleNotFoundError,
)

AT = datetime(2026, 11, 24, 15, tzinfo=UTC)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path) as site:
        yield site


@pytest.fixture(params=["direct", "http"])
async def famulus(request: pytest.FixtureRequest, site: Site) -> AsyncIterator[Famulus]:
    if request.param == "direct":
        app = site.app
        transport = DirectTransport(app.reader, app.schedules.starter, app.engine.catalog, schedules=app.schedules)
        yield Famulus(transport)
        return
    async with Famulus.http(str(site.client.make_url("/"))) as client:
        yield client


async def test_a_schedule_is_made_seen_paused_and_deleted(famulus: Famulus) -> None:
    made = await famulus.schedules.create(
        "s",
        "chain",
        {"n": 1},
        every=timedelta(hours=1),
        anchor=AT,
        end=datetime(2999, 1, 1, tzinfo=UTC),
        overlap="skip",
    )
    paused = await famulus.schedules.pause("s", by="ada")
    unpaused = await famulus.schedules.unpause("s")

    assert (made.id, made.definition["every"], made.definition["anchor"]) == ("s", 3600, AT.timestamp())
    assert [second - first for first, second in zip(made.next_ticks, made.next_ticks[1:], strict=False)] == [3600] * 4
    assert (paused.is_paused, paused.definition["by"], paused.next_ticks) == (True, "ada", ())
    assert (unpaused.is_paused, unpaused.definition["by"]) == (False, "client")
    assert await famulus.schedules.get("s") == unpaused
    assert await famulus.schedules.list() == [unpaused]

    await famulus.schedules.delete("s")
    assert await famulus.schedules.list() == []


async def test_the_same_again_changes_nothing(famulus: Famulus) -> None:
    first = await famulus.schedules.create("s", "chain", cron="0 6 * * *", timezone="Europe/Berlin")

    assert await famulus.schedules.create("s", "chain", cron="0 6 * * *", timezone="Europe/Berlin") == first
    with pytest.raises(ScheduleConflictError) as caught:
        await famulus.schedules.create("s", "chain", cron="0 7 * * *", timezone="Europe/Berlin")
    assert (caught.value.schedule_id, caught.value.differing) == ("s", ("cron",))
    replaced = await famulus.schedules.create("s", "chain", cron="0 7 * * *", replace=True)
    assert replaced.timing == "0 7 * * * (UTC)"


async def test_what_cannot_be_used_is_refused(famulus: Famulus) -> None:
    with pytest.raises(ScheduleError) as caught:
        await famulus.schedules.create("a b", "chain", cron="61 * * * *", catch_up="some")
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["cron", "id", "catch_up"]
    with pytest.raises(BlueprintNotFoundError):
        await famulus.schedules.create("s", "nobody", every=60)
    with pytest.raises(BadRecordError):
        await famulus.schedules.create("s", "chain", {"n": "x" * 12_000}, every=60)
    with pytest.raises(InputError, match="without a zone"):
        await famulus.schedules.create("s", "chain", every=60, start=datetime(2026, 11, 24))  # noqa: DTZ001  # what is refused


@pytest.mark.parametrize("schedule_id", ["nobody", "", "..", "a/b", "ü"])
async def test_one_that_does_not_exist_is_not_found(famulus: Famulus, schedule_id: str) -> None:
    for call in (famulus.schedules.get, famulus.schedules.pause, famulus.schedules.delete, famulus.schedules.trigger):
        with pytest.raises(ScheduleNotFoundError):
            await call(schedule_id)


async def test_a_trigger_of_the_same_time_starts_one_run(famulus: Famulus) -> None:
    await famulus.schedules.create("s", "chain", {"n": 1}, every="1d", paused=True)

    run = await famulus.schedules.trigger("s", at=AT)
    again = await famulus.schedules.trigger("s", at="2026-11-24T16:00:00+01:00")

    assert (run.id, run.outcome) == ("s:2026-11-24T15:00:00Z", StartOutcome.STARTED)
    assert (again.id, again.outcome) == (run.id, StartOutcome.EXISTING)
    await run.result(timeout=20)
    assert (await run.view()).input == {"n": 1, "scheduled_at": "2026-11-24T15:00:00Z"}


@pytest.mark.parametrize(("given", "told"), [({"by": "ada"}, "ada"), ({}, "client")])
async def test_the_run_of_a_trigger_tells_who_asked(famulus: Famulus, given: dict[str, str], told: str) -> None:
    await famulus.schedules.create("s", "chain", {"n": 1}, every="1d", paused=True)

    run = await famulus.schedules.trigger("s", at=AT, **given)
    await run.result(timeout=20)

    first = await anext(run.events())
    assert (first.type, first.data["by"]) == ("run.started", told)


async def test_a_trigger_of_no_time_is_refused(famulus: Famulus) -> None:
    await famulus.schedules.create("s", "chain", every="1d")

    with pytest.raises(InputError, match=r"'soon' is no time"):
        await famulus.schedules.trigger("s", at="soon")
