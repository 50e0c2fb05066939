"""Webhooks in Cassandra, and the secret that their tokens are made with.

How: see ``cql/schema/0007_hooks.cql``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from famulus.ids import RunId, StepId
from famulus.ports import Hook

if TYPE_CHECKING:
    from famulus.adapters.cassandra.database import CassandraDatabase

SECRET_NAME: Final = "hooks"  # noqa: S105  # what the secret is for, not the secret

STAMP: Final = 1


class CassandraHookStore:
    """The `HookStore` of one namespace."""

    def __init__(self, database: CassandraDatabase, *, namespace: str = "default") -> None:
        self._database = database
        self._namespace = namespace

    async def put(self, hook: Hook) -> None:
        await self._database.execute(
            "insert_hook", (self._namespace, hook.digest, hook.run_id, hook.step_id, STAMP, STAMP)
        )

    async def get(self, digest: str) -> Hook | None:
        found = await self._database.execute("select_hook", (self._namespace, digest))
        return Hook(digest=digest, run_id=RunId(found[0][0]), step_id=StepId(found[0][1])) if found else None

    async def secret(self, offered: bytes) -> bytes:
        """As the port says, by a transaction: of two workers that start at once, each must get what one has offered."""
        key = (self._namespace, SECRET_NAME)
        kept = await self._database.execute_serial("select_secret", key)
        if not kept:
            await self._database.execute("keep_secret", (*key, offered))
            kept = await self._database.execute_serial("select_secret", key)
        return bytes(kept[0][0])
