"""Epochs from a counter in this process. Workers of one test share the object."""

from __future__ import annotations

from itertools import count

from famulus.ids import Epoch


class MemoryEpochs:
    """Keeps `famulus.ports.Epochs`."""

    def __init__(self) -> None:
        self._numbers = count(1)

    async def take(self) -> Epoch:
        return Epoch(next(self._numbers))
