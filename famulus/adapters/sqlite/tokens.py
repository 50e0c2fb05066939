"""Tokens and sessions in two tables of the file, keyed by their digests."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from famulus.ports import StoredSession, StoredToken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from famulus.adapters.sqlite.database import SqliteDatabase

_COLUMNS: Final = "digest, name, scope, created_at, created_by, expires_at, revoked_at, revoked_by"
INSERT_TOKEN: Final = f"""
    INSERT INTO tokens (namespace, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (namespace, digest) DO NOTHING
"""  # noqa: S608  # the names of columns above
SELECT_TOKEN: Final = f"SELECT {_COLUMNS} FROM tokens WHERE namespace = ? AND digest = ?"  # noqa: S608
SELECT_TOKENS: Final = f"SELECT {_COLUMNS} FROM tokens WHERE namespace = ? ORDER BY name, created_at"  # noqa: S608
MARK_REVOKED: Final = """
    UPDATE tokens SET revoked_at = ?, revoked_by = ? WHERE namespace = ? AND digest = ? AND revoked_at IS NULL
"""
INSERT_SESSION: Final = """
    INSERT INTO sessions (namespace, digest, token, expires_at) VALUES (?, ?, ?, ?)
    ON CONFLICT (namespace, digest) DO NOTHING
"""
FORGET_SESSIONS: Final = "DELETE FROM sessions WHERE namespace = ? AND expires_at < ?"
SELECT_SESSION: Final = "SELECT digest, token, expires_at FROM sessions WHERE namespace = ? AND digest = ?"
DELETE_SESSION: Final = "DELETE FROM sessions WHERE namespace = ? AND digest = ?"


class SqliteTokenStore:
    """Keeps `famulus.ports.TokenStore`."""

    def __init__(self, database: SqliteDatabase, *, namespace: str = "default") -> None:
        self._database = database
        self._namespace = namespace

    async def put(self, token: StoredToken) -> None:
        row = (
            self._namespace,
            token.digest,
            token.name,
            token.scope,
            token.created_at,
            token.created_by,
            token.expires_at,
            token.revoked_at,
            token.revoked_by,
        )
        await self._database.write(lambda connection: connection.execute(INSERT_TOKEN, row))

    async def get(self, digest: str) -> StoredToken | None:
        key = (self._namespace, digest)
        found = await self._database.read(lambda connection: connection.execute(SELECT_TOKEN, key).fetchone())
        return None if found is None else StoredToken(**found)

    async def all(self) -> Sequence[StoredToken]:
        key = (self._namespace,)
        found = await self._database.read(lambda connection: connection.execute(SELECT_TOKENS, key).fetchall())
        return [StoredToken(**row) for row in found]

    async def revoke(self, digest: str, *, at: float, by: str) -> None:
        row = (at, by, self._namespace, digest)
        await self._database.write(lambda connection: connection.execute(MARK_REVOKED, row))

    async def put_session(self, session: StoredSession) -> None:
        row = (self._namespace, session.digest, session.token, session.expires_at)
        over = (self._namespace, time.time())
        # Whoever logs in clears away what has expired: the table does not grow with the years.
        await self._database.write(
            lambda connection: (connection.execute(FORGET_SESSIONS, over), connection.execute(INSERT_SESSION, row))
        )

    async def session(self, digest: str) -> StoredSession | None:
        key = (self._namespace, digest)
        found = await self._database.read(lambda connection: connection.execute(SELECT_SESSION, key).fetchone())
        return None if found is None else StoredSession(**found)

    async def end_session(self, digest: str) -> None:
        key = (self._namespace, digest)
        await self._database.write(lambda connection: connection.execute(DELETE_SESSION, key))
