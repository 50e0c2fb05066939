"""Records that must be signed (FAMULUS_RECORD_KEY): what is not is a dead letter, and changes nothing."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import msgspec
import pytest
from support.world import World, blueprint, eventually

from famulus.engine.records import start_record
from famulus.errors import SettingsError
from famulus.ids import BlueprintId, RunId
from famulus.security.signing import SIGNATURE, Signatures, SignedBus
from famulus.settings import Settings

KEY, OLD, OTHER = b"the key of a test", b"the one before it", b"somebody else's"
CHAIN = blueprint("chain", {"a": "echo", "b": "echo"}, ("a", "b"))
SPREAD = blueprint("spread", {"all": {"uses": "map", "inputs": "n", "params": {"uses": "echo", "spread": True}}})


def echo() -> int:
    return 1


def a_world(*keys: bytes) -> World:
    return World({"echo": echo}, signatures=Signatures(keys or (KEY,)))


async def put(world: World, run_id: str, blueprint_id: str, given: dict[str, Any], *keys: bytes) -> None:
    """A start by whoever has these keys; with none, by anybody."""
    bus: Any = SignedBus(world.bus, Signatures(keys)) if keys else world.bus
    await (await bus.send_job(RunId(run_id), start_record(RunId(run_id), BlueprintId(blueprint_id), input=given)))


async def test_runs_go_on_by_records_that_workers_sign() -> None:
    async with a_world() as world:
        await world.push(CHAIN)
        await world.push(SPREAD)
        await put(world, "r1", "chain", {}, KEY)
        await put(world, "r2", "spread", {"n": [1, 2, 3]}, KEY)
        chain, spread = await world.ended("r1"), await world.ended("r2")

    assert (chain.summary.status, spread.summary.status) == ("completed", "completed")
    assert not world.bus.dead_letters
    records = [record for topic in (world.bus.jobs, world.bus.items) for part in topic for record in part]
    assert {len([name for name, _ in record.headers if name == SIGNATURE]) for record in records} == {1}
    assert any(record.topic == "items" for record in records)


@pytest.mark.parametrize("keys", [(), (OTHER,)])
async def test_a_start_without_the_right_signature_is_a_dead_letter(keys: tuple[bytes, ...]) -> None:
    async with a_world() as world:
        await world.push(CHAIN)
        await put(world, "forged", "chain", {}, *keys)
        await eventually(lambda: bool(world.bus.dead_letters))
        await put(world, "good", "chain", {}, KEY)
        await world.ended("good")
        heads = await world.store.heads([RunId("forged")])

    assert [letter.code for letter in world.bus.dead_letters] == ["bad_signature"]
    assert "FAMULUS_RECORD_KEY" in world.bus.dead_letters[0].reason or keys
    assert not heads


@pytest.mark.parametrize("changed", ["key", "value"])
async def test_a_signature_is_worth_nothing_on_another_record(changed: str) -> None:
    signature = Signatures((KEY,)).sign(b"r1", b'{"run_id": "r1", "blueprint_id": "chain"}')
    key, value = (
        (b"r2", b'{"run_id": "r1", "blueprint_id": "chain"}')
        if changed == "key"
        else (
            b"r1",
            b'{"run_id": "r1", "blueprint_id": "spread"}',
        )
    )
    async with a_world() as world:
        await world.push(CHAIN)
        world.bus.append_job(world.bus.partition_of(RunId("r1")), key, value, headers=[(SIGNATURE, signature)])
        await eventually(lambda: bool(world.bus.dead_letters))

    assert [letter.code for letter in world.bus.dead_letters] == ["bad_signature"]


async def test_an_item_without_a_signature_is_a_dead_letter() -> None:
    async with a_world() as world:
        await world.bus.send_item("r1/all[0]", msgspec.json.encode({"type": "item"}))
        await eventually(lambda: bool(world.bus.dead_letters))

    assert [letter.code for letter in world.bus.dead_letters] == ["bad_signature"]


async def test_a_record_on_a_wrong_partition_is_signed_again_when_it_is_sent_on() -> None:
    value = start_record(RunId("r1"), BlueprintId("chain"), input={})
    async with a_world() as world:
        await world.push(CHAIN)
        wrong = (world.bus.partition_of(RunId("r1")) + 1) % 4
        signature = Signatures((KEY,)).sign(b"another key", value)
        world.bus.append_job(wrong, b"another key", value, headers=[(SIGNATURE, signature)])

        assert (await world.ended("r1")).summary.status == "completed"


async def test_keys_are_exchanged_one_after_the_other() -> None:
    async with a_world(KEY, OLD) as world:
        await world.push(CHAIN)
        await put(world, "by-the-old", "chain", {}, OLD)
        await put(world, "by-the-new", "chain", {}, KEY, OLD)

        assert (await world.ended("by-the-old")).summary.status == "completed"
        assert (await world.ended("by-the-new")).summary.status == "completed"


async def test_a_dead_letter_that_is_sent_again_by_whoever_has_the_key_is_signed() -> None:
    async with a_world() as world:
        await world.push(CHAIN)
        await put(world, "r1", "chain", {})
        await eventually(lambda: bool(world.bus.dead_letters))
        record = world.bus.dead_letters[0].record

        bus = SignedBus(world.bus, Signatures((KEY,)))
        await bus.send_again("jobs", record.key, record.value, record.headers)

        assert (await world.ended("r1")).summary.status == "completed"


def test_the_signature_is_what_the_reference_says() -> None:
    """Other programs compute it too."""
    expected = hmac.new(KEY, b'2:r1{"run_id": "r1"}', hashlib.sha256).hexdigest()

    assert Signatures((KEY,)).sign(b"r1", b'{"run_id": "r1"}') == f"v1={expected}".encode()


def test_a_key_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(SettingsError, match="FAMULUS_RECORD_KEY") as raised:
        Settings.load(record_key="long enough for all, short")

    assert "short" not in str(raised.value)
