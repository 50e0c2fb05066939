"""What an owner takes over from the one before it.

A seal hides the late writes of an earlier owner. It cannot bring back what such a write replaced: of two rows with the
same key the store keeps the later one, and if that one lies beyond the seal, the value from before it would be gone.
So the first batch of an owner also writes, with its own stamp, every row that an earlier owner might still replace:
context keys, steps that have not ended, and the last batch that is visible. For an owner in between may have loaded the
run before that batch was stored, and a batch of its own may come late: of any other outcome it knew, and whoever knows
of an outcome never records that step again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from famulus.flow.status import STEP_ENDED, StepStatus
from famulus.ids import Epoch, RunId, epoch_of
from famulus.ports import Commit, ContextRow, EventRow, RunRows, RunStore, StepRow

EVENTS_PAGE: Final = 1000
EVENTS_LOOK: Final = 64
"""Few batches have more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inherited:
    steps: tuple[StepRow, ...] = ()
    context: tuple[ContextRow, ...] = ()
    events: tuple[EventRow, ...] = ()

    def taken_over(self, commit: Commit) -> Commit:
        """The commit with these rows too, where it does not write them anew itself."""
        steps = {row.step_id: replace(row, stamp=commit.stamp) for row in self.steps}
        context = {row.key: replace(row, stamp=commit.stamp) for row in self.context}
        steps.update((row.step_id, row) for row in commit.steps)
        context.update((row.key, row) for row in commit.context)
        events = {row.seq: replace(row, stamp=commit.stamp) for row in self.events}
        events.update((row.seq, row) for row in commit.events)
        return replace(
            commit,
            takes_over=True,
            steps=tuple(steps.values()),
            context=tuple(context.values()),
            events=tuple(events.values()),
        )


async def last_events(store: RunStore, rows: RunRows) -> Sequence[EventRow]:
    """The events of the last batch that is visible: looked for from the end on, until there are some of another one."""
    look = EVENTS_LOOK
    while True:
        first = max(0, rows.head.next_seq - look)
        found = await _events_from(store, rows.birth.run_id, first)
        last = [event for event in found if event.stamp == rows.head.stamp]
        if first == 0 or len(last) < len(found):
            return last
        look *= 8


async def _events_from(store: RunStore, run_id: RunId, first: int) -> list[EventRow]:
    found: list[EventRow] = []
    after = first - 1
    while page := await store.events(run_id, after=after, limit=EVENTS_PAGE):
        found += page
        after = page[-1].seq
        if len(page) < EVENTS_PAGE:
            break
    return found


def inherited_from(rows: RunRows, *, owner: Epoch | None = None, events: Sequence[EventRow] = ()) -> Inherited:
    """What of these visible rows, and events of the last batch, an owner has to make its own.

    Its own epoch is given when it has written the run before, and nothing of that can still be on its way: then what it
    wrote itself is its own already.
    """

    def is_own(row: StepRow | ContextRow) -> bool:
        return owner is not None and epoch_of(row.stamp) == owner

    def is_at_risk(row: StepRow) -> bool:
        return StepStatus(row.status) not in STEP_ENDED or row.stamp == rows.head.stamp

    return Inherited(
        steps=tuple(row for row in rows.steps if is_at_risk(row) and not is_own(row)),
        context=tuple(row for row in rows.context if not is_own(row)),
        events=tuple(events),
    )
