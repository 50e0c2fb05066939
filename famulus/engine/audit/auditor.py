"""Reads runs from the store, and asks the rules about each.

Runs go on meanwhile. A run that is read while its owner writes it is read again; one that deviates is looked at once
more after a moment, and what is not so any more was only on its way. Memory holds as many runs as are read at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from famulus.engine.audit.around import Around, hooks_of, look_around, relatives_of, timer_rows
from famulus.engine.audit.deviation import Deviation
from famulus.engine.audit.rules import judged
from famulus.engine.audit.subject import Subject, read
from famulus.engine.claims import shown
from famulus.engine.forking import all_events
from famulus.engine.seals import visible_rows
from famulus.engine.timers import key_of
from famulus.errors import RunNotFoundError, TerminalError
from famulus.flow.limits import RunLimits
from famulus.flow.status import RUN_ENDED
from famulus.ids import RunId
from famulus.ports import EventRow, HookStore, RunRows, RunStore, TimerStore

if TYPE_CHECKING:
    from famulus.engine.catalog import Catalog
    from famulus.flow.waiting import TimerKey

READS: Final = 5
"""How often a run is read that is written meanwhile. Who is written all the time is left for the next audit."""
PAGE_RUNS: Final = 200
OLD_TIMERS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPorts:
    """What the auditor reads."""

    runs: RunStore
    timers: TimerStore | None = None
    """``None``: the rows of timers are not looked at."""
    hooks: HookStore | None = None
    """``None``: webhooks are not looked for."""
    partition_of: Callable[[RunId], int] | None = None
    """Of the jobs topic now; ``None``: as it was when a run started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOptions:
    grace: float = 60.0
    """Seconds by which a timer, or the news of a child, may be late."""
    settle: float = 1.0
    """Seconds after which a run that deviates is looked at again; 0: nothing goes on meanwhile, so it is not."""
    at_rest: bool = False
    """All that could be done should have been: whatever is due is stuck."""
    limits: RunLimits | None = None
    """Those that all workers have always had, if that is so."""
    runs_at_once: int = 16
    now: Callable[[], float] = time.time


DEFAULTS: Final = AuditOptions()


async def audit_run(
    ports: AuditPorts, catalog: Catalog, run_id: RunId, options: AuditOptions = DEFAULTS
) -> list[Deviation]:
    """What is wrong with one run. Raises `RunNotFoundError`."""
    if not await ports.runs.heads([run_id]):
        raise RunNotFoundError(run_id)
    return await _Auditor(ports, catalog, options).lasting([run_id])


async def audit_all(
    ports: AuditPorts, catalog: Catalog, options: AuditOptions = DEFAULTS, *, partitions: Iterable[int] = ()
) -> AsyncIterator[Deviation]:
    """What is wrong with any run of the store, and with timers of these partitions and of those that have runs."""
    auditor = _Auditor(ports, catalog, options)
    page: list[RunId] = []
    async for run_id in ports.runs.all_runs():
        page.append(run_id)
        if len(page) >= PAGE_RUNS:
            for deviation in await auditor.lasting(page):
                yield deviation
            page = []
    for deviation in await auditor.lasting(page):
        yield deviation
    for partition in sorted({*partitions, *auditor.partitions}):
        for deviation in await auditor.old_timers(partition):
            yield deviation


class _Auditor:
    def __init__(self, ports: AuditPorts, catalog: Catalog, options: AuditOptions) -> None:
        self._ports = ports
        self._runs = shown(ports.runs)  # of a large value it is enough to know that it is there
        self._catalog = catalog
        self._options = options
        self._slots = asyncio.Semaphore(options.runs_at_once)
        self.partitions: set[int] = set()
        """Of the runs that were looked at."""

    async def lasting(self, run_ids: Sequence[RunId]) -> list[Deviation]:
        """The deviations of these runs that are still there after a moment."""
        found = await self._deviations(run_ids)
        if not found or not self._options.settle:
            return found
        await asyncio.sleep(self._options.settle)
        again = await self._deviations(list(dict.fromkeys(deviation.run_id for deviation in found)))
        before = {(deviation.run_id, deviation.step_id, deviation.code) for deviation in found}
        return [each for each in again if (each.run_id, each.step_id, each.code) in before]

    async def _deviations(self, run_ids: Sequence[RunId]) -> list[Deviation]:
        each = await asyncio.gather(*map(self._deviations_of, run_ids))
        return [deviation for found in each for deviation in found]

    async def _deviations_of(self, run_id: RunId) -> list[Deviation]:
        async with self._slots:
            subject = await self._read(run_id)
            if not isinstance(subject, Subject):
                return list(subject)
            judged(subject)
            if subject.state is not None and subject.state.status not in RUN_ENDED:
                look_around(subject, await self._around(subject))
            return subject.found

    async def _read(self, run_id: RunId) -> Subject | Collection[Deviation]:
        for number in range(READS):
            found = await self._rows(run_id)
            if found is None:
                await asyncio.sleep(number * self._options.settle / READS)
                continue
            rows, events = found
            birth = rows.birth
            self.partitions.add(birth.partition)
            try:
                graph = await self._catalog.graph_of(birth)
            except TerminalError as error:
                return [Deviation(run_id, None, "blueprint.missing", f"no owner can load the run: {error}")]
            return read(graph, rows, events, limits=self._options.limits)
        return ()

    async def _rows(self, run_id: RunId) -> tuple[RunRows, list[EventRow]] | None:
        """What is visible of a run at one moment; ``None`` if it was written meanwhile, or has expired."""
        rows = await self._runs.load(run_id)
        if rows is None:
            return None
        rows = visible_rows(rows)
        events = [event async for event in all_events(self._runs, rows)]
        heads = await self._runs.heads([run_id])
        if run_id not in heads or heads[run_id][1].stamp != rows.head.stamp:
            return None
        return rows, events

    async def _around(self, subject: Subject) -> Around:
        ports, options, run_id = self._ports, self._options, subject.run_id
        hooks = {}
        if ports.hooks is not None:
            for digest in hooks_of(subject).values():
                hooks[digest] = await ports.hooks.get(digest)
        relatives = relatives_of(subject)
        return Around(
            in_open_index=run_id in await self._runs.in_open_index([run_id]),
            timers=None if ports.timers is None else await self._stored(ports.timers, subject),
            hooks=hooks,
            relatives=await self._runs.heads(relatives) if relatives else {},
            now=options.now(),
            grace=options.grace,
            at_rest=options.at_rest,
        )

    async def _stored(self, timers: TimerStore, subject: Subject) -> frozenset[TimerKey]:
        found: set[TimerKey] = set()
        for partition in self._partitions(subject):
            rows = timer_rows(subject, partition)
            if rows:
                found.update(map(key_of, await timers.stored(list(rows.values()))))
        return frozenset(found)

    def _partitions(self, subject: Subject) -> set[int]:
        """Where a timer of the run may be: the topic may have got more partitions since it began."""
        born = subject.rows.birth.partition
        return {born} if self._ports.partition_of is None else {born, self._ports.partition_of(subject.run_id)}

    async def old_timers(self, partition: int) -> list[Deviation]:
        """Rows of timers that are long due, and whose runs have ended or never were."""
        if self._ports.timers is None:
            return []
        until = self._options.now() - self._options.grace
        rows = await self._ports.timers.due(partition, until=until, limit=OLD_TIMERS)
        found = []
        for start in range(0, len(rows), PAGE_RUNS):
            some = rows[start : start + PAGE_RUNS]
            heads = await self._runs.heads(list(dict.fromkeys(row.run_id for row in some)))
            for row in some:
                status = heads[row.run_id][1].status if row.run_id in heads else "not there"
                if status in RUN_ENDED or row.run_id not in heads:
                    message = f"a timer was due at {row.due_at:.3f}, though the run is {status}"
                    told = f"{message}: nobody reads the timers of partition {row.partition}"
                    found.append(Deviation(row.run_id, row.step_id or None, "timer.left", told))
        return found
