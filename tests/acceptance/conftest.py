"""Installations for acceptance tests, on the embedded and on the real stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.installation import Installation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

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
