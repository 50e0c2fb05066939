"""Items of anybody's runs: a worker makes the attempt that a record of the items topic asks for, and tells its end.

It owns nothing of the run and writes none of its rows. It reads the run once for a batch, and whatever the attempt
comes to goes to the owner as a record on the jobs topic (`famulus.engine.spreading`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from famulus.engine.attempts import Attempts
from famulus.engine.backoff import Backoff
from famulus.engine.burying import bury
from famulus.engine.catalog import Catalog
from famulus.engine.execution import Executor
from famulus.engine.loader import state_of
from famulus.engine.records import parse_item
from famulus.engine.seals import visible_rows
from famulus.engine.spreading import ItemDue, ItemOutcome, ItemTaken, item_key, item_record, outcome_of
from famulus.errors import (
    BadRecordError,
    OutputError,
    OwnershipLostError,
    RetryableError,
    StoreUnavailableError,
    TerminalError,
)
from famulus.faultpoints import K1, K3, ON, reach
from famulus.flow.batches import item_step_id
from famulus.flow.facts import ErrorInfo
from famulus.flow.state import StepState, is_undoing
from famulus.flow.status import RUN_ENDED, StepStatus
from famulus.ids import NodeId, RunId, StepId

if TYPE_CHECKING:
    from collections.abc import Callable

    from famulus.flow.state import RunState
    from famulus.ports import Bus, Clock, Record, RunStore

log = logging.getLogger(__name__)

RUNS_REMEMBERED: Final = 16
BEATS_PER_PATIENCE: Final = 3
"""How often the owner of an item is told that a worker has it, while it is patient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemOptions:
    worker: str
    max_record_bytes: int
    max_outcome_bytes: int
    taken_seconds: float
    handover_seconds: float
    patience_seconds: float


class RunsRead:
    """States of runs as they were read from their rows, newer than what was asked for, and perhaps not the newest."""

    def __init__(self, store: RunStore, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog
        self._known: OrderedDict[RunId, RunState] = OrderedDict()
        self._reading: dict[RunId, asyncio.Task[RunState | None]] = {}

    async def read(self, run_id: RunId, *, seq: int) -> RunState | None:
        """A state of the run that holds its rows up to this place; ``None`` if there is no such run.

        Whoever asks while somebody's read is under way waits for that, and reads again only if it has begun too early.
        """
        for _ in range(2):
            known = self._known.get(run_id)
            if known is not None and known.next_seq > seq:
                self._known.move_to_end(run_id)
                return known
            reading = self._reading.get(run_id)
            if reading is None:
                reading = self._reading[run_id] = asyncio.create_task(self._read(run_id))
                reading.add_done_callback(partial(self._has_read, run_id))
            run = await asyncio.shield(reading)
            if run is None or run.next_seq > seq:
                return run
        raise StoreUnavailableError(f"the store does not tell yet what run {run_id!r} has recorded")

    async def _read(self, run_id: RunId) -> RunState | None:
        rows = await self._store.load(run_id)
        if rows is None:
            return None
        rows = visible_rows(rows)
        birth = rows.birth
        graph = await self._catalog.graph_of(birth)
        try:
            run = state_of(graph, rows)
        except Exception as error:
            raise BadRecordError(
                f"run {run_id!r} cannot be read from its rows: {error!r}", code="unreadable_run"
            ) from error
        self._known[run_id] = run
        if len(self._known) > RUNS_REMEMBERED:
            self._known.popitem(last=False)
        return run

    def _has_read(self, run_id: RunId, task: asyncio.Task[RunState | None]) -> None:
        if self._reading.get(run_id) is task:
            del self._reading[run_id]
        if not task.cancelled():
            task.exception()  # told to whoever has waited, and to nobody if nobody has


class ItemWorker:
    """Handles records of the items topic, whichever partitions they come from."""

    def __init__(
        self,
        executor: Executor,
        *,
        store: RunStore,
        catalog: Catalog,
        bus: Bus,
        clock: Clock,
        has_just_sent: Callable[[ItemDue], bool],
        options: ItemOptions,
        counts: Counter[str],
    ) -> None:
        self.attempts = Attempts()
        self._executor = executor
        self._store = store
        self._runs = RunsRead(store, catalog)
        self._bus = bus
        self._clock = clock
        self._has_just_sent = has_just_sent
        self._options = options
        self._counts = counts
        self._leaving = False

    async def handle(self, record: Record) -> None:
        """Make the attempt that the record asks for; returns when its outcome is on the jobs topic.

        One that takes long is not waited for: the owner of the run sends its record again if this worker dies with it.
        Raises `RetryableError` as `famulus.engine.engine.Engine.handle` does.
        """
        try:
            item = parse_item(record.value, max_bytes=self._options.max_record_bytes)
            if item.uses not in self._executor.registry and (await self._pass_on(item, record.partition) or item.asks):
                return
            if item.asks:
                await self._say_that_it_is_here(item)
                return
            await self._attend(item, record)
        except BadRecordError as error:
            await bury(record, error, bus=self._bus, counts=self._counts)
        except TerminalError as error:
            cannot = BadRecordError(str(error), code="cannot_be_handled")
            await bury(record, cannot, bus=self._bus, counts=self._counts)

    def start_no_more(self) -> None:
        self._leaving = True

    async def stop(self, grace_seconds: float) -> None:
        """Give attempts some time to end, then cancel them; their owners send them again."""
        self.start_no_more()
        await self.attempts.wait(grace_seconds)
        await self.attempts.cancel_all()

    async def _attend(self, item: ItemDue, record: Record) -> None:
        run_id, step_id = RunId(item.run_id), StepId(item.step_id)
        if self._leaving and self.attempts.task_of(run_id, step_id) is None:
            raise OwnershipLostError("this worker is about to stop and starts no more items")
        if record.is_inherited and self._may_have_killed(item):
            # A worker may have died of it: its owner counts that, and sends it anew.
            await (await self._bus.send_job(run_id, item_record(self._taken(item, None, inherited=item.sent_at))))
            return
        run = await self._runs.read(run_id, seq=item.seq)
        if run is None:
            raise BadRecordError(f"run {run_id!r} does not exist", code="unknown_run")
        step = _lent(run, item) if item.item < 0 else _step_of(run, item)
        if step is None:
            self._counts["stale"] += 1
            return
        self.attempts.start(
            run_id, step_id, attempt=item.attempt, partition=record.partition, body=partial(self._run, item, run, step)
        )
        task = self.attempts.task_of(run_id, step_id)
        if task is None:
            return
        await asyncio.wait({task}, timeout=self._options.handover_seconds)
        if not task.done():
            self._counts["handed_over"] += 1
        elif task.cancelled():
            if not await self._is_unwanted(run_id, step_id):
                raise OwnershipLostError(f"item {step_id!r} of run {run_id!r} was stopped")
            self._counts["stale"] += 1

    def _may_have_killed(self, item: ItemDue) -> bool:
        runs_here = self.attempts.task_of(RunId(item.run_id), StepId(item.step_id)) is not None
        return item.sent_at > 0 and not runs_here and not self._has_just_sent(item)

    async def _run(self, item: ItemDue, run: RunState, step: StepState) -> None:
        begun_at: list[float] = []
        telling = asyncio.create_task(self._tell_that_it_is_in_hand(item, begun_at))
        if ON:
            reach(K1, item.run_id)
        try:
            fact = await self._executor.attempt(run, step, begun=lambda: begun_at.append(self._clock.now()))
        finally:
            telling.cancel()
        if ON:
            reach(K3, item.run_id)
        self._counts["attempts"] += 1
        self._counts["items"] += 1
        await self._tell(outcome_of(item, fact, worker=self._options.worker))

    async def _tell(self, outcome: ItemOutcome) -> None:
        """Put the outcome onto the jobs topic, however long it takes."""
        value, most = item_record(outcome), self._options.max_outcome_bytes
        if len(value) > most:
            message = f"output and context changes of the item have {len(value)} bytes, at most {most} can be sent"
            value = item_record(_too_large(outcome, message))
        backoff = Backoff()
        while True:
            try:
                await (await self._bus.send_job(RunId(outcome.run_id), value))
            except RetryableError as error:
                log.info(
                    "outcome of item %s not told yet: %s",
                    outcome.step_id,
                    error,
                    extra={"action": "outcome_retried", "run_id": outcome.run_id},
                )
                await self._clock.sleep(backoff.next())
            except OutputError as error:
                value = item_record(_too_large(outcome, str(error)))
            else:
                return

    async def _tell_that_it_is_in_hand(self, item: ItemDue, begun_at: list[float]) -> None:
        """Tell it until the run has gone on without the item: then stop the attempt, after a grace of one beat."""
        run_id, step_id = RunId(item.run_id), StepId(item.step_id)
        every = self._options.patience_seconds / BEATS_PER_PATIENCE
        await self._clock.sleep(min(self._options.taken_seconds, every))
        while True:
            try:
                if await self._is_unwanted(run_id, step_id):
                    break
                taken = self._taken(item, begun_at[0] if begun_at else None)
                await self._bus.send_job(run_id, item_record(taken))
            except RetryableError:
                self._counts["items_not_told"] += 1  # the next one says the same
            await self._clock.sleep(every)
        with self.attempts.patience(run_id, every):
            self.attempts.stop(run_id, step_id)

    async def _is_unwanted(self, run_id: RunId, step_id: StepId) -> bool:
        """Whether the run has ended, or undoes what it has done: nobody can tell a worker that, so it has to look."""
        heads = await self._store.heads([run_id])
        if run_id not in heads:
            return False
        _, head = heads[run_id]
        return head.status in RUN_ENDED or (head.ending is not None and not is_undoing(step_id))

    async def _say_that_it_is_here(self, item: ItemDue) -> None:
        """A step is parked for want of an implementation that this worker has: let its owner send it."""
        if not self._leaving:
            await (await self._bus.send_job(RunId(item.run_id), item_record(self._taken(item, None))))

    def _taken(self, item: ItemDue, started_at: float | None, *, inherited: float | None = None) -> ItemTaken:
        return ItemTaken(
            run_id=item.run_id,
            step_id=item.step_id,
            attempt=item.attempt,
            round=item.round,
            worker=self._options.worker,
            at=self._clock.now(),
            started_at=started_at,
            inherited=inherited,
        )

    async def _pass_on(self, item: ItemDue, partition: int) -> bool:
        """Put the record onto the next partition, until it comes back to where it was first; then say no."""
        first = partition if item.first_partition is None else item.first_partition
        if item.hops and partition == first:
            return False
        self._counts["items_passed_on"] += 1
        onward = msgspec.structs.replace(item, first_partition=first, hops=item.hops + 1)
        await (await self._bus.send_item(item_key(item), item_record(onward), beyond=onward.hops))
        return True


def _step_of(run: RunState, item: ItemDue) -> StepState | None:
    """The step to be tried; ``None`` if the run has gone on without it."""
    step_id = StepId(item.step_id)
    batch = run.batches.get(StepId(item.step_id.rpartition("[")[0]))
    known = run.steps.get(step_id)
    if run.status in RUN_ENDED or batch is None or batch.spec.retried_seq != item.round or item.item in batch.ended:
        return None
    if not item.item < batch.spec.count or item_step_id(batch.step_id, item.item) != step_id:
        return None
    if known is not None:
        return known if known.is_live and known.attempt == item.attempt else None
    if item.attempt != 1:
        return None
    return StepState(step_id=step_id, node_id=batch.node_id, status=StepStatus.SCHEDULED, item=item.item)


def _lent(run: RunState, item: ItemDue) -> StepState | None:
    """As `_step_of`, for a step that is no item. That it is due its owner knows: a join may just have been counted."""
    step_id, node_id = StepId(item.step_id), NodeId(item.node_id)
    known = run.steps.get(step_id)
    if known is not None:
        return known if known.is_active and known.item is None and known.attempt == item.attempt else None
    if run.status in RUN_ENDED or item.attempt != 1 or node_id not in run.graph.nodes:
        return None
    if run.step_id_of(node_id) != step_id:
        return None
    return StepState(step_id=step_id, node_id=node_id, status=StepStatus.SCHEDULED)


def _too_large(outcome: ItemOutcome, message: str) -> ItemOutcome:
    return msgspec.structs.replace(
        outcome,
        status="failed",
        output=None,
        action=None,
        changes={},
        deleted=(),
        error=ErrorInfo(type="OutputError", message=message),
        retryable=False,
    )
