"""The runs that this worker has in memory: found, loaded from their rows, or created, one at a time each."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from famulus.engine.catalog import Catalog
from famulus.engine.commands import Migrate
from famulus.engine.doors import Doors
from famulus.engine.expecting import ExpectedRuns
from famulus.engine.forking import all_events, check_goes_on, forked_event, forked_rows
from famulus.engine.inheritance import Inherited, inherited_from
from famulus.engine.loader import state_of
from famulus.engine.obeying import is_known
from famulus.engine.records import Fork, Start
from famulus.engine.rows import encode, input_digest
from famulus.engine.seals import seals_for, visible_rows
from famulus.engine.session import Session, SessionServices
from famulus.engine.tenure import Tenure
from famulus.engine.versions.migrating import migrated, moved_rows, why_not_migrated
from famulus.errors import BadRecordError, BlueprintNotFoundError, OwnershipLostError, RunNotFoundError
from famulus.flow.batches import is_spread
from famulus.flow.facts import RunStarted, StartRefused, StepUnparked
from famulus.flow.fold import fold
from famulus.flow.limits import RunLimits
from famulus.flow.state import RunState
from famulus.flow.status import RUN_ENDED, StepStatus
from famulus.flow.tasks import task_of
from famulus.ids import RunId, Stamp, epoch_of
from famulus.ports import RunBirth, RunRows

if TYPE_CHECKING:
    from famulus.blueprint.graph import Graph


ValueT = TypeVar("ValueT")


class Runs:
    """Sessions of the present tenure. A session that was closed is as good as none: the next one loads the run anew."""

    def __init__(
        self,
        services: SessionServices,
        catalog: Catalog,
        *,
        implementations: Collection[str],
        starts_at_once: int,
        ended_remembered: int,
        counts: Counter[str],
    ) -> None:
        self.tenure = Tenure(())
        self._services = services
        self._catalog = catalog
        self._implementations = implementations
        self._starts = asyncio.Semaphore(starts_at_once)
        self._ended_remembered = ended_remembered
        self._counts = counts
        self._assigned = asyncio.Event()
        self._sessions: dict[RunId, Session] = {}
        self._doors = Doors()
        self._ended: OrderedDict[RunId, None] = OrderedDict()
        self._asleep: OrderedDict[RunId, Stamp] = OrderedDict()
        """Runs that went to sleep here lately, with the stamps of their last batches."""
        self.inherit: Callable[[Session], Awaitable[None]] | None = None
        """What is done with a run of an earlier owner before anything of it starts."""
        self.expected = ExpectedRuns()
        """Those whose start has come, and is not carried out yet."""

    # -- ownership ---------------------------------------------------------------------------------------------------

    @property
    def partitions(self) -> frozenset[int]:
        return frozenset() if self.tenure.over else self.tenure.partitions

    def take_over(self, partitions: Iterable[int], *, is_current: Callable[[], bool] = lambda: True) -> Tenure:
        """Begin a tenure; runs are loaded anew when they are next needed, for another worker may have had them."""
        self.let_go()
        self.tenure = Tenure(partitions, is_current=is_current)
        self._assigned.set()
        return self.tenure

    def let_go(self) -> None:
        self._assigned.clear()
        self.tenure.end()
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
        self._ended.clear()
        self._asleep.clear()

    @property
    def is_assigned(self) -> bool:
        """It is settled which partitions are this worker's; with more workers than partitions, some have none."""
        return self._assigned.is_set()

    async def owns(self, partition: int) -> bool:
        """Wait until it is settled which partitions are this worker's, and say whether this one is."""
        await self._assigned.wait()
        return partition in self.partitions

    async def tenure_of(self, partition: int) -> Tenure:
        """The present tenure, with its epoch. Raises `OwnershipLostError` if it does not hold the partition."""
        tenure = self.tenure
        if partition not in tenure.partitions:
            raise OwnershipLostError(f"partition {partition} is not assigned to this worker", retry_after=0.2)
        await tenure.ready()
        return tenure

    @property
    def in_memory(self) -> int:
        return len(self._sessions)

    # -- sessions ----------------------------------------------------------------------------------------------------

    def live(self, run_id: RunId) -> Session | None:
        """The session in memory, if it may still be used."""
        session = self._sessions.get(run_id)
        return None if session is None or session.closed else session

    def in_hand(self) -> list[Session]:
        """Those in memory that may still be used."""
        return [session for session in self._sessions.values() if not session.closed]

    def has_ended(self, run_id: RunId) -> bool:
        """Whether the run is known to have ended; not all that have are remembered."""
        return run_id in self._ended

    def is_asleep(self, run_id: RunId) -> bool:
        """Whether the run is known to be dormant: no step of it is due. Not all that are dormant are remembered."""
        return run_id in self._asleep

    def knows(self, run_id: RunId) -> bool:
        """Whether nobody has to look after the run: it is in memory, or known to have ended or to be dormant."""
        return self.live(run_id) is not None or self.has_ended(run_id) or self.is_asleep(run_id)

    async def open(self, run_id: RunId, partition: int) -> Session | None:
        """The session of a run; ``None`` if it has ended (`has_ended` knows then) or does not exist.

        A run whose end is still being written has a session: until that is done it may turn out otherwise.
        """
        async with self._doors.of(run_id):
            session = self.live(run_id) or await self._load(run_id, partition)
        return None if session is None or self.has_ended(run_id) else session

    @asynccontextmanager
    async def reopen(self, run_id: RunId, partition: int) -> AsyncIterator[Session | None]:
        """The session of a run, also of one that has ended; ``None`` if it does not exist.

        Meanwhile nobody else finds or loads the run. One that still has ended afterwards is forgotten again; one that
        goes on is loaded anew, so that what is due of it is derived and not only what the command has said.
        """
        async with self._doors.of(run_id):
            session = self.live(run_id)
            if session is not None and session.run.status in RUN_ENDED:
                await session.written()  # then it is found no more
                session = self.live(run_id)
            session = session or await self._load(run_id, partition)
            if session is None or session.run.status not in RUN_ENDED:
                yield session
                return
            self._sessions[run_id] = session
            self._ended.pop(run_id, None)
            try:
                yield session
            finally:
                has_ended = session.run.status in RUN_ENDED
                # It may have ended again by what the command led to, and be writing that: then `ended` hears of it.
                if not (has_ended and session.is_writing):
                    self._sessions.pop(run_id, None)
                    if has_ended and not session.closed:
                        self._remember_ended(run_id)
            if not has_ended:
                session.close()
                await session.written()
                await self._load(run_id, partition)

    async def start(self, start: Start, partition: int) -> bool:
        """Create the run, and say whether there was none. One that is there takes note of a start that differs.

        Raises `BlueprintNotFoundError`, and `BlueprintError` for a blueprint that cannot run.
        """
        async with self._doors.of(start.run_id):
            session = self.live(start.run_id) or await self._load(start.run_id, partition)
            if session is not None:
                difference = _difference(start, session.birth)
                if difference is not None:
                    await session.report(StartRefused(detail=difference, at=self._services.clock.now()))
                return False
            await self._starts.acquire()
            try:
                begun = await self._create(start, partition)
            except BaseException:
                self._starts.release()
                raise
        try:
            await begun
        finally:
            self._starts.release()
        return True

    async def close_ended(self, session: Session) -> None:
        """Let a run that has ended leave the index of open runs, unless it goes on again meanwhile."""
        async with self._doors.of(session.run_id):
            if self.live(session.run_id) is not None:
                return
            heads = await self._services.store.heads([session.run_id])
            if heads[session.run_id][1].stamp == session.stamp:  # else it has gone on, and ended again
                await session.leave_open_index()

    def went_to_sleep(self, session: Session) -> None:
        """A run is dormant: it needs no memory any more but, for a while, that."""
        if self._sessions.get(session.run_id) is session:
            del self._sessions[session.run_id]
            _remember(self._asleep, session.run_id, session.stamp, most=self._ended_remembered)
            self._counts["runs_asleep"] += 1

    def ended(self, session: Session) -> None:
        """A run has come to its end: it needs no memory any more but that."""
        self._sessions.pop(session.run_id, None)
        self._remember_ended(session.run_id)
        self._counts[f"runs_{session.run.status}"] += 1

    async def fork(self, fork: Fork, partition: int) -> bool:
        """Create a run with what another one has done, and say whether there was none.

        Raises `RunNotFoundError` and `CommandRefusedError`.
        """
        async with self._doors.of(fork.run_id):
            if self.live(fork.run_id) is not None or await self._load(fork.run_id, partition) is not None:
                return False
            tenure = await self.tenure_of(partition)
            source = await self._services.store.load(fork.from_run)
            if source is None:
                raise RunNotFoundError(fork.from_run)
            source = visible_rows(source)
            birth = source.birth
            graph = await self._catalog.graph_of(birth)
            told = [event async for event in all_events(self._services.store, source)]
            now = self._services.clock.now()
            forked = forked_rows(fork, graph, source, told, partition=partition, at=now)
            run = state_of(graph, forked, limits=self._services.limits)
            check_goes_on(fork, run)
            tenure.check()
            session = Session(
                self._services,
                tenure,
                forked.birth,
                partition,
                run,
                seals={},
                inherited=Inherited(steps=tuple(forked.steps), context=tuple(forked.context)),
                unborn=True,
            )
            self._sessions[fork.run_id] = session
            self._counts["started"] += 1
            try:
                event = forked_event(fork, birth, run, at=now)
                fold(run, event)
                await session.begin_as([event])
                await session.resume()
            except BaseException:
                session.close()
                raise
        return True

    async def migrate(self, session: Session, command: Migrate) -> None:
        """Let a run go on by another version of its blueprint, or tell it why it cannot; the caller holds its door.

        What runs is not disturbed: it reports to the run as it is then.
        """
        if is_known(session.run, command):
            return
        birth, partition = session.birth, session.partition
        try:
            graph = await self._catalog.find(birth.blueprint_id, command.version)
        except BlueprintNotFoundError as error:
            await session.report(replace(command, why_not=str(error)))
            return
        session.close()
        await session.written()
        rows = await self._services.store.load(birth.run_id)
        if rows is None:
            raise RunNotFoundError(birth.run_id)
        rows = visible_rows(rows)
        why_not = why_not_migrated(session.run.graph, graph, rows)
        if why_not is not None:
            again = await self._load(birth.run_id, partition)
            if again is not None:
                await again.report(replace(command, why_not=why_not))
            return
        tenure = await self.tenure_of(partition)
        moved = moved_rows(session.run.graph, graph, rows)
        run = state_of(graph, moved, limits=self._services.limits)
        decided = migrated(run, command, session.run.graph, rows, at=self._services.clock.now())
        going_on = Session(
            self._services,
            tenure,
            moved.birth,
            partition,
            run,
            seals=seals_for(rows, tenure.epoch),
            inherited=inherited_from(rows),
            unborn=True,
            stamp=rows.head.stamp,
        )
        self._sessions[birth.run_id] = going_on
        self._counts["migrated"] += 1
        try:
            await going_on.begin_as(decided)
            await going_on.resume()
        except BaseException:
            going_on.close()
            raise

    async def _create(self, start: Start, partition: int) -> asyncio.Future[None]:
        tenure = await self.tenure_of(partition)
        graph = await self._catalog.find(start.blueprint_id, start.version)
        now = self._services.clock.now()
        birth = RunBirth(
            run_id=start.run_id,
            blueprint_id=graph.blueprint.id,
            version=graph.blueprint.version,
            digest=graph.digest,
            input=encode(start.input),
            input_digest=input_digest(start.input),
            partition=partition,
            created_at=now,
            parent=None if start.parent is None else start.parent.as_json(),
        )
        run = RunState(
            run_id=start.run_id,
            graph=graph,
            limits=self._services.limits,
            created_at=now,
            context=dict(start.input),
        )
        session = Session(self._services, tenure, birth, partition, run, seals={}, unborn=True)
        self._sessions[start.run_id] = session
        self._counts["started"] += 1
        return session.note(RunStarted(at=now, not_before=start.start_at, by=start.by))

    async def _load(self, run_id: RunId, partition: int) -> Session | None:
        """Read a run from its rows and set going what is due of it. One that has ended is not kept in memory."""
        tenure = await self.tenure_of(partition)
        given_up = self._sessions.get(run_id)
        if given_up is not None:
            await given_up.written()
        rows = await self._services.store.load(run_id)
        if rows is None:
            return None
        rows = visible_rows(rows)
        birth = rows.birth
        graph = await self._catalog.graph_of(birth)
        tenure.check()
        # A run that went to sleep here has nothing on its way to the store.
        is_ours = self._asleep.pop(run_id, None) == rows.head.stamp
        session = Session(
            self._services,
            tenure,
            birth,
            partition,
            _readable(graph, rows, self._services.limits),
            seals=seals_for(rows, tenure.epoch),
            inherited=inherited_from(rows, owner=tenure.epoch if is_ours else None),
            stamp=rows.head.stamp,
        )
        if session.run.status in RUN_ENDED:
            self._remember_ended(run_id)
            self._services.owner.found_ended(session, rows)
            return session
        if rows.head.stamp and epoch_of(rows.head.stamp) != tenure.epoch and self.inherit is not None:
            await self.inherit(session)
        self._sessions[run_id] = session
        self._counts["loaded"] += 1
        try:
            await session.resume()
            await self._unpark(session)
            self._services.owner.found_open(session, rows)
        except BaseException:
            session.close()
            raise
        return session

    async def _unpark(self, session: Session) -> None:
        """Set steps going again that were parked by a worker without their implementation.

        Items that are spread are tried on all workers again: another one than this may have it by now.
        """
        run, now = session.run, self._services.clock.now()
        for step in list(run.steps.values()):
            if step.status is not StepStatus.PARKED or step.suspicion is not None:
                continue
            if task_of(run, step).uses in self._implementations or is_spread(run, step):
                await session.report(StepUnparked(step_id=step.step_id, at=now))

    def _remember_ended(self, run_id: RunId) -> None:
        _remember(self._ended, run_id, None, most=self._ended_remembered)


def _readable(graph: Graph, rows: RunRows, limits: RunLimits) -> RunState:
    """The state that the rows tell. A worker of a later version may have written what this one cannot read."""
    try:
        return state_of(graph, rows, limits=limits)
    except Exception as error:
        raise BadRecordError(
            f"run {rows.birth.run_id!r} cannot be read from its rows: {error!r}", code="unreadable_run"
        ) from error


def _remember(known: OrderedDict[RunId, ValueT], run_id: RunId, value: ValueT, *, most: int) -> None:
    known[run_id] = value
    if len(known) > most:
        known.popitem(last=False)


def _difference(start: Start, birth: RunBirth) -> str | None:
    """In what a repeated start differs from the run as it was started; ``None`` if in nothing."""
    if start.is_job_of_run:
        return None
    if start.blueprint_id != birth.blueprint_id:
        return f"another blueprint ({birth.blueprint_id!r}, offered {start.blueprint_id!r})"
    if start.version is not None and start.version != birth.version:
        return f"another version of the blueprint ({birth.version!r}, offered {start.version!r})"
    if input_digest(start.input) != birth.input_digest:
        return "another input"
    return None
