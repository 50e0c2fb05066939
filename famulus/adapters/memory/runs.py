"""Runs in dictionaries.

The rule it guards is that of every run store: of two rows with the same key and epoch the one with the higher stamp
stays, in whatever order they come. What is handed in or out shares nothing mutable with what is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeVar

from famulus.adapters.memory.timers import MemoryTimerStore
from famulus.ids import epoch_of
from famulus.ports import RunRows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from famulus.ids import Epoch, RunId, Stamp, StepId
    from famulus.ports import Commit, ContextRow, EventRow, RunBirth, RunHead, StepRow


class _Stamped(Protocol):
    @property
    def stamp(self) -> Stamp: ...


RowT = TypeVar("RowT", bound=_Stamped)
KeyT = TypeVar("KeyT")


@dataclass(frozen=True, slots=True)
class _Birth:
    birth: RunBirth
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class _Head:
    head: RunHead
    stamp: Stamp
    is_open: bool


@dataclass(slots=True)
class _StoredRun:
    birth: _Birth | None = None
    head: _Head | None = None
    steps: dict[tuple[StepId, Epoch], StepRow] = field(default_factory=dict)
    context: dict[tuple[str, Epoch], ContextRow] = field(default_factory=dict)
    events: dict[tuple[int, Epoch], EventRow] = field(default_factory=dict)

    @property
    def birth_and_head(self) -> tuple[RunBirth, RunHead] | None:
        if self.birth is None or self.head is None:
            return None
        return self.birth.birth, self.head.head


class MemoryRunStore:
    """Keeps `famulus.ports.RunStore`. Workers of one test that shall share runs share the object."""

    def __init__(self) -> None:
        self.timers = MemoryTimerStore()
        self._runs: dict[RunId, _StoredRun] = {}

    async def commit(self, commit: Commit) -> None:
        run = self._runs.setdefault(commit.birth.run_id, _StoredRun())
        stamp = commit.stamp
        epoch = epoch_of(stamp)
        self.timers.keep([replace(timer, stamp=stamp) for timer in commit.timers])
        if commit.first:
            run.birth = _newer(run.birth, _Birth(commit.birth, stamp))
        head = replace(commit.head, seals=MappingProxyType(dict(commit.head.seals)), stamp=stamp)
        run.head = _newer(run.head, _Head(head, stamp, is_open=not commit.closes))
        for step in commit.steps:
            _keep(run.steps, (step.step_id, epoch), replace(step, stamp=stamp))
        for row in commit.context:
            _keep(run.context, (row.key, epoch), replace(row, stamp=stamp))
        for event in commit.events:
            _keep(run.events, (event.seq, epoch), replace(event, stamp=stamp))

    async def load(self, run_id: RunId) -> RunRows | None:
        run = self._runs.get(run_id)
        if run is None or run.birth_and_head is None:
            return None
        birth, head = run.birth_and_head
        return RunRows(birth=birth, head=head, steps=tuple(run.steps.values()), context=tuple(run.context.values()))

    async def heads(self, run_ids: Sequence[RunId]) -> Mapping[RunId, tuple[RunBirth, RunHead]]:
        asked = ((run_id, self._runs.get(run_id)) for run_id in run_ids)
        return {run_id: run.birth_and_head for run_id, run in asked if run is not None and run.birth_and_head}

    async def events(self, run_id: RunId, *, after: int = -1, limit: int = 1000) -> Sequence[EventRow]:
        run = self._runs.get(run_id)
        if run is None:
            return ()
        rows = sorted((row for row in run.events.values() if row.seq > after), key=lambda row: (row.seq, row.stamp))
        last = rows[limit - 1].seq if len(rows) > limit else None
        return tuple(row for row in rows if last is None or row.seq <= last)

    async def open_runs(self, partition: int, *, known: Callable[[RunId], bool] | None = None) -> AsyncIterator[RunId]:
        # A copy: the caller commits to these runs while it goes through them.
        for run_id, run in tuple(self._runs.items()):
            if known is not None and known(run_id):
                continue
            if run.birth and run.birth.birth.partition == partition and run.head and run.head.is_open:
                yield run_id

    async def recent(self, *, limit: int, before: float | None = None) -> Sequence[RunId]:
        births = (run.birth.birth for run in self._runs.values() if run.birth)
        earlier = (birth for birth in births if before is None or birth.created_at < before)
        newest_first = sorted(earlier, key=lambda birth: (birth.created_at, birth.run_id), reverse=True)
        return tuple(birth.run_id for birth in newest_first[:limit])

    async def all_runs(self) -> AsyncIterator[RunId]:
        for run_id, run in tuple(self._runs.items()):
            if run.birth_and_head:
                yield run_id

    async def in_open_index(self, run_ids: Sequence[RunId]) -> frozenset[RunId]:
        asked = ((run_id, self._runs.get(run_id)) for run_id in run_ids)
        return frozenset(run_id for run_id, run in asked if run and run.birth and run.head and run.head.is_open)


def _keep(rows: dict[KeyT, RowT], key: KeyT, offered: RowT) -> None:
    rows[key] = _newer(rows.get(key), offered)


def _newer(known: RowT | None, offered: RowT) -> RowT:
    if known is None or offered.stamp > known.stamp:
        return offered
    return known
