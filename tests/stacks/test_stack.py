"""What holds for every stack, shown on small servers written in Python."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import pytest

from famulus.stacks import StackError
from famulus.stacks.ports import LOOPBACK, port_is_free
from famulus.stacks.process import ManagedProcess
from famulus.stacks.server import Server
from famulus.stacks.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from famulus.stacks.server import Progress

LISTENER = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(600)"
BROKEN = "raise SystemExit('no disk')"


class TwoServers(Stack):
    """Two listeners; ``second`` runs another script when told to."""

    def __init__(self, data_dir: Path, *, first_port: int | None = None, second_script: str = LISTENER) -> None:
        super().__init__(data_dir, wanted_ports={"first": first_port, "second": None})
        self._scripts = {"first": LISTENER, "second": second_script}

    def _servers(self, ports: Mapping[str, int]) -> Sequence[Server]:
        return [self._server(name, ports[name]) for name in ("first", "second")]

    def _environment(self, ports: Mapping[str, int]) -> dict[str, str]:
        return {"FIRST": f"{LOOPBACK}:{ports['first']}"}

    def _server(self, name: str, port: int) -> Server:
        def prepare(_: Progress) -> Sequence[str]:
            return [sys.executable, "-c", self._scripts[name], str(port)]

        return Server(
            name=name,
            version="1",
            port=port,
            process=ManagedProcess(name, self.data_dir / name),
            prepare=prepare,
            answers=lambda port: not port_is_free(port),
            ready_seconds=60,
            grace_seconds=1,
        )


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[TwoServers]:
    stack = TwoServers(tmp_path / "stack")
    yield stack
    stack.down()


def pids(stack: Stack) -> list[int | None]:
    return [server.pid for server in stack.status()]


def test_second_up_finds_the_same_servers_on_the_same_ports(stack: TwoServers) -> None:
    environment, before = stack.up(), pids(stack)

    assert stack.up() == environment
    assert pids(stack) == before


def test_up_starts_only_what_does_not_run(stack: TwoServers) -> None:
    environment = stack.up()
    first, second = pids(stack)
    ManagedProcess("second", stack.data_dir / "second").stop(grace_seconds=1)

    assert stack.up() == environment

    assert pids(stack)[0] == first
    assert pids(stack)[1] not in {None, second}


def test_down_names_what_it_stopped_and_a_second_down_nothing(stack: TwoServers) -> None:
    stack.up()

    assert stack.down() == ["first", "second"]
    assert stack.down() == []
    assert [server.running for server in stack.status()] == [False, False]


def test_failed_up_stops_what_it_started_and_tells_why(stack: TwoServers) -> None:
    broken = TwoServers(stack.data_dir, second_script=BROKEN)

    with pytest.raises(StackError, match=r"second ended before it was ready(?s:.*)no disk"):
        broken.up()

    assert pids(stack) == [None, None]


def test_failed_up_leaves_alone_what_ran_before(stack: TwoServers) -> None:
    stack.up()
    first = pids(stack)[0]
    ManagedProcess("second", stack.data_dir / "second").stop(grace_seconds=1)

    with pytest.raises(StackError, match="no disk"):
        TwoServers(stack.data_dir, second_script=BROKEN).up()

    assert pids(stack) == [first, None]


def test_port_of_another_program_is_an_error_that_names_server_and_port(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(StackError, match=f"first cannot listen on {LOOPBACK}:{port}: another program does"):
            TwoServers(tmp_path, first_port=port).up()


def test_running_server_is_not_moved_to_another_port(stack: TwoServers) -> None:
    stack.up()

    with pytest.raises(StackError, match=r"first already runs at .* cannot be given port 29999"):
        TwoServers(stack.data_dir, first_port=29999).up()


def test_status_of_a_stack_never_started_touches_nothing(stack: TwoServers) -> None:
    assert [(server.running, server.address) for server in stack.status()] == [(False, ""), (False, "")]
    assert not stack.data_dir.exists()


def test_context_manager_stops_the_servers(stack: TwoServers) -> None:
    with stack:
        assert None not in pids(stack)

    assert pids(stack) == [None, None]
