"""P10: a step costs the same in a run of many steps as in one of few. Counted, so that no neighbour disturbs it.

Counted are calls, of Python and of C, and what is stored. Time, which is what one feels, is measured by
`bench/constructs.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import pytest
from mutations import mutants
from mutations.mutants import changed
from support.documents import blueprint
from support.world import World, eventually

from famulus.adapters.memory import MemoryRunStore
from famulus.ids import RunId
from famulus.nodes import NodeContext
from famulus.ports import Commit

FEW, MANY, VERY_MANY = 50, 500, 10_000
MORE_AT_MOST = 1.25
"""Times; a cost that grew with the run would be ten times as high. Batches of several steps are what varies."""
LOOKS_SECONDS = 0.1
ENDS_SECONDS = 240.0


@dataclass
class Cost:
    steps: int = 0
    calls: int = 0
    stored: int = 0
    """Rows and the bytes of what they hold."""

    def of_a_step(self) -> tuple[float, float]:
        return self.calls / self.steps, self.stored / self.steps


class CountingStore(MemoryRunStore):
    def __init__(self, cost: Cost) -> None:
        super().__init__()
        self._cost = cost

    async def commit(self, commit: Commit) -> None:
        rows = [*commit.steps, *commit.context, *commit.events]
        self._cost.stored += sum(100 + len(repr(row)) for row in rows)
        await super().commit(commit)


@contextmanager
def counted(cost: Cost) -> Iterator[None]:
    """Calls of this thread, where the loop runs and the nodes do."""

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        if event in ("call", "c_call"):
            cost.calls += 1

    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(None)


def chain(size: int) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    nodes = {f"n{number}": "write" for number in range(size)}
    return blueprint("chain", nodes, *((f"n{number}", f"n{number + 1}") for number in range(size - 1))), {}


def fan(size: int) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    nodes = {"begin": "write", **{f"b{number}": "write" for number in range(size)}, "join": "write"}
    edges = [edge for number in range(size) for edge in (("begin", f"b{number}"), (f"b{number}", "join"))]
    return blueprint("fan", nodes, *edges), {}


def loop(size: int) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    again = {"uses": "loop-controller", "params": {"condition": "left"}}
    edges = [("begin", "again"), ("again", "work", {"action": "continue"}), ("work", "again")]
    return blueprint("loop", {"begin": "write", "again": again, "work": "round"}, *edges), {"left": size}


def items(size: int) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    node = {"uses": "map", "inputs": "items", "params": {"uses": "one"}}
    return blueprint("items", {"all": node}), {"items": list(range(size))}


async def write(ctx: NodeContext) -> str:
    await ctx.set(f"from-{ctx.node_id}", "something")
    return "something"


async def round_(ctx: NodeContext) -> None:
    await ctx.set("left", (await ctx.get("left")) - 1)


async def one() -> int:
    return 1


async def cost_of(shape: Any, size: int) -> Cost:
    document, given = shape(size)
    cost = Cost()
    world = World({"write": write, "round": round_, "one": one})
    world.store = CountingStore(cost)
    world.timers = world.store.timers
    world.is_audited = False
    async with world:
        await world.push(document)
        with counted(cost):
            await world.start(document["id"], "r", dict(given))
            await eventually(
                lambda: world.engines[0].runs.has_ended(RunId("r")), within=ENDS_SECONDS, every=LOOKS_SECONDS
            )
        view = await world.reader.show(RunId("r"))
        assert view.summary.status == "completed"
        cost.steps = size
    return cost


async def growth(shape: Any) -> tuple[float, float]:
    await cost_of(shape, FEW)  # what is only done once in a process
    few, many = (await cost_of(shape, FEW)).of_a_step(), (await cost_of(shape, MANY)).of_a_step()
    return many[0] / few[0], many[1] / few[1]


@pytest.mark.parametrize("shape", [chain, fan, loop, items])
async def test_a_step_costs_as_much_in_a_run_of_many_as_in_one_of_few(shape: Any) -> None:
    calls, stored = await growth(shape)

    assert calls < MORE_AT_MOST
    assert stored < MORE_AT_MOST


@pytest.mark.slow
@pytest.mark.parametrize("shape", [chain, items])
async def test_a_run_of_ten_thousand_steps_completes_at_the_same_cost_a_step(shape: Any) -> None:
    await cost_of(shape, FEW)  # what is only done once in a process

    few, very_many = (await cost_of(shape, FEW)).of_a_step(), (await cost_of(shape, VERY_MANY)).of_a_step()

    assert very_many[0] / few[0] < MORE_AT_MOST
    assert very_many[1] / few[1] < MORE_AT_MOST


async def test_an_engine_that_looks_at_the_whole_run_for_each_step_is_noticed() -> None:
    with changed(mutants.looks_at_all_of_a_run_for_each_fact):
        calls, _ = await growth(chain)

    assert calls > MORE_AT_MOST


async def test_an_engine_that_stores_the_whole_context_with_each_step_is_noticed() -> None:
    with changed(mutants.stores_the_whole_context_with_each_outcome):
        _, stored = await growth(chain)

    assert stored > MORE_AT_MOST
