"""Producing what is missing around a run, so that its owner goes on with it.

Nobody but the owner writes the rows of a run. So a run is only asked to be looked after, by a record as any program may
send it; and hints are stored again that follow from its rows: a timer, a webhook. Nothing of it can do harm: an owner
that finds nothing to do does nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from famulus.engine.audit.around import hooks_of, timer_rows
from famulus.engine.audit.subject import read
from famulus.engine.parents import parent_of
from famulus.engine.records import wake_record
from famulus.engine.seals import visible_rows
from famulus.ports import Hook

if TYPE_CHECKING:
    from famulus.engine.audit.auditor import AuditPorts
    from famulus.engine.audit.deviation import Deviation
    from famulus.engine.audit.subject import Subject
    from famulus.engine.catalog import Catalog
    from famulus.ids import RunId, StepId
    from famulus.ports import Bus

WAKEN: Final = frozenset(
    {"index.lost", "timer.missing", "timer.overdue", "child.missing", "child.unheard", "child.orphan", "step.stuck"}
)
REPAIRABLE: Final = WAKEN | {"hook.missing"}
"""Codes of what can be repaired: what is wrong with the rows themselves is for people."""


class Repairer:
    """A run is asked once to be looked after, however much is wrong with it."""

    def __init__(self, ports: AuditPorts, catalog: Catalog, bus: Bus) -> None:
        self._ports = ports
        self._catalog = catalog
        self._bus = bus
        self._woken: set[RunId] = set()

    async def repair(self, deviation: Deviation) -> str | None:
        """What was produced; ``None`` if nothing can be. Raises `RetryableError`."""
        if deviation.code not in REPAIRABLE:
            return None
        subject = await self._subject(deviation.run_id)
        if subject is None:
            return None
        if deviation.code == "hook.missing":
            return await self._put_hooks(subject, deviation.step_id)
        stored = await self._put_timers(subject) if deviation.code == "timer.missing" else 0
        parent = parent_of(subject.rows.birth)
        run_id = parent.run_id if deviation.code == "child.orphan" and parent is not None else deviation.run_id
        await self._wake(run_id)
        return f"run {run_id} is to be looked after" + (f", and {stored} timers are stored again" if stored else "")

    async def _subject(self, run_id: RunId) -> Subject | None:
        rows = await self._ports.runs.load(run_id)
        if rows is None:
            return None
        birth = rows.birth
        graph = await self._catalog.graph_of(birth)
        return read(graph, visible_rows(rows), ())

    async def _put_hooks(self, subject: Subject, step_id: StepId | None) -> str | None:
        digest = None if step_id is None else hooks_of(subject).get(step_id)
        if self._ports.hooks is None or digest is None or step_id is None:
            return None
        await self._ports.hooks.put(Hook(digest=digest, run_id=subject.run_id, step_id=step_id))
        return f"the webhook of {step_id} is stored again"

    async def _put_timers(self, subject: Subject) -> int:
        rows = list(timer_rows(subject, self._bus.partition_of(subject.run_id)).values())
        if self._ports.timers is not None and rows:
            await self._ports.timers.put(rows)
        return len(rows)

    async def _wake(self, run_id: RunId) -> None:
        if run_id not in self._woken:
            await (await self._bus.send_job(run_id, wake_record(run_id)))
            self._woken.add(run_id)
