"""Who fails to say who they are, and how often: beyond a limit, nobody looks at what they offer for a while."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

WINDOW_SECONDS: Final = 60.0
CLIENTS_MOST: Final = 10_000


class Failures:
    """Failures of each client in the last minute. Of very many clients the ones heard of longest ago are forgotten."""

    def __init__(self, most: int, *, now: Callable[[], float]) -> None:
        self._most = most
        self._now = now
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def note(self, client: str) -> None:
        times = self._failures.setdefault(client, deque(maxlen=self._most))
        times.append(self._now())
        self._failures.move_to_end(client)
        while len(self._failures) > CLIENTS_MOST:
            self._failures.popitem(last=False)

    def wait_seconds(self, client: str) -> float:
        """How long the client has to wait; 0: it may try."""
        times = self._failures.get(client)
        if times is None or len(times) < self._most:
            return 0.0
        return max(0.0, times[0] + WINDOW_SECONDS - self._now())
