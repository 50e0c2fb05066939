"""Edges by their place, in one version of a blueprint and in another.

A step that has completed is recorded with the places of the edges that fired. When its run goes over to another version
the edges may have other places there. The run then notes where each old one is now, and since when; whoever reads the
rows puts the places right. So no outcome is written anew, and a run may go over several times.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from famulus.blueprint import Blueprint
    from famulus.blueprint.model import Edge
    from famulus.ids import Digest
    from famulus.ports import ContextRow, RunRows, StepRow

MIGRATIONS_KEY: Final = "_migrations"


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """A run has gone over to another version."""

    seq: int
    """Steps that were recorded before this place name edges of the version before."""
    edges: tuple[int | None, ...]
    """Of each edge of that version its place in the next one, as far as it is there."""
    source: str
    """Digest of the version before."""


def counterparts(old: Blueprint, new: Blueprint) -> tuple[int | None, ...]:
    """Of each edge its place in the other version: of the very same one, else of one with the same ends and action.

    Two edges never have one counterpart.
    """
    found: list[int | None] = [None] * len(old.edges)
    taken: set[int] = set()
    for likeness in (_all_of, _ends_and_action, _ends):
        free: defaultdict[object, deque[int]] = defaultdict(deque)
        for place, edge in enumerate(new.edges):
            if place not in taken:
                free[likeness(edge)].append(place)
        for place, edge in enumerate(old.edges):
            alike = free.get(likeness(edge))
            if found[place] is None and alike:
                found[place] = match = alike.popleft()
                taken.add(match)
    return tuple(found)


def migrations_of(context: Iterable[ContextRow]) -> list[Migration]:
    """Those that the run has gone through, in order."""
    noted = next((row.value for row in context if row.key == MIGRATIONS_KEY), None)
    return [] if noted is None else msgspec.json.decode(noted, type=list[Migration])


def noted(before: Sequence[Migration], old: Blueprint, new: Blueprint, *, source: Digest, seq: int) -> list[Any]:
    """What the run keeps, plain, once it has gone over."""
    last = Migration(seq=seq, edges=counterparts(old, new), source=source)
    return [msgspec.to_builtins(each) for each in (*before, last)]


def moved(rows: RunRows, old: Blueprint, new: Blueprint) -> RunRows:
    """The rows as if the run had gone over to the other version just now."""
    last = [Migration(seq=rows.head.next_seq, edges=counterparts(old, new), source="")]
    return replace(rows, steps=tuple(with_places(row, last) for row in rows.steps))


def renumbered(rows: RunRows) -> RunRows:
    """The rows with the edges as the present version of the run numbers them."""
    migrations = migrations_of(rows.context)
    if not migrations:
        return rows
    return replace(rows, steps=tuple(with_places(row, migrations) for row in rows.steps))


def with_places(row: StepRow, migrations: Iterable[Migration]) -> StepRow:
    fired: tuple[int, ...] = row.fired
    for migration in migrations:
        if row.seq < migration.seq:
            fired = tuple(place for old in fired if (place := migration.edges[old]) is not None)
    return row if fired == row.fired else replace(row, fired=fired)


def _all_of(edge: Edge) -> object:
    return edge


def _ends_and_action(edge: Edge) -> object:
    return edge.source, edge.target, edge.action


def _ends(edge: Edge) -> object:
    return edge.source, edge.target
