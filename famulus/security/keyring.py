"""Who a token or a session belongs to, without asking the store for every request.

An answer is kept for some seconds: for so long a token that was revoked may still be taken. That there is no such token
is not kept, so that strangers cannot fill the memory; they are held off by `famulus.security.failures`.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final

from famulus.ports import StoredSession, TokenStore
from famulus.security.scopes import Caller, Scope
from famulus.security.tokens import PRESENTED_CHARACTERS_MAX, RANDOM_BYTES, digest_of, is_live

KEPT_SECONDS: Final = 5.0
KEPT_MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    until: float


class Keyring:
    def __init__(self, store: Callable[[], TokenStore], *, now: Callable[[], float], session_seconds: float) -> None:
        """The store is asked for when it is needed: the views are made before it is open."""
        self._store = store
        self._now = now
        self._session_seconds = session_seconds
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def knows(self, presented: str) -> bool:
        """Whether this was found good a moment ago."""
        return self._remembered(digest_of(presented)) is not None

    async def holder_of_token(self, presented: str) -> Caller | None:
        """Raises `RetryableError` when the store does not answer: nobody is let in then who is not known."""
        return await self._find(presented, self._of_token)

    async def holder_of_session(self, presented: str) -> Caller | None:
        """As `holder_of_token`, for what a browser was given at its login."""
        return await self._find(presented, self._of_session)

    async def begin_session(self, presented: str) -> tuple[str, Caller] | None:
        """A new session for the holder of a token, with what the browser is to send; ``None`` for no good token."""
        caller = await self.holder_of_token(presented)
        if caller is None:
            return None
        secret = secrets.token_urlsafe(RANDOM_BYTES)
        session = StoredSession(
            digest=digest_of(secret), token=digest_of(presented), expires_at=self._now() + self._session_seconds
        )
        await self._store().put_session(session)
        return secret, caller

    async def end_session(self, presented: str) -> None:
        """For good. Another worker may know it for some seconds yet."""
        digest = digest_of(presented)
        self._known.pop(digest, None)
        await self._store().end_session(digest)

    async def _find(self, presented: str, find: Callable[[str], Awaitable[_Known | None]]) -> Caller | None:
        if not 0 < len(presented) <= PRESENTED_CHARACTERS_MAX:
            return None
        digest = digest_of(presented)
        known = self._remembered(digest)
        if known is None:
            known = await find(digest)
            if known is None:
                return None
            self._remember(digest, known)
        return known.caller

    def _remembered(self, digest: str) -> _Known | None:
        known = self._known.get(digest)
        if known is not None and known.until <= self._now():
            del self._known[digest]
            return None
        return known

    def _remember(self, digest: str, known: _Known) -> None:
        self._known[digest] = known
        self._known.move_to_end(digest)
        while len(self._known) > KEPT_MOST:
            self._known.popitem(last=False)

    async def _of_token(self, digest: str) -> _Known | None:
        token = await self._store().get(digest)
        now = self._now()
        # The store was asked by the digest; that it answered with this very one is compared in constant time.
        if token is None or not compare_digest(token.digest, digest) or not is_live(token, now=now):
            return None
        scope = next((scope for scope in Scope if scope == token.scope), None)
        if scope is None:  # of a later version: what it would allow is not known here
            return None
        until = now + KEPT_SECONDS
        return _Known(
            Caller(name=token.name, scope=scope), until if token.expires_at is None else min(until, token.expires_at)
        )

    async def _of_session(self, digest: str) -> _Known | None:
        session = await self._store().session(digest)
        now = self._now()
        if session is None or not compare_digest(session.digest, digest) or session.expires_at <= now:
            return None
        known = await self._of_token(session.token)
        return None if known is None else _Known(known.caller, min(known.until, session.expires_at))
