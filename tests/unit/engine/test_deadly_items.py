"""Items that end the process of whichever worker runs them: counted by their owner, and set aside in the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from support.faults import FaultyWorld
from support.world import blueprint, eventually

from famulus.adapters.memory.murmur2 import partition_for
from famulus.ids import RunId
from famulus.nodes import NodeContext

if TYPE_CHECKING:
    from famulus.engine.engine import Engine
    from famulus.engine.reading import StepView

BUDGET = 3
CULPRIT = 3


class Deadly:
    """The culprit ends the first process that it runs in, the others come to their end."""

    def __init__(self) -> None:
        self.starts: Counter[int] = Counter()
        self.has_killed: asyncio.Queue[None] = asyncio.Queue()
        self.is_mended = False

    async def item(self, ctx: NodeContext) -> Any:
        self.starts[ctx.input] += 1
        if ctx.input == CULPRIT and not self.is_mended:
            self.has_killed.put_nowait(None)
            await asyncio.Event().wait()
        return ctx.input


def spread(count: int) -> dict[str, Any]:
    each = {"uses": "map", "params": {"uses": "item", "spread": True}}
    return blueprint("big", {"begin": {"uses": "give", "params": {"count": count}}, "each": each}, ("begin", "each"))


def world_of(deadly: Deadly, **options: Any) -> FaultyWorld:
    async def item(ctx: NodeContext) -> Any:
        return await deadly.item(ctx)

    async def give(ctx: NodeContext) -> Any:
        return list(range(ctx.params["count"]))

    return FaultyWorld({"give": give, "item": item}, crash_budget=BUDGET, **options)


async def items_of(world: FaultyWorld) -> dict[str, StepView]:
    steps = [step for _, step in await world.reader.steps(RunId("r1"), limit=1000)]
    return {step.step_id: step for step in steps if step.item is not None}


async def is_settled(world: FaultyWorld) -> bool:
    steps = await items_of(world)
    statuses = Counter(str(step.status) for step in steps.values())
    return statuses == {"completed": 9, "parked": 1}


def holder(world: FaultyWorld) -> Engine:
    """Who has the culprit in hand."""
    holders = [e for e in world.engines if any(key[1] == f"each[{CULPRIT}]" for key in e.items.attempts._running)]
    return holders[-1]


async def die(world: FaultyWorld, deadly: Deadly) -> None:
    """Whoever has the culprit goes without a word; another one takes its partitions."""
    await asyncio.wait_for(deadly.has_killed.get(), 10)
    dead = holder(world)
    had = [partition for partition, owner in world._owners.items() if owner is dead]
    await world.crash(dead)
    dead.items.attempts._running.clear()
    heir = world.engine(f"w{len(world.engines) + 1}")
    world.assign(heir, had)


async def test_an_item_under_which_its_owner_dies_again_and_again_is_parked_and_the_others_complete() -> None:
    deadly = Deadly()
    async with world_of(deadly) as world:
        await world.push(spread(10))
        await world.start("big", "r1")
        for _ in range(BUDGET + 3):
            await die(world, deadly)

        await eventually(lambda: is_settled(world))
        steps = await items_of(world)
        assert steps[f"each[{CULPRIT}]"].status == "parked"
        assert "FAMULUS_CRASH_BUDGET" in (steps[f"each[{CULPRIT}]"].reason or "")
        assert deadly.starts[CULPRIT] == BUDGET + 3


async def test_an_item_under_which_other_workers_die_is_parked_by_its_owner_and_can_be_tried_again() -> None:
    deadly = Deadly()
    async with world_of(deadly) as world:
        owner, other = world.engines[0], world.engine("w2")
        mine = world.bus.partition_of(RunId("r1"))
        world.assign(owner, [mine])
        world.assign(other, [partition for partition in world.partitions if partition != mine])
        send = world.bus.send_item

        async def elsewhere(key: str, value: bytes, *, beyond: int = 0) -> Any:
            while partition_for(key.encode(), len(world.partitions)) == mine:
                key += "x"
            return await send(key, value, beyond=beyond)

        world.bus.send_item = elsewhere  # type: ignore[method-assign]
        await world.push(spread(10))
        await world.start("big", "r1")
        for _ in range(BUDGET + 3):
            await die(world, deadly)

        await eventually(lambda: is_settled(world))
        assert owner.partitions == {mine}
        assert deadly.starts[CULPRIT] == BUDGET + 3
        deadly.is_mended = True
        await world.send({"type": "command", "command": "retry", "run_id": "r1", "by": "ada"})
        run = await world.ended("r1")

    assert run.summary.status == "completed"


async def test_items_that_are_handed_over_and_fall_silent_are_counted_too() -> None:
    deadly = Deadly()
    options = {"item_patience_seconds": 0.5, "taken_seconds": 0.01, "handover_seconds": 0.02}
    async with world_of(deadly, **options) as world:
        await world.push(spread(10))
        await world.start("big", "r1")
        owner = world.engines[0]
        for _ in range(BUDGET + 3):
            await asyncio.wait_for(deadly.has_killed.get(), 10)
            began = owner.counts["handed_over"]
            await eventually(lambda began=began: owner.desk.out == 1 and owner.counts["handed_over"] >= began)
            await eventually(lambda: next(iter(owner.desk._out.values())).ran is not None)
            await owner.items.attempts.cancel_all()  # its record is acknowledged, and nobody tells of it any more

        await eventually(lambda: is_settled(world))


async def test_nothing_is_counted_for_items_of_workers_that_live() -> None:
    deadly = Deadly()
    deadly.is_mended = True
    async with world_of(deadly) as world:
        await world.push(spread(10))
        await world.start("big", "r1")
        run = await world.ended("r1")
        events = await world.events_of("r1")

    assert run.summary.status == "completed"
    assert "step.inherited" not in {event["type"] for event in events}
