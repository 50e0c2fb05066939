"""The measurements: each has its own namespace, topics, group and worker processes.

The end of a run is what the worker's clock says in the run's row; asking for it only finds out that the run is over.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from bench.blueprints import NODES_OF_A_RUN
from bench.machine import busy_seconds, cpu_seconds, memory_mb
from bench.site import Site, new_namespace, report
from bench.worker_process import WorkerProcess
from famulus.connect import open_stores
from famulus.ids import RunId
from famulus.ports import BlueprintStore, RunHead, RunStore

POLL_SECONDS: Final = 0.1
IDLE_POLL_SECONDS: Final = 0.005
ASKED_AT_ONCE: Final = 16
"""Runs whose end is asked for in one go: asking for all of them would load what is measured."""
WARM_UP_SECONDS: Final = 60.0
IDLE_WARM_UP_RUNS: Final = 5
IDLE_RUN_SECONDS: Final = 20.0
IDLE_PAUSE_SECONDS: Final = 0.05
MEMORY_SAMPLES: Final = 10
MEMORY_RUNS: Final = 1000  # of ten steps, between two samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the command line says of all measurements alike."""

    workers: int
    app: str
    loop: str
    bound_seconds: float
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of the workers, beside what the site says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Workers that run, and a client that knows Kafka and the store but not the workers."""

    workers: Sequence[WorkerProcess]
    producer: Any
    topic: str
    runs: RunStore
    blueprints: BlueprintStore
    exec_log: Path

    async def start(self, run_ids: Sequence[RunId], blueprint: str, given: Mapping[str, Any] | None = None) -> float:
        """Produce the starts of all runs in one go; returns when that began."""
        about = {"blueprint_id": blueprint} if given is None else {"blueprint_id": blueprint, "input": given}
        records = [(json.dumps({"run_id": run_id, **about}).encode(), run_id.encode()) for run_id in run_ids]
        began = time.time()
        sent = [await self.producer.send(self.topic, value, key=key) for value, key in records]
        await asyncio.gather(*sent)
        return began

    async def ends(
        self, run_ids: Sequence[RunId], *, seconds: float, poll: float = POLL_SECONDS
    ) -> Mapping[RunId, RunHead]:
        """Wait for the runs; those that have not ended in time are not in the answer."""
        ended: dict[RunId, RunHead] = {}
        waiting = list(reversed(run_ids))  # those started last are the ones to end last
        deadline = time.monotonic() + seconds
        while waiting and time.monotonic() < deadline:
            asked = waiting[:ASKED_AT_ONCE]
            ended |= await self._ended(asked)
            waiting = [run_id for run_id in waiting if run_id not in ended]
            if any(run_id not in ended for run_id in asked):
                for worker in self.workers:
                    worker.check()
                await asyncio.sleep(poll)
        return ended | await self._ended(waiting)

    def worker_cpu(self) -> float:
        return sum(cpu_seconds(worker.pid) for worker in self.workers)

    def executions(self, run_ids: Sequence[RunId]) -> Counter[tuple[str, str]]:
        """How often each node of these runs was executed, as the nodes themselves wrote down."""
        wanted = set(run_ids)
        lines = self.exec_log.read_text().splitlines() if self.exec_log.exists() else []
        fields = (line.split("\t") for line in lines)
        return Counter((run_id, node_id) for run_id, node_id, *_ in fields if run_id in wanted)

    async def _ended(self, run_ids: Sequence[RunId]) -> dict[RunId, RunHead]:
        heads = await self.runs.heads(run_ids)
        return {run_id: head for run_id, (_, head) in heads.items() if head.ended_at is not None}


async def measure_throughput(site: Site, plan: Plan, case: str, *, runs: int) -> dict[str, Any]:
    """Start many runs at once: mostly queueing, so the latency is that of a full system."""
    async with open_scene(site, plan) as scene:
        await warm_up(scene, case, runs=max(5, min(20, runs // 10)))
        run_ids = new_runs(runs)
        worker_cpu, server_cpu, others = scene.worker_cpu(), _server_cpu(site), cpu_of_others(scene, site)
        watched = time.monotonic()
        began = await scene.start(run_ids, case)
        ended = await scene.ends(run_ids, seconds=plan.bound_seconds)
        others = (cpu_of_others(scene, site) - others) / (time.monotonic() - watched)
        worker_cpu = scene.worker_cpu() - worker_cpu
        server_cpu = {name: round(cpu - server_cpu[name], 2) for name, cpu in _server_cpu(site).items()}
        executions = scene.executions(run_ids)
        peak = max(memory_mb(worker.pid, peak=True) for worker in scene.workers)
        problems = sum(worker.problems() for worker in scene.workers)

    completed = [head for head in ended.values() if head.status == "completed"]
    latencies = sorted((end_of(head) - began) * 1000 for head in completed)
    last = time.time() if len(ended) < runs else max(end_of(head) for head in ended.values())
    wall, nodes = last - began, executions.total()
    return {
        "case": case,
        "runs": runs,
        "completed": len(completed),
        "failed": len(ended) - len(completed),
        "not_finished": runs - len(ended),
        "nodes_executed": nodes,
        "nodes_expected": NODES_OF_A_RUN[case] * runs,
        "executed_twice": sum(count > 1 for count in executions.values()),
        "wall_s": round(wall, 3),
        "nodes_per_s": round(nodes / wall, 1),
        "runs_per_s": round(len(completed) / wall, 1),
        **percentiles(latencies),
        "worker_cpu_s": round(worker_cpu, 2),
        "worker_cpu_ms_per_step": round(worker_cpu * 1000 / max(nodes, 1), 3),
        "server_cpu_s": server_cpu,
        "others_busy_cores": round(others, 2),
        "peak_rss_mb": round(peak, 1),
        "log_problems": problems,
    }


async def measure_idle(site: Site, plan: Plan, *, runs: int) -> dict[str, Any]:
    """One run of ten steps at a time, on a system that does nothing else."""
    latencies = []
    async with open_scene(site, plan) as scene:
        for number in range(-IDLE_WARM_UP_RUNS, runs):
            run_ids = new_runs(1)
            began = await scene.start(run_ids, "chain10")
            ended = await scene.ends(run_ids, seconds=IDLE_RUN_SECONDS, poll=IDLE_POLL_SECONDS)
            if number >= 0:
                latencies += [(end_of(head) - began) * 1000 for head in ended.values()]
            await asyncio.sleep(IDLE_PAUSE_SECONDS)
    latencies.sort()
    return {
        "case": "idle-chain10",
        "runs": runs,
        "not_finished": runs - len(latencies),
        **percentiles(latencies),
        "min_ms": round(latencies[0], 1) if latencies else None,
        "max_ms": round(latencies[-1], 1) if latencies else None,
    }


async def measure_memory(site: Site, plan: Plan) -> dict[str, Any]:
    """Resident memory of one worker after each ten thousand steps of a hundred thousand."""
    samples = []
    not_finished = 0
    async with open_scene(site, plan) as scene:
        await warm_up(scene, "chain10", runs=20)
        pid = scene.workers[0].pid
        samples.append({"steps": 0, "rss_mb": round(memory_mb(pid, peak=False), 1)})
        for number in range(1, MEMORY_SAMPLES + 1):
            run_ids = new_runs(MEMORY_RUNS)
            await scene.start(run_ids, "chain10")
            not_finished += MEMORY_RUNS - len(await scene.ends(run_ids, seconds=plan.bound_seconds))
            samples.append({"steps": number * MEMORY_RUNS * 10, "rss_mb": round(memory_mb(pid, peak=False), 1)})
            report(f"memory: {samples[-1]}")
        peak = memory_mb(pid, peak=True)
    settled = samples[len(samples) // 2 :]
    return {
        "case": "memory",
        "samples": samples,
        "not_finished": not_finished,
        "peak_rss_mb": round(peak, 1),
        "growth_mb": round(samples[-1]["rss_mb"] - samples[1]["rss_mb"], 1),
        "growth_mb_of_second_half": round(settled[-1]["rss_mb"] - settled[0]["rss_mb"], 1),
    }


@asynccontextmanager
async def open_scene(site: Site, plan: Plan) -> AsyncIterator[Scene]:
    namespace = new_namespace()
    exec_log = site.folder / f"{namespace}.tsv"
    settings = site.settings(namespace)
    async with AsyncExitStack() as stack:
        workers = []
        for number in range(plan.workers):
            worker = WorkerProcess(
                f"{namespace}-{number}",
                app=plan.app,
                loop=plan.loop,
                folder=site.folder,
                environment={**site.worker_environment(namespace, exec_log), **plan.environment},
            )
            stack.push_async_callback(worker.stop)
            workers.append(worker)
        stores = await stack.enter_async_context(open_stores(settings))
        for worker in workers:
            await worker.wait_ready()
        producer: Any = AIOKafkaProducer(bootstrap_servers=site.servers["KAFKA_BROKERS"], acks="all", linger_ms=2)
        stack.push_async_callback(producer.stop)
        await producer.start()
        yield Scene(
            workers=workers,
            producer=producer,
            topic=settings.jobs_topic,
            runs=stores.runs,
            blueprints=stores.blueprints,
            exec_log=exec_log,
        )


async def warm_up(scene: Scene, case: str, *, runs: int) -> None:
    run_ids = new_runs(runs)
    await scene.start(run_ids, case)
    await scene.ends(run_ids, seconds=WARM_UP_SECONDS)
    await asyncio.sleep(0.5)


def new_runs(count: int) -> list[RunId]:
    return [RunId(uuid.uuid4().hex) for _ in range(count)]


def _server_cpu(site: Site) -> dict[str, float]:
    return {name: cpu_seconds(pid) for name, pid in site.server_pids.items()}


def cpu_of_others(scene: Scene, site: Site) -> float:
    """What belongs to neither workers nor servers nor this client: it takes from what is measured."""
    return busy_seconds() - scene.worker_cpu() - sum(_server_cpu(site).values()) - time.process_time()


def end_of(head: RunHead) -> float:
    assert head.ended_at is not None
    return head.ended_at


def percentiles(latencies: Sequence[float]) -> dict[str, float | None]:
    """Nearest rank, of sorted milliseconds."""
    if not latencies:
        return {"p50_ms": None, "p95_ms": None, "p99_ms": None}
    ranks = {name: -(-len(latencies) * percent // 100) - 1 for name, percent in (("p50", 50), ("p95", 95), ("p99", 99))}
    return {f"{name}_ms": round(latencies[rank], 1) for name, rank in ranks.items()}
