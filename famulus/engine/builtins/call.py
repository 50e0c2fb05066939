"""One attempt of a built-in node: what it knows, and the facts that it may come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from famulus.blueprint.builtins import parse_params
from famulus.blueprint.graph import expression_language
from famulus.blueprint.values import ABSENT
from famulus.engine.rows import settled
from famulus.flow.facts import BatchScattered, ErrorInfo, StepFailed, StepSucceeded, StepSuspended
from famulus.flow.status import StepStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from famulus.blueprint.model import Node
    from famulus.engine.builtins.tokens import HookTokens
    from famulus.engine.catalog import Catalog
    from famulus.flow.batches import BatchSpec
    from famulus.flow.state import RunState, StepState
    from famulus.flow.waiting import WaitingFor
    from famulus.ids import RunId
    from famulus.ports import Bus, HookStore

ParamsT = TypeVar("ParamsT")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltInServices:
    """What built-in nodes share."""

    catalog: Catalog
    bus: Bus
    hooks: HookStore
    tokens: HookTokens
    depth_of: Callable[[RunId], int]
    """How many runs a run is nested in."""
    max_subflow_depth: int
    value_bytes: int
    """The largest output, as JSON."""
    now: Callable[[], float]
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltInCall:
    services: BuiltInServices
    run: RunState
    step: StepState
    node: Node
    """With `uses` and `params` as they hold for the step."""
    input: Any
    """Null where there is none."""
    started_at: float

    def params(self, kind: type[ParamsT]) -> ParamsT:
        """The params of the node, as those of a node of this kind. Raises `ParameterError`."""
        parsed = parse_params(self.node, language=expression_language(self.run.graph.blueprint))
        if not isinstance(parsed, kind):
            raise TypeError(f"node {self.node.id!r} has {type(parsed).__name__}, expected {kind.__name__}")
        return parsed

    def succeeded(
        self, output: Any = None, *, action: str | None = None, changes: Mapping[str, Any] | None = None
    ) -> StepSucceeded:
        """Raises `OutputError` for an output that is too large."""
        return StepSucceeded(
            step_id=self.step.step_id,
            attempt=self.step.attempt,
            output=settled(output, max_bytes=self.services.value_bytes),
            action=action,
            changes=changes or {},
            started_at=self.started_at,
            at=self.services.now(),
            worker=self.services.worker,
        )

    def suspended(
        self,
        waiting_for: WaitingFor,
        *,
        status: StepStatus = StepStatus.WAITING,
        wake_at: float | None = None,
        output: Any = ABSENT,
    ) -> StepSuspended:
        return StepSuspended(
            step_id=self.step.step_id,
            attempt=self.step.attempt,
            status=status,
            waiting_for=waiting_for,
            wake_at=wake_at,
            output=output,
            started_at=self.started_at,
            at=self.services.now(),
            worker=self.services.worker,
        )

    def scattered(self, spec: BatchSpec, items: Sequence[Any]) -> BatchScattered:
        return BatchScattered(
            step_id=self.step.step_id,
            attempt=self.step.attempt,
            spec=spec,
            items=items,
            started_at=self.started_at,
            at=self.services.now(),
            worker=self.services.worker,
        )

    def failed(self, error: ErrorInfo, *, fatal: bool = False) -> StepFailed:
        """For good: trying again changes nothing. Fatal: no fallback helps either."""
        return StepFailed(
            step_id=self.step.step_id,
            attempt=self.step.attempt,
            error=error,
            retryable=False,
            fatal=fatal,
            changes={},
            started_at=self.started_at,
            at=self.services.now(),
            worker=self.services.worker,
        )
