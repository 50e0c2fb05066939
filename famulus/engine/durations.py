"""How long something took, as a person reads it."""

from __future__ import annotations

from typing import Final

MINUTE_SECONDS: Final = 60
HOUR_SECONDS: Final = 3600
DAY_SECONDS: Final = 86_400


def duration_text(seconds: float | None, *, decimals: int = 2) -> str:
    """As exact as a person wants it: `4 ms`, `1.25 s`, `3 min 20 s`, `2 h 5 min`; `decimals` are those of seconds."""
    if seconds is None:
        return ""
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < MINUTE_SECONDS:
        return f"{seconds:.{decimals}f} s"
    if seconds < HOUR_SECONDS:
        return f"{seconds // MINUTE_SECONDS:.0f} min {seconds % MINUTE_SECONDS:.0f} s"
    if seconds < DAY_SECONDS:
        return f"{seconds // HOUR_SECONDS:.0f} h {seconds % HOUR_SECONDS // MINUTE_SECONDS:.0f} min"
    return f"{seconds // DAY_SECONDS:.0f} d {seconds % DAY_SECONDS // HOUR_SECONDS:.0f} h"
