"""The auditor asked about what tests have made: it has nothing to say, whatever was done to the runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from famulus.engine.audit import AuditOptions, AuditPorts, Deviation, audit_all, deviations_of
from famulus.engine.catalog import Catalog
from famulus.engine.rows import context_row, encode, ending_row, step_row
from famulus.ids import BlueprintId, Epoch, stamp_of
from famulus.ports import EventRow, HookStore, RunBirth, RunHead, RunRows, RunStore, TimerStore
from famulus.testing.stage import Stage

if TYPE_CHECKING:
    from support.heart import Heart

STAMP = stamp_of(Epoch(1), 1)
SETTLE_SECONDS = 5.0
"""In which a slow worker is done with what an audit has seen in the middle."""


def rows_of(heart: Heart) -> tuple[RunRows, list[EventRow]]:
    """What a store would hold of a run that was driven by hand."""
    run = heart.run
    rows = RunRows(
        birth=RunBirth(
            run_id=run.run_id,
            blueprint_id=BlueprintId(heart.graph.blueprint.id),
            version=heart.graph.blueprint.version,
            digest=heart.graph.digest,
            input=msgspec.json.encode(heart.initial),
            input_digest="",
            partition=0,
            created_at=run.created_at,
        ),
        head=RunHead(
            status=run.status.value,
            reason=run.reason,
            updated_at=heart.time,
            ended_at=run.ended_at,
            next_seq=run.next_seq,
            ending=ending_row(run.ending),
            stamp=STAMP,
        ),
        steps=[step_row(step, STAMP) for step in heart.step_rows.values()],
        context=[context_row(write.key, write.value, write.seq, STAMP) for write in heart.context_rows.values()],
    )
    events = [
        EventRow(seq=event.seq, type=event.type, at=event.at, data=encode(event.data), stamp=STAMP)
        for event in heart.events
    ]
    return rows, events


def deviations_by_hand(heart: Heart) -> list[Deviation]:
    rows, events = rows_of(heart)
    return deviations_of(heart.graph, rows, events, limits=heart.run.limits)


async def assert_well(
    runs: RunStore,
    catalog: Catalog,
    *,
    timers: TimerStore | None = None,
    hooks: HookStore | None = None,
    now: float | None = None,
) -> None:
    """Nothing deviates in any run of the store. Where the time is given nothing goes on meanwhile."""
    options = AuditOptions(settle=SETTLE_SECONDS) if now is None else AuditOptions(settle=0, now=lambda: now)
    ports = AuditPorts(runs=runs, timers=timers, hooks=hooks)
    found = [str(deviation) async for deviation in audit_all(ports, catalog, options)]
    assert not found, "\n".join(found)


class AuditedStage(Stage):
    """A stage whose runs have to agree with themselves when it closes."""

    async def __aexit__(self, *failed: object) -> None:
        await super().__aexit__(*failed)
        if not any(failed):
            await assert_well(self.runs, Catalog(self.blueprints, self.clock.now), now=self.clock.now())
