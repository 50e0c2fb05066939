"""When the ticks of a schedule are: the same ones, whoever asks and from wherever they are counted.

A tick is a whole second since the Unix epoch. Intervals know no time zone. A cron expression is matched against the
clock on the wall of its zone, and where that clock is turned, the rule is Debian's:

* Minute and hour both name times (``30 2 * * *``): a time that does not exist comes at the first moment after the gap,
  together with what else falls there; a time that comes twice counts the first time only. So a daily job runs once.
* Minute or hour begins with a star (``*/10 * * * *``): a time that does not exist is left out, one that comes twice
  counts twice. So what runs every ten minutes does so in the hour that is repeated too.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim

TURNED_SECONDS: Final = 26 * 3600
"""More than any clock was ever turned at once; that was by a day, where the date line was moved over a country."""
FIRST_WINDOW_SECONDS: Final = 3600
_MINUTE: Final = timedelta(minutes=1)


class Timing(Protocol):
    def after(self, moment: float) -> Iterator[int]:
        """The ticks that are later than the moment, in order."""
        ...

    def newest(self, at_most: int, *, after: float, until: float) -> list[int]:
        """The newest ticks that are later than ``after`` and not later than ``until``, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Interval:
    every: int
    """Seconds."""
    anchor: int = 0
    """One of the ticks."""

    def after(self, moment: float) -> Iterator[int]:
        tick = self._first_after(moment)
        while True:
            yield tick
            tick += self.every

    def newest(self, at_most: int, *, after: float, until: float) -> list[int]:
        end = self._first_after(until)
        begin = max(self._first_after(after), end - at_most * self.every)
        return list(range(begin, end, self.every))

    def _first_after(self, moment: float) -> int:
        return self.anchor + int((moment - self.anchor) // self.every + 1) * self.every


@dataclass(frozen=True, slots=True)
class Cron:
    expression: str
    """Five fields; `cronsim` can read it."""
    zone: ZoneInfo

    def after(self, moment: float) -> Iterator[int]:
        last = moment
        for tick in self._in_order(moment):
            if tick > last:
                yield tick
                last = tick

    def newest(self, at_most: int, *, after: float, until: float) -> list[int]:
        """Looked for from the end, in windows that grow: what was missed may be years of minutes."""
        window = FIRST_WINDOW_SECONDS
        while True:
            begin = max(after, until - window)
            found = list(takewhile(lambda tick: tick <= until, self.after(begin)))
            if len(found) >= at_most or begin <= after:
                return found[-at_most:] if at_most else []
            window *= 4

    def _in_order(self, moment: float) -> Iterator[int]:
        """Ticks in order; some that are not later than the moment may come first, and equal ones may follow."""
        second = int(moment // 1)
        near = [datetime.fromtimestamp(second + offset, self.zone) for offset in (-TURNED_SECONDS, 0, TURNED_SECONDS)]
        offsets = [there.utcoffset() or timedelta() for there in near]
        # Where the clock is turned, it shows again what it has shown before: so far back may lie what comes later.
        turned = max(offsets) - min(offsets)
        found: list[int] = []
        for wall in CronSim(self.expression, near[1].replace(tzinfo=None, fold=0) - turned):
            for tick in self._moments(wall):
                heapq.heappush(found, tick)
            # Later times of the wall come no earlier than this one when it comes first.
            reached = wall.replace(tzinfo=self.zone, fold=0).timestamp()
            while found and found[0] <= reached:
                yield heapq.heappop(found)
        while found:
            yield heapq.heappop(found)

    def _moments(self, wall: datetime) -> list[int]:
        """When the clock of the zone shows this time, by the rule of the kind of expression."""
        shown = [moment for fold in (0, 1) if (moment := self._moment(wall, fold=fold)) is not None]
        if self._has_star:
            return sorted(set(shown))
        while not shown:
            wall += _MINUTE
            shown = [moment for moment in [self._moment(wall, fold=0)] if moment is not None]
        return shown[:1]

    def _moment(self, wall: datetime, *, fold: int) -> int | None:
        there = wall.replace(tzinfo=self.zone, fold=fold)
        moment = there.astimezone(UTC)
        exists = moment.astimezone(self.zone).replace(tzinfo=None, fold=0) == wall
        return int(moment.timestamp()) if exists else None

    @property
    def _has_star(self) -> bool:
        minute, hour, *_ = self.expression.split()
        return minute.startswith("*") or hour.startswith("*")


def tick_text(tick: int) -> str:
    """As in run ids: ``2026-11-24T15:00:00Z``."""
    return f"{datetime.fromtimestamp(tick, UTC):%Y-%m-%dT%H:%M:%SZ}"
