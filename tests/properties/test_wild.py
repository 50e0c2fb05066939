"""Blueprints without a plan, and operators that ask for anything: whatever is asked of a run, it comes to its end."""

from __future__ import annotations

from random import Random

import pytest
from support.audited import deviations_by_hand
from support.wild import WildPlay, wild_document

from famulus.errors import BlueprintError


@pytest.mark.parametrize("hundred", range(3))
def test_every_run_comes_to_an_end_and_is_at_each_moment_what_its_rows_tell(hundred: int) -> None:
    for seed in range(100 * hundred, 100 * hundred + 100):
        random = Random(seed)
        try:
            play = WildPlay(wild_document(random), random=random)
        except BlueprintError:
            continue

        play.to_the_end()

        assert (play.run.live, play.run.pending_joins) == (0, set()), seed
        assert deviations_by_hand(play.heart) == [], seed
