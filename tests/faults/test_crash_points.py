"""A worker may die at any crash point, whatever is under way: the next one brings every run to its right end.

Real workers, real kills: the story is told in `support.crash_points`. On the embedded stack every point is tried with
every fifth shape, and with all of them when there is time (`make faults`); on the real one every point and every shape
once.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest
from support.crash_points import (
    BLUEPRINTS,
    EVERY_CELL,
    EVERY_FIFTH_CELL,
    ONE_OF_EACH_POINT,
    Aftermath,
    Cell,
    tell_side_by_side,
    with_children,
)
from support.findings import nodes_with_effects
from support.installation import Installation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

pytestmark = pytest.mark.slow

CELLS = EVERY_CELL if os.environ.get("FAMULUS_TEST_LONG_FAULTS") else EVERY_FIFTH_CELL
SIDE_BY_SIDE = 3
"""Chains of deaths at the same time: a worker that starts takes a core, one that waits for its group takes none."""


def aftermaths(servers: Mapping[str, str], folder: Path, cells: Sequence[Cell]) -> Mapping[Cell, Aftermath]:
    folders = [folder / str(number) for number in range(SIDE_BY_SIDE)]
    for each in folders:
        each.mkdir()
    installations = [Installation(servers, each, blueprints=BLUEPRINTS) for each in folders]
    try:
        return asyncio.run(tell_side_by_side(installations, cells))
    except AssertionError as error:
        logs = [log for installation in installations for log in installation.logs_to_show()[-2:]]
        error.add_note("\n".join(f"--- {name}\n{log}" for name, log in logs))
        raise
    finally:
        for installation in installations:
            installation.close()


@pytest.fixture(scope="module")
def embedded(embedded_servers: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Mapping[Cell, Aftermath]:
    return aftermaths(embedded_servers, tmp_path_factory.mktemp("embedded"), CELLS)


@pytest.fixture(scope="module")
def real(real_servers: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Mapping[Cell, Aftermath]:
    return aftermaths(real_servers, tmp_path_factory.mktemp("real"), ONE_OF_EACH_POINT)


@pytest.mark.embedded
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_runs_come_to_their_right_end_after_a_kill_at(embedded: Mapping[Cell, Aftermath], cell: Cell) -> None:
    check(cell, embedded[cell])


@pytest.mark.real
@pytest.mark.parametrize("cell", ONE_OF_EACH_POINT, ids=str)
def test_runs_come_to_their_right_end_on_real_servers_after_a_kill_at(
    real: Mapping[Cell, Aftermath], cell: Cell
) -> None:
    check(cell, real[cell])


def check(cell: Cell, left: Aftermath) -> None:
    runs = with_children(cell.run_ids.items())
    assert left.exit_code == -signal.SIGKILL
    assert left.found.keys() == runs.keys(), "lost"
    assert [fault for run_id, shape in runs.items() for fault in left.found[run_id].faults(shape)] == []
    for run_id, shape in runs.items():
        recorded = left.found[run_id].recorded()
        assert {join: recorded[join] for join in shape.joins} == dict.fromkeys(shape.joins, 1)
        assert set(left.effects[run_id]) == nodes_with_effects(shape), "made at least once, and no others"
        assert max(left.effects[run_id].values()) <= 1 + left.deaths, left.effects[run_id]
