"""Runs and other versions of their blueprint: what would differ, and going over where nothing does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from support.faults import FaultyWorld
from support.world import World, blueprint, eventually, outputs, statuses

from famulus.blueprint import build_graph, digest_of, parse_blueprint
from famulus.engine.commands import command_record
from famulus.engine.seals import visible_rows
from famulus.engine.versions.edges import counterparts
from famulus.engine.versions.rehearsal import lacking, rehearse
from famulus.ids import BlueprintId, RunId
from famulus.nodes import NodeContext, Result

FIRST = {"a": "give", "b": "hold", "c": "give"}
EDGES = (("a", "b"), ("b", "c"))


def version(number: str, nodes: Mapping[str, Any], *edges: Any) -> dict[str, Any]:
    return blueprint("order", nodes, *edges, metadata={"version": number})


class Shop(World):
    """`b` of a run waits until it is let go."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.calls: list[str] = []

        async def give(ctx: NodeContext) -> Any:
            self.calls.append(ctx.node_id)
            return Result(ctx.params.get("value", ctx.node_id), ctx.params.get("action"))

        async def hold(ctx: NodeContext) -> str:
            self.calls.append(ctx.node_id)
            await self.gate.wait()
            return ctx.node_id

        super().__init__({"give": give, "hold": hold, "other": give}, taken_seconds=0.01)

    async def begin(self, *, until: str = "b") -> None:
        await self.push(version("1", FIRST, *EDGES))
        await self.start("order", "r1")
        await eventually(lambda: until in self.calls)

    async def migrate(self, to: str) -> str:
        """What the run says to it: the type of the event, and why not."""
        record = command_record("migrate", RunId("r1"), by="me", command_id=f"to-{to}", given={"version": to})
        await (await self.bus.send_job(RunId("r1"), record))
        answer: list[str] = []

        async def answered() -> bool:
            for event in await self.reader.events(RunId("r1"), limit=1000):
                if event.data.get("command_id") == f"to-{to}":
                    answer[:] = [f"{event.type} {event.data.get('reason', '')}".strip()]
            return bool(answer)

        await eventually(answered)
        return answer[0]

    async def differences(self, document: Mapping[str, Any]) -> list[tuple[str, str | None]]:
        parsed = parse_blueprint(document)
        graph = build_graph(parsed, digest_of(parsed))
        found = [each async for each in rehearse(graph, self.store, self.engines[0].catalog, ended=10)]
        return [(each.kind, each.step_id) for run in found for each in run.differences]


async def test_a_run_goes_on_by_a_version_that_adds_nodes_ahead_of_it() -> None:
    async with Shop() as shop:
        await shop.begin()
        nodes = {**FIRST, "d": "give", "first": {"uses": "give", "params": {"value": 1}}}
        await shop.push(version("2", nodes, ("a", "first"), ("a", "b"), ("b", "c"), ("c", "d")))
        await shop.push(version("3", {**FIRST, "d": "give"}, ("c", "d"), *EDGES))

        assert await shop.migrate("3") == "run.migrated"
        shop.gate.set()
        view = await shop.ended("r1")

    assert statuses(view) == dict.fromkeys("abcd", "completed")
    assert (view.summary.version, view.summary.status) == ("3", "completed")
    assert sorted(shop.calls) == ["a", "b", "c", "d"]


async def test_a_version_by_which_a_node_leads_elsewhere_is_refused_and_the_run_stays() -> None:
    async with Shop() as shop:
        await shop.begin()
        await shop.push(version("2", {**FIRST, "x": "give"}, ("a", "x"), *EDGES))

        answer = await shop.migrate("2")
        shop.gate.set()
        view = await shop.ended("r1")

    assert answer.startswith("command.refused")
    assert "a: it led to b, and would lead to b, x" in answer
    assert (view.summary.version, outputs(view)) == ("1", {"a": "a", "b": "b", "c": "c"})


async def test_a_version_that_is_not_registered_is_refused() -> None:
    async with Shop() as shop:
        await shop.begin()

        assert (await shop.migrate("9")).startswith("command.refused")
        shop.gate.set()
        await shop.ended("r1")


async def test_the_same_command_twice_moves_a_run_once() -> None:
    async with Shop() as shop:
        await shop.begin()
        await shop.push(version("2", {**FIRST, "d": "give"}, *EDGES, ("c", "d")))
        await shop.migrate("2")
        await shop.migrate("2")
        record = command_record("migrate", RunId("r1"), by="me", command_id="to-2", given={"version": "2"})
        await (await shop.bus.send_job(RunId("r1"), record))
        shop.gate.set()
        await shop.ended("r1")
        events = [event.type for event in await shop.reader.events(RunId("r1"), limit=1000)]

    assert events.count("run.migrated") == 1
    assert "command.refused" not in events


async def test_a_run_goes_over_twice_and_its_rows_name_the_right_edges() -> None:
    """The edges have other places in each version; the join behind is decided from them by an owner that reads rows."""
    nodes = {"a": "give", "b": "hold", "c": "give", "join": "give"}
    one = (("a", "b"), ("a", "c"), ("b", "join"), ("c", "join"))
    shop = Shop()
    async with shop:
        await shop.push(version("1", nodes, *one))
        await shop.start("order", "r1")
        await eventually(lambda: "c" in shop.calls)
        await shop.push(version("2", {**nodes, "d": "give"}, ("join", "d"), *reversed(one)))
        await shop.push(version("3", {**nodes, "d": "give", "e": "give"}, ("d", "e"), *one, ("join", "d")))
        await shop.migrate("2")
        await shop.migrate("3")
        rows = visible_rows(await shop.store.load(RunId("r1")))
        graph = await shop.engines[0].catalog.find(BlueprintId("order"), "3")
        fired = {row.node_id: [graph.route(place).target for place in row.fired] for row in rows.steps if row.fired}
        shop.gate.set()
        view = await shop.ended("r1")

    assert fired["c"] == ["join"]
    assert sorted(fired["a"]) == ["b", "c"]
    assert statuses(view) == dict.fromkeys(["a", "b", "c", "join", "d", "e"], "completed")


async def test_a_run_that_has_gone_over_survives_its_owner() -> None:
    gate, calls = asyncio.Event(), []

    async def give(ctx: NodeContext) -> str:
        calls.append(ctx.node_id)
        return ctx.node_id

    async def hold(ctx: NodeContext) -> str:
        await gate.wait()
        return ctx.node_id

    world = FaultyWorld({"give": give, "hold": hold}, taken_seconds=0.01)
    async with world:
        await world.push(version("1", FIRST, *EDGES))
        await world.start("order", "r1")
        await eventually(lambda: "a" in calls)
        await world.push(version("2", {**FIRST, "d": "give"}, ("c", "d"), ("b", "c"), ("a", "b")))
        record = command_record("migrate", RunId("r1"), by="me", given={"version": "2"})
        await (await world.bus.send_job(RunId("r1"), record))

        async def has_moved() -> bool:
            heads = await world.store.heads([RunId("r1")])
            return heads[RunId("r1")][0].version == "2"

        await eventually(has_moved)
        await world.crash(world.engines[0])
        await world.take_over("w2")
        gate.set()
        view = await world.ended("r1")

    assert statuses(view) == dict.fromkeys("abcd", "completed")
    assert calls.count("a") == 1


# -- what a rehearsal finds ------------------------------------------------------------------------------------------


async def test_nothing_differs_where_only_what_is_ahead_changes() -> None:
    async with Shop() as shop:
        await shop.begin()

        assert await shop.differences(version("2", {**FIRST, "c": "other", "d": "give"}, *EDGES, ("b", "d"))) == []
        shop.gate.set()


@pytest.mark.parametrize(
    ("nodes", "edges", "code", "step"),
    [
        pytest.param({"b": "hold", "c": "give"}, [("b", "c")], "gone", "a", id="a node that has run is not there"),
        pytest.param(FIRST, [("a", "c"), ("b", "c")], "rerouted", "a", id="it leads elsewhere"),
        pytest.param({**FIRST, "s": "give"}, EDGES, "starts", "s", id="a node that nothing leads to begins at once"),
        pytest.param(
            {**FIRST, "more": {"uses": "loop-controller", "params": {"condition": "again"}}},
            [*EDGES, ("c", "more"), ("more", "a", {"action": "continue"})],
            "renamed",
            "a",
            id="it lies in a loop",
        ),
    ],
)
async def test_what_would_differ_is_named_with_its_step(nodes: Any, edges: Any, code: str, step: str) -> None:
    async with Shop() as shop:
        await shop.begin()

        found = await shop.differences(version("2", nodes, *edges))
        shop.gate.set()

    assert (code, step) in found


async def test_a_step_that_waits_keeps_what_it_waits_for() -> None:
    nodes = {"a": "give", "w": {"uses": "wait", "params": {"signal": "go"}}}
    async with Shop() as shop:
        await shop.push(version("1", nodes, ("a", "w")))
        await shop.start("order", "r1")

        async def waits() -> bool:
            heads = await shop.store.heads([RunId("r1")])
            return RunId("r1") in heads and heads[RunId("r1")][1].status == "waiting"

        await eventually(waits)
        other = {**nodes, "w": {"uses": "wait", "params": {"signal": "stop"}}}

        assert await shop.differences(version("2", other, ("a", "w"))) == [("changed", "w")]


async def test_of_a_run_that_has_ended_is_told_what_it_would_go_on_with() -> None:
    async with Shop() as shop:
        shop.gate.set()
        await shop.begin()
        await shop.ended("r1")

        assert await shop.differences(version("2", {**FIRST, "d": "give"}, *EDGES, ("c", "d"))) == [("rerouted", "c")]
        assert await shop.differences(version("2", {**FIRST, "c": "other"}, *EDGES)) == []


def test_names_that_nobody_has_are_listed_with_their_nodes() -> None:
    document = version("2", {"a": "give", "b": "mine", "m": {"uses": "map", "params": {"uses": "mine"}}}, ("a", "b"))

    assert lacking(parse_blueprint(document), {"give", "map"}) == {"mine": ["b", "m"]}


def test_two_edges_never_have_one_counterpart() -> None:
    def edges(*given: Any) -> Any:
        return parse_blueprint(version("1", {"a": "give", "b": "give"}, *given))

    old = edges(("a", "b", {"action": "x"}), ("a", "b", {"action": "y"}), ("a", "b"))
    new = edges(("a", "b"), ("a", "b", {"action": "y"}), ("a", "b", {"action": "x", "condition": "k"}))

    assert counterparts(old, new) == (2, 1, 0)
