"""Speed and memory of the worker, from a Kafka record to the end of a run. Prints one JSON document.

    python bench/run.py --stack embedded
    python bench/run.py --stack real --reps 3 --out bench.json
    python bench/run.py --stack real --cases chain10 --workers 2 --idle 0
    python bench/run.py --stack real --cases '' --idle 0 --memory

Servers and workers are processes on loopback and end with it; `--stack env` uses servers that run, as KAFKA_BROKERS,
CASSANDRA_CONTACT_POINTS and REDIS_URL name them. The repetitions that `--discard` names warm the servers and do not
count. Other work on the machine shows in all figures: mind the load average in the document.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
from collections.abc import Sequence
from typing import Any, Final

from bench.blueprints import NODES_OF_A_RUN
from bench.machine import machine_facts
from bench.measure import Plan, measure_idle, measure_memory, measure_throughput
from bench.program import cases_among, end_in_order, parser_of, print_document
from bench.site import Site, new_namespace, open_site, report
from famulus.connect import migrate_schema

DEFAULT_CASES: Final = "chain10,fan10,diamond,fan100"
STEPS_OF_A_MEASUREMENT: Final = 5000
SUMMED: Final = ("not_finished", "failed", "executed_twice", "log_problems")
NOT_SUMMARISED: Final = ("case", "runs", "nodes_expected", "repetition")


def main() -> None:
    options = _options()
    end_in_order()
    facts = machine_facts()  # first: the load average is to tell what others do, not what this does
    with open_site(options.stack) as site:
        results = asyncio.run(_measure_all(site, options))
        document = {
            "stack": options.stack,
            "workers": options.workers,
            "loop": options.loop,
            "machine": facts,
            "servers": dict(site.server_versions),
            "summary": _summary(results),
            "results": results,
        }
    print_document(document, options.out)


async def _measure_all(site: Site, options: argparse.Namespace) -> list[dict[str, Any]]:
    await migrate_schema(site.settings(new_namespace()))
    plan = Plan(workers=options.workers, app=options.app, loop=options.loop, bound_seconds=options.bound)
    results = []
    for repetition in range(1 - options.discard, options.reps + 1):
        # All cases in every repetition, so that a slow minute of the machine falls on all of them.
        for case in options.cases:
            runs = options.runs or max(20, STEPS_OF_A_MEASUREMENT // NODES_OF_A_RUN[case])
            results.append(_noted(repetition, await measure_throughput(site, plan, case, runs=runs)))
        if options.idle:
            results.append(_noted(repetition, await measure_idle(site, plan, runs=options.idle)))
    if options.memory:
        results.append(_noted(1, await measure_memory(site, plan)))
    return [result for result in results if result["repetition"] > 0]


def _noted(repetition: int, result: dict[str, Any]) -> dict[str, Any]:
    noted = {"repetition": repetition, **result}
    report(json.dumps(noted))
    return noted


def _summary(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Median, least and most of each figure over the repetitions; what went wrong is summed up."""
    summary: dict[str, Any] = {}
    for case in dict.fromkeys(result["case"] for result in results):
        of_case = [result for result in results if result["case"] == case]
        summary[case] = {"repetitions": len(of_case), "runs": of_case[0].get("runs")}
        for name, value in of_case[0].items():
            values = [result[name] for result in of_case]
            if name in SUMMED:
                summary[case][name] = sum(values)
            elif name not in NOT_SUMMARISED and isinstance(value, int | float):
                summary[case][name] = _spread(values)
            elif name == "server_cpu_s":
                summary[case][name] = {server: _spread([each[server] for each in values]) for server in value}
    return summary


def _spread(values: Sequence[float | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {"median": round(statistics.median(known), 3), "min": min(known), "max": max(known)}


def _options() -> argparse.Namespace:
    parser = parser_of(__doc__, stacks=("embedded", "real", "env"), default_stack="embedded")
    parser.add_argument(
        "--cases", type=cases_among(NODES_OF_A_RUN), default=DEFAULT_CASES, help="of %(default)s, bigchain10"
    )
    parser.add_argument("--runs", type=int, help=f"of each case; default: {STEPS_OF_A_MEASUREMENT} steps of each")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--discard", type=int, default=1, help="repetitions before those that count")
    parser.add_argument("--idle", type=int, default=50, help="runs of a chain of ten, one at a time; 0 for none")
    parser.add_argument("--memory", action="store_true", help="add the memory of a worker over 100,000 steps")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--bound", type=float, default=180.0, help="seconds for the runs of a measurement")
    parser.add_argument("--app", default="app", help="the module whose application the workers run")
    return parser.parse_args()


if __name__ == "__main__":
    main()
