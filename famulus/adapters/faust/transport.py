"""Faust's Kafka transport, with habits of faust 0.15.3 changed: some cost speed, some lose records.

* The fetch wait of 1.5 s is hard-coded. aiokafka has one fetch in flight per broker and leaves out of it the partitions
  whose records are not drained yet: their next records wait for the end of that long poll.
* Of a topic that was deleted and created again nothing is delivered before it is as long as it was, and then only what
  lies behind that (`logs.py`).
* A connection over which nothing comes any more is noticed after 90 s, or else a broker may not be away for long.
* The drain loop starts four asyncio tasks for each record, and rests a second when the buffers of all partitions are
  full.
* On a revoke the offsets that are acknowledged but not committed are dropped, so finished records run again.
* Records that arrive at the end of a rebalance are dropped, and of a partition without a committed offset not fetched
  again before the next rebalance.
* So are those that arrive at the end of the recovery of tables, and those behind them are never committed.
* Partitions whose buffers were full are resumed in the middle of a rebalance.
* What is asked of a Kafka client that was closed, and its tasks would have to bring about, is waited for without end.
* A broker that goes away while the topics of tables are made ends the app.
* Tables cannot be written while the producer finds out anew where their changelogs are.
* What could not be committed counts as committed.
* A look at what stands still, which only logs, stops the app when it finds a partition whose position is not known yet.
* A record that still runs can be committed when it is the first one after the committed offset, when nothing was
  committed yet, or when it follows a hole in the log (faust issue #606, PR #707).

Tables read their changelogs through the same consumer, so everything here holds for them too.

The classes below override internals. Each override names the lines that it replaces, in `faust/transport/consumer.py`
where no other file is named. They were written for one version, and `install` refuses any other.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from aiokafka.errors import (
    CommitFailedError,
    ConsumerStoppedError,
    IllegalStateError,
    KafkaError,
    UnknownTopicOrPartitionError,
)
from faust.transport.consumer import CONSUMER_FETCHING
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service

from famulus.adapters.faust.calls import ClientCalls, ClientGivenUpError
from famulus.adapters.faust.logs import LogsRead
from famulus.adapters.faust.membership import Membership
from famulus.errors import BusUnavailableError, SettingsError
from famulus.faultpoints import K10, ON, reach

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Mapping

    import faust
    from faust.types.tuples import Message
    from mode.types import ServiceT

    from famulus.ports import Record

WRITTEN_FOR: Final = "0.15"
FETCH_WAIT_MS: Final = 20
REPLY_SECONDS: Final = 5.0
FULL_BUFFERS_PAUSE_SECONDS: Final = 0.02
COMMIT_BEFORE_REVOKE_SECONDS: Final = 3.0
REOPENING_PAUSE_SECONDS: Final = 0.05
CREATION_PAUSE_SECONDS: Final = 0.5
LOOK_SECONDS: Final = 2.0
"""How often it is asked whether topics are still the same."""
RECORDS_BETWEEN_YIELDS: Final = 100


def install(app: faust.App) -> None:
    """Give the app this transport. Call it before the app starts."""
    installed = version("faust-streaming")
    if not installed.startswith(f"{WRITTEN_FOR}."):
        raise SettingsError(
            "faust-streaming",
            f"version {installed} is installed, but famulus overrides internals of {WRITTEN_FOR}: "
            f"install 'faust-streaming>=0.15.3,<0.16'",
        )
    app.transport = TunedTransport(app.conf.broker_consumer, app)
    app.producer_transport = TunedTransport(app.conf.broker_producer, app)


def thread_of(app: faust.App) -> TunedConsumerThread:
    """Where the app's consumer talks to Kafka. It is there once the app has started."""
    consumer: Any = app.consumer
    thread: TunedConsumerThread = consumer._thread  # noqa: SLF001 - Faust knows of no such thing
    return thread


def membership_of(app: faust.App) -> Membership:
    """When the group last heard of the app's consumer."""
    return thread_of(app).membership


def is_inherited(app: faust.App, record: Record) -> bool:
    """Whether the record was on its topic before the partition came to this worker."""
    consumer: Any = app.consumer
    return bool(record.offset < consumer.found_ends.get(TP(record.topic, record.partition), 0))


def forget_topics(app: faust.App, topics: Collection[str]) -> None:
    """What was read of topics that are gone says nothing about those that take their places."""
    consumer: Any = app.consumer
    consumer.forget(topics)


class TunedConsumerThread(driver.AIOKafkaConsumerThread):
    consumer: TunedConsumer
    reopening = False
    """Its Kafka client is being replaced (`famulus.adapters.faust.reopening`): there is nothing to be had from it."""

    def __init__(self, consumer: TunedConsumer, **options: Any) -> None:
        super().__init__(consumer, **options)
        self.membership = Membership(self.app.conf.broker_session_timeout)
        self.calls = ClientCalls()
        self.logs = LogsRead(is_committed=self.app.topics.acks_enabled_for, begins_anew=consumer.log_begins_anew)

    @Service.task
    async def _look_at_topics(self) -> None:
        while not self.should_stop:
            client: Any = self._consumer
            if client is not None and not self._is_replaced(client):
                try:
                    await self.logs.look(client)
                except Exception:  # no reason to stop the app
                    self.log.exception("It is not known whether the topics are the same")
            await self.sleep(LOOK_SECONDS)

    def follow(self, client: Any) -> None:
        """Listen to a client that has not joined its group yet."""
        self.membership.follow(client._coordinator)  # noqa: SLF001
        self.logs.follow(client)

    async def call_thread(self, fun: Any, *arguments: Any, **options: Any) -> Any:
        """Adds to mode/threads.py:452: a call of a client that is given up ends, with `ClientGivenUpError`."""
        return await super().call_thread(self._call, self._consumer, fun, *arguments, **options)

    async def _call(self, client: Any, fun: Any, *arguments: Any, **options: Any) -> Any:
        """On the loop of the thread."""
        if client is not None and self._is_replaced(client):
            raise ClientGivenUpError("the Kafka client was given up before it was asked")
        return await self.calls.run(fun, *arguments, **options)

    async def subscribe(self, topics: Any) -> None:
        """Adds to drivers/aiokafka.py:777: from before it joins the group is noted when the group hears of it.

        A client that takes the place of one without topics is subscribed to none.
        """
        while True:
            client = self._ensure_consumer()
            self.follow(client)
            with suppress(ClientGivenUpError):
                await super().subscribe(topics)
            if not self._is_replaced(client):
                return
            await asyncio.sleep(REOPENING_PAUSE_SECONDS)

    async def getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109 - faust's
        """Adds to drivers/aiokafka.py:1063: of a client that is given up there is nothing to be had."""
        try:
            return await super().getmany(active_partitions, timeout)
        except ClientGivenUpError:
            await asyncio.sleep(REOPENING_PAUSE_SECONDS)
            return {}

    def _create_worker_consumer(self, transport: driver.Transport) -> Any:
        """Replaces `fetch_max_wait_ms=1500` of drivers/aiokafka.py:615, which no setting reaches."""
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001 - read when the consumer starts
        # Of the connections alone: elsewhere the same setting says how long a broker may be away. A broker keeps a
        # worker waiting for the others of its group, and nothing else takes long: who is silent for longer is gone.
        waits = max(self.app.conf.broker_session_timeout, self.app.conf.broker_rebalance_timeout)
        consumer._client._request_timeout_ms = round(1000 * (waits + REPLY_SECONDS))  # noqa: SLF001 - likewise
        return consumer

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP] | None,
        timeout: float | None = None,  # noqa: ASYNC109 - faust's signature
        max_records: int | None = None,
    ) -> Any:
        """Adds to drivers/aiokafka.py:1082: what was taken while nobody may have it is put back.

        A fetch may begin before a rebalance and return records of the new assignment while the flow is still stopped.
        `getmany` drops them and seeks to the committed offsets, but aiokafka does not seek a partition that has none.
        Records of a paused partition come too, since aiokafka takes an empty set of partitions for all of them.
        """
        try:
            fetched = await super()._fetch_records(consumer, cast("set[TP]", active_partitions), timeout, max_records)
        except KafkaError as error:
            if consumer.assignment():
                raise
            # The partitions could not be shared out, for topics are missing, say. The client tries again once it has
            # been asked what was wrong; the app would stop.
            self.log.warning("Not in the group yet: %r", error)
            with suppress(KafkaError):
                consumer._coordinator.check_errors()  # noqa: SLF001
            await asyncio.sleep(REOPENING_PAUSE_SECONDS)
            return {}
        if active_partitions is None:
            return fetched
        wanted = {}
        for tp, records in fetched.items():
            if self.consumer.delivers(tp):
                wanted[tp] = records
                if tp in consumer.assignment():
                    self.consumer.ends[tp] = end = consumer.highwater(tp)
                    self.consumer.found_ends.setdefault(tp, end or 0)
            elif tp in consumer.assignment():
                consumer.seek(tp, records[0].offset)
        return wanted

    async def commit(self, offsets: Any) -> bool:
        """Adds to drivers/aiokafka.py:851: what a client that is given up did not commit comes again."""
        try:
            return await super().commit(offsets)
        except ClientGivenUpError:
            return False

    async def _commit(self, offsets: Any) -> bool:
        client: Any = self._consumer
        if client is None:
            return False
        self._bind_commits(client._coordinator, self.consumer.reckoned_in)  # noqa: SLF001
        return await super()._commit(offsets)

    def _bind_commits(self, coordinator: Any, generation: int) -> None:
        """Let nothing be committed but in the generation of the group in which it was reckoned.

        The client tries again for as long as it takes, with the generation of the moment. One that was put out of its
        group has none, and brokers take such a commit while the group is empty. So a worker that has outlived its
        topic, or its broker, would commit the offsets of the old log for the new one, and records would be passed over.
        """
        send = type(coordinator)._do_commit_offsets  # noqa: SLF001

        async def send_in_generation(assignment: Any, committed: Any) -> None:
            if coordinator.generation != generation:
                raise CommitFailedError("the group has already rebalanced")
            try:
                await send(coordinator, assignment, self.logs.named(committed))
            except UnknownTopicOrPartitionError as error:
                # Trying again would commit them for the topic that takes the place of this one.
                raise CommitFailedError("a topic is gone, or the group has already rebalanced") from error

        coordinator._do_commit_offsets = send_in_generation  # noqa: SLF001

    async def _seek_wait(self, consumer: Any, partitions: Any) -> None:
        """Adds to drivers/aiokafka.py:1000, which stops the app when the partitions are taken away meanwhile.

        The recovery of tables, which asks for this, begins anew with the next assignment.
        """
        try:
            assigned = consumer.assignment()
            await super()._seek_wait(consumer, {tp: offset for tp, offset in partitions.items() if tp in assigned})
        except (IllegalStateError, AssertionError):
            if self._is_replaced(consumer) or not partitions.keys() <= consumer.assignment():
                return
            raise

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Replaces drivers/aiokafka.py:827, which asserts that there is a position, and else only logs."""

    def _is_replaced(self, client: Any) -> bool:
        return self.reopening or client is not self._consumer

    async def crash(self, exc: BaseException) -> None:
        """What a client says that is being replaced is no reason to stop the app."""
        if not self.reopening:
            await super().crash(exc)


class TunedConsumer(driver.Consumer):
    """A consumer in which ``_read_offset`` and ``_committed_offset`` both mean: the next offset.

    Faust keeps in ``_read_offset`` the next offset after a seek, but the last one after a delivery. So it cannot tell
    the first record after a seek from one that follows a hole.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.ends: dict[TP, int | None] = {}
        """Of each partition: the end of its log, as the last fetch told."""
        self.found_ends: dict[TP, int] = {}
        """The same, as the first fetch told since the partition came to this worker."""
        self.reckoned_in = 0
        """The generation of the group in which it was reckoned what to commit, the last time."""

    def _new_consumer_thread(self) -> TunedConsumerThread:
        return TunedConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def delivers(self, tp: TP) -> bool:
        """Whether a record of this partition may go to its agents now."""
        return self.flow_active and (tp in self._active_partitions or tp in self._buffered_partitions)

    async def _drain_messages(self, fetcher: ServiceT) -> None:
        """Replaces lines 1170-1254: one `wait_first`, with its four tasks, guards a whole batch and not each record."""
        try:
            while not (self.should_stop or fetcher.should_stop):
                self.diag.set_flag(CONSUMER_FETCHING)
                await asyncio.sleep(0)  # a stopped consumer would spin here
                if self._commit_every is not None and self._n_acked >= self._commit_every:
                    self._n_acked = 0
                    await self.commit()
                batch = self.getmany(timeout=1.0)
                first = await anext(batch, None)
                if first is not None:
                    # A delivery blocks while the queue of an agent is full, and a rebalance must not wait for that. It
                    # suspends the flow, which cancels the rest of the batch, and seeks back afterwards.
                    await self.wait_first(self._deliver(first, batch), self.suspend_flow.wait())
        except (ConsumerStoppedError, asyncio.CancelledError):
            if not self.transport.app.should_stop:
                raise
            self.log.info("The consumer stops with its app")
        finally:
            self.diag.unset_flag(CONSUMER_FETCHING)

    async def _deliver(self, first: tuple[TP, Message], rest: AsyncIterator[tuple[TP, Message]]) -> None:
        async with aclosing(cast("AsyncGenerator[tuple[TP, Message], None]", rest)):
            await self._deliver_one(*first)
            delivered = 1
            async for tp, message in rest:
                await self._deliver_one(tp, message)
                delivered += 1
                if delivered % RECORDS_BETWEEN_YIELDS == 0:
                    await asyncio.sleep(0)

    async def _deliver_one(self, tp: TP, message: Message) -> None:
        offset = message.offset
        expected = self._read_offset[tp]
        if expected is not None and offset < expected:
            if not self._begins_anew(tp, expected):
                return  # delivered before
            expected = None
        if (offset != expected or self._committed_offset[tp] is None) and self.app.topics.acks_enabled_for(tp.topic):
            self._go_on_at(tp, offset, expected=expected)
        await self.callback(message)
        if self.flow_active:  # else a seek may have moved it meanwhile
            self._read_offset[tp] = offset + 1

    def _begins_anew(self, tp: TP, expected: int) -> bool:
        """Whether the log ends before what was read of it, for its topic was deleted and is there again.

        The client has noticed that its position does not exist, and reads from the start. What is known of the offsets
        of the log that is gone says nothing about this one.
        """
        end = self.ends.get(tp)
        if end is None or end >= expected:
            return False
        self.log.warning("%s/%s was read up to %s and ends at %s now: it is read anew", *tp, expected, end)
        self._forget(tp)
        return True

    def forget(self, topics: Collection[str]) -> None:
        """Commit nothing more of these topics, which are gone: it would count for those that take their places."""
        for tp in [tp for tp in self._committed_offset if tp.topic in topics]:
            self._forget(tp)

    def log_begins_anew(self, tp: TP) -> None:
        """Nothing of it was there before the partition came to this worker. Called on the thread."""
        if tp in self.found_ends:
            self.found_ends[tp] = 0

    def _forget(self, tp: TP) -> None:
        for state in (self._acked, self._acked_index, self._gap):
            state.pop(tp, None)
        self.found_ends.pop(tp, None)
        self._read_offset[tp] = self._committed_offset[tp] = None

    def _go_on_at(self, tp: TP, offset: int, *, expected: int | None) -> None:
        """Replaces `_add_gap`, lines 1157-1168, which takes the record after the hole for a part of the hole."""
        committed = self._committed_offset[tp]
        if expected is None or committed is None or committed == expected:
            # Nothing that was delivered is unfinished: what is to be committed begins here.
            self._committed_offset[tp] = offset
        else:
            self._gap[tp].addi(expected, offset)

    def _new_offset(self, tp: TP) -> int | None:
        """Replaces lines 1097-1151: walk from the committed offset over what is acknowledged or was never there.

        The lines replaced let a gap of one record at the head pass (1140), and any gap at the head when the committed
        offset is 0 or unknown (1139). They also drop the acknowledged offsets before the commit has succeeded.
        """
        committed = self._committed_offset[tp]
        if committed is None:
            return None  # nothing was delivered since the assignment
        self._acked[tp] = [offset for offset in self._acked[tp] if offset >= committed]
        acked = self._acked_index[tp] = set(self._acked[tp])
        holes = self._gap[tp]
        holes.chop(0, committed)

        offset = committed
        while True:
            if offset in acked:
                offset += 1
            elif hole := holes[offset]:
                offset = max(interval.end for interval in hole)
            else:
                break
        return offset if offset > committed else None

    def _filter_committable_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:
        self.reckoned_in = self.app.consumer_generation_id
        return super()._filter_committable_offsets(tps)

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:  # noqa: ARG002, FBT001, FBT002 - faust's signature
        """Replaces lines 1042-1082, by which what could not be committed counts as committed.

        So would what was committed before a rebalance and is answered after it: records that come again because of the
        rebalance, and still run, would be committed past.
        """
        assigned = self.assignment()
        mine = {tp: offset for tp, offset in offsets.items() if tp in assigned}
        if not mine:
            return False
        await self.app.producer.flush()
        if not await self._commit(mine):
            return False
        self.app.tables.on_commit(mine)
        if self.reckoned_in == self.app.consumer_generation_id:
            self._committed_offset.update(mine)
        self.app.monitor.on_tp_commit(mine)
        return True

    if ON:

        async def _commit(self, offsets: Mapping[TP, int]) -> bool:
            committed = await super()._commit(offsets)
            if committed:
                reach(K10)
            return committed

    async def perform_seek(self) -> None:
        """Adds to line 565: nothing is delivered from the seek on until the caller resumes the flow.

        After the recovery of tables (tables/recovery.py:649-660) the partitions are resumed, then sought back, then the
        queues of the agents are cleared. What was delivered meanwhile was cleared too and never came again, since it
        lay before the read offset; its partition was stuck until the next rebalance (faust issue #596).
        """
        self.stop_flow()
        await super().perform_seek()

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109 - faust's signature
        """Replaces `self.sleep(1)` of line 806, taken when the buffers of all partitions are full."""
        if self.flow_active and not self.app.client_only and not self._get_active_partitions():
            await self.sleep(FULL_BUFFERS_PAUSE_SECONDS)
            return {}, set()
        return await super()._wait_next_records(timeout)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Adds a commit before lines 655-664, which drop the offsets that are acknowledged but not committed."""
        patience = min(COMMIT_BEFORE_REVOKE_SECONDS, self.app.conf.broker_rebalance_timeout / 2)
        try:
            async with asyncio.timeout(patience):
                await self.maybe_wait_for_commit_to_finish()  # `commit` would join it, and miss what came since
                await self.commit()
        except TimeoutError:
            self.log.warning("No commit before the revoke within %.1f s: finished records will come again", patience)
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Adds to line 669: what an earlier assignment left behind is dropped.

        An acknowledgement that came after the revoke belongs to no offset of this generation: the offsets of a topic
        begin anew when a broker in memory is restarted or the topic is created again. And a partition whose buffer was
        full would be resumed when the emptied queue is read next, which may be before `on_rebalance_complete` is sent.
        """
        self._buffered_partitions.clear()
        self.found_ends = {tp: end for tp, end in self.found_ends.items() if tp in assigned}
        for tp in assigned:
            for state in (self._acked, self._acked_index, self._gap):
                state.pop(tp, None)
        await super().on_partitions_assigned(assigned, generation_id)


class TunedProducer(driver.Producer):
    def key_partition(self, topic: str, key: bytes) -> TP:
        """Adds to drivers/aiokafka.py:1495, a `TypeError` while the client finds out anew where the topic is.

        Tables ask for the partition before they send, and the sending waits until that is known. Ours have one each.
        """
        client: Any = self._ensure_producer()
        if client._metadata.partitions_for_topic(topic) is None:  # noqa: SLF001
            table: Any = cast("Any", self.app.tables)._changelogs.get(topic)  # noqa: SLF001
            if table is None or table.partitions != 1:
                raise BusUnavailableError(f"it is not known at the moment which partitions {topic!r} has")
            return TP(topic, 0)
        return super().key_partition(topic, key)


class TunedTransport(driver.Transport):
    Consumer: ClassVar[type[TunedConsumer]] = TunedConsumer
    Producer: ClassVar[type[TunedProducer]] = TunedProducer

    async def _create_topic(self, owner: Any, client: Any, topic: str, *given: Any, **more: Any) -> None:
        """Adds to drivers/aiokafka.py:1552: a broker that goes away while an app starts is waited for.

        Topics are made in the start of tables, and what that raises ends the app.
        """
        until = asyncio.get_running_loop().time() + self.app.conf.broker_session_timeout + REPLY_SECONDS
        while True:
            try:
                await super()._create_topic(owner, client, topic, *given, **more)
            except KafkaError as error:
                if not error.retriable or asyncio.get_running_loop().time() > until:
                    raise
                owner.log.warning("Topic %r cannot be made now, it is tried again: %r", topic, error)
                await asyncio.sleep(CREATION_PAUSE_SECONDS)
            else:
                return
