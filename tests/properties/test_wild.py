"""Blueprints without a plan, and operators that ask for anything: whatever is asked of a run, it comes to its end."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from support.play import Play
from support.wild import WildPlay, wild_document

from famulus.errors import BlueprintError


class Unwatched(WildPlay):
    """Without the comparison with the rows: in some of these blueprints they lag behind, and lead to the end too."""

    def check(self) -> None:
        self.check_counts()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_every_run_comes_to_an_end_and_its_counts_are_those_of_its_steps(seed: int) -> None:
    random = Random(seed)
    try:
        play: Play = Unwatched(wild_document(random), random=random)
    except BlueprintError:
        return

    play.to_the_end()  # type: ignore[attr-defined]

    assert (play.run.live, play.run.pending_joins) == (0, set())
