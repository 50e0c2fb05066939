"""Epochs from a counter in the file, which the workers that share the file share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus.adapters.sqlite.statements import INCREMENT_EPOCH, SELECT_EPOCH
from famulus.ids import Epoch

if TYPE_CHECKING:
    import sqlite3

    from famulus.adapters.sqlite.database import SqliteDatabase


class SqliteEpochs:
    """Keeps `famulus.ports.Epochs`."""

    def __init__(self, database: SqliteDatabase, *, namespace: str = "default") -> None:
        self._database = database
        self._namespace = namespace

    async def take(self) -> Epoch:
        return await self._database.write(self._increment)

    def _increment(self, connection: sqlite3.Connection) -> Epoch:
        connection.execute(INCREMENT_EPOCH, (self._namespace,))
        return Epoch(connection.execute(SELECT_EPOCH, (self._namespace,)).fetchone()["last"])
