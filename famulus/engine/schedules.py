"""Starts the runs of schedules: each tick once, over all workers, whatever crashes.

A schedule belongs, as a run does, to the partition of the jobs topic that its id hashes to, and the owner of the
partition lets it tick. The id of a run follows from schedule and tick, and its start is on the topic before the
progress of the schedule is stored. So an owner that dies between the two, or that does not know yet that it is none any
more, sends a start twice, which starts nothing twice. Progress carries the stamps of the owner's tenure: a former owner
cannot set it back.

What others change is seen when the list of schedules is read the next time (`poll_seconds`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

from famulus.engine.backoff import Backoff
from famulus.engine.commands import cancel_record
from famulus.engine.reading import is_ended
from famulus.engine.scheduling.definition import Overlap, Schedule, decode_schedule
from famulus.engine.scheduling.policy import SENT_SECONDS, Action, Standing, action, due
from famulus.engine.scheduling.ticks import tick_text
from famulus.engine.tenure import Tenure
from famulus.errors import OwnershipLostError, RetryableError, ScheduleError, TerminalError
from famulus.ids import RunId, ScheduleId
from famulus.ports import Bus, Clock, RunStore, ScheduleProgress, ScheduleStore, StoredSchedule

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 3.0
"""How often the list of schedules is read."""
LOOK_SECONDS: Final = 1.0
"""How often a run is looked at whose end a tick waits for, and a schedule is tried again that failed."""
AT_ONCE: Final = 32
"""Schedules that are seen to at the same time."""
NO_PROGRESS: Final = ScheduleProgress(last_tick=0)


@dataclass(slots=True)
class _Kept:
    """A schedule of this owner."""

    stored: StoredSchedule
    """As it was read, progress aside."""
    schedule: Schedule
    progress: ScheduleProgress
    look_at: float = 0.0
    """When something is to be done next, as far as is known."""


class Schedules:
    def __init__(
        self,
        schedules: ScheduleStore,
        *,
        runs: RunStore,
        bus: Bus,
        clock: Clock,
        counts: Counter[str],
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._schedules = schedules
        self._runs = runs
        self._bus = bus
        self._clock = clock
        self._counts = counts
        self._poll_seconds = poll_seconds
        self._told: dict[ScheduleId, float] = {}

    async def tend(self, tenure: Tenure) -> None:
        """Let the schedules of a tenure's partitions tick until it is over."""
        kept: dict[ScheduleId, _Kept] = {}
        backoff = Backoff(first=LOOK_SECONDS)
        read_at = float("-inf")
        try:
            await tenure.ready()
            while not tenure.over:
                try:
                    if self._clock.now() >= read_at + self._poll_seconds:
                        kept = self._matched(tenure, kept, await self._schedules.all())
                        read_at = self._clock.now()
                    await self._see_to(tenure, kept)
                except OwnershipLostError:
                    raise
                except RetryableError as error:
                    log.warning("schedules not seen to: %s", error, extra={"action": "schedules_retried"})
                    await self._clock.sleep(backoff.next())
                except Exception:
                    # Whatever it is: no schedule of these partitions would tick any more.
                    log.exception("schedules not seen to", extra={"action": "schedules_retried"})
                    await self._clock.sleep(backoff.next())
                else:
                    backoff = Backoff(first=LOOK_SECONDS)
                    await self._sleep(read_at + self._poll_seconds, kept)
        except OwnershipLostError:
            return

    def _matched(
        self, tenure: Tenure, kept: dict[ScheduleId, _Kept], stored: Sequence[StoredSchedule]
    ) -> dict[ScheduleId, _Kept]:
        """What is kept, after the list that was read. The progress of the tenure is here; the list's may be older."""
        matched: dict[ScheduleId, _Kept] = {}
        for each in stored:
            if self._bus.partition_of(RunId(each.schedule_id)) not in tenure.partitions:
                continue
            known = kept.get(each.schedule_id)
            definition = replace(each, progress=None)
            if known is not None and known.stored == definition:
                matched[each.schedule_id] = known
            elif (schedule := self._readable(each)) is not None:
                progress = each.progress if known is None else known.progress
                matched[each.schedule_id] = _Kept(definition, schedule, progress or NO_PROGRESS)
        return matched

    def _readable(self, stored: StoredSchedule) -> Schedule | None:
        try:
            return decode_schedule(stored)
        except ScheduleError as error:
            if self._told.get(stored.schedule_id) != stored.written_at:
                self._told[stored.schedule_id] = stored.written_at
                log.error("a schedule does not tick here: %s", error, extra={"action": "schedule_unreadable"})  # noqa: TRY400  # its message says it all
            return None

    async def _sleep(self, until: float, kept: dict[ScheduleId, _Kept]) -> None:
        earliest = min([until, *(each.look_at for each in kept.values())])
        await self._clock.sleep(max(0.0, earliest - self._clock.now()))

    async def _see_to(self, tenure: Tenure, kept: dict[ScheduleId, _Kept]) -> None:
        now = self._clock.now()
        looked_at = [each for each in kept.values() if each.look_at <= now]
        for begin in range(0, len(looked_at), AT_ONCE):
            tenure.check()
            await asyncio.gather(*(self._tick(tenure, each) for each in looked_at[begin : begin + AT_ONCE]))

    async def _tick(self, tenure: Tenure, kept: _Kept) -> None:
        """Do what is due for one schedule; what fails for want of a server is tried again, and stops no other one."""
        try:
            again = await self._catch_up(tenure, kept)
        except OwnershipLostError:
            raise
        except RetryableError as error:
            log.warning(
                "schedule %s is tried again: %s",
                kept.schedule.id,
                error,
                extra={"action": "schedule_retried", "schedule_id": kept.schedule.id},
            )
            again = True
        kept.look_at = self._clock.now() + LOOK_SECONDS if again else self._next_look(kept)

    def _next_look(self, kept: _Kept) -> float:
        if kept.schedule.paused:
            return float("inf")
        last = max(kept.progress.last_tick, kept.schedule.active_from)
        return next(iter(kept.schedule.next_ticks(1, after=last)), float("inf"))

    async def _catch_up(self, tenure: Tenure, kept: _Kept) -> bool:
        """Start what is due; returns whether the schedule is to be looked at again in a moment."""
        if kept.schedule.paused:
            return False
        found = due(kept.schedule, kept.progress, self._clock.now())
        await self._start_waiting(tenure, kept)
        for tick in found.ticks:
            before, standing = await self._before(kept, found.missed)
            chosen = action(kept.schedule.overlap, standing, one_waits=kept.progress.waiting is not None)
            match chosen:
                case Action.START:
                    await self._start(tenure, kept, tick)
                case Action.CANCEL_AND_START:
                    await self._cancel(kept.schedule, before, tick)
                    await self._start(tenure, kept, tick)
                case Action.LET_WAIT:
                    await self._advance(tenure, kept, replace(kept.progress, last_tick=tick, waiting=tick))
                case Action.LEAVE_OUT:
                    await self._leave_out(tenure, kept, tick)
                case Action.LOOK_AGAIN:
                    return True
                case _:
                    assert_never(chosen)
        if found.newest is not None and kept.progress.last_tick < found.newest:
            await self._advance(tenure, kept, replace(kept.progress, last_tick=found.newest))
        return kept.progress.waiting is not None

    async def _start_waiting(self, tenure: Tenure, kept: _Kept) -> None:
        """Start the run that waits, if the one before it has ended."""
        waiting = kept.progress.waiting
        if waiting is None:
            return
        if waiting <= kept.schedule.active_from or kept.schedule.overlap is not Overlap.QUEUE:
            # The schedule was changed since: nobody waits for what it was before.
            await self._advance(tenure, kept, replace(kept.progress, waiting=None))
            return
        _, standing = await self._before(kept, None)
        if standing is Standing.OVER:
            await self._start(tenure, kept, waiting)

    async def _before(self, kept: _Kept, missed: int | None) -> tuple[RunId | None, Standing]:
        """The run that was started before, as its rows show it, found by the id that follows from its tick."""
        schedule, progress = kept.schedule, kept.progress
        ticks = [tick for tick in (progress.started, missed) if tick is not None]
        if schedule.overlap is Overlap.ALLOW or not ticks:
            return None, Standing.OVER
        run_ids = [schedule.run_id(tick) for tick in sorted(set(ticks), reverse=True)]
        heads = await self._runs.heads(run_ids)
        for run_id in run_ids:
            if run_id in heads and not is_ended(heads[run_id][1].status):
                return run_id, Standing.RUNNING
        if progress.started is not None and schedule.run_id(progress.started) not in heads:
            lately = self._clock.now() < (progress.sent_at or 0.0) + SENT_SECONDS
            return schedule.run_id(progress.started), Standing.SENT if lately else Standing.OVER
        return None, Standing.OVER

    async def _cancel(self, schedule: Schedule, run_id: RunId | None, tick: int) -> None:
        if run_id is None:
            return
        by, reason = f"schedule {schedule.id}", f"the run of {tick_text(tick)} takes its place"
        await (await self._bus.send_job(run_id, cancel_record(run_id, by=by, reason=reason)))
        self._counts["schedule_cancels"] += 1

    async def _start(self, tenure: Tenure, kept: _Kept, tick: int) -> None:
        """Start the run of a tick that is due, or that has waited."""
        schedule, progress = kept.schedule, kept.progress
        waiting = None if progress.waiting == tick else progress.waiting
        after = replace(progress, last_tick=max(tick, progress.last_tick), waiting=waiting)
        try:
            await (await self._bus.send_job(schedule.run_id(tick), schedule.record(tick)))
        except TerminalError as error:
            # Trying again changes nothing, and would hold every later tick.
            log.error(  # noqa: TRY400  # its message says it all
                "tick %s of schedule %s cannot be started: %s",
                tick_text(tick),
                schedule.id,
                error,
                extra={"action": "tick_failed", "schedule_id": schedule.id},
            )
        else:
            after = replace(after, started=tick, sent_at=self._clock.now())
            self._counts["schedule_starts"] += 1
        # A crash here sends the start again: of the same run, so it changes nothing.
        await self._advance(tenure, kept, after)

    async def _leave_out(self, tenure: Tenure, kept: _Kept, tick: int) -> None:
        self._counts["schedule_skips"] += 1
        log.info(
            "tick %s of schedule %s is left out: the run before it lasts",
            tick_text(tick),
            kept.schedule.id,
            extra={"action": "tick_skipped", "schedule_id": kept.schedule.id},
        )
        await self._advance(tenure, kept, replace(kept.progress, last_tick=tick))

    async def _advance(self, tenure: Tenure, kept: _Kept, progress: ScheduleProgress) -> None:
        tenure.check()
        stamped = replace(progress, stamp=tenure.next_stamp())
        await self._schedules.advance(kept.schedule.id, stamped)
        kept.progress = stamped
