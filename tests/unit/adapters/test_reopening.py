"""Nobody waits for a Kafka client that was given up. On the real thread of the consumer, without a broker."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import faust
import pytest
from aiokafka.errors import CommitFailedError, UnknownTopicOrPartitionError
from faust.types import TP
from support.world import eventually

from famulus.adapters.faust import transport
from famulus.adapters.faust.calls import ClientCalls, ClientGivenUpError
from famulus.adapters.faust.reopening import reopen_consumer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PATIENCE = 30.0
JOBS = TP("jobs", 0)


class Coordinator:
    generation = 1
    _do_heartbeat = _do_rejoin_group = _do_fetch_commit_offsets = None

    async def _do_commit_offsets(self, *_: object) -> None:
        raise UnknownTopicOrPartitionError


class Client:
    """As aiokafka's: of a closed one, looks and fetches have no end."""

    def __init__(self, *, answers: bool, topics: frozenset[str] = frozenset({"jobs"})) -> None:
        self.asked = 0
        self.subscribed: list[set[str]] = []
        self._answers = answers
        self._topics = topics
        self._closed = False
        self._max_poll_records = None
        self._coordinator = Coordinator()
        self._fetcher = SimpleNamespace(
            _closed=False,
            _subscriptions=SimpleNamespace(fetch_context=contextlib.nullcontext),
            fetched_records=self._fetched_records,
        )

    async def start(self) -> None: ...

    async def stop(self) -> None:
        self._closed = True

    def subscription(self) -> frozenset[str]:
        return self._topics

    def subscribe(self, *, topics: set[str], listener: object) -> None:
        assert topics, "aiokafka refuses this"
        self.subscribed.append(topics)

    def assignment(self) -> set[TP]:
        return set()

    async def seek_to_committed(self) -> dict[TP, int]:
        await self._answer()
        return {JOBS: 7}

    async def commit(self, offsets: object) -> None:
        await self._answer()

    async def _fetched_records(self, *_: object, **__: object) -> dict[TP, list[Any]]:
        await self._answer()
        return {}

    async def _answer(self) -> None:
        self.asked += 1
        if not self._answers:
            await asyncio.Event().wait()


def give(thread: Any, *clients: Client) -> None:
    """What the thread opens, one after the other."""
    left = list(clients)
    thread._create_consumer = lambda loop: left.pop(0)


class Listener:
    async def on_partitions_revoked(self, _: object) -> None: ...


@pytest.fixture
async def consumer(tmp_path: Path) -> AsyncIterator[Any]:
    app = faust.App("reopening", broker="kafka://127.0.0.1:1", datadir=str(tmp_path))
    transport.install(app)
    consumer: Any = app._new_consumer()
    consumer._thread._rebalance_listener = Listener()
    yield consumer
    await consumer._thread.stop()


async def reopen(consumer: Any) -> None:
    await reopen_consumer(SimpleNamespace(consumer=consumer), patience=PATIENCE)  # type: ignore[arg-type]


async def is_asked(client: Client, times: int) -> None:
    await eventually(lambda: client.asked == times, within=PATIENCE)


async def test_a_look_at_committed_offsets_ends_with_its_client_and_the_next_one_answers(consumer: Any) -> None:
    old, new = Client(answers=False), Client(answers=True)
    give(consumer._thread, old, new)
    await consumer._thread.start()
    looks = [asyncio.create_task(consumer.seek_to_committed()) for _ in range(5)]
    await is_asked(old, 2)  # Faust serves two calls at a time

    await reopen(consumer)

    async with asyncio.timeout(PATIENCE):
        ends = await asyncio.gather(*looks, return_exceptions=True)
        assert [type(end) for end in ends] == [ClientGivenUpError] * 5
        assert await consumer.seek_to_committed() == {JOBS: 7}
    assert new.subscribed == [{"jobs"}]


async def test_a_fetch_and_a_commit_end_with_their_client_and_without_an_error(consumer: Any) -> None:
    old = Client(answers=False)
    give(consumer._thread, old, Client(answers=True))
    await consumer._thread.start()
    consumer.flow_active = True
    fetch = asyncio.create_task(consumer._thread.getmany({JOBS}, timeout=1.0))
    commit = asyncio.create_task(consumer._thread.commit({JOBS: 7}))
    await is_asked(old, 2)

    await reopen(consumer)

    async with asyncio.timeout(PATIENCE):
        assert await fetch == {}
        assert await commit is False


async def test_a_commit_for_a_topic_that_is_gone_is_not_tried_again(consumer: Any) -> None:
    """The next try would be for the topic that takes its place."""
    give(consumer._thread, Client(answers=True))
    await consumer._thread.start()
    coordinator: Any = Coordinator()
    consumer._thread._bind_commits(coordinator, coordinator.generation)

    with pytest.raises(CommitFailedError, match="already rebalanced"):  # by which Faust knows that it is nothing worse
        await coordinator._do_commit_offsets(None, {JOBS: 7})


async def test_what_was_reckoned_in_an_earlier_generation_is_not_committed(consumer: Any) -> None:
    """Its offsets may be those of a log that is gone by now."""
    give(consumer._thread, Client(answers=True))
    await consumer._thread.start()
    coordinator: Any = Coordinator()
    consumer._thread._bind_commits(coordinator, coordinator.generation - 1)

    with pytest.raises(CommitFailedError, match="already rebalanced"):
        await coordinator._do_commit_offsets(None, {JOBS: 7})


async def test_a_client_that_the_app_has_not_subscribed_yet_is_replaced_by_another_one(consumer: Any) -> None:
    new = Client(answers=True)
    give(consumer._thread, Client(answers=True, topics=frozenset()), new)
    await consumer._thread.start()

    await reopen(consumer)
    await consumer.subscribe(["jobs"])

    assert not consumer._thread.reopening
    assert new.subscribed == [{"jobs"}]


async def test_who_stops_waiting_for_a_call_is_not_told_that_the_client_was_given_up() -> None:
    calls = ClientCalls()
    waiting = asyncio.create_task(calls.run(asyncio.Event().wait))
    await asyncio.sleep(0)

    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_call_passes_on_what_comes_of_it() -> None:
    calls = ClientCalls()

    async def fail() -> None:
        raise ValueError("so it is")

    assert await calls.run(lambda number: number + 1, 1) == 2
    with pytest.raises(ValueError, match="so it is"):
        await calls.run(fail)
