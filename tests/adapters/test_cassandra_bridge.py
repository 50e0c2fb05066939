"""How replies come from the driver's threads to the loop, and which errors come as what."""

from __future__ import annotations

import asyncio
import math
import threading
from collections import deque
from typing import Any

import pytest
from cassandra import InvalidRequest, OperationTimedOut, ReadTimeout, Unavailable, WriteFailure, WriteTimeout, WriteType
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionBusy, ConnectionShutdown
from cassandra.pool import NoConnectionsAvailable
from cassandra.protocol import ErrorMessage, OverloadedErrorMessage, SyntaxException

from famulus.adapters.cassandra.bridge import Bridge
from famulus.errors import StoreUnavailableError

LOST_TRANSACTION = ErrorMessage(0x1700, "CAS result unknown", {})


class FakeResponse:
    """A request that the test answers, from a thread of its choice."""

    has_more_pages = False
    timeout: float | None = None

    def __init__(self) -> None:
        self.attempted_hosts = ["127.0.0.1"]

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


class KeptBack(FakeResponse):
    """A request that is not sent, as the driver says when the callbacks are added."""

    def __init__(self, error: Exception, *, timeout: float | None, sent_before: bool) -> None:
        super().__init__()
        self.timeout = timeout
        self._error = error
        if not sent_before:
            self.attempted_hosts = []

    def add_callbacks(self, callback: Any, errback: Any, **more: Any) -> None:
        super().add_callbacks(callback, errback, **more)
        self.fail(self._error)


class Answered(FakeResponse):
    """A request that is answered at once, with as many pages as are given."""

    def __init__(self, *pages: list[tuple[Any, ...]]) -> None:
        super().__init__()
        self._pages = deque(pages)

    @property
    def has_more_pages(self) -> bool:  # type: ignore[override]  # the driver's changes as pages come
        return bool(self._pages)

    def add_callbacks(self, callback: Any, errback: Any, **more: Any) -> None:
        super().add_callbacks(callback, errback, **more)
        self.succeed(self._pages.popleft())

    def clear_callbacks(self) -> None: ...

    def start_fetching_next_page(self) -> None: ...


class FullSession:
    """One whose socket is full for the first requests."""

    def __init__(
        self,
        *pages: list[tuple[Any, ...]],
        times: float,
        error: Exception,
        timeout: float = 5.0,
        sent_before: bool = False,
    ) -> None:
        self.requests: list[Any] = []
        self.asked_again = asyncio.Event()
        self._pages = pages
        self._times = times
        self._error = error
        self._timeout = timeout
        self._sent_before = sent_before

    def execute_async(self, statement: Any, parameters: Any = None) -> FakeResponse:
        self.requests.append((statement, parameters))
        if len(self.requests) > 1:
            self.asked_again.set()
        if len(self.requests) <= self._times:
            return KeptBack(self._error, timeout=self._timeout, sent_before=self._sent_before)
        return Answered(*self._pages)


FULL = ConnectionBusy("Connection 127.0.0.1:9042 is overloaded")
ALL_FULL = NoHostAvailable("none", {"127.0.0.1": FULL, "127.0.0.2": FULL})


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


@pytest.mark.parametrize("error", [FULL, ALL_FULL], ids=["bare", "of every host"])
async def test_a_request_is_made_again_while_the_socket_is_full(error: Exception) -> None:
    session = FullSession([("row",)], times=3, error=error)

    assert await Bridge(session).execute("insert", ["value"]) == [("row",)]

    assert session.requests == [("insert", ["value"])] * 4


async def test_the_first_page_is_asked_for_again_while_the_socket_is_full_and_the_others_follow() -> None:
    session = FullSession([("one",)], [("two",)], times=3, error=ALL_FULL)

    assert await Bridge(session).all_rows("select", []) == [("one",), ("two",)]

    assert len(session.requests) == 4


async def test_a_socket_that_stays_full_for_as_long_as_an_answer_may_take_is_an_unavailable_store() -> None:
    session = FullSession(times=math.inf, error=ALL_FULL, timeout=0.03)

    with pytest.raises(StoreUnavailableError) as caught:
        await Bridge(session).execute("insert", [])

    assert caught.value.__cause__ is ALL_FULL
    assert len(session.requests) > 1


async def test_a_request_that_is_given_up_while_the_socket_is_full_is_not_made_again() -> None:
    session = FullSession(times=math.inf, error=ALL_FULL)
    waiting = asyncio.create_task(Bridge(session).execute("insert", []))
    await session.asked_again.wait()

    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(session.requests) == 2


@pytest.mark.parametrize(
    "error",
    [
        NoHostAvailable("none", {"127.0.0.1": FULL, "127.0.0.2": ConnectionShutdown("gone")}),
        NoHostAvailable("none", {}),
        NoHostAvailable("none", {"127.0.0.1": NoConnectionsAvailable("All request IDs are currently in use")}),
    ],
    ids=["full or gone", "no host", "no stream"],
)
async def test_hosts_that_are_not_only_full_are_not_asked_again(error: Exception) -> None:
    session = FullSession(times=1, error=error)

    with pytest.raises(StoreUnavailableError):
        await Bridge(session).execute("insert", [])

    assert len(session.requests) == 1


async def test_a_request_that_was_sent_before_its_socket_was_full_is_not_made_again() -> None:
    session = FullSession(times=1, error=ALL_FULL, sent_before=True)

    with pytest.raises(StoreUnavailableError):
        await Bridge(session).execute("insert if not exists", [])

    assert len(session.requests) == 1


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
