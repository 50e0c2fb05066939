"""How a node's arguments are filled from its input and params.

A parameter for which there is a provider (`famulus.nodes.providers`) is filled by it. Any other is filled with the
first of these that exists:

1. the context object, for one annotated `NodeContext` or `ThreadContext`, or called ``ctx`` or ``context``;
2. the whole input, for one called ``input``; the params map for one called ``params``;
3. ``params[name]``, then ``input[name]`` where the input is a map;
4. the whole input, if it is the only parameter left that nothing filled and it has no default;
5. its default.

Values are converted to the annotation (dataclasses, `msgspec.Struct`, `datetime`, enums, ...); what does not fit is an
`InputError` that names node and parameter.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import SimpleNamespace
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import msgspec

from famulus.blueprint.model import NOTHING
from famulus.errors import InputError
from famulus.nodes.context import NodeContext, NodeInfo, ThreadContext

CONTEXT_NAMES: Final = frozenset({"ctx", "context"})
_CONTEXTS: Final = {context.__name__: context for context in (NodeContext, ThreadContext, NodeInfo)}


class Source(Enum):
    CONTEXT = "context"
    INPUT = "input"
    PARAMS = "params"
    NAMED = "named"
    REST = "rest"
    """`**kwargs`: every param that no parameter takes."""
    PROVIDED = "provided"
    """Marked with `Inject`: only a provider fills it."""


@dataclass(frozen=True, slots=True)
class Inject:
    """Marks a parameter that a provider is to fill, as in `Annotated[Pool, Inject("ledger")]`.

    Without a name, the provider that returns the annotated type.
    """

    name: str | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    name: str
    source: Source
    annotation: Any
    required: bool
    inject: Inject | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """How to call one implementation; worked out once, when it is registered."""

    slots: tuple[Slot, ...]

    def arguments(self, ctx: NodeInfo, provided: Mapping[str, Any] = NOTHING) -> dict[str, Any]:
        """The arguments of one call; those that are provided are taken as they are."""
        filled: dict[str, Any] = dict(provided)
        missing: list[Slot] = []
        for slot in self.slots:
            if slot.name in provided:
                continue
            match slot.source:
                case Source.CONTEXT:
                    filled[slot.name] = ctx
                case Source.INPUT:
                    filled[slot.name] = _converted(ctx, slot, ctx.input)
                case Source.PARAMS:
                    filled[slot.name] = _converted(ctx, slot, dict(ctx.params))
                case Source.NAMED:
                    self._fill_named(ctx, slot, filled, missing)
                case Source.PROVIDED:
                    raise InputError(f"node {ctx.node_id!r}: nothing provides the parameter {slot.name!r}")
                case Source.REST:
                    filled.update({key: value for key, value in ctx.params.items() if key not in self._names})
        if len(missing) == 1:
            filled[missing[0].name] = _converted(ctx, missing[0], ctx.input)
        elif missing:
            names = ", ".join(slot.name for slot in missing)
            raise InputError(
                f"node {ctx.node_id!r}: nothing to fill the parameters {names} with; "
                f"give them in `params`, or let `inputs` be a map with these keys"
            )
        return filled

    @property
    def _names(self) -> frozenset[str]:
        return frozenset(slot.name for slot in self.slots)

    @staticmethod
    def _fill_named(ctx: NodeInfo, slot: Slot, filled: dict[str, Any], missing: list[Slot]) -> None:
        if slot.name in ctx.params:
            filled[slot.name] = _converted(ctx, slot, ctx.params[slot.name])
        elif isinstance(ctx.input, Mapping) and slot.name in ctx.input:
            filled[slot.name] = _converted(ctx, slot, ctx.input[slot.name])
        elif slot.required:
            missing.append(slot)


def read_signature(function: Callable[..., Any]) -> Signature:
    """Work out how to call a function. Raises `TypeError` for positional-only parameters and ``*args``."""
    hints = _hints(code_of(function))
    slots = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            name = getattr(function, "__qualname__", function)
            raise TypeError(f"node function {name}: parameter {parameter.name!r} must be passable by name")
        annotation, inject = _unwrapped(hints.get(parameter.name, Any))
        source = _source(parameter, annotation) if inject is None else Source.PROVIDED
        slots.append(Slot(parameter.name, source, annotation, parameter.default is parameter.empty, inject))
    return Signature(tuple(slots))


def return_type(function: Callable[..., Any]) -> Any:
    """What a function says that it returns; `Any` if it does not, or cannot be asked."""
    return _hints(function).get("return", Any)


def code_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function whose code a call runs: that inside a partial, the `__call__` of an object."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isclass(function):
        return function.__init__
    return function if inspect.isroutine(function) else type(function).__call__


def _unwrapped(annotation: Any) -> tuple[Any, Inject | None]:
    """An annotation, and how it is marked to be provided."""
    if get_origin(annotation) is not Annotated:
        return annotation, None
    inside, *marks = get_args(annotation)
    for mark in marks:
        if mark is Inject or isinstance(mark, Inject):
            return inside, mark if isinstance(mark, Inject) else Inject()
    return annotation, None


def _source(parameter: inspect.Parameter, annotation: Any) -> Source:
    if parameter.kind is parameter.VAR_KEYWORD:
        return Source.REST
    if annotation in _CONTEXTS.values() or parameter.name in CONTEXT_NAMES:
        return Source.CONTEXT
    if parameter.name == "input":
        return Source.INPUT
    return Source.PARAMS if parameter.name == "params" else Source.NAMED


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    names = {**_CONTEXTS, **getattr(inspect.unwrap(function), "__globals__", {})}
    hints: dict[str, Any] = {}
    for name, annotation in getattr(function, "__annotations__", {}).items():
        try:
            hints |= get_type_hints(
                SimpleNamespace(__annotations__={name: annotation}), globalns=names, include_extras=True
            )
        except (NameError, AttributeError):
            # A name imported for type checkers only: then the value is passed as it is.
            continue
    return hints


def _converted(ctx: NodeInfo, slot: Slot, value: Any) -> Any:
    if slot.annotation is Any or slot.annotation is object:
        return value
    try:
        return msgspec.convert(value, slot.annotation)
    except msgspec.ValidationError as error:
        raise InputError(f"node {ctx.node_id!r}: parameter {slot.name!r} does not fit: {error}") from error
    except TypeError:
        # An annotation that msgspec does not know (a protocol, a class of the user's): pass the value as it is.
        return value
