"""No record is acknowledged before all records in front of it are finished, whatever is delivered again and when."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from famulus.adapters.faust.offsets import Delivery, OffsetWindow, Ticket


@dataclass(frozen=True)
class Receipt:
    offset: int
    generation: int


def deliver(
    window: OffsetWindow[Receipt], offset: int, *, generation: int = 1, fingerprint: int = 0
) -> tuple[Delivery, Ticket[Receipt]]:
    return window.deliver(offset, Receipt(offset, generation), fingerprint=fingerprint, generation=generation)


@given(st.integers(1, 40).flatmap(lambda size: st.permutations(range(size))))
def test_records_finishing_in_any_order_are_acknowledged_in_order_and_completely(order: list[int]) -> None:
    window = OffsetWindow[Receipt](memory=1000)
    tickets = [deliver(window, offset)[1] for offset in range(len(order))]
    finished: set[int] = set()
    acknowledged: list[int] = []

    for offset in order:
        window.finish(tickets[offset])
        finished.add(offset)
        acknowledged += [receipt.offset for receipt in window.ripe()]
        assert finished.issuperset(range(len(acknowledged)))

    assert acknowledged == list(range(len(order)))


def test_a_record_delivered_again_while_it_runs_is_acknowledged_with_the_new_receipt() -> None:
    window = OffsetWindow[Receipt](memory=10)
    _, ticket = deliver(window, 5, generation=1)

    delivery, same = deliver(window, 5, generation=2)
    window.finish(ticket)

    assert (delivery, same) == (Delivery.RUNNING, ticket)
    assert window.ripe() == [Receipt(5, generation=2)]


def test_a_record_delivered_again_after_it_finished_need_not_run() -> None:
    window = OffsetWindow[Receipt](memory=10)
    deliver(window, 4)
    _, behind_a_slow_one = deliver(window, 5)
    window.finish(behind_a_slow_one)

    deliver(window, 4, generation=2)
    delivery, _ = deliver(window, 5, generation=2)

    assert delivery is Delivery.FINISHED


def test_another_record_under_a_known_offset_is_new() -> None:
    """A broker in memory that is restarted gives out its offsets anew."""
    window = OffsetWindow[Receipt](memory=10)
    _, old_finished = deliver(window, 0, fingerprint=1)
    _, old_running = deliver(window, 1, fingerprint=1)
    window.finish(old_finished)
    window.ripe()

    first, _ = deliver(window, 0, generation=2, fingerprint=2)
    second, _ = deliver(window, 1, generation=2, fingerprint=2)
    window.finish(old_running)

    assert (first, second) == (Delivery.NEW, Delivery.NEW)
    assert window.ripe() == []


def test_a_record_that_finishes_after_the_revoke_is_not_acknowledged_but_remembered() -> None:
    window = OffsetWindow[Receipt](memory=10)
    _, ticket = deliver(window, 7)
    window.take_back()

    window.finish(ticket)

    assert window.ripe() == []
    assert deliver(window, 7, generation=2)[0] is Delivery.FINISHED


def test_an_abandoned_record_runs_anew_when_it_comes_again() -> None:
    window = OffsetWindow[Receipt](memory=10)
    _, ticket = deliver(window, 7)
    window.take_back()
    window.abandon(ticket)

    assert deliver(window, 7, generation=2)[0] is Delivery.NEW


def test_a_consumer_that_goes_back_within_a_generation_gets_no_second_place_in_the_window() -> None:
    window = OffsetWindow[Receipt](memory=10)
    tickets = [deliver(window, offset)[1] for offset in range(3)]

    deliver(window, 1)
    deliver(window, 2)
    for ticket in tickets:
        window.finish(ticket)

    assert [receipt.offset for receipt in window.ripe()] == [0, 1, 2]
    assert len(window) == 0


def test_no_more_than_its_memory_is_remembered() -> None:
    window = OffsetWindow[Receipt](memory=3)

    for offset in range(100):
        window.finish(deliver(window, offset)[1])
        window.ripe()

    assert window.remembered == 3


class PartitionMachine(RuleBasedStateMachine):
    """One partition of a log, its committed offset, and a worker; other workers may own it in between."""

    LOG = 30

    @initialize(memory=st.integers(0, 40))
    def begin(self, memory: int) -> None:
        self.window = OffsetWindow[Receipt](memory=memory)
        self.generation = 1
        self.told = True
        self.position = 0
        self.committed = 0
        self.running: list[Ticket[Receipt]] = []
        self.finished: set[int] = set()
        self.acknowledged: Counter[Receipt] = Counter()

    @precondition(lambda self: self.position < self.LOG)
    @rule()
    def deliver_next(self) -> None:
        delivery, ticket = deliver(self.window, self.position, generation=self.generation)
        if delivery is Delivery.NEW:
            self.running.append(ticket)
        else:
            assert self.position in self.finished or ticket in self.running
        self.position += 1
        self.acknowledge()

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish_one(self, data: st.DataObject) -> None:
        ticket = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.finished.add(ticket.offset)
        self.window.finish(ticket)
        self.acknowledge()

    @precondition(lambda self: any(not ticket.bound for ticket in self.running))
    @rule()
    def abandon_one(self) -> None:
        ticket = next(ticket for ticket in self.running if not ticket.bound)
        self.running.remove(ticket)
        self.window.abandon(ticket)

    @rule(told=st.booleans(), elsewhere=st.integers(0, 5))
    def rebalance(self, told: bool, elsewhere: int) -> None:  # noqa: FBT001 - drawn by hypothesis
        """Revoke and assign again; another owner may get on with it, and the revoke may not have been told."""
        self.told = told
        if told:
            self.window.take_back()
        for offset in range(self.committed, min(self.LOG, self.committed + elsewhere)):
            self.finished.add(offset)
            self.committed = offset + 1
        self.generation += 1
        self.position = self.committed

    def acknowledge(self) -> None:
        for receipt in self.window.ripe():
            if receipt.generation != self.generation:
                assert not self.told  # the consumer drops what belongs to an earlier assignment
                continue
            self.acknowledged[receipt] += 1
            assert receipt.offset == self.committed
            self.committed += 1

    @invariant()
    def nothing_unfinished_is_committed(self) -> None:
        assert self.finished.issuperset(range(self.committed))

    @invariant()
    def nothing_is_acknowledged_twice(self) -> None:
        assert all(count == 1 for count in self.acknowledged.values())

    def teardown(self) -> None:
        while self.position < self.LOG:
            self.deliver_next()
        for ticket in list(self.running):
            self.window.finish(ticket)
            self.finished.add(ticket.offset)
        self.acknowledge()
        assert self.committed == self.LOG
        assert len(self.window) == 0


TestPartition = PartitionMachine.TestCase
