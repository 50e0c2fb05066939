"""Runs of every construct that live through crashes: what they are made of, and the story of what happens to them.

    start ─> all in the middle ─> kill -9 of both workers ─> what was waited for comes due, signals are sent
          ─> two new workers ─> gates open ─> on their way ─> FLUSHALL, kill -9 of one ─> all have ended

Gates hold loops, batches and compensations half way, so that the first crash finds each where it is meant to. The
second one finds them at work: other gates hold the rest of them until then.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from support.documents import blueprint
from support.installation import PARTITIONS, Installation
from support.servers import settings_of
from support.world import eventually

from famulus.adapters.memory.murmur2 import partition_for
from famulus.client import Famulus
from famulus.client.run import Run
from famulus.engine.reading import EventView, RunView, StepView, is_ended

COPIES: Final = PARTITIONS // 2 + 1
"""Runs of each construct, each on another partition: so each of two workers has one of them."""
ITEMS: Final = 200
FEW_ITEMS: Final = 40
ROUNDS: Final = 50
HALF_ROUNDS: Final = ROUNDS // 2
DELAY_SECONDS: Final = 20
"""Of what falls due while no worker lives: long enough for all of it to be waited for by then."""
PATIENCE: Final = 180.0
SIGNAL: Final = "paid"


def _batch(node: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"uses": "map", "inputs": "items", "params": {**node, **more}}


def _gated(items: int) -> dict[str, Any]:
    """Its second half waits at a gate, its last part at another one."""
    params = {"from": items // 2, "rest": items * 7 // 8}
    return {"uses": "tests.at_gate", "params": params, "maxConcurrency": 4}


BLUEPRINTS: Final[tuple[Mapping[str, Any], ...]] = (
    blueprint(
        "retry",
        {
            "flaky": {
                "uses": "tests.flaky",
                "params": {"fails": 1},
                "config": {"maxRetries": 2, "retryDelay": DELAY_SECONDS * 1000},
            },
            "after": "tests.quick",
        },
        ("flaky", "after"),
    ),
    blueprint(
        "sleep",
        {"nap": {"uses": "sleep", "params": {"duration": f"{DELAY_SECONDS}s"}}, "after": "tests.quick"},
        ("nap", "after"),
    ),
    blueprint(
        "wait", {"paid": {"uses": "wait", "params": {"signal": SIGNAL}}, "after": "tests.quick"}, ("paid", "after")
    ),
    blueprint("map", {"all": _batch(_gated(ITEMS)), "after": "tests.quick"}, ("all", "after")),
    blueprint("spread", {"all": _batch(_gated(FEW_ITEMS), spread=True), "after": "tests.quick"}, ("all", "after")),
    blueprint(
        "scatter",
        {
            "all": {
                "uses": "batch-scatter",
                "inputs": "items",
                "params": {"workerUsesKey": "tests.at_gate", "gatherNodeId": "gather", "chunkSize": 4},
            },
            "gather": {"uses": "batch-gather", "params": {"gatherNodeId": "gather"}},
            "after": "tests.quick",
        },
        ("all", "gather"),
        ("gather", "after"),
    ),
    blueprint(
        "loop",
        {
            "begin": "tests.quick",
            "again": {"uses": "loop-controller", "params": {"condition": "cel:round < rounds"}},
            "work": {"uses": "tests.round", "params": {"half_at": HALF_ROUNDS, "rest_at": ROUNDS * 7 // 8}},
            "after": "tests.quick",
        },
        ("begin", "again"),
        ("again", "work", {"action": "continue"}),
        ("work", "again"),
        ("again", "after", {"action": "break"}),
    ),
    blueprint(
        "subflow",
        {"child": {"uses": "subflow", "params": {"blueprintId": "child"}}, "after": "tests.quick"},
        ("child", "after"),
    ),
    blueprint(
        "child",
        {
            "waits": {"uses": "wait", "params": {"signal": SIGNAL}},
            "runs": {"uses": "tests.gated", "params": {"gate": "child"}},
            "last": "tests.quick",
        },
        ("waits", "runs"),
        ("runs", "last"),
    ),
    blueprint(
        "compensation",
        {
            **{name: {"uses": "tests.quick", "config": {"compensate": f"undo-{name}"}} for name in ("a", "b", "c")},
            "bad": "tests.raising",
            "undo-a": "tests.quick",
            "undo-b": {"uses": "tests.gated", "params": {"gate": "half"}},
            "undo-c": "tests.quick",
        },
        ("a", "b"),
        ("b", "c"),
        ("c", "bad"),
    ),
    blueprint(
        "deadline",
        {
            "fast": "tests.quick",
            "slow": "wait",
            "join": {
                "uses": "tests.quick",
                "config": {"joinDeadline": DELAY_SECONDS * 1000, "joinLosers": "cancel"},
            },
        },
        ("fast", "join"),
        ("slow", "join"),
    ),
)
TIMED: Final = ("retry", "sleep", "deadline")
UNTIMED: Final = ("wait", "map", "spread", "scatter", "loop", "subflow", "compensation")
INPUTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "map": {"items": list(range(ITEMS))},
    "spread": {"items": list(range(FEW_ITEMS))},
    "scatter": {"items": list(range(FEW_ITEMS))},
    "loop": {"round": 0, "rounds": ROUNDS},
}
IN_THE_MIDDLE: Final[Mapping[str, Mapping[str, str]]] = {
    "retry": {"flaky": "retrying"},
    "sleep": {"nap": "sleeping"},
    "wait": {"paid": "waiting"},
    "map": {"all": "waiting"},
    "spread": {"all": "waiting"},
    "scatter": {"all": "completed"},
    "loop": {"begin": "completed"},
    "subflow": {"child": "waiting"},
    "child": {"waits": "waiting"},
    "compensation": {"undo-c": "completed"},
    "deadline": {"fast": "completed", "slow": "waiting"},
}
"""Steps that every run of a construct has when it is half way."""
HALF_DONE: Final = {"map": ITEMS // 2, "spread": FEW_ITEMS // 2, "scatter": FEW_ITEMS // 2}
"""Items that have ended by then."""
REACHED: Final = {"loop": f"work[{HALF_ROUNDS}]", "compensation": "undo-b~b"}
"""Steps that wait at a gate by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What anybody is shown of a run."""

    view: RunView
    recorded: Sequence[StepView]
    events: Sequence[EventView]

    @property
    def status(self) -> str:
        return self.view.summary.status

    def step(self, step_id: str) -> StepView:
        return next(step for step in self.recorded if step.step_id == step_id)

    def ends(self) -> list[str]:
        """The steps that came to their end, in this order, as the events tell."""
        ends = ("step.completed", "step.failed", "step.cancelled")
        return [event.data["step"] for event in self.events if event.type in ends]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What was left of all runs after the crashes."""

    runs: Mapping[str, Sequence[Seen]]
    """Of each construct, children included."""
    executed: Counter[tuple[str, str]]
    """How often the nodes were called, by run and step."""
    executed_before: Counter[tuple[str, str]]
    """How often until the first crash, of steps that were recorded as completed by then."""
    owners: int
    """The most that a run may have had."""
    down: tuple[float, float]
    """From when to when no worker lived."""
    problems: Sequence[str]
    """Of the workers that lived to the end."""


@dataclass
class Teller:
    """Makes it happen."""

    installation: Installation
    redis_url: str
    famulus: Famulus
    run_ids: Mapping[str, Sequence[str]]

    async def tell(self) -> Story:
        workers = await self._start_workers()
        epoch = await self.installation.take_epoch()
        await self._start(UNTIMED)
        await self._are_in_the_middle((*UNTIMED, "child"))
        before = await self._completed((*UNTIMED, "child"))
        await self._start(TIMED)
        await self._are_in_the_middle(TIMED)
        due = await self._due()

        for worker in workers:
            worker.kill()
        killed_at = time.time()
        assert killed_at < min(due), "it came too late: something was due already"
        executed_before = Counter({step: count for step, count in self._executed().items() if step in before})
        await asyncio.gather(*(self._signal(run_id) for run_id in (*self.run_ids["wait"], *self.run_ids["child"])))
        await eventually(lambda: time.time() > max(due), within=PATIENCE, every=0.05)
        down = (killed_at, time.time())

        victim, survivor = await self._start_workers()
        await self._reach([(run_id, "runs") for run_id in self.run_ids["child"]])
        self.installation.open_gate("half")
        await self._reach(self._further())
        async with Redis.from_url(self.redis_url) as redis:
            await redis.flushall()
        victim.kill()
        held = [*self.run_ids["map"], *self.run_ids["loop"]]
        assert await self.installation.unfinished(held) == len(held)
        self.installation.open_gate("rest")
        self.installation.open_gate("child")
        every = [run_id for run_ids in self.run_ids.values() for run_id in run_ids]
        async with self.installation.records() as auditor:
            await auditor.ended(every)
            await auditor.all_agrees()
        runs = {
            construct: [await self._see(self.famulus.run(run_id)) for run_id in run_ids]
            for construct, run_ids in self.run_ids.items()
        }
        return Story(
            runs=runs,
            executed=self._executed(),
            executed_before=executed_before,
            owners=await self.installation.take_epoch() - epoch,
            down=down,
            problems=survivor.problems(),
        )

    async def _start_workers(self) -> list[Any]:
        return await self.installation.start_workers(
            2,
            REDIS_URL=self.redis_url,
            # Gates hold many steps at a time, and none of them may keep others from their turn.
            FAMULUS_CONCURRENCY="256",
            FAMULUS_TIMER_IN_MEMORY_SECONDS=str(DELAY_SECONDS),
        )

    async def _start(self, constructs: Iterable[str]) -> None:
        await asyncio.gather(
            *(
                self.famulus.start(construct, INPUTS.get(construct), run_id=run_id)
                for construct in constructs
                for run_id in self.run_ids[construct]
            )
        )

    async def _signal(self, run_id: str) -> None:
        await self.famulus.run(run_id).signal(SIGNAL, {"paid": run_id})

    # -- where they are ------------------------------------------------------------------------------------------------

    async def _are_in_the_middle(self, constructs: Sequence[str]) -> None:
        await asyncio.gather(
            *(self._is_in_the_middle(each, run_id) for each in constructs for run_id in self.run_ids[each])
        )
        await self._reach(
            (run_id, REACHED[each]) for each in constructs if each in REACHED for run_id in self.run_ids[each]
        )

    async def _is_in_the_middle(self, construct: str, run_id: str) -> None:
        async def is_there() -> bool:
            if run_id not in await self._known([run_id]):
                return False
            view = await self.famulus.run(run_id).view()
            steps = {step.node_id: step for step in view.steps}
            done = (steps["all"].items or {}).get("done") if construct in HALF_DONE else None
            return done == HALF_DONE.get(construct) and all(
                steps[node_id].status == status for node_id, status in IN_THE_MIDDLE[construct].items()
            )

        try:
            await eventually(is_there, within=PATIENCE, every=0.1)
        except AssertionError as error:
            raise AssertionError(f"{run_id}: {(await self.famulus.run(run_id).view()).steps}") from error

    async def _known(self, run_ids: Sequence[str]) -> set[str]:
        return {run.run_id for run in await self.famulus.list(limit=5000) if run.run_id in run_ids}

    async def _due(self) -> list[float]:
        """When what is timed falls due."""
        found = []
        for construct in TIMED:
            for run_id in self.run_ids[construct]:
                view = await self.famulus.run(run_id).view()
                steps = {step.node_id: step for step in view.steps}
                if construct == "deadline":
                    found.append((steps["fast"].ended_at or 0.0) + DELAY_SECONDS)
                else:
                    found += [step.wake_at for step in steps.values() if step.wake_at is not None]
        assert len(found) == len(TIMED) * COPIES
        return found

    async def _completed(self, constructs: Iterable[str]) -> set[tuple[str, str]]:
        """Steps of which an outcome is recorded."""
        found = set()
        for construct in constructs:
            for run_id in self.run_ids[construct]:
                async for step in self.famulus.run(run_id).steps():
                    if step.status == "completed":
                        found.add((run_id, str(step.step_id)))
        return found

    def _further(self) -> list[tuple[str, str]]:
        """Steps behind the gate, but not the last ones: when they are reached, much is under way."""
        steps = {"map": f"all[{ITEMS * 5 // 8}]", "loop": f"work[{ROUNDS * 5 // 8}]"}
        return [(self.run_ids[construct][0], step_id) for construct, step_id in steps.items()]

    async def _reach(self, steps: Iterable[tuple[str, str]]) -> None:
        """Wait until the nodes of these steps were called."""
        wanted = set(steps)
        try:
            await eventually(lambda: wanted <= self._executed().keys(), within=PATIENCE, every=0.02)
        except AssertionError as error:
            raise AssertionError(f"not reached: {wanted - self._executed().keys()}") from error

    def _executed(self) -> Counter[tuple[str, str]]:
        return Counter((call.run_id, call.step_id) for call in self.installation.executions())

    async def _see(self, run: Run) -> Seen:
        view = await run.view()
        assert is_ended(view.summary.status)
        return Seen(
            view=view,
            recorded=[step async for step in run.steps()],
            events=[event async for event in run.events()],
        )


async def tell(installation: Installation, redis_url: str) -> Story:
    await installation.prepare()
    async with Famulus.connect(settings_of({**installation.environment, "REDIS_URL": redis_url})) as famulus:
        run_ids = {construct: _run_ids(construct) for construct in (*UNTIMED, *TIMED)}
        run_ids["child"] = [f"{run_id}.child" for run_id in run_ids["subflow"]]
        return await Teller(installation, redis_url, famulus, run_ids).tell()


def _run_ids(construct: str) -> list[str]:
    """Ids on partitions of their own."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < COPIES:
        run_id = f"{construct}-{number}"
        found.setdefault(partition_for(run_id.encode(), PARTITIONS), run_id)
        number += 1
    return list(found.values())
