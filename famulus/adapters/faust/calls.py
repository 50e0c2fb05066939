"""Calls of a Kafka client that come to their end when the client is given up.

Some calls of aiokafka wait for what only the tasks of the client bring about: a fetch for the end of a rebalance, a
look at committed offsets for a coordinator. They have no time-out, and of a client that was closed meanwhile they wait
for ever. With it waits whoever asked: Faust has one task that fetches, and two that serve all calls.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiokafka.errors import IllegalStateError
from mode.utils.futures import maybe_async

if TYPE_CHECKING:
    from collections.abc import Callable


class ClientGivenUpError(IllegalStateError):
    """Another client has taken the place of the one that was asked.

    It is what aiokafka raises where partitions were taken away: the recovery of tables then waits for the next ones.
    """


class ClientCalls:
    """Of the clients of one consumer, one after the other. Used on the loop of its thread alone."""

    def __init__(self) -> None:
        self._running: set[asyncio.Future[Any]] = set()

    async def run(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        running = asyncio.ensure_future(_result_of(call, *arguments, **options))
        self._running.add(running)
        try:
            return await running
        except asyncio.CancelledError:
            if running in self._running:  # it is the caller who was cancelled
                raise
            raise ClientGivenUpError("the Kafka client was given up while it was asked") from None
        finally:
            self._running.discard(running)

    def end(self) -> None:
        """Whoever waits for a call is told that it has no answer."""
        while self._running:
            self._running.pop().cancel()


async def _result_of(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    return await maybe_async(call(*arguments, **options))
