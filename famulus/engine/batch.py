"""The decisions of one or several facts, as the one batch that records them and as what follows once it is durable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from famulus.engine.rows import context_row, encode, ending_row, step_row
from famulus.flow import decisions as d
from famulus.flow.arrivals import Arrival
from famulus.flow.rebuild import rearm_value
from famulus.flow.state import RunState, StepState
from famulus.flow.status import RUN_ENDED
from famulus.ids import NodeId, Stamp, StepId
from famulus.ports import Commit, ContextRow, EventRow, RunBirth, RunHead, StepRow


@dataclass(slots=True)
class Batch:
    steps: dict[StepId, StepState] = field(default_factory=dict)
    context: dict[str, d.WriteContext] = field(default_factory=dict)
    events: list[d.RecordEvent] = field(default_factory=list)
    status: d.SetStatus | None = None
    run_steps: list[d.RunStep] = field(default_factory=list)
    stop_steps: list[d.StopStep] = field(default_factory=list)
    arrivals: dict[StepId, dict[NodeId, Arrival]] = field(default_factory=dict)
    ending: d.SetEnding | None = None
    start_children: list[d.StartChild] = field(default_factory=list)
    tell_children: list[d.TellChild] = field(default_factory=list)

    def add(self, decided: Iterable[d.Decision]) -> None:  # noqa: C901, PLR0912  # a table of decisions
        for decision in decided:
            match decision:
                case d.RecordStep(step):
                    self.steps[step.step_id] = step
                case d.WriteContext(key=key):
                    self.context[key] = decision
                case d.RecordEvent():
                    self.events.append(decision)
                case d.SetStatus():
                    self.status = decision
                case d.RunStep():
                    self.run_steps.append(decision)
                case d.StopStep():
                    self.stop_steps.append(decision)
                case d.ArriveAtJoin(step_id=step_id, arrivals=arrivals):
                    self.arrivals.setdefault(step_id, {}).update(arrivals)
                case d.CallFallback(step_id=step_id):
                    self.arrivals.setdefault(step_id, {})
                case d.SetEnding():
                    self.ending = decision
                case d.Rearm(seq=seq):
                    self.context[decision.key] = d.WriteContext(decision.key, rearm_value(decision), seq)
                case d.StartChild():
                    self.start_children.append(decision)
                case d.TellChild():
                    self.tell_children.append(decision)
                case _:
                    assert_never(decision)

    @property
    def has_rows(self) -> bool:
        return bool(self.steps or self.context or self.events or self.status or self.ending)

    def commit(self, birth: RunBirth, run: RunState, *, seals: Mapping[int, int], stamp: Stamp, at: float) -> Commit:
        """The rows of the batch, after its decisions were folded into the state."""
        return Commit(
            birth=birth,
            head=RunHead(
                status=run.status.value,
                reason=run.reason,
                updated_at=at,
                ended_at=run.ended_at,
                seals=seals,
                next_seq=run.next_seq,
                ending=ending_row(run.ending),
                stamp=stamp,
            ),
            stamp=stamp,
            closes=run.status in RUN_ENDED,
            steps=self._step_rows(stamp),
            context=self._context_rows(stamp),
            events=self._event_rows(stamp),
        )

    def _step_rows(self, stamp: Stamp) -> tuple[StepRow, ...]:
        return tuple(step_row(step, stamp) for step in self.steps.values())

    def _context_rows(self, stamp: Stamp) -> tuple[ContextRow, ...]:
        return tuple(context_row(write.key, write.value, write.seq, stamp) for write in self.context.values())

    def _event_rows(self, stamp: Stamp) -> tuple[EventRow, ...]:
        return tuple(
            EventRow(seq=event.seq, type=event.type, at=event.at, data=encode(event.data), stamp=stamp)
            for event in self.events
        )


def first(commit: Commit) -> Commit:
    """The same batch as the first one of its run."""
    return replace(commit, first=True)
