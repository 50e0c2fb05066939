"""Fault points strike where and when they are told to, cost nothing when off, and refuse what they cannot mean."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import signal
import subprocess
import sys
import time
import timeit
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.servers import foreign_environment

from famulus import faultpoints
from famulus.errors import SettingsError
from famulus.faultpoints import EXIT_CODE, K2, K4, K5, ON, POINTS, VARIABLE, FaultPointError, faults_of, reach

PACKAGE = Path(faultpoints.__file__).parent
OFF_NANOSECONDS = 100
"""What a place may cost that is not armed: a look at a constant of its module, on the slowest machine."""
THREE_TIMES = (
    "from famulus.faultpoints import K4, reach\nfor _ in range(3): print('here', flush=True); reach(K4, '{run}')"
)


def process(arming: str, code: str) -> subprocess.CompletedProcess[str]:
    """A process whose environment arms fault points: they are read when the module is imported."""
    environment = {**foreign_environment(), VARIABLE: arming}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def at(monkeypatch: pytest.MonkeyPatch, arming: str) -> None:
    monkeypatch.setattr(faultpoints, "_FAULTS", faults_of(arming))


def test_a_point_kills_the_process_at_the_hit_that_was_asked_for() -> None:
    ended = process("K4:kill:2", THREE_TIMES.format(run="r"))

    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout.splitlines() == ["here", "here"]


def test_a_point_exits_without_any_clean_up() -> None:
    code = "import atexit; atexit.register(print, 'cleaned up')\n" + THREE_TIMES.format(run="r")

    ended = process("K4:exit:1", code)

    assert (ended.returncode, ended.stdout.splitlines()) == (EXIT_CODE, ["here"])


def test_a_prefix_counts_only_the_hits_of_runs_whose_ids_begin_so() -> None:
    assert process("K4:exit:1:order-", THREE_TIMES.format(run="order-7")).returncode == EXIT_CODE
    assert process("K4:exit:1:order-", THREE_TIMES.format(run="loan-7")).returncode == 0


def test_a_point_stops_the_process_until_it_is_told_to_go_on() -> None:
    code = "from famulus.faultpoints import K4, reach\nreach(K4)\nprint('went on')"
    environment = {**foreign_environment(), VARIABLE: "K4:stop:1"}
    started = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        _, status = os.waitpid(started.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

        started.send_signal(signal.SIGCONT)

        assert started.communicate(timeout=60)[0] == "went on\n"
    finally:
        started.kill()


def test_a_point_raises_once_what_counts_as_a_failure_of_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, "K5:raise:2")

    reach(K5, "r")
    with pytest.raises(FaultPointError):
        reach(K5, "r")
    reach(K5, "r")


def test_a_point_delays_for_the_seconds_that_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, "K5:delay=0.05")

    assert timeit.timeit(lambda: reach(K5, "r"), number=1) >= 0.05


async def test_amid_strikes_while_the_caller_waits_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    delays: list[float] = []
    monkeypatch.setattr(faultpoints.time, "sleep", delays.append)
    at(monkeypatch, "K2:delay=0.05")

    faultpoints.reach_amid(K2, "r")
    before = list(delays)
    await asyncio.sleep(0)

    assert (before, delays) == ([], [0.05])


async def test_amid_raises_to_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, "K4:raise:1")

    with pytest.raises(FaultPointError):
        faultpoints.reach_amid(K4, "r")


def test_several_faults_of_a_point_count_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, "K5:raise:1:a, K5:raise:1:b")

    for run_id in ("a1", "b1"):
        with pytest.raises(FaultPointError):
            reach(K5, run_id)


@pytest.mark.parametrize(
    ("arming", "told"),
    [
        ("K11:kill:1", "there is no point 'K11'"),
        ("K4", "expected point:action:hit"),
        ("K4:explode:1", "there is no action 'explode'"),
        ("K4:delay:1", "there is no action 'delay'"),
        ("K4:delay=soon", "'soon' is no number of seconds"),
        ("K4:delay=-1", "'-1' is no number of seconds"),
        ("K4:kill=1", "there is no action 'kill=1'"),
        ("K4:kill:0", "'0' does not say at which hit"),
        ("K4:kill:first", "'first' does not say at which hit"),
        ("K9:raise:1", "nothing can be raised at K9"),
        ("K10:kill:1:order-", "knows none"),
    ],
)
def test_what_a_variable_cannot_mean_is_refused_with_its_name(arming: str, told: str) -> None:
    with pytest.raises(SettingsError) as raised:
        faults_of(arming)

    assert told in str(raised.value)
    assert VARIABLE in str(raised.value)


def test_a_worker_does_not_start_with_points_that_nobody_knows() -> None:
    ended = process(
        "K4:kill:1,K99:kill:1",
        "import agents, tables\nfrom app.factory import create_app\nfrom famulus.settings import Settings\n"
        "create_app(Settings(kafka_brokers='127.0.0.1:1'), agents=agents, tables=tables)",
    )

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].endswith(f"there is no point 'K99'; points are {', '.join(POINTS)}"), (
        ended.stderr
    )


def test_every_point_lies_where_the_docstring_says() -> None:
    told = re.findall(r"^    (K\d+) .* {2,}(\S+\.py(?:, \S+\.py)*)$", faultpoints.__doc__ or "", re.MULTILINE)

    found = {(point, file) for point, file, _ in places()}

    assert found == {(point, file) for point, files in told for file in files.split(", ")}
    assert {point for point, _ in found} == set(POINTS)


def test_every_point_asks_first_whether_any_is_armed() -> None:
    assert [place for place in places() if not place[-1]] == []


def places() -> Iterator[tuple[str, str, bool]]:
    """Every point that is come to: its name, the file, and whether that is asked first."""
    for file in PACKAGE.rglob("*.py"):
        if file.name != "faultpoints.py":
            yield from (
                (point, str(file.relative_to(PACKAGE)), asked) for point, asked in comings(ast.parse(file.read_text()))
            )


def comings(tree: ast.AST, *, asked: bool = False) -> Iterator[tuple[str, bool]]:
    for child in ast.iter_child_nodes(tree):
        asks = isinstance(child, ast.If) and any(isinstance(n, ast.Name) and n.id == "ON" for n in ast.walk(child.test))
        match child:
            case ast.Call(func=ast.Name("reach" | "reach_amid"), args=[ast.Name(point), *_]):
                yield point, asked
        yield from comings(child, asked=asked or asks)


def test_points_are_off_unless_somebody_arms_them() -> None:
    assert not ON


def test_an_armed_process_says_so_loudly() -> None:
    ended = process("K4:kill:1", "from famulus.faultpoints import warn_if_armed; warn_if_armed()")

    assert "FAULT POINTS ARE ARMED (FAMULUS_FAULTPOINTS=K4:kill:1)" in ended.stderr


def test_a_place_that_is_off_costs_no_call() -> None:
    """What each place has in it, timed against the same code without."""
    rounds = 100_000

    def with_place() -> None:
        for _ in range(rounds):
            if ON:
                reach(K5, "r")

    def without() -> None:
        for _ in range(rounds):
            pass

    def cost_of(code: Callable[[], None]) -> float:
        return min(timeit.repeat(code, timer=time.thread_time, number=1, repeat=5))

    spent = cost_of(with_place) - cost_of(without)

    assert spent / rounds * 1e9 < OFF_NANOSECONDS
