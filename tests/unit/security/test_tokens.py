"""Tokens: what is kept of them, which names they may have, and for how long they are remembered."""

from __future__ import annotations

import pytest

from famulus.adapters.memory import MemoryTokenStore
from famulus.errors import TokenError
from famulus.security.keyring import Keyring
from famulus.security.scopes import Scope
from famulus.security.tokens import create_token, digest_of, revoke_tokens


class Now:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


async def test_a_token_has_256_random_bits_and_only_its_digest_is_kept() -> None:
    store = MemoryTokenStore()

    secret, stored = await create_token(store, "ci", Scope.OPERATOR, by="ops", now=1.0)
    other, _ = await create_token(store, "other", Scope.OPERATOR, by="ops", now=1.0)

    assert secret.startswith("famulus_")
    assert len(secret) == len("famulus_") + 43
    assert secret != other
    assert stored.digest == digest_of(secret)
    assert secret not in repr(await store.all())


@pytest.mark.parametrize("name", ["", " ", "a b", "-a", "x" * 65, "a\nb", "\x1b[31m"])
async def test_a_name_that_could_not_stand_in_a_log_is_refused(name: str) -> None:
    with pytest.raises(TokenError, match="cannot be the name of a token"):
        await create_token(MemoryTokenStore(), name, Scope.VIEWER, by="ops", now=1.0)


async def test_two_live_tokens_do_not_share_a_name() -> None:
    store = MemoryTokenStore()
    await create_token(store, "ci", Scope.VIEWER, by="ops", now=1.0, expires_at=5.0)

    with pytest.raises(TokenError, match="already"):
        await create_token(store, "ci", Scope.VIEWER, by="ops", now=2.0)

    await create_token(store, "ci", Scope.VIEWER, by="ops", now=6.0)


async def test_revoking_what_does_not_live_says_so() -> None:
    with pytest.raises(TokenError, match="no live token"):
        await revoke_tokens(MemoryTokenStore(), "ci", by="ops", now=1.0)


async def test_a_token_that_expires_is_not_remembered_for_longer() -> None:
    store, now = MemoryTokenStore(), Now()
    secret, _ = await create_token(store, "ci", Scope.VIEWER, by="ops", now=now.at, expires_at=now.at + 1)
    keyring = Keyring(lambda: store, now=now, session_seconds=60)
    assert await keyring.holder_of_token(secret) is not None

    now.at += 1

    assert await keyring.holder_of_token(secret) is None


async def test_a_session_is_over_after_its_time_and_by_logging_out() -> None:
    store, now = MemoryTokenStore(), Now()
    secret, _ = await create_token(store, "ci", Scope.VIEWER, by="ops", now=now.at)
    keyring = Keyring(lambda: store, now=now, session_seconds=60)
    begun, ended = await keyring.begin_session(secret), await keyring.begin_session(secret)
    assert begun is not None
    assert ended is not None

    await keyring.end_session(ended[0])
    assert await keyring.holder_of_session(begun[0]) is not None
    assert await keyring.holder_of_session(ended[0]) is None
    now.at += 60

    assert await keyring.holder_of_session(begun[0]) is None


async def test_wrong_tokens_fill_no_memory() -> None:
    keyring = Keyring(MemoryTokenStore, now=Now(), session_seconds=60)

    for number in range(100):
        assert await keyring.holder_of_token(f"wrong-{number}") is None

    assert not keyring._known


async def test_a_scope_of_a_later_version_allows_nothing() -> None:
    store = MemoryTokenStore()
    secret, _ = await create_token(store, "ci", "emperor", by="ops", now=1.0)  # type: ignore[arg-type]

    assert await Keyring(lambda: store, now=Now(), session_seconds=60).holder_of_token(secret) is None
