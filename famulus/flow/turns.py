"""How often, and how often at once, an implementation may run: whose turn it is, with the time as an argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LEASE_SECONDS: Final = 30.0
"""A turn that nobody renews for so long is over: its worker has died."""
LOOK_AGAIN_SECONDS: Final = 0.05
"""When all turns are taken, somebody may give one back at any time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Of one implementation, over all workers."""

    name: str
    concurrency: int | None = None
    """Attempts that run at the same time."""
    starts: int | None = None
    """Attempts that may start within `seconds`; after a pause, all of them at once."""
    seconds: float = 1.0

    @property
    def interval(self) -> float:
        """Seconds between two starts, on the long run; 0 where no rate is set."""
        return self.seconds / self.starts if self.starts else 0.0


class TurnBook:
    """Who has a turn. A rate is kept by the generic cell rate algorithm: one number, the time of the next cell."""

    def __init__(self, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self._lease_seconds = lease_seconds
        self._leases: dict[str, dict[str, float]] = {}
        self._next_cell: dict[str, float] = {}

    def take(self, limit: Limit, lease: str, *, now: float) -> float:
        """Take a turn under the name of the lease: 0, or seconds after which to ask again.

        Who has the turn already, keeps it and takes no other.
        """
        leases = self._current(limit.name, now)
        if lease in leases:
            leases[lease] = now + self._lease_seconds
            return 0.0
        if limit.concurrency is not None and len(leases) >= limit.concurrency:
            return LOOK_AGAIN_SECONDS
        if limit.starts is not None:
            next_cell = max(self._next_cell.get(limit.name, now), now)
            early = next_cell - (limit.seconds - limit.interval) - now
            if early > 0:
                return early
            self._next_cell[limit.name] = next_cell + limit.interval
        leases[lease] = now + self._lease_seconds
        return 0.0

    def renew(self, name: str, lease: str, *, now: float) -> None:
        """The turn is still taken, whatever was forgotten of it."""
        self._current(name, now)[lease] = now + self._lease_seconds

    def give_back(self, name: str, lease: str) -> None:
        leases = self._leases.get(name)
        if leases is not None:
            leases.pop(lease, None)
            if not leases:
                del self._leases[name]

    def clear(self) -> None:
        self._leases.clear()
        self._next_cell.clear()

    def _current(self, name: str, now: float) -> dict[str, float]:
        leases = {lease: until for lease, until in self._leases.get(name, {}).items() if until > now}
        self._leases[name] = leases
        return leases
