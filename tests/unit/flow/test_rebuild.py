"""What the next owner makes of the rows of a run."""

from __future__ import annotations

import time

from support.heart import Heart, graph_of


def wide(width: int) -> Heart:
    """Node `s` leads to many; every other edge of it fires."""
    names = [f"n{i}" for i in range(width)]
    edges = [("s", name, {"condition": "yes" if i % 2 else "no"}) for i, name in enumerate(names)]
    heart = Heart(graph_of(dict.fromkeys(["s", *names], "x"), *edges), {"yes": True}).start()
    heart.succeed("s")
    return heart


def seconds_to_reload(heart: Heart) -> float:
    began = time.process_time()
    heart.reloaded()
    return time.process_time() - began


def test_a_wide_fan_out_is_reloaded_in_time_that_grows_with_its_width_and_not_with_the_square() -> None:
    narrow, broad = wide(500), wide(8000)

    once = min(seconds_to_reload(narrow) for _ in range(3))

    assert min(seconds_to_reload(broad) for _ in range(3)) < 16 * once * 5


def test_a_step_that_was_running_is_due_for_the_next_owner() -> None:
    heart = Heart(graph_of({"a": {"uses": "x", "config": {"maxRetries": 3}}})).start()
    heart.fail("a")

    reloaded = heart.reloaded()

    assert {step.step_id: (step.status.value, step.attempt) for step in reloaded.steps.values()} == {
        "a": ("retrying", 2)
    }
    assert reloaded.live == 1


def test_a_run_that_has_ended_has_nothing_due() -> None:
    heart = Heart(graph_of({"a": "x", "b": "x"}, ("a", "b"))).start()
    heart.succeed("a")
    heart.cancel()

    reloaded = heart.reloaded()

    assert (reloaded.live, reloaded.pending_joins) == (0, set())
    assert not any(step.is_due for step in reloaded.steps.values())
