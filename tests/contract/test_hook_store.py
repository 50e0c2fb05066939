"""What every store of webhooks promises; see `famulus.ports.HookStore`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from famulus.ids import RunId, StepId
from famulus.ports import Hook

if TYPE_CHECKING:
    from conftest import Backend

HOOK = Hook(digest="ab" * 32, run_id=RunId("order-17"), step_id=StepId("ask ü[2]"))


async def test_a_webhook_is_found_by_its_digest(backend: Backend, namespace: str) -> None:
    hooks = await backend.hook_store(namespace)

    await hooks.put(HOOK)
    await hooks.put(HOOK)

    assert await hooks.get(HOOK.digest) == HOOK
    assert await hooks.get("cd" * 32) is None


async def test_another_client_finds_it_in_its_own_namespace(backend: Backend, namespace: str) -> None:
    here, there = await backend.hook_store(namespace), await backend.hook_store(f"{namespace}_2")

    await here.put(HOOK)

    assert await (await backend.hook_store(namespace)).get(HOOK.digest) == HOOK
    assert await there.get(HOOK.digest) is None


async def test_the_first_secret_that_was_offered_stays(backend: Backend, namespace: str) -> None:
    one, other = await backend.hook_store(namespace), await backend.hook_store(namespace)

    assert await one.secret(b"first \x00\xff") == b"first \x00\xff"
    assert await other.secret(b"second") == b"first \x00\xff"


async def test_workers_that_start_at_once_get_one_secret(backend: Backend, namespace: str) -> None:
    clients = [await backend.hook_store(namespace), await backend.hook_store(namespace)]
    offered = [bytes([number]) * 32 for number in range(8)]

    kept = await asyncio.gather(*(clients[at % 2].secret(secret) for at, secret in enumerate(offered)))

    assert len(set(kept)) == 1
    assert kept[0] in offered


async def test_namespaces_have_secrets_of_their_own(backend: Backend, namespace: str) -> None:
    here, there = await backend.hook_store(namespace), await backend.hook_store(f"{namespace}_2")

    assert [await here.secret(b"here"), await there.secret(b"there")] == [b"here", b"there"]
