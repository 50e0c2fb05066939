"""What a worker knows of the runs that it owns, beside what the servers say."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from famulus.client.live import LiveServers
from famulus.engine.attempts import Attempts
from famulus.engine.builtins.table import TABLE
from famulus.engine.engine import Engine
from famulus.ids import RunId, StepId
from famulus.ports import Limits
from famulus.settings import Settings

SECONDS_FOR_A_PAGE = 1.5


@dataclass(frozen=True, slots=True)
class _AtWork:
    """The steps of a run that have an attempt here."""

    attempts: Attempts
    run_id: RunId

    def __contains__(self, step_id: object) -> bool:
        return isinstance(step_id, str) and self.attempts.task_of(self.run_id, StepId(step_id)) is not None


class WorkerLive(LiveServers):
    def __init__(self, settings: Settings, limits: Limits | None, engine: Engine) -> None:
        super().__init__(settings, limits, patience_seconds=SECONDS_FOR_A_PAGE)
        self._engine = engine

    def at_work(self, run_id: RunId) -> Container[StepId] | None:
        return _AtWork(self._engine.steps.attempts, run_id) if self._owns(run_id) else None

    def registered(self, run_id: RunId) -> Container[str] | None:
        return {*self._engine.executor.registry, *TABLE} if self._owns(run_id) else None

    def _owns(self, run_id: RunId) -> bool:
        return self._engine.ports.bus.partition_of(run_id) in self._engine.partitions
