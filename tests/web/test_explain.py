"""What runs wait for, over HTTP and on the page of a run."""

from __future__ import annotations

from support.pages import assert_harmless
from support.site import NASTY_TEXT, Site
from support.world import blueprint, eventually


async def until_waiting(site: Site, run_id: str) -> None:
    async def is_waiting() -> bool:
        return bool((await site.json(f"/api/v1/runs/{run_id}"))["status"] == "waiting")

    await eventually(is_waiting)


async def test_a_run_is_explained_with_a_sentence_for_each_step(site: Site) -> None:
    await site.start("waiting", "r1")
    await until_waiting(site, "r1")

    explanation = await site.json("/api/v1/runs/r1/explain")

    assert [(each["step_id"], each["kind"]) for each in explanation["steps"]] == [
        ("ask", "signal"),
        ("then", "predecessors"),
    ]
    assert explanation["steps"][0]["sentence"].startswith("it waits for the signal `answer`, since 20")
    assert " UTC; " in explanation["steps"][0]["sentence"]


async def test_the_page_of_a_run_says_what_it_waits_for_until_it_has_ended(site: Site) -> None:
    await site.start("waiting", "r1")
    await site.start("chain", "r2")
    await until_waiting(site, "r1")
    await site.world.ended("r2")

    waiting, ended = await site.page("/runs/r1"), await site.page("/runs/r2")

    assert "What it waits for" in waiting
    assert "it waits for `ask` (waiting)" in waiting
    assert "What it waits for" not in ended


async def test_hostile_names_are_explained_harmlessly(site: Site) -> None:
    nodes = {NASTY_TEXT: {"uses": "wait", "params": {"signal": NASTY_TEXT}}, "z": "t.echo"}
    await site.world.push(blueprint("nasty-wait", nodes, (NASTY_TEXT, "z")))
    await site.start("nasty-wait", "r1")
    await until_waiting(site, "r1")

    assert_harmless(await site.page("/runs/r1"))


async def test_a_run_that_is_not_recorded_is_404_and_says_so(site: Site) -> None:
    explanation = await site.json("/api/v1/runs/nowhere/explain", status=404)

    assert (explanation["status"], explanation["run"][0]["kind"]) == (None, "unknown_run")


async def test_parked_steps_of_all_runs_are_listed_by_their_implementation(site: Site) -> None:
    site.world.engines[0].executor._park_missing = True
    await site.world.push(blueprint("p", {"a": "tax.compute", "b": "tax.other"}))
    await site.start("p", "r1")
    await site.start("chain", "r2")
    await until_waiting(site, "r1")

    listed = (await site.json("/api/v1/parked"))["parked"]
    of_one = (await site.json("/api/v1/parked?uses=tax.other"))["parked"]

    assert sorted((each["run_id"], each["step_id"], each["uses"]) for each in listed) == [
        ("r1", "a", "tax.compute"),
        ("r1", "b", "tax.other"),
    ]
    assert [each["step_id"] for each in of_one] == ["b"]
    await site.json("/api/v1/parked?use=x", status=400)


async def test_the_page_of_a_run_that_sleeps_says_until_when(site: Site) -> None:
    await site.start("sleeping", "r1")
    await until_waiting(site, "r1")

    assert "it sleeps until 20" in await site.page("/runs/r1")
