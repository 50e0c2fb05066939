"""Topics that exist before anyone subscribes to them: a Faust app does not see a topic that is created afterwards."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, LeaderNotAvailableError, NoError, TopicAlreadyExistsError, for_code

from famulus.errors import BusUnavailableError, SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

T = TypeVar("T")

PATIENCE_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.1
REQUEST_TIMEOUT_MS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    name: str
    partitions: int
    replication_factor: int = 1
    config: Mapping[str, str] = field(default_factory=dict)
    """Kafka's own names: ``retention.ms``, ``cleanup.policy``."""


async def ensure_topics(
    brokers: str,
    specs: Sequence[TopicSpec],
    *,
    patience: float = PATIENCE_SECONDS,
    options: Mapping[str, Any] | None = None,
) -> dict[str, int]:
    """Create the topics that are missing, wait until every partition has a leader, return the partitions of each.

    A topic that exists stays as it is: its partition count may differ from the one asked for. Workers may call this at
    the same time. Options are those of the connection, as aiokafka takes them.

    Raises `BusUnavailableError` when the brokers cannot do it within ``patience`` seconds.
    """
    try:
        async with asyncio.timeout(patience), _admin(brokers, options or {}) as admin:
            await _create_missing(admin, specs)
            return await _partitions_with_leaders(admin, [spec.name for spec in specs])
    except TimeoutError as error:
        names = ", ".join(spec.name for spec in specs)
        raise BusUnavailableError(
            f"Kafka at {brokers} did not have the topics {names} ready within {patience:g} s: "
            "check the address and that the brokers are up"
        ) from error


@asynccontextmanager
async def _admin(brokers: str, options: Mapping[str, Any]) -> AsyncIterator[AIOKafkaAdminClient]:
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=brokers, request_timeout_ms=REQUEST_TIMEOUT_MS, **options)
    try:
        await _until_done(admin.start)
        yield admin
    finally:
        await admin.close()


async def _create_missing(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> None:
    async def create() -> None:
        # Asking for a topic by its name may create it, with the broker's defaults: list them all.
        known = {topic["topic"] for topic in await admin.describe_topics()}
        missing = [_new_topic(spec) for spec in specs if spec.name not in known]
        if not missing:
            return
        response: Any = await admin.create_topics(missing, timeout_ms=REQUEST_TIMEOUT_MS)
        for name, code, message in response.topic_errors:
            error = for_code(code)
            if error not in {NoError, TopicAlreadyExistsError}:  # another worker may have come first
                raise error(f"topic {name}: {message}")

    await _until_done(create)


async def _partitions_with_leaders(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    async def count() -> dict[str, int]:
        topics = await admin.describe_topics(list(names))
        if not all(_has_leaders(topic) for topic in topics):
            raise LeaderNotAvailableError
        return {topic["topic"]: len(topic["partitions"]) for topic in topics}

    return await _until_done(count)


async def _until_done(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again while the brokers are not able to, until a timeout around this ends it."""
    while True:
        try:
            return await ask()
        except KafkaError as error:
            if not error.retriable:
                raise SettingsError("topics", f"Kafka refuses: {error}") from error
        except (TimeoutError, OSError):
            pass  # one request; the deadline of all is our caller's
        await asyncio.sleep(POLL_SECONDS)


def _has_leaders(topic: dict[str, Any]) -> bool:
    return bool(topic["partitions"]) and all(partition["leader"] >= 0 for partition in topic["partitions"])


def _new_topic(spec: TopicSpec) -> NewTopic:
    return NewTopic(  # type: ignore[no-untyped-call] # aiokafka has no types
        spec.name, spec.partitions, spec.replication_factor, topic_configs=dict(spec.config)
    )
