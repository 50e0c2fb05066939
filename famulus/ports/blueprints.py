"""Where blueprints are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from famulus.ids import BlueprintId, Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlueprint:
    blueprint_id: BlueprintId
    version: str
    digest: Digest
    body: bytes
    """Canonical JSON."""
    registered_at: float


class BlueprintStore(Protocol):
    async def put(self, blueprint: StoredBlueprint) -> StoredBlueprint:
        """Store under (id, version) and digest; the first registration of an (id, version) stays.

        Returns what is stored under (id, version) afterwards, so the caller can see a conflict by its digest.
        """
        ...

    async def by_digest(self, digest: Digest) -> StoredBlueprint | None: ...

    async def by_version(self, blueprint_id: BlueprintId, version: str) -> StoredBlueprint | None: ...

    async def latest(self, blueprint_id: BlueprintId) -> StoredBlueprint | None:
        """The version that was registered last."""
        ...

    async def all(self) -> Sequence[StoredBlueprint]:
        """Every version of every blueprint, by id and then by registration; bodies may be left empty."""
        ...
