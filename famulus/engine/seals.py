"""Which stored rows count.

Each batch of a run carries one stamp and writes the run's head. A worker that lost the run while it was paused may
still add rows afterwards; they carry its old epoch. The next owner recorded in the head, for each earlier epoch, the
highest stamp that it had seen when it loaded the run. What lies beyond such a seal belongs to nobody, and what lies
beyond the head's own stamp is a batch that is still being written.

Owners write side by side: the store keeps a row of each epoch, so a row that does not count hides none that does. Of
those of one step, key or event that count, the latest does.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import replace
from typing import Protocol, TypeVar

from famulus.engine.versions.edges import renumbered
from famulus.ids import Epoch, Stamp, epoch_of
from famulus.ports import EventRow, RunHead, RunRows


class Stamped(Protocol):
    @property
    def stamp(self) -> Stamp: ...


RowT = TypeVar("RowT", bound=Stamped)


def visible_rows(rows: RunRows) -> RunRows:
    """Leave out the rows that do not count, and name edges as the present version of the run does."""
    return renumbered(that_count(rows))


def that_count(rows: RunRows) -> RunRows:
    """Leave out the rows that do not count. To do so twice changes nothing."""
    return replace(
        rows,
        steps=_visible(rows.steps, rows.head, key=lambda step: step.step_id),
        context=_visible(rows.context, rows.head, key=lambda row: row.key),
        events=visible_events(rows.events, rows.head),
    )


def visible_events(events: Iterable[EventRow], head: RunHead) -> list[EventRow]:
    return _visible(events, head, key=lambda event: event.seq)


def seals_for(rows: RunRows, owner: Epoch) -> Mapping[int, int]:
    """The seals that an owner of this epoch records with its first batch, from visible rows."""
    seals = dict(rows.head.seals)
    stamps = [rows.head.stamp, *(row.stamp for row in rows.steps), *(row.stamp for row in rows.context)]
    for stamp in stamps:
        epoch = epoch_of(stamp)
        if epoch < owner and epoch not in rows.head.seals:
            seals[epoch] = max(seals.get(epoch, 0), stamp)
    return seals


def _visible(rows: Iterable[RowT], head: RunHead, *, key: Callable[[RowT], Hashable]) -> list[RowT]:
    latest: dict[Hashable, RowT] = {}
    for row in rows:
        if _counts(row.stamp, head):
            name = key(row)
            known = latest.get(name)
            if known is None or row.stamp > known.stamp:
                latest[name] = row
    return list(latest.values())


def _counts(stamp: Stamp, head: RunHead) -> bool:
    if stamp > head.stamp:
        return False
    epoch = epoch_of(stamp)
    return epoch == epoch_of(head.stamp) or stamp <= head.seals.get(epoch, 0)
