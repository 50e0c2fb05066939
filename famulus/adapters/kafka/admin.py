"""A client to ask brokers with, for as long as one question takes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from famulus.errors import BusUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


@asynccontextmanager
async def asked(
    brokers: str, *, patience: float, request_timeout_ms: int, options: Mapping[str, Any] | None = None
) -> AsyncIterator[Any]:
    """A client that has started, and so many seconds for all that is asked of it. Options are those of the connection.

    Raises `BusUnavailableError` when no broker answers in time.
    """
    admin: Any = AIOKafkaAdminClient(
        bootstrap_servers=brokers, request_timeout_ms=request_timeout_ms, **(options or {})
    )
    try:
        async with asyncio.timeout(patience):
            await admin.start()
            yield admin
    except (KafkaError, OSError, TimeoutError) as error:
        raise silent(brokers, error) from error
    finally:
        await admin.close()


def silent(brokers: str, error: BaseException) -> BusUnavailableError:
    return BusUnavailableError(f"Kafka at {brokers} does not answer: {error or type(error).__name__}")
