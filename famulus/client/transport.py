"""What a client needs from an installation. Two keep it: topics and store (`direct`), and the HTTP API (`http`).

Both raise the same errors of `famulus.errors` for the same reasons, so that a program need not know which one it has.
Every method may raise a `RetryableError` when a server does not answer; each may then be called again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from famulus.blueprint import Blueprint
from famulus.engine.reading import EventView, RunSummary, RunView
from famulus.engine.starting import StartOutcome
from famulus.ids import BlueprintId, RunId
from famulus.ports import StoredBlueprint


class Transport(Protocol):
    async def start(
        self, blueprint_id: BlueprintId, *, version: str | None, input: dict[str, Any], run_id: RunId
    ) -> StartOutcome:
        """Start a run, and wait some seconds for a worker to record it. The same call again starts nothing new.

        Raises `BlueprintNotFoundError`, `RunConflictError` if the id has another blueprint or input, `BadRecordError`.
        """
        ...

    async def cancel(self, run_id: RunId, *, by: str, reason: str) -> RunSummary:
        """Ask for the end of a run; returns it as it was before. Raises `RunNotFoundError`, `RunEndedError`."""
        ...

    async def summary(self, run_id: RunId) -> RunSummary:
        """Where a run stands, cheaply. Raises `RunNotFoundError`."""
        ...

    async def view(self, run_id: RunId) -> RunView:
        """Everything about a run but its events. Raises `RunNotFoundError`."""
        ...

    async def events(self, run_id: RunId, *, after: int, limit: int) -> Sequence[EventView]:
        """Events with a number above ``after``, in order. Raises `RunNotFoundError`."""
        ...

    async def recent(
        self, *, limit: int, before: float | None, status: str | None, blueprint_id: str | None
    ) -> Sequence[RunSummary]:
        """Runs, newest first, created before the given time."""
        ...

    async def push(self, blueprint: Blueprint) -> StoredBlueprint:
        """Register a blueprint; the same one again changes nothing. Raises `BlueprintConflictError`."""
        ...
