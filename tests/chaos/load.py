"""A bounded load of runs of all shapes, sent by a producer that knows nothing of famulus and goes to the broker itself.

A run counts as accepted when the broker has acknowledged its start. A send whose answer never comes is repeated with
the same id, as every producer has to.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from support.installation import start_json
from support.shapes import MIXED, Shape, signal_record

SEND_SECONDS: Final = 15.0
AGAIN_SECONDS: Final = 0.5
SIGNAL_SECONDS: Final = (0.2, 4.0)
"""After its start, a run that waits for a signal gets it: some before they wait, some long after."""


@dataclass
class Load:
    brokers: str
    topic: str
    seed: int
    per_second: float
    open_most: int
    """Runs under way beyond which none is started: servers that are away for a minute must not be buried afterwards."""
    accepted: dict[str, Shape] = field(default_factory=dict)
    held_back: int = 0
    """Starts that were left out for that."""
    _sending: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, seconds: float, *, open_runs: Any) -> None:
        """Start runs for so long; returns when all that was begun is accepted and signalled."""
        random = Random(self.seed)
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        async with AIOKafkaProducer(bootstrap_servers=self.brokers, acks="all") as producer:
            number = 0
            while loop.time() < end:
                shape, pause = random.choice(MIXED), random.uniform(*SIGNAL_SECONDS)
                if open_runs() + len(self._sending) < self.open_most:
                    self._begin(producer, f"{shape.name}-{number}", shape, pause)
                else:
                    self.held_back += 1
                number += 1
                await asyncio.sleep(1 / self.per_second)
            while self._sending:
                await asyncio.wait(self._sending)

    def _begin(self, producer: Any, run_id: str, shape: Shape, pause: float) -> None:
        task = asyncio.create_task(self._start(producer, run_id, shape, pause))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _start(self, producer: Any, run_id: str, shape: Shape, pause: float) -> None:
        await self._send(producer, run_id, start_json(run_id, shape.name, input=dict(shape.start)))
        self.accepted[run_id] = shape
        if shape.waits:
            await asyncio.sleep(pause)
            await self._send(producer, run_id, _encoded(signal_record(run_id)))

    async def _send(self, producer: Any, run_id: str, value: bytes) -> None:
        while True:
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(SEND_SECONDS):
                    await producer.send_and_wait(self.topic, value, key=run_id.encode())
                    return
            await asyncio.sleep(AGAIN_SECONDS)


def _encoded(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record).encode()
