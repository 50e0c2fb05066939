"""Records of one run come in the order in which they lie on the topic, also when one of them is tried again."""

from __future__ import annotations

from support.faults import FaultyWorld
from support.world import blueprint, eventually, outputs

from famulus.errors import StoreUnavailableError

WAITING = blueprint("b", {"w": {"uses": "wait", "params": {"signal": "go"}}})


async def test_signal_behind_a_start_that_is_tried_again_is_no_dead_letter_and_reaches_the_run() -> None:
    world = FaultyWorld({})
    async with world:
        await world.push(WAITING)
        world.machine.before["load"] += [StoreUnavailableError("away")] * 3
        await world.start("b", "r1")
        await world.send(
            {"type": "command", "command": "signal", "run_id": "r1", "name": "go", "payload": 7, "command_id": "c"}
        )
        view = await world.ended("r1")

        assert world.bus.dead_letters == []
        assert outputs(view) == {"w": 7}


async def test_signal_behind_a_start_that_cannot_be_carried_out_is_a_dead_letter_as_the_start_is() -> None:
    world = FaultyWorld({})
    async with world:
        await world.start("no-such-blueprint", "r1")
        await world.send({"type": "command", "command": "signal", "run_id": "r1", "name": "go"})

        async def both_are_buried() -> bool:
            return len(world.bus.dead_letters) == 2

        await eventually(both_are_buried)
        assert [letter.code for letter in world.bus.dead_letters] == ["unknown_blueprint", "unknown_run"]
