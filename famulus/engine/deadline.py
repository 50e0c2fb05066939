"""How long an attempt may take: in itself, together with the attempts before it, and from one heartbeat to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from famulus.blueprint.model import NodeConfig
from famulus.errors import HeartbeatTimeout
from famulus.ports import Clock


class Deadline:
    """Of one attempt, from the moment that it is made, by the clock of the engine."""

    def __init__(self, config: NodeConfig, clock: Clock, *, already_seconds: float = 0.0) -> None:
        """`already_seconds`: how long ago the first attempt of the step began."""
        self._config = config
        self._clock = clock
        self._beat = clock.now()
        total, timeout = _seconds(config.total_timeout_ms), _seconds(config.timeout_ms)
        left = None if total is None else total - already_seconds
        self._is_total = left is not None and (timeout is None or left <= timeout)
        self._left = left if self._is_total else timeout
        self._limit = asyncio.timeout(None)
        self._is_over = False
        self._is_silent = False

    @property
    def is_final(self) -> bool:
        """What has run out is the time of the step with all its attempts."""
        return self._is_over and self._is_total and not self._is_silent

    def beat(self) -> None:
        self._beat = self._clock.now()

    def check(self) -> None:
        """Raises `TimeoutError` if the time of the step is over before the attempt has begun."""
        if self._left is not None and self._left <= 0:
            self._is_over = True
            raise self._expiry()

    async def within(self, calling: Awaitable[Any]) -> Any:
        """Await the call, for so long. What a thread does after its time is not waited for."""
        watch = asyncio.create_task(self._watch())
        try:
            async with self._limit:
                return await calling
        except TimeoutError as error:
            if self._is_over and self._limit.expired():
                raise self._expiry() from error
            raise
        finally:
            watch.cancel()

    async def _watch(self) -> None:
        silence = _seconds(self._config.heartbeat_ms)
        if silence is None:
            await self._clock.sleep(self._left or 0.0)
        else:
            await self._listen(silence)
        self._is_over = True
        self._limit.reschedule(asyncio.get_running_loop().time())

    async def _listen(self, silence: float) -> None:
        """A beat only notes the time, so that any thread may: look again when the last one has become too old."""
        end = None if self._left is None else self._clock.now() + self._left
        while True:
            now = self._clock.now()
            due = self._beat + silence
            if end is not None and end <= min(due, now):
                return
            if due <= now:
                self._is_silent = True
                return
            await self._clock.sleep((due if end is None else min(due, end)) - now)

    def _expiry(self) -> Exception:
        config = self._config
        if self._is_silent:
            return HeartbeatTimeout(f"the attempt has not beaten for {config.heartbeat_ms} ms")
        if self._is_total:
            return TimeoutError(
                f"the step took longer than {config.total_timeout_ms} ms in all, with its attempts and the delays "
                f"between them (totalTimeout)"
            )
        return TimeoutError(f"the attempt took longer than {config.timeout_ms} ms")


def deadline_of(config: NodeConfig, clock: Clock, *, first_started_at: float | None) -> Deadline | None:
    """The deadline of an attempt that begins now; ``None`` if it may take as long as it likes."""
    if config.timeout_ms is None and config.total_timeout_ms is None and config.heartbeat_ms is None:
        return None
    already = 0.0 if first_started_at is None else max(0.0, clock.now() - first_started_at)
    return Deadline(config, clock, already_seconds=already)


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000
