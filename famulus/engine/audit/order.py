"""One order of everything that is recorded of a run, and one writer at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus.ids import epoch_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from famulus.engine.audit.subject import Subject
    from famulus.ids import StepId


def places(subject: Subject) -> None:
    """Steps, context rows and events draw from one counter: no two have the same place, and the head is beyond all."""
    taken: dict[int, str] = {}
    for seq, what, step_id in _places(subject):
        if not 0 <= seq < subject.head.next_seq:
            message = f"{what} has place {seq}, but the next place of the run is {subject.head.next_seq}"
            subject.deviates(step_id, "order.ahead", f"{message}: it would be given a second time")
        elif seq in taken:
            message = f"{what} and {taken[seq]} both have place {seq}: two writers recorded something at once"
            subject.deviates(step_id, "order.twice", message)
        else:
            taken[seq] = what


def _places(subject: Subject) -> Iterator[tuple[int, str, StepId | None]]:
    for step in subject.steps.values():
        yield step.seq, f"step {step.step_id}", step.step_id
    for write in subject.writes:
        yield write.seq, f"context key {write.key!r}", None
    for event in subject.events:
        yield event.seq, f"event {event.type}", event.step_id


def writers(subject: Subject) -> None:
    """An owner never records anything before what a later one has recorded."""
    before = None
    for event in subject.events:
        if before is not None and event.stamp < before.stamp:
            message = (
                f"event {event.type} (place {event.seq}, epoch {epoch_of(event.stamp)}) follows one of a later owner "
                f"({before.type}, epoch {epoch_of(before.stamp)}): a worker wrote that had lost the run"
            )
            subject.deviates(event.step_id, "order.stale_writer", message)
        before = event


def seals(subject: Subject) -> None:
    """What is sealed are earlier epochs, each at a stamp of its own."""
    own = epoch_of(subject.head.stamp)
    for epoch, stamp in subject.head.seals.items():
        if epoch >= own or epoch_of(stamp) != epoch:  # type: ignore[arg-type]  # a stamp, as a plain number
            message = f"the seal {stamp} of epoch {epoch} is none of an owner before epoch {own}: rows may be hidden"
            subject.deviates(None, "seal.wrong", message)
