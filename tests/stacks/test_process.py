"""A managed process is found again, told apart from a stranger with its pid, and stopped for good."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from famulus.stacks import StackError
from famulus.stacks.process import ManagedProcess, _ask_ps, look_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLEEPER = "import time; print('awake', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)

PATIENCE_SECONDS = 60.0


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ManagedProcess]:
    managed = ManagedProcess("dummy", tmp_path / "dummy")
    yield managed
    managed.stop(grace_seconds=0.1)


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", SLEEPER], start_new_session=True, stdout=subprocess.DEVNULL) as popen:
        yield popen
        popen.kill()


def start(process: ManagedProcess, script: str, *, until: str = "") -> None:
    process.start([sys.executable, "-c", script])
    assert process.wait_ready(lambda: until in process.log.read_text(), seconds=PATIENCE_SECONDS)


def test_started_process_is_found_again_through_its_folder(process: ManagedProcess, tmp_path: Path) -> None:
    start(process, SLEEPER, until="awake")

    found = ManagedProcess("dummy", tmp_path / "dummy")

    assert found.running()
    assert found.pid == process.pid
    assert found.uptime_seconds is not None


def test_process_leads_a_session_of_its_own(process: ManagedProcess) -> None:
    start(process, SLEEPER)

    assert process.pid is not None
    assert os.getsid(process.pid) == process.pid


def test_second_start_keeps_the_first_process(process: ManagedProcess) -> None:
    start(process, SLEEPER)
    first = process.pid

    process.start([sys.executable, "-c", SLEEPER])

    assert process.pid == first


def test_stopped_process_is_gone(process: ManagedProcess) -> None:
    start(process, SLEEPER, until="awake")
    pid = process.pid
    assert pid is not None

    assert process.stop(grace_seconds=5)

    assert not process.running()
    assert look_at(pid) is None


def test_process_that_ignores_sigterm_is_killed_after_the_grace(process: ManagedProcess) -> None:
    start(process, STUBBORN, until="deaf")

    assert process.stop(grace_seconds=0.2)

    assert not process.running()


def test_process_killed_from_outside_does_not_run(process: ManagedProcess) -> None:
    start(process, SLEEPER)
    assert process.pid is not None

    os.kill(process.pid, signal.SIGKILL)

    assert not process.wait_ready(lambda: False, seconds=PATIENCE_SECONDS)
    assert not process.running()


def test_stranger_with_the_same_pid_is_never_signalled(
    process: ManagedProcess, stranger: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    record = {"pid": stranger.pid, "birth": "another boot 12345", "since": time.time()}
    (tmp_path / "dummy").mkdir()
    (tmp_path / "dummy" / "pid.json").write_text(json.dumps(record))

    assert not process.running()
    assert not process.stop(grace_seconds=0.1)
    assert stranger.poll() is None


def test_pid_file_cut_short_by_a_crash_counts_as_not_running(process: ManagedProcess, tmp_path: Path) -> None:
    (tmp_path / "dummy").mkdir()
    (tmp_path / "dummy" / "pid.json").write_text('{"pid": 12')

    assert not process.running()


def test_process_that_dies_early_is_not_ready_and_leaves_its_last_words(process: ManagedProcess) -> None:
    process.start([sys.executable, "-c", "print('port already in use'); raise SystemExit(1)"])

    assert not process.wait_ready(lambda: False, seconds=PATIENCE_SECONDS)

    assert process.log_tail().endswith("port already in use")


def test_process_that_never_answers_is_reported_with_the_time_it_had(process: ManagedProcess) -> None:
    process.start([sys.executable, "-c", SLEEPER])

    with pytest.raises(StackError, match=r"did not answer within 0\.1 s"):
        process.wait_ready(lambda: False, seconds=0.1)


def test_missing_program_is_an_error_that_names_it(process: ManagedProcess) -> None:
    with pytest.raises(StackError, match="/nowhere/server: No such file"):
        process.start(["/nowhere/server"])


def test_log_of_the_run_before_is_kept_apart(process: ManagedProcess) -> None:
    start(process, "import time; print('first', flush=True); time.sleep(600)", until="first")
    process.stop(grace_seconds=5)

    start(process, "import time; print('second', flush=True); time.sleep(600)", until="second")

    assert process.log.read_text() == "second\n"
    assert process.log.with_suffix(".log.old").read_text() == "first\n"


@pytest.mark.parametrize("look", [look_at, _ask_ps])
def test_birth_is_the_same_each_time_and_absent_after_death(process: ManagedProcess, look: object) -> None:
    assert callable(look)
    start(process, SLEEPER)
    pid = process.pid

    first, second = look(pid), look(pid)
    process.stop(grace_seconds=5)

    assert first == second
    assert first is not None
    assert not first.zombie
    assert look(pid) is None
