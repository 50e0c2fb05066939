"""Which offsets count for the log that a topic has now. Against a group and a broker that are played."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from aiokafka.errors import IncompatibleBrokerVersion, KafkaConnectionError
from aiokafka.structs import OffsetAndMetadata
from faust.types import TP

from famulus.adapters.faust import logs
from famulus.adapters.faust.logs import LogsRead
from famulus.adapters.faust.topic_ids import topic_ids

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

FIRST, SECOND, THIRD = UUID(int=1), UUID(int=2), UUID(int=3)
JOBS, MORE_JOBS = TP("jobs", 0), TP("jobs", 1)
CHANGELOG = TP("changelog", 0)


class Group:
    """A worker's client, its group with what is committed, and a broker with its topics."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.topics: dict[str, UUID] = {"jobs": FIRST, "changelog": FIRST}
        self.answers = True
        self.asked: list[set[str]] = []
        self.committed: dict[TP, OffsetAndMetadata] = {}
        self.keeps_words = True
        self.rejoins = 0
        self.begun_anew: list[TP] = []
        self._assignment: Any = None
        cluster = SimpleNamespace(leader_for_partition=lambda _: 1)
        self.client: Any = SimpleNamespace(
            _client=SimpleNamespace(cluster=cluster),
            _coordinator=SimpleNamespace(_do_fetch_commit_offsets=self._fetch, request_rejoin=self._rejoin),
            _subscription=SimpleNamespace(subscription=SimpleNamespace()),
        )
        monkeypatch.setattr(logs, "topic_ids", self._tell)
        self.logs = LogsRead(is_committed="jobs".__eq__, begins_anew=self.begun_anew.append)
        self.logs.follow(self.client)
        self.logs.follow(self.client)

    def assign(self, *partitions: TP) -> None:
        if self._assignment is not None:
            self._assignment.active = False
        self._assignment = SimpleNamespace(tps=frozenset(partitions), active=True)
        self.client._subscription.subscription.assignment = self._assignment

    async def begins_at(self, tp: TP = JOBS) -> int | None:
        found = await self.client._coordinator._do_fetch_commit_offsets([tp])
        return found[tp].offset if tp in found else None

    async def is_assigned(self, *partitions: TP) -> list[int | None]:
        self.assign(*partitions)
        return [await self.begins_at(tp) for tp in partitions]

    def commit(self, offset: int, tp: TP = JOBS) -> None:
        (named,) = self.logs.named({tp: OffsetAndMetadata(offset, "")}).values()
        self.committed[tp] = named if self.keeps_words else OffsetAndMetadata(offset, "")

    async def look(self) -> None:
        await self.logs.look(self.client)

    async def _fetch(self, partitions: Collection[TP]) -> dict[TP, OffsetAndMetadata]:
        return {tp: self.committed[tp] for tp in partitions if tp in self.committed}

    async def _tell(self, _: object, topics: Collection[str], *, node: int) -> Mapping[str, UUID]:
        assert node == 1
        self.asked.append(set(topics))
        if not self.answers:
            raise KafkaConnectionError
        return {topic: self.topics[topic] for topic in topics if topic in self.topics}

    def _rejoin(self) -> None:
        self.rejoins += 1


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Group:
    return Group(monkeypatch)


async def test_what_is_committed_counts_while_the_topic_is_the_same(group: Group) -> None:
    assert await group.is_assigned(JOBS) == [None]
    group.commit(40)

    assert await group.is_assigned(JOBS) == [40]
    assert group.begun_anew == []


async def test_what_was_committed_of_a_topic_that_is_gone_counts_for_no_worker(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    await group.is_assigned(JOBS)
    group.topics["jobs"] = SECOND
    group.commit(40)  # nobody has noticed yet

    another = Group(monkeypatch)
    another.topics, another.committed = group.topics, group.committed

    assert await group.is_assigned(JOBS) == [None]
    assert await another.is_assigned(JOBS) == [None]
    assert group.begun_anew == [JOBS]


async def test_what_is_committed_then_is_of_the_new_topic(group: Group) -> None:
    await group.is_assigned(JOBS)
    group.topics["jobs"] = SECOND
    await group.is_assigned(JOBS)
    group.commit(3)

    assert await group.is_assigned(JOBS) == [3]


async def test_a_look_at_a_topic_that_is_another_one_makes_the_worker_join_its_group_anew_once(group: Group) -> None:
    await group.is_assigned(JOBS)
    await group.look()
    assert group.rejoins == 0

    group.topics["jobs"] = SECOND
    await group.look()
    await group.look()
    assert group.rejoins == 1

    await group.is_assigned(JOBS)
    await group.look()
    assert group.rejoins == 1
    group.topics["jobs"] = THIRD
    await group.look()
    assert group.rejoins == 2


async def test_until_it_has_joined_anew_it_commits_for_the_topic_that_is_gone(group: Group) -> None:
    await group.is_assigned(JOBS)
    group.topics["jobs"] = SECOND
    await group.look()
    group.commit(42)

    assert await group.begins_at() == 42
    assert await group.is_assigned(JOBS) == [None]


async def test_partitions_that_were_taken_away_during_a_look_are_left_alone(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    await group.is_assigned(JOBS)
    answer = asyncio.Event()

    async def tell_late(*_: object, **__: object) -> Mapping[str, UUID]:
        await answer.wait()
        return {"jobs": SECOND}

    monkeypatch.setattr(logs, "topic_ids", tell_late)
    look = asyncio.create_task(group.look())
    await asyncio.sleep(0)

    group.assign(JOBS)
    answer.set()
    await look

    assert group.rejoins == 0


async def test_a_broker_that_does_not_answer_changes_nothing(group: Group) -> None:
    await group.is_assigned(JOBS)
    group.commit(40)
    group.answers = False

    await group.look()

    assert await group.is_assigned(JOBS) == [40]
    assert group.rejoins == 0


async def test_a_topic_that_is_missing_is_not_another_one_until_it_is_there_again(group: Group) -> None:
    await group.is_assigned(JOBS)
    group.commit(40)
    del group.topics["jobs"]
    await group.look()
    assert await group.is_assigned(JOBS) == [40]

    group.topics["jobs"] = SECOND
    await group.look()

    assert group.rejoins == 1
    assert await group.is_assigned(JOBS) == [None]


async def test_a_topic_is_known_from_what_is_committed_when_no_broker_tells_at_first(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    await group.is_assigned(JOBS)
    group.commit(40)
    another = Group(monkeypatch)
    another.committed, another.answers = group.committed, False

    assert await another.is_assigned(JOBS) == [40]
    another.answers, another.topics["jobs"] = True, SECOND
    await another.look()

    assert another.rejoins == 1


async def test_what_the_first_look_tells_is_no_change_when_nothing_was_known(group: Group) -> None:
    group.answers = False
    await group.is_assigned(JOBS)
    group.answers = True

    await group.look()
    assert group.rejoins == 0
    group.commit(40)
    assert group.committed[JOBS].metadata == f"topic-id:{FIRST}"


@pytest.mark.parametrize("word", ["", None, "a word of somebody else", "topic-id:none"])
async def test_what_was_committed_without_an_id_counts(group: Group, word: str) -> None:
    group.committed[JOBS] = OffsetAndMetadata(40, word)

    assert await group.is_assigned(JOBS) == [40]


async def test_where_no_words_are_kept_nothing_committed_counts_right_after_the_topic_has_become_another_one(
    group: Group,
) -> None:
    group.keeps_words = False
    await group.is_assigned(JOBS)
    group.topics["jobs"] = SECOND
    group.commit(40)
    group.commit(40, MORE_JOBS)

    assert await group.is_assigned(JOBS, MORE_JOBS) == [None, None]
    group.commit(3)
    assert await group.is_assigned(JOBS) == [3]


async def test_a_broker_that_lags_behind_is_not_believed(group: Group) -> None:
    await group.is_assigned(JOBS)
    group.topics["jobs"] = SECOND
    await group.is_assigned(JOBS)
    group.commit(3)
    group.topics["jobs"] = FIRST

    await group.look()

    assert group.rejoins == 0
    assert await group.is_assigned(JOBS) == [3]


async def test_the_broker_is_asked_once_an_assignment_and_only_about_topics_whose_offsets_are_committed(
    group: Group,
) -> None:
    group.assign(JOBS, MORE_JOBS, CHANGELOG)
    await asyncio.gather(*(group.begins_at(tp) for tp in (JOBS, MORE_JOBS, CHANGELOG)))
    await group.begins_at()

    assert group.asked == [{"jobs"}]


async def test_a_worker_without_partitions_asks_nothing(group: Group) -> None:
    await group.look()
    await group.is_assigned()
    await group.look()

    assert group.asked == []


@pytest.mark.parametrize("error", [IncompatibleBrokerVersion("v5"), NotImplementedError("v5")])
async def test_a_broker_that_is_too_old_tells_no_ids(error: Exception) -> None:
    async def send(*_: object) -> None:
        raise error

    assert await topic_ids(SimpleNamespace(send=send), {"jobs"}, node=1) == {}
