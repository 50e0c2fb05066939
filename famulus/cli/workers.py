"""Workers as child processes: started, found ready, restarted when they die, stopped in order."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO, Final

import click

from famulus.cli.stopping import StopRequest
from famulus.cli.terminal import plain
from famulus.stacks.ports import LOOPBACK

READY_SECONDS: Final = 60.0
"""A start takes about three; a machine that is busy may need longer."""
POLL_SECONDS: Final = 0.05
PROBE_SECONDS: Final = 2.0
GRACE_SECONDS: Final = 20.0
"""More than a worker gives its running steps (FAMULUS_DRAIN_SECONDS) by default."""
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 15.0
STABLE_SECONDS: Final = 30.0
"""A worker that lived so long is restarted at once."""
LOG_LINES: Final = 20


class Worker:
    """One worker and its restarts."""

    def __init__(self, environment: Mapping[str, str], *, port: int, log: Path | None) -> None:
        self.port = port
        self.log = log
        self._environment = {**environment, "FAMULUS_WEB_PORT": str(port)}
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._pause = 0.0
        self._restart_at: float | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def exit_code(self) -> int | None:
        """``None`` while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        self._started_at, self._restart_at = time.monotonic(), None
        with self._output() as output:
            self._process = subprocess.Popen(  # this very Python
                [sys.executable, "-m", "famulus.cli.child"],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                process_group=0,  # a Ctrl-C is ours to pass on
            )

    def look_after(self, tell: Callable[[str], None]) -> None:
        """Start it again if it has died, after a pause that grows while it keeps dying."""
        code = self.exit_code
        if code is None:
            return
        now = time.monotonic()
        if self._restart_at is None:
            lived = now - self._started_at
            self._pause = (
                0.0 if lived > STABLE_SECONDS else min(self._pause * 2 or FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
            )
            self._restart_at = now + self._pause
            tell(f"worker {self.pid} ended ({_ending(code)}); it is started again in {self._pause:g} s")
        elif now >= self._restart_at:
            self.let_go()
            self.start()

    def is_ready(self) -> bool:
        return answers(self.port, "/health/ready")

    def send(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def let_go(self) -> None:
        """After its end."""
        if self._process is not None:
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()

    def log_tail(self) -> str:
        if self.log is None or not self.log.exists():
            return "see what it printed above"
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        return f"the end of {self.log}:\n{plain(chr(10).join(lines))}"

    @contextlib.contextmanager
    def _output(self) -> Iterator[IO[bytes] | None]:
        if self.log is None:
            yield None
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as file:
            yield file


class Workers:
    def __init__(self, workers: Sequence[Worker]) -> None:
        self._workers = workers

    def start(self) -> None:
        for worker in self._workers:
            worker.start()

    def wait_ready(self, stop: StopRequest) -> bool:
        """Wait until all are ready; false if asked to stop before. Raises `ClickException` if one cannot start."""
        deadline = time.monotonic() + READY_SECONDS
        for worker in self._workers:
            while not worker.is_ready():
                if stop.wait(POLL_SECONDS):
                    return False
                code = worker.exit_code
                if code is not None:
                    raise click.ClickException(f"the worker cannot start ({_ending(code)}): {worker.log_tail()}")
                if time.monotonic() > deadline:
                    raise click.ClickException(
                        f"the worker was not ready within {READY_SECONDS:g} s: {worker.log_tail()}"
                    )
        return not stop

    def look_after(self, tell: Callable[[str], None]) -> None:
        for worker in self._workers:
            worker.look_after(tell)

    def stop(self, stop: StopRequest) -> None:
        """SIGTERM, and SIGKILL for those that take too long or when the user asks once more."""
        asked_before = stop.times
        for worker in self._workers:
            worker.send(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        for worker in self._workers:
            while worker.exit_code is None and worker.pid is not None:
                if time.monotonic() > deadline or stop.times > asked_before:
                    worker.send(signal.SIGKILL)
                    break
                time.sleep(POLL_SECONDS)
            worker.let_go()


def worker_environment(given: Mapping[str, str]) -> dict[str, str]:
    """Ours with what is given; the current folder is where modules of nodes are looked for first."""
    return {**os.environ, **given}


def answers(port: int, path: str) -> bool:
    """Say whether a web server on this port of loopback answers the path with 200."""
    connection = HTTPConnection(LOOPBACK, port, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
