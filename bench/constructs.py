"""Speed and memory of what waits, repeats and nests. Prints one JSON document.

    python bench/constructs.py --stack embedded
    python bench/constructs.py --stack real --cases map,loop --out constructs.json
    python bench/constructs.py --stack real --cases waiting --waiting 100000 --bound 240

    sleeping   runs that are due at the same moment: how late they end
    map        no-op items in batches of 100, 1,000 and 10,000: is the cost of an item the same
    loop       loops of 100 and 1,000 rounds: is the cost of a round the same
    nested     a run that runs itself, 10 and 100 levels deep (more than the default): is the cost of a level the same
    waiting    runs that wait for somebody: what they cost the worker that began them

Each has a worker of its own. Servers are those of `bench/run.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from bench.blueprints import sleeping
from bench.machine import machine_facts, memory_mb
from bench.measure import Plan, Scene, cpu_of_others, end_of, new_runs, open_scene, percentiles, warm_up
from bench.program import cases_among, end_in_order, parser_of, print_document
from bench.site import Site, new_namespace, open_site, report
from famulus.blueprint import parse_blueprint
from famulus.connect import migrate_schema
from famulus.engine.catalog import Catalog
from famulus.ids import RunId

Measure = Callable[[Site, Plan, argparse.Namespace], Awaitable[list[dict[str, Any]]]]

BEFORE_DUE_SECONDS: Final = 20.0
"""In which sleeping runs are started and fall asleep."""
ITEMS: Final = (100, 1_000, 10_000)
ROUNDS: Final = (100, 1_000)
DEPTHS: Final = (10, 100)
UNITS: Final[Mapping[str, int]] = {"map": 10_000, "loop": 3_000, "nest": 500}
"""Items, rounds or levels of a measurement, in as many runs as that takes."""
BURST: Final = 2_000
SAMPLES: Final = 10
POLL_SECONDS: Final = 0.02
ASKED_AT_ONCE: Final = 200
RESUMED: Final = 100
SHOWN_PROBLEMS: Final = 5


def main() -> None:
    options = _options()
    end_in_order()
    facts = machine_facts()
    with open_site(options.stack) as site:
        constructs = asyncio.run(_measure_all(site, options))
        document = {
            "stack": options.stack,
            "machine": facts,
            "servers": dict(site.server_versions),
            "constructs": constructs,
        }
    print_document(document, options.out)


async def _measure_all(site: Site, options: argparse.Namespace) -> list[dict[str, Any]]:
    await migrate_schema(site.settings(new_namespace()))
    plan = Plan(workers=1, app="app", loop=options.loop, bound_seconds=options.bound)
    found = []
    for case in options.cases:
        for result in await CASES[case](site, plan, options):
            report(json.dumps(result))
            found.append(result)
    return found


# -- sleeping ----------------------------------------------------------------------------------------------------------


async def measure_sleeping(site: Site, plan: Plan, options: argparse.Namespace) -> list[dict[str, Any]]:
    async with open_scene(site, plan) as scene:
        await warm_up(scene, "chain10", runs=20)
        due = float(int(time.time() + BEFORE_DUE_SECONDS))
        await Catalog(scene.blueprints, time.time).register(parse_blueprint(sleeping("sleeping", due)))
        run_ids = new_runs(options.sleeping)
        await scene.start(run_ids, "sleeping")
        asleep = await _reached(scene, run_ids, "waiting", seconds=due - time.time())
        ended = await scene.ends(run_ids, seconds=plan.bound_seconds)
        lateness = sorted((end_of(head) - due) * 1000 for head in ended.values())
        return [
            {
                "case": "sleeping",
                "runs": len(run_ids),
                "asleep_before": asleep,
                "not_finished": len(run_ids) - len(ended),
                "too_early": sum(each < 0 for each in lateness),
                **percentiles(lateness),
                "max_ms": round(lateness[-1], 1) if lateness else None,
                "log_problems": _problems(scene),
            }
        ]


# -- many of the same, of one run --------------------------------------------------------------------------------------


async def measure_map(site: Site, plan: Plan, options: argparse.Namespace) -> list[dict[str, Any]]:
    return await _flat(site, plan, "map", [(size, {"items": list(range(size))}) for size in ITEMS], options)


async def measure_loop(site: Site, plan: Plan, options: argparse.Namespace) -> list[dict[str, Any]]:
    return await _flat(site, plan, "loop", [(size, {"left": size}) for size in ROUNDS], options)


async def measure_nested(site: Site, plan: Plan, options: argparse.Namespace) -> list[dict[str, Any]]:
    deep = replace(plan, environment={"FAMULUS_MAX_SUBFLOW_DEPTH": str(max(DEPTHS))})
    return await _flat(site, deep, "nest", [(depth, {"depth": depth}) for depth in DEPTHS], options)


async def _flat(
    site: Site, plan: Plan, case: str, sizes: Sequence[tuple[int, Mapping[str, Any]]], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Runs of each size, one after the other: as many as give the same number of units."""
    results = []
    for size, given in sizes:
        async with open_scene(site, plan) as scene:
            await _one_by_one(scene, case, sizes[0][1], count=5, seconds=plan.bound_seconds)
            count = max(1, min(options.units, UNITS[case]) // size)
            before = memory_mb(scene.workers[0].pid, peak=False)
            others, began = cpu_of_others(scene, site), time.monotonic()
            cpu = scene.worker_cpu()
            run_seconds, ended = await _one_by_one(scene, case, given, count=count, seconds=plan.bound_seconds)
            cpu = scene.worker_cpu() - cpu
            others = (cpu_of_others(scene, site) - others) / (time.monotonic() - began)
            made = max(1, ended * size)
            results.append(
                {
                    "case": case,
                    "size": size,
                    "runs": count,
                    "not_finished": count - ended,
                    "units_per_s": round(made / max(run_seconds, 1e-9), 1),
                    "cpu_ms_per_unit": round(cpu * 1000 / made, 4),
                    "rss_before_mb": round(before, 1),
                    "peak_rss_mb": round(memory_mb(scene.workers[0].pid, peak=True), 1),
                    "others_busy_cores": round(others, 2),
                    "log_problems": _problems(scene),
                }
            )
    for result in results:
        result["cpu_of_smallest"] = round(result["cpu_ms_per_unit"] / results[0]["cpu_ms_per_unit"], 2)
    return results


async def _one_by_one(
    scene: Scene, case: str, given: Mapping[str, Any], *, count: int, seconds: float
) -> tuple[float, int]:
    """Seconds that the runs took, by the clock of the worker, and how many have completed."""
    taken, completed = 0.0, 0
    deadline = time.monotonic() + seconds
    for run_id in new_runs(count):
        await scene.start([run_id], case, given)
        ended = await scene.ends([run_id], seconds=deadline - time.monotonic(), poll=POLL_SECONDS)
        if run_id not in ended:
            break
        birth, head = (await scene.runs.heads([run_id]))[run_id]
        completed += head.status == "completed"
        taken += end_of(head) - birth.created_at
    return taken, completed


# -- waiting -----------------------------------------------------------------------------------------------------------


async def measure_waiting(site: Site, plan: Plan, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Start many runs that wait; in the end some of them are let go on, to show that they can be."""
    watched = replace(plan, environment={"FAMULUS_PROMETHEUS": "true"})
    async with open_scene(site, watched) as scene:
        await warm_up(scene, "chain10", runs=100)
        samples = [await _sample(scene, 0)]
        deadline = time.monotonic() + plan.bound_seconds
        run_ids: list[RunId] = []
        waiting = 0
        while len(run_ids) < options.waiting and time.monotonic() < deadline:
            burst = new_runs(min(BURST, options.waiting - len(run_ids)))
            run_ids += burst
            await scene.start(burst, "waiting")
            waiting += await _reached(scene, burst, "waiting", seconds=plan.bound_seconds)
            if waiting * SAMPLES >= options.waiting * len(samples):
                samples.append(await _sample(scene, waiting))
        resumed = run_ids[:: max(1, len(run_ids) // RESUMED)]
        await _resume(scene, resumed)
        ended = await scene.ends(resumed, seconds=30)
        samples.append(await _sample(scene, waiting - len(ended)))
        return [
            {
                "case": "waiting",
                "runs": len(run_ids),
                "waiting": waiting,
                "not_finished": len(run_ids) - waiting + len(resumed) - len(ended),
                "growth_mb": round(samples[-1]["rss_mb"] - samples[0]["rss_mb"], 1),
                "growth_mb_of_second_half": round(samples[-1]["rss_mb"] - samples[len(samples) // 2]["rss_mb"], 1),
                "samples": samples,
                "log_problems": _problems(scene),
            }
        ]


async def _sample(scene: Scene, waiting: int) -> dict[str, Any]:
    worker = scene.workers[0]
    await asyncio.sleep(1.5)  # what has nothing to do rests a moment first
    return {
        "waiting": waiting,
        "rss_mb": round(memory_mb(worker.pid, peak=False), 1),
        "in_memory": int(await asyncio.to_thread(worker.metric, "famulus_runs_in_memory")),
    }


async def _resume(scene: Scene, run_ids: Sequence[RunId]) -> None:
    for run_id in run_ids:
        command = {"type": "command", "command": "resume", "run_id": run_id, "by": "bench"}
        await scene.producer.send_and_wait(scene.topic, json.dumps(command).encode(), key=run_id.encode())


# -- all ---------------------------------------------------------------------------------------------------------------


async def _reached(scene: Scene, run_ids: Sequence[RunId], status: str, *, seconds: float) -> int:
    """How many of the runs come to the status in time."""
    left, reached = list(run_ids), 0
    deadline = time.monotonic() + seconds
    while left:
        asked = left[-ASKED_AT_ONCE:]
        heads = await scene.runs.heads(asked)
        there = {run_id for run_id, (_, head) in heads.items() if head.status == status}
        reached += len(there)
        left = [*left[:-ASKED_AT_ONCE], *(run_id for run_id in asked if run_id not in there)]
        if len(there) < len(asked):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(POLL_SECONDS)
    return reached


def _problems(scene: Scene) -> int:
    """How many lines of the logs speak of errors; the first ones are shown to whoever looks on."""
    lines = [line for worker in scene.workers for line in worker.problem_lines()]
    for line in lines[:SHOWN_PROBLEMS]:
        report(f"log: {line}")
    return len(lines)


CASES: Final[Mapping[str, Measure]] = {
    "sleeping": measure_sleeping,
    "map": measure_map,
    "loop": measure_loop,
    "nested": measure_nested,
    "waiting": measure_waiting,
}


def _options() -> argparse.Namespace:
    parser = parser_of(__doc__, stacks=("embedded", "real", "env"), default_stack="embedded")
    parser.add_argument("--cases", type=cases_among(CASES), default=",".join(CASES), help="of %(default)s")
    parser.add_argument("--sleeping", type=int, default=1_000, help="runs that are due at the same moment")
    parser.add_argument(
        "--units", type=int, default=10_000, help="at most so many items, rounds or levels of each size"
    )
    parser.add_argument("--waiting", type=int, default=100_000, help="runs that wait")
    parser.add_argument("--bound", type=float, default=240.0, help="seconds for the runs of a measurement")
    return parser.parse_args()


if __name__ == "__main__":
    main()
