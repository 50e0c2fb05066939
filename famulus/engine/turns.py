"""Waiting for a turn of an implementation that may not run as often as it likes.

Limits are kept for all workers by the port. While its server is away, each worker keeps the same figures for itself.
Of those that wait in a worker for the same implementation, the first one asks, and the others stand behind it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from famulus.engine.patience import wait_at_most
from famulus.errors import LimitsUnavailableError
from famulus.flow.turns import LEASE_SECONDS, Limit, TurnBook
from famulus.ports import Limits

log = logging.getLogger(__name__)

RENEW_SECONDS: Final = LEASE_SECONDS / 3
_FOREVER: Final = float("inf")


class _Queue:
    """Who waits in this worker for an implementation."""

    def __init__(self) -> None:
        self.first = asyncio.Lock()
        self.given_back = asyncio.Event()
        self.waiting = 0


class Turns:
    def __init__(self, shared: Limits | None, *, counts: Counter[str], renew_seconds: float = RENEW_SECONDS) -> None:
        self._shared = shared
        self._counts = counts
        self._renew_seconds = renew_seconds
        self._own = TurnBook(lease_seconds=_FOREVER)
        """Of this worker: what it goes by while the shared limits are away."""
        self._queues: dict[str, _Queue] = {}
        self._held: dict[str, str] = {}
        """Lease -> implementation, of turns that are shared."""
        self._renewing: asyncio.Task[None] | None = None
        self._returning: set[asyncio.Task[None]] = set()
        self._is_local = False

    async def take(
        self, limit: Limit, lease: str, *, enter: Callable[[], Awaitable[None]], leave: Callable[[], None]
    ) -> None:
        """Wait for a turn; `enter` has been called when this returns. Nothing is entered while it waits.

        The turn is asked for only by who could use it at once: so no turn is held by a worker that is full.
        """
        queue = self._queues.setdefault(limit.name, _Queue())
        queue.waiting += 1
        try:
            async with queue.first:
                while True:
                    queue.given_back.clear()
                    await enter()
                    try:
                        wait = await self._ask(limit, lease)
                    except BaseException:
                        leave()
                        self.give_back(limit, lease)  # it may have been taken, and the answer not heard
                        raise
                    if not wait:
                        return
                    leave()
                    self._counts["turns_awaited"] += 1
                    await wait_at_most(queue.given_back, wait)
        finally:
            queue.waiting -= 1
            if not queue.waiting:
                del self._queues[limit.name]

    def give_back(self, limit: Limit, lease: str) -> None:
        self._own.give_back(limit.name, lease)
        self._held.pop(lease, None)
        if self._shared is not None:
            task = asyncio.create_task(self._shared.give_back(limit.name, lease))
            self._returning.add(task)
            task.add_done_callback(lambda done: self._returned(limit.name, done))
        else:
            self._wake(limit.name)

    async def close(self) -> None:
        """Give back what is on its way; leases of what still runs expire."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        if self._returning:
            await asyncio.wait(self._returning)

    async def _ask(self, limit: Limit, lease: str) -> float:
        if self._shared is not None:
            try:
                wait = await self._shared.take(limit, lease)
            except LimitsUnavailableError as error:
                self._go_local(error)
            else:
                self._go_shared()
                if not wait:
                    self._own.renew(limit.name, lease, now=time.monotonic())
                    self._hold(limit.name, lease)
                return wait
            self._counts["limits_kept_locally"] += 1
        return self._own.take(limit, lease, now=time.monotonic())

    def _go_local(self, error: LimitsUnavailableError) -> None:
        if not self._is_local:
            log.warning("limits are kept in this worker alone: %s", error, extra={"action": "limits_local"})
        self._is_local = True

    def _go_shared(self) -> None:
        if self._is_local:
            log.info("limits are kept over all workers again", extra={"action": "limits_shared"})
        self._is_local = False

    def _hold(self, name: str, lease: str) -> None:
        self._held[lease] = name
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        while self._shared is not None:
            await asyncio.sleep(self._renew_seconds)
            if not self._held:
                return
            try:
                await self._shared.renew(dict(self._held))
            except LimitsUnavailableError as error:
                self._go_local(error)

    def _returned(self, name: str, task: asyncio.Task[None]) -> None:
        self._returning.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a turn was not given back", exc_info=task.exception(), extra={"action": "turn_not_given_back"})
        self._wake(name)

    def _wake(self, name: str) -> None:
        queue = self._queues.get(name)
        if queue is not None:
            queue.given_back.set()
