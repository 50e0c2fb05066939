"""Workers as real processes: `python -m faust -A app worker` from this checkout."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from support.servers import foreign_environment
from support.world import eventually

from famulus.stacks.ports import LOOPBACK, free_port

COMMAND: Final = (sys.executable, "-m", "faust", "-A", "app", "worker", "-l", "info")
READY_SECONDS: Final = 120.0
END_SECONDS: Final = 120.0
ANSWER_SECONDS: Final = 60.0
LOG_TAIL_BYTES: Final = 12_000
OF_THE_CLIENT: Final = re.compile(r"\[aiokafka[\w.]*\]")
"""What the Kafka client logs is about brokers and the group: a broker that was just started makes the topic of its
groups for the first of them, a slow one answers late, and members that are slow lose their place."""


class Worker:
    """One worker, with a port for its views and a log of its own. Only its own pid is ever sent a signal."""

    def __init__(
        self, name: str, folder: Path, environment: Mapping[str, str], *, command: Sequence[str] = COMMAND
    ) -> None:
        self.name = name
        self.port = free_port()
        self._log = folder / f"{name}.log"
        own = {
            "FAMULUS_WORKER": name,
            "FAMULUS_WEB_PORT": str(self.port),
            "FAMULUS_DATA_DIR": str(folder / name),
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,  # not the checkout: a .env file there is somebody's own
                env={**foreign_environment(), **environment, **own},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """``None`` while the worker runs."""
        return self._process.poll()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def page(self, path: str) -> str:
        """What the views answer, as text."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=ANSWER_SECONDS) as answer:
            return str(answer.read().decode())

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def log_tail(self) -> str:
        return self._log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")

    async def ready(self, *, within: float = READY_SECONDS) -> None:
        """Wait until the worker has partitions of the jobs topic."""

        async def is_ready() -> bool:
            assert self.exit_code is None, f"{self.name} has ended with code {self.exit_code}\n{self.log_tail()}"
            return await asyncio.to_thread(_answers, f"{self.url}/health/ready")

        await eventually(is_ready, within=within, every=0.1)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash does, and return when it is gone."""
        self._process.kill()
        self._process.wait()

    async def ended(self, *, within: float = END_SECONDS) -> int:
        """Wait until it has ended by itself, and return its exit code."""
        await eventually(lambda: self.exit_code is not None, within=within, every=0.05)
        return self._process.returncode

    def problems(self) -> list[str]:
        """Lines of the log that no run may cause."""
        lines = (line for line in self.log().splitlines() if "Traceback" in line or "[error" in line)
        return [line for line in lines if OF_THE_CLIENT.search(line) is None]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
