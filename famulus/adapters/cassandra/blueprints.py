"""Blueprints in Cassandra. The first registration stays, by its write timestamp.

How: see ``cql/schema/0003_blueprints.cql``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from famulus.ids import BlueprintId, Digest
from famulus.ports import StoredBlueprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from famulus.adapters.cassandra.database import CassandraDatabase

LATEST_TIMESTAMP: Final = 2**62
"""In microseconds; a registration is written with this minus its own time, so the earlier has the higher timestamp."""


class CassandraBlueprintStore:
    """The `BlueprintStore` of one namespace."""

    def __init__(self, database: CassandraDatabase, *, namespace: str = "default") -> None:
        self._database = database
        self._namespace = namespace

    async def put(self, blueprint: StoredBlueprint) -> StoredBlueprint:
        """As the port says. Two that register at the same moment may each see itself first; the earlier one stays.

        A version that is there is never written again, so clocks matter only between two that both found it missing.
        Runs are pinned to a digest, which nothing can change.
        """
        stored = await self.by_version(blueprint.blueprint_id, blueprint.version)
        if stored is not None:
            return stored
        stamp = LATEST_TIMESTAMP - round(blueprint.registered_at * 1_000_000)
        registered = (blueprint.blueprint_id, blueprint.version, blueprint.digest, blueprint.registered_at)
        await self._database.execute(
            "insert_blueprint", (self._namespace, blueprint.digest, blueprint.body, registered, stamp, stamp)
        )
        # The body is there before a version names it.
        await self._database.execute(
            "insert_blueprint_version",
            (self._namespace, blueprint.blueprint_id, blueprint.version, registered, stamp, stamp),
        )
        return await self.by_version(blueprint.blueprint_id, blueprint.version) or blueprint

    async def by_digest(self, digest: Digest) -> StoredBlueprint | None:
        found = await self._database.execute("select_blueprint", (self._namespace, digest))
        return _stored(found[0][0], body=found[0][1]) if found else None

    async def by_version(self, blueprint_id: BlueprintId, version: str) -> StoredBlueprint | None:
        found = await self._database.execute("select_blueprint_version", (self._namespace, blueprint_id, version))
        return await self._with_body(found[0][0]) if found else None

    async def latest(self, blueprint_id: BlueprintId) -> StoredBlueprint | None:
        found = await self._database.all_rows("select_blueprint_versions", (self._namespace, blueprint_id))
        registrations = [registered for (registered,) in found]
        if not registrations:
            return None
        return await self._with_body(max(registrations, key=lambda registered: registered.registered_at))

    async def all(self) -> Sequence[StoredBlueprint]:
        """As the port says, without bodies."""
        found = await self._database.all_rows("select_all_versions", (self._namespace,))
        return sorted((_stored(registered) for (registered,) in found), key=_by_id_and_registration)

    async def _with_body(self, registered: Any) -> StoredBlueprint | None:
        found = await self._database.execute("select_blueprint", (self._namespace, registered.digest))
        return _stored(registered, body=found[0][1]) if found else None


def _stored(registered: Any, *, body: bytes = b"") -> StoredBlueprint:
    return StoredBlueprint(
        blueprint_id=BlueprintId(registered.blueprint_id),
        version=registered.version,
        digest=Digest(registered.digest),
        body=body,
        registered_at=registered.registered_at,
    )


def _by_id_and_registration(blueprint: StoredBlueprint) -> tuple[str, float]:
    return blueprint.blueprint_id, blueprint.registered_at
