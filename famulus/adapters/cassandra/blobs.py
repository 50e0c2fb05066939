"""Pieces of large values in Cassandra.

How: see ``cql/schema/0010_blobs.cql``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from famulus.adapters.cassandra.database import CassandraDatabase
    from famulus.ids import RunId

STAMP: Final = 1
"""Of every piece: whoever writes it again writes the same."""


class CassandraBlobStore:
    """The `BlobStore` of one namespace."""

    def __init__(self, database: CassandraDatabase, *, namespace: str = "default") -> None:
        self._database = database
        self._namespace = namespace

    async def put(self, run_id: RunId, digest: str, index: int, piece: bytes) -> None:
        await self._database.execute("insert_blob", (self._namespace, run_id, digest, index, piece, STAMP))

    async def get(self, run_id: RunId, digest: str, index: int) -> bytes | None:
        found = await self._database.execute("select_blob", (self._namespace, run_id, digest, index))
        return bytes(found[0][0]) if found else None
