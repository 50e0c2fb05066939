"""Reads runs from the store, and asks the rules about each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from famulus.engine.audit.rules import deviations_of
from famulus.engine.forking import all_events
from famulus.engine.seals import visible_rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from famulus.engine.audit.deviation import Deviation
    from famulus.engine.catalog import Catalog
    from famulus.ids import RunId
    from famulus.ports import HookStore, RunStore, TimerStore


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPorts:
    """What the auditor reads."""

    runs: RunStore
    timers: TimerStore | None = None
    """``None``: the rows of timers are not looked at."""
    hooks: HookStore | None = None
    """``None``: webhooks are not looked for."""


async def audit_run(ports: AuditPorts, catalog: Catalog, run_id: RunId) -> list[Deviation]:
    """What is wrong with one run. Raises `RunNotFoundError`."""
    rows = await ports.runs.load(run_id)
    if rows is None:
        return []
    rows = visible_rows(rows)
    birth = rows.birth
    graph = await catalog.pinned(birth.digest, blueprint_id=birth.blueprint_id, version=birth.version)
    events = [event async for event in all_events(ports.runs, rows)]
    return deviations_of(graph, rows, events)


async def audit_all(ports: AuditPorts, catalog: Catalog) -> AsyncIterator[Deviation]:
    """What is wrong with any run of the store."""
    for run_id in await ports.runs.recent(limit=1_000_000):
        for deviation in await audit_run(ports, catalog, run_id):
            yield deviation
