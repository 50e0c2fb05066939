"""Webhooks in a dictionary."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from famulus.ports import Hook


class MemoryHookStore:
    """Keeps `famulus.ports.HookStore`. Workers of one test share the object."""

    def __init__(self) -> None:
        self._hooks: dict[str, Hook] = {}
        self._secret: bytes | None = None

    async def put(self, hook: Hook) -> None:
        self._hooks.setdefault(hook.digest, hook)

    async def get(self, digest: str) -> Hook | None:
        return self._hooks.get(digest)

    async def secret(self, offered: bytes) -> bytes:
        if self._secret is None:
            self._secret = offered
        return self._secret
