"""Explaining runs of a whole installation in memory: what is read, and what is said of runs that are not there."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import pytest
from support.world import World, blueprint, eventually

from famulus.engine.explaining.explainer import Explainer, NothingLive
from famulus.engine.explaining.explanation import Explanation, RunExplanation
from famulus.engine.explaining.knowledge import PartitionFacts, TurnFacts
from famulus.ids import RunId, StepId


def clock(at: float) -> str:
    return f"{at:.0f}"


def echo() -> str:
    return "said"


def a_world(**options: Any) -> World:
    return World({"echo": echo}, **options)


def explainer(world: World, **more: Any) -> Explainer:
    return Explainer(world.store, world.engines[0].catalog, world.reader, **more)


async def explained(world: World, run_id: str, **more: Any) -> RunExplanation:
    return await explainer(world, **more).explain(RunId(run_id))


async def until_kind(world: World, run_id: str, step_id: str, kind: str) -> Explanation:
    found: list[Explanation] = []

    async def is_so() -> bool:
        explanation = await explained(world, run_id)
        found[:] = [each for each in explanation.of_steps if each.step_id == step_id]
        return bool(found) and found[0].kind == kind

    await eventually(is_so)
    return found[0]


async def test_a_wait_says_since_when_as_its_event_does() -> None:
    async with a_world() as world:
        await world.push(
            blueprint("b", {"ask": {"uses": "wait", "params": {"signal": "paid"}}, "z": "echo"}, ("ask", "z"))
        )
        await world.start("b", "r")
        ask = await until_kind(world, "r", "ask", "signal")
        behind = await until_kind(world, "r", "z", "predecessors")

        (at,) = [event.at for event in await world.reader.events(RunId("r")) if event.type == "step.waiting"]
        assert ask.since == at
        assert "`ask` (waiting)" in behind.sentence(clock)


async def test_who_paused_a_run_is_read_from_its_events() -> None:
    async with a_world() as world:
        await world.push(blueprint("b", {"ask": "wait"}))
        await world.start("b", "r")
        await until_kind(world, "r", "ask", "resume")
        await world.send({"type": "command", "command": "pause", "run_id": "r", "by": "ada", "reason": "lunch"})

        async def is_paused() -> bool:
            return (await explained(world, "r")).status == "paused"

        await eventually(is_paused)
        text = (await explained(world, "r")).of_run[0].sentence(clock)

    assert text.startswith("it is paused by ada (lunch)")


async def test_a_subflow_is_explained_by_the_state_of_its_run() -> None:
    async with a_world() as world:
        await world.push(blueprint("inner", {"ask": "wait"}))
        await world.push(blueprint("b", {"sub": {"uses": "subflow", "params": {"blueprintId": "inner"}}}))
        await world.start("b", "r")
        await until_kind(world, "r.sub", "ask", "resume")

        child = await until_kind(world, "r", "sub", "child")

    assert child.details["child"] == "r.sub"
    assert child.details["child_status"] == "waiting"


async def test_a_run_that_has_ended_is_explained_without_asking_live_servers() -> None:
    class Asked(NothingLive):
        async def partition_of(self, run_id: RunId) -> PartitionFacts | None:
            raise AssertionError(run_id)

    async with a_world() as world:
        await world.run(blueprint("b", {"a": "echo"}), run_id="r")

        explanation = await explained(world, "r", live=Asked())

    assert explanation.of_run[0].kind == "ended"


async def test_a_run_that_is_not_recorded_is_said_to_be_so() -> None:
    async with a_world() as world:
        explanation = await explained(world, "nowhere")

    assert not explanation.exists
    assert explanation.as_json(clock)["run"][0]["kind"] == "unknown_run"


async def test_what_live_servers_say_is_asked_of_what_is_live() -> None:
    class Live(NothingLive):
        async def partition_of(self, run_id: RunId) -> PartitionFacts | None:
            return PartitionFacts(
                topic="jobs", partition=1, group="g", members=0, is_settled=True, is_owned=False, owner=None, unread=4
            )

        async def turns(self, uses: Sequence[str]) -> Mapping[str, TurnFacts]:
            return {name: TurnFacts(leases=("w/other/a/1",)) for name in uses}

        def registered(self, run_id: RunId) -> Container[str] | None:
            return ("echo",)

        def at_work(self, run_id: RunId) -> Container[StepId] | None:
            return ()

    async with a_world() as world:
        world.engines[0].start_no_more()  # what is due stays so
        await world.push(blueprint("b", {"a": "echo"}))
        await world.start("b", "r")

        async def is_recorded() -> bool:
            return (await explained(world, "r")).exists

        await eventually(is_recorded)
        explanation = await explained(world, "r", live=Live())

    assert [each.kind for each in explanation.of_run] == ["running", "no_owner", "lag"]
    assert explanation.of_steps[0].kind == "limit"


@pytest.mark.parametrize("value", ["recorded", "unknown"])
async def test_the_json_has_a_sentence_and_stable_words(value: str) -> None:
    async with a_world() as world:
        await world.push(blueprint("b", {"ask": "wait"}))
        await world.start("b", "recorded")
        await until_kind(world, "recorded", "ask", "resume")

        document = (await explained(world, value)).as_json(clock)

    assert set(document) == {"run_id", "status", "run", "steps", "left_out"}
    for each in [*document["run"], *document["steps"]]:
        assert each["sentence"]
        assert each["kind"]
