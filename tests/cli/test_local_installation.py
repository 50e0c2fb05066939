"""`famulus dev` and `famulus demo` as processes: ready soon, gone when asked, and what was begun goes on later."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from famulus.stacks.ports import free_port
from famulus.stacks.process import look_at

pytestmark = pytest.mark.embedded

CHECKOUT = Path(__file__).parents[2]
READY_SECONDS = 5.0
IMPORTING = "import faust, aiokafka, cassandra.cluster, aiohttp, pydantic_settings"
IMPORT_SECONDS = 0.5
"""How long a machine takes for that on which dev is ready within `READY_SECONDS`."""
PATIENCE_SECONDS = 180.0

NODES = """
import time
from pathlib import Path
from famulus.nodes import node

@node("count")
def count(ctx, file):
    with Path(file).open("a") as log:
        log.write(f"{ctx.node_id}\\n")

@node("wait_for_file")
def wait_for_file(file):
    while not Path(file).exists():
        time.sleep(0.01)
    return "seen"
"""
BLUEPRINT = {
    "id": "patient",
    "nodes": [
        {"id": "first", "uses": "count", "inputs": {"file": "log"}},
        {"id": "wait", "uses": "wait_for_file", "inputs": {"file": "awaited"}},
        {"id": "last", "uses": "count", "inputs": {"file": "log"}},
    ],
    "edges": [{"source": "first", "target": "wait"}, {"source": "wait", "target": "last"}],
}


class Command:
    """A `famulus` command as a process, with what it prints in a file."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.output = folder / f"output-{time.monotonic_ns()}"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "famulus.cli", *arguments],
                cwd=folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def printed(self) -> str:
        return self.output.read_text(errors="replace")

    def until_printed(self, pattern: str) -> re.Match[str]:
        def look() -> re.Match[str] | None:
            assert self.process.poll() is None, self.printed
            return re.search(pattern, self.printed)

        return eventually(look)

    def family(self) -> set[int]:
        """The pids of the command, its workers, and the servers of its data folder."""
        return {self.process.pid, *self.workers(), *self.servers()}

    def workers(self) -> set[int]:
        return children_of(self.process.pid) - self.servers()

    def servers(self) -> set[int]:
        return {int(json.loads(file.read_text())["pid"]) for file in self.folder.glob(".famulus/**/pid.json")}

    def kill_family(self) -> None:
        for pid in self.family():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()


def environment() -> dict[str, str]:
    named = {name: value for name, value in os.environ.items() if not name.startswith("FAMULUS_")}
    for name in ("KAFKA_BROKERS", "CASSANDRA_CONTACT_POINTS", "REDIS_URL"):
        named.pop(name, None)
    return {**named, "PYTHONPATH": str(CHECKOUT), "COLUMNS": "200"}


def eventually(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (seen := look()):
        assert time.monotonic() < deadline, f"{look} saw nothing within {PATIENCE_SECONDS} s"
        time.sleep(0.02)
    return seen


def children_of(pid: int) -> set[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return {int(child) for child in children.read_text().split()} if children.exists() else set()


def is_gone(pid: int) -> bool:
    sight = look_at(pid)
    return sight is None or sight.zombie


def slowness() -> float:
    """Of the machine at the moment; 1: fast enough."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", IMPORTING], env=environment(), check=True)
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    return max(load, (time.monotonic() - began) / IMPORT_SECONDS)


def famulus(folder: Path, *arguments: str) -> Any:
    """Call a command that prints JSON and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "famulus.cli", *arguments, "--json"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def statuses(folder: Path, run_id: str) -> Mapping[str, str]:
    return {step["node_id"]: step["status"] for step in famulus(folder, "run", "show", run_id)["steps"]}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "patient_nodes.py").write_text(NODES)
    (tmp_path / "patient.json").write_text(json.dumps(BLUEPRINT))
    return tmp_path


@pytest.fixture
def command(project: Path) -> Iterator[Callable[..., Command]]:
    started: list[Command] = []

    def start(*arguments: str) -> Command:
        started.append(Command(project, *arguments))
        return started[-1]

    yield start

    for each in started:
        each.kill_family()


@pytest.fixture
def dev(command: Callable[..., Command]) -> Callable[..., Command]:
    def start(*arguments: str) -> Command:
        nodes = ("--nodes", "patient_nodes", "--blueprints", "patient.json")
        started = command("dev", "--port", str(free_port()), *nodes, *arguments)
        started.until_printed("famulus is ready")
        return started

    return start


@pytest.fixture
def given(project: Path) -> dict[str, str]:
    return {"log": str(project / "log"), "awaited": str(project / "awaited")}


def begin_waiting_run(folder: Path, given: Mapping[str, str]) -> None:
    famulus(folder, "run", "start", "patient", "--id", "r1", "--input", json.dumps(given))
    eventually(lambda: (folder / "log").exists() and statuses(folder, "r1")["first"] == "completed")


def test_dev_is_ready_soon(dev: Callable[..., Command]) -> None:
    """As fast as the machine is before and after: how long it takes for what a worker does at least."""
    before = slowness()
    printed = dev().until_printed(r"ready after ([\d.]+) s")
    after = slowness()

    assert float(printed[1]) < READY_SECONDS * max(1.0, before, after)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_dev_stops_everything_when_asked(dev: Callable[..., Command], number: signal.Signals) -> None:
    running = dev()
    family = running.family()
    assert len(family) == 4  # the command, a worker, Tansu, Valkey

    running.process.send_signal(number)

    assert running.process.wait(PATIENCE_SECONDS) == 0
    assert all(map(is_gone, family))


def test_dev_restarts_a_worker_that_dies(dev: Callable[..., Command], project: Path, given: Mapping[str, str]) -> None:
    running = dev()
    begin_waiting_run(project, given)
    (worker,) = running.workers()

    os.kill(worker, signal.SIGKILL)
    (project / "awaited").touch()

    eventually(lambda: running.workers() - {worker})
    eventually(lambda: set(statuses(project, "r1").values()) == {"completed"})
    assert (project / "log").read_text().split() == ["first", "last"]


def test_worker_of_a_killed_dev_ends_by_itself(dev: Callable[..., Command]) -> None:
    running = dev()
    (worker,) = running.workers()

    running.process.kill()
    running.process.wait()

    eventually(lambda: is_gone(worker))


def test_runs_go_on_after_everything_was_killed(
    dev: Callable[..., Command], project: Path, given: Mapping[str, str]
) -> None:
    running = dev()
    begin_waiting_run(project, given)

    running.kill_family()
    (project / "awaited").touch()
    dev()

    eventually(lambda: set(statuses(project, "r1").values()) == {"completed"})
    assert (project / "log").read_text().split() == ["first", "last"]


def test_second_dev_in_a_folder_is_refused(dev: Callable[..., Command], command: Callable[..., Command]) -> None:
    dev()

    second = command("dev")

    assert second.process.wait(PATIENCE_SECONDS) == 1
    assert "already runs" in second.printed


def test_dev_whose_nodes_cannot_be_imported_ends_with_the_reason(command: Callable[..., Command]) -> None:
    broken = command("dev", "--nodes", "no_such_module")
    assert broken.process.wait(PATIENCE_SECONDS) == 1

    assert "module 'no_such_module' cannot be imported" in broken.printed
    assert "Traceback" not in broken.printed
    assert all(map(is_gone, broken.family()))


def test_start_waits_for_the_end_and_a_repeated_one_finds_it(
    dev: Callable[..., Command], project: Path, given: Mapping[str, str]
) -> None:
    dev()
    (project / "awaited").touch()
    start = ("run", "start", "patient", "--id", "r1", "--input", json.dumps(given))

    view = famulus(project, *start, "--wait")

    assert view["status"] == "completed"
    assert famulus(project, *start) == {"run_id": "r1", "outcome": "existing"}


def test_cancelled_run_is_watched_to_its_end(
    dev: Callable[..., Command], project: Path, given: Mapping[str, str], command: Callable[..., Command]
) -> None:
    dev()
    begin_waiting_run(project, given)
    watching = command("run", "watch", "r1")

    famulus(project, "run", "cancel", "r1", "--reason", "enough", "--by", "ada")

    assert watching.process.wait(PATIENCE_SECONDS) == 2
    events = famulus(project, "run", "show", "r1")["events"]
    assert {"by": "ada", "reason": "enough"}.items() <= next(
        e for e in events if e["type"] == "run.cancel_requested"
    ).items()
    (project / "awaited").touch()


def test_demo_writes_a_report_and_leaves_nothing_behind(command: Callable[..., Command], project: Path) -> None:
    (project / "folder").mkdir()
    (project / "folder" / "poem.txt").write_text("famulus famulus")

    demo = command("demo", str(project / "folder"), "--port", str(free_port()))
    family = set(demo.family())
    assert demo.process.wait(PATIENCE_SECONDS) == 0, demo.printed

    assert "report  " in demo.printed
    report = (project / ".famulus/demo/report.md").read_text()
    assert "| files | 1 |" in report
    assert all(map(is_gone, family | demo.family()))


def test_demo_that_is_kept_ends_on_ctrl_c(command: Callable[..., Command], project: Path) -> None:
    (project / "empty").mkdir()
    demo = command("demo", str(project / "empty"), "--keep", "--port", str(free_port()), "--out", "mine.html")
    demo.until_printed("until Ctrl-C")
    family = demo.family()

    demo.process.send_signal(signal.SIGINT)

    assert demo.process.wait(PATIENCE_SECONDS) == 0
    assert (project / "mine.html").exists()
    assert all(map(is_gone, family))
