"""Starting and cancelling runs from outside: what the API and the command line do.

Both put a record on the jobs topic, as any producer may. The owner of the run decides; here is only seen what it did.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from famulus.engine.catalog import Catalog
from famulus.engine.reading import RunSummary, is_ended, summary
from famulus.engine.records import cancel_record, parse_job, start_record
from famulus.engine.rows import input_digest
from famulus.errors import InputError, RunConflictError, RunEndedError, RunNotFoundError
from famulus.ids import RUN_ID_PATTERN, BlueprintId, RunId, is_run_id
from famulus.ports import Bus, RunBirth, RunHead, RunStore

FIRST_LOOK_SECONDS: Final = 0.02
LONGEST_LOOK_SECONDS: Final = 0.25


class StartOutcome(StrEnum):
    STARTED = "started"
    EXISTING = "existing"
    """The run was there, with the same blueprint and input."""
    ACCEPTED = "accepted"
    """The record is on the topic; no worker has recorded the run yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    run_id: RunId
    outcome: StartOutcome
    summary: RunSummary | None
    """``None`` while the run is only accepted."""


class RunStarter:
    def __init__(self, store: RunStore, catalog: Catalog, bus: Bus, *, max_record_bytes: int = 1_000_000) -> None:
        self._store = store
        self._catalog = catalog
        self._bus = bus
        self._max_record_bytes = max_record_bytes

    async def start(
        self,
        blueprint_id: BlueprintId,
        *,
        version: str | None = None,
        input: dict[str, Any] | None = None,
        run_id: str | None = None,
        patience_seconds: float = 0.0,
    ) -> Started:
        """Start a run, under a new id unless one is given; wait so long for its owner to record it.

        Raises `BlueprintNotFoundError`; `RunConflictError` if the id is taken by a run with another blueprint or input,
        which the owner records as an event of that run; `InputError` for an id that cannot be one; `BadRecordError`
        for what no owner would take, such as an input that is too large.
        """
        chosen = run_id if run_id is not None else uuid.uuid4().hex
        if not is_run_id(chosen):
            raise InputError(f"{chosen[:200]!r} cannot be a run id, expected {RUN_ID_PATTERN.pattern}")
        known = RunId(chosen)
        record = start_record(known, blueprint_id, input=input or {}, version=version)
        parse_job(record, max_bytes=self._max_record_bytes)
        graph = await self._catalog.find(blueprint_id, version)
        before = await self._birth_and_head(known)
        await (await self._bus.send_job(known, record))
        found = before or await self._appears(known, patience_seconds)
        if found is None:
            return Started(run_id=known, outcome=StartOutcome.ACCEPTED, summary=None)
        birth, head = found
        if birth.blueprint_id != blueprint_id or (version is not None and birth.version != version):
            raise RunConflictError(known, f"blueprint {birth.blueprint_id!r} version {birth.version!r}")
        if birth.input_digest != input_digest(input or {}):
            raise RunConflictError(known, f"another input (of blueprint {graph.blueprint.id!r})")
        outcome = StartOutcome.STARTED if before is None else StartOutcome.EXISTING
        return Started(run_id=known, outcome=outcome, summary=summary(birth, head))

    async def cancel(self, run_id: RunId, *, by: str, reason: str) -> RunSummary:
        """Ask the owner to cancel a run; returns the run as it was before.

        Raises `RunNotFoundError`, and `RunEndedError` if there is nothing left to cancel.
        """
        found = await self._birth_and_head(run_id)
        if found is None:
            raise RunNotFoundError(run_id)
        if is_ended(found[1].status):
            raise RunEndedError(run_id, found[1].status)
        await (await self._bus.send_job(run_id, cancel_record(run_id, by=by, reason=reason)))
        return summary(*found)

    async def _birth_and_head(self, run_id: RunId) -> tuple[RunBirth, RunHead] | None:
        return (await self._store.heads([run_id])).get(run_id)

    async def _appears(self, run_id: RunId, patience_seconds: float) -> tuple[RunBirth, RunHead] | None:
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + patience_seconds, FIRST_LOOK_SECONDS
        while (found := await self._birth_and_head(run_id)) is None and loop.time() < end:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_LOOK_SECONDS)
        return found
