"""What nodes need besides their input: database pools, clients, transactions. Given to them as plain arguments.

A provider is a function whose result fills parameters of nodes and of other providers: those annotated with its return
type, and those marked `Annotated[T, Inject("name")]`. An (async) generator gives what it yields, and what follows the
`yield` cleans up.
"""

from __future__ import annotations

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeVar, get_args, get_origin, overload

from famulus.nodes.signature import Signature, Slot, Source, code_of, read_signature, return_type

Scope = Literal["worker", "attempt"]

_MARK: Final = "__famulus_provider__"
_GENERATORS: Final = (AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable, Iterator)
_PLAIN: Final = frozenset(
    {Any, object, None, type(None), str, int, float, bool, bytes, dict, list, tuple, set, frozenset}
)
"""Types that inputs and params have too: they tell nothing of where a value comes from."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Provider:
    name: str
    function: Callable[..., Any]
    scope: Scope
    gives: Any
    """The type by which parameters are filled; ``None``: only by name."""
    signature: Signature


@overload
def provide(function: F, /) -> F: ...
@overload
def provide(*, name: str | None = None, scope: Scope = "worker") -> Callable[[F], F]: ...
def provide(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None, scope: Scope = "worker"
) -> Callable[..., Any]:
    """Mark a function as a provider; it is registered with the module that holds it, like nodes.

    `worker`: called once in a worker, when a node first needs it, and cleaned up when the worker stops. `attempt`:
    called for each attempt that needs it, and cleaned up at its end; what the attempt raised is raised at the `yield`.
    A `def` runs in a thread, an `async def` on the event loop. Its name is that of the function, unless one is given.
    """
    if scope not in get_args(Scope):
        raise TypeError(f"@provide needs the scope 'worker' or 'attempt', got {scope!r}")

    def mark(marked: F) -> F:
        setattr(marked, _MARK, (name or marked.__name__, scope))
        return marked

    return mark if function is None else mark(function)


def provider_of(value: object) -> Provider | None:
    marked = inspect.getattr_static(value, _MARK, None)
    if not isinstance(marked, tuple) or not callable(value):
        return None
    name, scope = marked
    return Provider(name=name, function=value, scope=scope, gives=_gives(value), signature=read_signature(value))


class Providers:
    """All that are registered."""

    def __init__(self) -> None:
        self._by_name: dict[str, Provider] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def add(self, provider: Provider) -> None:
        """The same function again is fine, another one under a taken name is a `ValueError`."""
        known = self._by_name.get(provider.name)
        if known is not None and known.function is not provider.function:
            raise ValueError(
                f"two providers are called {provider.name!r}: in {known.function.__module__} and "
                f"{provider.function.__module__}; give one of them another name, as in @provide(name=...)"
            )
        if known is None:
            self._by_name[provider.name] = provider

    def needs(self, signature: Signature, *, whose: str) -> Mapping[str, Provider]:
        """Parameter -> what fills it. Raises `ValueError` for one that is marked and that nothing fills."""
        filled = ((slot.name, self._filling(slot, whose)) for slot in signature.slots)
        return {name: provider for name, provider in filled if provider is not None}

    def check(self) -> None:
        """Raises `ValueError` if a provider needs what nobody provides, itself, or what does not live as long."""
        checked: set[str] = set()
        for provider in self._by_name.values():
            self._check(provider, (), checked)

    def _check(self, provider: Provider, above: tuple[str, ...], checked: set[str]) -> None:
        if provider.name in above:
            circle = " -> ".join((*above[above.index(provider.name) :], provider.name))
            raise ValueError(f"providers need each other in a circle: {circle}")
        if provider.name in checked:
            return
        needs = self.needs(provider.signature, whose=f"provider {provider.name!r}")
        for slot in provider.signature.slots:
            needed = needs.get(slot.name)
            if needed is None:
                _check_unfilled(provider, slot)
            elif provider.scope == "worker" and needed.scope == "attempt":
                raise ValueError(
                    f"provider {provider.name!r} lives as long as the worker and cannot need {needed.name!r}, "
                    f"which lives for one attempt"
                )
            else:
                self._check(needed, (*above, provider.name), checked)
        checked.add(provider.name)

    def _filling(self, slot: Slot, whose: str) -> Provider | None:
        wanted = slot.inject
        if wanted is not None and wanted.name is not None:
            provider = self._by_name.get(wanted.name)
            if provider is None:
                raise ValueError(
                    f"{whose}: nothing provides {wanted.name!r} for its parameter {slot.name!r}; "
                    f"known are: {', '.join(sorted(self._by_name)) or 'none'}"
                )
            return provider
        if wanted is None and slot.source is not Source.NAMED:
            return None
        giving = [each for each in self._by_name.values() if each.gives is not None and each.gives == slot.annotation]
        if len(giving) > 1:
            names = ", ".join(sorted(each.name for each in giving))
            raise ValueError(
                f"{whose}: several providers give what its parameter {slot.name!r} is annotated with ({names}); "
                f"name one, as in Annotated[..., Inject({giving[0].name!r})]"
            )
        if wanted is not None and not giving:
            raise ValueError(f"{whose}: no provider returns {slot.annotation!r}, for its parameter {slot.name!r}")
        return giving[0] if giving else None


def _check_unfilled(provider: Provider, slot: Slot) -> None:
    if slot.source is Source.CONTEXT:
        if provider.scope == "worker":
            raise ValueError(f"provider {provider.name!r} lives as long as the worker and cannot need a context")
    elif slot.required and slot.source is not Source.REST:
        raise ValueError(f"provider {provider.name!r}: nothing provides its parameter {slot.name!r}")


def _gives(function: Callable[..., Any]) -> Any:
    """The type that a provider gives, if it tells providers from inputs."""
    given = return_type(code_of(function))
    if is_generator(function) and get_origin(given) in _GENERATORS:
        given = get_args(given)[0]
    if get_origin(given) is Annotated:
        given = get_args(given)[0]
    plain = get_origin(given) or given
    return None if plain in _PLAIN else given


def is_generator(function: Callable[..., Any]) -> bool:
    code = code_of(function)
    return inspect.isasyncgenfunction(code) or inspect.isgeneratorfunction(code)
