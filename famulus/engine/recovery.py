"""What an owner does about runs that nobody tells it of.

A hint may be missing from the topic: the worker that was to send it died, or the topic was lost. The rows say what is
due all the same. So after each assignment, and from time to time, the owner loads the open runs of its partitions that
it does not have in memory, which sets going what is due of them and puts their hints on the topic again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

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
            except Exception:
                # Whatever it is: a worker without an epoch would hold its partitions and handle nothing of them.
                log.exception("tenure not begun yet", extra={"action": "tenure_retried"})
                await self._clock.sleep(backoff.next())
            else:
                return

    async def look_after_open_runs(self) -> int:
        """Load every open run of the owned partitions that is not in memory; returns how many were loaded.

        Safe at any time and as often as wanted. A run that cannot be loaded keeps no other from it. Raises
        `RetryableError` when the store is away, or in the end when some runs could not be loaded now.
        """
        tenure = self._runs.tenure
        await tenure.ready()
        loaded = 0
        failed: BaseException | None = None
        for partition in sorted(tenure.partitions):
            async for run_ids in self._left_alone(partition):
                tenure.check()
                looks = (self._look_after(run_id, partition) for run_id in run_ids)
                for found in await asyncio.gather(*looks, return_exceptions=True):
                    if isinstance(found, BaseException):
                        failed = failed or found
                    else:
                        loaded += found
        if failed is not None:
            raise failed
        return loaded

    async def _left_alone(self, partition: int) -> AsyncIterator[list[RunId]]:
        """The open runs of a partition that are not in memory, as many at a time as are loaded at once."""
        run_ids: list[RunId] = []
        async for run_id in self._store.open_runs(partition, known=self._runs.knows):
            run_ids.append(run_id)
            if len(run_ids) >= self._loads_at_once:
                yield run_ids
                run_ids = []
        if run_ids:
            yield run_ids

    async def _look_after(self, run_id: RunId, partition: int) -> bool:
        if self._bus.partition_of(run_id) != partition:
            # The topic has got more partitions since the run started: the owner of its new one is to look.
            await (await self._bus.send_job(run_id, wake_record(run_id)))
            return False
        try:
            return self._runs.live(run_id) is None and await self._runs.open(run_id, partition) is not None
        except TerminalError as error:
            log.error(  # noqa: TRY400  # its message says it all, and comes again each time
                "open run %s cannot be loaded: %s", run_id, error, extra={"action": "load_failed", "run_id": run_id}
            )
            return False
