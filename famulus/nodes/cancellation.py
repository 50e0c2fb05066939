"""How an attempt learns that it is not wanted any more, before it is made to stop.

It is bound to the context of the attempt's task, which the thread of a `def` node shares.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar


class Cancellation:
    """May be asked from any thread."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def request(self) -> None:
        self._event.set()

    @property
    def is_requested(self) -> bool:
        return self._event.is_set()


CANCELLATION: ContextVar[Cancellation | None] = ContextVar("famulus_cancellation", default=None)
"""Of the attempt that runs here; ``None`` outside of one."""
