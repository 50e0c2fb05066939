"""What is said of a run that has not ended: for each step that has not, one sentence.

A sentence is kept in its parts, with moments as numbers, so that a terminal tells them in local time, a page in UTC and
a program reads them as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from famulus.ids import NodeId, RunId, StepId

Words: TypeAlias = tuple[str | float, ...]
"""Texts and, between them, moments in seconds since the Unix epoch."""
Clock: TypeAlias = Callable[[float], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Of one step, or of the run itself."""

    kind: str
    """What is awaited, as a stable word: `predecessors`, `timer`, `signal`, `parked`; see docs/howto/explain.md."""
    awaits: Words
    """What it waits for."""
    moves: Words = ()
    """What would move it."""
    step_id: StepId | None = None
    """``None``: of the run."""
    node_id: NodeId | None = None
    status: str | None = None
    since: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    """The same for programs."""

    def sentence(self, clock: Clock) -> str:
        since = "" if self.since is None else f", since {clock(self.since)}"
        moves = f"; {told(self.moves, clock)}" if self.moves else ""
        return f"{told(self.awaits, clock)}{since}{moves}"

    def as_json(self, clock: Clock) -> dict[str, Any]:
        return {
            "step_id": self.step_id,
            "node_id": self.node_id,
            "status": self.status,
            "kind": self.kind,
            "since": self.since,
            "sentence": self.sentence(clock),
            **({"details": dict(self.details)} if self.details else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RunExplanation:
    run_id: RunId
    status: str | None
    """``None``: no run of this id is recorded."""
    of_run: tuple[Explanation, ...]
    """What holds for the whole run; at least one."""
    of_steps: tuple[Explanation, ...] = ()
    """Of every step that has not ended, in the order of the nodes; items after the step that has them."""
    left_out: int = 0
    """So many steps more wait for something."""

    @property
    def exists(self) -> bool:
        return self.status is not None

    def as_json(self, clock: Clock) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "status": self.status,
            "run": [each.as_json(clock) for each in self.of_run],
            "steps": [each.as_json(clock) for each in self.of_steps],
            "left_out": self.left_out,
        }


def told(words: Words, clock: Clock) -> str:
    return "".join(word if isinstance(word, str) else clock(word) for word in words)


def listed(names: Sequence[str], *, conjunction: str = "and", most: int = 8) -> str:
    """`a`, `b` and `c`; of many the first ones, and how many more there are."""
    shown = [f"`{name}`" for name in names[:most]]
    if len(names) > most:
        shown.append(f"{len(names) - most} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {conjunction} {shown[-1]}"
