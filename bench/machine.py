"""What the machine says of itself and of a process, read from /proc."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

TICKS: Final = os.sysconf("SC_CLK_TCK")
ROOT: Final = Path(__file__).resolve().parent.parent


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, its ended children and its living descendants; 0 for one that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS + sum(cpu_seconds(int(child)) for child in children)


def busy_seconds() -> float:
    """Seconds that the processors have spent on whatever it was, since the machine was started."""
    user, nice, system, _, _, interrupts, soft_interrupts, *_ = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    return (user + nice + system + interrupts + soft_interrupts) / TICKS


def memory_mb(pid: int, *, peak: bool) -> float:
    """Resident memory now, or the most that it has been."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+)" if peak else r"VmRSS:\s+(\d+)", status)
    return int(found[1]) / 1024 if found else 0.0


def machine_facts() -> dict[str, Any]:
    """Return what a reader needs to judge the figures; the load is that of now."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "revision": _revision(),
    }


def command_line() -> str:
    """The command that runs, without the folders and files of this machine: --out tells nothing, others are named."""
    arguments = sys.argv[1:]
    if "--out" in arguments:
        at = arguments.index("--out")
        del arguments[at : at + 2]
    shown = ("PEER_DIR" if "/" in argument else argument or "''" for argument in arguments)
    return " ".join(["python", f"bench/{Path(sys.argv[0]).name}", *shown])


def _processor() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def _revision() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"
