"""Servers that keep a worker waiting: what it asks for is done when a test lets it."""

from __future__ import annotations

import asyncio
from typing import Any

from famulus.ports import Commit


class HeldCommits:
    """A store between a worker and the rows: while it is held, commits wait, as those of a stopped process do."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.free = asyncio.Event()
        self.free.set()
        self.waiting = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, commit: Commit) -> None:
        self.waiting += 1
        await self.free.wait()
        self.waiting -= 1
        await self._store.commit(commit)


class HeldJoins:
    """Redis between a worker and its counts: what is counted while it is held is answered later."""

    def __init__(self, joins: Any) -> None:
        self._joins = joins
        self.free = asyncio.Event()
        self.waiting = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._joins, name)

    async def arrive(self, *arguments: Any) -> Any:
        self.waiting += 1
        await self.free.wait()
        return await self._joins.arrive(*arguments)
