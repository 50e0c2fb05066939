"""How a case is played, whatever it is played on."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from famulus.conformance.case import Case
from famulus.conformance.gate import Gate
from famulus.conformance.report import report
from famulus.engine.loader import state_of
from famulus.engine.rows import decode, step_state
from famulus.engine.seals import visible_rows
from famulus.flow.status import RUN_ENDED, RunStatus, StepStatus
from famulus.flow.waiting import ForChild
from famulus.ids import NodeId, RunId

if TYPE_CHECKING:
    from famulus.blueprint.model import Node
    from famulus.engine.catalog import Catalog
    from famulus.flow.state import RunState, StepState
    from famulus.nodes import NodeContext
    from famulus.ports import RunRows, RunStore

BY: Final = "conformance"
FAR_SECONDS: Final = 100 * 366 * 86_400.0
HORIZON_SECONDS: Final = 366 * 86_400.0
"""What becomes due later than this, becomes due never: that is how sleeps are held."""
EVENTS_MOST: Final = 1_000_000
PAUSED_LOOK_SECONDS: Final = 0.002
_STANDS_STILL: Final = frozenset({RunStatus.PAUSED, *RUN_ENDED})
_ANSWERS: Final = frozenset({"step.resumed", "command.refused"})
_HAVE_CHILDREN: Final = frozenset({"subflow", "map", "startRun", "batch-scatter"})
_WAITS: Final = (StepStatus.WAITING, StepStatus.SLEEPING)


class Theatre(Protocol):
    """A stack on which runs go on."""

    store: RunStore
    catalog: Catalog
    gate: Gate

    def now(self) -> float: ...

    async def send(self, document: Mapping[str, Any]) -> None:
        """Put a record on the jobs topic."""
        ...

    async def settle(self) -> None:
        """Return when it may be worth looking at the runs again."""
        ...

    async def wait(self) -> bool:
        """Let some time go by, as far as to the next moment in which something is due; `False` if nothing ever is."""
        ...


class Play:
    """One case on a theatre."""

    def __init__(self, case: Case, theatre: Theatre, run_id: str) -> None:
        self._case = case
        self._theatre = theatre
        self._run_id = RunId(run_id)
        self._left = list(case.resume)
        self._numbers = itertools.count(1)

    async def perform(self) -> dict[str, Any]:
        with self._theatre.gate.before(self._run_id, self._is_to_be_cancelled):
            await self._start()
            while not await self._is_over():
                pass
        return await self._report(self._run_id)

    async def completing(self, ctx: NodeContext) -> None:
        """Hold a node that the run is to be cancelled after, until the run is paused: so nothing starts behind it."""
        if ctx.run_id != self._run_id or ctx.node_id != self._case.cancelled_after:
            return
        await self._command(self._run_id, "pause", reason="to be cancelled")
        while await self._status() not in _STANDS_STILL:  # noqa: ASYNC110  # the store tells nobody
            await asyncio.sleep(PAUSED_LOOK_SECONDS)

    async def _start(self) -> None:
        case, now = self._case, self._theatre.now()
        later = {"start_at": now + FAR_SECONDS} if case.is_cancelled_first else {}
        await self._theatre.send(
            {
                "type": "start",
                "run_id": self._run_id,
                "blueprint_id": case.blueprint.id,
                "version": case.blueprint.version,
                "input": case.initial,
                **later,
            }
        )
        if case.is_cancelled_first:
            await self._command(self._run_id, "cancel", reason="before it began")

    async def _is_over(self) -> bool:
        """Look at the run, and do what is to be done now."""
        await self._theatre.settle()
        runs = [run async for run in self._all_runs(self._run_id)]
        known = [run for run in runs if run is not None]
        if known == runs and all(run.status in RUN_ENDED for run in known):
            return bool(runs)
        if known and known[0].status is RunStatus.PAUSED:
            await self._cancel_paused(known[0])
        elif known and self._is_to_be_cancelled(known[0]):
            await self._cancel()
        elif (
            self._case.is_cancelled_first
            or known != runs
            or any(run.status is RunStatus.RUNNING for run in known)
            or _is_between(known)
        ):
            await self._wait()
        elif not await self._still_stands(known):
            pass
        elif self._left:
            # Refused is what stood still before and after: else it was looked for in the middle of a step.
            if await self._resume(self._left[0]) or await self._still_stands(known):
                self._left.pop(0)
        elif any(due_at < self._theatre.now() + HORIZON_SECONDS for run in known for due_at in run.timers.values()):
            await self._wait()
        else:
            return True
        return False

    async def _still_stands(self, runs: Sequence[RunState]) -> bool:
        """Whether nothing has been recorded since they were read: a store reads head and steps one after another."""
        heads = await self._theatre.store.heads([run.run_id for run in runs])
        return all(run.run_id in heads and heads[run.run_id][1].next_seq == run.next_seq for run in runs)

    async def _wait(self) -> None:
        if not await self._theatre.wait():
            raise RuntimeError(f"run {self._run_id} hangs: nothing of it goes on any more, and nothing of it is due")

    async def _cancel_paused(self, root: RunState) -> None:
        if any(step.node_id == self._case.cancelled_after and step.is_live for step in root.steps.values()):
            return
        await self._command(self._run_id, "cancel", reason=f"after {self._case.cancelled_after}")

    def _is_to_be_cancelled(self, root: RunState) -> bool:
        """Whether the built-in node that the run is to be cancelled after has completed, and the run goes on."""
        after = self._case.cancelled_after
        if after is None or not self._case.is_built_in(after) or NodeId(after) not in root.outputs:
            return False
        known = root.step_of(NodeId(after))
        is_failed = known is not None and known.is_handled
        return not (is_failed or root.status in RUN_ENDED or root.ending is not None)

    async def _cancel(self) -> None:
        await self._command(self._run_id, "cancel", reason=f"after {self._case.cancelled_after}")
        await self._theatre.settle()
        while (root := await self._state(self._run_id)) is not None and self._is_to_be_cancelled(root):
            await self._wait()
            await self._theatre.settle()

    # -- from outside ------------------------------------------------------------------------------------------------

    async def _resume(self, entry: Mapping[str, Any]) -> bool:
        """Whether anything of the name waits."""
        found = await self._awaiting(self._run_id, entry.get("node"))
        if found is None:
            return False
        run_id, step = found
        fields = {"output": entry["output"]} if "output" in entry else {}
        if entry.get("action"):
            fields["action"] = entry["action"]
        seen = await self._theatre.store.events(run_id, limit=EVENTS_MOST)
        await self._command(run_id, "resume", step_id=step.step_id, **fields)
        await self._answered(run_id, after=seen[-1].seq)
        return True

    async def _answered(self, run_id: RunId, *, after: int) -> None:
        """Wait until it is recorded what became of a resume: a look before that would find the step waiting still."""
        while True:
            await self._theatre.settle()
            events = await self._theatre.store.events(run_id, after=after, limit=EVENTS_MOST)
            if any(event.type in _ANSWERS for event in events):
                return
            await self._wait()

    async def _awaiting(self, run_id: RunId, node: str | None) -> tuple[RunId, StepState] | None:
        """The first step that waits, or that of the node; in a child run where the step waits for one."""
        run = await self._state(run_id)
        waiting = [] if run is None else [step for step in run.steps.values() if step.status in _WAITS]
        waiting.sort(key=lambda step: step.seq)
        for step in waiting:
            is_meant = node is None or node in (step.node_id, step.step_id)
            if isinstance(step.waiting_for, ForChild):
                inside = await self._awaiting(step.waiting_for.run_id, None if is_meant else node)
                if inside is not None:
                    return inside
            elif is_meant and step.batch is None:
                return run_id, step
        return None

    async def _command(self, run_id: RunId, command: str, **fields: Any) -> None:
        await self._theatre.send(
            {
                "type": "command",
                "command": command,
                "run_id": run_id,
                "by": BY,
                "command_id": f"{self._run_id}-{next(self._numbers)}",
                **fields,
            }
        )

    async def _status(self) -> str | None:
        heads = await self._theatre.store.heads([self._run_id])
        return heads[self._run_id][1].status if self._run_id in heads else None

    # -- what is recorded --------------------------------------------------------------------------------------------

    async def _state(self, run_id: RunId) -> RunState | None:
        rows = await self._theatre.store.load(run_id)
        return None if rows is None else await self._state_of(visible_rows(rows))

    async def _state_of(self, rows: RunRows) -> RunState:
        birth = rows.birth
        graph = await self._theatre.catalog.graph_of(birth)
        return state_of(graph, rows)

    async def _all_runs(self, run_id: RunId) -> AsyncIterator[RunState | None]:
        """The run and all that have come of it, itself first; `None` for one that is not recorded yet."""
        run = await self._state(run_id)
        yield run
        if run is not None:
            for child in await self._children(run):
                async for found in self._all_runs(child):
                    yield found

    async def _children(self, run: RunState) -> Sequence[RunId]:
        """Runs that steps of this one have waited for, and those that it has started for good."""
        if not any(node.uses in _HAVE_CHILDREN for node in run.graph.nodes.values()):
            return ()
        events = await self._theatre.store.events(run.run_id, limit=EVENTS_MOST)
        told = [decode(event.data).get("child") for event in events if event.type == "step.waiting"]
        started = [
            step.output["runId"]
            for step in run.steps.values()
            if step.status is StepStatus.COMPLETED and self._starts_run(run.graph.node(step.node_id))
        ]
        return [RunId(child) for child in dict.fromkeys([*told, *started]) if child]

    def _starts_run(self, node: Node) -> bool:
        return node.uses == "startRun" and node.uses in self._case.built_ins

    async def _report(self, run_id: RunId) -> dict[str, Any]:
        rows = await self._theatre.store.load(run_id)
        if rows is None:
            raise RuntimeError(f"run {run_id} is gone")
        rows = visible_rows(rows)
        run = await self._state_of(rows)
        children = {}
        for child in await self._children(run):
            name = await self._name_of(child)
            if name is not None:
                children[name] = await self._report(child)
        return report(run.graph.blueprint, run, [step_state(row) for row in rows.steps], children)

    async def _name_of(self, run_id: RunId) -> str | None:
        """Under which id the blueprint of a child was given."""
        heads = await self._theatre.store.heads([run_id])
        if run_id not in heads:
            return None
        blueprint_id = heads[run_id][0].blueprint_id
        named = {child.id: name for name, child in self._case.children.items()}
        return named.get(blueprint_id, blueprint_id)


def _is_between(runs: Sequence[RunState]) -> bool:
    """Whether a child has ended, and the step that waits for it does not know yet."""
    ended = {run.run_id for run in runs if run.status in RUN_ENDED}
    return any(
        isinstance(step.waiting_for, ForChild)
        and step.status is StepStatus.WAITING
        and step.waiting_for.run_id in ended
        for run in runs
        for step in run.steps.values()
        if run.status not in RUN_ENDED
    )
