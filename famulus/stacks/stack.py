"""Several servers that come and go together, with their ports, data and logs under one folder."""

from __future__ import annotations

import fcntl
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING

from famulus.stacks.errors import StackError
from famulus.stacks.ports import read_ports, settle_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from famulus.stacks.server import Progress, Server, ServerStatus


def keep_quiet(_: str) -> None:
    """The progress hook of those who do not want to hear."""


class Stack(ABC):
    """Starts and stops its servers; they outlive the program unless the stack is used as a context manager.

    The progress hook is called with one line of text at a time, also from other threads.
    """

    def __init__(
        self, data_dir: Path, *, wanted_ports: Mapping[str, int | None], progress: Progress = keep_quiet
    ) -> None:
        self.data_dir = data_dir.expanduser().resolve()
        self._ports_file = self.data_dir / "ports.json"
        self._wanted_ports = wanted_ports
        self._progress = progress

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def up(self) -> dict[str, str]:
        """Start every server that does not run, wait until all are ready, and return the environment of a worker.

        A second call finds everything running and returns the same. If one server fails, those that this call started
        are stopped again.
        """
        with self._locked():
            self._refuse_to_move_running_servers()
            servers = self._servers(settle_ports(self._ports_file, self._wanted_ports))
            started = [server for server in servers if not server.process.running()]
            try:
                self._start_together(servers)
            except BaseException:
                _stop_together(started)
                raise
        return self.environment()

    def down(self) -> list[str]:
        """Stop every server that runs and return the names of those; the data stays."""
        if not self.data_dir.exists():
            return []
        with self._locked():
            return _stop_together(self._remembered_servers())

    def status(self) -> list[ServerStatus]:
        return [server.status() for server in self._remembered_servers()]

    def environment(self) -> dict[str, str]:
        """Return the variables that make a worker use this stack; its ports must have been chosen by ``up``."""
        return self._environment(read_ports(self._ports_file))

    @abstractmethod
    def _servers(self, ports: Mapping[str, int]) -> Sequence[Server]:
        """Describe the servers on these ports, without touching anything."""

    @abstractmethod
    def _environment(self, ports: Mapping[str, int]) -> dict[str, str]:
        """Name the servers on these ports as a worker's settings do."""

    def _remembered_servers(self) -> Sequence[Server]:
        return self._servers(dict.fromkeys(self._wanted_ports, 0) | read_ports(self._ports_file))

    def _start_together(self, servers: Sequence[Server]) -> None:
        with ThreadPoolExecutor(max_workers=len(servers)) as pool:
            starts = [pool.submit(server.up, self._progress) for server in servers]
            wait(starts)
        for start in starts:
            start.result()

    def _refuse_to_move_running_servers(self) -> None:
        for server in self._remembered_servers():
            wanted = self._wanted_ports[server.name]
            if wanted is not None and wanted != server.port and server.process.running():
                raise StackError(
                    f"{server.name} already runs at {server.address}, so it cannot be given port {wanted}. "
                    f"Stop the stack in {self.data_dir} first."
                )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one program at a time start or stop servers of this folder; the lock dies with its holder."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with (self.data_dir / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _stop_together(servers: Sequence[Server]) -> list[str]:
    if not servers:
        return []
    with ThreadPoolExecutor(max_workers=len(servers)) as pool:
        stopped = pool.map(lambda server: (server.name, server.down()), servers)
    return [name for name, was_running in stopped if was_running]
