"""One attempt of a node: call the user's code and turn whatever happens into a fact."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog

from famulus.blueprint.model import Node
from famulus.blueprint.values import ABSENT
from famulus.engine.rows import isolated, settled, settled_text
from famulus.engine.slots import Slots
from famulus.errors import InputError, NonRetryableError, OutputError
from famulus.flow.facts import ErrorInfo, Fact, StepFailed, StepParked, StepSucceeded
from famulus.flow.inputs import resolve
from famulus.flow.state import RunState, StepState
from famulus.nodes import Implementation, NodeContext, Registry, Result, ThreadContext

_NO_RETRY: Final = (NonRetryableError, InputError, OutputError)
_OWN_CODE: Final = str(Path(__file__).parent.parent)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionLimits:
    steps: int = 256
    """Attempts that run at the same time in one worker."""
    steps_per_run: int = 64
    """Of these, attempts of one run."""
    threads: int = 16
    """Of these, attempts of `def` nodes."""
    value_bytes: int = 900_000
    """The largest output or context value, as JSON."""


class Executor:
    """Runs attempts, so many at a time."""

    def __init__(
        self,
        registry: Registry,
        *,
        now: Callable[[], float],
        worker: str,
        limits: ExecutionLimits,
        park_missing: bool,
    ) -> None:
        self.registry = registry
        self._now = now
        self._worker = worker
        self._limits = limits
        self._park_missing = park_missing
        self._slots = Slots(in_all=limits.steps, per_run=limits.steps_per_run)
        self._threads = ThreadPoolExecutor(limits.threads, thread_name_prefix="famulus-node")

    async def attempt(self, run: RunState, step: StepState, *, begun: Callable[[], None]) -> Fact:
        """Run the step once, when it is its turn; `begun` is called then.

        Everything its code raises becomes a fact; only cancellation passes through.
        """
        await self._slots.take(run.run_id)
        begun()
        try:
            return await self._attempt(run, step)
        finally:
            self._slots.give_back(run.run_id)

    async def _attempt(self, run: RunState, step: StepState) -> Fact:
        started_at = self._now()
        node = run.graph.node(step.node_id)
        implementation = self.registry.get(node.uses)
        if implementation is None:
            return self._missing(step, node, started_at)
        changes: dict[str, Any] = {}
        try:
            result = await self._call(run, step, node, implementation, changes)
            return StepSucceeded(
                step_id=step.step_id,
                attempt=step.attempt,
                output=settled(result.output, max_bytes=self._limits.value_bytes),
                action=settled_text(result.action, "action") if result.action else None,
                changes=self._settled_changes(changes),
                started_at=started_at,
                at=self._now(),
                worker=self._worker,
            )
        except BaseException as error:
            # The node's own code may raise anything: SystemExit would stop the worker, and every worker after it.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise asyncio.CancelledError from error
            return self._failed(step, started_at, error, changes)

    def close(self) -> None:
        """Let go of the threads. A node that still runs in one is not waited for; its outcome is not recorded."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _call(
        self, run: RunState, step: StepState, node: Node, implementation: Implementation, changes: dict[str, Any]
    ) -> Result:
        ctx = (NodeContext if implementation.is_async else ThreadContext)(
            run_id=run.run_id,
            blueprint_id=run.graph.blueprint.id,
            node_id=node.id,
            step_id=step.step_id,
            attempt=step.attempt,
            input=isolated(resolve(run, node)),
            params=isolated(dict(node.params)),
            read=partial(_read, run),
            changes=changes,
        )
        # An attempt has a task, and so a context, of its own: nothing has to be unbound.
        structlog.contextvars.bind_contextvars(run_id=run.run_id, step_id=step.step_id, attempt=step.attempt)
        call = partial(implementation.function, **implementation.signature.arguments(ctx))
        returned = await self._within(node.config.timeout_ms, self._calling(implementation, call))
        return returned if isinstance(returned, Result) else Result(returned)

    async def _calling(self, implementation: Implementation, call: Callable[[], Any]) -> Any:
        if implementation.is_async:
            return await call()
        returned, error = await asyncio.get_running_loop().run_in_executor(
            self._threads, copy_context().run, _caught, call
        )
        if error is not None:
            raise error
        return returned

    @staticmethod
    async def _within(timeout_ms: int | None, calling: Coroutine[Any, Any, Any]) -> Any:
        """Await the call, for so long. What a thread does after its time is not waited for."""
        if timeout_ms is None:
            return await calling
        try:
            async with asyncio.timeout(timeout_ms / 1000) as limit:
                return await calling
        except TimeoutError as error:
            if limit.expired():
                raise TimeoutError(f"the attempt took longer than {timeout_ms} ms") from error
            raise

    def _settled_changes(self, changes: dict[str, Any]) -> dict[str, Any]:
        return {
            settled_text(key, "context key"): value
            if value is ABSENT
            else settled(value, max_bytes=self._limits.value_bytes)
            for key, value in changes.items()
        }

    def _missing(self, step: StepState, node: Node, started_at: float) -> Fact:
        known = ", ".join(sorted(self.registry)) or "none"
        reason = (
            f"no implementation is registered under {node.uses!r} (registered: {known[:500]}); "
            f"name its module in FAMULUS_NODES"
        )
        if self._park_missing:
            return StepParked(step_id=step.step_id, attempt=step.attempt, reason=reason, at=self._now())
        return StepFailed(
            step_id=step.step_id,
            attempt=step.attempt,
            error=ErrorInfo(type="MissingImplementation", message=reason),
            retryable=False,
            fatal=True,
            changes={},
            started_at=started_at,
            at=self._now(),
            worker=self._worker,
        )

    def _failed(self, step: StepState, started_at: float, error: BaseException, changes: dict[str, Any]) -> StepFailed:
        try:
            kept = self._settled_changes(changes)
        except OutputError:
            kept = {}
        return StepFailed(
            step_id=step.step_id,
            attempt=step.attempt,
            error=describe(error),
            retryable=not isinstance(error, _NO_RETRY),
            changes=kept,
            started_at=started_at,
            at=self._now(),
            worker=self._worker,
        )


def _caught(call: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """Call in a thread. A future cannot carry every error: with `StopIteration` it would never be done."""
    try:
        return call(), None
    except BaseException as error:  # noqa: BLE001  # raised again by who awaits it
        return None, error


def _read(run: RunState, key: str) -> Any:
    value = run.read(key)
    return ABSENT if value is ABSENT else isolated(value)


def describe(error: BaseException) -> ErrorInfo:
    """Type, message and the frames of the user's own code: those of the engine tell its users nothing."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_OWN_CODE)]
    text = "".join(traceback.format_list(frames))
    return ErrorInfo(
        type=type(error).__name__, message=_storable(_message(error)[:4000]), traceback=_storable(text[-8000:])
    )


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as untellable:  # noqa: BLE001  # the text of an error is the node's own code too
        return f"(its text cannot be had: {type(untellable).__name__})"


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
