"""Whether and when a failed attempt is followed by another."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from famulus.blueprint.model import NodeConfig
    from famulus.flow.facts import StepFailed
    from famulus.flow.state import StepState

_SHARES = 2**32


def is_retried(config: NodeConfig, known: StepState, fact: StepFailed, *, delay_ms: int) -> bool:
    """Whether the step has another attempt after this one."""
    if not fact.retryable or fact.attempt >= config.max_attempts:
        return False
    names = (fact.error.type, *fact.error.bases)
    if any(name in config.never_retry_on for name in names):
        return False
    if config.retry_on and not any(name in config.retry_on for name in names):
        return False
    if config.total_timeout_ms is None:
        return True
    begun = fact.started_at if known.first_started_at is None else known.first_started_at
    return fact.at + delay_ms / 1000 < begun + config.total_timeout_ms / 1000


def delay_before_next(config: NodeConfig, fact: StepFailed, *, of: str) -> int:
    """Milliseconds until the next attempt.

    The jitter is taken from a checksum of who waits (`of`) and of the attempt, so that every worker works out the same
    and no two steps do.
    """
    if fact.retry_after_ms is not None:
        return fact.retry_after_ms
    delay = config.retry_delay_ms * config.retry_backoff ** min(fact.attempt - 1, 1000) if config.retry_delay_ms else 0
    if config.retry_delay_max_ms is not None:
        delay = min(delay, config.retry_delay_max_ms)
    if config.retry_jitter:
        share = zlib.crc32(f"{of}/{fact.attempt}".encode()) / _SHARES
        delay *= 1 - config.retry_jitter * share
    return int(min(delay, _LONGEST_MS))


_LONGEST_MS = 366 * 24 * 3600 * 1000
