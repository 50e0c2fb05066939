"""Starting runs from outside, afresh or as the fork of another: what the API and the command line do.

All put a record on the jobs topic, as any producer may. The owner of the run decides; here is only seen what it did.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from famulus.engine.asking import Commands
from famulus.engine.catalog import Catalog
from famulus.engine.forking import nodes_again
from famulus.engine.loader import state_of
from famulus.engine.reading import RunSummary, summary
from famulus.engine.records import Fork, fork_record, parse_job, start_record
from famulus.engine.rows import input_digest
from famulus.engine.seals import visible_rows
from famulus.errors import InputError, RunConflictError, RunNotFoundError
from famulus.ids import RUN_ID_PATTERN, BlueprintId, RunId, StepId, is_run_id
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
        self.commands = Commands(store, bus, max_record_bytes=max_record_bytes)

    async def start(
        self,
        blueprint_id: BlueprintId,
        *,
        version: str | None = None,
        input: dict[str, Any] | None = None,
        run_id: str | None = None,
        start_at: float | str | None = None,
        by: str | None = None,
        patience_seconds: float = 0.0,
    ) -> Started:
        """Start a run, under a new id unless one is given; wait so long for its owner to record it.

        With a time it exists at once and begins then: seconds since the Unix epoch, or ISO 8601 with its offset.

        Raises `BlueprintNotFoundError`; `RunConflictError` if the id is taken by a run with another blueprint or input,
        which the owner records as an event of that run; `InputError` for an id that cannot be one; `BadRecordError`
        for what no owner would take, such as an input that is too large.
        """
        known = _chosen(run_id)
        record = start_record(known, blueprint_id, input=input or {}, version=version, start_at=start_at, by=by)
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

    async def cancel(self, run_id: RunId, *, by: str, reason: str, grace_seconds: float = 0.0) -> RunSummary:
        """Ask for the end of a run; returns it as it was before. Raises `RunNotFoundError`, `RunEndedError`."""
        asked = await self.commands.send(run_id, "cancel", {"grace_seconds": grace_seconds}, by=by, reason=reason)
        return asked.run

    async def fork(
        self,
        from_run: RunId,
        from_step: str,
        *,
        context: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        by: str,
        patience_seconds: float = 0.0,
    ) -> Started:
        """Start a run with what another one had done before a step; the other one is left as it is.

        Raises `RunNotFoundError`, `CommandRefusedError` where no run can begin, `RunConflictError`, `BadRecordError`.
        """
        known = _chosen(run_id)
        record = fork_record(known, from_run=from_run, from_step=StepId(from_step), context=context or {}, by=by)
        fork = parse_job(record, max_bytes=self._max_record_bytes)
        rows = await self._store.load(from_run)
        if rows is None or not isinstance(fork, Fork):
            raise RunNotFoundError(from_run)
        birth = rows.birth
        graph = await self._catalog.graph_of(birth)
        nodes_again(fork, state_of(graph, visible_rows(rows)))
        before = await self._birth_and_head(known)
        if before is None:
            await (await self._bus.send_job(known, record))
        found = before or await self._appears(known, patience_seconds)
        if found is None:
            return Started(run_id=known, outcome=StartOutcome.ACCEPTED, summary=None)
        if (found[0].digest, found[0].input_digest) != (birth.digest, birth.input_digest):
            raise RunConflictError(known, "another blueprint or input")
        outcome = StartOutcome.STARTED if before is None else StartOutcome.EXISTING
        return Started(run_id=known, outcome=outcome, summary=summary(*found))

    async def _birth_and_head(self, run_id: RunId) -> tuple[RunBirth, RunHead] | None:
        return (await self._store.heads([run_id])).get(run_id)

    async def _appears(self, run_id: RunId, patience_seconds: float) -> tuple[RunBirth, RunHead] | None:
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + patience_seconds, FIRST_LOOK_SECONDS
        while (found := await self._birth_and_head(run_id)) is None and loop.time() < end:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_LOOK_SECONDS)
        return found


def _chosen(run_id: str | None) -> RunId:
    """A new id unless one is given. Raises `InputError`."""
    chosen = uuid.uuid4().hex if run_id is None else run_id
    if not is_run_id(chosen):
        raise InputError(f"{chosen[:200]!r} cannot be a run id, expected {RUN_ID_PATTERN.pattern}")
    return RunId(chosen)
