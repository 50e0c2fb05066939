"""Installations for acceptance tests, on the embedded and on the real stack."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from support.installation import Installation

from famulus.stacks.ports import free_port
from famulus.stacks.valkey import valkey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    from famulus.stacks.server import Server

STACKS = [pytest.param("embedded", marks=pytest.mark.embedded), pytest.param("real", marks=pytest.mark.real)]


@pytest.fixture(params=STACKS)
def servers(request: pytest.FixtureRequest) -> Mapping[str, str]:
    found: Mapping[str, str] = request.getfixturevalue(f"{request.param}_servers")
    return found


@pytest.fixture
async def installation(servers: Mapping[str, str], tmp_path: Path) -> AsyncIterator[Installation]:
    """Topics, group and namespace of this test alone; no worker runs yet."""
    installation = Installation(servers, tmp_path)
    await installation.prepare()
    yield installation
    installation.close()


@pytest.fixture(scope="module", params=STACKS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One with a worker that runs, for the tests of a module that only send records."""
    servers: Mapping[str, str] = request.getfixturevalue(f"{request.param}_servers")
    installation = Installation(servers, tmp_path_factory.mktemp("running"))

    async def start() -> None:
        await installation.prepare()
        await installation.start_workers(1)

    asyncio.run(start())
    yield installation
    installation.close()


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Server]:
    """A server that a test may flush and kill."""
    server = valkey(tmp_path / "valkey", free_port())
    server.up(lambda _: None)
    yield server
    server.down()
