"""How long an attempt may take: in itself, together with the attempts before it, and from one heartbeat to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from famulus.blueprint.model import NodeConfig
from famulus.errors import HeartbeatTimeout


class Deadline:
    """Of one attempt, from the moment that it is made."""

    def __init__(self, config: NodeConfig, *, already_ms: float) -> None:
        """`already_ms`: how long ago the first attempt of the step began."""
        self._clock = asyncio.get_running_loop().time
        now = self._clock()
        self._config = config
        self._beat = now
        total, timeout = config.total_timeout_ms, config.timeout_ms
        total_end = None if total is None else now + (total - already_ms) / 1000
        end = None if timeout is None else now + timeout / 1000
        self._of_all = total_end is not None and (end is None or total_end <= end)
        self._end = total_end if self._of_all else end
        self._limit = asyncio.timeout_at(self._end)
        self._is_silent = False
        self._was_over = False

    @property
    def is_final(self) -> bool:
        """What has run out is the time of the step with all its attempts."""
        return self._of_all and not self._is_silent and (self._was_over or self._limit.expired())

    def beat(self) -> None:
        self._beat = self._clock()

    def check(self) -> None:
        """Raises `TimeoutError` if the time of the step is over before the attempt has begun."""
        if self._of_all and self._end is not None and self._clock() >= self._end:
            self._was_over = True
            raise self._expiry()

    async def within(self, calling: Awaitable[Any]) -> Any:
        """Await the call, for so long. What a thread does after its time is not waited for."""
        watch = self._watch()
        try:
            async with self._limit:
                return await calling
        except TimeoutError as error:
            if self._limit.expired():
                raise self._expiry() from error
            raise
        finally:
            if watch is not None:
                watch.cancel()

    def _watch(self) -> asyncio.Task[None] | None:
        silence = self._config.heartbeat_ms
        return None if silence is None else asyncio.create_task(self._listen(silence / 1000))

    async def _listen(self, silence: float) -> None:
        """A beat only notes the time, so that any thread may: look again when the last one has become too old."""
        while (left := self._beat + silence - self._clock()) > 0:  # noqa: ASYNC110  # any thread may beat
            await asyncio.sleep(left)
        if not self._limit.expired():
            self._is_silent = True
            self._limit.reschedule(self._clock())

    def _expiry(self) -> Exception:
        config = self._config
        if self._is_silent:
            return HeartbeatTimeout(f"the attempt has not beaten for {config.heartbeat_ms} ms")
        if self._of_all:
            return TimeoutError(
                f"the step took longer than {config.total_timeout_ms} ms in all, with its attempts and the delays "
                f"between them (totalTimeout)"
            )
        return TimeoutError(f"the attempt took longer than {config.timeout_ms} ms")


def deadline_of(config: NodeConfig, *, first_started_at: float | None, now: float) -> Deadline | None:
    """The deadline of an attempt that begins now; ``None`` if it may take as long as it likes."""
    if config.timeout_ms is None and config.total_timeout_ms is None and config.heartbeat_ms is None:
        return None
    already = 0.0 if first_started_at is None else max(0.0, now - first_started_at) * 1000
    return Deadline(config, already_ms=already)
