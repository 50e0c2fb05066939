"""One attempt of a node: call the user's code and turn whatever happens into a fact."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import structlog

from famulus.blueprint.model import NOTHING, Node, NodeConfig
from famulus.blueprint.values import ABSENT
from famulus.engine.builtins import BuiltIns
from famulus.engine.calling import Caller
from famulus.engine.deadline import Deadline, deadline_of
from famulus.engine.failures import NEVER_RETRIED, describe, retry_after_ms
from famulus.engine.layering import Calling, layered
from famulus.engine.lifecycle import error_before, is_again, run_phases
from famulus.engine.processes import ProcessCall, Processes
from famulus.engine.provisions import Provisions
from famulus.engine.rows import isolated, settled, settled_text
from famulus.engine.slots import Slots
from famulus.engine.streaming import AttemptLine, Told, Watchers
from famulus.engine.turns import Turns
from famulus.errors import OutputError
from famulus.faultpoints import K2, ON, reach_amid
from famulus.flow.facts import ErrorInfo, Fact, StepFailed, StepParked, StepSucceeded
from famulus.flow.retries import delay_before_next, is_retried
from famulus.flow.state import RunState, StepState
from famulus.flow.tasks import input_of, task_of
from famulus.nodes import Implementation, NodeContext, Registry, Result, ThreadContext
from famulus.nodes.context import NodeInfo
from famulus.ports import Clock, Limits
from famulus.security.secrets import Secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionLimits:
    steps: int = 256
    """Attempts that run at the same time in one worker."""
    steps_per_run: int = 64
    """Of these, attempts of one run."""
    threads: int = 16
    """Of these, attempts of `def` nodes."""
    processes: int = 2
    """Of these, attempts of CPU-bound nodes: each has a process."""
    value_bytes: int = 64 * 1024 * 1024
    """The largest output or context value, as JSON."""


@dataclass(slots=True, kw_only=True)
class _Attempt:
    """One attempt, as far as it has come."""

    run: RunState
    step: StepState
    node: Node
    implementation: Implementation
    started_at: float
    deadline: Deadline | None
    changes: dict[str, Any]
    ctx: NodeInfo | None = None
    instance: Any = None
    """Of a class node."""


class Executor:
    """Runs attempts, so many at a time."""

    def __init__(
        self,
        registry: Registry,
        *,
        clock: Clock,
        worker: str,
        limits: ExecutionLimits,
        park_missing: bool,
        built_ins: BuiltIns,
        shared_limits: Limits | None = None,
        watchers: Watchers | None = None,
        secrets: Secrets | None = None,
        counts: Counter[str] | None = None,
    ) -> None:
        self.registry = registry
        self._clock = clock
        self._now = clock.now
        self._worker = worker
        self._limits = limits
        self._park_missing = park_missing
        self._built_ins = built_ins
        self._slots = Slots(in_all=limits.steps, per_run=limits.steps_per_run)
        self._counts = Counter() if counts is None else counts
        self._turns = Turns(shared_limits, counts=self._counts)
        self._watchers = watchers
        self._secrets = secrets or Secrets()
        self._redactor = self._secrets.redactor
        self._caller = Caller(limits.threads)
        self._processes = Processes(limits.processes)
        self._provisions = Provisions(registry, self._caller)

    def lends(self, uses: str) -> bool:
        """Whether a step is not to be tried here before all other workers, for its implementation is not here."""
        return self._park_missing and uses not in self.registry and uses not in self._built_ins

    async def attempt(self, run: RunState, step: StepState, *, begun: Callable[[], None]) -> Fact:
        """Run the step once, when it is its turn; `begun` is called then.

        Everything its code raises becomes a fact; only cancellation passes through.
        """
        node = task_of(run, step).node
        implementation = self.registry.get(node.uses)
        if implementation is None and node.uses in self._built_ins:
            begun()
            return await self._built_ins.attempt(run, step)
        limit = None if implementation is None else implementation.limit
        lease = "" if limit is None else f"{self._worker}/{run.run_id}/{step.step_id}/{step.attempt}"
        if limit is None:
            await self._slots.take(run.run_id)
        else:
            enter, leave = partial(self._slots.take, run.run_id), partial(self._slots.give_back, run.run_id)
            await self._turns.take(limit, lease, enter=enter, leave=leave)
        try:
            begun()
            if implementation is None:
                return self._missing(step, node, self._now())
            return await self._attempt(run, step, node, implementation)
        finally:
            self._slots.give_back(run.run_id)
            if limit is not None:
                self._turns.give_back(limit, lease)

    async def close(self) -> None:
        """Clean up what providers gave, and let go of threads and processes.

        A node that still runs in a thread is not waited for; its outcome is not recorded.
        """
        await self._provisions.close()
        await self._turns.close()
        self._processes.close()
        self._caller.close()

    async def _attempt(self, run: RunState, step: StepState, node: Node, implementation: Implementation) -> Fact:
        started_at = self._now()
        attempt = _Attempt(
            run=run,
            step=step,
            node=node,
            implementation=implementation,
            started_at=started_at,
            deadline=deadline_of(node.config, self._clock, first_started_at=step.first_started_at),
            changes={},
        )
        line = AttemptLine(
            lambda: _told(run, node, step),
            deadline=attempt.deadline,
            watchers=self._watchers,
            now=self._now,
            counts=self._counts,
            redactor=self._redactor,
        )
        try:
            return self._succeeded(attempt, await self._call(attempt, line))
        except BaseException as error:  # noqa: BLE001
            # The node's own code may raise anything: SystemExit would stop the worker, and every worker after it.
            _pass_on_cancellation(error)
            return await self._fallen_back(attempt, error)
        finally:
            if line.end():
                await line.close()

    async def _call(self, attempt: _Attempt, line: AttemptLine) -> Result:
        run, step, node, implementation = attempt.run, attempt.step, attempt.node, attempt.implementation
        attempt.ctx = ctx = (NodeContext if implementation.is_async else ThreadContext)(
            run_id=run.run_id,
            blueprint_id=run.graph.blueprint.id,
            node_id=node.id,
            step_id=step.step_id,
            attempt=step.attempt,
            input=self._secrets.filled_input(node.inputs, isolated(input_of(run, step))),
            params=self._secrets.filled(isolated(dict(node.params))),
            read=partial(_read, run),
            changes=attempt.changes,
            line=line,
            hook_url=partial(self._built_ins.hook_url, run),
        )
        # An attempt has a task, and so a context, of its own: nothing has to be unbound.
        structlog.contextvars.bind_contextvars(run_id=run.run_id, step_id=step.step_id, attempt=step.attempt)
        calling: Calling = partial(self._provided if self.registry.needs(implementation) else self._run, attempt, ctx)
        layers = self.registry.layers(implementation)
        if layers is not None:
            calling = layered(calling, layers, ctx, self._caller)
        if attempt.deadline is None:
            returned = await calling()
        else:
            attempt.deadline.check()
            returned = await attempt.deadline.within(calling())
        return returned if isinstance(returned, Result) else Result(returned)

    async def _provided(self, attempt: _Attempt, ctx: NodeInfo) -> Any:
        """Call the node with what providers give it, and clean up after it."""
        needs = self.registry.needs(attempt.implementation)
        async with AsyncExitStack() as stack:
            return await self._run(attempt, ctx, await self._provisions.fill(needs, ctx, stack))

    async def _run(self, attempt: _Attempt, ctx: NodeInfo, provided: Mapping[str, Any] = NOTHING) -> Any:
        implementation = attempt.implementation
        if ON:
            reach_amid(K2, ctx.run_id)
        if implementation.options.cpu_bound:
            return await self._run_in_process(attempt, ctx)
        arguments = implementation.signature.arguments(ctx, provided)
        if implementation.phases is not None:
            attempt.instance = implementation.function(**arguments)
            return await run_phases(
                attempt.instance,
                implementation.phases,
                ctx,
                caller=self._caller,
                before=error_before(attempt.step),
                is_again=is_again(attempt.step),
            )
        if implementation.is_async:
            return await implementation.function(**arguments)
        return await self._caller.in_thread(partial(implementation.function, **arguments))

    async def _run_in_process(self, attempt: _Attempt, ctx: NodeInfo) -> Result:
        function, reads = attempt.implementation.function, attempt.implementation.options.reads
        values = {key: attempt.changes[key] if key in attempt.changes else _read(attempt.run, key) for key in reads}
        call = ProcessCall(
            module=function.__module__,
            qualname=function.__qualname__,
            run_id=ctx.run_id,
            blueprint_id=ctx.blueprint_id,
            node_id=ctx.node_id,
            step_id=ctx.step_id,
            attempt=ctx.attempt,
            input=ctx.input,
            params=ctx.params,
            reads={key: value for key, value in values.items() if value is not ABSENT},
            absent=frozenset(key for key, value in values.items() if value is ABSENT),
            value_bytes=self._limits.value_bytes,
            redacted=self._redactor.values(),
        )
        return await self._processes.run(call, line=ctx.line, changes=attempt.changes)

    async def _fallen_back(self, attempt: _Attempt, error: BaseException) -> Fact:
        """How the attempt has failed, unless it was the last one and the node itself has something to fall back on."""
        failed = self._failed(attempt, error)
        phases, instance, ctx = attempt.implementation.phases, attempt.instance, attempt.ctx
        if (
            phases is None
            or not phases.fallback
            or instance is None
            or ctx is None
            or self._is_retried(attempt, failed)
        ):
            return failed
        try:
            calling = self._caller.call(instance.fallback, ctx, error)
            once_more = NodeConfig(timeout_ms=attempt.node.config.timeout_ms)
            deadline = deadline_of(once_more, self._clock, first_started_at=None)
            returned = await (calling if deadline is None else deadline.within(calling))
            return self._succeeded(attempt, returned if isinstance(returned, Result) else Result(returned))
        except BaseException as second:  # noqa: BLE001  # as above
            _pass_on_cancellation(second)
            return self._failed(attempt, second, is_last=True)

    @staticmethod
    def _is_retried(attempt: _Attempt, failed: StepFailed) -> bool:
        config = attempt.node.config
        delay_ms = delay_before_next(config, failed, of=f"{attempt.run.run_id}/{attempt.step.step_id}")
        return is_retried(config, attempt.step, failed, delay_ms=delay_ms)

    def _succeeded(self, attempt: _Attempt, result: Result) -> StepSucceeded:
        """Raises `OutputError` for what cannot be stored."""
        return StepSucceeded(
            step_id=attempt.step.step_id,
            attempt=attempt.step.attempt,
            output=self._redactor.data(settled(result.output, max_bytes=self._limits.value_bytes)),
            action=self._redactor.text(settled_text(result.action, "action")) if result.action else None,
            changes=self._settled_changes(attempt.changes),
            started_at=attempt.started_at,
            at=self._now(),
            worker=self._worker,
        )

    def _settled_changes(self, changes: dict[str, Any]) -> dict[str, Any]:
        return {
            self._redactor.text(settled_text(key, "context key")): value
            if value is ABSENT
            else self._redactor.data(settled(value, max_bytes=self._limits.value_bytes))
            for key, value in changes.items()
        }

    def _told(self, error: BaseException) -> ErrorInfo:
        told = describe(error)
        text = self._redactor.text
        return replace(told, type=text(told.type), message=text(told.message), traceback=text(told.traceback))

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

    def _failed(self, attempt: _Attempt, error: BaseException, *, is_last: bool = False) -> StepFailed:
        try:
            kept = self._settled_changes(attempt.changes)
        except OutputError:
            kept = {}
        is_out_of_time = attempt.deadline is not None and attempt.deadline.is_final
        return StepFailed(
            step_id=attempt.step.step_id,
            attempt=attempt.step.attempt,
            error=self._told(error),
            retryable=not (is_last or is_out_of_time or isinstance(error, NEVER_RETRIED)),
            retry_after_ms=retry_after_ms(error),
            changes=kept,
            started_at=attempt.started_at,
            at=self._now(),
            worker=self._worker,
        )


def _pass_on_cancellation(error: BaseException) -> None:
    """If somebody stops the attempt: an error that the node raised for that is none of its own."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError from error


def _told(run: RunState, node: Node, step: StepState) -> Told:
    blueprint = run.graph.blueprint
    return Told(
        run_id=run.run_id,
        step_id=step.step_id,
        record={"run_id": run.run_id, "blueprint_id": blueprint.id, "version": blueprint.version},
        event={"step": step.step_id, "node": node.id, "attempt": step.attempt},
    )


def _read(run: RunState, key: str) -> Any:
    value = run.read(key)
    return ABSENT if value is ABSENT else isolated(value)
