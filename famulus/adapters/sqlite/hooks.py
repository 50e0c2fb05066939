"""Webhooks in a table of the file, keyed by the digest of their token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus.adapters.sqlite.statements import INSERT_HOOK, INSERT_SECRET, SELECT_HOOK, SELECT_SECRET
from famulus.ports import Hook

if TYPE_CHECKING:
    import sqlite3

    from famulus.adapters.sqlite.database import SqliteDatabase

_NAME = "hooks"


class SqliteHookStore:
    """Keeps `famulus.ports.HookStore`."""

    def __init__(self, database: SqliteDatabase, *, namespace: str = "default") -> None:
        self._database = database
        self._namespace = namespace

    async def put(self, hook: Hook) -> None:
        row = (self._namespace, hook.digest, hook.run_id, hook.step_id)
        await self._database.write(lambda connection: connection.execute(INSERT_HOOK, row))

    async def get(self, digest: str) -> Hook | None:
        key = (self._namespace, digest)
        found = await self._database.read(lambda connection: connection.execute(SELECT_HOOK, key).fetchone())
        return None if found is None else Hook(**found)

    async def secret(self, offered: bytes) -> bytes:
        key = (self._namespace, _NAME)

        def keep(connection: sqlite3.Connection) -> bytes:
            connection.execute(INSERT_SECRET, (*key, offered))
            return bytes(connection.execute(SELECT_SECRET, key).fetchone()["value"])

        return await self._database.write(keep)
