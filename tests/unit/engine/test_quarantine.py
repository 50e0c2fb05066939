"""A step that ends its process: found due by one owner after the other, until it is set aside. In one process."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from support.world import World, blueprint, eventually, statuses

from famulus.ids import RunId, StepId

if TYPE_CHECKING:
    from famulus.engine.engine import Engine
    from famulus.flow.suspicion import Suspicion

RUN = "r1"
ONE = blueprint("one", {"a": "t.deadly"})


class Deadly:
    """Code that never returns in any owner that is said to have died with it."""

    def __init__(self) -> None:
        self.starts: Counter[str] = Counter()
        self.is_mended = False

    async def __call__(self, ctx: Any) -> str:
        self.starts[ctx.run_id] += 1
        if not self.is_mended:
            await asyncio.Event().wait()
        return "mended"


@pytest.fixture
def deadly() -> Deadly:
    return Deadly()


def world_of(deadly: Deadly, **options: Any) -> World:
    async def run(ctx: Any) -> str:
        return await deadly(ctx)

    run.__annotations__ = {}
    return World({"t.deadly": run}, crash_budget=3, **options)


def die(world: World) -> Engine:
    """The newest owner goes without a word; another one takes its partitions."""
    world.engines[-1].revoked()
    world.engines[-1].start_no_more()
    engine = world.engine(f"w{len(world.engines) + 1}")
    engine.assigned(range(len(world.bus.jobs)))
    return engine


async def held(world: World, run_id: str = RUN) -> Suspicion | None:
    session = world.engines[-1].runs.live(RunId(run_id))
    step = None if session is None else session.run.steps.get(StepId("a"))
    return None if step is None else step.suspicion


async def started(world: World, deadly: Deadly, times: int, run_id: str = RUN) -> None:
    await eventually(lambda: deadly.starts[run_id] == times)


async def die_until_parked(world: World, deadly: Deadly) -> None:
    """Six owners die under the only step of the run; the next one sets it aside."""
    await world.push(ONE)
    await world.start("one", RUN)
    for deaths in range(6):
        await started(world, deadly, deaths + 1)
        die(world)

    async def is_parked() -> bool:
        return statuses(await world.reader.show(RunId(RUN))) == {"a": "parked"}

    await eventually(is_parked)


async def test_a_step_under_which_every_owner_dies_is_parked_with_the_reason(deadly: Deadly) -> None:
    async with world_of(deadly) as world:
        await die_until_parked(world, deadly)
        (step,) = (await world.reader.show(RunId(RUN))).steps
        assert deadly.starts[RUN] == 6
        assert "3 times while it ran alone in quarantine" in (step.reason or "")
        assert "FAMULUS_CRASH_BUDGET" in (step.reason or "")


async def test_a_step_runs_freely_first_then_with_others_and_then_alone(deadly: Deadly) -> None:
    async with world_of(deadly) as world:
        await world.push(ONE)
        await world.start("one", RUN)
        seen = []
        for deaths in range(4):
            await started(world, deadly, deaths + 1)
            known = await held(world)
            seen.append(None if known is None else (known.is_suspect, known.is_alone, known.marked_by is not None))
            die(world)

        assert seen == [None, (False, False, False), (True, False, True), (True, True, True)]


async def test_nothing_is_written_for_steps_that_nobody_has_inherited(deadly: Deadly) -> None:
    async with world_of(deadly) as world:
        await world.push(ONE)
        await world.start("one", RUN)
        await started(world, deadly, 1)

        rows = await world.store.load(RunId(RUN))

        assert rows.steps == [] or list(rows.steps) == []


async def test_owners_that_say_that_they_are_alive_spend_nothing(deadly: Deadly) -> None:
    async with world_of(deadly) as world:
        await world.push(ONE)
        await world.start("one", RUN)
        for handed_over in range(8):
            await started(world, deadly, handed_over + 1)
            await world.engines[-1].say_alive()
            die(world)

        await started(world, deadly, 9)
        known = await held(world)
        assert known is not None
        assert known.crashes == 0


async def test_a_step_that_has_lasted_in_quarantine_is_let_out_of_it(deadly: Deadly) -> None:
    async with world_of(deadly, quarantine_seconds=0.05) as world:
        await world.push(ONE)
        await world.start("one", RUN)
        for deaths in range(2):
            await started(world, deadly, deaths + 1)
            die(world)
        await started(world, deadly, 3)

        async def is_released() -> bool:
            known = await held(world)
            return known is not None and known.releases == 1

        await eventually(is_released)
        known = await held(world)
        assert known is not None
        assert (known.inherited, known.marked_by) == (0, None)


async def test_only_one_of_those_that_run_alone_runs_at_a_time(deadly: Deadly) -> None:
    async with world_of(deadly) as world:
        await world.push(ONE)
        for name in ("x", "y"):
            await world.start("one", name)
        for deaths in range(3):
            await eventually(lambda deaths=deaths: min(deadly.starts["x"], deadly.starts["y"]) == deaths + 1)
            die(world)

        await eventually(lambda: deadly.starts["x"] + deadly.starts["y"] == 7)
        one_waits = min(deadly.starts["x"], deadly.starts["y"]) == 3
        deadly.is_mended = True
        assert one_waits


async def test_what_waited_for_its_turn_has_not_run_and_is_not_held_for_worse(deadly: Deadly) -> None:
    async with world_of(deadly) as world:
        await world.push(ONE)
        for name in ("x", "y"):
            await world.start("one", name)
        for deaths in range(3):
            await eventually(lambda deaths=deaths: min(deadly.starts["x"], deadly.starts["y"]) == deaths + 1)
            die(world)
        await eventually(lambda: deadly.starts["x"] + deadly.starts["y"] == 7)
        waited = "x" if deadly.starts["x"] == 3 else "y"
        die(world)
        await eventually(lambda: deadly.starts["x"] + deadly.starts["y"] == 8)

        known = await held(world, waited)

        assert known is not None
        assert known.crashes == 0


async def test_a_parked_step_that_is_tried_again_has_its_whole_budget(deadly: Deadly) -> None:
    async with world_of(deadly) as world:
        await die_until_parked(world, deadly)
        die(world)
        await eventually(lambda: world.engines[-1].runs.live(RunId(RUN)) is not None)
        assert statuses(await world.reader.show(RunId(RUN))) == {"a": "parked"}
        deadly.is_mended = True
        await world.send({"type": "command", "command": "retry", "run_id": RUN, "by": "test"})

        view = await world.ended(RUN)

        assert view.summary.status == "completed"
        assert view.steps[0].output == "mended"
