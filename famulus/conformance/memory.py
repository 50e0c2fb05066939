"""A case in memory: a stage of its own, in virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from famulus.conformance.case import Case
from famulus.conformance.gate import Gate
from famulus.conformance.implementations import implementations_of
from famulus.conformance.report import refused
from famulus.conformance.theatre import Play
from famulus.errors import BlueprintError
from famulus.nodes import Registry
from famulus.ports import RunStore
from famulus.testing.stage import Stage

RUN_ID: Final = "case"
OPTIONS: Final[Mapping[str, Any]] = {"rounds_of_loop": 2000}
"""A loop without end is found out soon."""


class MemoryTheatre:
    """Keeps `famulus.conformance.theatre.Theatre`."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.store: RunStore = stage.runs
        self.catalog = stage.engine.catalog
        self.gate = Gate(stage.engine.executor)

    def now(self) -> float:
        return self._stage.clock.now()

    async def send(self, document: Mapping[str, Any]) -> None:
        self._stage.send(document)

    async def settle(self) -> None:
        await self._stage.pace.settle()

    async def wait(self) -> bool:
        return await self._stage.time_goes_on()


async def run_in_memory(case: Case) -> dict[str, Any]:
    registry = Registry()
    async with Stage(registry, options=OPTIONS) as stage:
        try:
            for blueprint in case.blueprints:
                await stage.register(blueprint)
        except BlueprintError:
            return refused(case.initial)
        play = Play(case, MemoryTheatre(stage), RUN_ID)
        for name, implementation in implementations_of(case, play).items():
            registry.register(name, implementation)
        return await play.perform()
