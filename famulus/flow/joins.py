"""When a node with several predecessors starts, or never will.

Decided from three counts, so that whoever counts (Redis, rows, a test) gets the same answer. A predecessor is counted
once, by its name, however often it is reported: that is why a join cannot fire early on a doubled message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

from famulus.blueprint.model import JoinPolicy
from famulus.flow.arrivals import Arrivals


class Verdict(Enum):
    WAIT = "wait"
    START = "start"
    SKIP = "skip"
    """No edge into the node fired, and none will."""
    BLOCK = "block"
    """It will never start because a predecessor failed."""


def decide(policy: JoinPolicy, counts: Arrivals, *, expected: int) -> Verdict:
    """What the arrivals mean for a node with so many predecessors."""
    return _VERDICTS[policy](counts, expected)


def _all(counts: Arrivals, expected: int) -> Verdict:
    if counts.total < expected:
        return Verdict.WAIT
    if counts.failed:
        return Verdict.BLOCK
    return Verdict.START if counts.fired else Verdict.SKIP


def _any(counts: Arrivals, expected: int) -> Verdict:
    if counts.fired:
        return Verdict.START
    if counts.total < expected:
        return Verdict.WAIT
    return Verdict.BLOCK if counts.failed else Verdict.SKIP


_VERDICTS: Final[Mapping[JoinPolicy, Callable[[Arrivals, int], Verdict]]] = {
    JoinPolicy.ALL: _all,
    JoinPolicy.ANY: _any,
}
