"""How many attempts run at the same time: in the worker, and of one run, so that no run takes the whole worker."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from famulus.ids import RunId


@dataclass(slots=True)
class _Share:
    slots: asyncio.Semaphore
    users: int = 0


class Slots:
    """First come, first served, within a run and then over all runs."""

    def __init__(self, *, in_all: int, per_run: int) -> None:
        self._all = asyncio.Semaphore(in_all)
        self._per_run = per_run
        self._shares: dict[RunId, _Share] = {}

    async def take(self, run_id: RunId) -> None:
        share = self._shares.get(run_id)
        if share is None:
            share = self._shares[run_id] = _Share(asyncio.Semaphore(self._per_run))
        share.users += 1
        try:
            await share.slots.acquire()
        except BaseException:
            self._leave(run_id, share)
            raise
        try:
            await self._all.acquire()
        except BaseException:
            share.slots.release()
            self._leave(run_id, share)
            raise

    def give_back(self, run_id: RunId) -> None:
        share = self._shares[run_id]
        self._all.release()
        share.slots.release()
        self._leave(run_id, share)

    def _leave(self, run_id: RunId, share: _Share) -> None:
        share.users -= 1
        if not share.users:
            del self._shares[run_id]
