"""What live servers say of the surroundings of a run: who has its partition, how far it is read, whose turn it is.

It is asked for to explain a run, so nothing here is waited for long and nothing raises: what cannot be had is unknown.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Container, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from famulus.adapters.kafka.inspection import GroupFacts, inspect_group
from famulus.adapters.memory.murmur2 import partition_for
from famulus.adapters.redis import RedisLimits
from famulus.connect import open_limits
from famulus.engine.explaining.knowledge import PartitionFacts, TurnFacts
from famulus.errors import BusUnavailableError
from famulus.ids import RunId, StepId
from famulus.ports import Limits
from famulus.settings import Settings
from famulus.transports import kafka_options

log = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 3.0
REMEMBERED_SECONDS: Final = 3.0
"""So long the answer of the broker stands, also that there was none: a page that is looked at must not ask each time.
"""


class LiveServers:
    """Keeps `famulus.engine.explaining.explainer.LiveSource` for who owns no run: a command, a program."""

    def __init__(
        self, settings: Settings, limits: Limits | None, *, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._patience_seconds = patience_seconds
        self._asked: asyncio.Task[GroupFacts | None] | None = None
        self._asked_at = 0.0

    async def partition_of(self, run_id: RunId) -> PartitionFacts | None:
        if not self._settings.kafka_brokers:
            return None
        facts = await asyncio.shield(self._group())
        if facts is None or not facts.partitions:
            return None
        number = partition_for(run_id.encode(), facts.partitions)
        return PartitionFacts(
            topic=self._settings.jobs_topic,
            partition=number,
            group=self._settings.group,
            members=facts.members,
            is_settled=facts.is_settled,
            is_owned=None if facts.owners is None else number in facts.owners,
            owner=None if facts.owners is None else facts.owners.get(number),
            unread=facts.unread.get(number),
        )

    async def turns(self, uses: Sequence[str]) -> Mapping[str, TurnFacts]:
        if not isinstance(self._limits, RedisLimits):
            return {}
        held = await asyncio.gather(*(self._limits.leases(name) for name in uses))
        return {name: TurnFacts(leases=leases) for name, leases in zip(uses, held, strict=True) if leases}

    def at_work(self, run_id: RunId) -> Container[StepId] | None:  # noqa: ARG002  # of another process
        return None

    def registered(self, run_id: RunId) -> Container[str] | None:  # noqa: ARG002
        return None

    async def close(self) -> None:
        if self._asked is not None:
            self._asked.cancel()
            await asyncio.gather(self._asked, return_exceptions=True)

    def _group(self) -> asyncio.Task[GroupFacts | None]:
        if self._asked is None or time.monotonic() - self._asked_at > REMEMBERED_SECONDS:
            self._asked, self._asked_at = asyncio.create_task(self._inspect()), time.monotonic()
        return self._asked

    async def _inspect(self) -> GroupFacts | None:
        settings = self._settings
        try:
            return await inspect_group(
                settings.kafka_brokers or "",
                group=settings.group,
                topic=settings.jobs_topic,
                patience=self._patience_seconds,
                options=kafka_options(settings),
            )
        except BusUnavailableError as error:
            log.info("the broker does not say who has which partition: %s", error, extra={"action": "group_unknown"})
            return None


@asynccontextmanager
async def open_live(settings: Settings) -> AsyncIterator[LiveServers]:
    async with open_limits(settings) as limits:
        live = LiveServers(settings, limits)
        try:
            yield live
        finally:
            await live.close()
