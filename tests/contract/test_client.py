"""What every client promises, over topics and store and over HTTP: the same answers, the same errors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.installation import FAN_STEPS, Installation
from support.servers import settings_of
from support.site import FORM, Site, open_site
from support.world import blueprint, eventually

from famulus.blueprint import parse_blueprint
from famulus.client import (
    CommandOutcome,
    CommandRefusedError,
    Famulus,
    Run,
    RunCancelledError,
    RunFailedError,
    StartOutcome,
)
from famulus.client.direct import DirectTransport
from famulus.engine.starting import RunStarter
from famulus.errors import (
    ApiUnavailableError,
    BadRecordError,
    BlueprintConflictError,
    BlueprintError,
    BlueprintNotFoundError,
    FamulusError,
    InputError,
    RetryableError,
    RunConflictError,
    RunEndedError,
    RunNotFoundError,
    SettingsError,
    StoreUnavailableError,
)
from famulus.ids import RunId
from famulus.stacks.ports import free_port

SECONDS = 60.0


@asynccontextmanager
async def direct(site: Site) -> AsyncIterator[Famulus]:
    world = site.world
    catalog = world.engines[0].catalog
    starter = RunStarter(world.store, catalog, world.bus, max_record_bytes=site.app.settings.max_record_bytes)
    yield Famulus(DirectTransport(world.reader, starter, catalog, schedules=site.app.schedules))


@asynccontextmanager
async def over_http(site: Site) -> AsyncIterator[Famulus]:
    async with Famulus.http(str(site.client.make_url("/"))) as client:
        yield client


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    be_patient(monkeypatch, SECONDS)
    async with open_site(tmp_path) as site:
        yield site


@pytest.fixture(params=[direct, over_http], ids=["direct", "http"])
async def famulus(request: pytest.FixtureRequest, site: Site) -> AsyncIterator[Famulus]:
    async with request.param(site) as client:
        yield client


def be_patient(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Wait for so long until a worker has recorded what was asked for."""
    monkeypatch.setattr("app.web.api.START_SECONDS", seconds)
    monkeypatch.setattr("famulus.client.direct.START_SECONDS", seconds)
    monkeypatch.setattr("app.web.control_api.COMMAND_SECONDS", seconds)


async def told(error: type[FamulusError], call: Any) -> FamulusError:
    with pytest.raises(error) as caught:
        await call
    assert type(caught.value) is error
    return caught.value


# -- starting --------------------------------------------------------------------------------------------------------


async def test_a_started_run_gives_its_result(famulus: Famulus) -> None:
    run = await famulus.start("chain", {"n": 1})

    assert run.outcome is StartOutcome.STARTED
    assert await run.result(timeout=SECONDS) == {"n": 1, "a": {"ok": True}, "b": {"ok": True}}


async def test_the_same_start_again_finds_the_run(famulus: Famulus) -> None:
    first = await famulus.start("chain", {"n": 1}, run_id="r1")
    await first.result(timeout=SECONDS)

    again = await famulus.start("chain", {"n": 1}, run_id="r1")

    assert (again.id, again.outcome) == ("r1", StartOutcome.EXISTING)
    assert await again.result(timeout=SECONDS) == await first.result(timeout=SECONDS)


@pytest.mark.parametrize(("blueprint_id", "given"), [("chain", {"n": 2}), ("failing", {"n": 1})])
async def test_another_start_of_the_same_id_is_a_conflict(
    famulus: Famulus, blueprint_id: str, given: dict[str, Any]
) -> None:
    await famulus.start("chain", {"n": 1}, run_id="r1")

    error = await told(RunConflictError, famulus.start(blueprint_id, given, run_id="r1"))

    assert isinstance(error, RunConflictError)
    assert error.run_id == "r1"
    assert error.detail in str(error)


async def test_a_run_that_no_worker_takes_is_accepted_and_its_result_is_waited_for(
    famulus: Famulus, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_patient(monkeypatch, 0.2)
    engine = site.world.engines[0]
    engine.revoked()

    run = await famulus.start("chain", run_id="later")

    assert run.outcome is StartOutcome.ACCEPTED
    await told(RunNotFoundError, run.status())
    with pytest.raises(TimeoutError, match="'later'"):
        await run.result(timeout=0.1)
    engine.assigned(range(4))
    assert await run.result(timeout=SECONDS) == {"a": {"ok": True}, "b": {"ok": True}}


async def test_a_blueprint_or_version_that_is_not_registered_is_not_found(famulus: Famulus) -> None:
    error = await told(BlueprintNotFoundError, famulus.start("nobody"))
    version = await told(BlueprintNotFoundError, famulus.start("chain", version="99"))

    assert isinstance(error, BlueprintNotFoundError)
    assert isinstance(version, BlueprintNotFoundError)
    assert (error.blueprint_id, error.version) == ("nobody", None)
    assert (version.blueprint_id, version.version) == ("chain", "99")


@pytest.mark.parametrize("run_id", ["no/id", "", "x" * 129])
async def test_what_cannot_be_a_run_id_is_refused(famulus: Famulus, run_id: str) -> None:
    await told(InputError, famulus.start("chain", run_id=run_id))
    with pytest.raises(InputError):
        famulus.run(run_id)


async def test_an_input_that_is_too_large_is_refused(famulus: Famulus, site: Site) -> None:
    beyond_any_body = {"x": "x" * (site.app.settings.web_max_body_bytes * 2)}

    error = await told(BadRecordError, famulus.start("chain", beyond_any_body))
    assert isinstance(error, BadRecordError)
    assert error.code == "too_large"


# -- one run ---------------------------------------------------------------------------------------------------------


async def test_a_view_shows_steps_input_and_context(famulus: Famulus) -> None:
    run = await famulus.start("failing", {"n": 1}, run_id="r1")
    with pytest.raises(RunFailedError):
        await run.result(timeout=SECONDS)

    view = await run.view()

    assert (view.summary, view.input) == (await run.status(), {"n": 1})
    assert view.summary.status == "failed"
    (step,) = view.steps
    assert (step.step_id, step.uses, step.status, step.worker) == ("a", "t.fail", "failed", "w1")
    assert step.error is not None
    assert step.error["type"] == "ValueError"


async def test_both_transports_show_the_same(site: Site) -> None:
    async with direct(site) as one, over_http(site) as other:
        for blueprint_id in ("chain", "failing"):
            await one.start(blueprint_id, {"x": [1, 2.5, None]}, run_id=blueprint_id)
            await site.world.ended(blueprint_id)
            ours, theirs = one.run(blueprint_id), other.run(blueprint_id)

            assert await ours.view() == await theirs.view()
            assert [event async for event in ours.events()] == [event async for event in theirs.events()]
        assert list(await one.list()) == list(await other.list())


async def test_the_result_of_a_failed_run_names_its_step_and_reason(famulus: Famulus) -> None:
    run = await famulus.start("failing", run_id="r1")

    error = await told(RunFailedError, run.result(timeout=SECONDS))

    assert isinstance(error, RunFailedError)
    assert (error.run_id, error.step_id) == ("r1", "a")
    assert error.reason is not None
    assert error.reason in str(error)
    assert error.error is not None
    assert error.error["type"] == "ValueError"


async def test_the_result_of_a_cancelled_run_says_why(famulus: Famulus) -> None:
    run = await famulus.start("endless", run_id="r1")

    before = await run.cancel(reason="not wanted", by="ada")

    assert before.status == "running"
    error = await told(RunCancelledError, run.result(timeout=SECONDS))
    assert "not wanted" in str(error)
    (asked,) = [event async for event in run.events() if event.type == "run.cancel_requested"]
    assert (asked.data["by"], asked.data["reason"]) == ("ada", "not wanted")


async def test_a_result_that_takes_too_long_is_a_timeout_and_can_be_awaited_again(famulus: Famulus) -> None:
    run = await famulus.start("endless", run_id="r1")

    with pytest.raises(TimeoutError, match=r"'r1' has not ended within 0\.05 s"):
        await run.result(timeout=0.05)

    await run.cancel()
    await told(RunCancelledError, famulus.run("r1").result(timeout=SECONDS))


async def test_a_run_that_does_not_exist_is_not_found(famulus: Famulus) -> None:
    run = famulus.run("nobody")

    for call in (run.status(), run.view(), run.result(), run.cancel(), anext(run.events())):
        error = await told(RunNotFoundError, call)
        assert isinstance(error, RunNotFoundError)
        assert error.run_id == "nobody"


async def test_cancelling_what_has_ended_is_refused(famulus: Famulus) -> None:
    run = await famulus.start("chain", run_id="r1")
    await run.result(timeout=SECONDS)

    error = await told(RunEndedError, run.cancel())

    assert isinstance(error, RunEndedError)
    assert (error.run_id, error.status) == ("r1", "completed")


async def test_a_reason_that_is_too_long_is_refused(famulus: Famulus) -> None:
    run = await famulus.start("endless")

    await told(InputError, run.cancel(reason="x" * 501))
    await told(InputError, run.cancel(by="x" * 501))


# -- events ----------------------------------------------------------------------------------------------------------


async def test_events_come_in_order_until_the_run_ends(famulus: Famulus) -> None:
    run = await famulus.start("chain", run_id="r1")

    async with asyncio.timeout(SECONDS):
        events = [event async for event in run.events()]

    assert [event.type for event in events] == ["run.started", "step.completed", "step.completed", "run.completed"]
    assert [event.seq for event in events] == sorted({event.seq for event in events})
    assert [event.data.get("step") for event in events[1:3]] == ["a", "b"]


async def test_events_go_on_after_the_last_one_that_was_seen(famulus: Famulus) -> None:
    run = await famulus.start("chain", run_id="r1")
    stream = run.events()
    first = await anext(stream)
    await stream.aclose()

    rest = [event async for event in famulus.run("r1").events(after=first.seq)]

    assert [first.type, *(event.type for event in rest)] == [
        "run.started",
        "step.completed",
        "step.completed",
        "run.completed",
    ]
    assert [event async for event in run.events(after=rest[-1].seq)] == []


async def test_events_of_a_run_that_goes_on_come_as_they_happen(famulus: Famulus) -> None:
    run = await famulus.start("endless", run_id="r1")
    stream = run.events()
    assert (await anext(stream)).type == "run.started"

    await run.cancel()

    async with asyncio.timeout(SECONDS):
        assert [event.type async for event in stream][-1] == "run.cancelled"


async def test_events_come_page_by_page(famulus: Famulus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("famulus.client.run.EVENTS_PAGE", 1)
    run = await famulus.start("chain", run_id="r1")

    assert len([event async for event in run.events()]) == 4


# -- control ---------------------------------------------------------------------------------------------------------


async def waits(run: Run, step: str) -> None:
    async def is_waiting() -> bool:
        return any(each.step_id == step and each.waiting is not None for each in (await run.view()).steps)

    await eventually(is_waiting)


async def test_a_run_that_waits_says_for_what_and_a_signal_lets_it_go_on(famulus: Famulus) -> None:
    run = await famulus.start("waiting")
    await waits(run, "ask")

    (step, _) = (await run.view()).steps
    assert step.waiting is not None
    assert (step.waiting["kind"], step.waiting["signal"], step.waiting["form"]) == ("signal", "answer", FORM)
    assert step.wake_at is not None
    assert await run.signal("answer", {"amount": 5}, by="ada") is CommandOutcome.ACCEPTED

    assert (await run.result(timeout=SECONDS))["ask"] == {"amount": 5}
    (told,) = [event async for event in run.watch() if event.type == "signal.received"]
    assert told.data["by"] == "ada"


async def test_no_output_is_not_the_output_none(famulus: Famulus) -> None:
    for given, output in (({"output": None}, None), ({}, None), ({"output": 3, "action": "yes"}, 3)):
        run = await famulus.start("resumed")
        await waits(run, "hold")

        assert await run.resume("hold", **given) is CommandOutcome.ACCEPTED

        assert (await run.result(timeout=SECONDS))["hold"] == output


async def test_what_does_not_fit_the_form_is_refused_with_the_reason(famulus: Famulus) -> None:
    run = await famulus.start("waiting", run_id="r1")
    await waits(run, "ask")

    error = await told(CommandRefusedError, run.resume("ask", output={"amount": "much"}))

    assert isinstance(error, CommandRefusedError)
    assert (error.run_id, error.command) == ("r1", "resume")
    assert "form of step ask" in (error.reason or "")
    assert error.reason in str(error)
    assert (await run.status()).status == "waiting"


async def test_a_resume_of_what_does_not_wait_is_refused(famulus: Famulus) -> None:
    run = await famulus.start("endless", run_id="r1")

    await told(CommandRefusedError, run.resume())
    await told(CommandRefusedError, run.resume("nobody"))


async def test_the_same_command_again_is_carried_out_once(famulus: Famulus) -> None:
    run = await famulus.start("waiting")
    await waits(run, "ask")

    for _ in range(2):
        assert await run.signal("other", 1, command_id="c1") is CommandOutcome.ACCEPTED

    assert [event.type for event in await run.transport.events(run.id, after=-1, limit=100)].count(
        "signal.received"
    ) == 1


async def test_a_run_is_paused_and_goes_on(famulus: Famulus) -> None:
    run = await famulus.start("waiting")
    await waits(run, "ask")

    assert await run.pause(reason="lunch", by="ada") is CommandOutcome.ACCEPTED
    paused = await run.status()
    assert (paused.status, paused.reason) == ("paused", "lunch")
    await told(CommandRefusedError, run.pause())
    assert await run.unpause() is CommandOutcome.ACCEPTED
    await run.signal("answer", {"amount": 1})
    await run.result(timeout=SECONDS)


async def test_a_failed_run_is_retried_and_a_completed_one_is_run_again(famulus: Famulus) -> None:
    failed = await famulus.start("failing")
    await told(RunFailedError, failed.result(timeout=SECONDS))
    completed = await famulus.start("chain", {"n": 1})
    await completed.result(timeout=SECONDS)

    assert await failed.retry("a") is CommandOutcome.ACCEPTED
    assert await completed.rerun("b", context={"n": 2}) is CommandOutcome.ACCEPTED

    await told(RunFailedError, failed.result(timeout=SECONDS))
    assert (await completed.result(timeout=SECONDS))["n"] == 2
    assert [step.step_id async for step in completed.steps()] == ["a", "b", "b#2"]
    await told(CommandRefusedError, completed.retry())


async def test_a_fork_is_a_run_of_its_own(famulus: Famulus) -> None:
    old = await famulus.start("chain", {"n": 1}, run_id="r1")
    await old.result(timeout=SECONDS)

    new = await old.fork("b", context={"n": 2}, run_id="r2")

    assert (new.id, new.outcome) == ("r2", StartOutcome.STARTED)
    assert (await new.result(timeout=SECONDS))["n"] == 2
    assert (await old.view()).context["n"] == 1
    assert (await old.fork("b", context={"n": 2}, run_id="r2")).outcome is StartOutcome.EXISTING
    await told(CommandRefusedError, old.fork("nobody"))
    await told(RunNotFoundError, famulus.run("nobody").fork("b"))


async def test_a_run_that_is_started_for_later_begins_then(famulus: Famulus) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)

    run = await famulus.start("chain", start_at=at)

    view = await run.view()
    assert (view.summary.status, view.starts_at) == ("waiting", at.timestamp())
    await told(InputError, famulus.start("chain", start_at=datetime(2026, 1, 1)))  # noqa: DTZ001  # that is the point
    soon = await famulus.start("chain", start_at=time.time() + 0.2)
    await soon.result(timeout=SECONDS)


async def test_limits_of_what_has_no_items_are_refused(famulus: Famulus) -> None:
    run = await famulus.start("endless")

    await told(CommandRefusedError, run.limit("a", max_concurrency=2))
    await told(BadRecordError, run.limit("a"))
    await told(BadRecordError, run.limit("a", tolerated_failures="many"))


async def test_items_are_counted_and_paged(famulus: Famulus) -> None:
    run = await famulus.start("items", {"n": list(range(20))})

    await run.result(timeout=SECONDS)

    (step,) = (await run.view()).steps
    assert step.items == {"count": 20, "done": 20, "failed": 0}
    items = [each async for each in run.steps() if each.item is not None]
    assert sorted(each.step_id for each in items) == sorted(f"all[{index}]" for index in range(20))


async def test_a_query_gives_the_keys_that_are_there(famulus: Famulus) -> None:
    run = await famulus.start("chain", {"n": 1})
    await run.result(timeout=SECONDS)

    asked = await run.query("n", "a", "nothing")

    assert (asked.run.status, asked.context) == ("completed", {"n": 1, "a": {"ok": True}})


async def test_a_command_that_no_worker_takes_is_sent(
    famulus: Famulus, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await famulus.start("waiting")
    await waits(run, "ask")
    be_patient(monkeypatch, 0.2)
    engine = site.world.engines[0]
    engine.revoked()

    assert await run.signal("answer", {"amount": 1}) is CommandOutcome.SENT

    engine.assigned(range(4))
    await run.result(timeout=SECONDS)


async def test_nothing_can_be_asked_of_a_run_that_does_not_exist(famulus: Famulus) -> None:
    run = famulus.run("nobody")

    for call in (
        run.signal("x"),
        run.resume(),
        run.pause(),
        run.unpause(),
        run.retry(),
        run.rerun("a"),
        run.query("a"),
    ):
        await told(RunNotFoundError, call)


async def test_what_is_asked_after_the_end_is_refused(famulus: Famulus) -> None:
    run = await famulus.start("chain")
    await run.result(timeout=SECONDS)

    for call in (run.signal("x"), run.resume(), run.pause(), run.unpause(), run.limit("a", max_concurrency=1)):
        error = await told(RunEndedError, call)
        assert isinstance(error, CommandRefusedError)


# -- lists -----------------------------------------------------------------------------------------------------------


async def test_a_list_has_the_newest_first_and_can_be_filtered(famulus: Famulus, site: Site) -> None:
    for number in range(3):
        await famulus.start("chain", run_id=f"c{number}")
        await site.world.ended(f"c{number}")
    await famulus.start("failing", run_id="f0")
    await site.world.ended("f0")

    found = await famulus.list()

    assert [run.run_id for run in found] == ["f0", "c2", "c1", "c0"]
    assert [run.run_id for run in await famulus.list(limit=2)] == ["f0", "c2"]
    assert [run.run_id for run in await famulus.list(before=found[1].created_at)] == ["c1", "c0"]
    assert [run.run_id for run in await famulus.list(status="failed")] == ["f0"]
    assert [run.run_id for run in await famulus.list(blueprint_id="chain", limit=1)] == ["c2"]


async def test_a_list_may_be_longer_than_a_page(famulus: Famulus, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("famulus.client.http.PAGE", 2)
    for number in range(5):
        await famulus.start("chain", run_id=f"c{number}")
        await site.world.ended(f"c{number}")

    assert len(await famulus.list(limit=5)) == 5
    assert len(await famulus.list(limit=3)) == 3
    assert len(await famulus.list(limit=50)) == 5


async def test_a_status_that_does_not_exist_is_refused(famulus: Famulus) -> None:
    await told(InputError, famulus.list(status="finished"))


# -- blueprints ------------------------------------------------------------------------------------------------------


async def test_a_blueprint_is_pushed_as_data_as_text_or_as_a_value_and_runs(famulus: Famulus) -> None:
    document = blueprint("new", {"a": "t.echo"}, metadata={"version": "1"})

    stored = await famulus.push(document)

    assert (stored.blueprint_id, stored.version) == ("new", "1")
    assert await famulus.push(stored.body) == stored
    assert await famulus.push(stored.body.decode()) == stored
    assert await famulus.push(parse_blueprint(document)) == stored
    run = await famulus.start("new", version="1")
    assert await run.result(timeout=SECONDS) == {"a": {"ok": True}}


async def test_another_content_under_the_same_version_is_a_conflict(famulus: Famulus) -> None:
    await famulus.push(blueprint("new", {"a": "t.echo"}, metadata={"version": "1"}))

    error = await told(
        BlueprintConflictError, famulus.push(blueprint("new", {"b": "t.echo"}, metadata={"version": "1"}))
    )

    assert isinstance(error, BlueprintConflictError)
    assert (error.blueprint_id, error.version) == ("new", "1")


async def test_a_blueprint_that_cannot_run_is_refused_with_every_problem(famulus: Famulus) -> None:
    wrong = blueprint("new", {"a": "", "b": "t.echo"}, ("b", "nobody"))

    error = await told(BlueprintError, famulus.push(wrong))

    assert isinstance(error, BlueprintError)
    assert [problem.partition(":")[0] for problem in error.problems] == ["nodes[0].uses", "edges[0].target"]


# -- servers that are away ---------------------------------------------------------------------------------------------


async def test_a_store_that_is_away_is_unavailable(
    famulus: Famulus, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await famulus.start("chain", run_id="r1")
    await run.result(timeout=SECONDS)

    async def away(_run_ids: object) -> None:
        raise StoreUnavailableError("the store is away", retry_after=1.5)

    with monkeypatch.context() as patch:
        patch.setattr(site.world.store, "heads", away)
        error = await told(StoreUnavailableError, run.status())

    assert isinstance(error, RetryableError)
    assert (str(error), error.retry_after) == ("the store is away", 1.5)
    assert (await run.status()).status == "completed"


async def test_a_worker_that_is_away_is_unavailable() -> None:
    async with Famulus.http(f"http://127.0.0.1:{free_port()}") as famulus:
        error = await told(ApiUnavailableError, famulus.start("chain"))

    assert isinstance(error, RetryableError)


@pytest.mark.parametrize("url", ["", "127.0.0.1:6066", "ftp://127.0.0.1", "http://"])
async def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="is no URL"):
        async with Famulus.http(url):
            pass


async def test_what_is_not_famulus_is_told_apart(site: Site) -> None:
    async with Famulus.http(str(site.client.make_url("/static/"))) as famulus:
        with pytest.raises(FamulusError, match="404"):
            await famulus.list()


async def test_without_servers_it_is_said_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="famulus dev"):
        async with Famulus.connect(settings_of({"FAMULUS_DATA_DIR": str(tmp_path)})):
            pass


# -- a worker --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "servers",
    [
        pytest.param("embedded_servers", marks=pytest.mark.embedded),
        pytest.param("real_servers", marks=pytest.mark.real),
    ],
)
async def test_both_ways_to_a_worker(servers: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    installation = Installation(request.getfixturevalue(servers), tmp_path)
    await installation.prepare()
    try:
        (worker,) = await installation.start_workers(1)
        async with AsyncExitStack() as stack:
            here = await stack.enter_async_context(Famulus.connect(settings_of(installation.environment)))
            there = await stack.enter_async_context(Famulus.http(worker.url))
            for name, one, other in (("here", here, there), ("there", there, here)):
                await _use(one, other, name)
    finally:
        installation.close()


async def _use(one: Famulus, other: Famulus, name: str) -> None:
    """What one does, the other sees."""
    fan = await one.start("fan10", run_id=f"fan-{name}")
    assert fan.outcome is not StartOutcome.EXISTING
    await recorded(other.run(fan.id))
    assert (await fan.result(timeout=SECONDS))["join"] == list(range(10))
    ends = [event.data["step"] async for event in other.run(fan.id).events() if event.type == "step.completed"]
    assert sorted(ends) == sorted(FAN_STEPS)
    await told(RunConflictError, one.start("one", run_id=fan.id))

    failing = await other.start("raising", run_id=f"raising-{name}")
    await recorded(one.run(failing.id))
    error = await told(RunFailedError, one.run(failing.id).result(timeout=SECONDS))
    assert "as told" in str(error)

    gated = await one.start("gated", run_id=f"gated-{name}")
    await recorded(gated)

    async def is_under_way() -> bool:
        return any(step.status == "completed" for step in (await gated.view()).steps)

    await eventually(is_under_way, within=SECONDS, every=0.02)
    await other.run(gated.id).cancel(reason="enough")
    await told(RunCancelledError, gated.result(timeout=SECONDS))

    await one.push(blueprint(f"pushed-{name}", {"a": "tests.quick"}))
    assert await (await other.start(f"pushed-{name}")).result(timeout=SECONDS) == {"a": "a"}
    assert RunId(fan.id) in {run.run_id for run in await one.list()}


async def recorded(run: Run) -> None:
    """A worker with much to do may record a run only after its start was accepted."""

    async def exists() -> bool:
        try:
            await run.status()
        except RunNotFoundError:
            return False
        return True

    await eventually(exists, within=SECONDS, every=0.02)
