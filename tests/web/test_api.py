"""The JSON API: what is answered to what is asked, and to what should not have been."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from support.site import BODY_LIMIT, NASTY_TEXT, Site
from support.world import blueprint, eventually

RUNS = "/api/v1/runs"
BLUEPRINTS = "/api/v1/blueprints"


async def events_of(site: Site, run_id: str) -> list[str]:
    return [event["type"] for event in (await site.json(f"{RUNS}/{run_id}/events"))["events"]]


async def ended(site: Site, run_id: str) -> Any:
    await site.world.ended(run_id)
    return await site.json(f"{RUNS}/{run_id}")


# -- starting --------------------------------------------------------------------------------------------------------


async def test_a_start_is_answered_with_the_run_and_its_place(site: Site) -> None:
    response = await site.post(RUNS, {"blueprint_id": "chain", "input": {"n": 1}})

    body = await response.json()
    assert response.status == 201
    assert body["outcome"] == "started"
    assert response.headers["Location"] == f"{RUNS}/{body['run']['run_id']}" == body["run"]["links"]["self"]
    run = await ended(site, body["run"]["run_id"])
    assert (run["status"], run["input"]) == ("completed", {"n": 1})


async def test_the_same_start_again_finds_the_run(site: Site) -> None:
    await site.start("chain", "r1", input={"n": 1})

    again = await site.post(RUNS, {"blueprint_id": "chain", "run_id": "r1", "input": {"n": 1}})

    assert (again.status, (await again.json())["outcome"]) == (200, "existing")


@pytest.mark.parametrize(
    "other", [{"input": {"n": 2}}, {"blueprint_id": "failing", "input": {"n": 1}}], ids=["input", "blueprint"]
)
async def test_another_start_of_the_same_id_is_a_conflict_that_the_run_records(
    site: Site, other: dict[str, Any]
) -> None:
    await site.start("chain", "r1", input={"n": 1})

    response = await site.post(RUNS, {"blueprint_id": "chain", "run_id": "r1", **other})

    assert response.status == 409
    assert "'r1'" in (await response.json())["error"]["message"]

    async def is_recorded() -> bool:
        return "run.start_refused" in await events_of(site, "r1")

    await eventually(is_recorded)


async def test_a_start_that_nobody_has_recorded_yet_is_accepted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.web.api.START_SECONDS", 0.05)
    site.world.engines[0].revoked()

    response = await site.post(RUNS, {"blueprint_id": "chain", "run_id": "later"})

    assert response.status == 202
    assert await response.json() == {"outcome": "accepted", "run": {"run_id": "later", "status": None}}
    assert response.headers["Location"] == f"{RUNS}/later"


async def test_an_unknown_blueprint_or_version_is_not_found(site: Site) -> None:
    unknown = await site.post(RUNS, {"blueprint_id": "nobody"})
    version = await site.post(RUNS, {"blueprint_id": "chain", "version": "99"})

    assert (unknown.status, version.status) == (404, 404)
    assert "'nobody' is not registered" in (await unknown.json())["error"]["message"]


async def test_every_problem_of_a_body_is_named(site: Site) -> None:
    response = await site.post(RUNS, {"run_id": "no/id", "version": 1, "input": [], "inptu": {}})

    problems = (await response.json())["error"]["problems"]
    assert response.status == 422
    assert [problem.partition(":")[0] for problem in problems] == [
        "run_id",
        "blueprint_id",
        "version",
        "input",
        "inptu",
    ]


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", b"[]", b"null", b"\xff", b'{"a":' * 3000 + b"1" + b"}" * 3000],
    ids=["empty", "not json", "list", "null", "not utf-8", "deep"],
)
async def test_a_body_that_is_no_object_is_refused(site: Site, body: bytes) -> None:
    response = await site.client.post(RUNS, data=body, headers={"Content-Type": "application/json"})

    assert response.status == 400
    assert "the body" in (await response.json())["error"]["message"]


async def test_a_body_that_is_not_declared_as_json_is_refused(site: Site) -> None:
    response = await site.client.post(RUNS, data={"blueprint_id": "chain"})

    assert response.status == 415


async def test_a_body_that_is_too_large_is_refused_with_the_setting_that_says_so(site: Site) -> None:
    response = await site.post(RUNS, {"blueprint_id": "chain", "input": {"x": "x" * BODY_LIMIT}})

    assert response.status == 413
    assert "FAMULUS_WEB_MAX_BODY_BYTES" in (await response.json())["error"]["message"]


# -- looking ---------------------------------------------------------------------------------------------------------


async def test_runs_are_listed_newest_first_and_paged(site: Site) -> None:
    for number in range(5):
        await site.start("chain", f"r{number}")

    first = await site.json(f"{RUNS}?limit=2")
    second = await site.json(first["next"])
    last = await site.json(second["next"])

    pages = [[run["run_id"] for run in page["runs"]] for page in (first, second, last)]
    assert pages == [["r4", "r3"], ["r2", "r1"], ["r0"]]
    assert last["next"] is None


async def test_runs_are_filtered_by_status_and_blueprint(site: Site) -> None:
    await site.start("chain", "good")
    await site.start("failing", "bad")
    await site.world.ended("good")
    await site.world.ended("bad")

    failed = await site.json(f"{RUNS}?status=failed")
    of_chain = await site.json(f"{RUNS}?blueprint=chain")

    assert [run["run_id"] for run in failed["runs"]] == ["bad"]
    assert [run["run_id"] for run in of_chain["runs"]] == ["good"]


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=501", "before=nan", "before=-1", "status=done"])
async def test_a_query_that_does_not_fit_is_refused(site: Site, query: str) -> None:
    body = await site.json(f"{RUNS}?{query}", status=400)

    assert body["error"]["problems"][0].startswith(query.partition("=")[0])


async def test_a_run_is_shown_with_steps_and_context(site: Site) -> None:
    await site.start("chain", "r1", input={"n": 1})

    run = await ended(site, "r1")

    assert [(step["step_id"], step["status"], step["output"]) for step in run["steps"]] == [
        ("a", "completed", {"ok": True}),
        ("b", "completed", {"ok": True}),
    ]
    assert run["context"]["n"] == 1


async def test_events_are_paged_to_those_that_have_not_happened_yet(site: Site) -> None:
    await site.start("chain", "r1")
    await site.world.ended("r1")

    first = await site.json(f"{RUNS}/r1/events?limit=1")
    rest = await site.json(first["next"].replace("limit=1", "limit=100"))
    nothing = await site.json(rest["next"])

    assert [event["type"] for event in first["events"]] == ["run.started"]
    assert [event["type"] for event in rest["events"]] == ["step.completed", "step.completed", "run.completed"]
    assert nothing == {"events": [], "next": rest["next"]}


@pytest.mark.parametrize("path", ["", "/events"])
async def test_an_unknown_run_is_not_found(site: Site, path: str) -> None:
    body = await site.json(f"{RUNS}/nobody{path}", status=404)

    assert "'nobody' does not exist" in body["error"]["message"]
    assert (body["error"]["type"], body["error"]["attributes"]) == ("RunNotFoundError", {"run_id": "nobody"})


@pytest.mark.parametrize("run_id", ["a%20b", "%3Cb%3E", "%00", "a%2Fb", "x" * 129])
async def test_an_id_of_odd_characters_is_refused(site: Site, run_id: str) -> None:
    response = await site.client.get(f"{RUNS}/{run_id}")

    assert response.status in (400, 404)
    assert (await response.json())["error"]["message"]


# -- cancelling ------------------------------------------------------------------------------------------------------


async def test_a_running_run_is_cancelled_with_its_reason(site: Site) -> None:
    await site.start("endless", "r1")

    response = await site.post(f"{RUNS}/r1/cancel", {"reason": "enough", "by": "ada"})

    assert response.status == 202
    run = await ended(site, "r1")
    assert (run["status"], run["reason"]) == ("cancelled", "enough")


async def test_cancelling_needs_no_body(site: Site) -> None:
    await site.start("endless", "r1")

    response = await site.client.post(f"{RUNS}/r1/cancel")

    assert response.status == 202
    assert (await ended(site, "r1"))["status"] == "cancelled"


async def test_what_has_ended_or_never_was_cannot_be_cancelled(site: Site) -> None:
    await site.start("chain", "r1")
    await site.world.ended("r1")

    has_ended = await site.post(f"{RUNS}/r1/cancel", {})
    unknown = await site.post(f"{RUNS}/nobody/cancel", {})
    wrong = await site.post(f"{RUNS}/r1/cancel", {"reason": "x" * 501, "by": 7})

    assert (has_ended.status, unknown.status, wrong.status) == (409, 404, 422)
    assert len((await wrong.json())["error"]["problems"]) == 2


# -- blueprints ------------------------------------------------------------------------------------------------------


async def test_a_blueprint_is_registered_once(site: Site) -> None:
    document = blueprint("new", {"a": "t.echo"}, metadata={"version": "1"})

    first = await site.post(BLUEPRINTS, document)
    again = await site.post(BLUEPRINTS, document)
    other = await site.post(BLUEPRINTS, blueprint("new", {"b": "t.echo"}, metadata={"version": "1"}))

    assert (first.status, again.status, other.status) == (201, 200, 409)
    assert first.headers["Location"] == f"{BLUEPRINTS}/new"
    await site.start("new", "r1")


async def test_every_problem_of_a_blueprint_is_named_with_its_path(site: Site) -> None:
    document = {
        "id": "bad",
        "nodes": [{"id": "a"}, {"id": "a", "uses": "x"}],
        "edges": [{"source": "a", "target": "z"}],
    }

    response = await site.post(BLUEPRINTS, document)

    problems = (await response.json())["error"]["problems"]
    assert response.status == 422
    assert {problem.partition(":")[0] for problem in problems} == {"nodes[0].uses", "nodes[1].id", "edges[0].target"}


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"\xff"])
async def test_what_is_no_blueprint_is_refused(site: Site, body: bytes) -> None:
    response = await site.client.post(BLUEPRINTS, data=body, headers={"Content-Type": "application/json"})

    assert response.status == 422


async def test_blueprints_are_listed_and_shown(site: Site) -> None:
    listed = (await site.json(BLUEPRINTS))["blueprints"]
    shown = await site.json(f"{BLUEPRINTS}/chain")
    by_version = await site.json(f"{BLUEPRINTS}/chain?version={shown['version']}")

    assert "chain" in [entry["id"] for entry in listed]
    assert [node["id"] for node in shown["blueprint"]["nodes"]] == ["a", "b"]
    assert by_version == shown
    await site.json(f"{BLUEPRINTS}/nobody", status=404)
    await site.json(f"{BLUEPRINTS}/chain?version=99", status=404)


async def test_a_blueprint_with_odd_characters_in_its_id_is_found_under_its_place(site: Site) -> None:
    document = blueprint(f"a/b ?{NASTY_TEXT}", {"a": "t.echo"})
    response = await site.post(BLUEPRINTS, document)

    found = await site.client.get(response.headers["Location"], allow_redirects=False)

    assert (await found.json())["id"] == document["id"]


# -- when something is away ------------------------------------------------------------------------------------------


async def test_many_starts_at_the_same_time_are_all_answered(site: Site) -> None:
    responses = await asyncio.gather(*(site.post(RUNS, {"blueprint_id": "chain"}) for _ in range(50)))

    assert {response.status for response in responses} == {201}
    ids = {(msgspec.json.decode(await response.read()))["run"]["run_id"] for response in responses}
    assert len(ids) == 50
