"""When the consumer group last heard of this worker.

A worker that was stopped for a while (SIGSTOP, a paused machine, a blocked process) believes that it owns its
partitions until its next heartbeat is refused. Nothing that it writes meanwhile is recorded, for its epoch is a lower
one (`famulus.engine.seals`). But a second such worker after it could replace what the first has written, so neither is
to begin a write: before it does, it looks whether the group can still count on it.
"""

from __future__ import annotations

import math
import time
from typing import Any


class Membership:
    """Written on the thread of the consumer, read on that of the app."""

    def __init__(self, session_seconds: float) -> None:
        self._session_seconds = session_seconds
        self._heard_at = -math.inf
        self._followed: Any = None

    def is_current(self) -> bool:
        """Whether a heartbeat that the group has answered was sent within the session time-out.

        The coordinator counts the session from its arrival, which is later: as long as this holds, no partition of this
        worker has been given to another.
        """
        return time.monotonic() - self._heard_at < self._session_seconds

    def follow(self, coordinator: Any) -> None:
        """Listen to the heartbeats of a client that has not joined its group yet."""
        if coordinator is self._followed:
            return
        self._followed = coordinator
        beat, join = coordinator._do_heartbeat, coordinator._do_rejoin_group  # noqa: SLF001 - aiokafka has no hook

        async def beat_and_note() -> Any:
            sent_at = time.monotonic()
            answered = await beat()
            if answered:
                self._heard_at = sent_at
            return answered

        async def join_and_note(subscription: Any) -> Any:
            joined = await join(subscription)
            if joined:
                self._heard_at = time.monotonic()
            return joined

        coordinator._do_heartbeat = beat_and_note  # noqa: SLF001
        coordinator._do_rejoin_group = join_and_note  # noqa: SLF001
