"""The servers that a client talks to: those of the settings or, with none set, the embedded ones if they run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from famulus.adapters.kafka.bus import KafkaBus, open_producer
from famulus.adapters.kafka.inspection import inspect
from famulus.adapters.kafka.topics import ensure_topics
from famulus.connect import signatures, topic_specs
from famulus.errors import SettingsError
from famulus.ports import Bus
from famulus.security.signing import signed
from famulus.settings import Settings, variable_of
from famulus.stacks import EmbeddedStack
from famulus.transports import kafka_options

PATIENCE_SECONDS: Final = 10.0


def reachable(settings: Settings) -> Settings:
    """The settings with the addresses of the embedded stack, where no broker is set; it is never started here.

    Raises `SettingsError` if it does not run.
    """
    if not settings.is_embedded:
        return settings
    addresses = embedded_addresses(settings)
    if not addresses:
        raise SettingsError(
            variable_of("kafka_brokers"),
            f"not set, and no servers run in {settings.data_dir}: start them with `famulus dev`, or set it "
            f"(and {variable_of('data_dir')}, if `famulus dev --data` has another folder)",
        )
    return settings.model_copy(update=addresses)


def with_embedded(settings: Settings) -> Settings:
    """The settings with the addresses of the embedded stack, where no broker is set and it runs."""
    return settings.model_copy(update=embedded_addresses(settings)) if settings.is_embedded else settings


def embedded_addresses(settings: Settings) -> dict[str, Any]:
    """The settings that the embedded stack of the data folder gives; none if it does not run."""
    stack = EmbeddedStack(settings.data_dir)
    if not all(server.running for server in stack.status()):
        return {}
    addresses = stack.environment()
    return {
        "kafka_brokers": addresses["KAFKA_BROKERS"],
        "redis_url": settings.redis_url or SecretStr(addresses["REDIS_URL"]),
        "sqlite_path": settings.sqlite_path or Path(addresses["FAMULUS_SQLITE_PATH"]),
        "embedded": True,
    }


async def job_partitions(settings: Settings, *, patience: float) -> int | None:
    """Of the jobs topic, as the broker tells; ``None`` without a broker, or a topic. Nothing is created for it.

    Raises `BusUnavailableError`.
    """
    if not settings.kafka_brokers:
        return None
    cluster = await inspect(
        settings.kafka_brokers, [settings.jobs_topic], patience=patience, options=kafka_options(settings)
    )
    topic = cluster.topics.get(settings.jobs_topic)
    return None if topic is None else topic.partitions


@asynccontextmanager
async def open_bus(settings: Settings, *, client_id: str) -> AsyncIterator[Bus]:
    """A producer of our own. The topics are made if no worker has made them yet. Raises `BusUnavailableError`."""
    brokers, options = settings.kafka_brokers or "", kafka_options(settings)
    partitions = await ensure_topics(brokers, topic_specs(settings), patience=PATIENCE_SECONDS, options=options)
    producer = await open_producer(
        brokers, client_id=client_id, max_record_bytes=settings.max_record_bytes, options=options
    )
    try:
        bus = KafkaBus(
            lambda: producer,
            jobs=settings.jobs_topic,
            items=settings.items_topic,
            events=settings.events_topic,
            dead_letters=settings.dead_letters_topic,
            job_partitions=partitions[settings.jobs_topic],
        )
        yield signed(bus, signatures(settings))
    finally:
        await producer.stop()  # type: ignore[no-untyped-call]  # aiokafka has no types
