# ruff: noqa: INP001  # a script
"""Asks whether anything that is pinned has a known vulnerability, by pip-audit in an environment of its own.

Exit code 1: something has. Where nobody answers, as behind a mirror that has packages alone, that is said and is no
failure: the lock file is no worse for it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
LOCK: Final = ROOT / "requirements.lock"
TOOL: Final = "pip-audit==2.10.1"
SERVICES: Final = ("pypi", "osv")
SECONDS: Final = 300
PROBE_SECONDS: Final = 60


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        program = install(Path(folder))
        if program is None:
            return say_not_audited("pip-audit could not be installed")
        probe = Path(folder) / "probe.txt"
        probe.write_text(first_pin(LOCK.read_text()))
        for service in SERVICES:
            # One package first: a service that knows none of them need not be asked for all.
            if answered(report(program, probe, service, seconds=PROBE_SECONDS)):
                return judge(report(program, LOCK, service, seconds=SECONDS), service)
        return say_not_audited(f"none of {', '.join(SERVICES)} answers from here")


def install(folder: Path) -> Path | None:
    made = run(sys.executable, "-m", "venv", str(folder / "venv"), seconds=SECONDS)
    pip = run(str(folder / "venv/bin/pip"), "install", "--quiet", TOOL, seconds=SECONDS)
    return folder / "venv/bin/pip-audit" if made is not None and pip is not None else None


def report(program: Path, requirements: Path, service: str, *, seconds: float) -> dict[str, Any] | None:
    """What pip-audit says as JSON; ``None`` if it says nothing of the kind."""
    options = ("--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off", "-s", service)
    told = run(str(program), *options, "-r", str(requirements), seconds=seconds, codes=(0, 1))
    try:
        found = json.loads(told or "")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def answered(found: dict[str, Any] | None) -> bool:
    """Whether the service knew what it was asked for."""
    return found is not None and any("skip_reason" not in each for each in found.get("dependencies", ()))


def judge(found: dict[str, Any] | None, service: str) -> int:
    if found is None:
        return say_not_audited(f"{service} did not answer for all packages")
    lines = list(vulnerabilities(found))
    skipped = [each["name"] for each in found["dependencies"] if "skip_reason" in each]
    for line in lines:
        sys.stdout.write(f"VULNERABLE: {line}\n")
    told = f", {len(skipped)} not known there: {', '.join(skipped)}" if skipped else ""
    sys.stdout.write(f"audit: {len(found['dependencies'])} packages, {len(lines)} vulnerabilities{told}\n")
    return 1 if lines else 0


def vulnerabilities(found: dict[str, Any]) -> Iterator[str]:
    for each in found["dependencies"]:
        for known in each.get("vulns", ()):
            fixed = ", ".join(known.get("fix_versions", ())) or "no version yet"
            yield f"{each['name']} {each['version']}: {known['id']}, mended in {fixed}"


def first_pin(lock: str) -> str:
    """The first requirement of the lock file with its hashes."""
    lines = lock.splitlines(keepends=True)
    begin = next(number for number, line in enumerate(lines) if "==" in line)
    end = begin
    while lines[end].rstrip().endswith("\\"):
        end += 1
    return "".join(lines[begin : end + 1])


def say_not_audited(why: str) -> int:
    sys.stdout.write(f"NOT AUDITED: {why}. Known vulnerabilities of the pinned packages were not looked for.\n")
    return 0


def run(*command: str, seconds: float, codes: tuple[int, ...] = (0,)) -> str | None:
    """What a command prints; ``None`` if it fails or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode in codes else None


if __name__ == "__main__":
    sys.exit(main())
