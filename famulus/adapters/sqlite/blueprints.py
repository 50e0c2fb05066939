"""Blueprints in a table of the file, keyed by id and version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from famulus.adapters.sqlite.statements import (
    INSERT_BLUEPRINT,
    SELECT_BLUEPRINT_BY_DIGEST,
    SELECT_BLUEPRINT_BY_VERSION,
    SELECT_BLUEPRINTS,
    SELECT_LATEST_BLUEPRINT,
)
from famulus.ports import StoredBlueprint

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from famulus.adapters.sqlite.database import SqliteDatabase
    from famulus.ids import BlueprintId, Digest


class SqliteBlueprintStore:
    """Keeps `famulus.ports.BlueprintStore`."""

    def __init__(self, database: SqliteDatabase, *, namespace: str = "default") -> None:
        self._database = database
        self._namespace = namespace

    async def put(self, blueprint: StoredBlueprint) -> StoredBlueprint:
        key = (self._namespace, blueprint.blueprint_id, blueprint.version)

        def insert(connection: sqlite3.Connection) -> StoredBlueprint:
            connection.execute(INSERT_BLUEPRINT, (*key, blueprint.digest, blueprint.body, blueprint.registered_at))
            return StoredBlueprint(**connection.execute(SELECT_BLUEPRINT_BY_VERSION, key).fetchone())

        return await self._database.write(insert)

    async def by_digest(self, digest: Digest) -> StoredBlueprint | None:
        return await self._one(SELECT_BLUEPRINT_BY_DIGEST, digest)

    async def by_version(self, blueprint_id: BlueprintId, version: str) -> StoredBlueprint | None:
        return await self._one(SELECT_BLUEPRINT_BY_VERSION, blueprint_id, version)

    async def latest(self, blueprint_id: BlueprintId) -> StoredBlueprint | None:
        return await self._one(SELECT_LATEST_BLUEPRINT, blueprint_id)

    async def all(self) -> Sequence[StoredBlueprint]:
        return await self._select(SELECT_BLUEPRINTS)

    async def _one(self, statement: str, *key: str) -> StoredBlueprint | None:
        found = await self._select(statement, *key)
        return found[0] if found else None

    async def _select(self, statement: str, *key: str) -> Sequence[StoredBlueprint]:
        parameters: tuple[Any, ...] = (self._namespace, *key)
        rows = await self._database.read(lambda connection: connection.execute(statement, parameters).fetchall())
        return [StoredBlueprint(**row) for row in rows]
