"""Forking: the rows of a new run that begins with what another one had done before a step.

What runs again: the step, what has not completed, and everything behind either. The rest is taken over as it is
recorded, outputs and context keys included. Keys that were written by what runs again are left out, so a key has the
value of the input again, or none. The old run is only read.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from famulus.engine.loader import state_of
from famulus.engine.obeying import COMMANDS_KEY, present_step_id
from famulus.engine.rows import decode, encode
from famulus.engine.seals import visible_events
from famulus.engine.versions.edges import MIGRATIONS_KEY
from famulus.errors import CommandRefusedError
from famulus.flow import decisions as d
from famulus.flow.batches import items_key
from famulus.flow.fold import NOT_BEFORE
from famulus.flow.status import RunStatus, StepStatus
from famulus.flow.suspensions import SIGNALS_PREFIX
from famulus.ids import UNSTAMPED, NodeId, StepId
from famulus.ports import ContextRow, EventRow, RunBirth, RunHead, RunRows, StepRow

if TYPE_CHECKING:
    from famulus.blueprint.graph import Graph
    from famulus.engine.records import Fork
    from famulus.flow.state import RunState
    from famulus.ports import RunStore

EVENTS_PAGE: Final = 1000
_INPUTS_PREFIX: Final = "_inputs."
_KEPT: Final = frozenset({StepStatus.COMPLETED.value, StepStatus.SKIPPED.value})


async def all_events(store: RunStore, rows: RunRows) -> AsyncIterator[EventRow]:
    """The events of a run, in order."""
    after = -1
    while page := await store.events(rows.birth.run_id, after=after, limit=EVENTS_PAGE):
        for event in visible_events(page, rows.head):
            yield event
        after = page[-1].seq


def forked_rows(
    fork: Fork, graph: Graph, source: RunRows, events: Iterable[EventRow], *, partition: int, at: float
) -> RunRows:
    """The rows that the new run begins with, none of them stored. Raises `CommandRefusedError`."""
    again = nodes_again(fork, state_of(graph, source))
    steps = [row for row in source.steps if row.node_id not in again]
    writers = _Writers(events)
    context = [
        kept for row in source.context if (kept := _kept(row, again=again, steps=steps, writers=writers)) is not None
    ]
    next_seq = source.head.next_seq
    context += [
        ContextRow(key=key, value=encode(value), seq=next_seq + place)
        for place, (key, value) in enumerate(fork.context.items())
    ]
    return RunRows(
        birth=replace(source.birth, run_id=fork.run_id, partition=partition, created_at=at, parent=None),
        head=RunHead(status=RunStatus.RUNNING.value, updated_at=at, next_seq=next_seq + len(fork.context)),
        steps=[replace(row, stamp=UNSTAMPED) for row in steps],
        context=[replace(row, stamp=UNSTAMPED) for row in context],
    )


def nodes_again(fork: Fork, run: RunState) -> frozenset[NodeId]:
    """The nodes that run again. Raises `CommandRefusedError` where a fork cannot begin."""
    graph = run.graph
    step = run.steps.get(present_step_id(run, fork.from_step))
    why_not = None
    if step is None:
        why_not = f"run {run.run_id!r} has not come to a step {fork.from_step!r}"
    elif step.item is not None or step.node_id in graph.compensations:
        why_not = "an item or a compensation cannot be where a run begins"
    elif graph.loops_around(step.node_id):
        why_not = (
            f"step {fork.from_step!r} lies in a loop; fork from its controller {graph.loops_around(step.node_id)[0]!r}"
        )
    if step is None or why_not is not None:
        raise CommandRefusedError(run.run_id, "fork", why_not)
    unfinished = [each.node_id for each in run.steps.values() if each.item is None and each.status.value not in _KEPT]
    pending = [run.join_nodes[step_id] for step_id in run.pending_joins]
    first = {step.node_id, *unfinished, *pending, *graph.compensations}
    return frozenset(first) | _behind(graph, first)


def check_goes_on(fork: Fork, run: RunState) -> None:
    """Raises `CommandRefusedError` if the forked run has nothing to do: it would never end."""
    if not run.live and not run.pending_joins:
        raise CommandRefusedError(fork.from_run, "fork", f"nothing would run from {fork.from_step!r} on")


def forked_event(fork: Fork, birth: RunBirth, run: RunState, *, at: float) -> d.RecordEvent:
    told = {
        "blueprint": birth.blueprint_id,
        "version": birth.version,
        "from_run": fork.from_run,
        "from_step": fork.from_step,
        "by": fork.by,
    }
    return d.RecordEvent("run.forked", told, at, run.next_seq)


def _behind(graph: Graph, sources: Iterable[NodeId]) -> frozenset[NodeId]:
    found: set[NodeId] = set()
    left = list(sources)
    while left:
        node_id = left.pop()
        fallback = graph.fallback_of(node_id)
        onward = (*graph.successors(node_id), *(route.target for route in graph.outgoing(node_id)))
        for target in (*onward, *((fallback,) if fallback is not None else ())):
            if target not in found:
                found.add(target)
                left.append(target)
    return frozenset(found)


class _Writers:
    """Which node wrote a context key: what it writes comes before the event that tells of it, deliveries after."""

    def __init__(self, events: Iterable[EventRow]) -> None:
        self._places: list[int] = []
        self._nodes: list[NodeId] = []
        for event in events:
            about: dict[str, Any] = decode(event.data)
            if "step" in about and "node" in about:
                self._places.append(event.seq)
                self._nodes.append(NodeId(about["node"]))

    def of(self, row: ContextRow) -> NodeId | None:
        place = bisect(self._places, row.seq)
        if row.key.startswith(_INPUTS_PREFIX):
            place -= 1
        return self._nodes[place] if 0 <= place < len(self._nodes) else None


def _kept(
    row: ContextRow, *, again: frozenset[NodeId], steps: Sequence[StepRow], writers: _Writers
) -> ContextRow | None:
    if row.key in (COMMANDS_KEY, NOT_BEFORE, MIGRATIONS_KEY):
        return None
    if row.key.startswith(SIGNALS_PREFIX):
        return row
    if row.key.startswith(d.REARM_PREFIX):
        return _without_forced(row, {NodeId(step.node_id) for step in steps})
    if row.key.startswith(items_key(StepId(""))):
        kept = {items_key(StepId(step.step_id)) for step in steps}
        return row if row.key in kept else None
    return None if writers.of(row) in again else row


def _without_forced(row: ContextRow, recorded: set[NodeId]) -> ContextRow:
    """A rerun of the old run, of which nothing is left to be forced."""
    told = decode(row.value or b"{}")
    forced = [node_id for node_id in told.get("forced", ()) if node_id in recorded]
    return replace(row, value=encode({**told, "forced": forced}))
