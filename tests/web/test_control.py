"""What is asked of runs over HTTP: commands, forks, webhooks."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from support.site import Site
from support.world import eventually

from famulus.engine.builtins import HookTokens
from famulus.ids import RunId, StepId

RUNS = "/api/v1/runs"


async def waits(site: Site, run_id: str, step_id: str) -> None:
    async def is_waiting() -> bool:
        steps = (await site.json(f"{RUNS}/{run_id}"))["steps"]
        return any(step["step_id"] == step_id and step["status"] in ("waiting", "sleeping") for step in steps)

    await eventually(is_waiting)


async def waiting(site: Site, run_id: str = "r1") -> None:
    await site.start("waiting", run_id)
    await waits(site, run_id, "ask")


async def asked(site: Site, command: str, body: Any = None, *, run_id: str = "r1") -> tuple[int, Any]:
    response = await site.post(f"{RUNS}/{run_id}/{command}", body)
    return response.status, await response.json()


# -- commands ----------------------------------------------------------------------------------------------------------


async def test_an_accepted_command_is_answered_with_its_id_and_the_run_before(site: Site) -> None:
    await waiting(site)

    status, body = await asked(site, "pause", {"reason": "lunch", "by": "ada", "command_id": "c1"})

    assert status == 200
    assert (body["requested"], body["outcome"], body["command_id"]) == ("pause", "accepted", "c1")
    assert body["run"]["status"] == "waiting"
    events = (await site.json(f"{RUNS}/r1/events"))["events"]
    (paused,) = [event for event in events if event["type"] == "run.paused"]
    assert (paused["by"], paused["reason"], paused["command_id"]) == ("ada", "lunch", "c1")


async def test_a_body_may_be_left_out(site: Site) -> None:
    await waiting(site)

    response = await site.client.post(f"{RUNS}/r1/pause")

    assert response.status == 200


async def test_a_refused_command_is_a_conflict_with_the_reason(site: Site) -> None:
    await waiting(site)

    status, body = await asked(site, "resume", {"step_id": "ask", "output": {"amount": "x"}})

    assert (status, body["error"]["type"]) == (409, "CommandRefusedError")
    assert "form of step ask" in body["error"]["message"]
    assert body["error"]["attributes"]["command"] == "resume"


async def test_a_command_that_nobody_has_heard_is_accepted_for_later(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.web.control_api.COMMAND_SECONDS", 0.05)
    await waiting(site)
    site.world.engines[0].revoked()

    status, body = await asked(site, "pause")

    assert (status, body["outcome"]) == (202, "sent")


@pytest.mark.parametrize(
    ("command", "body"),
    [
        ("pause", {"reason": 5}),
        ("pause", {"because": "x"}),
        ("signal", {}),
        ("signal", {"name": ["x"]}),
        ("resume", {"step_id": 5}),
        ("retry", {"step": "a"}),
        ("rerun", {}),
        ("rerun", {"step_id": "a", "context": []}),
        ("rerun", {"step_id": "a", "context": {"_inputs.a": 1}}),
        ("limit", {"step_id": "a"}),
        ("limit", {"step_id": "a", "max_concurrency": 0}),
        ("limit", {"step_id": "a", "tolerated_failures": "a lot"}),
        ("cancel", {"grace_seconds": -1}),
        ("fork", {}),
        ("fork", {"from_step": "a", "run_id": "no id"}),
        ("fork", {"from_step": "a", "context": 5}),
    ],
)
async def test_a_body_that_does_not_fit_is_refused_and_changes_nothing(site: Site, command: str, body: Any) -> None:
    await waiting(site)
    before = await site.json(f"{RUNS}/r1/events")

    status, answer = await asked(site, command, body)

    assert status == 422, answer
    assert await site.json(f"{RUNS}/r1/events") == before


@pytest.mark.parametrize(
    "command", ["cancel", "pause", "unpause", "signal", "resume", "retry", "rerun", "limit", "fork"]
)
async def test_unknown_runs_wrong_ids_and_other_methods_are_refused(site: Site, command: str) -> None:
    body = {
        "signal": {"name": "x"},
        "rerun": {"step_id": "a"},
        "limit": {"step_id": "a", "max_concurrency": 1},
        "fork": {"from_step": "a"},
    }.get(command, {})

    assert (await asked(site, command, body, run_id="nobody"))[0] == 404
    assert (await asked(site, command, body, run_id="no%20id"))[0] == 400
    assert (await site.client.get(f"{RUNS}/r1/{command}")).status == 405
    elsewhere = await site.post(f"{RUNS}/r1/{command}", body, headers={"Origin": "https://evil.example"})
    assert elsewhere.status == 403


async def test_a_cancel_may_have_a_grace(site: Site) -> None:
    await site.start("endless", "r1")

    status, body = await asked(site, "cancel", {"grace_seconds": 0.01})

    assert (status, body["requested"]) == (202, "cancel")
    assert (await site.world.ended("r1")).summary.status == "cancelled"


async def test_a_fork_is_answered_as_a_start(site: Site) -> None:
    await site.start("chain", "r1", input={"n": 1})
    await site.world.ended("r1")

    response = await site.post(f"{RUNS}/r1/fork", {"from_step": "b", "run_id": "r2", "context": {"n": 2}})

    assert (response.status, (await response.json())["outcome"]) == (201, "started")
    assert response.headers["Location"] == f"{RUNS}/r2"
    assert (await site.world.ended("r2")).context["n"] == 2
    assert (await asked(site, "fork", {"from_step": "nobody"}))[0] == 409


async def test_a_start_for_later_shows_when(site: Site) -> None:
    await site.start("chain", "r1", start_at="2100-01-01T00:00:00Z", by="ada")

    run = await site.json(f"{RUNS}/r1")

    assert (run["status"], run["starts_at"]) == ("waiting", 4102444800.0)
    for wrong in ("tomorrow", "2100-01-01T00:00:00", True, [1]):
        response = await site.post(RUNS, {"blueprint_id": "chain", "run_id": "r2", "start_at": wrong})
        assert response.status == 422


# -- what waits --------------------------------------------------------------------------------------------------------


async def test_a_sleeping_step_says_until_when_and_is_resumed(site: Site) -> None:
    await site.start("sleeping", "r1")
    await waits(site, "r1", "nap")

    (step,) = (await site.json(f"{RUNS}/r1"))["steps"]

    assert step["waiting"] == {"kind": "timer"}
    assert step["wake_at"] - step["started_at"] == pytest.approx(3600, abs=5)
    assert (await asked(site, "resume"))[0] == 200
    assert (await site.world.ended("r1")).summary.status == "completed"


async def test_parent_and_child_name_each_other(site: Site) -> None:
    await site.start("calling", "r1")
    await waits(site, "r1", "sub")

    (step,) = (await site.json(f"{RUNS}/r1"))["steps"]
    child = step["child"]
    assert step["waiting"]["run_id"] == child
    await waits(site, child, "hold")
    assert (await site.json(f"{RUNS}/{child}"))["parent"]["run_id"] == "r1"


async def test_steps_are_paged_with_their_items(site: Site) -> None:
    await site.start("items", "r1", input={"n": [1, 2, 3, 4, 5]})
    await site.world.ended("r1")

    found: list[Any] = []
    following = f"{RUNS}/r1/steps?limit=4"
    while following is not None:
        page = await site.json(following)
        found += page["steps"]
        following = page["next"]

    assert Counter(step["node_id"] for step in found) == {"all": 6}
    assert sorted(step["item"] for step in found if step["item"] is not None) == [0, 1, 2, 3, 4]
    assert [step["seq"] for step in found] == sorted({step["seq"] for step in found})
    (shown,) = (await site.json(f"{RUNS}/r1"))["steps"]
    assert shown["items"] == {"count": 5, "done": 5, "failed": 0}
    await site.json(f"{RUNS}/r1/steps?limit=0", status=400)
    await site.json(f"{RUNS}/nobody/steps", status=404)


async def test_the_context_is_asked_for_by_key(site: Site) -> None:
    await site.start("chain", "r1", input={"n": 1})
    await site.world.ended("r1")

    assert await site.json(f"{RUNS}/r1/context?key=n&key=nothing&key=_inputs.b") == {"context": {"n": 1}}


# -- webhooks ----------------------------------------------------------------------------------------------------------


async def hook_of(site: Site, step_id: str = "hook", run_id: str = "r1") -> str:
    """The path of the webhook of a run that was just started for it."""
    await site.start("hooked", run_id)
    await waits(site, run_id, step_id)
    tokens = HookTokens(site.world.engines[0].options.hook_secret, "")
    return f"/hooks/{tokens.token_of(RunId(run_id), StepId(step_id))}"


async def output_of(site: Site, step_id: str = "hook", run_id: str = "r1") -> Any:
    found: list[Any] = []

    async def is_completed() -> bool:
        steps = (await site.json(f"{RUNS}/{run_id}"))["steps"]
        found[:] = [step["output"] for step in steps if step["step_id"] == step_id and step["status"] == "completed"]
        return bool(found)

    await eventually(is_completed)
    return found[0]


@pytest.mark.parametrize(
    ("body", "content_type", "output"),
    [
        (b'{"paid": 5}', "application/json", {"paid": 5}),
        (b"null", "application/json; charset=utf-8", None),
        (b"paid=5&note=a+b&empty=", "application/x-www-form-urlencoded", {"paid": "5", "note": "a b", "empty": ""}),
        ("grüße".encode(), "text/plain", "grüße"),
        (b"", "application/octet-stream", None),
    ],
)
async def test_the_body_of_a_call_becomes_the_output(site: Site, body: bytes, content_type: str, output: Any) -> None:
    hook = await hook_of(site)

    response = await site.client.post(hook, data=body, headers={"Content-Type": content_type})

    assert response.status == 202
    assert await output_of(site) == output


async def test_a_token_works_once_and_used_and_unknown_ones_look_the_same(site: Site) -> None:
    hook = await hook_of(site)
    assert (await site.client.post(hook)).status == 202
    await output_of(site)

    used, unknown = await site.client.post(hook), await site.client.post("/hooks/nobody")

    assert (used.status, unknown.status) == (404, 404)
    assert await used.json() == await unknown.json()


async def token_expires_at(site: Site) -> float:
    steps = (await site.json(f"{RUNS}/r1"))["steps"]
    return float(next(step["waiting"]["token_expires_at"] for step in steps if step["step_id"] == "hook"))


async def test_a_call_after_its_token_has_expired_is_told_so_and_the_step_waits_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = await hook_of(site)
    expires_at = await token_expires_at(site)
    monkeypatch.setattr("app.web.sources.Sources.now", lambda _: expires_at)

    late = await site.client.post(hook, json="late")

    told = (await late.json())["error"]
    assert (late.status, told["type"]) == (410, "HookExpiredError")
    assert "expired" in told["message"]
    statuses = {step["step_id"]: step["status"] for step in (await site.json(f"{RUNS}/r1"))["steps"]}
    assert statuses["hook"] == "waiting"
    status, _ = await asked(site, "resume", {"step_id": "hook", "output": "by hand"})
    assert status == 200
    assert await output_of(site) == "by hand"


async def test_a_call_just_before_its_token_expires_lets_the_step_go_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = await hook_of(site)
    expires_at = await token_expires_at(site)
    monkeypatch.setattr("app.web.sources.Sources.now", lambda _: expires_at - 0.001)

    assert (await site.client.post(hook, json="in time")).status == 202
    assert await output_of(site) == "in time"


async def test_a_used_token_is_unknown_whether_or_not_it_would_have_expired(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = await hook_of(site)
    expires_at = await token_expires_at(site)
    await site.client.post(hook)
    await output_of(site)
    monkeypatch.setattr("app.web.sources.Sources.now", lambda _: expires_at)

    assert (await site.client.post(hook)).status == 404


async def test_the_page_of_a_run_tells_until_when_a_token_is_good(site: Site) -> None:
    await hook_of(site)

    assert "its token is good until" in await site.page("/runs/r1")


async def test_of_many_calls_at_once_one_is_accepted(site: Site) -> None:
    hook = await hook_of(site)

    answers = await asyncio.gather(*(site.client.post(hook, json=number) for number in range(5)))

    assert sorted(answer.status for answer in answers) == [202, 404, 404, 404, 404]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_nothing_but_a_post_lets_a_step_go_on(site: Site, method: str) -> None:
    hook = await hook_of(site)

    assert (await site.client.request(method, hook)).status == 405

    assert (await site.client.post(hook)).status == 202


async def test_a_call_that_does_not_fit_the_form_leaves_the_token_as_good_as_before(site: Site) -> None:
    hook = await hook_of(site, "form")

    assert (await site.client.post(hook, json={"amount": "5"})).status == 422
    assert (await site.client.post(hook, json={"amount": 5})).status == 202
    assert await output_of(site, "form") == {"amount": 5}


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"x" * (64 * 1024 + 1), "text/plain", 413),
        (b"{", "application/json", 400),
        (b"[" * 20_000, "application/json", 400),
        (b"\xff", "text/plain", 400),
        (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x", 415),
    ],
)
async def test_a_body_that_cannot_be_taken_leaves_the_token_as_good_as_before(
    site: Site, body: bytes, content_type: str, status: int
) -> None:
    hook = await hook_of(site)

    response = await site.client.post(hook, data=body, headers={"Content-Type": content_type})

    assert response.status == status
    assert "error" in await response.json()
    assert (await site.client.post(hook)).status == 202


@pytest.mark.parametrize("token", ["x" * 5000, "%00", "..%2f..", "%F0%9F%98%80"])
async def test_an_odd_token_is_not_found(site: Site, token: str) -> None:
    assert (await site.client.post(f"/hooks/{token}")).status == 404
