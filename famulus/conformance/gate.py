"""Steps that are not to begin: those behind a built-in node that a run is to be cancelled after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from famulus.engine.execution import Executor
    from famulus.flow.state import RunState, StepState
    from famulus.ids import RunId

IsHeld: TypeAlias = "Callable[[RunState], bool]"


class Gate:
    """Stands before the attempts of an engine, of built-in nodes too. What it holds begins never."""

    def __init__(self, executor: Executor) -> None:
        self._attempt = executor.attempt
        self._asked: dict[RunId, IsHeld] = {}
        vars(executor)["attempt"] = self._through

    @contextmanager
    def before(self, run_id: RunId, is_held: IsHeld) -> Iterator[None]:
        """Ask this before each attempt of a step of the run."""
        self._asked[run_id] = is_held
        try:
            yield
        finally:
            del self._asked[run_id]

    async def _through(self, run: RunState, step: StepState, *, begun: Callable[[], None]) -> Any:
        is_held = self._asked.get(run.run_id)
        if is_held is not None and is_held(run):
            await asyncio.get_running_loop().create_future()
        return await self._attempt(run, step, begun=begun)
