"""What a worker looks like, from inside: its consumer, its intakes and its broker, put together into one sight."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any, Final

from faust.exceptions import ConsumerNotStarted

from famulus.adapters.faust.transport import thread_of
from famulus.adapters.kafka.probing import BrokerProbe, BrokerSight
from famulus.adapters.kafka.topics import TopicSpec
from famulus.connect import topic_specs
from famulus.errors import BusUnavailableError
from famulus.transports import kafka_options

from .judging import Place, Sight

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..worker import FamulusApp  # noqa: TID252  # in a wheel, these folders lie inside a package

PROBE_SECONDS: Final = 5.0
"""How long the broker has for its answer."""


class Onlooker:
    def __init__(self, app: FamulusApp) -> None:
        settings = app.settings
        self._app = app
        self._read = (settings.jobs_topic, settings.items_topic, settings.events_topic)
        self._options = kafka_options(settings)
        self._probe: BrokerProbe | None = None
        self._positions_before: dict[Place, int | None] = {}
        self.most_partitions: dict[str, int] = {}
        """The highest number of partitions that each topic was ever seen with."""
        self.broker_error: str | None = None
        """What was wrong when the broker was asked the last time."""
        self.shrunk: dict[str, int] = {}
        """Topics that have fewer partitions than before, and how many."""

    async def look(self) -> Sight:
        at = time.monotonic()
        app = self._app
        consumer: Any = app.consumer
        thread = thread_of(app)
        client: Any = thread._consumer  # noqa: SLF001 - Faust tells of none of this
        before, self._positions_before = self._positions_before, self._positions(client)
        unmoved = {place: at or 0 for place, at in self._positions_before.items() if before.get(place, -1) == at}
        broker = await self._ask(unmoved)
        if broker is None:
            return Sight(at=at, broker_answers=False)
        is_settled = app.is_ready
        return Sight(
            at=at,
            missing=self._missing(broker) if _is_subscribed(client) else (),
            is_settled=is_settled,
            lacks_partitions=is_settled and not app.engine.partitions and await self._should_have_some(broker),
            positions=self._positions(client),
            waiting=broker.waiting,
            recovered=_recovered(app, client),
            is_full=app.intake.is_full or app.item_intake.is_full or bool(consumer._buffered_partitions),  # noqa: SLF001
            committable=self._committable(consumer),
            committed={place: consumer._committed_offset[place] for place in self._assigned(consumer)},  # noqa: SLF001
            coordination_is_dead=_is_dead(client) and not thread.reopening,
        )

    async def close(self) -> None:
        if self._probe is not None:
            await self._probe.close()

    @property
    def specs(self) -> list[TopicSpec]:
        """The topics that this worker needs, those of its tables too, and what they are to be like."""
        changelogs = [table.changelog_topic for table in self._app.tables.values()]
        return [
            *topic_specs(self._app.settings),
            *(
                TopicSpec(
                    name=topic.get_topic_name(),
                    partitions=topic.partitions or 1,
                    replication_factor=self._app.settings.replication_factor,
                    config={"cleanup.policy": "compact", **{key: str(value) for key, value in topic.config.items()}},
                )
                for topic in changelogs
            ),
        ]

    async def _ask(self, offsets: Mapping[Place, int]) -> BrokerSight | None:
        if self._probe is None:
            names = [spec.name for spec in self.specs]
            self._probe = BrokerProbe(self._app.settings.kafka_brokers or "", names, options=self._options)
        try:
            broker = await self._probe.look(offsets, patience=PROBE_SECONDS)
        except BusUnavailableError as error:
            self.broker_error = str(error)
            return None
        self.broker_error = None
        for topic, partitions in broker.partitions.items():
            self.most_partitions[topic] = max(partitions, self.most_partitions.get(topic, 0))
        self.shrunk = {
            topic: partitions
            for topic, partitions in broker.partitions.items()
            if partitions < self.most_partitions[topic]
        }
        return broker

    def _missing(self, broker: BrokerSight) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.specs if spec.name not in broker.partitions)

    async def _should_have_some(self, broker: BrokerSight) -> bool:
        """Every worker is given as many partitions as all need, rounded up; the last ones may be left with none."""
        partitions = broker.partitions.get(self._app.settings.jobs_topic)
        if not partitions:
            return False
        probe = self._probe
        if probe is None:
            return False
        try:
            members = await probe.members(self._app.settings.group, patience=PROBE_SECONDS)
        except BusUnavailableError:
            return False
        return members is not None and (members == 0 or math.ceil(partitions / members) * (members - 1) < partitions)

    def _assigned(self, consumer: Any) -> list[Any]:
        try:
            return [tp for tp in consumer.assignment() if tp.topic in self._read]
        except ConsumerNotStarted:
            return []

    def _positions(self, client: Any) -> dict[Place, int | None]:
        return {place: position for place, position in _positions(client).items() if place[0] in self._read}

    def _committable(self, consumer: Any) -> Mapping[Place, int]:
        offsets = {tp: consumer._new_offset(tp) for tp in self._assigned(consumer)}  # noqa: SLF001
        return {(tp.topic, tp.partition): offset for tp, offset in offsets.items() if offset is not None}


def _is_subscribed(client: Any) -> bool:
    """Whether the app has started: before it subscribes, it makes the topics of its tables itself."""
    return client is not None and bool(client.subscription())


def _positions(client: Any) -> dict[Place, int | None]:
    subscription = None if client is None else client._subscription.subscription  # noqa: SLF001
    assignment = None if subscription is None else subscription.assignment
    if assignment is None:
        return {}
    states = {(tp.topic, tp.partition): assignment.state_value(tp) for tp in assignment.tps}
    return {
        place: None if state is None or not state.has_valid_position else state.position
        for place, state in states.items()
    }


def _recovered(app: Any, client: Any) -> object:
    return tuple(sorted(_positions(client).items(), key=str)) if app.in_recovery else None


def _is_dead(client: Any) -> bool:
    task: asyncio.Task[None] | None = getattr(getattr(client, "_coordinator", None), "_coordination_task", None)
    return task is not None and task.done()
