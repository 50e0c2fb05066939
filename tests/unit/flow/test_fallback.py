"""Fallbacks do not run yet; a node that is named as one must not hold up what it leads to."""

from __future__ import annotations

from support.world import World, blueprint, statuses


async def one() -> int:
    return 1


async def test_a_join_fed_by_a_node_and_its_unused_fallback_starts() -> None:
    document = blueprint(
        "b",
        {"a": {"uses": "one", "config": {"fallback": "f"}}, "f": "one", "j": "one", "k": "one"},
        ("a", "j"),
        ("f", "j"),
        ("j", "k"),
    )

    async with World({"one": one}) as world:
        view = await world.run(document)

    assert view.summary.status == "completed"
    assert statuses(view) == {"a": "completed", "f": "pending", "j": "completed", "k": "completed"}
