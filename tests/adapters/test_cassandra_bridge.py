"""How replies come from the driver's threads to the loop, and which errors come as what."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Any

import pytest
from cassandra import InvalidRequest, OperationTimedOut, ReadTimeout, Unavailable, WriteFailure, WriteTimeout, WriteType
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionShutdown
from cassandra.protocol import ErrorMessage, OverloadedErrorMessage, SyntaxException

from famulus.adapters.cassandra.bridge import Bridge
from famulus.errors import StoreUnavailableError

LOST_TRANSACTION = ErrorMessage(0x1700, "CAS result unknown", {})


class FakeResponse:
    """A request that the test answers, from a thread of its choice."""

    has_more_pages = False

    def add_callbacks(
        self, callback: Any, errback: Any, *, callback_args: tuple[Any, ...], errback_args: tuple[Any, ...]
    ) -> None:
        self.succeed = lambda rows: callback(rows, *callback_args)
        self.fail = lambda error: errback(error, *errback_args)


class FakeSession:
    def __init__(self) -> None:
        self.sent: deque[FakeResponse] = deque()

    def execute_async(self, statement: Any, parameters: Any = None) -> FakeResponse:
        self.sent.append(FakeResponse())
        return self.sent[-1]


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


async def test_a_burst_of_replies_wakes_the_loop_once(session: FakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    bridge = Bridge(session)
    waiting = [asyncio.create_task(bridge.execute("select", [])) for _ in range(100)]
    await asyncio.sleep(0)
    woken = count_wake_ups(monkeypatch)

    in_a_thread(lambda: [response.succeed([(number,)]) for number, response in enumerate(session.sent)])

    assert await asyncio.gather(*waiting) == [[(number,)] for number in range(100)]
    assert len(woken) == 1


async def test_each_burst_wakes_the_loop_again(session: FakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    bridge = Bridge(session)
    woken = count_wake_ups(monkeypatch)

    for number in range(3):
        waiting = asyncio.create_task(bridge.execute("select", []))
        await asyncio.sleep(0)
        in_a_thread(lambda number=number: session.sent.pop().succeed([(number,)]))
        assert await waiting == [(number,)]

    assert len(woken) == 3


async def test_a_reply_for_a_cancelled_task_disturbs_no_other(session: FakeSession) -> None:
    bridge = Bridge(session)
    given_up = asyncio.create_task(bridge.execute("select", []))
    waiting = asyncio.create_task(bridge.execute("select", []))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.sleep(0)

    in_a_thread(lambda: [response.succeed([]) for response in session.sent])

    assert await waiting == []
    assert given_up.cancelled()


def test_a_reply_after_the_loop_was_closed_is_dropped(session: FakeSession) -> None:
    async def ask_and_leave() -> None:
        waiting = asyncio.create_task(Bridge(session).execute("select", []))
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(ask_and_leave())

    session.sent.pop().succeed([])


@pytest.mark.parametrize(
    "error",
    [
        OperationTimedOut(),
        NoHostAvailable("none", {"127.0.0.1": OSError("refused")}),
        Unavailable("not enough replicas"),
        WriteTimeout("slow", write_type=WriteType.UNLOGGED_BATCH),
        ReadTimeout("slow"),
        WriteFailure("failed", write_type=WriteType.SIMPLE),
        ConnectionShutdown("gone"),
        OverloadedErrorMessage(0x1001, "overloaded", {}),
        LOST_TRANSACTION,
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_cluster_that_cannot_now_is_an_unavailable_store(session: FakeSession, error: Exception) -> None:
    waiting = asyncio.create_task(Bridge(session).execute("insert", []))
    await asyncio.sleep(0)

    in_a_thread(lambda: session.sent.pop().fail(error))

    with pytest.raises(StoreUnavailableError) as caught:
        await waiting
    assert caught.value.__cause__ is error
    assert caught.value.retry_after is not None


@pytest.mark.parametrize(
    "error",
    [InvalidRequest("unknown column"), SyntaxException(0x2000, "bad", {})],
    ids=lambda error: type(error).__name__,
)
async def test_a_mistake_in_a_statement_passes_through(session: FakeSession, error: Exception) -> None:
    waiting = asyncio.create_task(Bridge(session).execute("insert", []))
    await asyncio.sleep(0)

    in_a_thread(lambda: session.sent.pop().fail(error))

    with pytest.raises(type(error)):
        await waiting


def in_a_thread(work: Any) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def count_wake_ups(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    loop = asyncio.get_running_loop()
    woken: list[Any] = []
    wake = loop.call_soon_threadsafe

    def count(callback: Any, *args: Any) -> Any:
        woken.append(callback)
        return wake(callback, *args)

    monkeypatch.setattr(loop, "call_soon_threadsafe", count)
    return woken
