"""Steps that any worker may run: their records, and how the owner of their run waits for what becomes of them.

So are items of a `map` that are spread, and steps whose implementation the owner lacks (`famulus.engine.lending`); both
are called items here.

    owner ── item ─> items topic ─> any worker (`famulus.engine.items`) ── taken, outcome ─> jobs topic ─> owner

The owner decides when an item is due, and records how it ended; in between the item takes no slot of it. An item record
says which attempt is due and no more: what it runs, and on what, the rows of the run say. It may be lost or come twice.
So the owner sends it again when it has not heard of the item for a while, and takes each outcome once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import msgspec

from famulus.blueprint.values import ABSENT
from famulus.engine.backoff import Backoff
from famulus.engine.fields import shown
from famulus.engine.rows import encode
from famulus.errors import BadRecordError, RetryableError
from famulus.flow.batches import batch_id_of, is_spread
from famulus.flow.facts import ErrorInfo, Fact, StepFailed, StepParked, StepSucceeded, StepTaken
from famulus.flow.tasks import task_of
from famulus.ids import RUN_ID_PATTERN, RunId, StepId, is_run_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from famulus.engine.builtins import BuiltIns
    from famulus.engine.session import Session
    from famulus.flow.state import RunState, StepState
    from famulus.ports import Bus, Clock

log = logging.getLogger(__name__)

LOOKS_PER_PATIENCE: Final = 4
"""How often is looked for items that have not been heard of, while the owner is patient with one."""


class ItemDue(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="item", tag_field="type"):
    """An attempt of an item is due."""

    run_id: str
    step_id: str
    item: int
    """-1: a step that is no item, but lent."""
    attempt: int
    uses: str
    seq: int
    """Rows of the run from this place on tell all that the attempt needs."""
    round: int = -1
    """`BatchSpec.retried_seq`: the same attempt, after somebody had the failed items tried again, is another one."""
    first_partition: int | None = None
    """Where the record was first, if it has been passed on by workers that cannot run it."""
    hops: int = 0
    node_id: str = ""
    """Of a step that is lent."""
    asks: bool = False
    """Nothing is due: who has the implementation is to say so."""
    sent_at: float = 0.0
    """When its owner sent it first: which one of those of the same attempt it is. No clock is compared with it."""


class ItemTaken(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="taken", tag_field="type"):
    """A worker has the item in hand."""

    run_id: str
    step_id: str
    attempt: int
    worker: str
    at: float
    started_at: float | None = None
    """``None``: it still waits for its turn."""
    round: int = -1
    inherited: float | None = None
    """`ItemDue.sent_at` of a record that an earlier worker may have died of: not begun, for it is to be counted."""


class ItemOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="outcome", tag_field="type"):
    """How an attempt of an item has ended."""

    run_id: str
    step_id: str
    attempt: int
    worker: str
    at: float
    started_at: float
    status: Literal["succeeded", "failed", "parked"]
    round: int = -1
    output: Any = None
    action: str | None = None
    changes: dict[str, Any] = {}
    deleted: tuple[str, ...] = ()
    """Context keys."""
    error: ErrorInfo | None = None
    retryable: bool = False
    retry_after_ms: int | None = None
    fatal: bool = False
    reason: str | None = None

    def fact(self) -> Fact:
        step_id = StepId(self.step_id)
        changes = {**self.changes, **dict.fromkeys(self.deleted, ABSENT)}
        match self.status:
            case "succeeded":
                return StepSucceeded(
                    step_id=step_id,
                    attempt=self.attempt,
                    output=self.output,
                    action=self.action,
                    changes=changes,
                    started_at=self.started_at,
                    at=self.at,
                    worker=self.worker,
                )
            case "parked":
                return StepParked(step_id=step_id, attempt=self.attempt, reason=self.reason or "", at=self.at)
            case "failed":
                return StepFailed(
                    step_id=step_id,
                    attempt=self.attempt,
                    error=self.error or ErrorInfo(type="Error", message="the worker has not told why"),
                    retryable=self.retryable,
                    retry_after_ms=self.retry_after_ms,
                    fatal=self.fatal,
                    changes=changes,
                    started_at=self.started_at,
                    at=self.at,
                    worker=self.worker,
                )


ItemT = TypeVar("ItemT", ItemDue, ItemTaken, ItemOutcome)


def outcome_of(item: ItemDue, fact: Fact, *, worker: str) -> ItemOutcome:
    """What an attempt of the item came to. Only these three facts come of one that runs code of users."""
    told: dict[str, Any] = {
        "run_id": item.run_id,
        "step_id": item.step_id,
        "attempt": item.attempt,
        "round": item.round,
        "worker": worker,
    }
    match fact:
        case StepSucceeded():
            told |= {"status": "succeeded", "output": fact.output, "action": fact.action}
        case StepFailed():
            told |= {"status": "failed", "error": fact.error, "retryable": fact.retryable, "fatal": fact.fatal}
            told |= {"retry_after_ms": fact.retry_after_ms}
        case StepParked():
            return ItemOutcome(**told, status="parked", reason=fact.reason, at=fact.at, started_at=fact.at)
        case _:
            raise TypeError(f"an item came to {type(fact).__name__}")
    return ItemOutcome(
        **told,
        at=fact.at,
        started_at=fact.started_at,
        changes={key: value for key, value in fact.changes.items() if value is not ABSENT},
        deleted=tuple(key for key, value in fact.changes.items() if value is ABSENT),
    )


def item_record(record: ItemDue | ItemTaken | ItemOutcome) -> bytes:
    """Raises `OutputError` for values that cannot be written."""
    return encode(record)


def item_key(item: ItemDue) -> str:
    return f"{item.run_id}/{item.step_id if item.item < 0 else item.item}"


def read_item(document: dict[str, Any], kind: type[ItemT]) -> ItemT:
    """Raises `BadRecordError`."""
    try:
        read = msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise BadRecordError(f"the record of an item does not fit: {error}", code="wrong_type") from error
    if not is_run_id(read.run_id):
        raise BadRecordError(f"`run_id` is {shown(read.run_id)}, expected {RUN_ID_PATTERN.pattern}", code="bad_run_id")
    return read


@dataclass(slots=True, eq=False)
class _Out:
    """An item that a worker somewhere is to run, or runs."""

    item: ItemDue
    heard_at: float
    ran: float | None = None
    """For how many seconds, as far as was heard; ``None``: nobody has told that it was begun."""
    is_inherited: bool = False
    """A worker may have died of it."""
    recorded: asyncio.Event = field(default_factory=asyncio.Event)
    """Or given up: nobody waits for it any more."""


class ItemDesk:
    """Of an owner: the items that it has sent out."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        built_ins: BuiltIns,
        *,
        lends: Callable[[str], bool],
        patience_seconds: float,
        counts: Counter[str],
    ) -> None:
        self._lends = lends
        self._bus = bus
        self._clock = clock
        self._built_ins = built_ins
        self._patience_seconds = patience_seconds
        self._counts = counts
        self._out: dict[tuple[RunId, StepId], _Out] = {}
        self._looking: asyncio.Task[None] | None = None
        self._assigned_at = 0.0

    def assigned(self) -> None:
        self._assigned_at = self._clock.now()

    def has_just_sent(self, item: ItemDue) -> bool:
        """Whether this owner has sent it since the last assignment: then no other worker has had it before."""
        out = self._out.get((RunId(item.run_id), StepId(item.step_id)))
        return out is not None and out.item.sent_at == item.sent_at >= self._assigned_at

    @property
    def out(self) -> int:
        """How many items are out."""
        return len(self._out)

    def sends(self, run: RunState, step: StepState) -> bool:
        """Whether the step is for any worker that can run it, and not for the owner of the run."""
        uses = task_of(run, step).uses
        return self._lends(uses) or (is_spread(run, step) and uses not in self._built_ins)

    async def ask(self, run: RunState, step: StepState) -> None:
        """Ask all workers who has the implementation of the step. Raises `RetryableError`."""
        item = msgspec.structs.replace(_due(run, step), asks=True)
        await (await self._bus.send_item(item_key(item), item_record(item)))

    async def await_outcome(self, run: RunState, step: StepState) -> bool:
        """Send the item out; returns when its outcome is recorded. Cancel it when the item is not wanted any more.

        Or when a worker may have died of it, and says so: that is to be counted before it is sent again.
        """
        key, now = (run.run_id, step.step_id), self._clock.now()
        out = self._out[key] = _Out(msgspec.structs.replace(_due(run, step), sent_at=now), now)
        try:
            await self._send(out)
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look())
            await out.recorded.wait()
            return out.is_inherited
        finally:
            if self._out.get(key) is out:  # the next attempt may have taken its place
                del self._out[key]

    async def lasts(self, run_id: RunId, step_id: StepId, seconds: float) -> None:
        """Wait until a worker has told that it runs the item for so long: it may lie on the topic, or have died."""
        while True:
            await self._clock.sleep(seconds)
            out = self._out.get((run_id, step_id))
            if out is not None and out.ran is not None and out.ran >= seconds:
                return

    async def record(self, session: Session, told: ItemTaken | ItemOutcome) -> None:
        """Tell the run what was told of an item; what it does not wait for changes nothing."""
        step = session.run.steps.get(StepId(told.step_id))
        is_known = step is not None and self.sends(session.run, step) and _round(session.run, step) == told.round
        if step is None or not is_known or not step.is_due or step.attempt != told.attempt:
            self._counts["stale"] += 1
        elif isinstance(told, ItemOutcome):
            await session.report(told.fact())
        elif told.started_at is not None:
            await session.report(_taken(told, told.started_at))
        out = self._out.get((session.run_id, StepId(told.step_id)))
        if out is not None and (out.item.attempt, out.item.round) == (told.attempt, told.round):
            self._heard(out, told)

    def let_go(self, told: ItemTaken | ItemOutcome) -> None:
        """The run has ended: nobody waits for the item any more."""
        out = self._out.get((RunId(told.run_id), StepId(told.step_id)))
        if out is not None:
            out.recorded.set()

    def _heard(self, out: _Out, told: ItemTaken | ItemOutcome) -> None:
        if isinstance(told, ItemTaken) and told.inherited is not None:
            if told.inherited == out.item.sent_at:  # else that one is counted, and another one is out
                self._inherited(out)
            return
        out.heard_at = self._clock.now()
        if isinstance(told, ItemOutcome):
            out.recorded.set()
        elif told.started_at is not None:
            out.ran = told.at - told.started_at

    def _inherited(self, out: _Out) -> None:
        if not out.recorded.is_set():
            self._counts["items_inherited"] += 1
            out.is_inherited = True
            out.recorded.set()

    def wait_no_more(self) -> None:
        """Let go of what is out. It stays due, and whoever owns the run next sends it again."""
        for out in self._out.values():
            out.recorded.set()

    async def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    async def _send(self, out: _Out) -> None:
        backoff = Backoff()
        while True:
            try:
                await (await self._bus.send_item(item_key(out.item), item_record(out.item)))
            except RetryableError as error:
                log.info(
                    "item %s is not on the topic yet: %s",
                    out.item.step_id,
                    error,
                    extra={"action": "item_retried", "run_id": out.item.run_id},
                )
                await self._clock.sleep(backoff.next())
            else:
                out.heard_at = self._clock.now()
                return

    async def _look(self) -> None:
        """Send again what nobody has told of for too long: its record, its worker or its outcome may be lost."""
        while self._out:
            await self._clock.sleep(self._patience_seconds / LOOKS_PER_PATIENCE)
            silent_since = self._clock.now() - self._patience_seconds
            for out in [out for out in self._out.values() if out.heard_at <= silent_since]:
                if out.ran is not None:
                    self._inherited(out)  # whoever had begun it would have told of it
                elif not out.recorded.is_set():
                    self._counts["items_sent_again"] += 1
                    await self._send(out)


def _round(run: RunState, step: StepState) -> int:
    """`BatchSpec.retried_seq` of an item; -1 for another step."""
    batch = None if step.item is None else run.batches.get(batch_id_of(step))
    return -1 if batch is None else batch.spec.retried_seq


def _due(run: RunState, step: StepState) -> ItemDue:
    if step.item is None:
        return ItemDue(
            run_id=run.run_id,
            step_id=step.step_id,
            node_id=step.node_id,
            item=-1,
            attempt=step.attempt,
            uses=task_of(run, step).uses,
            seq=run.next_seq - 1,
        )
    batch_id = batch_id_of(step)
    spec = run.batches[batch_id].spec
    return ItemDue(
        run_id=run.run_id,
        step_id=step.step_id,
        item=step.item or 0,
        attempt=step.attempt,
        uses=spec.uses,
        seq=max(run.steps[batch_id].seq, step.seq),
        round=spec.retried_seq,
    )


def _taken(told: ItemTaken, started_at: float) -> StepTaken:
    return StepTaken(
        step_id=StepId(told.step_id),
        attempt=told.attempt,
        worker=told.worker,
        started_at=started_at,
        at=told.at,
    )
