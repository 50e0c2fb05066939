"""Functions as blueprints: a function is called once, with values that stand for those of a run.

Each call of a task in it adds a node, and its arguments are the edges: values of the run become `inputs`, everything
else becomes params. So the order is that of the data, not that of the lines. Python's own `if`, `for` and arithmetic
happen while it is traced; on values of the run they are refused (`famulus.builder.traced`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Final, Unpack

from famulus.builder.flow import Flow, flow
from famulus.builder.params import map_params
from famulus.builder.traced import Source, Value
from famulus.builder.words import ConfigWords, FlowWords, refuse_unknown
from famulus.errors import TracingError

_PLAIN_PARAMETERS: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A node to be: each call in a workflow adds one. Made by `task`."""

    uses: str
    id: str | None
    config: ConfigWords
    before: tuple[Value, ...] = ()

    def named(self, id: str) -> Task:
        """The same under an id of its own."""
        return replace(self, id=id)

    def after(self, *values: Value) -> Task:
        """The same, but it waits for these too."""
        return replace(self, before=(*self.before, *values))

    def __call__(self, *whole: Value, **named: Any) -> Value:
        """Add the node. A single value is its whole input; by name, values are fields of its input, others params."""
        values = {name: each for name, each in named.items() if isinstance(each, Value)}
        params = {name: each for name, each in named.items() if not isinstance(each, Value)}
        if len(whole) > 1 or (whole and values):
            raise TracingError(f"task {self.uses!r}: expected one value as its whole input, or all of them by name")
        if whole and not isinstance(whole[0], Value):
            raise TracingError(f"task {self.uses!r}: {whole[0]!r:.60} is no value of a run, give it by name as a param")
        given = whole[0] if whole else values or None
        return _current(self.uses).add(self, self.uses, given, params)


def task(uses: str, *, id: str | None = None, **config: Unpack[ConfigWords]) -> Task:
    """Name an implementation for use in workflows. Without an id, its nodes are called after it."""
    refuse_unknown(config, ConfigWords, f"task {uses!r}")
    return Task(uses=uses, id=id, config=config)


def each(
    run: Task,
    items: Value,
    *,
    params: Mapping[str, Any] | None = None,
    max_concurrency: int | None = None,
    tolerated_failures: int | str | None = None,
    spread: bool = False,
) -> Value:
    """Run a task for each item of a list; the value is the list of outputs. The task's config holds for each item."""
    if not isinstance(items, Value):
        raise TracingError(f"each({run.uses!r}): {items!r:.60} is no value of a run: call the task in a loop instead")
    made = map_params(
        uses=run.uses,
        blueprint=None,
        version=None,
        params=params,
        max_concurrency=max_concurrency,
        tolerated_failures=tolerated_failures,
        spread=spread,
    )
    return _current(run.uses).add(run, "map", items, made)


def workflow(id: str, **words: Unpack[FlowWords]) -> Callable[[Callable[..., None]], Flow]:
    """Make a flow of a function. Its parameters are keys of the initial context; it returns nothing.

    Raises `TracingError` for what cannot be traced. What is wrong with the blueprint is told by the flow.
    """
    begun = flow(id, **words)

    def traced(function: Callable[..., None]) -> Flow:
        trace = _Trace(begun)
        called: Callable[..., Any] = function
        arguments = {name: Value(trace=trace, name=name) for name in _parameters(function)}
        token = _TRACE.set(trace)
        try:
            returned = called(**arguments)
        finally:
            _TRACE.reset(token)
        if returned is not None:
            raise TracingError(
                f"workflow {id!r} returns {type(returned).__name__}, expected nothing: "
                "the result of a run is the outputs of all its nodes"
            )
        return trace.finished(arguments)

    return traced


class _Trace:
    """The nodes and edges so far."""

    def __init__(self, begun: Flow) -> None:
        self._flow = begun
        self._ids: set[str] = set()

    def add(self, task: Task, uses: str, given: Value | Mapping[str, Value] | None, params: Mapping[str, Any]) -> Value:
        values = [given] if isinstance(given, Value) else list((given or {}).values())
        for each_value in (*values, *task.before):
            self._check(task, each_value)
        if any(_holds_value(each_param) for each_param in params.values()):
            raise TracingError(
                f"task {task.uses!r}: a param holds a value of a run, which only whole arguments can: give it by name"
            )
        node_id = self._id_of(task)
        sources = _sources((*values, *task.before))
        config: ConfigWords = {**task.config}
        inputs: str | dict[str, str] | None = None
        if any(value.is_first for value in values):
            if len(values) + len(task.before) > 1:
                raise TracingError(
                    f"task {task.uses!r}: first_of(...) is its only argument, and nothing stands in after()"
                )
            config.setdefault("join", "any")
        elif isinstance(given, Value):
            is_delivered = len(sources) == 1 and not given.path and bool(given.sources)
            inputs = None if is_delivered else given.text
        elif given:
            inputs = {name: value.text for name, value in given.items()}
        made = self._flow.node(node_id, uses=uses, params=params, inputs=inputs, **config)
        for source in sources:
            made = made.edge(source.node_id, node_id, action=source.action, when=source.condition)
        self._flow = made
        return Value(trace=self, name=node_id, sources=(Source(node_id=node_id),))

    def finished(self, parameters: Mapping[str, Value]) -> Flow:
        taken = sorted(self._ids & parameters.keys())
        if taken:
            raise TracingError(
                f"{', '.join(taken)} is both a parameter and a node, and only one could be read by that name: "
                "call the task as task(...).named(id)"
            )
        return self._flow.at()

    def _check(self, task: Task, value: Any) -> None:
        if not isinstance(value, Value):
            raise TracingError(f"task {task.uses!r}: {value!r:.60} is no value of a run, expected the output of a task")
        if value.trace is not self:
            raise TracingError(f"task {task.uses!r}: {value!r} belongs to another workflow")

    def _id_of(self, task: Task) -> str:
        wanted = task.id or task.uses.replace(".", "_")
        if "." in wanted or wanted.startswith("_"):
            raise TracingError(
                f"{wanted!r} is an id that no `inputs` can name, expected one without a dot or leading _"
            )
        node_id, number = wanted, 1
        while task.id is None and node_id in self._ids:
            number += 1
            node_id = f"{wanted}_{number}"
        self._ids.add(node_id)
        return node_id


def _sources(values: tuple[Value, ...]) -> list[Source]:
    """One edge for each node and case; none that leads on in any case beside one that does so only in some."""
    found = {(s.node_id, s.action, s.condition): s for value in values for s in value.sources}
    narrowed = {node_id for node_id, *case in found if case != [None, None]}
    return [s for (node_id, *case), s in found.items() if case != [None, None] or node_id not in narrowed]


def _holds_value(param: Any) -> bool:
    if isinstance(param, Mapping):
        return any(_holds_value(part) for part in param.values())
    return isinstance(param, Value) or (isinstance(param, list | tuple) and any(_holds_value(part) for part in param))


def _parameters(function: Callable[..., Any]) -> Iterator[str]:
    name = getattr(function, "__qualname__", repr(function))
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise TracingError(
            f"{name} is async or a generator, expected a plain function: it is called once, to be traced"
        )
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in _PLAIN_PARAMETERS or parameter.default is not parameter.empty:
            raise TracingError(
                f"{name}: parameter {parameter.name!r} is no plain one, expected context keys without defaults"
            )
        if parameter.name.startswith("_"):
            raise TracingError(f"{name}: keys with a leading _ belong to the engine, rename {parameter.name!r}")
        yield parameter.name


def _current(uses: str) -> _Trace:
    trace = _TRACE.get()
    if trace is None:
        raise TracingError(f"task {uses!r} is called outside of a function with @workflow")
    return trace


_TRACE: Final[ContextVar[_Trace | None]] = ContextVar("trace", default=None)
