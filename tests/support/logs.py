"""What lies on topics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiokafka import TopicPartition


async def records_so_far(consumer: Any, partitions: Sequence[TopicPartition]) -> AsyncIterator[Any]:
    """All records of the partitions, as far as they are there now. The consumer is to be one that reads from the start.

    Not up to `end_offsets`: Tansu may leave the last records out until the next one is written.
    """
    consumer.assign(partitions)
    for partition in partitions:
        while (end := consumer.highwater(partition)) is None or await consumer.position(partition) < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    yield record
