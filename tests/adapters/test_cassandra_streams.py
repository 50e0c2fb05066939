"""What the driver forgets of a request that it keeps back, told with its own pool and request and without a server."""

from __future__ import annotations

import threading
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
from cassandra.cluster import NoHostAvailable, ResponseFuture
from cassandra.connection import ConnectionBusy
from cassandra.pool import HostConnection

from famulus.adapters.cassandra.streams import StreamKeepingConnection

HOST = "127.0.0.1"
STREAMS = 3


class UnconnectedConnection(StreamKeepingConnection):
    """One whose socket is full."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.endpoint = HOST
        self.request_ids = deque(range(STREAMS))
        self.highest_request_id = self.max_request_id = STREAMS - 1
        self._socket_writable = False


def pool_of(connection: Any) -> Any:
    pool: Any = HostConnection.__new__(HostConnection)
    pool._connection = connection
    pool._stream_available_condition = threading.Condition()
    return pool


def request(pool: Any) -> Any:
    balancer = SimpleNamespace(make_query_plan=lambda *_: [HOST])
    session = SimpleNamespace(_pools={HOST: pool}, keyspace="k", row_factory=None)
    return ResponseFuture(session, "message", "query", timeout=None, row_factory=tuple, load_balancer=balancer)


def test_a_request_that_finds_the_socket_full_gives_its_stream_back() -> None:
    connection = UnconnectedConnection()
    pool = pool_of(connection)

    for _ in range(2 * STREAMS):
        kept_back = request(pool)
        kept_back.send_request()

        with pytest.raises(NoHostAvailable) as caught:
            kept_back.result()
        assert isinstance(caught.value.errors[HOST], ConnectionBusy)
        assert not kept_back.attempted_hosts

    # One more or one less: the driver gives streams back itself, and `streams.py` can go.
    assert connection.in_flight == 0
    assert sorted(connection.request_ids) == list(range(STREAMS))
