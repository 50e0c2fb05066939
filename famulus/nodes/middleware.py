"""Code around nodes: before, after or around each attempt of all implementations, or of some.

    around, outermost first                       async def trace(ctx, call): ... return await call()
        before, in order                          def check(ctx): ...
            the node
        after, in reverse order, also on failure  def count(ctx, result, error): ...

Order is that of `order`, lower first, then that of registration. A `def` hook runs in a thread, an `async def` one on
the event loop, whatever the node is. What a hook raises counts as raised by the node, and its time as the node's time.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar, get_args

from famulus.nodes.signature import code_of

When = Literal["before", "after", "around"]

_MARK: Final = "__famulus_middleware__"
_PARAMETERS: Final = {"before": 1, "after": 3, "around": 2}

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Middleware:
    function: Callable[..., Any]
    when: When
    only: tuple[str, ...] | None = None
    """Names of implementations; ``None``: all."""
    order: int = 0

    def is_for(self, implementation: str) -> bool:
        return self.only is None or implementation in self.only


@dataclass(frozen=True, slots=True)
class Layers:
    """The middleware of one implementation, each kind in order."""

    around: tuple[Middleware, ...]
    before: tuple[Middleware, ...]
    after: tuple[Middleware, ...]


def middleware(when: When = "around", *, only: str | Sequence[str] | None = None, order: int = 0) -> Callable[[F], F]:
    """Mark a function as middleware; it is registered with the module that holds it, like nodes.

    `only` names implementations, otherwise it is for all. See `famulus.nodes.middleware` for what it is called with.
    """
    if when not in get_args(When):
        raise TypeError(f"@middleware needs 'before', 'after' or 'around', got {when!r}")
    names = (only,) if isinstance(only, str) else None if only is None else tuple(only)

    def mark(function: F) -> F:
        described = Middleware(function=function, when=when, only=names, order=order)
        _check(described)
        setattr(function, _MARK, described)
        return function

    return mark


def middleware_of(value: object) -> Middleware | None:
    marked = inspect.getattr_static(value, _MARK, None)
    return marked if isinstance(marked, Middleware) else None


def layers_for(implementation: str, known: Sequence[Middleware]) -> Layers | None:
    """What is around the attempts of an implementation; ``None``: nothing."""
    mine = sorted((each for each in known if each.is_for(implementation)), key=lambda each: each.order)
    if not mine:
        return None
    return Layers(*(tuple(each for each in mine if each.when == when) for when in ("around", "before", "after")))


def _check(described: Middleware) -> None:
    function, when = described.function, described.when
    name = getattr(function, "__qualname__", function)
    if when == "around" and not inspect.iscoroutinefunction(code_of(function)):
        raise TypeError(f"middleware {name}: one that is around a node must be `async def`, for it awaits the call")
    try:
        inspect.signature(function).bind(*[None] * _PARAMETERS[when])
    except TypeError:
        given = {"before": "(ctx)", "after": "(ctx, result, error)", "around": "(ctx, call)"}[when]
        raise TypeError(f"middleware {name}: it is called with {given}") from None
