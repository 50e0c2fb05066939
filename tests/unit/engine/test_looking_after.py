"""The owner looks after open runs that nobody tells it of: after an assignment, and from time to time."""

from __future__ import annotations

import asyncio

import pytest
from support.faults import FaultyWorld
from support.world import blueprint, eventually

from famulus.errors import BusUnavailableError, OwnershipLostError, StoreUnavailableError
from famulus.ids import RunId

CHAIN = blueprint("chain", {"a": "hold", "b": "hold"}, ("a", "b"))


def a_world() -> FaultyWorld:
    return FaultyWorld({"hold": hold}, announce_seconds=0.0, taken_seconds=0.005, handover_seconds=0.01)


async def an_open_run(world: FaultyWorld) -> None:
    """A run in the rows that no record tells of any more, and that no engine has in memory."""
    await world.push(CHAIN)
    await world.start("chain", "r")
    await eventually(lambda: world.engines[0].counts["handed_over"] > 0 and not world.handling)
    session = world.engines[0].runs.live(RunId("r"))
    assert session is not None
    session.close()


async def hold() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("call", "error"),
    [("load", StoreUnavailableError("away")), ("send_job", BusUnavailableError("away"))],
)
async def test_a_server_that_is_away_while_open_runs_are_looked_after_is_said_as_such(
    call: str, error: Exception
) -> None:
    async with a_world() as world:
        await an_open_run(world)
        world.machine.before[call].append(error)

        with pytest.raises(type(error)):
            await world.engines[0].recovery.look_after_open_runs()


async def test_losing_the_partitions_while_open_runs_are_looked_after_is_said_as_such() -> None:
    async with a_world() as world:
        await an_open_run(world)
        engine = world.engines[0]
        world.machine.on_call = lambda name: engine.revoked() if name == "load" else None

        with pytest.raises(OwnershipLostError):
            await engine.recovery.look_after_open_runs()


@pytest.mark.parametrize("call", ["load", "send_job"])
async def test_a_new_owner_looks_after_open_runs_until_it_has_them_all(call: str) -> None:
    async with a_world() as world:
        await an_open_run(world)
        await world.crash(world.engines[0])
        owner = world.engine("w2")
        errors = {"load": StoreUnavailableError, "send_job": BusUnavailableError}
        world.machines[owner].before[call].append(errors[call]("away"))

        world.assign(owner, world.partitions)

        await eventually(lambda: owner.runs.live(RunId("r")) is not None)


async def test_a_run_that_cannot_be_loaded_now_keeps_no_other_from_being_looked_after() -> None:
    world = a_world()
    world.options["loads_at_once"] = 1
    async with world:
        await world.push(CHAIN)
        runs = [RunId(f"r{i}") for i in range(5)]
        for run_id in runs:
            await world.start("chain", run_id)
        engine = world.engines[0]
        await eventually(lambda: engine.counts["handed_over"] >= 5 and not world.handling)
        for run_id in runs:
            session = engine.runs.live(run_id)
            assert session is not None
            session.close()
        world.machine.before["load"].append(StoreUnavailableError("a replica is away"))

        with pytest.raises(StoreUnavailableError):
            await engine.recovery.look_after_open_runs()

        assert sum(engine.runs.live(run_id) is not None for run_id in runs) == 4


async def test_an_owner_whose_epoch_fails_in_a_way_that_nobody_foresaw_asks_again() -> None:
    async with a_world() as world:
        owner = world.engine("w2")
        world.machines[owner].before["take"].append(ValueError("a driver's bug"))

        world.assign(owner, world.partitions)

        await eventually(lambda: owner.runs.tenure.has_begun)
