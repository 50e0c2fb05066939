"""Built-in nodes, carried out by an engine on memory ports."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.world import World, blueprint, eventually, outputs, statuses

from famulus.engine.builtins.child_ids import child_run_id
from famulus.engine.builtins.tokens import HookTokens, digest_of_token
from famulus.engine.reading import RunView
from famulus.ids import RunId, StepId, is_run_id
from famulus.nodes import NodeContext


async def echo(ctx: NodeContext) -> Any:
    return ctx.input


async def double(ctx: NodeContext) -> Any:
    return ctx.input * 2


async def count(ctx: NodeContext) -> int:
    value = await ctx.get("count", 0) + 1
    await ctx.set("count", value)
    await ctx.set("more", value < 3)
    return value


async def give(ctx: NodeContext) -> Any:
    return ctx.params.get("value")


async def fail(_: NodeContext) -> None:
    raise ValueError("boom")


NODES = {"echo": echo, "double": double, "count": count, "give": give, "fail": fail}


def giving(value: Any) -> dict[str, Any]:
    return {"uses": "give", "params": {"value": value}}


async def reached(world: World, run_id: str, **expected: str) -> RunView:
    """Wait until steps of a run have these statuses."""

    async def has_reached() -> bool:
        if not await world.store.heads([RunId(run_id)]):
            return False
        shown = statuses(await world.reader.show(RunId(run_id)))
        return all(shown[node_id] == status for node_id, status in expected.items())

    await eventually(has_reached)
    return await world.reader.show(RunId(run_id))


async def has_event(world: World, kind: str) -> bool:
    if not await world.store.heads([RunId("r1")]):
        return False
    return kind in {event.type for event in await world.reader.events(RunId("r1"))}


# -- loops and batches -------------------------------------------------------------------------------------------------


async def test_a_loop_goes_round_while_its_condition_holds() -> None:
    document = blueprint(
        "loop",
        {
            "begin": giving(None),
            "again": {"uses": "loop-controller", "params": {"condition": "more"}, "config": {"joinStrategy": "any"}},
            "work": "count",
            "after": "echo",
        },
        ("begin", "again"),
        ("again", "work", {"action": "continue"}),
        ("work", "again"),
        ("again", "after", {"action": "break"}),
    )

    async with World(NODES) as world:
        run = await world.run(document, {"more": True})

    assert run.summary.status == "completed"
    assert run.context["count"] == 3
    assert run.context["after"] is None


async def test_scattered_items_are_gathered_in_their_order() -> None:
    document = blueprint(
        "batch",
        {
            "items": giving([3, 1, 2]),
            "scatter": {
                "uses": "batch-scatter",
                "params": {"workerUsesKey": "double", "gatherNodeId": "gather", "chunkSize": 2},
            },
            "gather": {"uses": "batch-gather", "params": {"gatherNodeId": "gather", "outputKey": "doubled"}},
            "after": "echo",
        },
        ("items", "scatter"),
        ("scatter", "gather"),
        ("gather", "after"),
    )

    async with World(NODES) as world:
        run = await world.run(document)

    assert run.summary.status == "completed"
    assert outputs(run)["gather"] == outputs(run)["after"] == run.context["doubled"] == [6, 2, 4]


@pytest.mark.parametrize(("given", "status"), [(None, "completed"), ("", "completed"), ({"a": 1}, "failed")])
async def test_only_lists_and_nothing_can_be_scattered(given: Any, status: str) -> None:
    document = blueprint(
        "batch",
        {
            "items": giving(given),
            "scatter": {"uses": "batch-scatter", "params": {"workerUsesKey": "double", "gatherNodeId": "gather"}},
            "gather": {"uses": "batch-gather", "params": {"gatherNodeId": "gather"}},
        },
        ("items", "scatter"),
        ("scatter", "gather"),
    )

    async with World(NODES) as world:
        run = await world.run(document)

    assert run.summary.status == status
    if status == "completed":
        assert outputs(run)["gather"] == []


async def test_map_runs_an_implementation_or_a_blueprint_for_each_item() -> None:
    child = blueprint("twice", {"first": "double", "second": "double"}, ("first", "second"))
    document = blueprint(
        "maps",
        {
            "items": giving([1, 2, 3]),
            "here": {"uses": "map", "params": {"uses": "double", "maxConcurrency": 2}},
            "there": {"uses": "map", "params": {"blueprintId": "twice"}},
        },
        ("items", "here"),
        ("here", "there"),
    )

    async with World(NODES) as world:
        await world.push(child)
        run = await world.run(document)
        item = await world.reader.show(RunId("r1.there:2"))

    assert outputs(run) == {"items": [1, 2, 3], "here": [2, 4, 6], "there": [8, 16, 24]}
    assert item.summary.status == "completed"


# -- waiting -----------------------------------------------------------------------------------------------------------


def waiting(uses: str, **params: Any) -> dict[str, Any]:
    """Something is given to a node that waits, and what that one gives is passed on, where its action is `late` too."""
    return blueprint(
        "waits",
        {"given": giving("in"), "wait": {"uses": uses, "params": params}, "after": "echo", "late": "echo"},
        ("given", "wait"),
        ("wait", "after"),
        ("wait", "late", {"action": "late"}),
    )


@pytest.mark.parametrize("params", [{"duration": 30}, {"duration": 0}, {"until": "2001-01-01T00:00:00Z"}])
async def test_a_sleep_gives_its_input_on(params: dict[str, Any]) -> None:
    async with World(NODES) as world:
        run = await world.run(waiting("sleep", **params))

    assert outputs(run) == {"given": "in", "wait": "in", "after": "in"}


@pytest.mark.parametrize("uses", ["wait", "webhook"])
async def test_who_waited_in_vain_goes_on_with_the_action_for_that_or_fails(uses: str) -> None:
    async with World(NODES) as world:
        goes_on = await world.run(waiting(uses, timeout=30, timeoutAction="late"))
        fails = await world.run({**waiting(uses, timeout=30), "id": "fails"}, run_id="r2")

    assert outputs(goes_on) == {"given": "in", "wait": None, "late": None}
    assert statuses(fails)["wait"] == "failed"
    assert "TimeoutError" in (fails.steps[1].reason or "")


@pytest.mark.parametrize("early", [False, True])
async def test_a_signal_lets_go_on_whether_it_comes_before_or_after(*, early: bool) -> None:
    go = asyncio.Event()

    async def held(_: NodeContext) -> None:
        await go.wait()

    document = blueprint(
        "waits",
        {"held": "held", "wait": {"uses": "wait", "params": {"signal": "paid"}}, "after": "echo"},
        ("held", "wait"),
        ("wait", "after"),
    )
    signal = {"type": "command", "command": "signal", "run_id": "r1", "by": "me", "name": "paid", "payload": {"sum": 7}}
    async with World({**NODES, "held": held}) as world:
        await world.push(document)
        await world.start("waits", "r1")
        if not early:
            go.set()
            await reached(world, "r1", wait="waiting")
        await world.send(signal)
        await eventually(lambda: has_event(world, "signal.received"))
        go.set()
        run = await world.ended("r1")

    assert outputs(run)["after"] == {"sum": 7}


async def test_the_url_of_a_webhook_is_known_before_it_waits() -> None:
    async def mail(ctx: NodeContext) -> str:
        return ctx.webhook_url("ask")

    document = blueprint("hook", {"mail": "mail", "ask": "webhook"}, ("mail", "ask"))

    async with World({"mail": mail}, public_url="https://flows.example/") as world:
        await world.push(document)
        await world.start("hook", "r1")

        await reached(world, "r1", ask="waiting")
        url = outputs(await world.reader.show(RunId("r1")))["mail"]
        prefix, _, token = url.rpartition("/")
        hook = await world.hooks.get(digest_of_token(token))

    assert prefix == "https://flows.example/hooks"
    assert hook is not None
    assert (hook.run_id, hook.step_id) == ("r1", "ask")


@pytest.mark.parametrize(
    ("params", "life"),
    [
        ({}, 100.0),
        ({"tokenExpires": "1h"}, 3600.0),
        ({"tokenExpires": "1h", "timeout": "1d"}, 3600.0),
        ({"tokenExpires": 0}, None),
        ({"timeout": "1d"}, None),
    ],
    ids=str,
)
async def test_a_token_expires_by_its_own_param_or_as_set_where_nothing_says_how_long_it_waits(
    params: dict[str, Any], life: float | None
) -> None:
    async with World({}, hook_token_seconds=100.0) as world:
        await world.push(blueprint("hook", {"ask": {"uses": "webhook", "params": params}}))
        await world.start("hook", "r1")
        await reached(world, "r1", ask="waiting")
        step = (await world.reader.show(RunId("r1"))).steps[0]

    assert step.waiting is not None
    assert step.started_at is not None
    assert step.waiting["token_expires_at"] == (None if life is None else step.started_at + life)


async def test_a_token_is_good_as_long_as_its_step_waits_where_no_life_is_set() -> None:
    async with World({}, hook_token_seconds=0.0) as world:
        await world.push(blueprint("hook", {"ask": "webhook"}))
        await world.start("hook", "r1")
        await reached(world, "r1", ask="waiting")
        step = (await world.reader.show(RunId("r1"))).steps[0]

    assert step.waiting == {"kind": "webhook", "timeout_action": None, "form": None, "token_expires_at": None}


async def test_a_url_of_what_is_no_webhook_is_refused() -> None:
    async def mail(ctx: NodeContext) -> str:
        return ctx.webhook_url("mail")

    async with World({"mail": mail}) as world:
        run = await world.run(blueprint("hook", {"mail": "mail"}))

    assert "no webhook node 'mail'" in (run.steps[0].reason or "")


def test_tokens_differ_by_step_and_secret_and_are_no_secret_themselves() -> None:
    tokens, others = HookTokens(b"secret", ""), HookTokens(b"other", "")
    made = {
        tokens.token_of(RunId("r"), StepId("a")),
        tokens.token_of(RunId("r"), StepId("b")),
        tokens.token_of(RunId("r"), StepId("a[2]")),
        others.token_of(RunId("r"), StepId("a")),
    }

    assert len(made) == 4
    assert all(len(token) == 32 for token in made)
    assert "secret" not in repr(tokens)


# -- wrong parameters --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uses", "params", "named"),
    [
        ("sleep", {"duration": "10x"}, "duration"),
        ("sleep", {}, "duration"),
        ("wait", {"timeout": -1}, "timeout"),
        ("batch-scatter", {"gatherNodeId": "g"}, "workerUsesKey"),
        ("map", {}, "uses"),
        ("map", {"uses": "double", "maxConcurrency": 0}, "maxConcurrency"),
        ("subflow", {}, "blueprintId"),
        ("startRun", {}, "blueprintId"),
    ],
)
async def test_a_wrong_parameter_fails_the_step_and_is_named(uses: str, params: dict[str, Any], named: str) -> None:
    async with World(NODES) as world:
        run = await world.run(blueprint("b", {"node": {"uses": uses, "params": params, "config": {"maxRetries": 3}}}))

    step = run.steps[0]
    assert run.summary.status == "failed"
    assert step.attempt == 1
    assert "'node'" in (step.reason or "")
    assert named in (step.reason or "")


async def test_a_registered_implementation_goes_before_a_built_in() -> None:
    async with World({"map": double}) as world:
        run = await world.run(blueprint("b", {"node": {"uses": "map", "inputs": "given"}}), {"given": 4})

    assert outputs(run) == {"node": 8}


# -- ids of children ---------------------------------------------------------------------------------------------------


def test_the_id_of_a_child_follows_from_its_step() -> None:
    parent = RunId("order-17")

    assert child_run_id(parent, StepId("ship")) == "order-17.ship"
    assert child_run_id(parent, StepId("ship"), attempt=2) == "order-17.ship:try2"
    assert child_run_id(parent, StepId("resize[2][17]")) == "order-17.resize:2:17"


def test_ids_of_children_always_fit_and_never_meet() -> None:
    steps = ["a.b", "a b", "a-b", "ü", "x" * 300, "outer[1].inner[3]", "ship#2", "undo~ship", "a", "a[1]", "a_1"]
    parents = ["r", "r.a", "p" * 128]
    made = [
        child_run_id(RunId(parent), StepId(step), attempt=attempt)
        for parent in parents
        for step in steps
        for attempt in (1, 2)
    ]

    assert all(is_run_id(run_id) for run_id in made)
    assert len(set(made)) == len(made)
