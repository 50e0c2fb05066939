"""Blueprints in a dictionary."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from famulus.ids import BlueprintId, Digest
    from famulus.ports import StoredBlueprint


class MemoryBlueprintStore:
    """Keeps `famulus.ports.BlueprintStore`."""

    def __init__(self) -> None:
        self._versions: dict[tuple[BlueprintId, str], StoredBlueprint] = {}

    async def put(self, blueprint: StoredBlueprint) -> StoredBlueprint:
        return self._versions.setdefault((blueprint.blueprint_id, blueprint.version), blueprint)

    async def by_digest(self, digest: Digest) -> StoredBlueprint | None:
        return next((found for found in self._versions.values() if found.digest == digest), None)

    async def by_version(self, blueprint_id: BlueprintId, version: str) -> StoredBlueprint | None:
        return self._versions.get((blueprint_id, version))

    async def latest(self, blueprint_id: BlueprintId) -> StoredBlueprint | None:
        versions = (found for found in self._versions.values() if found.blueprint_id == blueprint_id)
        return max(versions, key=lambda found: found.registered_at, default=None)

    async def all(self) -> Sequence[StoredBlueprint]:
        return sorted(self._versions.values(), key=lambda found: (found.blueprint_id, found.registered_at))
