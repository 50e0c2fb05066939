"""The topics, and the group of workers that reads them: offsets, generations, and who has which partition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from famulus.adapters.memory.murmur2 import partition_for
from famulus.ids import RunId
from famulus.ports import Record

if TYPE_CHECKING:
    from simulation.world import Worker, World

JOBS: Final = "jobs"
ITEMS: Final = "items"
SESSION_SECONDS: Final = 6.0
FROM_ENGINES: Final = frozenset({"step", "wake", "timer", "item", "taken", "outcome"})
"""What engines send to themselves, and can do without."""
OF_CHILDREN: Final = frozenset({"start", "command"})
"""What they tell child runs, and are told by them. A parent that sleeps looks for it; one that stays in memory, as only
tests have it, does not."""

TopicPartition = tuple[str, int]


class Broker:
    def __init__(self, world: World, *, partitions: int) -> None:
        self._world = world
        self.partitions = partitions
        self.logs: dict[TopicPartition, list[Record]] = {
            (topic, partition): [] for topic in (JOBS, ITEMS) for partition in range(partitions)
        }
        self.events = 0
        self.dead_letters: list[tuple[Record, str]] = []
        self.lost = self.doubled = self.held = 0
        """How many of the next records fare so."""
        self._losable = FROM_ENGINES | OF_CHILDREN if world.plan.dormant else FROM_ENGINES
        self.seconds = 0.0
        """How late what is doubled or held comes."""
        self.group = Group(world, self)

    def partition_of(self, run_id: RunId) -> int:
        return partition_for(run_id.encode(), self.partitions)

    def send_job(self, run_id: RunId, value: bytes, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        self._receive(Record(**_raw(JOBS, self.partition_of(run_id), run_id.encode(), value, headers)))

    def send_item(self, key: str, value: bytes, beyond: int) -> None:
        partition = (partition_for(key.encode(), self.partitions) + beyond) % self.partitions
        self._receive(Record(**_raw(ITEMS, partition, key.encode(), value)))

    def send_event(self, _run_id: RunId, _value: bytes) -> None:
        self.events += 1

    def bury(self, record: Record, code: str) -> None:
        self.dead_letters.append((record, code))

    def produce(self, key: str, value: bytes) -> None:
        """As somebody outside does it."""
        self.append(Record(**_raw(JOBS, self.partition_of(RunId(key)), key.encode(), value)))

    def append(self, record: Record) -> None:
        place = (record.topic, record.partition)
        log = self.logs[place]
        log.append(
            Record(
                topic=record.topic,
                partition=record.partition,
                offset=len(log),
                key=record.key,
                value=record.value,
                headers=record.headers,
                timestamp=self._world.loop.time(),
            )
        )
        self._world.note("topic", f"{record.topic}/{record.partition}@{len(log) - 1}", record.value)
        self.group.has_more(place)

    def _receive(self, record: Record) -> None:
        """What an engine has sent; it is acknowledged in any case."""
        if self.lost and _type_of(record) in self._losable:
            self.lost -= 1
            self._world.note("topic", "lost", record.value)
        elif self.held:
            self.held -= 1
            self._later(record)
        else:
            self.append(record)
            if self.doubled:
                self.doubled -= 1
                self._later(record)

    def _later(self, record: Record) -> None:
        self._world.later(self.seconds, self.append, record)


class Group:
    """Who has which partition. Everybody gives everything back before anybody gets something, but for who is gone."""

    def __init__(self, world: World, broker: Broker) -> None:
        self._world = world
        self._broker = broker
        self.generation = 0
        self.members: list[Worker] = []
        self.committed: dict[TopicPartition, int] = dict.fromkeys(broker.logs, 0)
        self._settled = 0
        """The generation in which every member has been told its partitions."""

    def join(self, worker: Worker) -> None:
        if worker not in self.members and not worker.process.is_dead:
            self.members.append(worker)
            self.rebalance()

    def leave(self, worker: Worker) -> None:
        if worker in self.members:
            self.members.remove(worker)
            self.rebalance()

    def rebalance(self) -> None:
        self.generation += 1
        generation = self.generation
        self._world.note("group", f"rebalance {generation}", [worker.process.name for worker in self.members])
        for worker in list(self.members):
            self._world.later(self._world.jitter(0.2), self._tell_to_revoke, worker, generation)
        self._world.later(0.3, self._share_out, generation)

    def _tell_to_revoke(self, worker: Worker, generation: int) -> None:
        if generation == self.generation and not worker.process.is_frozen:
            worker.soon(worker.revoke)

    def _share_out(self, generation: int) -> None:
        if generation != self.generation:
            return
        members = [worker for worker in self.members if not worker.process.is_dead]
        if not members:
            return
        order = self._world.shuffled(members)
        for place, worker in enumerate(order):
            share = [p for p in range(self._broker.partitions) if p % len(order) == place]
            worker.soon(worker.assign, share, generation, delay=self._world.jitter(0.2))

    def commit(self, worker: Worker, generation: int, offsets: dict[TopicPartition, int]) -> None:
        """Kafka takes an offset from those only who have the partition in this generation."""
        if generation != self.generation or worker not in self.members:
            return
        self.committed.update(offsets)

    def has_more(self, place: TopicPartition) -> None:
        for worker in self.members:
            worker.has_more(place)

    def forget_offsets(self) -> None:
        self.committed = dict.fromkeys(self.committed, 0)

    @property
    def lag(self) -> int:
        return sum(len(log) - self.committed[place] for place, log in self._broker.logs.items())


def _raw(topic: str, partition: int, key: bytes, value: bytes, headers: Sequence[Any] = ()) -> dict[str, Any]:
    return {
        "topic": topic,
        "partition": partition,
        "offset": 0,
        "key": key,
        "value": value,
        "headers": tuple(headers),
    }


def _type_of(record: Record) -> str:
    document = msgspec.json.decode(record.value or b"{}")
    return str(document.get("type", "start"))
