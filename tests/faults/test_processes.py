"""Rows 13, 21, 24, 27 and 29: what happens to the processes of workers, and to their clocks, files and versions."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.documents import blueprint
from support.faulty import RECOVERY_SECONDS, RUNS, lasts, open_rig
from support.installation import BLUEPRINTS, END_SECONDS, FAN_STEPS
from support.servers import ROOT, TESTS
from support.world import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.faulty import Rig
    from support.workers import Worker

pytestmark = pytest.mark.slow

HOUR = 3600
GRACE_SECONDS = 30
"""What a supervisor gives a process that it has told to end, before it kills it: that of Kubernetes."""
NAPS = blueprint(
    "naps",
    {name: {"uses": "sleep", "params": {"duration": "700ms"}} for name in ("a", "b", "c")},
    ("a", "b"),
    ("b", "c"),
)
LIBFAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
EARLIER_VERSION = "b362c16"
"""The first commit whose tables have the keys of now: workers of an older one cannot open them."""


# -- row 13: SIGSTOP and SIGCONT under load ----------------------------------------------------------------------------


async def test_a_worker_that_sleeps_again_and_again_changes_nothing(own_rig: Rig) -> None:
    """Each time long enough to lose its partitions, and to write late when it wakes up."""
    first, second = await own_rig.start_workers(2)
    run_ids = []
    for worker in (first, second, first):
        run_ids += await own_rig.half_way(RUNS // 2)
        worker.send(signal.SIGSTOP)
        await lasts(8.0)
        worker.send(signal.SIGCONT)

    await own_rig.recovers(run_ids)


# -- row 21: workers come and go ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [3, pytest.param(40, marks=pytest.mark.long)])
async def test_runs_go_on_while_workers_come_and_go(own_rig: Rig, rounds: int) -> None:
    await own_rig.start_workers(1)
    run_ids: list[str] = []
    for number in range(rounds):
        run_ids += await own_rig.installation.start_runs(RUNS // 2)
        before = len(own_rig.calls_of(run_ids))
        (guest,) = await own_rig.start_workers(1)
        await own_rig.called(run_ids, before + 1)
        if number % 2:
            guest.kill()
        else:
            guest.send(signal.SIGTERM)
            assert await guest.ended() == 0

    await own_rig.recovers(run_ids)
    calls = own_rig.installation.executed_twice().values()
    # Partitions move when a guest comes and when it goes.
    assert max(calls, default=1) <= 1 + 2 * rounds, "a step is not started again for ever"


# -- row 24: clocks ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(LIBFAKETIME is None, reason="the package libfaketime is not installed")
@pytest.mark.parametrize("seconds", [HOUR, pytest.param(-HOUR, marks=pytest.mark.long)])
async def test_a_worker_whose_clock_is_an_hour_off_loses_nothing(own_rig: Rig, seconds: int) -> None:
    """It dies half way, so the other one writes over what it left."""
    # Its monotonic clock is off by as much, which means nothing; left alone, `time.sleep` would fail in libfaketime.
    clock = {"LD_PRELOAD": str(LIBFAKETIME), "FAKETIME": f"{seconds:+d}"}
    run_ids, wrong = await both_half_way(own_rig, clock)

    wrong.kill()

    await own_rig.recovers(run_ids)


@pytest.mark.long
async def test_a_worker_whose_clock_jumps_to_and_fro_loses_nothing(own_rig: Rig, tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_text("+0")
    (tmp_path / "sitecustomize.py").write_text(JUMPING_CLOCK)
    path = os.pathsep.join([str(tmp_path), str(ROOT), str(TESTS)])
    run_ids, wrong = await both_half_way(own_rig, {"PYTHONPATH": path, "CLOCK_OFFSET": str(offset)})

    for seconds in (HOUR, -HOUR, 0, -HOUR):
        offset.write_text(f"{seconds:+d}")
        run_ids += await own_rig.half_way(RUNS // 4)
    wrong.kill()

    await own_rig.recovers(run_ids)


JUMPING_CLOCK = """
import os, time
real = time.time
def jumping():
    with open(os.environ["CLOCK_OFFSET"]) as file:
        return real() + int(file.read() or 0)
time.time = jumping
"""


async def both_half_way(rig: Rig, clock: dict[str, str]) -> tuple[list[str], Worker]:
    """Runs on a worker with a right clock and on the one that is returned, which has another."""
    (right,) = await rig.start_workers(1)
    (wrong,) = await rig.start_workers(1, **clock)
    run_ids = await rig.half_way()
    return [*run_ids, *await both_work(rig, right, wrong)], wrong


# -- row 27: signals, file handles, disks ------------------------------------------------------------------------------


async def gated(rig: Rig) -> list[str]:
    """Runs with a step that is at work until the gate opens."""
    run_ids = await rig.installation.start_runs(4, "gated")
    await eventually(
        lambda: {call.run_id for call in rig.calls_of(run_ids) if call.step_id == "closed"} == set(run_ids),
        within=END_SECONDS,
        every=0.05,
    )
    return run_ids


@pytest.mark.parametrize(
    "signals",
    [
        (signal.SIGTERM,),
        *(pytest.param(given, marks=pytest.mark.long) for given in [(signal.SIGINT,), (signal.SIGINT, signal.SIGINT)]),
    ],
)
async def test_a_worker_that_is_told_to_end_ends_in_time_and_leaves_the_rest_to_the_next(
    own_rig: Rig, signals: tuple[signal.Signals, ...]
) -> None:
    (worker,) = await own_rig.start_workers(1, FAMULUS_DRAIN_SECONDS="3")
    epoch = await own_rig.installation.take_epoch()
    run_ids = await gated(own_rig)

    for number in signals:
        worker.send(number)
        await lasts(0.5)
    await worker.ended(within=GRACE_SECONDS)

    own_rig.installation.open_gate()
    await own_rig.start_workers(1)
    async with own_rig.installation.records() as auditor:
        await auditor.ended(run_ids)
        await auditor.all_agrees()
    assert await own_rig.installation.called_too_often(epoch) == {}


async def test_a_worker_without_file_handles_goes_on_when_it_has_some_again(
    servers: Mapping[str, str], tmp_path: Path
) -> None:
    """Its connections break and it cannot make new ones. The nodes open no files, for what they do is their own."""
    async with open_rig(servers, tmp_path, blueprints=(*BLUEPRINTS, NAPS)) as rig:
        (worker,) = await rig.start_workers(1)
        await rig.recovers(await rig.installation.start_runs(RUNS))
        least, most = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)

        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (open_files(worker) - 1, most))
        run_ids = await rig.installation.start_runs(RUNS, "naps")
        for proxy in rig.proxies:
            proxy.reset()
        await lasts(3.0)
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (least, most))

        async with rig.installation.records() as auditor:
            await auditor.ended(run_ids)
        await rig.recovers(await rig.installation.start_runs(RUNS))


def open_files(worker: Worker) -> int:
    return len(list(Path(f"/proc/{worker.pid}/fd").iterdir()))


@pytest.mark.embedded
@pytest.mark.long
async def test_a_full_disk_loses_nothing_and_is_over_when_there_is_room(
    embedded_servers: Mapping[str, str], tmp_path: Path
) -> None:
    """No file of the worker may grow beyond what SQLite's has, so every commit fails for some seconds."""
    async with open_rig(embedded_servers, tmp_path) as rig:
        (worker,) = await rig.start_workers(1)
        await rig.recovers(await rig.installation.start_runs(RUNS))
        written = [file.stat().st_size for file in rig.installation.folder.glob("famulus.db*")]
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (max(written), resource.RLIM_INFINITY))

        run_ids = await rig.installation.start_runs(8 * RUNS)
        await lasts(5.0)
        assert await rig.installation.unfinished(run_ids) > 0, "the disk was not full"
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

        await rig.recovers(run_ids, within=2 * RECOVERY_SECONDS)


# -- row 29: workers of two versions -----------------------------------------------------------------------------------


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A checkout of the earlier version."""
    git = shutil.which("git")
    if (
        git is None
        or subprocess.run(
            [git, "cat-file", "-e", EARLIER_VERSION], cwd=ROOT, check=False, capture_output=True
        ).returncode
    ):
        pytest.skip(f"the history of this checkout does not reach back to {EARLIER_VERSION}")
    folder = tmp_path / "earlier"
    folder.mkdir()
    archive = subprocess.run([git, "archive", EARLIER_VERSION], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    return folder


@pytest.mark.real
async def test_workers_of_two_versions_share_the_runs_and_one_replaces_the_other(
    real_servers: Mapping[str, str], tmp_path: Path, earlier: Path
) -> None:
    """As in a rolling deployment: the tables are migrated first, then workers are replaced one after the other.

    A SQLite file is one worker's own: an older one refuses a file that a newer one has migrated.
    """
    async with open_rig(real_servers, tmp_path) as rig:
        path = os.pathsep.join([str(earlier), str(earlier / "tests")])
        (old,) = await rig.start_workers(1, PYTHONPATH=path)
        run_ids = await rig.half_way()

        (new,) = await rig.start_workers(1)
        run_ids += await rig.half_way()
        await rig.called(run_ids, len(run_ids) * len(FAN_STEPS) // 2)
        run_ids += await both_work(rig, old, new)
        old.send(signal.SIGTERM)

        assert await old.ended() == 0
        await rig.recovers(run_ids)


async def both_work(rig: Rig, *workers: Worker) -> list[str]:
    """Start more runs until each of the workers has called a step; returns their ids."""
    run_ids: list[str] = []
    async with asyncio.timeout(END_SECONDS):
        while not {worker.pid for worker in workers} <= {call.pid for call in rig.installation.executions()}:
            run_ids += await rig.installation.start_runs(5)
            await asyncio.sleep(0.5)
    return run_ids
