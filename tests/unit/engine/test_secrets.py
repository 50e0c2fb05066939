"""What a node is given that is recorded nowhere, whatever it does with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.cpu_bound import leak
from support.world import World, blueprint, eventually, statuses

from famulus.errors import NonRetryableError
from famulus.nodes import Result
from famulus.security.secrets import Secrets

CANARY = "tweet-tweet-7731"
SEEN: list[Any] = []


def a_world(functions: dict[str, Callable[..., Any]], **options: Any) -> World:
    return World(functions, secrets=Secrets({"FAMULUS_SECRET_API_KEY": CANARY}), **options)


def echo(ctx: Any) -> Any:
    SEEN.append((ctx.params, ctx.input))
    return {"params": ctx.params, "input": ctx.input, CANARY: 1}


def fail(ctx: Any) -> None:
    key = ctx.params["key"]
    raise ValueError(f"refused: {key}")


def fail_with_type(ctx: Any) -> None:
    kind = type(f"Error{ctx.params['key']}", (NonRetryableError,), {})
    raise kind


def write(ctx: Any) -> Result:
    ctx.set("key", ctx.params["key"])
    ctx.set(ctx.params["key"], 1)
    ctx.progress(0.5, f"with {ctx.params['key']}")
    ctx.emit({"chunk": ctx.params["key"]})
    return Result(None, action=f"go-{ctx.params['key']}")


FUNCTIONS = {"echo": echo, "fail": fail, "fail_with_type": fail_with_type, "write": write}
KEY = {"params": {"key": "secret://api-key"}}


async def everything(world: World) -> str:
    """Whatever the world keeps: rows, records, events, dead letters, progress."""
    kept = [world.store, world.bus, world.progress, world.blueprints, world.joins]
    return "".join(_told(vars(each)) for each in kept)


def _told(value: Any, seen: set[int] | None = None) -> str:
    seen = set() if seen is None else seen
    if id(value) in seen:
        return ""
    seen.add(id(value))
    if isinstance(value, dict):
        return "".join(_told(each, seen) for pair in value.items() for each in pair)
    if isinstance(value, list | tuple | set | frozenset) or type(value).__name__ == "deque":
        return "".join(_told(each, seen) for each in value)
    if hasattr(value, "__dataclass_fields__"):
        return "".join(_told(getattr(value, name), seen) for name in value.__dataclass_fields__)
    if hasattr(value, "__dict__"):
        return _told(vars(value), seen)
    return repr(value)


async def test_a_node_is_given_the_value_and_nothing_that_is_kept_has_it() -> None:
    SEEN.clear()
    nodes = {
        "echo": {"uses": "echo", **KEY, "inputs": {"token": "secret://api-key", "n": "n"}},
        "fail": {"uses": "fail", **KEY},
        "typed": {"uses": "fail_with_type", **KEY},
        "write": {"uses": "write", **KEY},
        "all": {"uses": "map", "inputs": "items", "params": {"uses": "echo", **KEY}},
    }
    async with a_world(FUNCTIONS) as world:
        view = await world.run(blueprint("b", nodes), {"n": 1, "items": [1, 2]})
        kept = await everything(world)

    assert ({"key": CANARY}, {"token": CANARY, "n": 1}) in SEEN
    assert ({"key": CANARY}, 2) in SEEN
    assert statuses(view)["echo"] == "completed"
    assert "secret://api-key" in kept
    assert "refused: ***" in kept
    assert "with ***" in kept
    assert CANARY not in kept
    assert CANARY not in repr(view)


async def test_a_value_of_a_run_that_looks_like_a_reference_is_data() -> None:
    SEEN.clear()
    nodes = {
        "echo": {"uses": "echo", "inputs": {"a": "a"}},
        "all": {"uses": "map", "inputs": "b", "params": {"uses": "echo"}},
    }
    async with a_world(FUNCTIONS) as world:
        await world.run(blueprint("b", nodes), {"a": "secret://api-key", "b": ["secret://api-key"]})

    assert CANARY not in repr(SEEN)
    assert ({}, {"a": "secret://api-key"}) in SEEN


async def test_a_secret_that_is_missing_fails_the_step_once_and_is_named() -> None:
    nodes = {"echo": {"uses": "echo", "params": {"key": "secret://nobody"}, "config": {"maxRetries": 5}}}
    async with a_world(FUNCTIONS) as world:
        view = await world.run(blueprint("b", nodes))

    assert (view.steps[0].status, view.steps[0].attempt) == ("failed", 1)
    assert "secret 'nobody' is not known" in str(view.steps[0].error)
    assert "FAMULUS_SECRET_NOBODY" in str(view.steps[0].error)


async def test_a_process_of_its_own_is_given_the_value_and_tells_nobody(capfd: Any) -> None:
    async with a_world({"leak": leak}) as world:
        view = await world.run(blueprint("b", {"leak": {"uses": "leak", **KEY}}))
        kept = await everything(world)
        # Written by another process, and read here when it is there.
        printed: list[str] = []

        def has_logged() -> bool:
            printed.append(capfd.readouterr().err)
            return "the key is" in "".join(printed)

        await eventually(has_logged)

    assert "raised with ***" in str(view.steps[0].error)
    assert "the key is ***" in "".join(printed)
    assert CANARY not in kept
    assert CANARY not in "".join(printed)
