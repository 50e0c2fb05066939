"""Implementations by name: what the `uses` of a node refers to.

Names come from code that the operator chose to load (`FAMULUS_NODES`, or the entry-point group ``famulus.nodes``).
A blueprint can only name what is registered; nothing is ever imported because a JSON document says so.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, Final, TypeVar

from famulus.errors import SettingsError
from famulus.nodes.signature import Signature, code_of, read_signature

ENTRY_POINT_GROUP: Final = "famulus.nodes"
_MARK: Final = "__famulus_node__"

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Implementation:
    name: str
    function: Callable[..., Any]
    signature: Signature
    is_async: bool
    """`async def`: runs on the event loop; otherwise in a thread."""


def node(name: str) -> Callable[[F], F]:
    """Mark a function as the implementation that `uses: name` refers to. The function itself stays as it is.

    The function may be `async def` (runs on the event loop: never block it) or `def` (runs in a thread). How its
    arguments are filled is told in `famulus.nodes.signature`.
    """
    if not name or not isinstance(name, str):
        raise TypeError("@node needs the name of the implementation, as in @node('charge')")

    def mark(function: F) -> F:
        setattr(function, _MARK, name)
        return function

    return mark


class Registry(Mapping[str, Implementation]):
    def __init__(self, implementations: Iterable[Implementation] = ()) -> None:
        self._by_name: dict[str, Implementation] = {}
        for implementation in implementations:
            self.add(implementation)

    def __getitem__(self, name: str) -> Implementation:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def add(self, implementation: Implementation) -> None:
        """Register; the same function again is fine, another one under a taken name is a `ValueError`."""
        known = self._by_name.get(implementation.name)
        if known is not None and known.function is not implementation.function:
            raise ValueError(
                f"two implementations are called {implementation.name!r}: "
                f"{_where(known.function)} and {_where(implementation.function)}"
            )
        self._by_name[implementation.name] = implementation

    def register(self, name: str, function: Callable[..., Any]) -> None:
        """Register a function under a name, without the decorator."""
        self.add(_implementation(name, function))

    def add_module(self, module: ModuleType) -> int:
        """Register every marked function of a module; returns how many there are."""
        marked = 0
        for value in vars(module).values():
            name = _name_of(value)
            if name is not None and callable(value):
                self.register(name, value)
                marked += 1
        return marked


def load_registry(modules: Iterable[str], *, variable: str = "FAMULUS_NODES") -> Registry:
    """Import the named modules and those of installed entry points, and register what they mark.

    Raises `SettingsError` naming the variable when a module cannot be imported or marks nothing.
    """
    registry = Registry()
    for name in modules:
        try:
            module = importlib.import_module(name)
        except Exception as error:
            raise SettingsError(variable, f"module {name!r} cannot be imported: {error!r}") from error
        try:
            marked = registry.add_module(module)
        except (TypeError, ValueError) as error:
            raise SettingsError(variable, f"module {name!r} cannot be registered: {error}") from error
        if not marked:
            raise SettingsError(variable, f"module {name!r} has no function marked with @node(...)")
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            registry.add_module(entry.load())
        except Exception as error:
            raise SettingsError(
                f"entry point {entry.name!r} of {ENTRY_POINT_GROUP}", f"{entry.value!r} cannot be loaded: {error!r}"
            ) from error
    return registry


def _implementation(name: str, function: Callable[..., Any]) -> Implementation:
    return Implementation(
        name=name,
        function=function,
        signature=read_signature(function),
        is_async=inspect.iscoroutinefunction(code_of(function)),
    )


def _name_of(value: object) -> str | None:
    """The name that a function is marked with. An object that answers to every attribute is not asked."""
    name = inspect.getattr_static(value, _MARK, None)
    return name if isinstance(name, str) else None


def _where(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{getattr(function, '__qualname__', function)}"
