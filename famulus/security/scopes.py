"""What somebody may do. Each scope contains the ones before it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Scope(StrEnum):
    VIEWER = "viewer"
    """Looks."""
    OPERATOR = "operator"
    """Starts runs, asks something of them, registers blueprints and schedules."""
    ADMIN = "admin"
    """Everything."""

    def contains(self, other: Scope) -> bool:
        return _RANKS[self] >= _RANKS[other]


_RANKS: Final = {scope: rank for rank, scope in enumerate(Scope)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whoever a request comes from."""

    name: str
    scope: Scope

    def may(self, scope: Scope) -> bool:
        return self.scope.contains(scope)
