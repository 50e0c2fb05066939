"""What a command means for a run as it stands: the fact that the run is told, a refusal among them.

What the heart can see for itself (nothing waits, the run is paused already) it refuses itself. Here is refused what it
does not see: commands to a run that has ended, and what does not fit the form of a wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, assert_never

from famulus.blueprint.forms import check_form
from famulus.blueprint.values import ABSENT
from famulus.engine import commands as c
from famulus.flow import decisions as d
from famulus.flow import facts as f
from famulus.flow.advance import advance
from famulus.flow.fold import fold
from famulus.flow.status import RUN_ENDED, StepStatus
from famulus.flow.waiting import ForSignal, ForTimer, ForWebhook
from famulus.ids import NodeId, StepId

if TYPE_CHECKING:
    from famulus.flow.state import RunState, StepState

COMMANDS_KEY: Final = "_commands"
"""The context key with the ids of the last commands: a record may be delivered twice."""
COMMANDS_REMEMBERED: Final = 128
CANCEL_REASON: Final = "cancelled on request"
PAUSE_REASON: Final = "paused on request"


def obey(run: RunState, command: c.Command, *, at: float) -> list[d.Decision]:
    """Take the state on by what a command asks for; an empty list if the run was told of it before."""
    if command.command_id is None:
        return advance(run, command_fact(command, run, at=at))
    if is_known(run, command):
        return []
    return noted(run, advance(run, command_fact(command, run, at=at)), command.command_id)


def command_fact(command: c.Command, run: RunState, *, at: float) -> f.Fact:  # noqa: PLR0911  # a table of commands
    """What happened, by this command."""
    if run.status in RUN_ENDED and not isinstance(command, c.Retry | c.Rerun):
        return refusal(command, f"the run has ended ({run.status.value})", at=at)
    by = command.by
    match command:
        case c.Cancel():
            return f.CancelRequested(by=by, reason=command.reason or CANCEL_REASON, at=at)
        case c.Pause():
            return f.PauseRequested(by=by, reason=command.reason or PAUSE_REASON, at=at)
        case c.Unpause():
            return f.UnpauseRequested(by=by, at=at)
        case c.Signal():
            return _signal(command, run, at=at)
        case c.Resume():
            return _resume(command, run, at=at)
        case c.Retry(step_id=step_id):
            named = None if step_id is None else present_step_id(run, step_id)
            return f.RetryRequested(step_id=named, by=by, at=at)
        case c.Rerun(step_id=step_id, context=context):
            return f.RerunRequested(step_id=present_step_id(run, step_id), changes=context, by=by, at=at)
        case c.Limit():
            return f.BatchLimited(
                step_id=present_step_id(run, command.step_id),
                max_concurrency=command.max_concurrency,
                tolerated_failures=command.tolerated_failures,
                by=by,
                at=at,
            )
        case c.Migrate():
            return refusal(command, command.why_not, at=at)  # what can be done `Runs.migrate` has done
        case _:
            assert_never(command)


def refusal(command: c.Command, reason: str, *, at: float) -> f.CommandRefused:
    return f.CommandRefused(command=c.name_of(command), by=command.by, reason=reason, at=at)


def present_step_id(run: RunState, named: StepId) -> StepId:
    """The step that is named, by its own id or by that of its node: then it is the present one."""
    if named in run.steps or NodeId(named) not in run.graph.nodes:
        return named
    node_id = NodeId(named)
    present = run.step_id_of(node_id)
    if present in run.steps:
        return present
    latest = max((step for step in run.steps.values() if step.node_id == node_id), key=_place, default=None)
    return present if latest is None else latest.step_id


def awaiting_steps(steps: Iterable[StepState]) -> list[StepState]:
    """The steps that a resume lets go on, in the order in which they began to wait."""
    waiting = (
        step
        for step in steps
        if step.status in (StepStatus.WAITING, StepStatus.SLEEPING)
        and isinstance(step.waiting_for, ForTimer | ForSignal | ForWebhook)
    )
    return sorted(waiting, key=_place)


def is_known(run: RunState, command: c.Command) -> bool:
    """Whether the run was told of the command before."""
    return command.command_id in run.context.get(COMMANDS_KEY, ())


def noted(run: RunState, decided: Sequence[d.Decision], command_id: str) -> list[d.Decision]:
    """The same decisions; the first event has the id of the command, and the run remembers it."""
    first = next((each for each in decided if isinstance(each, d.RecordEvent)), None)
    if first is None:
        return list(decided)
    marked = replace(first, data={**first.data, "command_id": command_id})
    remembered = [*run.context.get(COMMANDS_KEY, ()), command_id][-COMMANDS_REMEMBERED:]
    note = d.WriteContext(COMMANDS_KEY, remembered, run.next_seq)
    fold(run, note)
    return [*(marked if each is first else each for each in decided), note]


def _signal(command: c.Signal, run: RunState, *, at: float) -> f.Fact:
    for step in awaiting_steps(run.steps.values()):
        if isinstance(step.waiting_for, ForSignal) and step.waiting_for.signal == command.name:
            problems = _misfits(step, command.payload)
            if problems:
                return refusal(command, problems, at=at)
            break
    return f.SignalReceived(name=command.name, payload=command.payload, by=command.by, at=at)


def _resume(command: c.Resume, run: RunState, *, at: float) -> f.Fact:
    step_id = command.step_id
    if step_id is None:
        waiting = awaiting_steps(run.steps.values())
        if not waiting:
            return refusal(command, "no step of the run waits", at=at)
        step_id = waiting[0].step_id
    else:
        step_id = present_step_id(run, step_id)
    step = run.steps.get(step_id)
    if step is not None and step.status is StepStatus.WAITING:
        problems = _misfits(step, command.output)
        if problems:
            return refusal(command, problems, at=at)
    return f.StepResumed(step_id=step_id, output=command.output, action=command.action, by=command.by, at=at)


def _misfits(step: StepState, payload: Any) -> str | None:
    form = step.waiting_for.form if isinstance(step.waiting_for, ForSignal | ForWebhook) else None
    if form is None:
        return None
    problems = check_form(form, None if payload is ABSENT else payload)
    return f"it does not fit the form of step {step.step_id}: {'; '.join(problems)}" if problems else None


def _place(step: StepState) -> int:
    return step.seq
