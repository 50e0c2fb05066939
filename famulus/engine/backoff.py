"""How long to wait before infrastructure is asked again."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Exponential, with full jitter on the upper half, in seconds."""

    first: float = 0.05
    most: float = 5.0
    _step: int = 0

    def next(self) -> float:
        ceiling = min(self.most, self.first * 2.0**self._step)
        self._step = min(self._step + 1, 16)
        return ceiling * (0.5 + random.random() / 2)  # noqa: S311  # spreading load, not secrecy
