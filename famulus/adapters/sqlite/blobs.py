"""Pieces of large values in a table of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus.adapters.sqlite.statements import INSERT_BLOB, SELECT_BLOB

if TYPE_CHECKING:
    from famulus.adapters.sqlite.database import SqliteDatabase
    from famulus.ids import RunId


class SqliteBlobStore:
    """Keeps `famulus.ports.BlobStore`."""

    def __init__(self, database: SqliteDatabase, *, namespace: str = "default") -> None:
        self._database = database
        self._namespace = namespace

    async def put(self, run_id: RunId, digest: str, index: int, piece: bytes) -> None:
        row = (self._namespace, run_id, digest, index, piece)
        await self._database.write(lambda connection: connection.execute(INSERT_BLOB, row))

    async def get(self, run_id: RunId, digest: str, index: int) -> bytes | None:
        key = (self._namespace, run_id, digest, index)
        found = await self._database.read(lambda connection: connection.execute(SELECT_BLOB, key).fetchone())
        return None if found is None else bytes(found["data"])
