"""How nodes have come to others, told from the steps that are recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus.flow.arrivals import Arrival
from famulus.flow.status import StepStatus

if TYPE_CHECKING:
    from famulus.flow.state import RunState, StepState
    from famulus.ids import NodeId


class Ways:
    """Of one moment of a run: what has fired is looked up once for each node."""

    def __init__(self, run: RunState) -> None:
        self._run = run
        self._fired: dict[NodeId, frozenset[NodeId]] = {}

    def forget(self, source: NodeId) -> None:
        """Look again at what a node has fired: more of it is recorded. Enough where none stands in for another."""
        self._fired.pop(source, None)

    def arrival(self, source: NodeId, target: NodeId) -> Arrival | None:
        """How a predecessor has come to a node; ``None`` while it may still come."""
        run = self._run
        if target in run.left.get(source, ()):
            return Arrival.FIRED
        if source in run.rounds:
            come = self._come_from_loop(source, target)
            if come is not None:
                return come
        step = run.step_of(source)
        if step is None or step.is_live:
            return None
        if step.is_handled and target in run.graph.told_at_once(source):
            return Arrival.DEAD
        speaker = run.speaker_of(step)
        return None if speaker is None or speaker.is_live else self._come(speaker, source, target)

    def call(self, source: NodeId) -> Arrival | None:
        """Whether a node needs its fallback; ``None`` while it may yet, or if the fallback does not wait to hear."""
        step = self._run.step_of(source)
        if step is None or step.is_live:
            return None
        if step.is_handled:
            return Arrival.FIRED
        return Arrival.DEAD if self._run.graph.may_call(source) else None

    def came_at(self, source: NodeId, target: NodeId) -> float:
        """When the edge fired by which a node has come to another."""
        run = self._run
        if target in run.left.get(source, ()):
            return run.left[source][target]
        if target in run.turned.get(source, ()):
            return run.turned_at[source]
        step = run.step_of(source)
        batch = run.batches.get(run.step_id_of(source))
        if batch is not None and batch.ended_at is not None and source in run.graph.scatters_of(target):
            return batch.ended_at
        speaker = None if step is None else run.speaker_of(step)
        times = [each.ended_at for each in (step, speaker) if each is not None and each.ended_at is not None]
        return max(times, default=0.0)

    def _come_from_loop(self, controller: NodeId, target: NodeId) -> Arrival | None:
        """How the controller of a loop that goes round comes to where a round begins."""
        run = self._run
        if target in run.turned.get(controller, ()):
            return Arrival.FIRED
        return Arrival.DEAD if target in run.graph.loops[controller].entries else None

    def _come(self, speaker: StepState, source: NodeId, target: NodeId) -> Arrival | None:
        match speaker.status:
            case StepStatus.COMPLETED:
                if source in self._run.graph.scatters_of(target):
                    return self._gathered(source, target)
                return Arrival.FIRED if target in self._fired_by(source) else Arrival.DEAD
            case StepStatus.SKIPPED:
                return Arrival.FAILED if speaker.blocked else Arrival.DEAD
            case StepStatus.CANCELLED:
                return Arrival.DEAD
            case _:
                return Arrival.FAILED

    def _gathered(self, scatter: NodeId, gather: NodeId) -> Arrival | None:
        """A scatter comes to its gather when its items have ended."""
        batch = self._run.batches.get(self._run.step_id_of(scatter))
        if batch is not None and not batch.is_over:
            return None
        if batch is not None and batch.too_many_failed:
            return Arrival.FAILED
        return Arrival.FIRED if gather in self._fired_by(scatter) else Arrival.DEAD

    def _fired_by(self, source: NodeId) -> frozenset[NodeId]:
        """The targets of the edges of a node that fired, whoever's result made them."""
        known = self._fired.get(source)
        if known is None:
            found: set[NodeId] = set()
            step = self._run.step_of(source)
            while step is not None:
                routes = (self._run.graph.route(index) for index in step.fired)
                found.update(route.target for route in routes if route.source == source)
                fallback = self._run.graph.fallback_of(step.node_id) if step.is_handled else None
                step = None if fallback is None else self._run.step_of(fallback)
            known = self._fired[source] = frozenset(found)
        return known
