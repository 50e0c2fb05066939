"""What a client needs from an installation. Two keep it: topics and store (`direct`), and the HTTP API (`http`).

Both raise the same errors of `famulus.errors` for the same reasons, so that a program need not know which one it has.
Every method may raise a `RetryableError` when a server does not answer; each may then be called again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from famulus.blueprint import Blueprint
from famulus.engine.asking import Commanded
from famulus.engine.reading import EventView, RunSummary, RunView, StepView
from famulus.engine.scheduling.book import Registered, ScheduleView
from famulus.engine.starting import Started, StartOutcome
from famulus.ids import BlueprintId, RunId
from famulus.ports import StoredBlueprint


class ScheduleTransport(Protocol):
    """What a client needs for schedules, as `famulus.engine.scheduling.book.StartingBook` says it."""

    async def create(self, document: Mapping[str, Any], *, replace_old: bool = False) -> Registered: ...

    async def all(self) -> Sequence[ScheduleView]: ...

    async def show(self, schedule_id: str) -> ScheduleView: ...

    async def pause(self, schedule_id: str, *, by: str | None = None) -> ScheduleView: ...

    async def unpause(self, schedule_id: str, *, by: str | None = None) -> ScheduleView: ...

    async def delete(self, schedule_id: str) -> None: ...

    async def trigger(self, schedule_id: str, *, at: str | float | None = None, by: str | None = None) -> Started: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who asks, and why."""

    by: str
    reason: str | None = None
    command_id: str | None = None
    """With the same id again nothing is done twice."""


class Transport(Protocol):
    @property
    def schedules(self) -> ScheduleTransport: ...

    async def start(
        self,
        blueprint_id: BlueprintId,
        *,
        version: str | None,
        input: dict[str, Any],
        run_id: RunId,
        start_at: float | str | None,
    ) -> StartOutcome:
        """Start a run, and wait some seconds for a worker to record it. The same call again starts nothing new.

        Raises `BlueprintNotFoundError`, `RunConflictError` if the id has another blueprint or input, `BadRecordError`.
        """
        ...

    async def fork(
        self, from_run: RunId, from_step: str, *, context: Mapping[str, Any], run_id: RunId, by: str
    ) -> StartOutcome:
        """Start a run with what another one had done before a step; wait and repeat as with `start`.

        Raises `RunNotFoundError`, `CommandRefusedError` where no run can begin, `RunConflictError`, `BadRecordError`.
        """
        ...

    async def command(self, run_id: RunId, command: str, given: Mapping[str, Any], *, asked: Asked) -> Commanded:
        """Ask something of a run, and wait some seconds for its owner to say what it makes of it.

        Raises `RunNotFoundError`, `CommandRefusedError`, `BadRecordError`.
        """
        ...

    async def cancel(self, run_id: RunId, *, by: str, reason: str, grace_seconds: float) -> RunSummary:
        """Ask for the end of a run; returns it as it was before. Raises `RunNotFoundError`, `RunEndedError`."""
        ...

    async def values(self, run_id: RunId, keys: Sequence[str]) -> Mapping[str, Any]:
        """Those of the context keys that are there. Raises `RunNotFoundError`."""
        ...

    async def steps(self, run_id: RunId, *, after: int, limit: int) -> Sequence[tuple[int, StepView]]:
        """Every step that is recorded, in order, with its place. Raises `RunNotFoundError`."""
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
