"""Values that are too large for a row or a record."""

from __future__ import annotations

import msgspec
import pytest
from support.faults import FaultyWorld
from support.world import World, blueprint, eventually, outputs

from famulus.adapters.memory import MemoryBlobStore, MemoryBus
from famulus.engine.claims import (
    LARGE_KEY,
    MARK,
    PIECE_BYTES,
    ClaimedRecord,
    ClaimingBus,
    ClaimingRuns,
    Claims,
    is_large,
)
from famulus.engine.execution import ExecutionLimits
from famulus.engine.records import start_record
from famulus.errors import OutputError, StoreUnavailableError
from famulus.ids import BlueprintId, RunId
from famulus.nodes import NodeContext

LARGE = 3 * PIECE_BYTES
BLUEPRINT = blueprint("sizes", {"make": "make", "measure": "measure"}, ("make", "measure"))


async def make(ctx: NodeContext) -> str:
    await ctx.set("copy", "c" * LARGE)
    await ctx.set("small", "s")
    return "x" * LARGE


async def measure(ctx: NodeContext) -> dict[str, int]:
    copy = await ctx.get("copy")
    return {"output": len(ctx.input), "copy": len(copy)}


class Kept:
    """The stores of a world, with values above 1,000 bytes kept apart."""

    def __init__(self, world: World) -> None:
        self.blobs = MemoryBlobStore()
        self.rows = world.store
        self.claims = Claims(self.blobs)
        world.store = ClaimingRuns(world.store, self.claims, above_bytes=1000)

    async def row_bytes(self, run_id: str) -> int:
        rows = await self.rows.load(RunId(run_id))
        values = [rows.birth.input, *(row.output for row in rows.steps), *(row.value for row in rows.context)]
        return max(len(value or b"") for value in values)


async def test_no_row_holds_a_large_value_and_nodes_get_it_whole() -> None:
    world = World({"make": make, "measure": measure})
    kept = Kept(world)
    async with world:
        view = await world.run(BLUEPRINT)

        assert outputs(view)["measure"] == {"output": LARGE, "copy": LARGE}
        assert await kept.row_bytes("r1") < 1000
        assert sum(len(piece) for piece in kept.blobs.pieces.values()) == 2 * (LARGE + 2)


async def test_who_looks_is_told_the_size_and_who_asks_gets_the_value() -> None:
    world = World({"make": make, "measure": measure})
    Kept(world)
    async with world:
        view = await world.run(BLUEPRINT)

        assert is_large(outputs(view)["make"])
        assert view.context["copy"][LARGE_KEY]["bytes"] == LARGE + 2
        assert view.context["small"] == "s"
        whole = await world.reader.values(RunId("r1"), ["copy", "make"])
        assert {key: len(value) for key, value in whole.items()} == {"copy": LARGE, "make": LARGE}


async def test_the_next_owner_has_the_values_whole() -> None:
    seen: list[int] = []

    async def slow(ctx: NodeContext) -> int:
        seen.append(len(ctx.input))
        if len(seen) == 1:
            raise ConnectionError
        return len(await ctx.get("copy"))

    document = blueprint(
        "sizes",
        {"make": "make", "measure": {"uses": "measure", "config": {"maxRetries": 2, "retryDelay": 50}}},
        ("make", "measure"),
    )
    world = FaultyWorld({"make": make, "measure": slow}, timer_in_memory_seconds=0.01)
    kept = Kept(world)
    async with world:
        await world.push(document)
        await world.start("sizes", "r1")
        view = await world.ended("r1")

        assert outputs(view)["measure"] == LARGE
        assert seen == [LARGE, LARGE]
        assert await kept.row_bytes("r1") < 1000


async def test_a_value_with_a_missing_piece_is_an_error_that_may_pass() -> None:
    world = World({"make": make, "measure": measure})
    kept = Kept(world)
    async with world:
        await world.run(BLUEPRINT)
        kept.blobs.pieces.popitem()

        with pytest.raises(StoreUnavailableError, match="SHA-256"):
            await world.store.load(RunId("r1"))


async def test_a_value_above_the_limit_fails_its_step_and_says_so() -> None:
    world = World({"make": make, "measure": measure}, execution=ExecutionLimits(value_bytes=LARGE - 1))
    Kept(world)
    async with world:
        view = await world.run(BLUEPRINT)

    assert view.summary.status == "failed"
    assert "FAMULUS_MAX_VALUE_BYTES" in view.steps[0].error["message"]


async def test_a_value_that_is_stored_again_is_stored_once() -> None:
    blobs = MemoryBlobStore()
    one, other = Claims(blobs), Claims(blobs)

    claim = await one.put(RunId("r1"), b"v" * LARGE)

    assert await other.put(RunId("r1"), b"v" * LARGE) == claim
    assert len(blobs.pieces) == LARGE // PIECE_BYTES
    assert await other.get(claim) == b"v" * LARGE


async def test_a_store_that_is_busy_for_a_moment_is_asked_again() -> None:
    class Busy(MemoryBlobStore):
        refusals = 3

        async def put(self, run_id: RunId, digest: str, index: int, piece: bytes) -> None:
            self.refusals -= 1
            if self.refusals >= 0:
                raise StoreUnavailableError("busy")
            await super().put(run_id, digest, index, piece)

    blobs = Busy()
    claims = Claims(blobs)

    claim = await claims.put(RunId("r1"), b"v" * LARGE)

    assert await claims.get(claim) == b"v" * LARGE


# -- records -----------------------------------------------------------------------------------------------------------


class Apart:
    """Records above 2,000 bytes are kept apart."""

    def __init__(self, world: World) -> None:
        self.blobs = MemoryBlobStore()
        self.claims = world.claims = Claims(self.blobs)
        self.bus = ClaimingBus(world.bus, self.claims, above_bytes=2000, max_bytes=10 * LARGE)


async def told(world: World) -> str:
    """The code of the first dead letter."""
    await eventually(lambda: len(world.bus.dead_letters) == 1)
    return world.bus.dead_letters[0].code


async def test_a_start_that_is_too_large_for_the_topic_starts_its_run() -> None:
    world = World({"measure": measure_input}, max_record_bytes=2000, max_claimed_bytes=10 * LARGE)
    apart = Apart(world)
    async with world:
        await world.push(blueprint("one", {"measure": "measure"}))
        record = start_record(RunId("r1"), BlueprintId("one"), input={"text": "t" * LARGE})
        await (await apart.bus.send_job(RunId("r1"), record))
        view = await world.ended("r1")

    assert outputs(view) == {"measure": LARGE}


async def test_a_claim_that_nothing_stands_behind_is_a_dead_letter() -> None:
    world = World({}, max_claimed_bytes=LARGE)
    apart = Apart(world)
    async with world:
        claim = await apart.claims.put(RunId("r1"), b"{}")
        apart.blobs.pieces.clear()
        await world.send(msgspec.to_builtins(ClaimedRecord(run_id="r1", claim=claim)))

        assert await told(world) == "claim_missing"


async def test_a_claim_of_another_run_is_a_dead_letter() -> None:
    world = World({}, max_claimed_bytes=LARGE)
    apart = Apart(world)
    async with world:
        claim = await apart.claims.put(RunId("r2"), b'{"run_id": "r2", "blueprint_id": "one"}')
        await world.send(msgspec.to_builtins(ClaimedRecord(run_id="r1", claim=claim)))

        assert await told(world) == "wrong_claim"


async def test_a_record_above_every_limit_is_refused_by_its_sender() -> None:
    bus = ClaimingBus(MemoryBus(partitions=1), Claims(MemoryBlobStore()), above_bytes=10, max_bytes=100)

    with pytest.raises(OutputError, match="FAMULUS_MAX_VALUE_BYTES"):
        await bus.send_job(RunId("r1"), b"x" * 101)


async def measure_input(ctx: NodeContext) -> int:
    return len(await ctx.get("text"))


def test_no_json_begins_with_the_mark_of_a_claim() -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(MARK + b"{}")
