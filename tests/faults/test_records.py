"""Rows 11 and 29: whatever bytes lie on the topic, and fields that only a later version knows."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from support.installation import END_SECONDS, PARTITIONS, start_json
from support.world import eventually

from famulus.adapters.memory.murmur2 import partition_for

if TYPE_CHECKING:
    from support.faulty import Rig

pytestmark = pytest.mark.slow

RECORDS = 600
PIECES = (
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b",",
    b":",
    b"\\u0000",
    b"\x00",
    b"\xff\xfe",
    b"1e999",
    b"-",
    b"null",
    b"NaN",
    b"[" * 500,
)
FIELDS = (
    "type",
    "run_id",
    "blueprint_id",
    "input",
    "version",
    "step_id",
    "attempt",
    "command",
    "signal",
    "at",
    "items",
    "x",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    1e308,
    "",
    "x" * 3000,
    [],
    {},
    [[[]]],
    {"a": {"b": 1}},
    "step",
    "command",
    "start",
)


def fuzzed(chance: random.Random) -> tuple[bytes | None, bytes | None]:
    """Key and value of a record that nobody meant to send."""
    key = chance.choice([None, b"", b"\xff", b"fuzz", chance.randbytes(chance.randrange(300))])
    good = start_json(f"fuzz-{chance.randrange(10**9)}", "one")
    match chance.randrange(4):
        case 0:
            return key, chance.randbytes(chance.randrange(200))
        case 1:
            at = chance.randrange(len(good))
            return key, good[:at] + chance.choice(PIECES) + good[at + chance.randrange(3) :]
        case 2:
            return key, good[: chance.randrange(len(good))]
        case _:
            fields = {chance.choice(FIELDS): chance.choice(VALUES) for _ in range(chance.randrange(6))}
            return key, json.dumps(fields).encode()


async def test_no_bytes_hold_up_a_partition(own_rig: Rig) -> None:
    (worker,) = await own_rig.start_workers(1)
    seed = random.SystemRandom().randrange(10**6)
    print("seed", seed)
    chance = random.Random(seed)

    async with own_rig.installation.producer() as producer:
        for number in range(RECORDS):
            key, value = fuzzed(chance)
            headers = [("h", chance.randbytes(5))] * chance.randrange(3)
            await producer.send(
                own_rig.installation.jobs, value, key=key or b"k", partition=number % PARTITIONS, headers=headers
            )
        await producer.flush()

    await own_rig.recovers(await own_rig.installation.start_runs(20))
    await eventually(lambda: all_committed(own_rig), within=END_SECONDS, every=0.3)
    assert [line for line in worker.problems() if "Traceback" in line] == []


async def all_committed(rig: Rig) -> bool:
    """Whether every record is finished and committed.

    Tansu may tell an end that lies before the last records until the next one is written.
    """
    jobs = [TopicPartition(rig.installation.jobs, partition) for partition in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=rig.installation.servers["KAFKA_BROKERS"],
        group_id=rig.installation.name,
        enable_auto_commit=False,
    )
    async with consumer:
        consumer.assign(jobs)
        ends = await consumer.end_offsets(jobs)
        return all([ends[place] <= (await consumer.committed(place) or 0) for place in jobs])


async def test_fields_that_a_later_version_adds_are_kept_and_hinder_nothing(own_rig: Rig) -> None:
    """On a wrong partition, so that the worker has to send the record on."""
    await own_rig.start_workers(1)
    run_id = f"later-{uuid.uuid4().hex[:8]}"
    value = start_json(run_id, "fan10", x_later={"a": [1]}, schema=99)
    right = partition_for(run_id.encode(), PARTITIONS)

    async with own_rig.installation.producer() as producer:
        await producer.send_and_wait(
            own_rig.installation.jobs,
            value,
            key=run_id.encode(),
            partition=(right + 1) % PARTITIONS,
            headers=[("x-later", b"1")],
        )

    await own_rig.installation.all_completed([run_id])
    passed_on = await first_record(own_rig, right, run_id.encode())
    assert json.loads(passed_on.value).items() >= json.loads(value).items()
    assert ("x-later", b"1") in passed_on.headers


async def first_record(rig: Rig, partition: int, key: bytes) -> Any:
    place = TopicPartition(rig.installation.jobs, partition)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=rig.installation.servers["KAFKA_BROKERS"],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    async with consumer, asyncio.timeout(END_SECONDS):
        consumer.assign([place])
        while (record := await consumer.getone()).key != key:
            pass
        return record
