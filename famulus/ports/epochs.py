"""The numbers that tenures are known by."""

from __future__ import annotations

from typing import Protocol

from famulus.ids import Epoch


class Epochs(Protocol):
    async def take(self) -> Epoch:
        """A number higher than every number taken before, by any worker. Numbers may be skipped."""
        ...
