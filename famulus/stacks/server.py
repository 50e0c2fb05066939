"""One server of a stack: what to run, when it is ready, and what can be told about it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from famulus.stacks.errors import StackError
from famulus.stacks.ports import LOOPBACK, port_is_free

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from famulus.stacks.process import ManagedProcess

    Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """What ``famulus stack status`` shows of a server."""

    name: str
    running: bool
    pid: int | None
    address: str
    """``127.0.0.1:PORT``, or empty while no port was chosen yet."""
    uptime_seconds: float | None
    version: str
    log: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server program on a port of loopback.

    ``prepare`` fetches what the program needs, writes its configuration and returns the command; it runs only before
    a start, so asking for the status of a server that was never started touches nothing.
    """

    name: str
    version: str
    port: int
    process: ManagedProcess
    prepare: Callable[[Progress], Sequence[str]]
    answers: Callable[[int], bool]
    ready_seconds: float
    """How long a start may take on a slow machine before it counts as failed."""
    grace_seconds: float
    """How long the program may take to put its data in order after SIGTERM."""

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}" if self.port else ""

    def up(self, progress: Progress) -> None:
        """Start the server unless it runs, and return once it answers."""
        began = time.monotonic()
        # The wait comes first also because a server that was killed a moment ago may still be on its way out.
        if not self._wait_ready():
            self._start(progress)
            if not self._wait_ready():
                raise StackError(f"{self.name} ended before it was ready. {self.process.log_tail()}")
        progress(f"{self.name}: ready at {self.address} ({time.monotonic() - began:.1f} s)")

    def down(self) -> bool:
        """Stop the server; say whether it was running."""
        return self.process.stop(grace_seconds=self.grace_seconds)

    def status(self) -> ServerStatus:
        pid = self.process.pid
        return ServerStatus(
            name=self.name,
            running=pid is not None,
            pid=pid,
            address=self.address,
            uptime_seconds=self.process.uptime_seconds,
            version=self.version,
            log=self.process.log,
        )

    def _start(self, progress: Progress) -> None:
        self._require_free_port()
        command = self.prepare(progress)
        progress(f"{self.name}: starting")
        self.process.start(command)

    def _wait_ready(self) -> bool:
        return self.process.wait_ready(lambda: self.answers(self.port), seconds=self.ready_seconds)

    def _require_free_port(self) -> None:
        if not port_is_free(self.port):
            raise StackError(
                f"{self.name} cannot listen on {self.address}: another program does. "
                f"Stop that program, or choose another port for {self.name}."
            )
