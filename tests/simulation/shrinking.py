"""Makes a row of choices smaller as long as it still fails: whole stretches away, then single numbers towards 0."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

STRETCHES: Final = (32, 16, 8, 6, 4, 2, 1)
SECONDS_MOST: Final = 20.0


def smallest(row: Sequence[int], fails: Callable[[Sequence[int]], bool], *, seconds: float = SECONDS_MOST) -> list[int]:
    """The smallest row that was found in that time; `fails` raises what it likes."""
    end = time.monotonic() + seconds
    best = list(row)

    def is_better(other: list[int]) -> bool:
        nonlocal best
        if time.monotonic() > end or other == best or not fails(other):
            return False
        best = other
        return True

    before: list[int] | None = None
    while before != best and time.monotonic() < end:
        before = list(best)
        for stretch in STRETCHES:
            place = len(best) - stretch
            while place >= 0:
                is_better(best[:place] + best[place + stretch :])
                place -= max(1, stretch // 2)
        place = len(best) - 1
        while place >= 0:
            if place < len(best) and best[place]:
                for number in sorted({0, best[place] // 2, best[place] - 1}):
                    if is_better([*best[:place], number, *best[place + 1 :]]):
                        break
            place -= 1
    return best
