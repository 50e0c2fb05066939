"""One run in the memory of its owner: facts come in, one batch after the other goes out.

    report(fact) ─> advance, fold ─> commit ─> start steps, count joins ─> hints and events on the topics ─> done

Facts that come in while a batch is being written wait and share the next one, so a run with a hundred branches does
not make a hundred writes. A fact is done when what follows from it is durable too: its rows in the store, and every
step that it made due recorded as well or announced on the topic. Only then is a record acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from famulus.engine.announcements import Announcements, fail
from famulus.engine.backoff import Backoff
from famulus.engine.batch import Batch, first
from famulus.engine.commands import Command
from famulus.engine.inheritance import Inherited
from famulus.engine.obeying import obey
from famulus.engine.timers import LOOK, LOOK_SECONDS, RunTimers, TimerDesk, key_of
from famulus.errors import OwnershipLostError, RetryableError
from famulus.faultpoints import K4, K5, K6, ON, reach, reach_amid
from famulus.flow.advance import advance
from famulus.flow.decisions import Decision, RunStep, StartChild, TellChild
from famulus.flow.facts import Fact, JoinCounted
from famulus.flow.limits import RunLimits
from famulus.flow.status import RUN_ENDED, RunStatus, StepStatus
from famulus.flow.waiting import ForChild
from famulus.ids import UNSTAMPED, Stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from famulus.engine.joins import JoinDesk
    from famulus.engine.tenure import Tenure
    from famulus.flow.state import RunState
    from famulus.ids import RunId, StepId
    from famulus.ports import Bus, Clock, Commit, RunBirth, RunRows, RunStore, TimerRow

log = logging.getLogger(__name__)

REST_SECONDS: Final = 1.0
"""A run that was loaded for nothing, or whose last work was still under way, is dormant after so long."""


class SessionOwner(Protocol):
    """What a session wants done in this worker once a batch is durable."""

    def start_step(self, session: Session, step: RunStep) -> None: ...

    def stop_step(self, run_id: RunId, step_id: StepId) -> None: ...

    def start_child(self, session: Session, child: StartChild) -> None: ...

    def tell_child(self, session: Session, child: TellChild) -> None: ...

    def run_ended(self, session: Session) -> None: ...

    def run_sleeps(self, session: Session) -> None:
        """The run is dormant: it needs no memory before it is loaded again."""

    def is_busy(self, session: Session) -> bool:
        """Whether something of a run that waits or is paused is still under way in this worker."""

    def found_ended(self, session: Session, rows: RunRows) -> None:
        """The run was loaded, and has ended."""

    def found_open(self, session: Session, rows: RunRows) -> None:
        """The run was loaded, and what is due of it set going."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionServices:
    """What sessions share."""

    store: RunStore
    bus: Bus
    clock: Clock
    joins: JoinDesk
    owner: SessionOwner
    announce_seconds: float
    limits: RunLimits
    timers: TimerDesk
    look_seconds: float = LOOK_SECONDS
    """How often a dormant run that waits for children is woken to look at them, or half as often."""


@dataclass(slots=True, eq=False)
class Session:
    services: SessionServices
    tenure: Tenure
    birth: RunBirth
    partition: int
    """Where the run's jobs are now; another one than at its birth, if the topic has got more partitions."""
    run: RunState
    seals: Mapping[int, int]
    inherited: Inherited | None = None
    """Until the first commit, for a run that was loaded."""
    unborn: bool = False
    """Nothing of the run is stored yet."""
    lingers: bool = False
    """It has ended, and stays in the index of open runs until others have heard of it."""
    stamp: Stamp = UNSTAMPED
    """Of the last batch that is stored."""
    closed: bool = False
    """Another session, here or elsewhere, has the run now."""
    _inbox: list[tuple[Fact | Command, asyncio.Future[None]]] = field(default_factory=list)
    announcements: Announcements = field(init=False)
    timers: RunTimers = field(init=False)
    _writer: asyncio.Task[None] | None = None
    _is_to_rest: bool = False
    _is_dormant: bool = False
    """The last batch has taken the run out of the index of open runs, for there is nothing to do."""
    _look_again: asyncio.TimerHandle | None = None

    def __post_init__(self) -> None:
        # When a hint could not be sent the run is loaded anew by the next record, which sends it again.
        self.announcements = Announcements(
            self.services.bus, self.birth, delay_seconds=self.services.announce_seconds, failed=self.close
        )
        self.timers = RunTimers(self.services.timers, self.run.run_id, self.partition)

    @property
    def run_id(self) -> RunId:
        return self.run.run_id

    async def report(self, fact: Fact | Command) -> None:
        """Tell the run what happened, or what is asked of it; returns when all that follows is durable.

        Raises `OwnershipLostError` if the run is not this worker's any more: then nothing of it is certain.
        """
        self._check()
        await self.note(fact)

    async def begin_as(self, decided: Iterable[Decision]) -> None:
        """Store a run that begins with what it inherits, and with what is decided already."""
        batch = Batch()
        batch.add(decided)
        await self._commit(batch)
        self._note_durable(batch)

    async def inherit(self, fact: Fact) -> None:
        """Record what is to be recorded of a run before anything of it starts here, or anybody else finds it."""
        batch = Batch()
        batch.add(self._decided(fact))
        if batch.has_rows:
            await self._commit(batch)
            self._note_durable(batch)

    async def resume(self) -> None:
        """Set going what is due of a run that was just loaded; returns when its hints are on the topic again."""
        now = self.services.clock.now()
        pending = [
            JoinCounted(step_id=step_id, counts=self.run.joins[step_id].counts, at=now)
            for step_id in self.run.pending_joins
        ]
        reporters = [self.note(fact) for fact in pending]
        self._start(
            RunStep(step.step_id, step.node_id, step.attempt, step.item)
            for step in self.run.steps.values()
            if step.is_due
        )
        self.timers.follow(self.run.timers)
        self._rest_later()
        announced: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.announcements.let_wait([announced])
        self.announcements.make_now()
        await asyncio.gather(announced, *reporters)

    def close(self) -> None:
        self.closed = True
        self.timers.silence()
        self.announcements.make_now()  # nothing is added any more, and a worker that stops has no time to wait

    @property
    def is_writing(self) -> bool:
        """What is in memory may be ahead of the store."""
        return self._writer is not None

    async def written(self) -> None:
        """Wait until nothing of this session is on its way to the store."""
        if self._writer is not None:
            await asyncio.wait({self._writer})

    def note(self, fact: Fact | Command) -> asyncio.Future[None]:
        """As `report`, for who waits later: facts are taken in the order in which they are noted."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inbox.append((fact, done))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all())
        return done

    def _check(self) -> None:
        if self.closed:
            raise OwnershipLostError(f"run {self.run_id} is not owned by this session any more")
        self.tenure.check()

    async def _write_all(self) -> None:
        try:
            while self._inbox or self._is_to_rest:
                self._is_to_rest = False
                taken, self._inbox = self._inbox, []
                waiting = [done for _, done in taken]
                try:
                    if taken:
                        await self._write(fact for fact, _ in taken)
                    else:
                        await self._commit(Batch())
                except BaseException as error:
                    fail(waiting, error)
                    raise
                self.announcements.let_wait(waiting)
                if self.run.status in RUN_ENDED:
                    self.announcements.make_now()
                    self._refuse_to_go_on()
            self._sleep_or_stay()
        except RetryableError as error:
            self._give_up(error)
        except Exception as error:
            log.exception("run could not be written", extra={"action": "run_dropped", "run_id": self.run_id})
            self._give_up(error)
        except BaseException as error:
            self._give_up(error)
            raise
        finally:
            self._writer = None

    # -- dormancy ----------------------------------------------------------------------------------------------------

    def waits_for(self, row: TimerRow) -> bool:
        """Whether a timer that was found in the store is needed still, as far as can be said now."""
        is_needed = self._waits_for_children() if row.kind == LOOK else self.run.timers.get(key_of(row)) == row.due_at
        if is_needed:
            self.timers.adopt(row)
            return True
        return self.is_writing

    def _may_rest(self, batch: Batch, now: float) -> bool:
        """Whether nothing of the run is to be done, once the batch is stored, before a timer or a record comes.

        What is parked waits for a worker that can run it, which is not told: the run is looked after as an open one.
        """
        return (
            self.run.status in (RunStatus.WAITING, RunStatus.PAUSED)
            and self.timers.are_far(self.run.timers, now=now)
            and not (self._inbox or self.run.pending_joins)
            and not (batch.arrivals or batch.start_children or batch.tell_children)
            and not any(step.status is StepStatus.PARKED for step in self.run.steps.values())
            and not self.services.owner.is_busy(self)
        )

    def _dormant_or_awake(self, commit: Commit, batch: Batch, now: float) -> Commit:
        """The commit with its timers; out of the index of open runs or back in it, as the run goes to sleep or on."""
        closes = commit.closes or self._may_rest(batch, now)
        timers = self.timers.unstored(self.run.timers, commit.stamp, now=now)
        if closes and self._waits_for_children():
            # The broker may lose what parent and child have to tell each other, and nobody looks after a dormant run.
            timers = (*timers, self.timers.look(commit.stamp, now=now, every=self.services.look_seconds))
        takes_over = commit.takes_over or self._is_dormant
        if not timers and (closes, takes_over) == (commit.closes, commit.takes_over):
            return commit
        return replace(commit, timers=timers, closes=closes, takes_over=takes_over)

    def _waits_for_children(self) -> bool:
        steps = self.run.steps.values()
        return self.run.status not in RUN_ENDED and any(isinstance(step.waiting_for, ForChild) for step in steps)

    def _note_stored(self, commit: Commit) -> None:
        self.timers.stored(commit.timers)
        self._is_dormant = commit.closes and self.run.status not in RUN_ENDED

    def _sleep_or_stay(self) -> None:
        """Leave the memory when the run is dormant. Nothing is awaited here: who comes later loads the run."""
        if self.run.status in RUN_ENDED:
            return
        if self._is_dormant and self.timers.are_far(self.run.timers, now=self.services.clock.now()):
            self.close()
            self.services.owner.run_sleeps(self)
        else:
            self._rest_later()

    def _rest_later(self) -> None:
        """Look whether the run is dormant when nothing has happened for a while."""
        if self._look_again is None and self.run.status in (RunStatus.WAITING, RunStatus.PAUSED):
            self._look_again = asyncio.get_running_loop().call_later(REST_SECONDS, self._rest)

    def _rest(self) -> None:
        self._look_again = None
        if self.closed or self._writer is not None:
            return  # the writer looks in the end
        if self._is_dormant:
            self._sleep_or_stay()
        elif self._may_rest(Batch(), self.services.clock.now()):
            self._is_to_rest = True
            self._writer = asyncio.create_task(self._write_all())
        elif self.services.owner.is_busy(self):
            self._rest_later()

    def _refuse_to_go_on(self) -> None:
        """The run has ended, and nobody finds it here any more: what has come meanwhile is for who loads it anew."""
        left, self._inbox = self._inbox, []
        fail([done for _, done in left], OwnershipLostError(f"run {self.run_id} has just ended; tell it once more"))

    def _give_up(self, error: BaseException) -> None:
        """What is in memory may be ahead of the store now: the next record loads the run anew."""
        self.close()
        left, self._inbox = self._inbox, []
        fail([done for _, done in left], error)

    async def _write(self, facts: Iterable[Fact | Command]) -> None:
        """Write one batch and set going what follows, with what the joins it reaches have to say."""
        while True:
            batch = Batch()
            for fact in facts:
                batch.add(self._decided(fact))
            if batch.has_rows:
                await self._commit(batch)
                # A crash here: the rows say what is due, and whoever loads the run next sets it going.
            else:
                self._check()
            self._note_durable(batch)
            for stop in batch.stop_steps:
                self.services.owner.stop_step(self.run_id, stop.step_id)
            for start in batch.start_children:
                self.services.owner.start_child(self, start)
            for tell in batch.tell_children:
                self.services.owner.tell_child(self, tell)
            self._start(batch.run_steps)
            if self.run.status in RUN_ENDED:
                if batch.status is not None:
                    self.services.owner.run_ended(self)
                    await self.services.joins.forget(self.run)
                return
            if not batch.arrivals:
                return
            counted = await self.services.joins.count(self.run, batch.arrivals)
            if ON:
                reach(K6, self.run_id)
            now = self.services.clock.now()
            facts = [JoinCounted(step_id=step_id, counts=counts, at=now) for step_id, counts in counted.items()]

    def _decided(self, fact: Fact | Command) -> list[Decision]:
        if isinstance(fact, Command):
            return obey(self.run, fact, at=self.services.clock.now())
        return advance(self.run, fact)

    def _note_durable(self, batch: Batch) -> None:
        self.announcements.happened(batch.events)
        for step in batch.steps.values():
            if not step.is_due:
                self.announcements.settled(step.step_id)
        self.timers.follow(self.run.timers)

    async def leave_open_index(self) -> None:
        """Write once more that the run has ended, now that all who are to hear of it have."""
        await self._commit(Batch(), leaves=True)

    async def _commit(self, batch: Batch, *, leaves: bool = False) -> None:
        """Store the batch, however long it takes, unless the run is lost meanwhile."""
        stamp, now = self.tenure.next_stamp(), self.services.clock.now()
        commit = batch.commit(self.birth, self.run, seals=self.seals, stamp=stamp, at=now)
        if commit.closes and not leaves and (self.birth.parent is not None or batch.tell_children):
            commit, self.lingers = replace(commit, closes=False), True
        if self.unborn:
            commit = first(commit)
        if self.inherited is not None:
            commit = self.inherited.taken_over(commit)
        commit = self._dormant_or_awake(commit, batch, now)
        backoff = Backoff()
        self._check()
        while True:
            # A batch that was sent may be stored at any time, and would count: whoever loads the run anew in this
            # tenure has to find it there. So it is sent until it is confirmed, also when this session was given up.
            await self.tenure.confirmed(self.services.clock)
            try:
                if ON:
                    reach_amid(K4, self.run_id)
                await self.services.store.commit(commit)
            except RetryableError as error:
                delay = backoff.next()
                log.warning(
                    "commit not confirmed, again in %.1f s: %s",
                    delay,
                    error,
                    extra={"action": "commit_retried", "run_id": self.run_id},
                )
                await self.services.clock.sleep(delay)
            else:
                if ON:
                    reach(K5, self.run_id)
                self.unborn = False
                self.inherited = None
                self.stamp = stamp
                self._note_stored(commit)
                # Whoever has the run now may have read it before this came: the reporters have to tell it again.
                self._check()
                return

    def _start(self, due: Iterable[RunStep]) -> None:
        """Start steps here at once; whoever owns the run if this worker dies is told by their hints.

        A paused run starts none: what is due of it is set going when it goes on.
        """
        if self.run.status is RunStatus.PAUSED:
            return
        for step in due:
            self.announcements.due(step)
            self.services.owner.start_step(self, step)
