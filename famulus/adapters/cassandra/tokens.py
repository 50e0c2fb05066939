"""Tokens and sessions in Cassandra, by their digests.

How: see ``cql/schema/0008_tokens.cql``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from famulus.ports import StoredSession, StoredToken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from famulus.adapters.cassandra.database import CassandraDatabase
    from famulus.adapters.cassandra.driver import Row

WRITTEN: Final = 1
ENDED: Final = 2
"""Stamps: of what a digest stands for, and of its end, which is for good."""


class CassandraTokenStore:
    """The `TokenStore` of one namespace."""

    def __init__(self, database: CassandraDatabase, *, namespace: str = "default") -> None:
        self._database = database
        self._namespace = namespace

    async def put(self, token: StoredToken) -> None:
        what = (token.digest, token.name, token.scope, token.created_at, token.created_by, token.expires_at)
        await self._database.execute("insert_token", (self._namespace, *what, WRITTEN))
        if token.revoked_at is not None:
            await self.revoke(token.digest, at=token.revoked_at, by=token.revoked_by or "")

    async def get(self, digest: str) -> StoredToken | None:
        found = await self._database.execute("select_token", (self._namespace, digest))
        return _token(found[0]) if found else None

    async def all(self) -> Sequence[StoredToken]:
        rows = await self._database.all_rows("select_tokens", (self._namespace,))
        return sorted(map(_token, rows), key=lambda token: (token.name, token.created_at))

    async def revoke(self, digest: str, *, at: float, by: str) -> None:
        known = await self.get(digest)
        if known is not None and known.revoked_at is None:
            await self._database.execute("revoke_token", (ENDED, at, by, self._namespace, digest))

    async def put_session(self, session: StoredSession) -> None:
        seconds = max(1, round(session.expires_at - time.time()))
        row = (self._namespace, session.digest, session.token, session.expires_at)
        await self._database.execute("insert_session", (*row, WRITTEN, seconds))

    async def session(self, digest: str) -> StoredSession | None:
        found = await self._database.execute("select_session", (self._namespace, digest))
        return None if not found else StoredSession(digest=found[0][0], token=found[0][1], expires_at=found[0][2])

    async def end_session(self, digest: str) -> None:
        await self._database.execute("delete_session", (ENDED, self._namespace, digest))


def _token(row: Row) -> StoredToken:
    digest, name, scope, created_at, created_by, expires_at, revoked_at, revoked_by = row
    return StoredToken(
        digest=digest,
        name=name,
        scope=scope,
        created_at=created_at,
        created_by=created_by,
        expires_at=expires_at,
        revoked_at=revoked_at,
        revoked_by=revoked_by,
    )
