"""Implementations by name: what the `uses` of a node refers to.

Names come from code that the operator chose to load (`FAMULUS_NODES`, or the entry-point group ``famulus.nodes``).
A blueprint can only name what is registered; nothing is ever imported because a JSON document says so.
"""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, Final, TypeVar

from famulus.errors import SettingsError
from famulus.flow.turns import Limit
from famulus.nodes.middleware import Layers, Middleware, layers_for, middleware_of
from famulus.nodes.options import NodeOptions
from famulus.nodes.phases import EXEC, Phases, phases_of
from famulus.nodes.providers import Provider, Providers, provider_of
from famulus.nodes.signature import Signature, code_of, read_signature

log = logging.getLogger(__name__)

ENTRY_POINT_GROUP: Final = "famulus.nodes"
_MARK: Final = "__famulus_node__"
_OPTIONS: Final = "__famulus_node_options__"
_PLAIN: Final = NodeOptions()

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Implementation:
    name: str
    function: Callable[..., Any]
    signature: Signature
    is_async: bool
    """`async def`: runs on the event loop; otherwise in a thread."""
    phases: Phases | None = None
    """Of a class node."""
    options: NodeOptions = _PLAIN
    limit: Limit | None = None


def node(
    name: str,
    *,
    concurrency: int | None = None,
    rate: str | None = None,
    cpu_bound: bool = False,
    reads: Sequence[str] = (),
) -> Callable[[F], F]:
    """Mark a function or class as the implementation that `uses: name` refers to. It stays as it is otherwise.

    A function may be `async def` (runs on the event loop: never block it) or `def` (runs in a thread). How its
    arguments are filled is told in `famulus.nodes.signature`, what a class has in `famulus.nodes.phases`.

    `concurrency` and `rate` (`"10/s"`) limit it over all workers. With `cpu_bound`, a `def` runs in a process of its
    own; it must be importable there by its name, and of the context of the run it sees the keys in `reads`.
    """
    if not name or not isinstance(name, str):
        raise TypeError("@node needs the name of the implementation, as in @node('charge')")
    if isinstance(reads, str) or not all(isinstance(key, str) for key in reads):
        raise TypeError(f"@node: reads is a list of context keys, got {reads!r}")
    options = NodeOptions(concurrency=concurrency, rate=rate, cpu_bound=cpu_bound, reads=tuple(reads))

    def mark(function: F) -> F:
        setattr(function, _MARK, name)
        setattr(function, _OPTIONS, options)
        return function

    return mark


class Registry(Mapping[str, Implementation]):
    def __init__(self, implementations: Iterable[Implementation] = ()) -> None:
        self._by_name: dict[str, Implementation] = {}
        self._middleware: list[Middleware] = []
        self._providers = Providers()
        self._layers: dict[str, Layers | None] = {}
        self._needs: dict[str, Mapping[str, Provider]] = {}
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
        self._needs.pop(implementation.name, None)

    def register(self, name: str, function: Callable[..., Any]) -> None:
        """Register a function under a name, without the decorator."""
        self.add(_implementation(name, function))

    def add_module(self, module: ModuleType) -> int:
        """Register everything that is marked in a module; returns how much there is."""
        marked = 0
        for value in vars(module).values():
            name = _name_of(value)
            if name is not None and callable(value):
                self.register(name, value)
                marked += 1
            marked += self.add_middleware(value) or self.add_provider(value)
        return marked

    def add_middleware(self, value: object) -> bool:
        """Register a function that is marked as middleware; whether it is one. The same again changes nothing."""
        found = middleware_of(value)
        if found is not None and all(known.function is not found.function for known in self._middleware):
            self._middleware.append(found)
            self._layers.clear()
        return found is not None

    def add_provider(self, value: object) -> bool:
        """Register a function that is marked as a provider; whether it is one."""
        found = provider_of(value)
        if found is not None:
            self._providers.add(found)
            self._needs.clear()
        return found is not None

    def layers(self, implementation: Implementation) -> Layers | None:
        """The middleware around it; ``None``: none."""
        if not self._middleware:
            return None
        name = implementation.name
        if name not in self._layers:
            self._layers[name] = layers_for(name, self._middleware)
        return self._layers[name]

    def needs(self, implementation: Implementation) -> Mapping[str, Provider]:
        """Parameter -> provider that fills it. Raises `ValueError` for one that is marked and that nothing fills."""
        name = implementation.name
        if name not in self._needs:
            self._needs[name] = self._providers.needs(implementation.signature, whose=f"node {name!r}")
        return self._needs[name]

    def needs_of(self, provider: Provider) -> Mapping[str, Provider]:
        return self._providers.needs(provider.signature, whose=f"provider {provider.name!r}")

    def check(self) -> None:
        """Raises `ValueError` for what can only be seen when all is registered: providers that are missing."""
        self._providers.check()
        for implementation in self.values():
            if self.needs(implementation) and implementation.options.cpu_bound:
                raise ValueError(f"node {implementation.name!r} is cpu_bound: what is provided stays in the worker")
        for each in self._middleware:
            unknown = sorted(set(each.only or ()) - set(self))
            if unknown:
                log.warning(
                    "middleware %s is for nodes that are not registered here: %s", _where(each.function), unknown
                )


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
            raise SettingsError(
                variable, f"module {name!r} has nothing marked with @node(...), @middleware(...) or @provide"
            )
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            registry.add_module(entry.load())
        except Exception as error:
            raise SettingsError(
                f"entry point {entry.name!r} of {ENTRY_POINT_GROUP}", f"{entry.value!r} cannot be loaded: {error!r}"
            ) from error
    try:
        registry.check()
    except ValueError as error:
        raise SettingsError(variable, str(error)) from error
    return registry


def _implementation(name: str, function: Callable[..., Any]) -> Implementation:
    options = inspect.getattr_static(function, _OPTIONS, _PLAIN)
    if not isinstance(options, NodeOptions):
        options = _PLAIN
    phases = phases_of(function)
    is_async = inspect.iscoroutinefunction(code_of(function) if phases is None else getattr(function, EXEC))
    if options.cpu_bound:
        _check_process(name, function, is_class=phases is not None, is_async=is_async)
    return Implementation(
        name=name,
        function=function,
        signature=read_signature(function),
        is_async=is_async,
        phases=phases,
        options=options,
        limit=options.limit_of(name),
    )


def _check_process(name: str, function: Callable[..., Any], *, is_class: bool, is_async: bool) -> None:
    """Another process finds a function by the names of its module and its own."""
    if is_class or is_async or not inspect.isfunction(function):
        raise TypeError(f"node {name!r} is cpu_bound, so it must be a `def` function")
    if "<" in function.__qualname__ or function.__module__ == "__main__":
        raise TypeError(f"node {name!r} is cpu_bound, so it must be at the top level of a module that can be imported")


def _name_of(value: object) -> str | None:
    """The name that a function or class is marked with. An object that answers to every attribute is not asked.

    A class has its own mark only: those that inherit from it are other nodes.
    """
    name = vars(value).get(_MARK) if inspect.isclass(value) else inspect.getattr_static(value, _MARK, None)
    return name if isinstance(name, str) else None


def _where(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{getattr(function, '__qualname__', function)}"
