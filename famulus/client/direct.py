"""The transport over the jobs topic and the store: no worker has to be reached, only to be there some time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from famulus.blueprint import Blueprint
from famulus.client.transport import Asked
from famulus.engine.asking import Commanded
from famulus.engine.catalog import Catalog
from famulus.engine.reading import EventView, RunReader, RunSummary, RunView, StepView
from famulus.engine.scheduling.book import StartingBook
from famulus.engine.starting import RunStarter, StartOutcome
from famulus.ids import BlueprintId, RunId
from famulus.ports import StoredBlueprint

START_SECONDS: Final = 5.0
"""As long as the HTTP API waits for a worker to record the run."""


class DirectTransport:
    """Keeps `famulus.client.Transport`."""

    def __init__(self, reader: RunReader, starter: RunStarter, catalog: Catalog, *, schedules: StartingBook) -> None:
        self.schedules = schedules
        self._reader = reader
        self._starter = starter
        self._catalog = catalog

    async def start(
        self,
        blueprint_id: BlueprintId,
        *,
        version: str | None,
        input: dict[str, Any],
        run_id: RunId,
        start_at: float | str | None,
    ) -> StartOutcome:
        started = await self._starter.start(
            blueprint_id,
            version=version,
            input=input,
            run_id=run_id,
            start_at=start_at,
            patience_seconds=START_SECONDS,
        )
        return started.outcome

    async def fork(
        self, from_run: RunId, from_step: str, *, context: Mapping[str, Any], run_id: RunId, by: str
    ) -> StartOutcome:
        started = await self._starter.fork(
            from_run, from_step, context=context, run_id=run_id, by=by, patience_seconds=START_SECONDS
        )
        return started.outcome

    async def command(self, run_id: RunId, command: str, given: Mapping[str, Any], *, asked: Asked) -> Commanded:
        return await self._starter.commands.send(
            run_id,
            command,
            given,
            by=asked.by,
            reason=asked.reason,
            command_id=asked.command_id,
            patience_seconds=START_SECONDS,
        )

    async def cancel(self, run_id: RunId, *, by: str, reason: str, grace_seconds: float) -> RunSummary:
        return await self._starter.cancel(run_id, by=by, reason=reason, grace_seconds=grace_seconds)

    async def values(self, run_id: RunId, keys: Sequence[str]) -> Mapping[str, Any]:
        return await self._reader.values(run_id, keys)

    async def steps(self, run_id: RunId, *, after: int, limit: int) -> Sequence[tuple[int, StepView]]:
        return await self._reader.steps(run_id, after=after, limit=limit)

    async def summary(self, run_id: RunId) -> RunSummary:
        summary, _ = await self._reader.summary(run_id)
        return summary

    async def view(self, run_id: RunId) -> RunView:
        return await self._reader.show(run_id)

    async def events(self, run_id: RunId, *, after: int, limit: int) -> Sequence[EventView]:
        return await self._reader.events(run_id, after=after, limit=limit)

    async def recent(
        self, *, limit: int, before: float | None, status: str | None, blueprint_id: str | None
    ) -> Sequence[RunSummary]:
        return await self._reader.recent(limit=limit, before=before, status=status, blueprint_id=blueprint_id)

    async def push(self, blueprint: Blueprint) -> StoredBlueprint:
        return await self._catalog.register(blueprint)
