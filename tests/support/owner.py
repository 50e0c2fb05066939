"""One owner of a run as a process of its own: the engine on a real store, with a topic that is its own alone.

    python -m support.owner '{"folder": "...", "stop": "before-commit:b2"}'

Two of these on one store are two live owners of one partition, which is what a paused worker and its successor are. The
process stops itself (SIGSTOP) at a named commit, so a test knows to the line where it was when it lost the run. What it
has reached it writes into its folder, as files that are named after it.

The run: `begin`, three branches that end one after the other, a join, `last`. Every output and context value names the
owner that made it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from support.world import RealClock, blueprint, eventually

from famulus.adapters.memory import MemoryBus
from famulus.blueprint import parse_blueprint
from famulus.connect import open_joins, open_stores
from famulus.engine.engine import Engine, EngineOptions, Ports
from famulus.engine.records import start_record
from famulus.ids import BlueprintId, RunId
from famulus.nodes import NodeContext, Registry
from famulus.ports import Commit, RunStore
from famulus.settings import Settings

RUN_ID = RunId("two-owners")
PARTITIONS = 4
PATIENCE = 120.0
"""Of a test with one owner."""
LIFE_SECONDS = 600.0
"""Longer than any test: what is left over does not stay for ever."""
BRANCHES = ("b1", "b2", "b3")
BLUEPRINT = blueprint(
    "two-owners",
    {"begin": "step", "b1": "step", "b2": "after_b1", "b3": "gated", "join": "step", "last": "step"},
    *((source, target) for branch in BRANCHES for source, target in (("begin", branch), (branch, "join"))),
    ("join", "last"),
)


class StoppingStore:
    """The store, seen by a process that stops itself before or after one of its commits."""

    def __init__(self, store: RunStore, point: str) -> None:
        self._store = store
        self._moment, _, self._step = point.partition(":")
        self._stopped = not point

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, commit: Commit) -> None:
        here = not self._stopped and (commit.first if self._step == "birth" else self._has_outcome(commit))
        if here and self._moment == "before-commit":
            self._stop()
        await self._store.commit(commit)
        if here and self._moment == "after-commit":
            self._stop()

    def _has_outcome(self, commit: Commit) -> bool:
        return any(row.step_id == self._step and row.status == "completed" for row in commit.steps)

    def _stop(self) -> None:
        self._stopped = True
        os.kill(os.getpid(), signal.SIGSTOP)


def registry(owner: str, folder: Path) -> Registry:
    async def step(ctx: NodeContext) -> str:
        await ctx.set("shared", f"{ctx.node_id} by {owner}")
        await ctx.set(f"by_{owner}_{ctx.node_id}", 1)
        await ctx.set(f"{ctx.node_id}_recorded", 1)
        return owner

    async def after_b1(ctx: NodeContext) -> str:
        await eventually(lambda: ctx.has("b1_recorded"), within=LIFE_SECONDS)
        return await step(ctx)

    async def gated(ctx: NodeContext) -> str:
        (folder / f"{owner}.at-gate").touch()
        await eventually((folder / f"{owner}.gate").exists, within=LIFE_SECONDS)
        await eventually(lambda: ctx.has("b2_recorded"), within=LIFE_SECONDS)
        return await step(ctx)

    made = Registry()
    for name, function in {"step": step, "after_b1": after_b1, "gated": gated}.items():
        made.register(name, function)
    return made


async def own(settings: Settings, folder: Path, stop: str) -> None:
    """Take the partition over, with the start record delivered once more, and own it until the process is killed."""
    owner = settings.worker
    bus = MemoryBus(partitions=PARTITIONS)
    async with open_stores(settings) as stores, open_joins(settings) as joins:
        ports = Ports(
            store=StoppingStore(stores.runs, stop),  # type: ignore[arg-type]  # the rest is handed through
            blueprints=stores.blueprints,
            epochs=stores.epochs,
            joins=joins,
            bus=bus,
            clock=RealClock(),
            hooks=stores.hooks,
            timers=stores.timers,
        )
        engine = Engine(ports, registry(owner, folder), EngineOptions(worker=owner))
        await engine.catalog.register(parse_blueprint(BLUEPRINT))
        await eventually((folder / f"{owner}.go").exists, within=LIFE_SECONDS)
        engine.assigned(range(PARTITIONS))
        await bus.send_job(RUN_ID, start_record(RUN_ID, BlueprintId("two-owners"), input={"given": 1}))
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(engine, bus))
            await eventually(lambda: engine.runs.has_ended(RUN_ID), within=LIFE_SECONDS)
            (folder / f"{owner}.ended").touch()


async def _pump(engine: Engine, bus: MemoryBus) -> None:
    async with asyncio.TaskGroup() as group:
        async for record in bus.subscribe():
            pending = engine.handle(record)
            if pending is not None:
                group.create_task(pending)  # type: ignore[arg-type]  # a coroutine, where it is not None


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    asyncio.run(own(Settings.load(), Path(given["folder"]), given["stop"]))
