"""One test's own installation on shared servers: topics, group and namespace, workers, a plain producer, an auditor.

The producer is aiokafka's own and knows nothing of famulus: it sends JSON to a topic, as any program may.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from support.audited import assert_well
from support.files import whole_lines
from support.servers import foreign_environment, settings_of
from support.workers import Worker
from support.world import blueprint, eventually

from famulus.adapters.kafka.topics import TopicSpec, ensure_topics
from famulus.connect import Stores, migrate_schema, open_stores, topic_specs
from famulus.engine.catalog import Catalog
from famulus.engine.explaining.explainer import Explainer
from famulus.engine.explaining.explanation import RunExplanation
from famulus.engine.reading import RunReader, is_ended
from famulus.ids import RunId
from famulus.transports import kafka_options

PARTITIONS: Final = 6
"""Three workers get two each: Faust gives out as many as are needed for all, rounded up, and leaves the rest idle."""
BRANCHES: Final = tuple(f"b{number}" for number in range(10))
FAN_STEPS: Final = ("begin", *BRANCHES, "join")
END_SECONDS: Final = 180.0
COMMAND_SECONDS: Final = 180.0
LARGE_RECORDS: Final = 4 * 1024 * 1024


def _fan(blueprint_id: str, **nodes: Any) -> dict[str, Any]:
    """Ten parallel branches and a join."""
    return blueprint(
        blueprint_id,
        {
            "begin": "tests.quick",
            **{name: "tests.branch_in_thread" if name in {"b0", "b1"} else "tests.branch" for name in BRANCHES},
            "join": "tests.gather",
            **nodes,
        },
        *(edge for name in BRANCHES for edge in (("begin", name), (name, "join"))),
    )


BLUEPRINTS: Final[tuple[Mapping[str, Any], ...]] = (
    _fan("fan10"),
    _fan("held10", b9={"uses": "tests.branch", "params": {"gate": "gate"}}),
    blueprint("one", {"only": "tests.quick"}),
    blueprint("unserialisable", {"bad": "tests.unserialisable", "after": "tests.quick"}, ("bad", "after")),
    blueprint("raising", {"bad": "tests.raising", "after": "tests.quick"}, ("bad", "after")),
    blueprint("later", {"a": "tests.quick", "b": "tests.later", "c": "tests.quick"}, ("a", "b"), ("b", "c")),
    blueprint(
        "gated",
        {
            "begin": "tests.quick",
            "open": "tests.branch",
            "closed": {"uses": "tests.gated", "params": {"gate": "gate"}},
            "join": "tests.gather",
        },
        ("begin", "open"),
        ("begin", "closed"),
        ("open", "join"),
        ("closed", "join"),
    ),
)


@dataclass(frozen=True, slots=True)
class Execution:
    run_id: str
    step_id: str
    attempt: int
    pid: int


@dataclass
class Installation:
    servers: Mapping[str, str]
    folder: Path
    name: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:12]}")
    workers: list[Worker] = field(default_factory=list)
    blueprints: Sequence[Mapping[str, Any]] = BLUEPRINTS

    @property
    def jobs(self) -> str:
        return f"{self.name}.jobs"

    @property
    def environment(self) -> dict[str, str]:
        """Of its workers."""
        return {
            **self.servers,
            "FAMULUS_SQLITE_PATH": str(self.folder / "famulus.db"),
            "FAMULUS_CASSANDRA_KEYSPACE": "famulus_acceptance",
            "FAMULUS_NAMESPACE": self.name,
            "FAMULUS_GROUP": self.name,
            "FAMULUS_JOBS_TOPIC": self.jobs,
            "FAMULUS_ITEMS_TOPIC": f"{self.name}.items",
            "FAMULUS_EVENTS_TOPIC": f"{self.name}.events",
            "FAMULUS_DEAD_LETTERS_TOPIC": f"{self.name}.dead",
            "FAMULUS_PARTITIONS": str(PARTITIONS),
            "FAMULUS_NODES": "support.counted_nodes",
            "FAMULUS_BLUEPRINTS": str(self.folder / "blueprints"),
            # Few enough at a time that 200 runs take some seconds, in which a fault finds work under way.
            "FAMULUS_CONCURRENCY": "24",
            "FAMULUS_RECONCILE_SECONDS": "3",
            "EXECUTIONS": str(self.folder / "executions"),
        }

    async def prepare(self) -> None:
        """Make the topics, larger records than Kafka's default allowed, the tables and the blueprints."""
        blueprints = self.folder / "blueprints"
        blueprints.mkdir()
        for document in self.blueprints:
            (blueprints / f"{document['id']}.json").write_text(json.dumps(document))
        settings = settings_of(self.environment)
        await migrate_schema(settings)
        large = {"max.message.bytes": str(LARGE_RECORDS)}
        specs = [TopicSpec(name=spec.name, partitions=spec.partitions, config=large) for spec in topic_specs(settings)]
        await ensure_topics(self.servers["KAFKA_BROKERS"], specs, options=kafka_options(settings))

    # -- workers -----------------------------------------------------------------------------------------------------

    def start_worker(self, **environment: str) -> Worker:
        worker = Worker(f"worker-{len(self.workers)}", self.folder, {**self.environment, **environment})
        self.workers.append(worker)
        return worker

    async def start_workers(self, count: int, **environment: str) -> list[Worker]:
        """Start workers and wait until each has its partitions."""
        started = [self.start_worker(**environment) for _ in range(count)]
        await asyncio.gather(*(worker.ready() for worker in started))
        return started

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()

    def logs_to_show(self) -> list[tuple[str, str]]:
        """For the report of a failed test."""
        return [(worker.name, worker.log_tail()) for worker in self.workers]

    def open_gate(self, name: str = "gate") -> None:
        (self.folder / name).touch()

    async def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What `famulus` with these words says and returns, as a process in the folder of the installation."""
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "famulus.cli", *words],
            cwd=self.folder,
            env={**foreign_environment(), **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )

    # -- records -----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def producer(self, **options: Any) -> AsyncIterator[Any]:
        producer = AIOKafkaProducer(bootstrap_servers=self.servers["KAFKA_BROKERS"], acks="all", **options)
        async with producer:
            yield producer

    async def start_runs(self, count: int, blueprint_id: str = "fan10") -> list[str]:
        """Send start records with the run id as their key."""
        run_ids = [f"{blueprint_id}-{number}-{uuid.uuid4().hex[:8]}" for number in range(count)]
        async with self.producer(linger_ms=5) as producer:
            sent = [
                await producer.send(self.jobs, start_json(run_id, blueprint_id), key=run_id.encode())
                for run_id in run_ids
            ]
            await asyncio.gather(*sent)
        return run_ids

    async def dead_letter(self, key: bytes) -> Any:
        """The record of the dead-letter topic that has this key, once it is there."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.servers["KAFKA_BROKERS"], enable_auto_commit=False, auto_offset_reset="earliest"
        )
        async with consumer, asyncio.timeout(END_SECONDS):
            consumer.assign([TopicPartition(f"{self.name}.dead", partition) for partition in range(PARTITIONS)])
            while (record := await consumer.getone()).key != key:
                pass
            return record

    # -- what happened -------------------------------------------------------------------------------------------------

    def executions(self) -> list[Execution]:
        lines = [line.split("\t") for line in whole_lines(self.folder / "executions")]
        return [Execution(run_id, step_id, int(attempt), int(pid)) for run_id, step_id, attempt, pid in lines]

    async def executed(self, at_least: int, *, by: Collection[Worker] = ()) -> None:
        """Wait until so many calls were made, some by each of these workers."""
        pids = {worker.pid for worker in by}

        def enough() -> bool:
            calls = self.executions()
            return len(calls) >= at_least and pids <= {call.pid for call in calls}

        await eventually(enough, within=END_SECONDS, every=0.02)

    def executed_twice(self) -> dict[tuple[str, str], int]:
        calls = Counter((call.run_id, call.step_id) for call in self.executions())
        return {step: count for step, count in calls.items() if count > 1}

    async def take_epoch(self) -> int:
        """As a worker does whenever it is assigned partitions: what lies between two of these is how often any did."""
        async with open_stores(settings_of(self.environment)) as stores:
            return await stores.epochs.take()

    async def called_too_often(self, since: int, *, moves_in_order: int = 0) -> dict[tuple[str, str], int]:
        """Steps that were called more often than their run may have had owners since that epoch.

        Each calls a step once. How many there are is up to the broker too, which may take a slow worker for a dead one.
        Where partitions move in order nothing is at work any more.
        """
        later = await self.take_epoch() - since - 1
        most = 1 + max(0, later - moves_in_order)
        return {step: count for step, count in self.executed_twice().items() if count > most}

    @asynccontextmanager
    async def records(self) -> AsyncIterator[Auditor]:
        async with open_stores(settings_of(self.environment)) as stores:
            yield Auditor(stores)

    async def all_completed(self, run_ids: Sequence[str], *, within: float = END_SECONDS) -> None:
        """Wait until all these runs of `fan10` or `held10` have ended, and check what is recorded of each."""
        async with self.records() as auditor:
            await auditor.ended(run_ids, within=within)
            await auditor.audit_fans(run_ids)
            await auditor.all_agrees()

    async def unfinished(self, run_ids: Sequence[str]) -> int:
        async with self.records() as auditor:
            return len(run_ids) - sum((await auditor.statuses(run_ids)).values())


class Auditor:
    """Looks at the rows as everybody may, and knows what must be true of them."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._store = stores.runs
        self._catalog = Catalog(stores.blueprints, lambda: 0.0)
        self.reader = RunReader(stores.runs, self._catalog)

    async def explained(self, run_id: str) -> RunExplanation:
        return await Explainer(self._store, self._catalog, self.reader).explain(RunId(run_id))

    async def statuses(self, run_ids: Sequence[str]) -> Counter[str]:
        """How many of the runs have ended, by status."""
        heads = await self._store.heads([RunId(run_id) for run_id in run_ids])
        return Counter(head.status for _, head in heads.values() if is_ended(head.status))

    async def ended(self, run_ids: Sequence[str], *, within: float = END_SECONDS) -> None:
        async def all_have() -> bool:
            return sum((await self.statuses(run_ids)).values()) == len(run_ids)

        try:
            await eventually(all_have, within=within, every=0.1)
        except AssertionError as error:
            stuck = [await self._told(run_id) for run_id in run_ids]
            left = [story for story in stuck if story]
            raise AssertionError(f"{len(left)} of {len(run_ids)} runs did not end: {left[:5]}") from error

    async def _told(self, run_id: str) -> str:
        heads = await self._store.heads([RunId(run_id)])
        if RunId(run_id) not in heads:
            return f"{run_id} is not known"
        if is_ended(heads[RunId(run_id)][1].status):
            return ""
        view = await self.reader.show(RunId(run_id))
        return f"{run_id}: " + ", ".join(f"{step.step_id} {step.status}" for step in view.steps)

    async def events(self, run_id: str) -> list[tuple[str, str | None]]:
        return [(event.type, event.data.get("step")) for event in await self.reader.events(RunId(run_id))]

    async def sees(self, run_id: str) -> dict[str, Any]:
        """All that anybody is shown of the run."""
        view = await self.reader.show(RunId(run_id))
        return {**view.as_json(), "events": [event.as_json() for event in await self.reader.events(RunId(run_id))]}

    async def all_agrees(self) -> None:
        """Nothing that is stored of any run deviates, as `famulus verify` would say."""
        await assert_well(self._stores.runs, self._catalog, timers=self._stores.timers, hooks=self._stores.hooks)

    async def audit_fans(self, run_ids: Sequence[str]) -> None:
        """Of each run: completed, the join after all branches and once, nothing recorded twice."""
        for start in range(0, len(run_ids), 50):
            await asyncio.gather(*(self._audit_fan(run_id) for run_id in run_ids[start : start + 50]))

    async def _audit_fan(self, run_id: str) -> None:
        view = await self.reader.show(RunId(run_id))
        assert view.summary.status == "completed", view.summary
        assert {step.step_id: step.status for step in view.steps} == dict.fromkeys(FAN_STEPS, "completed")
        outputs = {step.step_id: step.output for step in view.steps}
        assert outputs.pop("join") == list(range(10)), f"{run_id}: the join fired before its branches"
        assert outputs == {name: name for name in FAN_STEPS if name != "join"}
        assert {view.context[f"done_{name}"] for name in BRANCHES} == set(BRANCHES)
        events = await self.events(run_id)
        ends = Counter(step for type_, step in events if type_ == "step.completed")
        assert ends == Counter(FAN_STEPS), f"{run_id}: {ends}"
        assert (events[0], events[-1]) == (("run.started", None), ("run.completed", None)), f"{run_id}: {events}"
        assert Counter(type_ for type_, _ in events if type_.startswith("run.")).most_common(1)[0][1] == 1
        assert events.index(("step.completed", "join")) == len(events) - 2


def start_json(run_id: str, blueprint_id: str, **more: Any) -> bytes:
    return json.dumps({"run_id": run_id, "blueprint_id": blueprint_id, "input": {}, **more}).encode()
