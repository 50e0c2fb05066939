"""A run as the rules look at it: its visible rows, read once, and what they say together."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from famulus.engine.audit.deviation import Deviation
from famulus.engine.loader import state_of
from famulus.engine.rows import context_write, decode, step_state

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from famulus.blueprint.graph import Graph
    from famulus.flow.limits import RunLimits
    from famulus.flow.rebuild import ContextWrite
    from famulus.flow.state import RunState, StepState
    from famulus.ids import RunId, Stamp, StepId
    from famulus.ports import EventRow, RunHead, RunRows, StepRow

RETRY_REQUESTED: Final = "step.retry_requested"
FORKED: Final = "run.forked"
MIGRATED: Final = "run.migrated"


@dataclass(frozen=True, slots=True)
class Told:
    """An event, read."""

    seq: int
    type: str
    data: Mapping[str, Any]
    stamp: Stamp

    @property
    def step_id(self) -> StepId | None:
        return self.data.get("step")


@dataclass(slots=True)
class Subject:
    """Made by `read`. What could not be read is left out of it, and is a deviation already."""

    graph: Graph
    rows: RunRows
    limits: RunLimits | None = None
    steps: dict[StepId, StepState] = field(default_factory=dict)
    stored: dict[StepId, StepRow] = field(default_factory=dict)
    """The rows of the steps."""
    writes: list[ContextWrite] = field(default_factory=list)
    events: list[Told] = field(default_factory=list)
    of_step: dict[StepId, list[Told]] = field(default_factory=dict)
    """The events that name each step, in order."""
    retries: int = 0
    """How often an operator has asked for steps to be tried again."""
    inherited_before: int = -1
    """Rows before this place in the order of the run were taken over by a fork, without their events."""
    migrated_at: int = -1
    """Where the run went over to the present version of its blueprint; what was recorded before followed another."""
    state: RunState | None = None
    """What the rows come to; ``None`` if that cannot be said."""
    found: list[Deviation] = field(default_factory=list)

    @property
    def run_id(self) -> RunId:
        return self.rows.birth.run_id

    @property
    def head(self) -> RunHead:
        return self.rows.head

    def is_own(self, seq: int) -> bool:
        """Whether what was recorded there is this run's own, and not taken over from another one."""
        return seq >= self.inherited_before

    def is_by_blueprint(self, seq: int) -> bool:
        """Whether the run itself recorded it there, and by the blueprint that it has now."""
        return self.is_own(seq) and seq > self.migrated_at

    def deviates(self, step_id: StepId | None, code: str, message: str) -> None:
        self.found.append(Deviation(self.run_id, step_id, code, message))


def read(graph: Graph, rows: RunRows, events: Sequence[EventRow], *, limits: RunLimits | None = None) -> Subject:
    subject = Subject(graph=graph, rows=rows, limits=limits)
    _read_steps(subject)
    _read_context(subject)
    _read_events(subject, events)
    if not subject.found:
        _read_state(subject)
    return subject


def _read_steps(subject: Subject) -> None:
    for row in subject.rows.steps:
        try:
            step = step_state(row)
        except Exception as error:  # noqa: BLE001  # whatever a row holds, the others are to be looked at
            subject.deviates(row.step_id, "row.unreadable", f"its row cannot be read: {error}")
            continue
        if step.node_id not in subject.graph.nodes:
            message = f"its row names node {step.node_id!r}, which the blueprint of the run does not have"
            subject.deviates(row.step_id, "row.unreadable", message)
            continue
        subject.steps[step.step_id] = step
        subject.stored[step.step_id] = row


def _read_context(subject: Subject) -> None:
    for row in subject.rows.context:
        try:
            subject.writes.append(context_write(row))
        except Exception as error:  # noqa: BLE001  # as above
            subject.deviates(None, "row.unreadable", f"the context key {row.key!r} cannot be read: {error}")


def _read_events(subject: Subject, events: Sequence[EventRow]) -> None:
    of_step: defaultdict[StepId, list[Told]] = defaultdict(list)
    for row in sorted(events, key=lambda row: row.seq):
        try:
            data = decode(row.data)
        except Exception as error:  # noqa: BLE001  # as above
            subject.deviates(None, "row.unreadable", f"event {row.seq} cannot be read: {error}")
            continue
        if not isinstance(data, dict):
            subject.deviates(None, "row.unreadable", f"event {row.seq} is no object")
            continue
        told = Told(row.seq, row.type, data, row.stamp)
        subject.events.append(told)
        if told.step_id is not None:
            of_step[told.step_id].append(told)
        if told.type == RETRY_REQUESTED:
            subject.retries += 1
        if told.type == FORKED:
            subject.inherited_before = told.seq
        if told.type == MIGRATED:
            subject.migrated_at = told.seq
    subject.of_step = dict(of_step)


def _read_state(subject: Subject) -> None:
    try:
        subject.state = state_of(subject.graph, subject.rows, limits=subject.limits)
    except Exception as error:  # noqa: BLE001  # as above
        message = f"no owner can load the run: its rows give no state ({type(error).__name__}: {error})"
        subject.deviates(None, "run.unreadable", message)
