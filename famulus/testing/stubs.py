"""What stands in for the code of a node: a value, an error, one after the other of them, or a function.

nodes = {
"charge": {"receipt": 17},                               the output
"pack": ConnectionError("no answer"),                    raised
"ship": sequence(ConnectionError(), {"parcel": 4}),      first the one, then the other
"route": Result({"to": "NL"}, action="abroad"),
"check": check,                                          a function or class, called as a worker calls it
"scan": takes("20m", {"clean": True}),                   twenty minutes of virtual time
}
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from famulus.blueprint.times import milliseconds_of
from famulus.nodes import NodeContext, Registry, Result
from famulus.testing.clock import CLOCK

if TYPE_CHECKING:
    from famulus.blueprint import Blueprint

Stub: TypeAlias = Any

STUB_PREFIX: Final = "stub:"


class sequence:  # noqa: N801  # reads as the value that it stands for
    """Gives each of these in its turn, over all nodes that share it; the last one again and again."""

    def __init__(self, first: Stub, *more: Stub) -> None:
        self._left = [first, *more]

    def next(self) -> Stub:
        return self._left.pop(0) if len(self._left) > 1 else self._left[0]


@dataclass(frozen=True, slots=True)
class takes:  # noqa: N801  # reads as the value that it stands for
    """Lets so much virtual time go by, in seconds or as in ``"20m"``; then it is what comes after."""

    time: float | str
    then: Stub = None

    @property
    def seconds(self) -> float:
        return seconds_of(self.time)


def seconds_of(time: float | str) -> float:
    """Seconds as a number, or a text such as ``"90s"``, ``"5m"``, ``"2h"``, ``"1d"``."""
    return milliseconds_of(time) / 1000 if isinstance(time, str) else float(time)


def register(registry: Registry, nodes: Mapping[str, Stub]) -> None:
    """Register what stands in for implementations, under their names."""
    for name, stub in nodes.items():
        registry.register(name, stub if _is_code(stub) else _standing_in(stub))


def with_stubs(blueprint: Blueprint, nodes: Mapping[str, Stub], registry: Registry) -> Blueprint:
    """The blueprint as it uses what stands in for nodes that are named by their ids."""
    mine = {node.id: nodes[node.id] for node in blueprint.nodes if node.id in nodes and node.uses != node.id}
    register(registry, {STUB_PREFIX + node_id: stub for node_id, stub in mine.items()})
    return replace(
        blueprint,
        nodes=tuple(replace(each, uses=STUB_PREFIX + each.id) if each.id in mine else each for each in blueprint.nodes),
    )


def _standing_in(stub: Stub) -> Callable[[NodeContext], Awaitable[Any]]:
    async def stand_in(ctx: NodeContext) -> Any:
        return await _given(stub, ctx)

    return stand_in


async def _given(stub: Stub, ctx: NodeContext) -> Any:
    while isinstance(stub, sequence | takes):
        if isinstance(stub, sequence):
            stub = stub.next()
            continue
        await _let_pass(stub.seconds)
        stub = stub.then
    if isinstance(stub, BaseException) or (isinstance(stub, type) and issubclass(stub, BaseException)):
        raise stub
    if callable(stub):
        given = stub(ctx)
        return await given if isinstance(given, Awaitable) else given
    return stub


async def _let_pass(seconds: float) -> None:
    clock = CLOCK.get()
    if clock is None:
        raise RuntimeError("takes(...) needs the virtual clock of a test run")
    await clock.sleep(seconds)


def _is_code(stub: Stub) -> bool:
    if isinstance(stub, sequence | takes | Result | BaseException):
        return False
    if isinstance(stub, type):
        return not issubclass(stub, BaseException)
    return callable(stub)
