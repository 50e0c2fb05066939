"""Implementations of which some are stubbed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from famulus.nodes import Implementation, Registry

if TYPE_CHECKING:
    from famulus.nodes.middleware import Layers
    from famulus.nodes.providers import Provider


class StubbedRegistry(Registry):
    """Has what is registered with it, and else what another registry has, which stays as it is."""

    def __init__(self, real: Registry | None = None) -> None:
        super().__init__()
        self._real = Registry() if real is None else real

    def __getitem__(self, name: str) -> Implementation:
        own = self._by_name.get(name)
        return self._real[name] if own is None else own

    def __iter__(self) -> Iterator[str]:
        return iter({**self._by_name, **dict.fromkeys(self._real)})

    def __len__(self) -> int:
        return len(list(iter(self)))

    def layers(self, implementation: Implementation) -> Layers | None:
        """Middleware is for real code."""
        return None if implementation.name in self._by_name else self._real.layers(implementation)

    def needs(self, implementation: Implementation) -> Mapping[str, Provider]:
        return self._real.needs(implementation)

    def needs_of(self, provider: Provider) -> Mapping[str, Provider]:
        return self._real.needs_of(provider)
