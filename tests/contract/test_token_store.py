"""What every store of tokens promises; see `famulus.ports.TokenStore`."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from famulus.ports import StoredSession, StoredToken

if TYPE_CHECKING:
    from conftest import Backend

NOW = round(time.time(), 3)
DAY = 86_400
"""Longer than from here, when the tests are collected, to the last of them."""
TOKEN = StoredToken(digest="ab" * 32, name="ci ü", scope="operator", created_at=NOW, created_by="ops")
SESSION = StoredSession(digest="ef" * 32, token=TOKEN.digest, expires_at=NOW + DAY)


async def test_a_token_is_found_by_its_digest_in_its_own_namespace(backend: Backend, namespace: str) -> None:
    here, there = await backend.token_store(namespace), await backend.token_store(f"{namespace}_2")

    await here.put(TOKEN)
    await here.put(TOKEN)

    assert await (await backend.token_store(namespace)).get(TOKEN.digest) == TOKEN
    assert await here.get("cd" * 32) is None
    assert await there.get(TOKEN.digest) is None


async def test_all_tokens_are_told_by_name(backend: Backend, namespace: str) -> None:
    tokens = await backend.token_store(namespace)
    expiring = replace(TOKEN, digest="cd" * 32, name="a", expires_at=NOW + DAY)

    await tokens.put(TOKEN)
    await tokens.put(expiring)

    assert list(await tokens.all()) == [expiring, TOKEN]


async def test_a_revoked_token_stays_revoked(backend: Backend, namespace: str) -> None:
    tokens = await backend.token_store(namespace)
    await tokens.put(TOKEN)

    await tokens.revoke(TOKEN.digest, at=NOW + 1, by="boss")
    await tokens.revoke(TOKEN.digest, at=NOW + 2, by="somebody else")
    await tokens.put(TOKEN)

    assert await tokens.get(TOKEN.digest) == replace(TOKEN, revoked_at=NOW + 1, revoked_by="boss")


async def test_revoking_what_nobody_made_makes_nothing(backend: Backend, namespace: str) -> None:
    tokens = await backend.token_store(namespace)

    await tokens.revoke("cd" * 32, at=NOW, by="boss")

    assert await tokens.get("cd" * 32) is None
    assert list(await tokens.all()) == []


async def test_a_session_that_has_ended_does_not_come_back(backend: Backend, namespace: str) -> None:
    tokens, other = await backend.token_store(namespace), await backend.token_store(namespace)

    await tokens.put_session(SESSION)
    assert await other.session(SESSION.digest) == SESSION
    await other.end_session(SESSION.digest)
    await other.end_session(SESSION.digest)

    assert await tokens.session(SESSION.digest) is None
