"""Runs that are about to be started: what follows their start is to wait for it.

This outlives a rebalance, as the records that are in hand here do. Where the partition goes to somebody else there is
no next try here, and after a while the run is not expected any more.
"""

from __future__ import annotations

import asyncio
from typing import Final

from famulus.ids import RunId

EXPECTED_SECONDS: Final = 120.0
"""Longer than any delay between two tries of a record, also of a process that was stopped for a minute meanwhile."""
EXPECTED_MOST: Final = 10_000


class ExpectedRuns:
    def __init__(self) -> None:
        self._tried: dict[RunId, float] = {}
        """When the start was tried last."""

    def add(self, run_id: RunId) -> None:
        """The start of the run is being tried, and perhaps has to be tried again."""
        now = asyncio.get_running_loop().time()
        if len(self._tried) >= EXPECTED_MOST:
            self._tried = {each: at for each, at in self._tried.items() if now - at < EXPECTED_SECONDS}
        self._tried[run_id] = now

    def drop(self, run_id: RunId) -> None:
        self._tried.pop(run_id, None)

    def __contains__(self, run_id: RunId) -> bool:
        at = self._tried.get(run_id)
        return at is not None and asyncio.get_running_loop().time() - at < EXPECTED_SECONDS
