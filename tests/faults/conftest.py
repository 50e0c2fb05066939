"""What the tests of the fault matrix share: one installation behind proxies for all rows that leave it as it was."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from support.faulty import Rig, build_rig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

LONG = "FAMULUS_TEST_LONG_FAULTS"
STACKS = [
    pytest.param("embedded", marks=pytest.mark.embedded),
    pytest.param("real", marks=[pytest.mark.real, pytest.mark.long]),
]
"""What does not need real servers is tried on them only when there is time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get(LONG):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="faults that last for minutes: make faults"))


@pytest.fixture(params=STACKS)
def servers(request: pytest.FixtureRequest) -> Mapping[str, str]:
    found: Mapping[str, str] = request.getfixturevalue(f"{request.param}_servers")
    return found


@pytest.fixture(scope="session")
def shared_rig(real_servers: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Two workers on the real stack behind proxies, for all rows."""

    async def build() -> Rig:
        rig = await build_rig(real_servers, tmp_path_factory.mktemp("rig"))
        try:
            await rig.start_workers(2)
        except BaseException:
            rig.close()
            raise
        return rig

    rig = asyncio.run(build())
    yield rig
    rig.close()


@pytest.fixture
def rig(shared_rig: Rig) -> Iterator[Rig]:
    """The shared one, with everything passing and both workers there."""
    assert len(shared_rig.workers) == 2, "an earlier test has ended a worker"
    yield shared_rig
    for proxy in shared_rig.proxies:
        proxy.pass_all()


@pytest.fixture
def own_rig(servers: Mapping[str, str], tmp_path: Path) -> Iterator[Rig]:
    """One of the test itself, on either stack; no worker runs yet."""
    rig = asyncio.run(build_rig(servers, tmp_path))
    yield rig
    rig.close()
