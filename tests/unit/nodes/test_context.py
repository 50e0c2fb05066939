"""What a node sees of its run."""

from __future__ import annotations

from typing import Any

from famulus.blueprint.values import ABSENT
from famulus.ids import BlueprintId, NodeId, RunId, StepId
from famulus.nodes import NodeContext, ThreadContext
from famulus.nodes.context import NodeInfo


def given(kind: type[NodeInfo], keys: dict[str, Any] | None = None, **more: Any) -> Any:
    stored = keys or {}
    fields: dict[str, Any] = {
        "run_id": RunId("r"),
        "blueprint_id": BlueprintId("b"),
        "node_id": NodeId("n"),
        "step_id": StepId("n[2]"),
        "attempt": 1,
        "input": None,
        "params": {},
        "read": lambda key: stored.get(key, ABSENT),
    }
    return kind(**{**fields, **more})


async def test_a_node_sees_its_own_writes() -> None:
    ctx = given(NodeContext, {"key": "stored"})

    await ctx.set("key", "mine")
    await ctx.set("new", 1)

    assert (await ctx.get("key"), await ctx.get("new"), await ctx.has("new")) == ("mine", 1, True)


async def test_a_deleted_key_is_not_there_any_more() -> None:
    ctx = given(NodeContext, {"key": "stored"})

    await ctx.delete("key")

    assert (await ctx.get("key"), await ctx.get("key", 5), await ctx.has("key")) == (None, 5, False)
    await ctx.set("key", 6)
    assert await ctx.get("key") == 6


def test_null_is_a_value_and_absence_is_the_default() -> None:
    ctx = given(ThreadContext, {"null": None})

    assert (ctx.get("null", 5), ctx.has("null")) == (None, True)
    assert (ctx.get("absent", 5), ctx.has("absent")) == (5, False)


def test_a_thread_context_writes_and_deletes_without_await() -> None:
    ctx = given(ThreadContext, {"key": 1})

    ctx.set("new", 2)
    ctx.delete("key")

    assert ctx.changes == {"new": 2, "key": ABSENT}
    assert (ctx.get("new"), ctx.has("key")) == (2, False)


def test_nothing_of_the_run_changes_before_the_outcome() -> None:
    stored = {"key": 1}
    ctx = given(ThreadContext, stored)

    ctx.set("key", 2)
    ctx.delete("key")

    assert stored == {"key": 1}


def test_the_idempotency_key_is_that_of_the_step_whatever_the_attempt() -> None:
    first, third = given(NodeContext, attempt=1), given(ThreadContext, attempt=3)

    assert first.idempotency_key == third.idempotency_key == "r/n[2]"


def test_other_steps_and_runs_have_other_idempotency_keys() -> None:
    keys = {
        given(NodeContext).idempotency_key,
        given(NodeContext, step_id=StepId("n[3]")).idempotency_key,
        given(NodeContext, run_id=RunId("r2")).idempotency_key,
    }

    assert len(keys) == 3
