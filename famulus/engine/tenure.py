"""One assignment of partitions to this worker: it gives the epoch that all writes of the time carry."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from famulus.errors import OwnershipLostError
from famulus.ids import Epoch, Stamp, stamp_of

if TYPE_CHECKING:
    from famulus.ports import Clock

CONFIRMED_POLL_SECONDS: Final = 0.05


class Tenure:
    """Partitions that this worker owns, from their assignment to the next one.

    The epoch is taken from a global counter after the assignment and before the first write; until then `ready` waits.
    """

    def __init__(self, partitions: Iterable[int], *, is_current: Callable[[], bool] = lambda: True) -> None:
        self.partitions = frozenset(partitions)
        self._is_current = is_current
        self.over = False
        self._epoch: asyncio.Future[Epoch] = asyncio.get_running_loop().create_future()
        self._counter = itertools.count(1)

    @property
    def has_begun(self) -> bool:
        return self._epoch.done() and not self._epoch.cancelled()

    def begin(self, epoch: Epoch) -> None:
        if not self._epoch.done():
            self._epoch.set_result(epoch)

    def end(self) -> None:
        """The partitions were revoked, or assigned anew: nothing is written in this epoch any more."""
        self.over = True
        if not self._epoch.done():
            self._epoch.cancel()

    async def ready(self) -> Epoch:
        """Wait for the epoch. Raises `OwnershipLostError` if the tenure ends first."""
        await asyncio.wait({self._epoch})
        self.check()
        return self._epoch.result()

    async def confirmed(self, clock: Clock) -> None:
        """Wait as long as it is not sure that the partitions are still this worker's: it writes nothing meanwhile.

        Raises `OwnershipLostError` if they are not.
        """
        self.check()
        while not self._is_current():
            await clock.sleep(CONFIRMED_POLL_SECONDS)
            self.check()

    def check(self) -> None:
        if self.over:
            raise OwnershipLostError("the partitions of this worker have been assigned anew")

    @property
    def epoch(self) -> Epoch:
        return self._epoch.result()

    def next_stamp(self) -> Stamp:
        return stamp_of(self.epoch, next(self._counter))
