"""Runs attempts of built-in nodes, and turns what goes wrong into facts."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from famulus.engine.backoff import Backoff
from famulus.engine.builtins.call import BuiltInCall, BuiltInServices
from famulus.engine.builtins.table import TABLE
from famulus.errors import (
    BlueprintError,
    BlueprintNotFoundError,
    InputError,
    ParameterError,
    RetryableError,
    TerminalError,
)
from famulus.flow.facts import ErrorInfo, Fact
from famulus.flow.tasks import input_of, task_of
from famulus.ids import NodeId

if TYPE_CHECKING:
    from famulus.flow.state import RunState, StepState

log = logging.getLogger(__name__)


class BuiltIns:
    def __init__(self, services: BuiltInServices) -> None:
        self.services = services

    def __contains__(self, uses: object) -> bool:
        return uses in TABLE

    def hook_url(self, run: RunState, node_id: str) -> str:
        """Where the `webhook` node is called from outside, in the rounds of loops that the run is in now."""
        node = run.graph.nodes.get(NodeId(node_id))
        if node is None or node.uses != "webhook":
            raise InputError(f"blueprint {run.graph.blueprint.id!r} has no webhook node {node_id!r}")
        return self.services.tokens.url_of(run.run_id, run.step_id_of(node.id))

    async def attempt(self, run: RunState, step: StepState) -> Fact:
        """Make one attempt. A server that is away is waited for: that is no failure of the step."""
        node = task_of(run, step).node
        started_at = self.services.now()
        backoff = Backoff()
        while True:
            call = BuiltInCall(services=self.services, run=run, step=step, node=node, input=None, started_at=started_at)
            try:
                return await TABLE[node.uses](replace(call, input=input_of(run, step)))
            except RetryableError as error:
                log.info(
                    "step %s is tried again: %s",
                    step.step_id,
                    error,
                    extra={"action": "built_in_retried", "run_id": run.run_id, "step_id": step.step_id},
                )
                await asyncio.sleep(backoff.next())
            except TerminalError as error:
                told = ErrorInfo(type=type(error).__name__, message=str(error), bases=_bases(error))
                return call.failed(told, fatal=_is_fatal(error))


def _is_fatal(error: TerminalError) -> bool:
    """Whether the blueprint of a child is not there: as a missing implementation, no fallback stands in for that."""
    if isinstance(error, ParameterError):
        return error.parameter == "blueprintId"
    return isinstance(error, BlueprintError | BlueprintNotFoundError)


def _bases(error: BaseException) -> tuple[str, ...]:
    return tuple(base.__name__ for base in type(error).__mro__[1:] if base is not object)
