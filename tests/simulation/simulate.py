"""Try many plans, one after another: `make simulate PLANS=100000`, from `FAMULUS_SEED` on where it is set.

Prints how far it is, and of each plan that breaks a promise its seed, and the smallest plan that breaks it as well.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

from simulation.checks import broken, kind_of
from simulation.choices import Choices, read, repeated, seeded, text_of
from simulation.plan import plan_of
from simulation.shrinking import smallest
from simulation.world import World


def outcome(choices: Choices) -> tuple[list[str], World]:
    plan = plan_of(choices)
    world = World(plan).play()
    return broken(plan, world), world


def told(choices: Choices, found: list[str], world: World, *, lines: int = 60) -> str:
    """What a failure says: how to have it again, the plan, and what has happened."""
    trace = world.trace_text().splitlines()
    return "\n".join(
        [
            f"FAMULUS_SEED={choices}",
            *(f"* {each}" for each in found[:10]),
            str(world.plan),
            f"the last {min(lines, len(trace))} of {len(trace)} lines:",
            *trace[-lines:],
        ]
    )


def main(arguments: list[str], *, say: Callable[[str], None] = print) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plans", type=int, default=2000)
    parser.add_argument("--lines", type=int, default=0, help="of the trace of a failure")
    parser.add_argument("--failures", type=int, default=5, help="stop after so many")
    given = parser.parse_args(arguments)
    named = os.environ.get("FAMULUS_SEED", "")
    if named and not named.strip().lstrip("-").isdigit():
        return _replay(named, given.lines or 200, say)
    first = int(named) if named else 0
    spent, failures, shown_at = 0.0, 0, time.monotonic()
    for done, seed in enumerate(range(first, first + given.plans), start=1):
        choices = seeded(seed)
        began = time.process_time()
        found, _ = outcome(choices)
        spent += time.process_time() - began
        if found:
            failures += 1
            say(f"\nseed {seed} (FAMULUS_SEED={seed}): {found[0]}")
            shrunk = repeated(smallest(choices.made, partial(_fails_so, kind_of(found[0]))))
            say(told(shrunk, *outcome(shrunk), lines=given.lines))
        if time.monotonic() - shown_at > 10 or done == given.plans:
            shown_at = time.monotonic()
            say(f"{done} plans, seeds {first} to {seed}, {failures} failures, {spent / done * 1000:.1f} ms of CPU each")
        if failures >= given.failures:
            break
    return 1 if failures else 0


def _fails_so(kind: str, row: Sequence[int]) -> bool:
    found, _ = outcome(repeated(row))
    return any(kind_of(each) == kind for each in found)


def _replay(named: str, lines: int, say: Callable[[str], None]) -> int:
    choices = read(named)
    found, world = outcome(choices)
    say(told(choices, found, world, lines=lines))
    return 1 if found else 0


__all__ = ["main", "outcome", "text_of", "told"]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
