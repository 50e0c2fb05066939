"""One run, as its users see it: where it stands, what happens in it, what came out of it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from famulus.blueprint.values import ABSENT
from famulus.client.transport import Asked, Transport
from famulus.engine.asking import CommandOutcome
from famulus.engine.claims import is_large
from famulus.engine.reading import EventView, RunSummary, RunView, StepView, is_ended
from famulus.engine.starting import StartOutcome
from famulus.errors import InputError, RunCancelledError, RunFailedError, RunNotFoundError
from famulus.flow.status import RunStatus, StepStatus
from famulus.ids import RUN_ID_PATTERN, RunId, is_run_id

FIRST_LOOK_SECONDS: Final = 0.02
LONGEST_LOOK_SECONDS: Final = 0.5
EVENTS_PAGE: Final = 1000
STEPS_PAGE: Final = 500
TEXT_CHARACTERS: Final = 500
"""Of who cancels and why, as in the HTTP API."""
DEFAULT_REASON: Final = "cancelled on request"
DEFAULT_ASKER: Final = "client"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    run: RunSummary
    context: Mapping[str, Any]
    """Those of the keys that are there."""


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

    async def query(self, *keys: str) -> Query:
        """Where it stands, and those of the context keys that are there. Raises `RunNotFoundError`."""
        run = await self.status()
        return Query(run=run, context=await self.transport.values(self.id, keys) if keys else {})

    async def steps(self) -> AsyncGenerator[StepView, None]:
        """Every step that is recorded, items and earlier rounds of loops among them, in order."""
        after = -1
        while page := await self.transport.steps(self.id, after=after, limit=STEPS_PAGE):
            for place, step in page:
                yield step
                after = place

    async def cancel(
        self, *, reason: str = DEFAULT_REASON, by: str = DEFAULT_ASKER, grace_seconds: float = 0.0
    ) -> RunSummary:
        """Ask for its end; returns it as it was before. What it has recorded stays.

        With a grace, nodes that run see `ctx.cancelled` first, and are made to stop when it is over. Asking twice is
        harmless. Raises `RunNotFoundError`, and `RunEndedError` if there is nothing left to cancel.
        """
        asked = _asked(by, reason or DEFAULT_REASON)
        return await self.transport.cancel(
            self.id, by=asked.by, reason=asked.reason or DEFAULT_REASON, grace_seconds=grace_seconds
        )

    # Each of the following waits some seconds for the owner of the run, and says whether it was ``accepted`` or, where
    # no worker has said anything to it yet, ``sent``. With the `command_id` of an earlier one nothing is done twice.
    # Each raises `CommandRefusedError` with the reason, `RunNotFoundError`, `BadRecordError`.

    async def signal(
        self, name: str, payload: Any = None, *, by: str = DEFAULT_ASKER, command_id: str | None = None
    ) -> CommandOutcome:
        """Let the step go on that waits for the signal; one that comes to wait later finds it."""
        return await self._command("signal", {"name": name, "payload": payload}, _asked(by, None, command_id))

    async def resume(
        self,
        step: str | None = None,
        *,
        output: Any = ABSENT,
        action: str | None = None,
        by: str = DEFAULT_ASKER,
        command_id: str | None = None,
    ) -> CommandOutcome:
        """Let a step go on that waits or sleeps, named by its id or its node; without a name, whichever waited longest.

        The action selects edges. No output is not the output None: the step keeps what it has.
        """
        given: dict[str, Any] = {} if output is ABSENT else {"output": output}
        named = {"step_id": step, "action": action}
        given |= {key: value for key, value in named.items() if value is not None}
        return await self._command("resume", given, _asked(by, None, command_id))

    async def pause(
        self, *, reason: str | None = None, by: str = DEFAULT_ASKER, command_id: str | None = None
    ) -> CommandOutcome:
        """Start no further step; what runs comes to its end."""
        return await self._command("pause", {}, _asked(by, reason, command_id))

    async def unpause(self, *, by: str = DEFAULT_ASKER, command_id: str | None = None) -> CommandOutcome:
        """Let it go on after a pause."""
        return await self._command("unpause", {}, _asked(by, None, command_id))

    async def retry(
        self, step: str | None = None, *, by: str = DEFAULT_ASKER, command_id: str | None = None
    ) -> CommandOutcome:
        """Try a failed or parked step again, or all of them. A run that has failed goes on."""
        return await self._command("retry", {} if step is None else {"step_id": step}, _asked(by, None, command_id))

    async def rerun(
        self,
        step: str,
        *,
        context: Mapping[str, Any] | None = None,
        by: str = DEFAULT_ASKER,
        command_id: str | None = None,
    ) -> CommandOutcome:
        """Run a step once more, and everything behind it, with these changes to the context; also after the end."""
        given = {"step_id": step, "context": dict(context or {})}
        return await self._command("rerun", given, _asked(by, None, command_id))

    async def limit(
        self,
        step: str,
        *,
        max_concurrency: int | None = None,
        tolerated_failures: int | str | None = None,
        by: str = DEFAULT_ASKER,
        command_id: str | None = None,
    ) -> CommandOutcome:
        """Change the limits of a batch while it runs."""
        limits = {"max_concurrency": max_concurrency, "tolerated_failures": tolerated_failures}
        given = {"step_id": step, **{key: value for key, value in limits.items() if value is not None}}
        return await self._command("limit", given, _asked(by, None, command_id))

    async def migrate(self, version: str, *, by: str = DEFAULT_ASKER, command_id: str | None = None) -> CommandOutcome:
        """Go on by another version of the blueprint; refused where the run would not go on as it has come."""
        return await self._command("migrate", {"version": version}, _asked(by, None, command_id))

    async def fork(
        self,
        from_step: str,
        *,
        context: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        by: str = DEFAULT_ASKER,
    ) -> Run:
        """Start a new run with what this one had done before a step; this one is left as it is.

        Raises `CommandRefusedError` where no run can begin, `RunConflictError`, `InputError`, `RunNotFoundError`.
        """
        known = uuid.uuid4().hex if run_id is None else run_id
        if not is_run_id(known):
            raise InputError(f"{known[:200]!r} cannot be a run id, expected {RUN_ID_PATTERN.pattern}")
        outcome = await self.transport.fork(
            self.id, from_step, context=dict(context or {}), run_id=RunId(known), by=_asked(by, None).by
        )
        return Run(RunId(known), self.transport, outcome)

    async def _command(self, command: str, given: Mapping[str, Any], asked: Asked) -> CommandOutcome:
        return (await self.transport.command(self.id, command, given, asked=asked)).outcome

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
                return await self._whole(view.context)
            case RunStatus.CANCELLED:
                raise RunCancelledError(self.id, view.summary.reason)
            case _:
                raise _failure(view)

    async def _whole(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """The values, those too that a view tells only the size of."""
        large = [key for key, value in context.items() if is_large(value)]
        return {**context, **(await self.transport.values(self.id, large) if large else {})}

    def watch(self, *, after: int = -1) -> AsyncGenerator[EventView, None]:
        """The same as `events`."""
        return self.events(after=after)

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


def _asked(by: str, reason: str | None, command_id: str | None = None) -> Asked:
    """Raises `InputError` for texts that are too long."""
    for name, text in (("reason", reason or ""), ("by", by)):
        if len(text) > TEXT_CHARACTERS:
            raise InputError(f"`{name}` has {len(text)} characters, at most {TEXT_CHARACTERS} are accepted")
    return Asked(by=by or DEFAULT_ASKER, reason=reason or None, command_id=command_id)


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
