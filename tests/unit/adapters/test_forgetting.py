"""What has finished here counts for nothing after a rebalance, where it depended on who owned its partition."""

from __future__ import annotations

import pytest

from famulus.adapters.faust.offsets import Delivery, OffsetWindow


def window(*, forgets: bool) -> OffsetWindow[str]:
    return OffsetWindow(memory=10, forgets=forgets)


@pytest.mark.parametrize(("forgets", "delivery"), [(True, Delivery.NEW), (False, Delivery.FINISHED)])
def test_record_that_finished_in_an_earlier_generation_is_handled_again_only_by_a_window_that_forgets(
    *, forgets: bool, delivery: Delivery
) -> None:
    records = window(forgets=forgets)
    _, ticket = records.deliver(0, "first", fingerprint=1, generation=1)
    records.finish(ticket)
    records.ripe()

    records.take_back()

    assert records.deliver(0, "second", fingerprint=1, generation=2)[0] is delivery


def test_record_that_finishes_after_its_partition_was_taken_is_handled_again() -> None:
    records = window(forgets=True)
    _, ticket = records.deliver(0, "first", fingerprint=1, generation=1)
    records.take_back()

    records.finish(ticket)

    assert records.deliver(0, "second", fingerprint=1, generation=2)[0] is Delivery.NEW


def test_record_that_still_runs_goes_on_under_its_new_receipt_in_a_window_that_forgets() -> None:
    records = window(forgets=True)
    records.deliver(0, "first", fingerprint=1, generation=1)

    assert records.deliver(0, "second", fingerprint=1, generation=2)[0] is Delivery.RUNNING
