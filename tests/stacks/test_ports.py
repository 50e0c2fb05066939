"""Ports are chosen once and remembered."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from famulus.stacks import StackError
from famulus.stacks.ports import LOOPBACK, free_port, port_is_free, read_ports, settle_ports

if TYPE_CHECKING:
    from pathlib import Path


def test_port_chosen_once_is_remembered(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"

    first = settle_ports(file, {"kafka": None, "redis": None})
    second = settle_ports(file, {"kafka": None, "redis": None})

    assert first == second == read_ports(file)
    assert first["kafka"] != first["redis"]


def test_wanted_port_wins_over_the_remembered_one(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    settle_ports(file, {"kafka": None})

    ports = settle_ports(file, {"kafka": 29092})

    assert ports == read_ports(file) == {"kafka": 29092}


def test_no_ports_are_remembered_before_the_first_choice(tmp_path: Path) -> None:
    assert read_ports(tmp_path / "ports.json") == {}


@pytest.mark.parametrize("text", ["", "[1]", '{"kafka": "many"}'])
def test_damaged_port_file_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "ports.json"
    file.write_text(text)

    with pytest.raises(StackError, match=r"ports\.json .*Delete it"):
        read_ports(file)


def test_port_somebody_listens_on_is_not_free() -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        assert not port_is_free(listener.getsockname()[1])


def test_port_that_is_taken_already_is_not_chosen() -> None:
    taken = {free_port() for _ in range(20)}

    assert free_port(taken) not in taken


def test_port_on_which_nobody_listens_yet_is_not_chosen_for_somebody_else() -> None:
    assert len({free_port() for _ in range(300)}) == 300
