"""What `@node` says of an implementation besides its name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from famulus.flow.turns import Limit

_RATE: Final = re.compile(r"(\d+)/(\d*)([smhd])")
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    concurrency: int | None = None
    """Attempts that run at the same time, over all workers."""
    rate: str | None = None
    """Attempts that may start, over all workers: `10/s`, `100/m`, `5/10m`."""
    cpu_bound: bool = False
    """Run in a process of its own."""
    reads: tuple[str, ...] = ()
    """Keys of the run's context that a CPU-bound node may read."""

    def __post_init__(self) -> None:
        if self.concurrency is not None and (type(self.concurrency) is not int or self.concurrency < 1):
            raise TypeError(f"@node: concurrency is a whole number from 1 on, got {self.concurrency!r}")
        if self.rate is not None:
            _starts_and_seconds(self.rate)
        if self.reads and not self.cpu_bound:
            raise TypeError("@node: reads is for cpu_bound nodes; others read the context when they run")

    def limit_of(self, name: str) -> Limit | None:
        """The limit of the implementation of this name, if it has one."""
        if self.concurrency is None and self.rate is None:
            return None
        starts, seconds = (None, 1.0) if self.rate is None else _starts_and_seconds(self.rate)
        return Limit(name=name, concurrency=self.concurrency, starts=starts, seconds=seconds)


def _starts_and_seconds(rate: str) -> tuple[int, float]:
    parts = _RATE.fullmatch(rate) if isinstance(rate, str) else None
    if parts is None or not int(parts[1]) or parts[2] == "0":
        raise TypeError(f"@node: rate is a text like '10/s', '100/m' or '5/10m', got {rate!r}")
    return int(parts[1]), float(int(parts[2] or 1) * _UNIT_SECONDS[parts[3]])
