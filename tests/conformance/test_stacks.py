"""A sample of the cases on servers: there too, a blueprint means what it means in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from conformance.case import Case
from conformance.test_cases import CASES, differences, report_of

from famulus.conformance import close

SAMPLE = {name: case for name, case in CASES.items() if case.everywhere}
STACKS = [pytest.param("embedded", marks=pytest.mark.embedded), pytest.param("real", marks=pytest.mark.real)]
AT_ONCE = 8


@pytest.fixture(scope="module", params=STACKS)
def stack(request: pytest.FixtureRequest) -> Iterator[str]:
    """One worker for all cases of the module; the real servers are those of the session."""
    with pytest.MonkeyPatch.context() as environment:
        if request.param == "real":
            for name, value in request.getfixturevalue("real_servers").items():
                environment.setenv(name, value)
        yield request.param
        asyncio.run(close())


async def test_cases_on_servers(stack: str) -> None:
    limit = asyncio.Semaphore(AT_ONCE)

    async def differing(case: Case) -> dict[str, Any]:
        async with limit:
            return differences(case.expect, await report_of(case, stack))

    found = await asyncio.gather(*(differing(case) for case in SAMPLE.values()))

    assert {name: what for name, what in zip(SAMPLE, found, strict=True) if what} == {}
    assert len(SAMPLE) > 10
