"""The driver's connection, which gives the stream of a request back that it could not send.

Every request takes one of the 32,767 streams of its connection. The driver forgets that of a request which it keeps
back because the socket is full, and once they are all gone each request blocks the event loop for two seconds.
Importing this fails with `cassandra.DependencyException` where the driver was built without libev.
"""

from __future__ import annotations

from typing import Any

from cassandra.connection import ConnectionBusy
from cassandra.io.libevreactor import LibevConnection

_Connection: Any = LibevConnection


class StreamKeepingConnection(_Connection):  # type: ignore[misc]  # the driver has no types
    def send_msg(self, message: Any, stream: int, *given: Any, **more: Any) -> Any:
        try:
            return super().send_msg(message, stream, *given, **more)
        except ConnectionBusy:
            with self.lock:
                self.in_flight -= 1
                self.request_ids.append(stream)
            raise
