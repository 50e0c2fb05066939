"""The reference's own adapter and famulus, in turn, on the same real servers, with the same blueprints.

    python bench/head_to_head.py PEER_DIR --out head-to-head.json

PEER_DIR holds the reference's benchmark (`drive.mjs` and its targets). It is copied to a temporary folder, its packages
are installed there with npm, and our target is added. The first repetition warms the servers and does not count. Prints
one JSON document: the benchmark's own, with the ratios of the medians.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.machine import ROOT, machine_facts
from bench.program import end_in_order, parser_of, print_document
from bench.site import KEYSPACE, Site, new_namespace, open_site, report
from bench.worker_process import LOG_TAIL_BYTES
from famulus.connect import migrate_schema

REFERENCE: Final = "flowcraft"
OURS: Final = "famulus"
PEER_FILES: Final = "peer-files"
INSTALL_SECONDS: Final = 300
DRIVE_SECONDS: Final = 3600
MORE_IS_BETTER: Final = ("nodes_per_s", "runs_per_s")
LESS_IS_BETTER: Final = ("p50", "p95", "p99", "worker_cpu_ms_per_node", "worker_rss_mb")


def main() -> None:
    options = _options()
    end_in_order()
    facts = machine_facts()
    with open_site(options.stack) as site:
        asyncio.run(migrate_schema(site.settings(new_namespace())))
        peer = _install(options.peer, site.folder / "peer")
        if options.discard:
            report("warming up: a repetition that does not count")
            _drive(peer, site, options, reps=options.discard)
        document = _drive(peer, site, options, reps=options.reps)
        versions = dict(site.server_versions)
    document = {
        "machine": facts,
        "servers": versions,
        "ratios": _ratios(document["summary"]),
        **document,
    }
    print_document(document, options.out)


def _install(source: Path, folder: Path) -> Path:
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("node_modules"))
    shutil.copy(ROOT / "bench" / "flowcraft_target.mjs", folder / "targets" / f"{OURS}.mjs")
    report("npm install")
    subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund"],
        cwd=folder,
        check=True,
        stdout=sys.stderr,
        timeout=INSTALL_SECONDS,
    )
    return folder


def _drive(peer: Path, site: Site, options: argparse.Namespace, *, reps: int) -> Any:
    command = [
        "node",
        "drive.mjs",
        "--targets",
        f"{REFERENCE},{OURS}",
        "--reps",
        str(reps),
        "--idle",
        str(options.idle),
    ]
    if options.cases is not None:
        command += ["--cases", options.cases]
    with subprocess.Popen(
        command, cwd=peer, env=_environment(site, options), stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as driver:
        try:
            output, _ = driver.communicate(timeout=DRIVE_SECONDS)
        finally:
            # Its workers are in its session and in no other: whatever ends it, they end too.
            _end_session(driver)
    if driver.returncode:
        raise SystemExit(f"drive.mjs ended with code {driver.returncode}\n{_last_log(site)}")
    return json.loads(output)


def _last_log(site: Site) -> str:
    """The end of what the last worker said, before the folder is removed."""
    logs = sorted((site.folder / PEER_FILES).glob("worker-*.log"), key=lambda path: path.stat().st_mtime)
    return logs[-1].read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace") if logs else "no worker was started"


def _end_session(driver: subprocess.Popen[str]) -> None:
    try:
        os.killpg(driver.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _environment(site: Site, options: argparse.Namespace) -> dict[str, str]:
    pids = {"kafka": "KAFKA_PID", "cassandra": "CASSANDRA_PID", "valkey": "REDIS_PID"}
    return {
        **os.environ,
        "KAFKA": site.servers["KAFKA_BROKERS"],
        "CASSANDRA": site.servers["CASSANDRA_CONTACT_POINTS"],
        "CASSANDRA_DC": site.servers.get("CASSANDRA_DATACENTER", "datacenter1"),
        "REDIS": site.servers["REDIS_URL"],
        **{variable: str(site.server_pids[name]) for name, variable in pids.items() if name in site.server_pids},
        "BENCH_TMP": str(site.folder / PEER_FILES),
        "FAMULUS_CASSANDRA_KEYSPACE": KEYSPACE,
        "FAMULUS_BENCH_WORKER": json.dumps([sys.executable, str(ROOT / "bench" / "worker_ready.py"), options.app]),
        "BENCH_LOOP": options.loop,
    }


def _ratios(summary: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """By case: how many times better famulus is, from the medians of one run of the benchmark."""
    by_target = {(each["target"], each["case"]): each for each in summary}
    ratios: dict[str, dict[str, float]] = {}
    for (target, case), ours in by_target.items():
        theirs = by_target.get((REFERENCE, case))
        if target != OURS or theirs is None:
            continue
        ratios[case] = {
            name: round(_better(name, ours[name]["median"], theirs[name]["median"]), 2)
            for name in (*MORE_IS_BETTER, *LESS_IS_BETTER)
            if ours.get(name) and theirs.get(name)
        }
    return ratios


def _better(name: str, ours: float, theirs: float) -> float:
    return ours / theirs if name in MORE_IS_BETTER else theirs / ours


def _options() -> argparse.Namespace:
    parser = parser_of(__doc__, stacks=("real", "env"), default_stack="real")
    parser.add_argument("peer", type=Path, metavar="PEER_DIR", help="folder of the reference's benchmark")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--discard", type=int, default=1, help="repetitions before those that count")
    parser.add_argument("--cases", help="as drive.mjs takes them: chain10:200,fan10:200")
    parser.add_argument("--idle", type=int, default=20)
    parser.add_argument("--app", default="app", help="the module whose application the workers run")
    return parser.parse_args()


if __name__ == "__main__":
    main()
