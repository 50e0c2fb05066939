"""Runs that other runs wait for.

    parent: suspension recorded ─> start ─────────> child: runs ... ends ─> notice ─────> parent: reads the child's rows
            cancelled, paused   ─> command ───────> child                  └> the child leaves the index of open runs

All of it are records on the jobs topic, keyed by the run that is to hear them. The rule that this file guards: whoever
has something to tell stays in the index of open runs until the broker has it. So a crash between any two of these lines
is repaired by the next owner, who finds the run there and tells it again; and telling anything again changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from famulus.engine.backoff import Backoff
from famulus.engine.commands import child_ended_record, command_record
from famulus.engine.kinship import given_up_by, outputs_of, result_of
from famulus.engine.loader import state_of
from famulus.engine.parents import Parent, parent_of
from famulus.engine.records import start_record
from famulus.engine.rows import settled
from famulus.engine.seals import visible_rows
from famulus.errors import OutputError, OwnershipLostError, RetryableError, TerminalError
from famulus.flow.decisions import ChildCommand, StartChild, TellChild
from famulus.flow.facts import ChildEnded
from famulus.flow.status import RUN_ENDED, RunStatus, StepStatus
from famulus.flow.waiting import ForChild

if TYPE_CHECKING:
    from famulus.engine.catalog import Catalog
    from famulus.engine.records import Start
    from famulus.engine.runs import Runs
    from famulus.engine.session import Session
    from famulus.flow.state import StepState
    from famulus.ids import RunId, StepId
    from famulus.ports import Bus, Clock, RunBirth, RunHead, RunRows, RunStore

log = logging.getLogger(__name__)

HEADS_AT_ONCE: Final = 100
LATELY_SECONDS: Final = 1.0


class Children:
    """Starts, tells and hears child runs, for all runs of this worker."""

    def __init__(
        self, runs: Runs, *, store: RunStore, bus: Bus, catalog: Catalog, clock: Clock, value_bytes: int
    ) -> None:
        self._runs = runs
        self._store = store
        self._bus = bus
        self._catalog = catalog
        self._clock = clock
        self._value_bytes = value_bytes
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_told: dict[RunId, asyncio.Task[None]] = {}
        """By child: what it is told goes out in order, a start before a cancel."""
        self._under_way: defaultdict[RunId, set[asyncio.Task[None]]] = defaultdict(set)
        """By parent: what its children have yet to be told, and what has to be heard of them."""
        self._heard_lately: dict[RunId, asyncio.TimerHandle] = {}
        self._settling: dict[RunId, asyncio.Task[None]] = {}

    def depth_of(self, run_id: RunId) -> int:
        """How many runs a run in memory is nested in."""
        session = self._runs.live(run_id)
        parent = None if session is None else parent_of(session.birth)
        return 0 if parent is None else parent.depth

    def is_busy(self, run_id: RunId) -> bool:
        """Whether the children of a run have yet to be told something: it may not leave the index of open runs.

        A run that has just heard of a child stays too: mostly more of them are about to end, and it would be loaded for
        each.
        """
        return run_id in self._under_way or run_id in self._heard_lately

    async def stop(self) -> None:
        """Tell nothing any more. The next owner finds in the rows what is left."""
        for handle in self._heard_lately.values():
            handle.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- what a parent has to say --------------------------------------------------------------------------------------

    def start(self, session: Session, child: StartChild) -> None:
        """Start a child, once the suspension of its step is recorded."""
        self._tell(session, child.waiting_for.run_id, partial(self._send_start, session, child))

    def tell(self, session: Session, child: TellChild) -> None:
        """Pass a command on to a child, once the parent has recorded it."""
        self._tell(session, child.run_id, partial(self._send_command, session, child.run_id, child.command))

    def look_after(self, session: Session, rows: RunRows) -> None:
        """Find out what became of the children of a run that was just loaded, and what they have yet to be told."""
        waiting = _waiting(session.run.steps.values())
        given_up = given_up_by(session.run.graph, rows)
        if waiting or given_up:
            self._spawn(session.run_id, self._until_lost(session, partial(self._compare, session, waiting, given_up)))

    async def heard(self, session: Session, step_id: StepId, child: RunId) -> None:
        """A child says that it has ended.

        A notice that no step waits for is late, or too early: a step that comes to wait for a run that has ended starts
        it again, and is answered by the same notice.
        """
        step = session.run.steps.get(step_id)
        waiting_for = None if step is None else step.waiting_for
        if step is None or not isinstance(waiting_for, ForChild) or waiting_for.run_id != child or not step.is_live:
            return
        fact = await self._outcome(session, step, child)
        if fact is not None:
            self._note_heard(session.run_id)
            await session.report(fact)

    def _note_heard(self, run_id: RunId) -> None:
        known = self._heard_lately.pop(run_id, None)
        if known is not None:
            known.cancel()
        forget = partial(self._heard_lately.pop, run_id, None)
        self._heard_lately[run_id] = asyncio.get_running_loop().call_later(LATELY_SECONDS, forget)

    # -- what a child has to say ---------------------------------------------------------------------------------------

    async def is_orphan(self, parent: Parent) -> bool:
        """Whether the run that wanted a child has ended: a child that is started now would never be told."""
        heads = await self._store.heads([parent.run_id])
        return parent.run_id in heads and _has_ended(heads[parent.run_id][1])

    async def answer(self, start: Start) -> None:
        """A child was to be started, and there is a run with its id: let its parent know if that is another one."""
        parent, heads = start.parent, await self._store.heads([start.run_id])
        if parent is None or start.run_id not in heads:
            return
        if not _is_child(heads[start.run_id][0], parent.run_id, parent.step_id):
            record = child_ended_record(parent.run_id, parent.step_id, child=start.run_id)
            await (await self._bus.send_job(parent.run_id, record))

    def ended(self, session: Session) -> None:
        """A run has ended, and lingers in the index of open runs until parent and children have heard."""
        self._settle(session, ())

    def found_ended(self, session: Session, rows: RunRows) -> None:
        """A run was loaded that has ended: perhaps somebody has yet to hear of it."""
        given_up = given_up_by(session.run.graph, rows)
        if session.birth.parent is not None or given_up:
            self._settle(session, given_up)

    def _settle(self, session: Session, given_up: Iterable[RunId]) -> None:
        """Let everybody hear of the end, and then let the run leave the index: after what an earlier end has to say."""
        before = self._settling.get(session.run_id)

        async def in_turn() -> None:
            if before is not None:
                await asyncio.wait({before})
            await self._until_lost(session, partial(self._settle_all, session, tuple(given_up)))

        task = self._settling[session.run_id] = self._spawn(None, in_turn())
        task.add_done_callback(lambda done: _forget(self._settling, session.run_id, done))

    async def _settle_all(self, session: Session, given_up: tuple[RunId, ...]) -> None:
        await self._compare(session, {}, given_up)
        while told := self._under_way.get(session.run_id):
            await asyncio.gather(*told)
        parent = parent_of(session.birth)
        if parent is not None:
            record = child_ended_record(parent.run_id, parent.step_id, child=session.run_id)
            await (await self._bus.send_job(parent.run_id, record))
        # A crash here: the run is still open, so the next owner tells it again.
        await self._runs.close_ended(session)

    # -- telling -------------------------------------------------------------------------------------------------------

    def _tell(self, session: Session, child: RunId, send: Callable[[], Coroutine[Any, Any, None]]) -> None:
        before = self._last_told.get(child)

        async def in_turn() -> None:
            if before is not None:
                await asyncio.wait({before})
            await self._until_lost(session, send)

        task = self._last_told[child] = self._spawn(session.run_id, in_turn())
        task.add_done_callback(lambda done: _forget(self._last_told, child, done))

    async def _send_start(self, session: Session, child: StartChild) -> None:
        waits = child.waiting_for
        parent = Parent(run_id=session.run_id, step_id=child.step_id, depth=self._depth(session) + 1)
        record = start_record(
            waits.run_id, waits.blueprint_id, version=waits.version, input=dict(waits.input), parent=parent
        )
        try:
            await (await self._bus.send_job(waits.run_id, record))
        except OutputError as error:
            reason = f"it cannot be started: {error}"
            await session.report(self._ended(child.step_id, waits.run_id, RunStatus.FAILED, reason=reason))

    async def _send_command(self, session: Session, child: RunId, command: ChildCommand) -> None:
        reason = f"parent run {session.run_id} is {_SAID_OF[command]}"
        record = command_record(command, child, by=f"run {session.run_id}", reason=reason)
        await (await self._bus.send_job(child, record))

    async def _compare(self, session: Session, waiting: Mapping[StepId, ForChild], given_up: Iterable[RunId]) -> None:
        """Tell children what they have missed, and hear what they have told nobody."""
        heads = await self._heads([*(child.run_id for child in waiting.values()), *given_up])
        for step_id, child in waiting.items():
            found = heads.get(child.run_id)
            if found is None:
                self.start(session, StartChild(step_id, child))
            elif _has_ended(found[1]) or not _is_child(found[0], session.run_id, step_id):
                await self.heard(session, step_id, child.run_id)
            else:
                self._tell_again(session, step_id, child, found[1])
        for run_id in given_up:
            found = heads.get(run_id)
            if found is not None and not _has_ended(found[1]) and _is_of(found[0], session.run_id):
                self._tell(session, run_id, partial(self._send_command, session, run_id, "cancel"))

    def _tell_again(self, session: Session, step_id: StepId, child: ForChild, head: RunHead) -> None:
        """A child that is paused otherwise than its parent, and not by somebody else, has missed something."""
        is_paused, parent_is_paused = head.status == RunStatus.PAUSED, session.run.status is RunStatus.PAUSED
        if parent_is_paused and not is_paused:
            self.tell(session, TellChild(step_id, child.run_id, "pause"))
        elif is_paused and not parent_is_paused and head.reason == f"parent run {session.run_id} is paused":
            self.tell(session, TellChild(step_id, child.run_id, "unpause"))

    async def _heads(self, run_ids: Iterable[RunId]) -> dict[RunId, tuple[RunBirth, RunHead]]:
        left = list(run_ids)
        found: dict[RunId, tuple[RunBirth, RunHead]] = {}
        while left:
            found.update(await self._store.heads(left[:HEADS_AT_ONCE]))
            left = left[HEADS_AT_ONCE:]
        return found

    # -- hearing -------------------------------------------------------------------------------------------------------

    async def _outcome(self, session: Session, step: StepState, child: RunId) -> ChildEnded | None:
        """What a child's rows say of its end; ``None``: it has not ended."""
        rows = await self._store.load(child)
        if rows is None:
            return None
        rows = visible_rows(rows)
        status, birth = RunStatus(rows.head.status), rows.birth
        if not _is_child(birth, session.run_id, step.step_id):
            reason = "another run has this id, which a child of this step would have"
            return self._ended(step.step_id, child, RunStatus.FAILED, reason=reason)
        if not _has_ended(rows.head):
            return None
        if status is not RunStatus.COMPLETED:
            return self._ended(step.step_id, child, status, reason=rows.head.reason)
        try:
            graph = await self._catalog.graph_of(birth)
            output, changes = result_of(state_of(graph, rows), outputs_of(session.run, step))
            return self._ended(
                step.step_id,
                child,
                status,
                output=settled(output, max_bytes=self._value_bytes),
                changes=changes,
            )
        except TerminalError as error:
            return self._ended(step.step_id, child, RunStatus.FAILED, reason=f"what it gave cannot be taken: {error}")

    def _ended(
        self,
        step_id: StepId,
        child: RunId,
        status: RunStatus,
        *,
        reason: str | None = None,
        output: Any = None,
        changes: Mapping[str, Any] | None = None,
    ) -> ChildEnded:
        return ChildEnded(
            step_id=step_id,
            child=child,
            status=status,
            output=output,
            changes=changes or {},
            reason=reason,
            at=self._clock.now(),
        )

    # -- tasks ---------------------------------------------------------------------------------------------------------

    def _spawn(self, parent: RunId | None, body: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(body)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if parent is not None:
            self._under_way[parent].add(task)
            task.add_done_callback(lambda done: self._forget_under_way(parent, done))
        return task

    def _forget_under_way(self, parent: RunId, task: asyncio.Task[None]) -> None:
        self._under_way[parent].discard(task)
        if not self._under_way[parent]:
            del self._under_way[parent]

    async def _until_lost(self, session: Session, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do the work, again until servers let it through, for as long as the run is this worker's."""
        backoff = Backoff()
        while not session.tenure.over:
            try:
                await work()
            except OwnershipLostError:
                return
            except RetryableError as error:
                log.info(
                    "children of run %s are told again: %s",
                    session.run_id,
                    error,
                    extra={"action": "children_retried", "run_id": session.run_id},
                )
                await self._clock.sleep(backoff.next())
            except Exception:
                log.exception(
                    "children of run %s could not be told",
                    session.run_id,
                    extra={"action": "children_not_told", "run_id": session.run_id},
                )
                return
            else:
                return

    @staticmethod
    def _depth(session: Session) -> int:
        parent = parent_of(session.birth)
        return 0 if parent is None else parent.depth


_SAID_OF: Final[Mapping[ChildCommand, str]] = {"cancel": "cancelled", "pause": "paused", "unpause": "not paused"}


def _forget(tasks: dict[RunId, asyncio.Task[None]], run_id: RunId, task: asyncio.Task[None]) -> None:
    if tasks.get(run_id) is task:
        del tasks[run_id]


def _waiting(steps: Iterable[StepState]) -> dict[StepId, ForChild]:
    return {
        step.step_id: step.waiting_for
        for step in steps
        if step.status is StepStatus.WAITING and isinstance(step.waiting_for, ForChild)
    }


def _has_ended(head: RunHead) -> bool:
    return RunStatus(head.status) in RUN_ENDED


def _is_child(birth: RunBirth, run_id: RunId, step_id: StepId) -> bool:
    parent = parent_of(birth)
    return parent is not None and (parent.run_id, parent.step_id) == (run_id, step_id)


def _is_of(birth: RunBirth, run_id: RunId) -> bool:
    parent = parent_of(birth)
    return parent is not None and parent.run_id == run_id
