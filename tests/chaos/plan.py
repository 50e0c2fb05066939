"""Which faults strike when: drawn from a seed alone, so that a plan can be carried out again. Pure.

Kinds are dealt like cards, all of them before any comes again, so that a short plan has many kinds. Faults of different
targets overlap; of one target, one has ended before the next begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final


class Kind(StrEnum):
    WORKER_KILLED = "worker killed"
    WORKER_STOPPED = "worker stopped beyond its session, then let go on"
    WORKER_LEFT = "worker ended in good order and started again"
    WORKER_JOINED = "worker joined and left"
    ALL_KILLED = "all workers killed at once"
    VALKEY_FLUSHED = "valkey emptied"
    VALKEY_KILLED = "valkey killed and started empty"
    VALKEY_STALLED = "connections to valkey stalled"
    VALKEY_RESET = "connections to valkey reset"
    VALKEY_SLOW = "connections to valkey slow"
    BROKER_STALLED = "connections to the broker stalled"
    BROKER_RESET = "connections to the broker reset"
    BROKER_SLOW = "connections to the broker slow"
    BROKER_KILLED = "broker killed and started again"
    STORE_STOPPED = "cassandra stopped, then let go on"
    STORE_STALLED = "connections to cassandra stalled"
    STORE_RESET = "connections to cassandra reset"
    STORE_SLOW = "connections to cassandra slow"


class Target(StrEnum):
    WORKERS = "workers"
    VALKEY = "valkey"
    BROKER = "broker"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class Range:
    """How long a fault lasts, in seconds."""

    target: Target
    least: float
    most: float


SESSIONS: Final = (1.3, 2.5)
"""How long a worker stops, in session timeouts."""
KINDS: Final[Mapping[Kind, Range]] = {
    Kind.WORKER_KILLED: Range(Target.WORKERS, 0, 3),
    Kind.WORKER_LEFT: Range(Target.WORKERS, 0, 3),
    Kind.WORKER_JOINED: Range(Target.WORKERS, 4, 12),
    Kind.ALL_KILLED: Range(Target.WORKERS, 0, 3),
    Kind.VALKEY_FLUSHED: Range(Target.VALKEY, 0, 0),
    Kind.VALKEY_KILLED: Range(Target.VALKEY, 1, 10),
    Kind.VALKEY_STALLED: Range(Target.VALKEY, 1, 10),
    Kind.VALKEY_RESET: Range(Target.VALKEY, 0, 0),
    Kind.VALKEY_SLOW: Range(Target.VALKEY, 3, 12),
    Kind.BROKER_STALLED: Range(Target.BROKER, 1, 12),
    Kind.BROKER_RESET: Range(Target.BROKER, 0, 0),
    Kind.BROKER_SLOW: Range(Target.BROKER, 3, 12),
}
REAL_KINDS: Final[Mapping[Kind, Range]] = {
    Kind.BROKER_KILLED: Range(Target.BROKER, 1, 5),  # the embedded one forgets records that nobody has taken yet
    Kind.STORE_STOPPED: Range(Target.STORE, 5, 60),
    Kind.STORE_STALLED: Range(Target.STORE, 1, 12),
    Kind.STORE_RESET: Range(Target.STORE, 0, 0),
    Kind.STORE_SLOW: Range(Target.STORE, 3, 12),
}
SHARE_MOST: Final = 0.2
"""Of the whole time, that one fault may last."""
FIRST_SECONDS: Final = 4.0
"""In which nothing strikes, so that there is something to strike."""
REST_SECONDS: Final = 1.0
"""Between two faults of one target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    at: float
    """Seconds after the load began."""
    kind: Kind
    seconds: float
    pick: float
    """Which of several workers, as a share of their number."""


def plan_of(seed: int, *, seconds: float, gap: float, real: bool, session: float) -> Sequence[Fault]:
    """The faults of so many seconds, one each `gap` of them on average; the last one has ended by then."""
    return tuple(_drawn(Random(seed), seconds, gap, _kinds(real=real, session=session)))


def _kinds(*, real: bool, session: float) -> Mapping[Kind, Range]:
    stopped = Range(Target.WORKERS, *(share * session for share in SESSIONS))
    return {**KINDS, Kind.WORKER_STOPPED: stopped, **(REAL_KINDS if real else {})}


def _drawn(random: Random, seconds: float, gap: float, kinds: Mapping[Kind, Range]) -> Iterator[Fault]:
    at, deck = FIRST_SECONDS, list[Kind]()
    free_at = dict.fromkeys(Target, 0.0)
    while at < seconds:
        if not deck:
            deck = random.sample(list(kinds), len(kinds))
        kind = next((each for each in deck if free_at[kinds[each].target] <= at), None)
        if kind is not None:
            deck.remove(kind)
            lasts = kinds[kind]
            most = max(lasts.least, min(lasts.most, SHARE_MOST * seconds))
            fault = Fault(at=at, kind=kind, seconds=random.uniform(lasts.least, most), pick=random.random())
            if at + fault.seconds < seconds:
                free_at[lasts.target] = at + fault.seconds + REST_SECONDS
                yield fault
        at += min(random.expovariate(1 / gap), 3 * gap)
