"""What every bus promises; see `famulus.ports.Bus`. And how the one in memory hands its records out."""

from __future__ import annotations

import asyncio
import os

import pytest
from aiokafka.partitioner import murmur2 as kafka_murmur2

from famulus.adapters.memory import MemoryBus
from famulus.errors import InputError
from famulus.ids import RunId
from famulus.ports import Record


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(partitions=4, now=lambda: 17.5)


async def test_a_job_is_a_record_of_the_runs_partition(bus: MemoryBus) -> None:
    run_id = RunId("run-1")

    acknowledged = await bus.send_job(run_id, b'{"step":"review"}', headers=[("epoch", b"3")])

    await acknowledged
    assert bus.take_job() == Record(
        topic="jobs",
        partition=bus.partition_of(run_id),
        offset=0,
        key=b"run-1",
        value=b'{"step":"review"}',
        headers=(("epoch", b"3"),),
        timestamp=17.5,
    )
    assert bus.take_job() is None


async def test_jobs_of_a_run_keep_their_order(bus: MemoryBus) -> None:
    for number in range(5):
        await bus.send_job(RunId("run-1"), str(number).encode())
        await bus.send_job(RunId("run-2"), b"other")

    partition = bus.jobs[bus.partition_of(RunId("run-1"))]

    mine = [record for record in partition if record.key == b"run-1"]
    assert [record.value for record in mine] == [b"0", b"1", b"2", b"3", b"4"]
    assert [record.offset for record in partition] == list(range(len(partition)))


@pytest.mark.parametrize("length", [*range(9), 36, 128])
def test_partitions_are_those_of_kafkas_default_partitioner(length: int) -> None:
    bus = MemoryBus(partitions=7)
    run_id = RunId(os.urandom(length).hex()[:length])

    assert bus.partition_of(run_id) == (kafka_murmur2(run_id.encode()) & 0x7FFFFFFF) % 7


async def test_an_item_goes_to_the_partition_of_its_key_or_beyond_it(bus: MemoryBus) -> None:
    home = bus.partition_of(RunId("run-1/7"))

    for beyond in range(5):
        await (await bus.send_item("run-1/7", str(beyond).encode(), beyond=beyond))

    places = {record.value: record.partition for records in bus.items for record in records}
    assert places == {str(beyond).encode(): (home + beyond) % 4 for beyond in range(5)}
    assert bus.take_job() is None


async def test_an_event_goes_to_the_events(bus: MemoryBus) -> None:
    await (await bus.send_event(RunId("run-1"), b"{}"))

    (record,) = bus.events[bus.partition_of(RunId("run-1"))]
    assert (record.topic, record.key, record.value) == ("events", b"run-1", b"{}")
    assert bus.take_job() is None


async def test_a_dead_letter_keeps_the_record_as_it_was(bus: MemoryBus) -> None:
    poison = bus.append_job(2, None, b"\xff\x00", headers=[("trace", None)])

    await (await bus.send_dead_letter(poison, code="not_json", reason="byte 0xff"))

    (letter,) = bus.dead_letters
    assert letter.record == poison
    assert (letter.code, letter.reason) == ("not_json", "byte 0xff")


async def test_a_record_goes_again_to_the_topic_that_it_came_from_with_its_headers(bus: MemoryBus) -> None:
    headers = [("trace", b"\x00"), ("none", None)]

    await (await bus.send_again("jobs", b"run-1", b"\xff", headers))
    await (await bus.send_again("items", None, None, ()))

    (job,) = bus.jobs[bus.partition_of(RunId("run-1"))]
    assert (job.key, job.value, list(job.headers)) == (b"run-1", b"\xff", headers)
    assert sum(len(records) for records in bus.items) == 1
    assert bus.partitions == 4


async def test_nothing_is_sent_again_to_a_topic_that_is_not_for_jobs_or_items(bus: MemoryBus) -> None:
    with pytest.raises(InputError, match="payments"):
        await bus.send_again("payments", b"k", b"v", ())


async def test_a_rewound_partition_delivers_again(bus: MemoryBus) -> None:
    first = bus.append_job(1, b"run-1", b"1")
    second = bus.append_job(1, b"run-1", b"2")
    assert [bus.take_job(), bus.take_job(), bus.take_job()] == [first, second, None]

    bus.rewind(1, 1)

    assert [bus.take_job(), bus.take_job()] == [second, None]


async def test_a_subscription_gets_what_is_there_and_what_comes(bus: MemoryBus) -> None:
    before = bus.append_job(0, b"a", b"before")
    bus.append_job(3, b"z", b"of another partition")
    seen: list[Record] = []

    async def consume() -> None:
        async for record in bus.subscribe({0, 1}):
            seen.append(record)
            if len(seen) == 3:
                return

    consumer = asyncio.create_task(consume())
    await asyncio.sleep(0)
    later = [bus.append_job(1, b"b", b"later"), bus.append_job(0, b"a", b"later")]
    await asyncio.wait_for(consumer, 20)

    assert seen[0] == before
    assert sorted(seen[1:], key=lambda record: -record.partition) == later
