"""A plan: blueprints, who runs them, and everything that goes wrong meanwhile, drawn from choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from simulation.blueprints import sober, wild
from simulation.choices import Choices


class Kind(StrEnum):
    """What may strike at a call to a port."""

    CRASH = "crash"
    """The process is gone with all that it had in memory."""
    FREEZE = "freeze"
    """The process stands still, loses its partitions, and goes on as if nothing had happened."""
    REFUSED = "refused"
    """The call is not carried out, and fails."""
    UNANSWERED = "unanswered"
    """The call is carried out, and fails."""
    BELATED = "belated"
    """The call fails, and is carried out afterwards."""
    AWAY = "away"
    """The server of the port is not there for a while."""
    EMPTIED = "emptied"
    """Redis has forgotten everything."""
    SLOW = "slow"
    """This call and the next ones take long."""
    REBALANCE = "rebalance"
    LOST = "lost"
    """The next records that the engines sent to themselves are acknowledged, and gone."""
    DOUBLED = "doubled"
    """The next records come twice, the second time at once or much later."""
    HELD = "held"
    """The next records come late, and others before them."""
    REPLAY = "replay"
    """The offsets of the group are gone: every record is delivered again."""
    SKEW = "skew"
    """The clock of the process jumps."""


MOMENTS = ("before", "after", "belated")
"""Whether the call at which a process is struck down is carried out: not, just yet, or when somebody else goes on."""

MENU: tuple[Kind, ...] = (
    *(Kind.CRASH,) * 4,
    *(Kind.FREEZE,) * 4,
    Kind.REFUSED,
    *(Kind.UNANSWERED, Kind.BELATED) * 2,
    *(Kind.AWAY, Kind.EMPTIED, Kind.SLOW, Kind.REBALANCE, Kind.LOST, Kind.DOUBLED, Kind.HELD, Kind.REPLAY, Kind.SKEW),
)
FAULTS_MOST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    kind: Kind
    calls: int
    """How many calls after the fault before it."""
    seconds: float = 0.0
    """How long it lasts, or how late something is."""
    moment: str = "before"
    count: int = 1

    def __str__(self) -> str:
        told = {"seconds": self.seconds, "moment": self.moment, "count": self.count}
        shown = ", ".join(f"{name} {value}" for name, value in told.items() if name in _SHOWN[self.kind])
        return f"{self.calls} calls later: {self.kind} {shown}".rstrip()


_SHOWN: Mapping[Kind, tuple[str, ...]] = {
    Kind.CRASH: ("seconds", "moment"),
    Kind.FREEZE: ("seconds", "moment"),
    Kind.REFUSED: ("count",),
    Kind.UNANSWERED: ("count",),
    Kind.BELATED: ("seconds", "count"),
    Kind.AWAY: ("seconds",),
    Kind.EMPTIED: (),
    Kind.SLOW: ("seconds", "count"),
    Kind.REBALANCE: (),
    Kind.LOST: ("count",),
    Kind.DOUBLED: ("seconds", "count"),
    Kind.HELD: ("seconds", "count"),
    Kind.REPLAY: (),
    Kind.SKEW: ("seconds",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    document: Mapping[str, Any]
    is_wild: bool = False
    """What a run comes to is not known beforehand: it only has to keep its promises."""
    runs: int = 1
    workers: int = 1
    partitions: int = 1
    order: int = 0
    """Decides everything that is nobody's decision: which process goes on, how long a call takes."""
    latency: float = 0.0
    dormant: bool = False
    """Runs leave the memory while they wait."""
    early_signal: bool = False
    skew: tuple[float, ...] = ()
    """Of the clocks of the first workers, in seconds."""
    poison: int = 0
    commands: tuple[str, ...] = ()
    """What operators ask of wild runs."""
    faults: tuple[Fault, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        about = (
            f"{self.runs} runs, {self.workers} workers, {self.partitions} partitions, order {self.order}, "
            f"latency {self.latency}, dormant {self.dormant}, early signal {self.early_signal}, skew {self.skew}, "
            f"poison {self.poison}, commands {self.commands}, {dict(self.options)}"
        )
        lines = [about]
        lines += [f"  {node}" for node in self.document["nodes"]]
        lines += [f"  {edge}" for edge in self.document["edges"]]
        lines += [f"  {fault}" for fault in self.faults]
        return "\n".join(lines)


def plan_of(choices: Choices) -> Plan:
    is_wild = choices.chance(15)
    document = wild(choices) if is_wild else sober(choices)
    skewed = choices.chance(20)
    return Plan(
        document=document,
        is_wild=is_wild,
        runs=choices.between(1, 2),
        workers=choices.between(1, 3),
        partitions=choices.between(1, 2),
        order=choices.below(1 << 30),
        latency=choices.of([0.0, 0.001, 0.02, 0.3]),
        dormant=choices.chance(40),
        early_signal=choices.chance(50),
        skew=tuple(choices.of([0.0, 3600.0, -3600.0, 7.0]) for _ in range(3)) if skewed else (),
        poison=choices.between(1, 3) if choices.chance(15) else 0,
        commands=_commands(choices) if is_wild else (),
        faults=_faults(choices),
        options={
            "announce_seconds": choices.of([0.0, 0.01]),
            "taken_seconds": choices.of([2.0, 0.0]),
            "handover_seconds": choices.of([10.0, 1.0]),
        },
    )


def _commands(choices: Choices) -> tuple[str, ...]:
    asked = []
    while len(asked) < 4 and choices.chance(50):
        asked.append(choices.of(["pause", "unpause", "retry", "signal", "rerun", "cancel"]))
    return tuple(asked)


def _faults(choices: Choices) -> tuple[Fault, ...]:
    faults = []
    while len(faults) < FAULTS_MOST and choices.chance(75):
        faults.append(
            Fault(
                kind=choices.of(MENU),
                calls=1 + choices.below(choices.of([8, 3, 40])),
                seconds=choices.of([0.05, 1.0, 12.0, 90.0]),
                moment=choices.of(MOMENTS),
                count=choices.between(1, 4),
            )
        )
    return tuple(faults)
