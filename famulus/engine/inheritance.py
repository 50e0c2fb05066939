"""What an owner takes over from the one before it.

A seal hides the late writes of an earlier owner. It cannot bring back what such a write replaced: of two rows with the
same key and epoch the store keeps the later one, and if that one lies beyond the seal, the value from before it would
be gone. So the first batch of an owner also writes, with its own stamp, every row that its writer might still replace:
context keys, and steps that may be recorded once more (`may_change`). What an owner of another epoch writes stands
beside a row and replaces it never.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from famulus.flow.status import StepStatus
from famulus.ids import Epoch, epoch_of
from famulus.ports import Commit, ContextRow, RunRows, StepRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Inherited:
    steps: tuple[StepRow, ...] = ()
    context: tuple[ContextRow, ...] = ()

    def taken_over(self, commit: Commit) -> Commit:
        """The commit with these rows too, where it does not write them anew itself."""
        steps = {row.step_id: replace(row, stamp=commit.stamp) for row in self.steps}
        context = {row.key: replace(row, stamp=commit.stamp) for row in self.context}
        steps.update((row.step_id, row) for row in commit.steps)
        context.update((row.key, row) for row in commit.context)
        return replace(commit, takes_over=True, steps=tuple(steps.values()), context=tuple(context.values()))


def may_change(row: StepRow) -> bool:
    """Whether whoever recorded the step may record it again.

    One that has completed stays as it is, unless it is a batch: its items are tried again. Others live again when an
    operator retries them.
    """
    return row.status != StepStatus.COMPLETED or row.extra is not None


def inherited_from(rows: RunRows, *, owner: Epoch | None = None) -> Inherited:
    """What of these visible rows an owner has to make its own.

    Its own epoch is given when it has written the run before, and nothing of that can still be on its way: then what it
    wrote itself is its own already.
    """

    def is_own(row: StepRow | ContextRow) -> bool:
        return owner is not None and epoch_of(row.stamp) == owner

    return Inherited(
        steps=tuple(row for row in rows.steps if may_change(row) and not is_own(row)),
        context=tuple(row for row in rows.context if not is_own(row)),
    )
