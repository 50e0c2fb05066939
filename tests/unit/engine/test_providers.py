"""What nodes are given besides their input: made when it is needed, shared as it says, cleaned up in its time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Annotated, Any

import pytest
from support.world import World, blueprint, outputs

from famulus.nodes import Inject, NodeContext, Registry, ThreadContext, provide
from famulus.nodes.providers import Providers


class Pool:
    def __init__(self, name: str = "pool") -> None:
        self.name = name


class Transaction:
    def __init__(self, pool: Pool | None = None) -> None:
        self.pool = pool


async def run(functions: dict[str, Any], *providers: Callable[..., Any], **config: Any) -> Any:
    nodes = {f"n_{name}": {"uses": name, "config": config} for name in functions}
    async with World(functions) as world:
        for each in providers:
            assert world.registry.add_provider(each)
        return await world.run(blueprint("one", nodes, *zip(list(nodes), list(nodes)[1:], strict=False)))


async def test_a_worker_has_one_value_for_all_nodes_and_cleans_it_up_when_it_stops() -> None:
    told: list[str] = []

    @provide
    async def pool() -> AsyncIterator[Pool]:
        told.append("opened")
        await asyncio.sleep(0.01)
        yield Pool()
        told.append("closed")

    async def f(pool: Pool, ctx: NodeContext) -> str:
        told.append("used")
        return pool.name

    def g(resource: Annotated[Any, Inject("pool")]) -> str:
        return resource.name

    view = await run({"f": f, "g": g, "h": f}, pool)

    assert outputs(view) == {"n_f": "pool", "n_g": "pool", "n_h": "pool"}
    assert told == ["opened", "used", "used", "closed"]


async def test_nodes_that_need_a_value_at_the_same_time_wait_for_the_same_one() -> None:
    made: list[Pool] = []

    @provide
    def pool() -> Pool:
        made.append(Pool())
        return made[-1]

    nodes = {f"n{number}": "f" for number in range(20)}
    async with World({"f": using_a_pool}) as world:
        world.registry.add_provider(pool)
        view = await world.run(blueprint("one", nodes))

    assert set(outputs(view).values()) == {"pool"}
    assert len(made) == 1


def using_a_pool(pool: Pool) -> str:
    return pool.name


@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_an_attempt_has_a_value_of_its_own_and_its_error_reaches_the_yield(kind: str) -> None:
    told: list[str] = []

    @provide
    def pool() -> Pool:
        return Pool("of the worker")

    @provide(scope="attempt")
    async def in_loop(pool: Pool, ctx: NodeContext) -> AsyncIterator[Transaction]:
        try:
            yield Transaction(pool)
        except ConnectionError as error:
            told.append(f"{ctx.attempt} rolled back: {error}")
            raise
        told.append(f"{ctx.attempt} committed")

    @provide(scope="attempt")
    def in_thread(pool: Pool, ctx: ThreadContext) -> Iterator[Transaction]:
        try:
            yield Transaction(pool)
        except ConnectionError as error:
            told.append(f"{ctx.attempt} rolled back: {error}")
            raise
        told.append(f"{ctx.attempt} committed")

    def f(transaction: Transaction, same: Transaction, ctx: ThreadContext) -> str:
        assert transaction is same
        if ctx.attempt == 1:
            raise ConnectionError("gone")
        assert transaction.pool is not None
        return transaction.pool.name

    view = await run({"f": f}, pool, in_loop if kind == "async" else in_thread, maxRetries=2)

    assert outputs(view) == {"n_f": "of the worker"}
    assert told == ["1 rolled back: gone", "2 committed"]


async def test_an_error_at_the_yield_that_is_swallowed_still_fails_the_attempt() -> None:
    @provide(scope="attempt")
    async def quiet() -> AsyncIterator[Transaction]:
        with suppress(ConnectionError):
            yield Transaction()

    def f(transaction: Transaction) -> None:
        raise ConnectionError("heard")

    view = await run({"f": f}, quiet)

    assert view.steps[0].error["message"] == "heard"


async def test_a_provider_that_fails_fails_the_attempt_and_is_asked_again() -> None:
    asked: list[int] = []

    @provide
    async def pool() -> Pool:
        asked.append(1)
        if len(asked) == 1:
            raise ConnectionError("not yet")
        return Pool()

    view = await run({"f": using_a_pool}, pool, maxRetries=2)

    assert outputs(view) == {"n_f": "pool"}


async def test_clean_up_goes_backwards_and_an_error_of_it_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    @provide
    async def pool() -> AsyncIterator[Pool]:
        yield Pool()
        told.append("pool closed")

    @provide
    async def transaction(pool: Pool) -> AsyncIterator[Transaction]:
        yield Transaction(pool)
        told.append("transaction closed")
        raise ValueError("while closing")

    async def f(transaction: Transaction) -> None: ...

    await run({"f": f}, pool, transaction)

    assert told == ["transaction closed", "pool closed"]
    assert "transaction has not cleaned up" in caplog.text


async def test_the_constructor_of_a_class_node_is_filled_too() -> None:
    @provide
    def pool() -> Pool:
        return Pool()

    class Node:
        def __init__(self, pool: Pool) -> None:
            self.pool = pool

        def exec(self, prepared: Any) -> str:
            return self.pool.name

    assert outputs(await run({"f": Node}, pool)) == {"n_f": "pool"}


# -- what is missing or wrong ----------------------------------------------------------------------------------------


def registry(functions: dict[str, Callable[..., Any]], *providers: Callable[..., Any]) -> Registry:
    known = Registry()
    for name, function in functions.items():
        known.register(name, function)
    for each in providers:
        known.add_provider(each)
    return known


def needing(annotation: Any) -> Callable[..., Any]:
    def f(resource: Any) -> None: ...

    f.__annotations__["resource"] = annotation
    return f


def needed(name: str) -> Any:
    return Annotated[Any, Inject(name)]


def giving(name: str, returns: Any, scope: Any = "worker", **needs: Any) -> Callable[..., Any]:
    namespace: dict[str, Any] = {}
    exec(f"def {name}({', '.join(needs)}): ...", namespace)
    function = namespace[name]
    function.__annotations__ = {**needs, "return": returns}
    return provide(scope=scope)(function)


@pytest.mark.parametrize(
    ("functions", "providers", "message"),
    [
        ({"f": needing(Annotated[Pool, Inject("db")])}, [], "node 'f'.*nothing provides 'db'.*'resource'"),
        ({"f": needing(Annotated[Pool, Inject()])}, [], "node 'f'.*no provider returns.*Pool"),
        ({"f": needing(Pool)}, [giving("a", Pool), giving("b", Pool)], "several providers.*a, b"),
        ({}, [giving("a", Pool, b=needed("b")), giving("b", Pool, a=needed("a"))], "a -> b -> a"),
        ({}, [giving("a", Pool, a=Pool)], "a -> a"),
        ({}, [giving("a", Pool, number=int)], "nothing provides its parameter 'number'"),
        ({}, [giving("a", Pool, t=Transaction), giving("t", Transaction, "attempt")], "cannot need 't'"),
        ({}, [giving("a", Pool, ctx=NodeContext)], "cannot need a context"),
    ],
)
def test_what_nobody_can_provide_is_found_before_anything_runs(
    functions: Any, providers: list[Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        registry(functions, *providers).check()


def test_types_that_inputs_have_too_are_not_filled_by_providers() -> None:
    known = registry({"f": needing(dict[str, Any])}, giving("a", dict[str, Any]))

    assert known.needs(known["f"]) == {}


def test_two_providers_of_a_name_are_refused() -> None:
    known = registry({}, giving("a", Pool))

    with pytest.raises(ValueError, match="two providers are called 'a'"):
        known.add_provider(giving("a", Transaction))
    assert len(Providers()) == 0


def test_an_unknown_scope_is_refused() -> None:
    with pytest.raises(TypeError, match="scope"):
        provide(scope="run")  # type: ignore[call-overload]
