"""One run in the hands of a test. Between two calls of its methods nothing happens, and no time goes by."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from famulus.blueprint import ABSENT, Blueprint, parse_blueprint
from famulus.builder import Flow
from famulus.engine.reading import RunView
from famulus.errors import CommandRefusedError, RunCancelledError, RunEndedError, RunFailedError
from famulus.flow.status import RUN_ENDED, RunStatus, StepStatus
from famulus.ids import RunId
from famulus.nodes import Registry
from famulus.testing.clock import PATIENCE_SECONDS
from famulus.testing.facts import Fact, RunRecord
from famulus.testing.gate import Gate
from famulus.testing.registry import StubbedRegistry
from famulus.testing.stage import Attempt, Stage
from famulus.testing.stubs import Stub, register, seconds_of, with_stubs
from famulus.testing.trace import trace_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from famulus.flow.state import StepState

AnyBlueprint: TypeAlias = Blueprint | Flow | Mapping[str, Any] | str | bytes

RUN_ID: Final = "run"
BY: Final = "test"


@asynccontextmanager
async def run(
    blueprint: AnyBlueprint,
    *,
    nodes: Mapping[str, Stub] | None = None,
    input: Mapping[str, Any] | None = None,
    registry: Registry | None = None,
    children: Sequence[AnyBlueprint] = (),
    options: Mapping[str, Any] | None = None,
    patience: float = PATIENCE_SECONDS,
) -> AsyncIterator[TestRun]:
    """Start a run in memory; it stands still until it is told to go on.

    `nodes` names implementations, or nodes by their id: see `famulus.testing.stubs` for what may stand there. What it
    does not name is taken from the registry. `children` are the blueprints that subflows start; `options` are fields
    of `famulus.engine.engine.EngineOptions`. Raises `BlueprintError`. When code of nodes is at work for more seconds of
    real time than the patience, whatever lets the run go on raises `TimeoutError`.
    """
    known = StubbedRegistry(registry)
    given = dict(nodes or {})
    register(known, given)
    parsed = [as_blueprint(each) for each in (blueprint, *children)]
    async with Stage(known, options=options, patience=patience) as stage:
        for each in parsed:
            await stage.register(with_stubs(each, given, known))
        test_run = TestRun(stage, parsed[0])
        stage.send(
            {"type": "start", "run_id": RUN_ID, "blueprint_id": parsed[0].id, "input": dict(input or {}), "by": BY}
        )
        try:
            yield test_run
        finally:
            test_run.let_go()


class TestRun:
    """Made by `famulus.testing.run`."""

    __test__ = False  # not a class of tests, whatever pytest may think of its name

    def __init__(self, stage: Stage, blueprint: Blueprint) -> None:
        self._stage = stage
        self._blueprint = blueprint
        self._gate = Gate()
        stage.machine.before = self._gate.before

    # -- letting it go on --------------------------------------------------------------------------------------------

    async def step(self) -> list[Fact]:
        """Go on until something is recorded, and return that; time goes on if nothing happens without.

        Facts that one batch of the store holds come together. An empty list: nothing happens any more, unless by
        `signal`, `resume` or the like.
        """
        seen = len(self._stage.runs.facts)
        try:
            while len(self._stage.runs.facts) == seen:
                before = self._stage.stored
                self._gate.allow_one()
                await self._stage.pace.settle()
                if self._stage.stored == before and not await self._time_goes_on():
                    break
        finally:
            self._gate.close()
        return self._stage.runs.facts[seen:]

    async def settle(self) -> TestRun:
        """Go on as far as it goes without any time going by."""
        with self._open():
            await self._stage.pace.settle()
        return self

    async def skip(self, time: float | str) -> TestRun:
        """Let so much time go by, in seconds or as in ``"10s"``, ``"2h"``, and everything happen that is due in it."""
        with self._open():
            await self._stage.pace.settle()
            await self._stage.pass_to(self._stage.clock.now() + seconds_of(time))
        return self

    async def finish(self) -> TestRun:
        """Let time go on until the run has ended, or only somebody from outside can let it go on."""
        with self._open():
            await self._stage.pace.settle()
            while not self.has_ended and await self._time_goes_on():
                pass
        return self

    async def result(self) -> dict[str, Any]:
        """As `finish`; returns the context of the run.

        Raises `RunFailedError`, `RunCancelledError`, and `AssertionError` if it waits for somebody.
        """
        await self.finish()
        match self.status:
            case RunStatus.COMPLETED:
                return await self.context()
            case RunStatus.CANCELLED:
                raise RunCancelledError(RUN_ID, self.reason)
            case RunStatus.FAILED:
                raise self._failure()
            case status:
                raise AssertionError(f"the run is {status}, at {', '.join(self.waits) or 'nothing'}\n{self.trace()}")

    # -- from outside ------------------------------------------------------------------------------------------------

    async def signal(self, name: str, payload: Any = None) -> TestRun:
        return await self._command("signal", name=name, payload=payload)

    async def resume(self, step: str | None = None, output: Any = ABSENT, *, action: str | None = None) -> TestRun:
        """Let a waiting step go on, by its id or that of its node; without one, the first that waits.

        Without an output it has what it had: a sleep its input. Raises `CommandRefusedError`.
        """
        given = {"step_id": step, "action": action}
        fields = {name: value for name, value in given.items() if value is not None}
        return await self._command("resume", **fields, **({} if output is ABSENT else {"output": output}))

    async def cancel(self, reason: str = "cancelled by the test") -> TestRun:
        return await self._command("cancel", reason=reason)

    async def pause(self) -> TestRun:
        return await self._command("pause")

    async def unpause(self) -> TestRun:
        return await self._command("unpause")

    async def retry(self, step: str | None = None) -> TestRun:
        """Try a failed or parked step again; without one, every one."""
        return await self._command("retry", **({} if step is None else {"step_id": step}))

    async def rerun(self, step: str, context: Mapping[str, Any] | None = None) -> TestRun:
        """Run a step that has ended once more, with everything behind it and these changes to the context."""
        return await self._command("rerun", step_id=step, context=dict(context or {}))

    # -- what one sees -----------------------------------------------------------------------------------------------

    @property
    def status(self) -> RunStatus | None:
        """`None` before the run is recorded."""
        record = self._stage.runs.runs.get(RunId(RUN_ID))
        return None if record is None else record.status

    @property
    def reason(self) -> str | None:
        return self._record.reason

    @property
    def has_ended(self) -> bool:
        return self.status in RUN_ENDED

    @property
    def now(self) -> float:
        """Seconds since the start, of virtual time."""
        return self._stage.clock.now() - self._stage.clock.start

    @property
    def facts(self) -> list[Fact]:
        """What has happened in this run, in order. Those of child runs: `children`."""
        return list(self._record.facts)

    @property
    def children(self) -> dict[str, RunRecord]:
        """Child runs by their id."""
        return {run_id: record for run_id, record in self._stage.runs.runs.items() if run_id != RUN_ID}

    @property
    def waits(self) -> list[str]:
        """The steps that wait for time or somebody outside."""
        return [step.step_id for step in self._record.steps.values() if step.status in _WAITING]

    @property
    def attempts(self) -> list[Attempt]:
        """Every attempt that was begun, those of built-in nodes and child runs too, in order."""
        return list(self._stage.begun)

    def calls(self, node: str) -> list[Attempt]:
        """The attempts of a node or implementation, in order."""
        return [each for each in self._stage.begun if node in (each.node_id, each.uses)]

    def step_of(self, step: str) -> StepState | None:
        """The step of that id, else the latest one of the node of that id."""
        found = [each for each in self._record.steps.values() if step in (each.step_id, each.node_id)]
        exact = [each for each in found if each.step_id == step]
        return max(exact or found, key=lambda each: each.seq, default=None)

    def status_of(self, step: str) -> StepStatus | None:
        """`None` for one of which nothing is recorded: it has not begun, or not ended."""
        found = self.step_of(step)
        return None if found is None else found.status

    def completed(self, step: str) -> bool:
        return self.status_of(step) is StepStatus.COMPLETED

    def output(self, step: str) -> Any:
        """Of a step that has completed; raises `AssertionError` for another one."""
        self.assert_completed(step)
        found = self.step_of(step)
        return None if found is None or found.output is ABSENT else found.output

    async def context(self) -> dict[str, Any]:
        """What the run would give as its result now."""
        return (await self.view()).context

    async def view(self) -> RunView:
        return await self._stage.reader.show(RunId(RUN_ID))

    def trace(self) -> str:
        """What has happened, as text: a line for each fact, with its time; child runs indented."""
        return trace_of(self._stage.runs)

    # -- what must be so ---------------------------------------------------------------------------------------------

    def assert_completed(self, *steps: str) -> None:
        """That these steps have completed; without any, the run."""
        self._assert(StepStatus.COMPLETED, RunStatus.COMPLETED, steps)

    def assert_failed(self, *steps: str) -> None:
        self._assert(StepStatus.FAILED, RunStatus.FAILED, steps)

    def assert_cancelled(self, *steps: str) -> None:
        self._assert(StepStatus.CANCELLED, RunStatus.CANCELLED, steps)

    def assert_skipped(self, step: str, *more: str) -> None:
        self._assert(StepStatus.SKIPPED, RunStatus.COMPLETED, (step, *more))

    def assert_waits(self, *steps: str) -> None:
        """That these steps wait, and no others; without any, that something does."""
        waits = self.waits
        if not waits or (steps and {*steps} != {*waits}):
            wanted = ", ".join(sorted(steps)) or "something"
            raise AssertionError(f"{wanted} should wait, but {', '.join(waits) or 'nothing'} does\n\n{self.trace()}")

    def assert_not_started(self, *nodes: str) -> None:
        """That no attempt of these nodes was begun."""
        for node in nodes:
            if self.calls(node):
                raise AssertionError(f"{node} was started\n\n{self.trace()}")

    def let_go(self) -> None:
        """Let whatever waits for the next call of a method end."""
        self._gate.open()

    # -- the machinery -----------------------------------------------------------------------------------------------

    @property
    def _record(self) -> RunRecord:
        record = self._stage.runs.runs.get(RunId(RUN_ID))
        if record is None:
            raise AssertionError("the run has not begun: let it go on with step(), settle(), skip() or finish()")
        return record

    @contextmanager
    def _open(self) -> Iterator[None]:
        self._gate.open()
        try:
            yield
        finally:
            self._gate.close()

    def _failure(self) -> RunFailedError:
        failed = [step for step in self._record.steps.values() if step.status is StepStatus.FAILED]
        first = min(failed, key=lambda step: step.seq, default=None)
        if first is None or first.error is None:
            return RunFailedError(RUN_ID, self.reason)
        error = first.error
        return RunFailedError(
            RUN_ID,
            f"{error.type}: {error.message}",
            step_id=first.step_id,
            error={"type": error.type, "message": error.message, "traceback": error.traceback},
        )

    async def _time_goes_on(self) -> bool:
        return await self._stage.time_goes_on()

    async def _command(self, command: str, **fields: Any) -> TestRun:
        await self.settle()
        seen = len(self._record.facts)
        self._stage.send({"type": "command", "command": command, "run_id": RUN_ID, "by": BY, **fields})
        buried = len(self._stage.bus.dead_letters)
        await self.settle()
        for fact in self._record.facts[seen:]:
            if fact.type == "command.refused":
                raise CommandRefusedError(RUN_ID, command, fact.data.get("reason"))
        for dead_letter in self._stage.bus.dead_letters[buried:]:
            raise CommandRefusedError(RUN_ID, command, dead_letter.reason)
        if self.has_ended and len(self._record.facts) == seen:
            raise RunEndedError(RUN_ID, str(self.status), command=command)
        return self

    def _assert(self, step_status: StepStatus, run_status: RunStatus, steps: Sequence[str]) -> None:
        if not steps and self.status is not run_status:
            raise AssertionError(f"the run should be {run_status}, but is {self.status}\n\n{self.trace()}")
        for step in steps:
            found = self.status_of(step)
            if found is not step_status:
                is_now = "not recorded" if found is None else str(found)
                raise AssertionError(f"{step} should be {step_status}, but is {is_now}\n\n{self.trace()}")


_WAITING: Final = (StepStatus.WAITING, StepStatus.SLEEPING)


def as_blueprint(given: AnyBlueprint) -> Blueprint:
    """Raises `BlueprintError`."""
    if isinstance(given, Blueprint):
        return given
    return given.blueprint() if isinstance(given, Flow) else parse_blueprint(given)
