"""Where is noted what is due and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from famulus.ports.rows import TimerRow


class TimerStore(Protocol):
    """What becomes due, by partition. Most timers come with a commit of their run (`Commit.timers`)."""

    async def due(self, partition: int, *, until: float, limit: int) -> Sequence[TimerRow]:
        """Timers of the partition that are due until that time, earliest first, at most so many."""
        ...

    async def put(self, rows: Sequence[TimerRow]) -> None:
        """Store timers without a commit."""
        ...

    async def stored(self, rows: Sequence[TimerRow]) -> Sequence[TimerRow]:
        """Those of the rows, as they are given, that `due` would name when their time has come."""
        ...

    async def fired(self, rows: Sequence[TimerRow]) -> None:
        """Remove timers, except those that were stored again with a higher stamp.

        A removal may be lost: whoever is given a timer looks at the state of its run.
        """
        ...
