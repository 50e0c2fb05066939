"""The engine with one protection taken away, each as a context in which it is gone.

Nothing of this is in the product: every mutant changes functions of it from outside, for as long as a test runs.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from simulation import world as simulated
from simulation.network import Port

from famulus.adapters.faust.intake import Intake
from famulus.adapters.memory import MemoryJoins
from famulus.adapters.memory import runs as memory_runs
from famulus.blueprint import Graph
from famulus.engine import handling, seals, session
from famulus.engine.batch import Batch
from famulus.engine.catalog import Catalog
from famulus.engine.engine import Engine
from famulus.engine.execution import Executor
from famulus.engine.joins import JoinDesk
from famulus.engine.recovery import Recovery
from famulus.engine.rows import context_row
from famulus.engine.slots import Slots
from famulus.engine.tenure import Tenure
from famulus.errors import JoinsUnavailableError
from famulus.flow.advance import advance
from famulus.flow.arrivals import Arrivals
from famulus.flow.decisions import Decision
from famulus.flow.facts import Fact
from famulus.flow.state import RunState
from famulus.ids import BlueprintId, Digest, NodeId, StepId
from famulus.nodes.context import NodeInfo
from famulus.ports import Clock, Commit, JoinKey, Record, RunBirth

Change = Callable[[pytest.MonkeyPatch], None]


@contextmanager
def changed(change: Change) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        change(patch)
        yield


# -- P1: nothing is lost ---------------------------------------------------------------------------------------------


def acknowledges_before_anything_is_durable(patch: pytest.MonkeyPatch) -> None:
    handle = Engine.handle
    kept: list[Any] = []  # asyncio itself keeps no task alive

    def handled(self: Engine, record: Record) -> Awaitable[None] | None:
        pending = handle(self, record)
        if pending is not None:
            kept.append(asyncio.ensure_future(pending))
        return None

    patch.setattr(Engine, "handle", handled)


def looks_after_no_open_runs(patch: pytest.MonkeyPatch) -> None:
    async def nothing(self: Recovery) -> int:
        await self._runs.tenure.ready()
        return 0

    patch.setattr(Recovery, "look_after_open_runs", nothing)


# -- P2: one outcome, and nothing of a worker that has lost the run --------------------------------------------------


def ignores_stamps(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(memory_runs, "_newer", lambda _known, offered: offered)


def keeps_one_row_for_all_owners(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(memory_runs, "epoch_of", lambda _stamp: 0)


def ignores_seals(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(seals, "_counts", lambda _stamp, _head: True)


def writes_without_a_look_at_the_group(patch: pytest.MonkeyPatch) -> None:
    async def at_once(self: Tenure, _clock: Clock) -> None:
        self.check()

    patch.setattr(Tenure, "confirmed", at_once)


# -- P3: a stable key ------------------------------------------------------------------------------------------------


def gives_each_call_a_key_of_its_own(patch: pytest.MonkeyPatch) -> None:
    numbers = count()
    patch.setattr(
        NodeInfo,
        "idempotency_key",
        property(lambda self: f"{self.run_id}/{self.step_id}/{next(numbers)}"),
        raising=True,
    )


# -- P4: a join starts once ------------------------------------------------------------------------------------------


def counts_joins_with_incr(patch: pytest.MonkeyPatch) -> None:
    """A number in Redis that each arrival makes larger, and that decides."""
    counters: Counter[tuple[int, JoinKey, str]] = Counter()

    async def incr(self: MemoryJoins, key: JoinKey, arrivals: Mapping[NodeId, str]) -> Arrivals:
        for kind in arrivals.values():
            counters[id(self), key, str(kind)] += 1
        return Arrivals(**{kind: counters[id(self), key, kind] for kind in ("fired", "dead", "failed")})

    patch.setattr(MemoryJoins, "arrive", incr)
    believes_redis(patch)


# -- P5: all of an outcome or nothing --------------------------------------------------------------------------------


def commits_in_two_halves(patch: pytest.MonkeyPatch) -> None:
    class InTwo(Port):
        def __getattr__(self, method: str) -> Any:
            made = super().__getattr__(method)
            if (self._name, method) != ("store", "commit"):
                return made

            async def commit(whole: Commit) -> None:
                await made(replace(whole, context=(), events=()))
                await made(whole)

            vars(self)[method] = commit
            return commit

    patch.setattr(simulated, "Port", InTwo)


# -- P6: Redis is not needed -----------------------------------------------------------------------------------------


def believes_redis(patch: pytest.MonkeyPatch) -> None:
    """What Redis counts decides, and nobody looks at the rows."""

    async def counted(self: JoinDesk, run: RunState, step_id: StepId, arrivals: Mapping[NodeId, Any]) -> Arrivals:
        progress = run.joins.get(step_id)
        if progress is None:
            return Arrivals()
        if not arrivals or len(run.predecessors(run.join_nodes[step_id])) < 2:
            return progress.counts
        try:
            return await self._joins.arrive(JoinKey(run.run_id, step_id), arrivals)
        except JoinsUnavailableError:
            return Arrivals()

    patch.setattr(JoinDesk, "_count", counted)


# -- P7: a poison record blocks nothing ------------------------------------------------------------------------------


def raises_for_a_record_that_it_cannot_read(patch: pytest.MonkeyPatch) -> None:
    async def bury(_record: Record, error: Exception, **_: object) -> None:
        raise error

    patch.setattr(handling, "bury", bury)


# -- P8: nothing waits for a slow step -------------------------------------------------------------------------------


def runs_one_step_at_a_time(patch: pytest.MonkeyPatch) -> None:
    init = Slots.__init__
    patch.setattr(
        Slots, "__init__", lambda self, *, in_all, per_run: init(self, in_all=1, per_run=per_run * bool(in_all))
    )


def handles_one_record_at_a_time(patch: pytest.MonkeyPatch) -> None:
    init = Intake.__init__

    def narrow(self: Intake, handler: Any, **more: Any) -> None:
        init(self, handler, **{**more, "concurrency": 1})

    patch.setattr(Intake, "__init__", narrow)


# -- P9: a run keeps its blueprint, a job waits for who has its code -------------------------------------------------


def takes_the_newest_version_for_all_runs(patch: pytest.MonkeyPatch) -> None:
    async def newest(self: Catalog, _digest: Digest, *, blueprint_id: BlueprintId, version: str) -> Graph:
        del version
        return await self._newest(blueprint_id)

    patch.setattr(Catalog, "pinned", newest)


def fails_what_it_has_no_code_for(patch: pytest.MonkeyPatch) -> None:
    init = Executor.__init__

    def strict(self: Executor, *given: Any, **more: Any) -> None:
        init(self, *given, **{**more, "park_missing": False})

    patch.setattr(Executor, "__init__", strict)


# -- P10: a step costs the same in any run ---------------------------------------------------------------------------


def looks_at_all_of_a_run_for_each_fact(patch: pytest.MonkeyPatch) -> None:
    def looking(run: RunState, fact: Fact) -> list[Decision]:
        for node in run.graph.blueprint.nodes:
            run.is_untouched(node.id)
        return advance(run, fact)

    patch.setattr(session, "advance", looking)


def stores_the_whole_context_with_each_outcome(patch: pytest.MonkeyPatch) -> None:
    made = Batch.commit

    def whole(self: Batch, birth: RunBirth, run: RunState, **more: Any) -> Commit:
        commit = made(self, birth, run, **more)
        written = {row.key for row in commit.context}
        rest = [context_row(key, run.context[key], 0, commit.stamp) for key in run.context if key not in written]
        return replace(commit, context=(*commit.context, *rest))

    patch.setattr(Batch, "commit", whole)
