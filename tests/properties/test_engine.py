"""Random workflows on whole engines, with a plan of faults: the same end as without them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.drawing import Workflow, expected_end, handled, workflows
from support.faults import FaultyWorld, Machine
from support.world import eventually, statuses

from famulus.engine.engine import Engine
from famulus.errors import BusUnavailableError, NonRetryableError, RetryableError, StoreUnavailableError
from famulus.ids import RunId
from famulus.nodes import NodeContext, Result

RUN_ID = "r"
CALLS = {
    "commit": StoreUnavailableError,
    "load": StoreUnavailableError,
    "send_job": BusUnavailableError,
    "send_event": BusUnavailableError,
}


@dataclass(frozen=True)
class Plan:
    crashes: list[int]
    """After so many calls to its servers each owner dies."""
    rebalances: list[int]
    """After so many calls each owner loses its partitions and gets them back."""
    failing: list[tuple[str, int, bool]]
    """Name, number and whether the call is made all the same."""
    doubled: bool
    redis_emptied: bool
    turns: int
    """Of the event loop, that a call takes to its server and back."""
    announce_seconds: float


plans = st.builds(
    Plan,
    crashes=st.lists(st.integers(1, 25), max_size=3),
    rebalances=st.lists(st.integers(1, 25), max_size=2),
    failing=st.lists(st.tuples(st.sampled_from(sorted(CALLS)), st.integers(1, 6), st.booleans()), max_size=3),
    doubled=st.booleans(),
    redis_emptied=st.booleans(),
    turns=st.integers(0, 5),
    announce_seconds=st.sampled_from([0.0, 0.002]),
)


class Player:
    """The nodes of a workflow, and the faults that happen to whoever runs them."""

    def __init__(self, workflow: Workflow, plan: Plan) -> None:
        self.workflow = workflow
        self.plan = plan
        self.keys: dict[str, set[str]] = {}
        self.world = FaultyWorld(
            dict.fromkeys(workflow.nodes, self.node),
            doubled=plan.doubled,
            announce_seconds=plan.announce_seconds,
        )

    async def node(self, ctx: NodeContext) -> Result:
        behaviour = self.workflow.behaviours[ctx.node_id]
        self.keys.setdefault(ctx.node_id, set()).add(ctx.idempotency_key)
        await asyncio.sleep(0)
        for key, value in behaviour.changes.items():
            await ctx.set(key, value)
        if ctx.attempt <= behaviour.failures:
            raise NonRetryableError("fatal") if behaviour.fatal else ValueError("not yet")
        return Result(behaviour.output, action=behaviour.action)

    async def play(self) -> None:
        world, plan = self.world, self.plan
        async with world:
            self.arm(world.machine)
            await world.push(self.workflow.document)
            await world.start("drawn", RUN_ID, dict(self.workflow.initial))
            owner = world.engines[0]
            for calls in plan.rebalances:
                await self.reached(owner, calls)
                world.rebalance({owner: world.partitions})
            for number, calls in enumerate(plan.crashes):
                await self.reached(owner, calls)
                await world.crash(owner)
                if plan.redis_emptied:
                    world.joins.clear()
                owner = world.engine(f"w{number + 2}")
                self.arm(world.machines[owner])
                world.assign(owner, world.partitions)
            await self.check()

    def arm(self, machine: Machine) -> None:
        plan = self.plan

        def on_call(name: str) -> None:
            for failing, nth, is_made in plan.failing:
                if name == failing and machine.calls.count(name) == nth:
                    errors: Any = machine.after if is_made else machine.before
                    errors[name].append(CALLS[name]("away"))
            if plan.redis_emptied and name == "arrive":
                self.world.joins.clear()

        machine.on_call = on_call
        machine.turns = plan.turns

    async def reached(self, owner: Engine, calls: int) -> None:
        machine = self.world.machines[owner]
        so_far = len(machine.calls)

        async def is_reached() -> bool:
            heads = await self.world.store.heads([RunId(RUN_ID)])
            return len(machine.calls) >= so_far + calls or any(head.ended_at for _, head in heads.values())

        await eventually(is_reached, every=0)

    async def check(self) -> None:
        world, workflow = self.world, self.workflow
        view = await world.ended(RUN_ID)
        expected, status = expected_end(workflow)
        completed = {node_id for node_id, ended in expected.items() if ended == "completed"} - handled(workflow)

        assert (statuses(view), view.summary.status) == (expected, status)
        assert await world.completions(RUN_ID) == dict.fromkeys(completed, 1)
        events = await world.events_of(RUN_ID)
        assert [event["seq"] for event in events] == sorted({event["seq"] for event in events})
        assert [event["type"] for event in events].count(f"run.{status}") == 1
        for step in view.steps:
            if step.node_id in completed:
                assert step.output == workflow.behaviours[step.node_id].output
                assert step.attempt == workflow.behaviours[step.node_id].failures + 1
        own = {f"by_{node_id}": changes for node_id, changes in self.changes(expected).items() if changes is not None}
        assert {key: view.context[key] for key in view.context if key.startswith("by_")} == own
        assert all(len(keys) == 1 for keys in self.keys.values())
        assert self.keys.keys() == {node_id for node_id, ended in expected.items() if ended != "skipped"}
        assert world.bus.dead_letters == []

    def changes(self, expected: dict[str, str]) -> dict[str, Any]:
        """What each node that ran has written under its own key."""
        return {
            node_id: self.workflow.behaviours[node_id].changes.get(f"by_{node_id}")
            for node_id, ended in expected.items()
            if ended in ("completed", "failed")
        }


async def play(workflow: Workflow, plan: Plan) -> None:
    try:
        await Player(workflow, plan).play()
    except RetryableError as error:  # nothing of this may come to the surface
        raise AssertionError("an absent server was not waited for") from error


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(workflows(most=6), plans)
def test_faults_change_no_result(workflow: Workflow, plan: Plan) -> None:
    asyncio.run(play(workflow, plan))


@settings(max_examples=40, deadline=None)
@given(workflows(most=6))
def test_without_faults_a_run_ends_as_the_interpreter_says_and_runs_every_step_once(workflow: Workflow) -> None:
    nothing = Plan(
        crashes=[], rebalances=[], failing=[], doubled=False, redis_emptied=False, turns=0, announce_seconds=0.0
    )

    asyncio.run(play(workflow, nothing))
