"""Where webhooks that are waited for are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from famulus.ids import RunId, StepId


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """What a webhook is for."""

    digest: str
    """SHA-256 of its token, hexadecimal: whoever reads this cannot call it."""
    run_id: RunId
    step_id: StepId


class HookStore(Protocol):
    """Finds the step that a webhook belongs to. Whether the step waits, and waits for that token, its run knows."""

    async def put(self, hook: Hook) -> None: ...

    async def get(self, digest: str) -> Hook | None: ...

    async def secret(self, offered: bytes) -> bytes:
        """The secret that all workers of the installation share; the first one offered is kept for good."""
        ...
