"""One server process that outlives the command that started it.

The rule of this file: a signal is sent only to the process that we started. A pid alone does not tell, because the
system gives it to someone else once ours is gone; so the pid file also holds the moment the process began, and both
must match.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from famulus.stacks.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

POLL_SECONDS: Final = 0.05
KILL_SECONDS: Final = 10
LOG_TAIL_LINES: Final = 20
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class PidRecord:
    """What the pid file holds."""

    pid: int
    birth: str
    """When the process began, in the words of the system; equal only for the same process."""
    since: float
    """Seconds since the epoch at our start of it, for the uptime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSight:
    """What the system says about a pid."""

    birth: str
    zombie: bool
    """It has ended, and only its exit code waits to be fetched."""


class ManagedProcess:
    """A process in a session of its own, so that neither Ctrl-C nor a closed terminal reaches it.

    Everything about it lies in ``folder``: ``server.log``, the log of the run before, and ``pid.json``. Any later
    program finds the process again through a ``ManagedProcess`` of the same folder.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.log = folder / "server.log"
        self._folder = folder
        self._pid_file = folder / "pid.json"

    @property
    def pid(self) -> int | None:
        record = self._living()
        return record.pid if record else None

    @property
    def uptime_seconds(self) -> float | None:
        record = self._living()
        return max(0.0, time.time() - record.since) if record else None

    def running(self) -> bool:
        return self._living() is not None

    def start(self, command: Sequence[str]) -> None:
        """Start the command; does nothing when the process already runs."""
        if self.running():
            return

        self._folder.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.old"))
        pid = self._spawn(command)

        # A crash right here leaves a server that no pid file names: the next start finds its port taken and says so.
        sight = look_at(pid)
        if sight is not None:
            self._remember(PidRecord(pid=pid, birth=sight.birth, since=time.time()))

    def wait_ready(self, answers: Callable[[], bool], *, seconds: float) -> bool:
        """Return True once ``answers`` says yes, False if the process has ended; raise a StackError when it is late."""
        deadline = time.monotonic() + seconds
        while self.running():
            if answers():
                return True
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} did not answer within {seconds:g} s. {self.log_tail()}")
            time.sleep(POLL_SECONDS)
        return False

    def stop(self, *, grace_seconds: float) -> bool:
        """Ask the process to end, and kill it after the grace; say whether there was one to stop."""
        record = self._living()
        if record is not None:
            self._signal(record, signal.SIGTERM)
            if not self._wait_gone(grace_seconds):
                self._signal(record, signal.SIGKILL)
                self._require_gone(record)
        self._pid_file.unlink(missing_ok=True)
        return record is not None

    def log_tail(self) -> str:
        """Return the last lines of the log with its path, for an error message."""
        try:
            with self.log.open(errors="replace") as lines:
                tail = "".join(deque(lines, LOG_TAIL_LINES))
        except FileNotFoundError:
            tail = ""
        return f"The end of {self.log}:\n{tail.rstrip() or '(empty)'}"

    def _spawn(self, command: Sequence[str]) -> int:
        # Not subprocess.Popen: it warns when it is collected while the process lives on, which is the purpose here.
        try:
            return os.posix_spawn(
                command[0],
                list(command),
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, str(self.log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
                setsigdef=[signal.SIGPIPE],  # Python ignores it, and a child would inherit that
            )
        except OSError as error:
            raise StackError(f"{self.name} cannot be started: {command[0]}: {error.strerror}.") from error

    def _living(self) -> PidRecord | None:
        record = self._recall()
        sight = look_at(record.pid) if record else None
        if record is None or sight is None or sight.birth != record.birth:
            return None
        if sight.zombie:
            _reap(record.pid)
            return None
        return record

    def _recall(self) -> PidRecord | None:
        try:
            return PidRecord(**json.loads(self._pid_file.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None  # never started, or a file that a crash cut short

    def _remember(self, record: PidRecord) -> None:
        self._pid_file.write_text(json.dumps(asdict(record)))

    def _wait_gone(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.running():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def _require_gone(self, record: PidRecord) -> None:
        if not self._wait_gone(KILL_SECONDS):
            raise StackError(f"{self.name} (pid {record.pid}) did not end within {KILL_SECONDS} s of being killed.")

    def _signal(self, record: PidRecord, number: signal.Signals) -> None:
        try:
            os.killpg(record.pid, number)  # it leads its own session, so the group has its pid
        except ProcessLookupError:
            return


def look_at(pid: int) -> ProcessSight | None:
    """Say what the system knows of the pid, or None when no such process exists."""
    return _look_in_proc(pid) if sys.platform == "linux" else _ask_ps(pid)


def _look_in_proc(pid: int) -> ProcessSight | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in brackets and may hold spaces and brackets itself; see proc(5).
    state, *fields = stat.rpartition(")")[2].split()
    threads, start_ticks = int(fields[16]), fields[18]
    # A JVM is marked Z as soon as its first thread has ended, while others still write its files and hold its ports.
    zombie = state == "Z" and threads <= 1
    return ProcessSight(birth=f"{BOOT_ID.read_text().strip()} {start_ticks}", zombie=zombie)


def _ask_ps(pid: int) -> ProcessSight | None:
    answer = subprocess.run(  # noqa: S603
        ["/bin/ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C", "TZ": "UTC"},
    )
    state, _, birth = answer.stdout.strip().partition(" ")
    return ProcessSight(birth=birth.strip(), zombie=state.startswith("Z")) if birth else None


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return  # another program started it
