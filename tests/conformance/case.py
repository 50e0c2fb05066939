"""A case: a blueprint, what it is run with, and what the specification says must come out.

Cases are data. `graph` writes the JSON of a blueprint in few words; the functions after it are the implementations that
most cases get along with.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from famulus.nodes import Result

Json = dict[str, Any]
Implementation = Callable[[Any], Awaitable[Any]]

BUILT_IN = frozenset(
    {"wait", "sleep", "webhook", "subflow", "map", "startRun", "loop-controller", "batch-scatter", "batch-gather"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    claim: str
    """What the case shows; unique in its module."""
    spec: str
    """Where the specification says so: the section, and the rule or the words."""
    blueprint: Json
    nodes: Mapping[str, Any] = field(default_factory=dict)
    """Name in `uses` -> implementation, or `Fresh`."""
    initial: Json = field(default_factory=dict)
    children: Mapping[str, Json] = field(default_factory=dict)
    resume: Sequence[Json] = ()
    cancel: Json | None = None
    options: Json = field(default_factory=dict)
    expect: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the report -> exact value; `<key>_has`: a part of it; `<key>_without`: what must not be there."""
    everywhere: bool = False
    """Of the sample that also runs on servers."""

    def implementations(self) -> dict[str, Implementation]:
        return {name: given.make() if isinstance(given, Fresh) else given for name, given in self.nodes.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class LintCase:
    claim: str
    spec: str
    blueprint: Json
    names: Sequence[str] = ()
    children: Mapping[str, Json] = field(default_factory=dict)
    lint: Sequence[Json] | None = None
    """All of it, in any order."""
    analysis: Json = field(default_factory=dict)
    """A part of the analysis."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """An implementation that remembers something, made anew for each run of its case."""

    make: Callable[[], Implementation]


# -- blueprints --------------------------------------------------------------------------------------------------------


def node(
    node_id: str, uses: str | None = None, params: Json | None = None, *, inputs: Any = None, **config: Any
) -> Json:
    """A node; without `uses` it is implemented by what has its own name."""
    made: Json = {"id": node_id, "uses": uses or node_id}
    if params is not None:
        made["params"] = params
    if inputs is not None:
        made["inputs"] = inputs
    if config:
        made["config"] = config
    return made


def edge(source: str, target: str, **properties: str) -> Json:
    return {"source": source, "target": target, **properties}


def graph(*parts: str | Json, blueprint_id: str = "case", **metadata: Any) -> Json:
    """A blueprint of nodes, edges, and chains such as ``a > b > c``.

    A node that only chains and edges name comes into being, used as its own name, behind those that are given.
    """
    nodes = [part for part in parts if isinstance(part, dict) and "id" in part]
    edges: list[Json] = []
    for part in parts:
        if isinstance(part, str):
            names = [name.strip() for name in part.split(">")]
            edges += [edge(source, target) for source, target in itertools.pairwise(names)]
            known = {one["id"] for one in nodes}
            nodes += [node(name) for name in dict.fromkeys(names) if name not in known]
        elif "source" in part:
            edges.append(part)
    known = {one["id"] for one in nodes}
    nodes += [
        node(name)
        for name in dict.fromkeys(end for e in edges for end in (e["source"], e["target"]))
        if name not in known
    ]
    made: Json = {"id": blueprint_id, "nodes": nodes, "edges": edges}
    if metadata:
        made["metadata"] = metadata
    return made


def with_edges(blueprint: Json, *more: Json) -> Json:
    """The same with edges whose ends need not exist."""
    return {**blueprint, "edges": [*blueprint["edges"], *more]}


def loop_controller(node_id: str, condition: str, **params: Any) -> Json:
    return node(node_id, "loop-controller", {"condition": condition, **params}, joinStrategy="any")


def once_more(controller: str, target: str, **properties: str) -> Json:
    return edge(controller, target, action="continue", **properties)


def out_of(controller: str, target: str, **properties: str) -> Json:
    return edge(controller, target, action="break", **properties)


# -- implementations ---------------------------------------------------------------------------------------------------


def gives(output: Any, action: str | None = None) -> Implementation:
    async def give(ctx: Any) -> Any:
        return output if action is None else Result(output=output, action=action)

    return give


def acts(action: str, output: Any = None) -> Implementation:
    return gives(output, action)


def fails(message: str = "as asked", kind: type[Exception] = ValueError) -> Implementation:
    async def fail(ctx: Any) -> Any:
        raise kind(message)

    return fail


def fails_until(attempt: int, output: Any = "at last", kind: type[Exception] = ValueError) -> Implementation:
    async def try_again(ctx: Any) -> Any:
        if ctx.attempt < attempt:
            raise kind(f"attempt {ctx.attempt}")
        return output

    return try_again


def reads(key: str, default: Any = None) -> Implementation:
    async def read(ctx: Any) -> Any:
        return await ctx.get(key) if await ctx.has(key) else default

    return read


def writes(changes: Mapping[str, Any], output: Any = None) -> Implementation:
    async def write(ctx: Any) -> Any:
        for key, value in changes.items():
            await ctx.set(key, value)
        return output

    return write


def counts_up(key: str, while_below: int | None = None, flag: str = "go") -> Implementation:
    """Adds one to `key` and returns it; `flag` says whether it is still below the limit."""

    async def count(ctx: Any) -> Any:
        value = (await ctx.get(key) or 0) + 1
        await ctx.set(key, value)
        if while_below is not None:
            await ctx.set(flag, value < while_below)
        return value

    return count


def notes(key: str, word: Any = None) -> Implementation:
    """Appends `word`, or its input, to the list `key`. For nodes that do not run at the same time."""

    async def note(ctx: Any) -> Any:
        await ctx.set(key, [*(await ctx.get(key) or []), ctx.input if word is None else word])
        return ctx.input if word is None else word

    return note


async def echo(ctx: Any) -> Any:
    return ctx.input


async def params(ctx: Any) -> Any:
    return dict(ctx.params)


async def nothing(ctx: Any) -> None:
    """Returns no result at all."""


async def hangs(ctx: Any) -> Any:
    await asyncio.sleep(30)
    return "too late"


class Outage:
    """Fails the first so many calls, whoever makes them."""

    def __init__(self, calls: int, output: Any = "at last") -> None:
        self.calls = calls
        self.output = output

    async def __call__(self, ctx: Any) -> Any:
        self.calls -= 1
        if self.calls >= 0:
            raise ValueError("not yet")
        return self.output


def outage(calls: int, output: Any = "at last") -> Fresh:
    def make() -> Implementation:
        state = Outage(calls, output)

        async def try_it(ctx: Any) -> Any:
            return await state(ctx)

        return try_it

    return Fresh(make)
