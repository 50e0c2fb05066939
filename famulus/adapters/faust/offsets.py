"""Which records of a partition may be acknowledged. Pure: no I/O, no clock, no Faust.

The rule of this file: an offset is given back for acknowledgement only when it and every offset delivered before it in
the same generation are finished. Faust commits wrongly when acknowledgements come in any other order, and the records
in the gap are lost (faust issue #606).

After a rebalance Kafka delivers again from the committed offset. So a record may come while it still runs here, or
after it finished here without being committed; it is recognised by its offset *and* its fingerprint, because the
offsets of a topic begin anew when a broker in memory is restarted or the topic is created again.

That a record has finished here says nothing after a rebalance, though, where what it did depends on who owned its
partition: a worker that was paused, and has not heard yet that it lost the partition, finishes records whose rows lose
against those of the new owner. Such a window forgets, and the record is handled once more.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

ReceiptT = TypeVar("ReceiptT")


class Delivery(Enum):
    """What a delivered record is to this worker."""

    NEW = "new"
    RUNNING = "running"
    """Delivered again while it runs here: its run goes on under the new receipt."""
    FINISHED = "finished"
    """Delivered again after it finished here."""


@dataclass(slots=True, eq=False)
class Ticket(Generic[ReceiptT]):
    """A record between its delivery and its acknowledgement."""

    offset: int
    fingerprint: int
    receipt: ReceiptT
    """What to acknowledge the latest delivery with."""
    finished: bool = False
    bound: bool = True
    """False after the delivery was taken back: whoever owns the partition now gets the record again."""


class OffsetWindow(Generic[ReceiptT]):
    """The records of one partition that are delivered and not yet acknowledged, in order of offset."""

    def __init__(self, *, memory: int, forgets: bool = False) -> None:
        """`forgets`: what has finished is handled again when it comes again after a rebalance."""
        self._memory = memory
        self._forgets = forgets
        self._generation: int | None = None
        self._window: deque[Ticket[ReceiptT]] = deque()
        self._running: dict[int, Ticket[ReceiptT]] = {}
        self._finished: OrderedDict[int, int] = OrderedDict()
        """Offset -> fingerprint of what finished here and left the window: it may not be committed yet."""

    def __len__(self) -> int:
        """How many delivered records wait for their acknowledgement."""
        return len(self._window)

    @property
    def remembered(self) -> int:
        """How many finished records would be recognised; never more than ``memory``."""
        return len(self._finished)

    def deliver(
        self, offset: int, receipt: ReceiptT, *, fingerprint: int, generation: int | None
    ) -> tuple[Delivery, Ticket[ReceiptT]]:
        """Enter a record. The caller runs it exactly when it is `Delivery.NEW`, and asks `ripe` in any case."""
        if generation != self._generation:
            self.take_back()
            self._generation = generation
        while self._window and self._window[-1].offset >= offset:
            self._unbind(self._window.pop())  # the consumer went back within a generation: these come again

        running = self._running.get(offset)
        if running is not None and running.fingerprint == fingerprint:
            running.receipt = receipt
            running.bound = True
            self._window.append(running)
            return Delivery.RUNNING, running

        ticket = Ticket(offset, fingerprint, receipt)
        self._window.append(ticket)
        if self._finished.get(offset) == fingerprint:
            ticket.finished = True
            return Delivery.FINISHED, ticket
        self._running[offset] = ticket
        return Delivery.NEW, ticket

    def finish(self, ticket: Ticket[ReceiptT]) -> None:
        """Note that the record is done and need not run again."""
        ticket.finished = True
        self._stop_running(ticket)
        if not (ticket.bound or self._forgets):
            self._remember(ticket)

    def abandon(self, ticket: Ticket[ReceiptT]) -> None:
        """Note that the record stopped unfinished: it runs anew when it is delivered again."""
        self._stop_running(ticket)

    def take_back(self) -> None:
        """Forget all receipts: the partition is revoked, and whoever gets it next gets these records again."""
        for ticket in self._window:
            self._unbind(ticket)
        self._window.clear()
        if self._forgets:
            self._finished.clear()

    def ripe(self) -> list[ReceiptT]:
        """Take out the receipts that may be used now, in order of offset."""
        receipts = []
        while self._window and self._window[0].finished:
            ticket = self._window.popleft()
            receipts.append(ticket.receipt)
            self._remember(ticket)
        return receipts

    def _unbind(self, ticket: Ticket[ReceiptT]) -> None:
        ticket.bound = False
        if ticket.finished:
            self._remember(ticket)

    def _stop_running(self, ticket: Ticket[ReceiptT]) -> None:
        if self._running.get(ticket.offset) is ticket:
            del self._running[ticket.offset]

    def _remember(self, ticket: Ticket[ReceiptT]) -> None:
        self._finished[ticket.offset] = ticket.fingerprint
        self._finished.move_to_end(ticket.offset)
        if len(self._finished) > self._memory:
            self._finished.popitem(last=False)
