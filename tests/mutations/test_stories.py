"""What the simulation cannot notice, or seldom does, tests of the engine notice: told again with the protection gone.

P2: a worker that writes while it is not sure whose the partitions are, and what a worker that has lost a run writes
late, where the next owner writes nothing: for that a write must come late at one moment, as it does in few plans.
P9: a run that takes another version, and a step that fails where its code is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from mutations import mutants
from mutations.mutants import Change, changed
from unit.engine import test_records as told
from unit.engine import test_takeover as told_of_takeovers

MUTANTS: dict[str, tuple[Change, Callable[[], Awaitable[None]]]] = {
    "P2 no seals": (
        mutants.ignores_seals,
        told_of_takeovers.test_what_only_a_late_write_of_an_earlier_owner_says_does_not_count,
    ),
    "P2 one row for all owners": (
        mutants.keeps_one_row_for_all_owners,
        told_of_takeovers.test_a_late_batch_of_an_owner_in_between_takes_no_outcome_away,
    ),
    "P2 writes without a look": (
        mutants.writes_without_a_look_at_the_group,
        told_of_takeovers.test_nothing_is_written_while_it_is_not_sure_whose_the_partitions_are,
    ),
    "P9 takes the newest version": (
        mutants.takes_the_newest_version_for_all_runs,
        told.test_a_run_goes_on_with_the_version_that_it_started_with,
    ),
    "P9 fails what it has no code for": (
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
