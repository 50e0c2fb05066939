"""Tokens and sessions in dictionaries."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from famulus.ports import StoredSession, StoredToken


class MemoryTokenStore:
    """Keeps `famulus.ports.TokenStore`. Workers of one test share the object."""

    def __init__(self) -> None:
        self._tokens: dict[str, StoredToken] = {}
        self._sessions: dict[str, StoredSession] = {}

    async def put(self, token: StoredToken) -> None:
        self._tokens.setdefault(token.digest, token)

    async def get(self, digest: str) -> StoredToken | None:
        return self._tokens.get(digest)

    async def all(self) -> Sequence[StoredToken]:
        return sorted(self._tokens.values(), key=lambda token: (token.name, token.created_at))

    async def revoke(self, digest: str, *, at: float, by: str) -> None:
        token = self._tokens.get(digest)
        if token is not None and token.revoked_at is None:
            self._tokens[digest] = replace(token, revoked_at=at, revoked_by=by)

    async def put_session(self, session: StoredSession) -> None:
        self._sessions[session.digest] = session

    async def session(self, digest: str) -> StoredSession | None:
        return self._sessions.get(digest)

    async def end_session(self, digest: str) -> None:
        self._sessions.pop(digest, None)
