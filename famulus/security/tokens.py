"""Tokens: 32 random bytes that are shown once, when they are made. Only their SHA-256 is kept.

They are random enough that a fast digest is no weakness: there is nothing to guess from.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

from famulus.errors import TokenError
from famulus.ports import StoredToken, TokenStore
from famulus.security.scopes import Scope

PREFIX: Final = "famulus_"
"""Lets scanners of repositories and logs find one that has leaked."""
RANDOM_BYTES: Final = 32
PRESENTED_CHARACTERS_MAX: Final = 256
"""What is longer is no token of ours, and not worth a digest."""
NAME_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:-]{0,63}")


def new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def digest_of(presented: str) -> str:
    return hashlib.sha256(presented.encode("utf-8", "surrogatepass")).hexdigest()


def is_live(token: StoredToken, *, now: float) -> bool:
    return token.revoked_at is None and (token.expires_at is None or now < token.expires_at)


async def create_token(
    store: TokenStore, name: str, scope: Scope, *, by: str, now: float, expires_at: float | None = None
) -> tuple[str, StoredToken]:
    """Make a token, and return it with what is kept of it.

    Raises `TokenError` for a name that cannot be one, or that a live token has: who asked for something is recorded by
    that name.
    """
    if NAME_PATTERN.fullmatch(name) is None:
        raise TokenError(f"{name[:80]!r} cannot be the name of a token, expected {NAME_PATTERN.pattern}")
    if expires_at is not None and expires_at <= now:
        raise TokenError("the token would have expired before it is made: give a longer time")
    if await _live_tokens(store, name, now=now):
        raise TokenError(f"there is a token {name!r} already: revoke it first, or choose another name")
    secret = new_secret()
    token = StoredToken(
        digest=digest_of(secret), name=name, scope=scope, created_at=now, created_by=by, expires_at=expires_at
    )
    await store.put(token)
    return secret, token


async def revoke_tokens(store: TokenStore, name: str, *, by: str, now: float) -> int:
    """Revoke the live tokens of a name, and say how many. Raises `TokenError` if there is none."""
    found = await _live_tokens(store, name, now=now)
    if not found:
        raise TokenError(f"there is no live token {name[:80]!r}: list them with `famulus token ls`")
    for token in found:
        await store.revoke(token.digest, at=now, by=by)
    return len(found)


async def _live_tokens(store: TokenStore, name: str, *, now: float) -> list[StoredToken]:
    return [token for token in await store.all() if token.name == name and is_live(token, now=now)]
