"""The last progress of steps, in this process."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from famulus.ids import RunId, StepId
    from famulus.ports import Progress

RUNS_REMEMBERED: Final = 1000


class MemoryProgressBoard:
    """Keeps `famulus.ports.ProgressBoard`. Runs that have told nothing for longest are forgotten."""

    def __init__(self, *, runs_remembered: int = RUNS_REMEMBERED) -> None:
        self._runs: OrderedDict[RunId, dict[StepId, Progress]] = OrderedDict()
        self._runs_remembered = runs_remembered

    async def show(self, run_id: RunId, step_id: StepId, progress: Progress) -> None:
        self._runs.setdefault(run_id, {})[step_id] = progress
        self._runs.move_to_end(run_id)
        if len(self._runs) > self._runs_remembered:
            self._runs.popitem(last=False)

    async def of(self, run_id: RunId) -> Mapping[StepId, Progress]:
        return dict(self._runs.get(run_id, {}))
