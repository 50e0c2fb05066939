"""Pieces of large values in a dictionary."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from famulus.ids import RunId


class MemoryBlobStore:
    """Keeps `famulus.ports.BlobStore`. Workers of one test share the object."""

    def __init__(self) -> None:
        self.pieces: dict[tuple[RunId, str, int], bytes] = {}

    async def put(self, run_id: RunId, digest: str, index: int, piece: bytes) -> None:
        self.pieces.setdefault((run_id, digest, index), piece)

    async def get(self, run_id: RunId, digest: str, index: int) -> bytes | None:
        return self.pieces.get((run_id, digest, index))
