"""Runs for those who look: lists, one run with its steps and context, its events. Reads rows; owns nothing.

What is shown is derived as the owner derives it, from the blueprint and the visible rows, so a view cannot disagree
with the run: steps that are due show as scheduled, nodes that were not reached as pending, or
as not run once the run has ended.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from famulus.blueprint.values import ABSENT
from famulus.engine.builtins.child_ids import child_run_id
from famulus.engine.catalog import Catalog
from famulus.engine.claims import shown
from famulus.engine.loader import state_of
from famulus.engine.parents import Parent, parent_of
from famulus.engine.rows import decode, step_state
from famulus.engine.seals import visible_events, visible_rows
from famulus.engine.standing import ItemCounts, waiting_view
from famulus.errors import RunNotFoundError
from famulus.flow.state import RunState, StepState
from famulus.flow.status import RUN_ENDED, STEP_DUE, RunStatus, StepStatus
from famulus.flow.tasks import task_of
from famulus.flow.waiting import TimerKey, TimerKind
from famulus.ids import NodeId, RunId, StepId
from famulus.ports import EventRow, Progress, ProgressBoard, RunBirth, RunHead, RunRows, RunStore

SUBFLOW: Final = "subflow"
PENDING: Final = "pending"
"""Shown for a node that the run has not reached yet."""
NOT_RUN: Final = "not_run"
"""Shown for a node that the run had not reached when it ended: a compensation, or what a cancelled run left out."""
LIST_PAGE: Final = 200
LOOKED_THROUGH: Final = 10_000
"""Of the newest runs, so many are looked through for those that a filter lets pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    run_id: RunId
    blueprint_id: str
    version: str
    status: str
    reason: str | None
    created_at: float
    updated_at: float
    ended_at: float | None

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    step_id: StepId
    node_id: NodeId
    uses: str
    status: str
    """A `StepStatus`, `pending` or `not_run`."""
    attempt: int
    output: Any
    """`ABSENT` unless the step has completed."""
    action: str | None
    reason: str | None
    error: dict[str, str] | None
    worker: str | None
    started_at: float | None
    ended_at: float | None
    progress: dict[str, Any] | None = None
    """Of a step that runs: `fraction`, `text` and `at`, as it told last."""
    child: RunId | None = None
    """The run that the step waits for, or has waited for in its last attempt."""
    item: int | None = None
    """Which item of a batch it is, from 0."""
    waiting: dict[str, Any] | None = None
    """What a step that waits is waiting for; see `famulus.engine.standing`."""
    wake_at: float | None = None
    """When its sleep, its delay or the time that it waits for is over."""
    items: dict[str, int] | None = None
    """Of a step with items: `count`, and how many are `done` and `failed`."""

    def as_json(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in fields.items() if value is not ABSENT}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    seq: int
    type: str
    at: float
    data: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {"seq": self.seq, "type": self.type, "at": self.at, **self.data}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    summary: RunSummary
    digest: str
    partition: int
    input: dict[str, Any]
    steps: tuple[StepView, ...]
    """In the order of the blueprint's nodes."""
    context: dict[str, Any]
    """The keys that belong to the result, outputs under their node's id included."""
    ending: str | None = None
    """The status that the run will end with, while its completed steps are being compensated."""
    starts_at: float | None = None
    """When a run begins that was started for later."""
    parent: Parent | None = None
    """The run and step that wait for this run, if it is a child."""

    def as_json(self) -> dict[str, Any]:
        return {
            **self.summary.as_json(),
            "digest": self.digest,
            "partition": self.partition,
            "input": self.input,
            "parent": None if self.parent is None else asdict(self.parent),
            "ending": self.ending,
            "starts_at": self.starts_at,
            "steps": [step.as_json() for step in self.steps],
            "context": self.context,
        }


class RunReader:
    def __init__(self, store: RunStore, catalog: Catalog, progress: ProgressBoard | None = None) -> None:
        self._store = shown(store)
        self._whole = store
        self._catalog = catalog
        self._progress = progress

    async def recent(
        self,
        *,
        limit: int = 50,
        before: float | None = None,
        status: str | None = None,
        blueprint_id: str | None = None,
    ) -> list[RunSummary]:
        """Runs, newest first, created before the given time.

        Filters are applied while paging back in time, as far as `LOOKED_THROUGH` runs: what matches may be older.
        """
        found: list[RunSummary] = []
        looked_through = 0
        while len(found) < limit and looked_through < LOOKED_THROUGH:
            run_ids = await self._store.recent(limit=LIST_PAGE if status or blueprint_id else limit, before=before)
            heads = await self._store.heads(run_ids)
            page = [summary(*heads[run_id]) for run_id in run_ids if run_id in heads]
            found += [run for run in page if status in (None, run.status) and blueprint_id in (None, run.blueprint_id)]
            if not page or not (status or blueprint_id):
                break
            looked_through += len(page)
            before = page[-1].created_at
        return found[:limit]

    async def summary(self, run_id: RunId) -> tuple[RunSummary, RunBirth]:
        """Status and origin of a run, cheaply. Raises `RunNotFoundError`."""
        heads = await self._store.heads([run_id])
        if run_id not in heads:
            raise RunNotFoundError(run_id)
        birth, head = heads[run_id]
        return summary(birth, head), birth

    async def show(self, run_id: RunId) -> RunView:
        """Everything about a run but its events. Raises `RunNotFoundError`, `BlueprintNotFoundError`.

        Of each node its latest step; of items how many there are. All that is recorded pages by `steps`. In place of
        a value that is too large for a row stands its size (`famulus.engine.claims`): `values` gives it whole.
        """
        run, rows = await self._run(run_id)
        birth, counts = rows.birth, ItemCounts(run.steps.values(), rows.steps)
        latest = _latest(run)
        steps = [_step_view(run, node_id, latest.get(node_id), counts) for node_id in run.graph.nodes]
        return RunView(
            summary=summary(birth, rows.head),
            digest=birth.digest,
            partition=birth.partition,
            input=decode(birth.input),
            steps=await self._with_progress(run, steps),
            parent=parent_of(birth),
            context=dict(run.user_context()),
            ending=None if run.ending is None else run.ending.status.value,
            starts_at=run.timers.get(TimerKey(TimerKind.START, StepId(""))),
        )

    async def steps(self, run_id: RunId, *, after: int = -1, limit: int = 500) -> list[tuple[int, StepView]]:
        """Every step that is recorded, items and earlier rounds among them, with its place in the order of the run.

        Give the last place as ``after`` to go on; a step that is recorded anew comes to a later one. Raises as `show`.
        """
        run, rows = await self._run(run_id)
        counts = ItemCounts(run.steps.values(), rows.steps)
        page = sorted((row for row in rows.steps if row.seq > after), key=lambda row: row.seq)[:limit]
        return [(row.seq, _view_of(run, step_state(row), counts)) for row in page]

    async def values(self, run_id: RunId, keys: Collection[str]) -> dict[str, Any]:
        """Those of the context keys that are there, however large. Raises as `show`."""
        run, _ = await self._run(run_id, self._whole)
        context = run.user_context()
        return {key: context[key] for key in keys if key in context}

    async def _run(self, run_id: RunId, store: RunStore | None = None) -> tuple[RunState, RunRows]:
        rows = await (store or self._store).load(run_id)
        if rows is None:
            raise RunNotFoundError(run_id)
        rows = visible_rows(rows)
        birth = rows.birth
        graph = await self._catalog.graph_of(birth)
        return state_of(graph, rows), rows

    async def _with_progress(self, run: RunState, steps: Sequence[StepView]) -> tuple[StepView, ...]:
        if self._progress is None or not run.live:
            return tuple(steps)
        known = await self._progress.of(run.run_id)
        return tuple(_told(step, known.get(step.step_id)) for step in steps)

    async def events(self, run_id: RunId, *, after: int = -1, limit: int = 1000) -> Sequence[EventView]:
        """What happened in a run, in order. Raises `RunNotFoundError`."""
        events = await self._store.events(run_id, after=after, limit=limit)
        heads = await self._store.heads([run_id])
        if run_id not in heads:
            raise RunNotFoundError(run_id)
        _, head = heads[run_id]
        return [_event_view(event) for event in visible_events(events, head)]


def summary(birth: RunBirth, head: RunHead) -> RunSummary:
    return RunSummary(
        run_id=birth.run_id,
        blueprint_id=birth.blueprint_id,
        version=birth.version,
        status=head.status,
        reason=head.reason,
        created_at=birth.created_at,
        updated_at=head.updated_at,
        ended_at=head.ended_at,
    )


def is_ended(status: str) -> bool:
    return status in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)


def _latest(run: RunState) -> dict[NodeId, StepState]:
    """Of each node the step that was recorded last, or is due."""
    latest: dict[NodeId, StepState] = {}
    for step in sorted(run.steps.values(), key=lambda step: (step.is_live, step.seq)):
        if step.item is None:
            latest[step.node_id] = step
    return latest


def _step_view(run: RunState, node_id: NodeId, step: StepState | None, counts: ItemCounts) -> StepView:
    if step is not None:
        return _view_of(run, step, counts)
    step_id = run.step_id_of(node_id)
    unreached = StepState(step_id=step_id, node_id=node_id, status=StepStatus.SCHEDULED)
    return replace(_view_of(run, unreached, counts), status=_status_unreached(run, step_id))


def _status_unreached(run: RunState, step_id: StepId) -> str:
    if run.status in RUN_ENDED:
        return NOT_RUN
    return StepStatus.SCHEDULED.value if step_id in run.pending_joins else PENDING


def _view_of(run: RunState, step: StepState, counts: ItemCounts) -> StepView:
    error = step.error
    return StepView(
        step_id=step.step_id,
        node_id=step.node_id,
        uses=task_of(run, step).uses,
        status=step.status.value,
        attempt=step.attempt,
        output=step.output,
        action=step.action,
        reason=step.reason,
        error=None if error is None else {"type": error.type, "message": error.message, "traceback": error.traceback},
        worker=step.worker,
        started_at=step.started_at,
        ended_at=step.ended_at,
        child=_child_of(run, step),
        item=step.item,
        waiting=waiting_view(step),
        wake_at=step.wake_at if step.is_live else None,
        items=counts.of(step),
    )


def _child_of(run: RunState, step: StepState) -> RunId | None:
    is_subflow = task_of(run, step).uses == SUBFLOW
    is_mapped = step.item is not None and run.graph.node(step.node_id).params.get("blueprintId") is not None
    if step.started_at is None or not (is_subflow or is_mapped):
        return None
    return child_run_id(run.run_id, step.step_id, attempt=step.attempt)


def _told(step: StepView, progress: Progress | None) -> StepView:
    """With its progress, as long as it runs; what the attempt before it told is none."""
    if progress is None or step.status not in STEP_DUE or progress.at < (step.started_at or 0.0):
        return step
    told = {"fraction": progress.fraction, "text": progress.text, "at": progress.at}
    return replace(step, progress=told)


def _event_view(row: EventRow) -> EventView:
    return EventView(seq=row.seq, type=row.type, at=row.at, data=decode(row.data))
