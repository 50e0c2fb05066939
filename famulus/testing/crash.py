"""A blueprint under the worst that can happen to it: crashes everywhere, every record twice, joins forgotten.

First the blueprint is run in peace. Then it is run again for every call that was made to the store: with a crash just
before that call, and with one just after it. Another engine takes over, and is given every record that was not
finished. What comes of each run is compared with the run in peace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from famulus.blueprint import ABSENT, Blueprint
from famulus.blueprint.builtins import BUILT_INS
from famulus.engine.audit import AuditOptions, AuditPorts, Deviation, audit_all
from famulus.engine.catalog import Catalog
from famulus.errors import JoinsUnavailableError
from famulus.flow.status import STEP_ENDED, RunStatus, StepStatus
from famulus.flow.waiting import ForSignal, ForWebhook
from famulus.ids import RunId, StepId
from famulus.nodes import Registry, Result
from famulus.testing.clock import PATIENCE_SECONDS
from famulus.testing.facts import RunRecord
from famulus.testing.registry import StubbedRegistry
from famulus.testing.run import AnyBlueprint, as_blueprint
from famulus.testing.stage import Attempt, Machine, Stage
from famulus.testing.stubs import Stub, register, with_stubs
from famulus.testing.trace import trace_of

if TYPE_CHECKING:
    from famulus.flow.state import StepState

Nodes: TypeAlias = Mapping[str, Stub] | Callable[[], Mapping[str, Stub]]

RUN_ID: Final = RunId("run")
BY: Final = "crash test"
BATCHES_MORE: Final = 20
BATCHES_MOST: Final = 1000
FINDINGS_SHOWN: Final = 20


class Kind(StrEnum):
    REPEATED = "ran again"
    """A step whose outcome was recorded was run once more, under the same idempotency key."""
    HANGS = "hangs"
    """Nothing goes on any more, and the run in peace had come further."""
    DIFFERS = "differs"
    """Another end, or another result, than that of the run in peace."""
    TWICE = "recorded twice"
    """One step has completed more than once."""
    DEVIATES = "deviates"
    """What is recorded does not agree with itself: what `famulus verify` finds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    kind: Kind
    trial: str
    """What was done to the run."""
    detail: str
    trace: str
    """The run, as text."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail} ({self.trial})"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashReport:
    calm: str
    """The run in peace, as text."""
    status: str
    """How the run in peace ended, or that it waits."""
    trials: int
    crashes: int
    findings: Sequence[Finding]
    repeated: Mapping[str, int]
    """Idempotency key -> the most often that its node was called in one trial, where that is more than in peace.

    A crash between the effect of a node and its record makes that: it is what the key is for.
    """

    @property
    def ok(self) -> bool:
        return not self.findings

    def assert_ok(self) -> None:
        if not self.ok:
            raise AssertionError(str(self))

    def __str__(self) -> str:
        lines = [f"{self.trials} runs, {self.crashes} crashes; in peace the run is {self.status}"]
        if self.repeated:
            told = ", ".join(f"{key} ({times} times)" for key, times in sorted(self.repeated.items()))
            lines.append(f"called again because the crash came before the record, with the same key: {told}")
        if self.ok:
            lines.append("nothing was found")
            return "\n".join(lines)
        lines.append(f"{len(self.findings)} findings:")
        lines += [f"  {finding}" for finding in self.findings[:FINDINGS_SHOWN]]
        if len(self.findings) > FINDINGS_SHOWN:
            lines.append(f"  and {len(self.findings) - FINDINGS_SHOWN} more")
        lines += ["", f"the first one, {self.findings[0].trial}:", self.findings[0].trace]
        return "\n".join(lines)


async def crash_test(
    blueprint: AnyBlueprint,
    nodes: Nodes | None = None,
    *,
    input: Mapping[str, Any] | None = None,
    registry: Registry | None = None,
    children: Sequence[AnyBlueprint] = (),
    answers: Mapping[str, Any] | None = None,
    ignore: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    patience: float = PATIENCE_SECONDS,
) -> CrashReport:
    """Run the blueprint again and again, with a crash at another place each time, and tell what went wrong.

    `nodes` are as for `famulus.testing.run`; a function makes them anew for each run, for those that remember
    something. `answers` let waiting steps go on: id of the node, or name of the signal -> output or `Result`.
    `ignore` names nodes and context keys that are different each time. Code of nodes is called as often as there are
    runs, so keep it harmless: the effects that are counted are the calls.
    """
    script = _Script(
        blueprints=[as_blueprint(each) for each in (blueprint, *children)],
        nodes=nodes if callable(nodes) else lambda: nodes or {},
        registry=registry,
        input=dict(input or {}),
        answers=dict(answers or {}),
        options=dict(options or {}),
        patience=patience,
    )
    calm = await _Trial(script, "in peace").perform()
    twice = await _Trial(script, "every record twice", doubled=True).perform()
    trials = [
        twice,
        await _Trial(script, "joins emptied after every call of the store", forgetful=True).perform(),
        await _Trial(script, "joins away", without_joins=True).perform(),
    ]
    for when in ("before", "after"):
        for number, call in enumerate(twice.calls):
            name = f"crash {when} call {number + 1} of the store ({call}), every record twice"
            crash = _Crash(at=number, is_after=when == "after")
            trials.append(await _Trial(script, name, doubled=True, crash=crash).perform())
    findings = [finding for trial in trials for finding in _compared(calm, trial, frozenset(ignore))]
    return CrashReport(
        calm=calm.trace,
        status=str(calm.status),
        trials=len(trials) + 1,
        crashes=sum(trial.has_crashed for trial in trials),
        # What differs is told first: what deviates mostly follows from it.
        findings=sorted(findings, key=lambda finding: finding.kind is Kind.DEVIATES),
        repeated=_repeated(calm, trials),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Script:
    blueprints: Sequence[Blueprint]
    nodes: Callable[[], Mapping[str, Stub]]
    registry: Registry | None
    input: Mapping[str, Any]
    answers: Mapping[str, Any]
    options: Mapping[str, Any]
    patience: float


@dataclass(frozen=True, slots=True)
class _Crash:
    at: int
    """Which call of the store, from 0."""
    is_after: bool


@dataclass(slots=True)
class _Trial:
    """One run, and what came of it."""

    script: _Script
    name: str
    doubled: bool = False
    forgetful: bool = False
    without_joins: bool = False
    crash: _Crash | None = None
    calls: list[str] = field(default_factory=list)
    """Of the store."""
    has_crashed: bool = False
    runs: Mapping[RunId, RunRecord] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    begun: Counter[str] = field(default_factory=Counter)
    """By idempotency key: how often the node was called."""
    again: list[Attempt] = field(default_factory=list)
    """Attempts of steps whose outcome was recorded."""
    deviations: Sequence[Deviation] = ()
    failure: str = ""
    trace: str = ""
    stage: Stage = field(init=False)

    @property
    def status(self) -> RunStatus | None:
        root = self.runs.get(RUN_ID)
        return None if root is None else root.status

    async def perform(self) -> _Trial:
        nodes = self.script.nodes()
        registry = StubbedRegistry(self.script.registry)
        register(registry, nodes)
        self.stage = Stage(registry, doubled=self.doubled, options=self.script.options, patience=self.script.patience)
        async with self.stage as stage:
            stage.attempt_begins = self._attempt_begins
            for each in self.script.blueprints:
                await stage.register(with_stubs(each, nodes, registry))
            self._watch(stage.machine)
            first = self.script.blueprints[0].id
            stage.send({"type": "start", "run_id": RUN_ID, "blueprint_id": first, "input": self.script.input})
            try:
                await self._play(stage)
            except TimeoutError as error:
                self.failure = str(error)
            self.runs = stage.runs.runs
            self.trace = trace_of(stage.runs)
            self.deviations = await self._deviations(stage)
            if RUN_ID in self.runs:
                self.context = (await stage.reader.show(RUN_ID)).context
        return self

    async def _deviations(self, stage: Stage) -> list[Deviation]:
        """Of a trial that has come to its end, or to where nothing goes on any more, what is due is stuck."""
        ports, catalog = AuditPorts(runs=stage.runs), Catalog(stage.blueprints, stage.clock.now)
        options = AuditOptions(settle=0, at_rest=not self.failure, now=stage.clock.now)
        return [deviation async for deviation in audit_all(ports, catalog, options)]

    async def _play(self, stage: Stage) -> None:
        answered: set[tuple[RunId, StepId]] = set()
        most = BATCHES_MOST + BATCHES_MORE * len(self.calls)
        while stage.stored < most:
            await stage.pace.settle()
            if stage.is_down:
                self._watch(stage.machines[stage.take_over()])
                continue
            if stage.runs.runs and all(run.has_ended for run in stage.runs.runs.values()):
                return
            waiting = next(
                (found for found in self._waiting(stage) if (found[0], found[1].step_id) not in answered), None
            )
            if waiting is not None:
                answered.add((waiting[0], waiting[1].step_id))
                self._answer(stage, *waiting)
            elif not await stage.time_goes_on():
                return
        self.failure = f"goes on without end: {stage.stored} batches were stored"

    def _waiting(self, stage: Stage) -> list[tuple[RunId, StepState, Any]]:
        """Steps that wait, with their answers."""
        found = []
        for run_id, run in stage.runs.runs.items():
            for step in run.steps.values():
                if run.has_ended or step.status is not StepStatus.WAITING:
                    continue
                waiting_for = step.waiting_for
                if not isinstance(waiting_for, ForSignal | ForWebhook):
                    continue
                signal = waiting_for.signal if isinstance(waiting_for, ForSignal) else None
                for name in filter(None, (step.node_id, signal)):
                    if name in self.script.answers:
                        found.append((run_id, step, self.script.answers[name]))
                        break
        return found

    @staticmethod
    def _answer(stage: Stage, run_id: RunId, step: StepState, answer: Any) -> None:
        given = answer if isinstance(answer, Result) else Result(answer)
        action = {} if given.action is None else {"action": given.action}
        stage.send(
            {
                "type": "command",
                "command": "resume",
                "run_id": run_id,
                "by": BY,
                "command_id": f"{run_id}/{step.step_id}",
                "step_id": step.step_id,
                "output": given.output,
                **action,
            }
        )

    # -- what is done to it ------------------------------------------------------------------------------------------

    def _watch(self, machine: Machine) -> None:
        machine.before = self._before
        machine.after = self._after

    async def _before(self, call: str) -> None:
        if call.startswith("joins.") and self.without_joins:
            raise JoinsUnavailableError("the crash test has taken them away")
        if call.startswith("store."):
            self.calls.append(call)
            self._crash_if(is_after=False)

    async def _after(self, call: str) -> None:
        if call.startswith("store."):
            if self.forgetful:
                self.stage.joins.clear()
            self._crash_if(is_after=True)

    def _crash_if(self, *, is_after: bool) -> None:
        crash = self.crash
        if crash is None or self.has_crashed or crash.is_after is not is_after or len(self.calls) <= crash.at:
            return
        self.has_crashed = True
        self.stage.joins.clear()
        self.stage.crash()

    def _attempt_begins(self, attempt: Attempt) -> None:
        if attempt.uses in BUILT_INS:
            return
        self.begun[attempt.key] += 1
        run = self.stage.runs.runs.get(attempt.run_id)
        recorded = None if run is None else run.steps.get(attempt.step_id)
        if recorded is not None and (recorded.status in STEP_ENDED or recorded.attempt > attempt.attempt):
            self.again.append(attempt)


def _compared(calm: _Trial, trial: _Trial, ignored: frozenset[str]) -> list[Finding]:
    found = [
        (Kind.REPEATED, f"step {each.step_id} of {each.run_id}, attempt {each.attempt}, though it was recorded")
        for each in trial.again
    ]
    for run_id, run in trial.runs.items():
        completed = Counter(fact.step for fact in run.facts if fact.type == "step.completed")
        found += [(Kind.TWICE, f"step {step} of {run_id}") for step, times in completed.items() if times > 1]
    found += [(Kind.DEVIATES, str(deviation)) for deviation in trial.deviations]
    if trial.failure:
        found.append((Kind.HANGS, trial.failure))
    elif trial.status is not calm.status:
        kind = Kind.HANGS if _has_ended(calm) and not _has_ended(trial) else Kind.DIFFERS
        found.append((kind, f"the run is {trial.status or 'not recorded'}, in peace {calm.status}{_live(trial)}"))
    else:
        found += [(Kind.DIFFERS, text) for text in _differences(calm, trial, ignored)]
    return [Finding(kind=kind, trial=trial.name, detail=detail, trace=trial.trace) for kind, detail in found]


def _has_ended(trial: _Trial) -> bool:
    root = trial.runs.get(RUN_ID)
    return root is not None and root.has_ended


def _live(trial: _Trial) -> str:
    steps = [
        f"{step.step_id} {step.status}"
        for run in trial.runs.values()
        for step in run.steps.values()
        if step.is_live and not run.has_ended
    ]
    return f"; live: {', '.join(steps)}" if steps else ""


def _differences(calm: _Trial, trial: _Trial, ignored: frozenset[str]) -> list[str]:
    found = []
    for key in sorted({*calm.context, *trial.context} - ignored):
        here, there = trial.context.get(key, ABSENT), calm.context.get(key, ABSENT)
        if here != there:
            found.append(f"context key {key} is {here!r:.80}, in peace {there!r:.80}")
    for run_id in sorted({*calm.runs, *trial.runs}):
        here_run, there_run = trial.runs.get(run_id), calm.runs.get(run_id)
        if here_run is None or there_run is None:
            found.append(f"run {run_id} is there only {'in peace' if here_run is None else 'now'}")
            continue
        found += _step_differences(here_run, there_run, ignored)
    return found


def _step_differences(here: RunRecord, there: RunRecord, ignored: frozenset[str]) -> list[str]:
    found = []
    for step_id in sorted({*here.steps, *there.steps}):
        one, other = here.steps.get(step_id), there.steps.get(step_id)
        known = one or other
        if known is None or known.node_id in ignored:
            continue
        if one is None or other is None or (one.status, one.output) != (other.status, other.output):
            found.append(f"step {step_id} is {_shown(one)}, in peace {_shown(other)}")
    return found


def _shown(step: StepState | None) -> str:
    if step is None:
        return "not there"
    return step.status.value if step.output is ABSENT else f"{step.status} with {step.output!r:.80}"


def _repeated(calm: _Trial, trials: Sequence[_Trial]) -> dict[str, int]:
    most: dict[str, int] = {}
    for trial in trials:
        for key, times in trial.begun.items():
            if times > calm.begun[key]:
                most[key] = max(times, most.get(key, 0))
    return most
