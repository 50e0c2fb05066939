"""`make chaos`: carry out a trial, print its report, and end with 1 if anything was lost, stuck, doubled or slow."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import secrets
import sys
from pathlib import Path

from chaos.trial import Trial, carry_out


def main() -> int:
    given = _arguments()
    for client in ("aiokafka", "cassandra"):
        logging.getLogger(client).setLevel(logging.CRITICAL)  # that servers are away is on purpose
    seed = given.seed if given.seed is not None else secrets.randbelow(1_000_000)
    trial = Trial(
        seed=seed,
        seconds=60 * given.minutes,
        real=given.stack == "real",
        workers=given.workers,
        per_second=given.rate,
        gap=given.gap,
    )
    folder = (given.folder / f"{given.stack}-{seed}").resolve()
    if folder.exists():
        folder.rename(folder.with_name(f"{folder.name}-before-{secrets.token_hex(3)}"))
    folder.mkdir(parents=True)
    print(f"seed {seed}: {len(trial.plan)} faults in {given.minutes:g} minutes; logs in {folder}", flush=True)
    report = asyncio.run(carry_out(trial, folder))
    (folder / "report.json").write_text(json.dumps(report.as_json(), indent=2) + "\n")
    (folder / "report.txt").write_text(report.as_text() + "\n")
    print(report.as_text())
    return 1 if report.troubles else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of load and faults")
    parser.add_argument("--seed", type=int, help="of an earlier trial; its plan is carried out again")
    parser.add_argument("--stack", choices=("real", "embedded"), default="real")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rate", type=float, default=4.0, help="runs started a second")
    parser.add_argument("--gap", type=float, default=5.0, help="seconds from fault to fault, on average")
    parser.add_argument("--folder", type=Path, default=Path(".famulus/chaos"), help="for logs, history and reports")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
