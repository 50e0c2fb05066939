"""Clients and builders as a user would write them. Never run: mypy must accept it, and refuse what is marked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from famulus.blueprint import Blueprint
from famulus.builder import Flow, Value, each, first_of, flow, on, step, task, when, workflow
from famulus.client import CommandOutcome, EventView, Famulus, Run, RunFailedError, RunView

made: Flow = (
    flow("f").node("a", uses="x", timeout=timedelta(seconds=1)).fan_out(step("b", uses="y"), step("c", uses="y"))
)
patient: Flow = (
    made.then("d", uses="z", retry_backoff=2, retry_on=[OSError, "Busy"], compensate="a", join=2, join_deadline=1.5)
    .sleep("nap", "10s", when="result.output")
    .loop("again", "more", body=lambda body: body.map("each", uses="x", max_concurrency=3), max_rounds=3)
    .wait("ask", signal="go", deadline=timedelta(days=1), on_deadline="late", join="any")
)
blueprint: Blueprint = made.then("d", uses="z", when="result.output.ok").blueprint()


async def use() -> dict[str, Any]:
    async with Famulus.connect() as here, Famulus.http("http://127.0.0.1:6066") as there:
        await here.push(blueprint)
        run: Run = await there.start("f", {"n": 1}, run_id="r1")
        view: RunView = await run.view()
        async for event in here.run(view.summary.run_id).events(after=3):
            known: EventView = event
            print(known.seq)
        outcome: CommandOutcome = await run.resume("ask", output={"n": 1}, action="yes", by="ada")
        await run.signal("go", [1], command_id="c1")
        await run.limit("each", max_concurrency=2, tolerated_failures="5%")
        forked: Run = await run.fork("d", context={"n": 2})
        print(outcome, (await forked.query("n")).context["n"], [step.items async for step in run.steps()])
        await run.cancel(reason="enough", by="ada", grace_seconds=3)
        for each in await here.list(status="failed"):
            print(each.run_id)
        try:
            return await run.result(timeout=5)
        except RunFailedError as error:
            print(error.step_id)
            raise


async def misuse(famulus: Famulus) -> None:
    await famulus.start("f", None, "1")  # type: ignore[call-arg]
    await famulus.run(17).result()  # type: ignore[arg-type]
    flow("f").node("a")  # type: ignore[call-arg]
    flow("f").node("a", uses="x", when="b")  # type: ignore[call-arg]
    flow("f").then("a", uses="x", retries="3")  # type: ignore[arg-type]
    flow("f").sleep("a", 1, params={})  # type: ignore[call-arg]
    flow("f").loop("a", "more")  # type: ignore[call-arg]


@workflow("site", timeout=timedelta(hours=1), fail_fast=True)
def site(url: Value) -> None:
    page: Value = task("fetch", retries=2)(url=url, depth=3)
    links = each(task("parse"), page["links"], max_concurrency=3)
    task("store").after(page)(first_of(on(links, "done"), when(page, "result.output.empty")))


traced: Flow = site
task("fetch", when="x")  # type: ignore[call-arg]
each("parse", [])  # type: ignore[arg-type]
