"""Limits that an operator sets: what goes beyond one is refused with the name of the setting."""

from __future__ import annotations

import pytest
from support.world import World, blueprint, statuses

from famulus.errors import BlueprintError

MAP = blueprint("map", {"all": {"uses": "map", "inputs": "n", "params": {"uses": "echo"}}})


def echo() -> None:
    return None


async def test_a_batch_of_too_many_items_fails_before_any_of_them_runs() -> None:
    async with World({"echo": echo}, items_of_batch=3) as world:
        good = await world.run(MAP, {"n": [1, 2, 3]}, run_id="good")
        bad = await world.run(MAP, {"n": [1, 2, 3, 4]}, run_id="bad")

    assert good.summary.status == "completed"
    assert statuses(bad) == {"all": "failed"}
    assert "at most 3 are accepted (FAMULUS_MAX_ITEMS)" in str(bad.steps[0].error)


async def test_a_blueprint_of_too_many_nodes_or_edges_is_not_registered() -> None:
    async with World({"echo": echo}, max_nodes=2, max_edges=1) as world:
        await world.push(blueprint("good", {"a": "echo", "b": "echo"}, ("a", "b")))

        with pytest.raises(BlueprintError, match=r"nodes: has 3, at most 2 .*FAMULUS_MAX_NODES"):
            await world.push(blueprint("bad", {"a": "echo", "b": "echo", "c": "echo"}))
        with pytest.raises(BlueprintError, match=r"edges: has 2, at most 1 .*FAMULUS_MAX_EDGES"):
            await world.push(blueprint("bad", {"a": "echo", "b": "echo"}, ("a", "b"), ("b", "a")))
