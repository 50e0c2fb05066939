"""Lets a run go on in steps: what is to be stored waits here until it may be."""

from __future__ import annotations

import asyncio
from typing import Final

COMMIT: Final = "store.commit"


class Gate:
    """Of one engine; hook `before` of its machine."""

    def __init__(self) -> None:
        self._allowed = 0
        self._is_open = False
        self._changed = asyncio.Event()

    async def before(self, call: str) -> None:
        if call != COMMIT:
            return
        while not (self._is_open or self._allowed):
            self._changed.clear()
            await self._changed.wait()
        self._allowed = max(0, self._allowed - 1)

    def allow_one(self) -> None:
        self._allowed = 1
        self._changed.set()

    def open(self) -> None:
        self._is_open = True
        self._changed.set()

    def close(self) -> None:
        self._is_open = False
        self._allowed = 0
