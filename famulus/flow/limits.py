"""How much a run may do. Reaching a limit fails the run, or the step that would go beyond it, with a clear reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def _anything(_value: Any) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    steps: int = 100_000
    """Steps that a run may start, those of loops and batches included."""
    rounds: int = 10_000
    """Rounds of one loop; a loop's own `maxRounds` can only be lower."""
    items_at_once: int = 256
    """Items of one batch that are under way at the same time, where it sets no limit of its own."""
    items: int = 100_000
    """Items of one batch."""
    deliverable: Callable[[Any], object] = _anything
    """Raises `OutputError` for a value that cannot be stored. A pure function of the value."""


UNLIMITED = RunLimits(steps=2**62, rounds=2**62)
