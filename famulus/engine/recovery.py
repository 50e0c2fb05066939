"""What an owner does about runs that nobody tells it of.

A hint may be missing from the topic: the worker that was to send it died, or the topic was lost. The rows say what is
due all the same. So after each assignment, and from time to time, the owner loads the open runs of its partitions that
it does not have in memory, which sets going what is due of them and puts their hints on the topic again.
"""

from __future__ import annotations

import asyncio
import logging

from famulus.engine.backoff import Backoff
from famulus.engine.records import wake_record
from famulus.engine.runs import Runs
from famulus.engine.tenure import Tenure
from famulus.errors import OwnershipLostError, RetryableError, TerminalError
from famulus.ids import RunId
from famulus.ports import Bus, Clock, Epochs, RunStore

log = logging.getLogger(__name__)


class Recovery:
    def __init__(
        self, runs: Runs, *, store: RunStore, bus: Bus, epochs: Epochs, clock: Clock, loads_at_once: int
    ) -> None:
        self._runs = runs
        self._store = store
        self._bus = bus
        self._epochs = epochs
        self._clock = clock
        self._loads_at_once = loads_at_once

    async def begin(self, tenure: Tenure) -> None:
        """Take the epoch of a tenure, then look after its runs; again until it works or the tenure is over."""
        backoff = Backoff()
        while not tenure.over:
            try:
                if not tenure.has_begun:
                    tenure.begin(await self._epochs.take())
                await self.look_after_open_runs()
            except OwnershipLostError:
                return
            except RetryableError as error:
                log.warning("tenure not begun yet: %s", error, extra={"action": "tenure_retried"})
                await self._clock.sleep(backoff.next())
            else:
                return

    async def look_after_open_runs(self) -> int:
        """Load every open run of the owned partitions that is not in memory; returns how many were loaded.

        Safe at any time and as often as wanted. Raises `RetryableError` when the store is away.
        """
        tenure = self._runs.tenure
        await tenure.ready()
        loads = asyncio.Semaphore(self._loads_at_once)
        loaded = 0
        for partition in sorted(tenure.partitions):
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._look_after(run_id, partition, loads))
                    async for run_id in self._store.open_runs(partition)
                    if self._runs.live(run_id) is None
                ]
            loaded += sum(task.result() for task in tasks)
        return loaded

    async def _look_after(self, run_id: RunId, partition: int, loads: asyncio.Semaphore) -> bool:
        async with loads:
            if self._bus.partition_of(run_id) != partition:
                # The topic has got more partitions since the run started: the owner of its new one is to look.
                await (await self._bus.send_job(run_id, wake_record(run_id)))
                return False
            try:
                return self._runs.live(run_id) is None and await self._runs.open(run_id, partition) is not None
            except TerminalError:
                log.exception("open run cannot be loaded", extra={"action": "load_failed", "run_id": run_id})
                return False
