"""Where large values are kept."""

from __future__ import annotations

from typing import Protocol

from famulus.ids import RunId


class BlobStore(Protocol):
    """Pieces of values that are too large for a row. A piece never changes once it is stored, and expires with its run.

    Who stores a value stores all its pieces before the row that refers to them; a crash between leaves pieces to which
    nobody refers.
    """

    async def put(self, run_id: RunId, digest: str, index: int, piece: bytes) -> None:
        """Store a piece of the value with this SHA-256; storing it again changes nothing."""
        ...

    async def get(self, run_id: RunId, digest: str, index: int) -> bytes | None: ...
