"""Every protection is needed: without it the simulation, or a test of its own, finds a promise broken.

A test that finds nothing in the engine as it is would pass as well if it looked at nothing. So for each of the promises
P1 to P8 one protection is taken away (`mutants.py`), and has to be missed.
"""

from __future__ import annotations

import pytest
from mutations import mutants
from mutations.mutants import Change, changed
from simulation.checks import broken
from simulation.choices import seeded
from simulation.plan import Plan, plan_of
from simulation.simulate import outcome
from simulation.world import World
from support.documents import blueprint

PLANS_MOST = 300

MUTANTS: dict[str, tuple[Change, str]] = {
    "P1 acknowledges early": (
        mutants.acknowledges_before_anything_is_durable,
        "accepted|stuck|quiet|is None|dead letter",
    ),
    "P1 no reconciler": (mutants.looks_after_no_open_runs, "stuck|quiet"),
    "P2 no stamps": (mutants.ignores_stamps, ""),
    "P3 no stable key": (mutants.gives_each_call_a_key_of_its_own, "several idempotency keys"),
    "P4 joins by INCR": (mutants.counts_joins_with_incr, ""),
    "P5 two halves of a commit": (mutants.commits_in_two_halves, ""),
    "P6 believes Redis": (mutants.believes_redis, "stuck|quiet|is None|peace"),
    "P7 raises for poison": (mutants.raises_for_a_record_that_it_cannot_read, "quiet|stuck|dead letter"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_simulation_misses_the_protection(name: str) -> None:
    change, words = MUTANTS[name]
    for seed in range(PLANS_MOST):
        found = _found_with(change, seed)
        if found:
            assert not outcome(seeded(seed))[0], "the engine as it is breaks it too"
            assert not words or any(word in found[0] for word in words.split("|")), found
            return
    pytest.fail(f"{PLANS_MOST} plans have found nothing: {name}")


def _found_with(change: Change, seed: int) -> list[str]:
    """What is broken with the change; what the runs should come to is asked of the engine as it is."""
    plan = plan_of(seeded(seed))
    if not plan.is_wild:
        broken(plan, World(plan).play())
    with changed(change):
        return outcome(seeded(seed))[0]


# -- P8, which is about time -----------------------------------------------------------------------------------------

SLOW = {"uses": "task", "params": {"takes": 4}}
TWO_SLOW_BRANCHES = blueprint(
    "b", {"a": "task", "x": SLOW, "y": SLOW, "z": "task"}, ("a", "x"), ("a", "y"), ("x", "z"), ("y", "z")
)
SECONDS_OF_ONE = 4.0


def _seconds() -> float:
    """When the last of two runs had ended, in virtual time and in the worst of some orders."""
    ended = []
    for order in range(8):
        world = World(Plan(document=TWO_SLOW_BRANCHES, runs=2, order=order)).play()
        assert not world.failure
        ended += [moment for moment, who, _, about in world.trace if who == "stored" and about[1] == "completed"]
    return max(ended)


def test_slow_branches_and_runs_take_no_longer_than_one_of_them() -> None:
    assert _seconds() < 1.5 * SECONDS_OF_ONE


def test_one_step_at_a_time_is_noticed_by_the_time_it_takes() -> None:
    with changed(mutants.runs_one_step_at_a_time):
        assert _seconds() > 1.5 * SECONDS_OF_ONE


def test_one_record_at_a_time_is_noticed_by_the_time_it_takes() -> None:
    with changed(mutants.handles_one_record_at_a_time):
        assert _seconds() > 1.5 * SECONDS_OF_ONE
