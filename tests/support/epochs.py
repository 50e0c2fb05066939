"""Epochs that many take at once."""

from __future__ import annotations

import asyncio

from famulus.errors import StoreUnavailableError
from famulus.ids import Epoch
from famulus.ports import Epochs


async def take_among_others(epochs: Epochs, *, within: float) -> Epoch:
    """As the port says: call again. Of transactions that meet, Cassandra may give one up."""
    async with asyncio.timeout(within):
        while True:
            try:
                return await epochs.take()
            except StoreUnavailableError:
                await asyncio.sleep(0.01)
