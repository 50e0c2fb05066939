"""Whether the group can still count on a worker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from famulus.adapters.faust import membership
from famulus.adapters.faust.membership import Membership


class Group:
    """As much of aiokafka's coordinator as is listened to, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.answer, self.takes = 1000.0, True, 0.0
        monkeypatch.setattr(membership, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.coordinator: Any = SimpleNamespace(_do_heartbeat=self._beat, _do_rejoin_group=self._join)
        self.membership = Membership(10.0)
        self.membership.follow(self.coordinator)
        self.membership.follow(self.coordinator)

    async def _beat(self) -> bool:
        self.now += self.takes
        return self.answer

    async def _join(self, _subscription: Any) -> bool:
        return self.answer


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Group:
    return Group(monkeypatch)


async def test_a_worker_is_no_member_before_it_has_joined(group: Group) -> None:
    assert not group.membership.is_current()
    await group.coordinator._do_rejoin_group(None)
    assert group.membership.is_current()


async def test_it_is_a_member_for_a_session_after_a_heartbeat_was_sent(group: Group) -> None:
    await group.coordinator._do_rejoin_group(None)
    group.now += 9
    group.takes = 4
    await group.coordinator._do_heartbeat()
    assert group.membership.is_current()

    group.now += 5.9
    assert group.membership.is_current()
    group.now += 0.2  # ten seconds after it was sent, six after its answer
    assert not group.membership.is_current()


async def test_a_heartbeat_that_is_refused_counts_for_nothing(group: Group) -> None:
    await group.coordinator._do_rejoin_group(None)
    group.now += 11
    group.answer = False
    await group.coordinator._do_heartbeat()
    await group.coordinator._do_rejoin_group(None)

    assert not group.membership.is_current()
