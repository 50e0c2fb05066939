"""Where tokens and sessions of callers are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredToken:
    """Who somebody is, and what they may do. The token itself is known to its holder alone."""

    digest: str
    """SHA-256 of the token, hexadecimal."""
    name: str
    scope: str
    created_at: float
    created_by: str
    expires_at: float | None = None
    revoked_at: float | None = None
    revoked_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """A browser that has logged in with a token."""

    digest: str
    """SHA-256 of what the browser sends, hexadecimal."""
    token: str
    """The digest of the token: the session is worth no more than it."""
    expires_at: float


class TokenStore(Protocol):
    """Tokens and the sessions that were begun with them. Whether one still counts, the caller decides."""

    async def put(self, token: StoredToken) -> None:
        """Store a token; what is stored under its digest already stays."""
        ...

    async def get(self, digest: str) -> StoredToken | None: ...

    async def all(self) -> Sequence[StoredToken]:
        """By name, then by time; expired and revoked ones too."""
        ...

    async def revoke(self, digest: str, *, at: float, by: str) -> None:
        """Mark a token for good; one that is marked, or unknown, stays as it is."""
        ...

    async def put_session(self, session: StoredSession) -> None:
        """Store a session, which may vanish by itself once it has expired."""
        ...

    async def session(self, digest: str) -> StoredSession | None: ...

    async def end_session(self, digest: str) -> None:
        """Remove a session for good."""
        ...
