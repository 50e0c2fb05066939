"""Blueprints of every shape, small enough to run by the hundred, and what must have become of a run of each.

The result of a run of a shape is always the same, whatever happens to the workers: steps in the order of the
blueprint with their outputs, and how often each of them ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from support.documents import blueprint

SIGNAL: Final = "go"
ITEMS: Final = 5
ROUNDS: Final = 3
FAN: Final = tuple(f"f{number}" for number in range(6))
RETRY_MS: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shape:
    name: str
    document: Mapping[str, Any]
    outputs: Mapping[str, Any]
    """By node: the output of its latest step."""
    ends: Sequence[str]
    """The steps that complete, each once; those of child runs are the child's."""
    start: Mapping[str, Any] = field(default_factory=dict)
    """The input."""
    joins: Sequence[str] = ()
    """Steps that have several predecessors."""
    waits: bool = False
    """It goes on by the signal alone."""
    child: Shape | None = None


def _linear(name: str, *nodes: str) -> Shape:
    return Shape(
        name=name,
        document=blueprint(name, dict.fromkeys(nodes, "effect.step"), *pairwise(nodes)),
        outputs={node: node for node in nodes},
        ends=nodes,
    )


def _fanned(name: str, branches: Sequence[str]) -> Shape:
    nodes = {
        "begin": "effect.step",
        **dict.fromkeys(branches, "effect.step"),
        "join": {"uses": "effect.gather", "params": {"of": list(branches)}},
        "after": "effect.step",
    }
    edges = [edge for branch in branches for edge in (("begin", branch), (branch, "join"))]
    return Shape(
        name=name,
        document=blueprint(name, nodes, *edges, ("join", "after")),
        outputs={node: node for node in nodes} | {"join": list(branches)},
        ends=tuple(nodes),
        joins=("join",),
    )


LINEAR: Final = _linear("linear", "a", "b", "c", "d")
CHILD: Final = _linear("child", "first", "second", "last")
DIAMOND: Final = _fanned("diamond", ("left", "right"))
FANOUT: Final = _fanned("fanout", FAN)
ANY_JOIN: Final = Shape(
    name="anyjoin",
    document=blueprint(
        "anyjoin",
        {
            "begin": "effect.step",
            "left": "effect.step",
            "right": "effect.step",
            "join": {"uses": "effect.step", "config": {"joinStrategy": "any"}},
            "after": "effect.step",
        },
        ("begin", "left"),
        ("begin", "right"),
        ("left", "join"),
        ("right", "join"),
        ("join", "after"),
    ),
    outputs={node: node for node in ("begin", "left", "right", "join", "after")},
    ends=("begin", "left", "right", "join", "after"),
    joins=("join",),
)
LOOP: Final = Shape(
    name="loop",
    document=blueprint(
        "loop",
        {
            "begin": "effect.step",
            "again": {"uses": "loop-controller", "params": {"condition": "cel:round < rounds"}},
            "work": "effect.round",
            "after": "effect.step",
        },
        ("begin", "again"),
        ("again", "work", {"action": "continue"}),
        ("work", "again"),
        ("again", "after", {"action": "break"}),
    ),
    start={"round": 0, "rounds": ROUNDS},
    outputs={"begin": "begin", "work": ROUNDS, "after": "after"},
    ends=(
        "begin",
        *(f"again[{number}]" for number in range(1, ROUNDS + 2)),
        *(f"work[{number}]" for number in range(1, ROUNDS + 1)),
        "after",
    ),
)
MAP: Final = Shape(
    name="map",
    document=blueprint(
        "map",
        {"all": {"uses": "map", "inputs": "items", "params": {"uses": "effect.double"}}, "after": "effect.pass_on"},
        ("all", "after"),
    ),
    start={"items": list(range(ITEMS))},
    outputs={name: [2 * number for number in range(ITEMS)] for name in ("all", "after")},
    ends=(*(f"all[{number}]" for number in range(ITEMS)), "all", "after"),
)
SUBFLOW: Final = Shape(
    name="subflow",
    document=blueprint(
        "subflow",
        {
            "begin": "effect.step",
            "sub": {"uses": "subflow", "params": {"blueprintId": "child"}},
            "after": "effect.step",
        },
        ("begin", "sub"),
        ("sub", "after"),
    ),
    outputs={"begin": "begin", "sub": "last", "after": "after"},
    ends=("begin", "sub", "after"),
    child=CHILD,
)
WAIT: Final = Shape(
    name="wait",
    document=blueprint(
        "wait",
        {"begin": "effect.step", "asked": {"uses": "wait", "params": {"signal": SIGNAL}}, "after": "effect.pass_on"},
        ("begin", "asked"),
        ("asked", "after"),
    ),
    outputs={"begin": "begin", "asked": {"answer": 42}, "after": {"answer": 42}},
    ends=("begin", "asked", "after"),
    waits=True,
)
SLEEP: Final = Shape(
    name="sleep",
    document=blueprint(
        "sleep",
        {"begin": "effect.step", "nap": {"uses": "sleep", "params": {"duration": "2s"}}, "after": "effect.step"},
        ("begin", "nap"),
        ("nap", "after"),
    ),
    outputs={"begin": "begin", "after": "after"},
    ends=("begin", "nap", "after"),
)
RETRY: Final = Shape(
    name="retry",
    document=blueprint(
        "retry",
        {
            "flaky": {
                "uses": "effect.flaky",
                "params": {"fails": 2},
                "config": {"maxRetries": 3, "retryDelay": RETRY_MS},
            },
            "after": "effect.step",
        },
        ("flaky", "after"),
    ),
    outputs={"flaky": 3, "after": "after"},
    ends=("flaky", "after"),
)

CRASHED: Final = (LINEAR, DIAMOND, ANY_JOIN, LOOP, MAP, SUBFLOW, WAIT)
"""Those that are killed at every crash point."""
MIXED: Final = (*CRASHED, FANOUT, SLEEP, RETRY)
"""A load of all kinds."""
SHAPES: Final[Mapping[str, Shape]] = {shape.name: shape for shape in (*MIXED, CHILD)}
SIGNALLED: Final = {"answer": 42}


def signal_record(run_id: str) -> Mapping[str, Any]:
    told = {"name": SIGNAL, "payload": SIGNALLED, "command_id": "go"}
    return {"type": "command", "command": "signal", "run_id": run_id, **told}


def child_of(run_id: str, shape: Shape) -> str | None:
    """The id of the run that a run of the shape starts."""
    return f"{run_id}.sub" if shape.child is not None else None
