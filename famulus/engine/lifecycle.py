"""The phases of a class node, in the order that `famulus.nodes.phases` tells."""

from __future__ import annotations

from typing import Any

from famulus.engine.calling import Caller
from famulus.flow.facts import ErrorInfo
from famulus.flow.state import StepState
from famulus.flow.status import StepStatus
from famulus.nodes.context import NodeInfo
from famulus.nodes.phases import Phases


async def run_phases(
    instance: Any, phases: Phases, ctx: NodeInfo, *, caller: Caller, before: ErrorInfo | None, is_again: bool
) -> Any:
    """One attempt: all phases but `fallback`."""
    if is_again and phases.recover:
        await caller.call(instance.recover, ctx, before)
    prepared = await caller.call(instance.prep, ctx) if phases.prep else ctx.input
    given = (prepared, ctx) if phases.exec_takes_context else (prepared,)
    result = await caller.call(instance.exec, *given)
    return await caller.call(instance.post, ctx, prepared, result) if phases.post else result


def is_again(step: StepState) -> bool:
    """Whether an earlier attempt failed, or began on a worker that has not told its end."""
    return step.attempt > 1 or step.status is StepStatus.RUNNING


def error_before(step: StepState) -> ErrorInfo | None:
    """How the attempt before ended; ``None`` if its worker died with it."""
    return None if step.status is StepStatus.RUNNING else step.error
