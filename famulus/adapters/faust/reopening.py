"""A fresh Kafka client for a consumer that is stuck, with everything of Faust around it left as it is.

`consumer.restart()` of mode would also restart the fetcher, the thread and the tables, which nothing in Faust is made
for. What gets stuck is below all that: the aiokafka client, its coordinator, its fetcher. So the app is told that its
partitions are revoked, as before every rebalance; the client is closed, which leaves the group; and a new one
subscribes to the same topics. What follows is an ordinary rebalance, the one of a worker that has just started.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final

from famulus.adapters.faust.transport import thread_of
from famulus.errors import BusUnavailableError

if TYPE_CHECKING:
    import faust

    from famulus.adapters.faust.transport import TunedConsumerThread

log = logging.getLogger(__name__)

CLOSE_SECONDS: Final = 5.0
"""A client that is stuck may be stuck in its end, too."""


async def reopen_consumer(app: faust.App, *, patience: float) -> None:
    """Join the group anew; returns when the new client has subscribed, before partitions are assigned.

    Safe at any time: records that run go on, as in any rebalance. Raises `BusUnavailableError` if it cannot be done
    now. Call it on the loop of the app.
    """
    thread = thread_of(app)
    # Not by the queue of the thread, where calls of the stuck client may be waiting.
    reopening = asyncio.run_coroutine_threadsafe(_reopen(thread), thread.thread_loop)
    try:
        async with asyncio.timeout(patience):
            await asyncio.wrap_future(reopening)
    except TimeoutError as error:
        raise BusUnavailableError(f"the consumer did not join its group anew within {patience:g} s") from error
    except Exception as error:
        raise BusUnavailableError(f"the consumer cannot join its group anew: {error!r}") from error


async def _reopen(thread: TunedConsumerThread) -> None:
    """On the loop of the consumer's thread."""
    old: Any = thread._ensure_consumer()  # noqa: SLF001
    await thread._rebalance_listener.on_partitions_revoked(old.assignment())  # noqa: SLF001
    thread.reopening = True  # until it has worked, if need be at a later call: the old client is of no use any more
    topics = set(old.subscription())
    thread.calls.end()
    await _close(old)
    new: Any = thread._create_consumer(loop=thread.thread_loop)  # noqa: SLF001
    try:
        await new.start()
    except BaseException:
        await _close(new)
        raise
    thread._consumer = new  # noqa: SLF001
    thread.follow(new)
    if topics:  # else the app is starting, and subscribes to them when it is ready
        new.subscribe(topics=topics, listener=thread._rebalance_listener)  # noqa: SLF001
    thread.reopening = False


async def _close(client: Any) -> None:
    """Leave the group and close the connections, as far as that can be done in time."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.stop()
    except TimeoutError:
        log.warning("the Kafka client did not end by itself", extra={"action": "consumer_cut_off"})
    except Exception:  # whatever it is, the client is given up
        log.warning("the Kafka client did not end in order", exc_info=True, extra={"action": "consumer_cut_off"})
    else:
        return
    for part, name in (
        (client._coordinator, "_coordination_task"),  # noqa: SLF001
        (client._coordinator, "_heartbeat_task"),  # noqa: SLF001
        (client._coordinator, "_commit_refresh_task"),  # noqa: SLF001
        (client._fetcher, "_fetch_task"),  # noqa: SLF001
    ):
        task = getattr(part, name, None)
        if task is not None:
            task.cancel()
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_SECONDS):
            await client._client.close()  # noqa: SLF001
