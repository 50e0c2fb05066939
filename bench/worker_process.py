"""A worker as a process of its own, started as a user starts it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.machine import ROOT
from famulus.stacks.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 20.0
LOG_TAIL_BYTES: Final = 3000
# Where these are set for something else, they must not reach the worker that is measured.
OURS: Final = ("FAMULUS_", "KAFKA_BROKERS", "CASSANDRA_", "REDIS_URL", "EXEC_LOG")


class WorkerError(RuntimeError):
    """A worker ended, or was not ready in time; the message holds the end of its log."""


def worker_command(app: str, loop: str) -> list[str]:
    return [sys.executable, "-m", "faust", "-A", app, "--loop", loop, "worker", "-l", "warn"]


def foreign_environment() -> dict[str, str]:
    """The environment of this process without what configures famulus, and with the checkout to import from."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


class WorkerProcess:
    """One `faust -A app worker`, with its own port for the views and its own folder."""

    def __init__(self, name: str, *, app: str, loop: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._log = folder / f"{name}.log"
        self._port = free_port()
        own = {
            "FAMULUS_WEB_PORT": str(self._port),
            "FAMULUS_DATA_DIR": str(folder / name),
            "FAMULUS_WORKER": name,
            "FAMULUS_LOG_LEVEL": "warning",
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                worker_command(app, loop),
                cwd=folder,  # not the checkout: a .env file there is somebody's own
                env={**foreign_environment(), **environment, **own},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def metric(self, name: str) -> float:
        """What `/metrics` says, of a worker with FAMULUS_PROMETHEUS."""
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self._port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))

    async def wait_ready(self) -> None:
        """Return once the worker has partitions. Raises `WorkerError`."""
        deadline = time.monotonic() + READY_SECONDS
        while not await asyncio.to_thread(is_ready, self._port):
            self.check()
            if time.monotonic() > deadline:
                raise WorkerError(f"no worker was ready in {READY_SECONDS:g} s\n{self._log_tail()}")
            await asyncio.sleep(0.1)

    def check(self) -> None:
        """Raise `WorkerError` if the worker has ended."""
        if self._process.poll() is not None:
            raise WorkerError(f"a worker ended with code {self._process.returncode}\n{self._log_tail()}")

    def problems(self) -> int:
        """How many lines of the log speak of errors."""
        return sum("error" in line.lower() or "Traceback" in line for line in self._log_lines())

    async def stop(self) -> None:
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _log_lines(self) -> list[str]:
        return self._log.read_text(errors="replace").splitlines()

    def _log_tail(self) -> str:
        return self._log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/health/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
