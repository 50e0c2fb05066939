"""Which offsets the tuned consumer commits. On the real class, without a broker."""

from __future__ import annotations

import asyncio
import logging
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import faust
import pytest
from aiokafka.cluster import ClusterMetadata
from aiokafka.consumer.subscription_state import Assignment
from aiokafka.errors import KafkaConnectionError, NodeNotReadyError, TopicAuthorizationFailedError
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from famulus.adapters.faust import transport
from famulus.errors import BusUnavailableError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

PARTITION = TP("jobs", 0)


class Log:
    """A consumer that was just assigned the partition, with its delivered messages."""

    def __init__(self, app: faust.App, *, committed: int | None) -> None:
        app.topics._acking_topics.add(PARTITION.topic)
        self.messages: dict[int, ConsumerMessage] = {}
        self.consumer: Any = app._new_consumer()
        self.consumer.callback = self._take
        # As `perform_seek` leaves them: a committed offset of 0 counts as none.
        self.consumer._read_offset[PARTITION] = committed
        self.consumer._committed_offset[PARTITION] = committed or None

    async def deliver(self, *offsets: int) -> None:
        for offset in offsets:
            message = ConsumerMessage("jobs", 0, offset, 0.0, 0, None, b"", b"", None, tp=PARTITION)
            message.refcount = 1
            await self.consumer._deliver_one(PARTITION, message)

    def acknowledge(self, offsets: Sequence[int]) -> None:
        for offset in offsets:
            self.messages[offset].ack(self.consumer)

    def committable(self) -> int | None:
        offset: int | None = self.consumer._filter_committable_offsets([PARTITION]).get(PARTITION)
        return offset

    def commit(self) -> None:
        self.consumer._committed_offset[PARTITION] = self.committable()

    async def _take(self, message: ConsumerMessage) -> None:
        self.messages[message.offset] = message


@pytest.fixture
def app(tmp_path: Path) -> faust.App:
    app = faust.App("transport", broker="kafka://127.0.0.1:1", datadir=str(tmp_path))
    transport.install(app)
    return app


@pytest.fixture
def new_log(app: faust.App) -> Iterator[Callable[..., Log]]:
    logs: list[Log] = []

    def new(*, committed: int | None) -> Log:
        logs.append(Log(app, committed=committed))
        return logs[-1]

    yield new
    for log in logs:
        log.consumer._thread.thread_loop.close()  # made with the consumer, and never run here


@pytest.mark.parametrize(
    ("committed", "delivered", "acknowledged", "expected"),
    [
        pytest.param(31, (31, 32, 33), (31, 32, 33), 34, id="all"),
        pytest.param(31, (31, 32, 33), (31, 33), 32, id="gap inside"),
        pytest.param(31, (31, 32), (32,), None, id="the head alone still runs"),
        pytest.param(31, (31, 32, 33, 34), (33, 34), None, id="two at the head still run"),
        pytest.param(None, (0, 1), (1,), None, id="head runs, nothing committed yet"),
        pytest.param(0, (0, 1), (1,), None, id="head runs, committed 0"),
        pytest.param(None, (500, 501), (500,), 501, id="a log that begins late"),
        pytest.param(31, (40, 41), (40,), 41, id="the committed offset was deleted"),
        pytest.param(0, (5, 6), (6,), None, id="a log compacted at its head, whose first record runs"),
        pytest.param(31, (31, 35, 36), (31, 36), 35, id="the record after a hole still runs"),
        pytest.param(31, (31, 35, 36), (31, 35, 36), 37, id="all around a hole"),
        pytest.param(31, (31, 35, 36), (35, 36), None, id="the record before a hole still runs"),
    ],
)
async def test_what_would_be_committed(
    new_log: Callable[..., Log],
    committed: int | None,
    delivered: tuple[int, ...],
    acknowledged: tuple[int, ...],
    expected: int | None,
) -> None:
    log = new_log(committed=committed)

    await log.deliver(*delivered)
    log.acknowledge(acknowledged)

    assert log.committable() == expected


async def test_acknowledged_offsets_survive_a_commit_that_failed(new_log: Callable[..., Log]) -> None:
    log = new_log(committed=None)
    await log.deliver(0, 1)
    log.acknowledge([0, 1])

    assert [log.committable(), log.committable()] == [2, 2]


async def test_what_is_committed_is_forgotten(new_log: Callable[..., Log]) -> None:
    log = new_log(committed=None)
    await log.deliver(0, 1, 5, 6)
    log.acknowledge([0, 1, 5])
    log.commit()

    assert log.committable() is None
    assert log.consumer._acked[PARTITION] == []
    assert not log.consumer._gap[PARTITION]


async def test_what_could_not_be_committed_is_committed_the_next_time(new_log: Callable[..., Log]) -> None:
    log = new_log(committed=31)
    await log.deliver(31, 32)
    log.acknowledge([31, 32])

    broker = Broker(log, answers=[False, True])
    assert [await log.consumer.commit(), await log.consumer.commit(), await log.consumer.commit()] == [
        False,
        True,
        False,
    ]

    assert broker.committed == [{PARTITION: 33}] * 2


async def test_a_commit_that_is_answered_after_a_rebalance_hides_no_record_that_has_come_again(
    new_log: Callable[..., Log],
) -> None:
    log = new_log(committed=31)
    await log.deliver(31, 32)
    log.acknowledge([31, 32])

    Broker(log, answers=[True], generation_of_answer=1)
    await log.consumer.commit()

    assert log.consumer._committed_offset[PARTITION] == 31


class Broker:
    """Takes what a consumer commits, or not, in its generation of the moment or a later one."""

    def __init__(self, log: Log, *, answers: list[bool], generation_of_answer: int = 0) -> None:
        self.committed: list[dict[TP, int]] = []
        self._app = log.consumer.app
        self._answers = answers
        self._generation = generation_of_answer
        self._app.producer.flush = _nothing
        log.consumer.assignment = lambda: {PARTITION}
        log.consumer._commit = self._commit

    async def _commit(self, offsets: dict[TP, int]) -> bool:
        self.committed.append(offsets)
        self._app.consumer_generation_id = self._generation
        return self._answers.pop(0)


async def test_a_record_delivered_a_second_time_without_a_seek_is_dropped(new_log: Callable[..., Log]) -> None:
    log = new_log(committed=None)
    await log.deliver(0, 1)
    first = log.messages[1]

    await log.deliver(1)

    assert log.messages[1] is first


async def test_a_delivery_under_way_during_a_seek_does_not_hide_the_record_from_the_next_one(
    new_log: Callable[..., Log],
) -> None:
    log = new_log(committed=7)
    blocked = asyncio.Event()
    log.consumer.callback = lambda _: blocked.wait()
    delivery = asyncio.create_task(log.deliver(7))
    await asyncio.sleep(0)

    log.consumer.seek_to_committed = _committed_at_7
    await log.consumer.perform_seek()
    blocked.set()
    await delivery

    assert log.consumer._read_offset[PARTITION] == 7


async def test_acknowledgements_after_the_revoke_count_for_no_later_assignment(new_log: Callable[..., Log]) -> None:
    log = new_log(committed=None)
    await log.deliver(0)
    log.acknowledge([0])

    log.consumer._on_partitions_assigned = _nothing
    await log.consumer.on_partitions_assigned({PARTITION}, 2)

    assert PARTITION not in log.consumer._acked


async def test_a_buffer_that_was_full_before_a_rebalance_resumes_nothing_after_it(
    new_log: Callable[..., Log],
) -> None:
    log = new_log(committed=None)
    log.consumer._set_active_tps({PARTITION})
    log.consumer.on_buffer_full(PARTITION)

    log.consumer._on_partitions_assigned = _nothing
    await log.consumer.on_partitions_assigned({PARTITION}, 2)
    log.consumer.pause_partitions({PARTITION})
    log.consumer.on_buffer_drop(PARTITION)

    assert not log.consumer.delivers(PARTITION)


async def test_a_log_that_begins_anew_in_the_middle_is_delivered_and_committed_from_its_start(
    new_log: Callable[..., Log],
) -> None:
    log = new_log(committed=50)
    await log.deliver(50, 51, 52)
    log.acknowledge([50])
    before = dict(log.messages)

    log.consumer.ends[PARTITION] = 2
    await log.deliver(0, 1)
    log.acknowledge([0])

    assert log.messages.keys() - before.keys() == {0, 1}
    assert log.committable() == 1


async def test_of_a_topic_that_is_gone_nothing_more_is_committed(new_log: Callable[..., Log]) -> None:
    log = new_log(committed=31)
    await log.deliver(31, 32, 33)
    log.acknowledge([31, 32])

    log.consumer.forget({PARTITION.topic})
    log.acknowledge([33])

    assert log.committable() is None
    await log.deliver(0, 1)
    log.acknowledge([0])
    assert log.committable() == 1


async def test_a_record_that_comes_again_while_its_log_is_as_long_as_it_was_is_dropped(
    new_log: Callable[..., Log],
) -> None:
    log = new_log(committed=50)
    await log.deliver(50, 51)

    log.consumer.ends[PARTITION] = 52
    log.messages.clear()
    await log.deliver(50)

    assert log.messages == {}


async def test_a_partition_without_a_position_is_no_reason_to_stop(new_log: Callable[..., Log]) -> None:
    """Faust looks for what stands still, and asserts that there is one."""
    consumer = new_log(committed=None).consumer
    consumer._thread.time_started = time.monotonic()
    assignment = Assignment([PARTITION])
    assignment.state_value(PARTITION).timestamp = time.monotonic() * 1000  # as after a fetch
    subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
    consumer._thread._consumer = SimpleNamespace(
        _fetcher=SimpleNamespace(_subscriptions=subscription), assignment=lambda: {PARTITION}, highwater=lambda _: 7
    )

    await consumer.verify_all_partitions_active()


def test_a_table_is_written_while_it_is_not_known_where_its_changelog_is(app: faust.App) -> None:
    table: Any = app.GlobalTable("board", partitions=1)
    producer: Any = _producer_that_knows_no_topic(app)

    assert producer.key_partition(table.changelog_topic.get_topic_name(), b"key") == TP("transport-board-changelog", 0)


def test_of_a_topic_that_is_not_known_no_partition_is_made_up(app: faust.App) -> None:
    app.Table("wide", partitions=8)
    producer: Any = _producer_that_knows_no_topic(app)

    for topic in ("transport-wide-changelog", "jobs"):
        with pytest.raises(BusUnavailableError, match=topic):
            producer.key_partition(topic, b"key")


def _producer_that_knows_no_topic(app: faust.App) -> Any:
    producer: Any = app.producer
    producer._producer = SimpleNamespace(_metadata=ClusterMetadata())
    return producer


def test_another_version_of_faust_is_refused(app: faust.App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "version", lambda _: "0.16.0")

    with pytest.raises(SettingsError, match=r"0\.16\.0 is installed"):
        transport.install(app)


async def _committed_at_7() -> dict[TP, int]:
    return {PARTITION: 7}


async def _nothing(*_: Any) -> None:
    pass


class Creations:
    """What becomes of each time that a topic is to be made."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.left = list(outcomes)

    async def make(self, *_: Any, **__: Any) -> None:
        outcome = self.left.pop(0)
        if outcome is not None:
            raise outcome


@pytest.fixture
def tuned(app: faust.App, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(transport, "CREATION_PAUSE_SECONDS", 0.0)
    return transport.TunedTransport(app.conf.broker_consumer, app)


async def test_a_broker_that_goes_away_while_a_topic_is_made_is_waited_for(
    tuned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    creations = Creations(NodeNotReadyError(), KafkaConnectionError(), None)
    monkeypatch.setattr(tuned, "_really_create_topic", creations.make)

    await tuned._create_topic(SimpleNamespace(log=logging.getLogger("test")), None, "changelog", 1, 1)

    assert creations.left == []


async def test_what_waiting_does_not_help_ends_the_making_of_a_topic_at_once(
    tuned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    creations = Creations(TopicAuthorizationFailedError(), None)
    monkeypatch.setattr(tuned, "_really_create_topic", creations.make)

    with pytest.raises(TopicAuthorizationFailedError):
        await tuned._create_topic(SimpleNamespace(log=logging.getLogger("test")), None, "changelog", 1, 1)

    assert creations.left == [None]
