"""Ctrl-C and SIGTERM as something to look at, so that what was begun is ended in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """Whether, and how often, this program was asked to stop."""

    def __init__(self) -> None:
        self.times = 0
        self._asked = threading.Event()

    def __bool__(self) -> bool:
        return self._asked.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until asked; say whether asked."""
        return self._asked.wait(seconds)

    def ask(self) -> None:
        self.times += 1
        self._asked.set()


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Signals do nothing but ask, within."""
    request = StopRequest()

    def ask(_: int, __: FrameType | None) -> None:
        request.ask()

    before: dict[int, Any] = {number: signal.signal(number, ask) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
