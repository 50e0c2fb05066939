"""One run, as its users see it: where it stands, what happens in it, what came out of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Final

from famulus.client.transport import Transport
from famulus.engine.reading import EventView, RunSummary, RunView, is_ended
from famulus.engine.starting import StartOutcome
from famulus.errors import InputError, RunCancelledError, RunFailedError, RunNotFoundError
from famulus.flow.status import RunStatus, StepStatus
from famulus.ids import RunId

FIRST_LOOK_SECONDS: Final = 0.02
LONGEST_LOOK_SECONDS: Final = 0.5
EVENTS_PAGE: Final = 1000
TEXT_CHARACTERS: Final = 500
"""Of who cancels and why, as in the HTTP API."""
DEFAULT_REASON: Final = "cancelled on request"
DEFAULT_ASKER: Final = "client"


@dataclass(frozen=True, slots=True)
class Run:
    """A handle; it holds no state of the run, so it can be made from the id alone at any time, in any process."""

    id: RunId
    transport: Transport
    outcome: StartOutcome | None = None
    """How its start went, if this handle is the answer to one."""

    async def status(self) -> RunSummary:
        """Where it stands, cheaply. Raises `RunNotFoundError`, also while no worker has taken what was accepted."""
        return await self.transport.summary(self.id)

    async def view(self) -> RunView:
        """Its steps, input and context. Raises `RunNotFoundError`."""
        return await self.transport.view(self.id)

    async def cancel(self, *, reason: str = DEFAULT_REASON, by: str = DEFAULT_ASKER) -> RunSummary:
        """Ask for its end; returns it as it was before. What it has recorded stays.

        Asking twice is harmless. Raises `RunNotFoundError`, and `RunEndedError` if there is nothing left to cancel.
        """
        for name, text in (("reason", reason), ("by", by)):
            if len(text) > TEXT_CHARACTERS:
                raise InputError(f"`{name}` has {len(text)} characters, at most {TEXT_CHARACTERS} are accepted")
        return await self.transport.cancel(self.id, by=by or DEFAULT_ASKER, reason=reason or DEFAULT_REASON)

    async def result(self, *, timeout: float | None = None) -> dict[str, Any]:  # noqa: ASYNC109  # the word that users know
        """Wait for its end; return its context: what nodes set, and each output under the id of its node.

        Raises `RunFailedError` with the step that failed, `RunCancelledError`, `TimeoutError` after so many seconds
        (the run goes on, and this can be called again), and `RunNotFoundError`, but for a run that was just started.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._ended()
        except TimeoutError as error:
            if timeout is None:
                raise
            raise TimeoutError(f"run {self.id!r} has not ended within {timeout:g} s; it goes on") from error
        view = await self.view()
        match view.summary.status:
            case RunStatus.COMPLETED:
                return view.context
            case RunStatus.CANCELLED:
                raise RunCancelledError(self.id, view.summary.reason)
            case _:
                raise _failure(view)

    async def events(self, *, after: int = -1) -> AsyncGenerator[EventView, None]:
        """What happens, in order, from the first event until the run has ended.

        To go on after a break, give the `seq` of the last event that was seen. Raises as `result` for unknown runs.
        """
        pause = FIRST_LOOK_SECONDS
        while True:
            # The summary first: an event that is recorded after it only comes one round later.
            run = await self._found()
            while run is not None and (page := await self.transport.events(self.id, after=after, limit=EVENTS_PAGE)):
                for event in page:
                    yield event
                after, pause = page[-1].seq, FIRST_LOOK_SECONDS
            if run is not None and is_ended(run.status):
                return
            await asyncio.sleep(pause)
            pause = _longer(pause)

    async def _ended(self) -> None:
        pause = FIRST_LOOK_SECONDS
        while (run := await self._found()) is None or not is_ended(run.status):
            await asyncio.sleep(pause)
            pause = _longer(pause)

    async def _found(self) -> RunSummary | None:
        """``None`` while what was accepted is not recorded yet."""
        try:
            return await self.status()
        except RunNotFoundError:
            if self.outcome is None:
                raise
            return None


def _longer(pause: float) -> float:
    return min(pause * 1.5, LONGEST_LOOK_SECONDS)


def _failure(view: RunView) -> RunFailedError:
    failed = [step for step in view.steps if step.status == StepStatus.FAILED]
    first = min(failed, key=lambda step: step.ended_at or 0.0, default=None)
    return RunFailedError(
        view.summary.run_id,
        (first.reason if first else None) or view.summary.reason,
        step_id=None if first is None else first.step_id,
        error=None if first is None else first.error,
    )
