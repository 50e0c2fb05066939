"""P9: a run that takes another version, and a step that fails where its code is missing, are noticed.

What has to notice them are tests of the engine, told again here with the protection gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from mutations import mutants
from mutations.mutants import Change, changed
from unit.engine import test_records as told

MUTANTS: dict[str, tuple[Change, Callable[[], Awaitable[None]]]] = {
    "takes the newest version": (
        mutants.takes_the_newest_version_for_all_runs,
        told.test_a_run_goes_on_with_the_version_that_it_started_with,
    ),
    "fails what it has no code for": (
        mutants.fails_what_it_has_no_code_for,
        told.test_an_unknown_implementation_parks_its_step_until_a_worker_has_it,
    ),
}

WAITS_SECONDS = 4.0


@pytest.mark.parametrize("name", MUTANTS)
async def test_test_of_the_engine_misses_the_protection(name: str) -> None:
    change, story = MUTANTS[name]

    with changed(change), pytest.raises((AssertionError, TimeoutError)):
        async with asyncio.timeout(WAITS_SECONDS):  # what it waits for does not come
            await story()
