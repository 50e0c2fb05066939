"""What a transform makes is stored too, so it has the same limits as what a node gives."""

from __future__ import annotations

from support.world import World, blueprint, statuses

from famulus.engine.execution import ExecutionLimits


async def text() -> str:
    return "x" * 400


async def test_a_transform_that_makes_more_than_can_be_stored_fails_the_step_that_it_leaves() -> None:
    document = blueprint(
        "b",
        {"a": "text", "b": "text", "c": "text", "other": "text"},
        ("a", "b", {"transform": "context"}),
        ("b", "c", {"transform": "context"}),
    )

    async with World({"text": text}, execution=ExecutionLimits(value_bytes=1000)) as world:
        view = await world.run(document)

    assert view.summary.status == "failed"
    assert statuses(view) == {"a": "completed", "b": "failed", "c": "skipped", "other": "completed"}
    failed = next(step for step in view.steps if step.node_id == "b")
    assert failed.reason is not None
    assert "what a transform made cannot be delivered" in failed.reason
    assert "FAMULUS_MAX_VALUE_BYTES" in failed.reason
