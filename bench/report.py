"""Render RESULTS.md from the documents that the benchmarks printed.

    python bench/report.py FOLDER [--out bench/RESULTS.md]

takes every .json file of the folder, in the order of their names.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

INTRODUCTION: Final = """\
# Results

Made by `python bench/report.py FOLDER` from the documents that the commands below printed; do not edit by hand.

Figures are medians of the repetitions, with the least and the most in brackets. They are those of one machine at one
time: compare ratios that were measured in one run, not figures of different runs. A measurement starts all its runs at
once, so its latency is mostly queueing; `idle-chain10` is the latency of an idle system, one run at a time. CPU is
user and system time of the worker process with all its threads. "Lost" counts runs that had not completed in time,
"twice" the nodes that were executed more than once, as the nodes themselves wrote down. "Others" is how many cores
worked for neither workers, servers nor the client: above a few tenths, speed and latency tell of them more than of
famulus, and only CPU stays a fair figure.
"""
Spread = Mapping[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("RESULTS.md"))
    options = parser.parse_args()
    documents = [json.loads(path.read_text()) for path in sorted(options.folder.glob("*.json"))]
    options.out.write_text("\n".join([INTRODUCTION, *map(_section, documents)]))


def _section(document: Mapping[str, Any]) -> str:
    if "ratios" in document:
        return _head_to_head(document)
    return _of_constructs(document) if "constructs" in document else _of_run(document)


def _of_run(document: Mapping[str, Any]) -> str:
    workers = f"{document['workers']} worker{'s' if document['workers'] > 1 else ''}"
    lines = [f"## The {document['stack']} stack, {workers}", "", *_circumstances(document)]
    summary = document["summary"]
    loaded = {case: each for case, each in summary.items() if "nodes_per_s" in each}
    if loaded:
        lines += [*_throughput(loaded), "", *_servers(loaded)]
    if "idle-chain10" in summary:
        lines += _idle(summary["idle-chain10"])
    for result in document["results"]:
        if result["case"] == "memory":
            lines += _memory(result)
    return "\n".join(lines)


def _throughput(cases: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    return _table(
        (
            "case",
            "runs",
            "nodes/s",
            "runs/s",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "CPU ms a step",
            "peak MB",
            "others",
            "lost",
            "twice",
        ),
        (
            (
                case,
                each["runs"],
                *(
                    _spread(each[name], digits=0)
                    for name in ("nodes_per_s", "runs_per_s", "p50_ms", "p95_ms", "p99_ms")
                ),
                _spread(each["worker_cpu_ms_per_step"], digits=2),
                _spread(each["peak_rss_mb"], digits=0),
                _spread(each.get("others_busy_cores"), digits=1),
                each["not_finished"] + each["failed"],
                each["executed_twice"],
            )
            for case, each in cases.items()
        ),
    )


def _servers(cases: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    names = list(next(iter(cases.values())).get("server_cpu_s", {}))
    if not names:
        return
    yield "CPU seconds of a measurement:"
    yield ""
    rows = (
        (
            case,
            _spread(each["worker_cpu_s"], digits=2),
            *(_spread(each["server_cpu_s"][name], digits=2) for name in names),
        )
        for case, each in cases.items()
    )
    yield from _table(("case", "worker", *names), rows)
    yield ""


def _idle(each: Mapping[str, Any]) -> list[str]:
    figures = ", ".join(
        f"{label} {_spread(each[name], digits=1)} ms"
        for label, name in (("p50", "p50_ms"), ("p95", "p95_ms"), ("most", "max_ms"))
        if each.get(name)
    )
    return [f"An idle chain of ten, {each['runs']} runs one at a time: {figures}; lost {each['not_finished']}.", ""]


def _memory(result: Mapping[str, Any]) -> list[str]:
    samples = result["samples"]
    sentence = (
        f"Memory of a worker over {samples[-1]['steps']:,} steps (chain10): {result['growth_mb']:+.1f} MB after the "
        f"first sample, {result['growth_mb_of_second_half']:+.1f} MB in the second half; "
        f"peak {result['peak_rss_mb']} MB; lost {result['not_finished']}."
    )
    return [
        sentence,
        "",
        *_table(
            ["steps", *(f"{sample['steps'] // 1000}k" for sample in samples)],
            [["MB", *(sample["rss_mb"] for sample in samples)]],
        ),
        "",
    ]


UNITS: Final = {"map": "items", "loop": "rounds", "nest": "levels"}


def _of_constructs(document: Mapping[str, Any]) -> str:
    results = document["constructs"]
    lines = [f"## What waits, repeats and nests, on the {document['stack']} stack", "", *_circumstances(document)]
    sized = [each for each in results if each["case"] in UNITS]
    if sized:
        lines += [*_sizes(sized), ""]
    for each in results:
        if each["case"] == "sleeping":
            sentence = (
                f"{each['runs']:,} sleeping runs due at the same moment: late by p50 {each['p50_ms']} ms, "
                f"p99 {each['p99_ms']} ms, at most {each['max_ms']} ms; too early {each['too_early']}, "
                f"lost {each['not_finished']}."
            )
            lines += [sentence, ""]
        if each["case"] == "waiting":
            lines += _waiting(each)
    return "\n".join(lines)


def _sizes(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "One run after the other. A unit is an item of a batch, a round of a loop, a level of nested runs."
    yield ""
    yield from _table(
        ("of a run", "runs", "units/s", "CPU ms a unit", "to the smallest", "peak MB", "others", "lost"),
        (
            (
                f"{each['size']:,} {UNITS[each['case']]}",
                each["runs"],
                f"{each['units_per_s']:,.0f}",
                f"{each['cpu_ms_per_unit']:.3f}",
                f"{each['cpu_of_smallest']:.2f}",
                f"{each['peak_rss_mb']:.0f}",
                f"{each['others_busy_cores']:.1f}",
                each["not_finished"],
            )
            for each in results
        ),
    )


def _waiting(each: Mapping[str, Any]) -> list[str]:
    samples = each["samples"]
    sentence = (
        f"Memory of a worker that began {each['waiting']:,} runs which wait: {each['growth_mb']:+.1f} MB, "
        f"{each['growth_mb_of_second_half']:+.1f} MB in the second half; lost {each['not_finished']}."
    )
    return [
        sentence,
        "",
        *_table(
            ["waiting", *(f"{sample['waiting']:,}" for sample in samples)],
            [
                ["MB", *(sample["rss_mb"] for sample in samples)],
                ["runs in memory", *(sample["in_memory"] for sample in samples)],
            ],
        ),
        "",
    ]


def _head_to_head(document: Mapping[str, Any]) -> str:
    ratios = document["ratios"]
    lines = [
        "## Head to head with the reference",
        "",
        *_circumstances(document),
        "The reference is `@flowcraft/kafka-adapter` 1.4.4 on Node, unmodified, on the same servers with the same",
        "blueprints; the two take turns case by case. A ratio says how many times better famulus is.",
        "",
    ]
    cases = [each for each in document["summary"] if "nodes_per_s" in each]
    lines += _table(
        ("case", "target", "runs", "nodes/s", "p50 ms", "CPU ms a node", "peak MB", "lost", "twice"),
        (
            (
                each["case"],
                each["target"],
                each["runs"],
                *(_spread(each[name], digits=0) for name in ("nodes_per_s", "p50")),
                _spread(each["worker_cpu_ms_per_node"], digits=2),
                _spread(each["worker_rss_mb"], digits=0),
                each["hung"] + each["failed"],
                each["executed_twice"],
            )
            for each in sorted(cases, key=lambda each: list(ratios).index(each["case"]))
        ),
    )
    lines += ["", *_idle_of_both(document["summary"]), "Ratios of the medians:", ""]
    lines += _table(
        ("case", "nodes/s", "p50", "p95", "CPU a node", "memory"),
        (
            (
                case,
                *(
                    f"{each[name]:.1f}" if name in each else "-"
                    for name in ("nodes_per_s", "p50", "p95", "worker_cpu_ms_per_node", "worker_rss_mb")
                ),
            )
            for case, each in ratios.items()
        ),
    )
    return "\n".join([*lines, ""])


def _idle_of_both(summary: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    idle = [each for each in summary if "nodes_per_s" not in each]
    if not idle:
        return
    yield "An idle chain of ten, one run at a time:"
    yield ""
    yield from _table(
        ("target", "p50 ms", "p95 ms", "lost"),
        (
            (each["target"], _spread(each["p50"], digits=1), _spread(each["p95"], digits=1), each["hung"])
            for each in idle
        ),
    )
    yield ""


def _circumstances(document: Mapping[str, Any]) -> Iterator[str]:
    machine = document["machine"]
    servers = ", ".join(f"{name} {version}" for name, version in document.get("servers", {}).items())
    yield f"    {document['command']}"
    yield ""
    yield (
        f"{machine['cores']} cores of {machine['processor']}, Python {machine['python']}"
        f"{', ' + servers if servers else ''}; load average at the start "
        f"{' / '.join(map(str, machine['load_average']))}; revision {machine['revision']}."
    )
    yield ""


def _spread(spread: Spread | None, *, digits: int) -> str:
    if spread is None:
        return "-"
    median, least, most = (f"{spread[name]:,.{digits}f}" for name in ("median", "min", "max"))
    return f"{median} [{least}-{most}]"


def _table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    for cells in (header, ["---"] * len(header), *rows):
        yield f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
