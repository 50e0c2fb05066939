"""The workflows of the benchmark: the same as those of the reference's, so that figures can be compared.

    python bench/blueprints.py FOLDER

writes them as JSON files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

JsonObject = dict[str, Any]


def chain(name: str, length: int, *, uses: str = "noop") -> JsonObject:
    """Nodes one after the other: nothing can run in parallel."""
    return {
        "id": name,
        "nodes": [{"id": f"n{number}", "uses": uses} for number in range(length)],
        "edges": [{"source": f"n{number}", "target": f"n{number + 1}"} for number in range(length - 1)],
    }


def fan(name: str, width: int) -> JsonObject:
    """One node, then many at the same time, then one that waits for all of them."""
    branches = [f"f{number}" for number in range(width)]
    return {
        "id": name,
        "nodes": [
            {"id": "start", "uses": "noop"},
            *({"id": branch, "uses": "noop"} for branch in branches),
            {"id": "join", "uses": "noop", "config": {"joinStrategy": "all"}},
        ],
        "edges": [
            *({"source": "start", "target": branch} for branch in branches),
            *({"source": branch, "target": "join"} for branch in branches),
        ],
    }


def diamond(name: str) -> JsonObject:
    """A condition takes one of two branches, so the join asks for any."""
    return {
        "id": name,
        "nodes": [
            {"id": "start", "uses": "decide"},
            {"id": "left", "uses": "noop"},
            {"id": "right", "uses": "noop"},
            {"id": "join", "uses": "noop", "config": {"joinStrategy": "any"}},
        ],
        "edges": [
            {"source": "start", "target": "left", "condition": "result.output.yes"},
            {"source": "start", "target": "right", "condition": "result.output.no"},
            {"source": "left", "target": "join"},
            {"source": "right", "target": "join"},
        ],
    }


def mapped(name: str) -> JsonObject:
    """As many items as the input has."""
    return {
        "id": name,
        "nodes": [{"id": "all", "uses": "map", "inputs": "items", "params": {"uses": "noop"}}],
        "edges": [],
    }


def loop(name: str) -> JsonObject:
    """As many rounds as `left` of the input says."""
    return {
        "id": name,
        "nodes": [
            {"id": "begin", "uses": "noop"},
            {"id": "again", "uses": "loop-controller", "params": {"condition": "left"}},
            {"id": "work", "uses": "round"},
        ],
        "edges": [
            {"source": "begin", "target": "again"},
            {"source": "again", "target": "work", "action": "continue"},
            {"source": "work", "target": "again"},
        ],
    }


def nest(name: str) -> JsonObject:
    """A blueprint that runs itself, as deep as `depth` of the input says."""
    child = {"blueprintId": name, "inputs": {"depth": "depth"}}
    return {
        "id": name,
        "nodes": [{"id": "down", "uses": "descend"}, {"id": "child", "uses": "subflow", "params": child}],
        "edges": [{"source": "down", "target": "child", "action": "deeper"}],
    }


def waiting(name: str) -> JsonObject:
    """A node, and then nothing before somebody says so."""
    return {
        "id": name,
        "nodes": [{"id": "ask", "uses": "noop"}, {"id": "answer", "uses": "wait"}],
        "edges": [{"source": "ask", "target": "answer"}],
    }


def sleeping(name: str, until: float) -> JsonObject:
    """Nothing before a time, in seconds since the Unix epoch."""
    return {"id": name, "nodes": [{"id": "nap", "uses": "sleep", "params": {"until": until}}], "edges": []}


BLUEPRINTS: Final = {
    "chain10": chain("chain10", 10),
    "fan10": fan("fan10", 10),
    "diamond": diamond("diamond"),
    "fan100": fan("fan100", 100),
    "bigchain10": chain("bigchain10", 10, uses="big50k"),
    "map": mapped("map"),
    "loop": loop("loop"),
    "nest": nest("nest"),
    "waiting": waiting("waiting"),
}
NODES_OF_A_RUN: Final = {"chain10": 10, "fan10": 12, "diamond": 3, "fan100": 102, "bigchain10": 10}
"""How many nodes a run executes; of the diamond's two branches it takes one."""


def write_blueprints(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in BLUEPRINTS.items():
        (folder / f"{name}.json").write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    write_blueprints(Path(sys.argv[1]))
