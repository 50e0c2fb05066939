"""A sample of the cases on servers: there too, a blueprint means what it means in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from conformance.case import Case
from conformance.test_cases import CASES, differences, report_of
from hypothesis import HealthCheck, Phase, given, seed, settings
from support.constructs import CHILD, IMPLEMENTATIONS, INITIAL, documents

from famulus.conformance import close, run_case

SAMPLE = {name: case for name, case in CASES.items() if case.everywhere}
STACKS = [pytest.param("embedded", marks=pytest.mark.embedded), pytest.param("real", marks=pytest.mark.real)]
AT_ONCE = 8
RANDOM_BLUEPRINTS = 30
RESUMES = 40
"""More than any of them waits."""


@pytest.fixture(scope="module", params=STACKS)
def stack(request: pytest.FixtureRequest) -> Iterator[str]:
    """One worker for all cases of the module; the real servers are those of the session."""
    with pytest.MonkeyPatch.context() as environment:
        if request.param == "real":
            for name, value in request.getfixturevalue("real_servers").items():
                environment.setenv(name, value)
            environment.setenv("FAMULUS_SESSION_TIMEOUT", "30")  # nobody dies, and one that is slow keeps its runs
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


def random_blueprints() -> list[dict[str, Any]]:
    """The same ones each time."""
    drawn: list[dict[str, Any]] = []

    @seed(2)
    @settings(
        max_examples=RANDOM_BLUEPRINTS,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(documents())
    def draw(document: dict[str, Any]) -> None:
        drawn.append(document)

    draw()
    return drawn


BLUEPRINTS = random_blueprints()
"""Drawn before there is a worker: Hypothesis suffers nobody beside it who draws random numbers."""


async def test_random_blueprints_of_all_constructs_come_to_the_same_as_in_memory(stack: str) -> None:
    limit = asyncio.Semaphore(AT_ONCE)

    async def report(document: dict[str, Any], on: Any) -> dict[str, Any]:
        nodes, children = dict(IMPLEMENTATIONS), {"child": dict(CHILD)}
        return await run_case(document, nodes, dict(INITIAL), children=children, resume=[{}] * RESUMES, stack=on)

    async def told(document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        async with limit:
            return await report(document, "memory"), await report(document, stack)

    found = await asyncio.gather(*map(told, BLUEPRINTS))

    differing = [(document, *pair) for document, pair in zip(BLUEPRINTS, found, strict=True) if pair[0] != pair[1]]
    assert differing == []
    assert len(found) == RANDOM_BLUEPRINTS
    assert {here["status"] for here, _ in found} >= {"completed", "failed"}
