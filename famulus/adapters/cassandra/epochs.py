"""Epochs in Cassandra, by lightweight transactions, once for each assignment of partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from famulus.errors import StoreUnavailableError
from famulus.ids import Epoch

if TYPE_CHECKING:
    from famulus.adapters.cassandra.database import CassandraDatabase

ATTEMPTS: Final = 100
"""Each failed attempt is another worker's success, so this many workers would have to take an epoch at once."""


class CassandraEpochs:
    """The `Epochs` of one namespace."""

    def __init__(self, database: CassandraDatabase, *, namespace: str = "default") -> None:
        self._database = database
        self._namespace = namespace

    async def take(self) -> Epoch:
        """As the port says. Raises `StoreUnavailableError`; whatever became of that attempt, call again.

        A transaction whose answer was lost may still apply. Its number is then skipped: each attempt starts from a
        serial read, which finishes or discards what was under way, and goes for the number after the one it read. So
        two workers never hold the same number.
        """
        for _ in range(ATTEMPTS):
            taken = await self._take_after(await self._last())
            if taken is not None:
                return taken
        raise StoreUnavailableError(f"no epoch could be taken in {ATTEMPTS} attempts: too many workers start at once")

    async def _last(self) -> int | None:
        found = await self._database.execute_serial("select_epoch", (self._namespace,))
        return found[0][0] if found else None

    async def _take_after(self, last: int | None) -> Epoch | None:
        if last is None:
            answer = await self._database.execute("take_first_epoch", (self._namespace, 1))
            return Epoch(1) if answer[0][0] else None
        answer = await self._database.execute("take_next_epoch", (last + 1, self._namespace, last))
        return Epoch(last + 1) if answer[0][0] else None
