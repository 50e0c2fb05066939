"""What becomes of a record: it is parsed, its run is found, and the record told to it; or it becomes a dead letter."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Final, assert_never

from famulus.engine.burying import bury
from famulus.engine.children import Children
from famulus.engine.claims import Claims, redeemed
from famulus.engine.commands import COMMAND_ID_CHARACTERS, Cancel, ChildNotice, Command, Migrate
from famulus.engine.items import ItemWorker
from famulus.engine.lending import Lending
from famulus.engine.records import (
    Claimed,
    Fork,
    ItemNews,
    Job,
    Start,
    StepHint,
    TimerDueRecord,
    Wake,
    parse_job,
    parse_redeemed,
)
from famulus.engine.runs import Runs
from famulus.engine.session import Session
from famulus.engine.spreading import ItemDesk
from famulus.engine.steps import StepRunner
from famulus.errors import (
    BadRecordError,
    BlueprintError,
    BlueprintNotFoundError,
    OutputError,
    OwnershipLostError,
    RetryableError,
    TerminalError,
)
from famulus.flow.decisions import RunStep
from famulus.flow.facts import TimerDue
from famulus.flow.state import StepState
from famulus.flow.status import RUN_ENDED, RunStatus
from famulus.ids import RunId, StepId
from famulus.ports import FORWARDED, REDRIVEN, Bus, Clock, Record
from famulus.security.signing import Signatures

FORWARDED_MOST: Final = 5
"""A topic that gets more partitions may send a record on twice; beyond that the broker and we do not agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlingOptions:
    max_record_bytes: int
    max_claimed_bytes: int
    """The largest record of which only a claim is on the topic."""
    handover_seconds: float
    """A record whose step takes longer is finished; the next owner finds the step in the rows."""
    signatures: Signatures | None
    """Records without one of these are dead letters. ``None``: nobody asks."""


class RecordHandler:
    """Of the records that the engine is given; see `famulus.engine.engine.Engine.handle`."""

    def __init__(
        self,
        runs: Runs,
        steps: StepRunner,
        items: ItemWorker,
        *,
        desk: ItemDesk,
        lending: Lending,
        children: Children,
        bus: Bus,
        clock: Clock,
        claims: Claims | None,
        options: HandlingOptions,
        counts: Counter[str],
    ) -> None:
        self._runs = runs
        self._steps = steps
        self._items = items
        self._desk = desk
        self._lending = lending
        self._children = children
        self._bus = bus
        self._clock = clock
        self._claims = claims
        self._options = options
        self._counts = counts

    def handle(self, record: Record) -> Awaitable[None] | None:
        self._counts["records"] += 1
        try:
            if self._options.signatures is not None:
                self._options.signatures.check(record)
            job = parse_job(record.value, max_bytes=self._options.max_record_bytes)
        except BadRecordError as error:
            return self._bury(record, error)
        if record.partition != self._bus.partition_of(job.run_id):
            return self._forward(record, job.run_id)
        if isinstance(job, StepHint):
            return self._handle_hint(record, job)
        return self._handle_later(record, job)

    def handle_item(self, record: Record) -> Awaitable[None]:
        self._counts["item_records"] += 1
        if self._options.signatures is not None:
            try:
                self._options.signatures.check(record)
            except BadRecordError as error:
                return self._bury(record, error)
        return self._items.handle(record)

    def _handle_hint(self, record: Record, hint: StepHint) -> Awaitable[None] | None:
        """Most hints find their step in flight, or recorded: the owner starts successors itself."""
        if self._runs.has_ended(hint.run_id) or self._runs.is_asleep(hint.run_id):
            self._counts["stale"] += 1
            return None
        session = self._runs.live(hint.run_id)
        if session is None or self._is_early(session, hint):
            return self._handle_later(record, hint)
        task = self._due_attempt(session, hint.step_id)
        if task is None:
            self._counts["stale"] += 1
            return None
        return self._attend(hint, record.partition, task)

    async def _handle_later(self, record: Record, job: Job | Claimed) -> None:
        try:
            await self._handle(record, await self._whole(job))
        except BadRecordError as error:
            await self._bury(record, error)
        except BlueprintNotFoundError as error:
            await self._bury(record, BadRecordError(str(error), code="unknown_blueprint"))
        except BlueprintError as error:
            await self._bury(record, BadRecordError(str(error), code="bad_blueprint"))
        except TerminalError as error:
            # Trying again changes nothing, and would hold every acknowledgement behind this record.
            await self._bury(record, BadRecordError(str(error), code="cannot_be_handled"))

    async def _whole(self, job: Job | Claimed) -> Job:
        if not isinstance(job, Claimed):
            return job
        value = await redeemed(job.told, self._claims)
        return parse_redeemed(value, job, max_bytes=self._options.max_claimed_bytes)

    async def _handle(self, record: Record, job: Job) -> None:
        if isinstance(job, Start | Fork):
            await self._handle_beginning(record, job)
            return
        if isinstance(job, Command):
            await self._handle_command(record, job)
            return
        is_expected = job.run_id in self._runs.expected
        session = await self._runs.open(job.run_id, record.partition)
        if session is None:
            self._handle_without_run(job, is_expected=is_expected)
            return
        match job:
            case StepHint():
                if self._is_early(session, job):
                    await session.written()
                task = self._due_attempt(session, job.step_id)
                if task is not None:
                    await self._attend(job, record.partition, task)
            case ItemNews(told=told):
                if not await self._lending.heard(session, told):
                    await self._desk.record(session, told)
            case Wake():
                return  # opening it has set going what is due
            case ChildNotice():
                await self._children.heard(session, job.step_id, job.child)
            case TimerDueRecord(key=key):
                await session.report(TimerDue(key=key, at=self._clock.now()))
            case _:
                assert_never(job)

    def _handle_without_run(self, job: Job, *, is_expected: bool) -> None:
        """What a record says to a run that could not be opened: for one that has ended, that nothing is out for it."""
        self._check_known(job.run_id, is_expected=is_expected)
        if isinstance(job, ItemNews):
            self._desk.let_go(job.told)

    def _check_known(self, run_id: RunId, *, is_expected: bool) -> None:
        """A run that could not be opened has ended, or does not exist: not yet, if its start came before."""
        if self._runs.has_ended(run_id):
            self._counts["stale"] += 1
        elif is_expected:
            raise RetryableError(f"run {run_id!r} is about to be started")
        else:
            raise BadRecordError(
                f"run {run_id!r} does not exist: start it with a record that has blueprint_id", code="unknown_run"
            )

    async def _handle_beginning(self, record: Record, job: Start | Fork) -> None:
        """Records of the run that come behind this one find it expected, also while this one is tried again."""
        self._runs.expected.add(job.run_id)
        try:
            if isinstance(job, Start):
                await self._handle_start(record, job)
            else:
                await self._handle_fork(record, job)
        except RetryableError:
            self._runs.expected.add(job.run_id)
            raise
        except BaseException:
            self._runs.expected.drop(job.run_id)
            raise
        self._runs.expected.drop(job.run_id)

    async def _handle_start(self, record: Record, start: Start) -> None:
        if start.parent is not None and await self._children.is_orphan(start.parent):
            self._counts["orphans"] += 1
            return
        if not await self._runs.start(start, record.partition):
            self._counts["repeated_starts"] += 1
            await self._children.answer(start)

    async def _handle_fork(self, record: Record, fork: Fork) -> None:
        if not await self._runs.fork(fork, record.partition):
            self._counts["repeated_starts"] += 1

    async def _handle_command(self, record: Record, command: Command) -> None:
        if command.command_id is None:
            # Of one that nobody has named, its place on the topic tells whether it was delivered before.
            command = replace(command, command_id=_name_of(record))
        is_expected = command.run_id in self._runs.expected
        async with self._runs.reopen(command.run_id, record.partition) as session:
            if session is None:
                self._check_known(command.run_id, is_expected=is_expected)
                return
            if isinstance(command, Migrate) and session.run.status not in RUN_ENDED:
                await self._runs.migrate(session, command)
                return
            grace = command.grace_seconds if isinstance(command, Cancel) else 0.0
            with self._steps.attempts.patience(command.run_id, grace):
                await session.report(command)

    def _is_early(self, session: Session, hint: StepHint) -> bool:
        """Whether the step may be due only by an outcome that is not stored yet: then it must not run yet."""
        step = session.run.steps.get(hint.step_id)
        return (
            session.is_writing
            and step is not None
            and step.is_due
            and self._steps.attempts.task_of(hint.run_id, hint.step_id) is None
        )

    def _due_attempt(self, session: Session, step_id: StepId) -> asyncio.Task[None] | None:
        """The attempt of a step that is due, started if it does not run yet; ``None`` if the step is not due."""
        step = session.run.steps.get(step_id)
        if step is None or not step.is_due or session.run.status is RunStatus.PAUSED:
            return None
        self._steps.start(session, RunStep(step.step_id, step.node_id, step.attempt, step.item))
        task = self._steps.attempts.task_of(session.run_id, step_id)
        if task is None:
            raise OwnershipLostError("this worker is about to stop and starts no more steps")
        return task

    async def _attend(self, hint: StepHint, partition: int, task: asyncio.Task[None]) -> None:
        """Wait for the step to be recorded, but not for ever.

        A step is started only when the rows say that it is due. So one that takes long, or waits long for its turn, can
        be left to them: if this worker dies, the next owner finds it there when it looks after open runs.
        """
        await asyncio.wait({task}, timeout=self._options.handover_seconds)
        if not task.done():
            self._counts["handed_over"] += 1
            return
        await self._runs.tenure_of(partition)
        if not self._is_over(hint):
            raise RetryableError(f"the attempt of {hint.step_id!r} in run {hint.run_id!r} was not recorded")

    def _is_over(self, hint: StepHint) -> bool:
        """Whether the step is known to be recorded, or its next attempt is under way."""
        if self._runs.live(hint.run_id) is None:
            return self._runs.has_ended(hint.run_id) or self._runs.is_asleep(hint.run_id)
        step = self._known_step(hint)
        return step is None or not step.is_due or self._steps.attempts.task_of(hint.run_id, hint.step_id) is not None

    def _known_step(self, hint: StepHint) -> StepState | None:
        session = self._runs.live(hint.run_id)
        return None if session is None else session.run.steps.get(hint.step_id)

    async def _forward(self, record: Record, run_id: RunId) -> None:
        """Put a record onto the partition that its run belongs to: not every producer partitions as Kafka's own."""
        self._counts["forwarded"] += 1
        source = f"{record.topic}/{record.partition}/{record.offset}".encode()
        headers = [(name, value) for name, value in record.headers if value is not None]
        if sum(name == FORWARDED for name, _ in headers) >= FORWARDED_MOST:
            await self._bury(record, BadRecordError("it comes to a wrong partition again and again", code="misrouted"))
            return
        headers.append((FORWARDED, source))
        try:
            await (await self._bus.send_job(run_id, record.value or b"", headers=headers))
        except OutputError as error:
            await self._bury(record, BadRecordError(f"it cannot be forwarded: {error}", code="too_large"))

    def _bury(self, record: Record, error: BadRecordError) -> Awaitable[None]:
        return bury(record, error, bus=self._bus, counts=self._counts)


def _name_of(record: Record) -> str:
    """Of a command that nobody has named. One that was a dead letter has the name of that, however often it is sent."""
    redriven = dict(record.headers).get(REDRIVEN)
    if redriven is not None:
        return f"{REDRIVEN}/{redriven.decode(errors='replace')}"[:COMMAND_ID_CHARACTERS]
    return f"{record.topic}/{record.partition}/{record.offset}"
