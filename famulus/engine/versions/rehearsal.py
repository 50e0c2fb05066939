"""Trying a version on runs that are there: which of them would differ, and what it needs that nobody has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from famulus.engine.claims import shown
from famulus.engine.seals import visible_rows
from famulus.engine.versions.compare import Difference, compare
from famulus.flow.status import RUN_ENDED, RunStatus

if TYPE_CHECKING:
    from famulus.blueprint import Blueprint
    from famulus.blueprint.graph import Graph
    from famulus.engine.catalog import Catalog
    from famulus.ids import RunId
    from famulus.ports import RunBirth, RunHead, RunStore

HEADS_AT_ONCE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """One run, as it would go by the other version."""

    run_id: RunId
    version: str
    """The one that it has."""
    status: str
    differences: tuple[Difference, ...]

    @property
    def is_in_flight(self) -> bool:
        return self.status not in RUN_ENDED

    def as_json(self) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "version": self.version,
            "status": self.status,
            "differences": [each.as_json() for each in self.differences],
        }


def lacking(new: Blueprint, implementations: Collection[str]) -> dict[str, list[str]]:
    """Names that nodes use and nobody has registered, with the nodes."""
    found: dict[str, list[str]] = {}
    for node in new.nodes:
        for uses in (node.uses, node.params.get("uses")):
            if isinstance(uses, str) and uses not in implementations:
                found.setdefault(uses, []).append(node.id)
    return found


async def rehearse(
    new: Graph, store: RunStore, catalog: Catalog, *, ended: int, run_ids: Collection[RunId] | None = None
) -> AsyncIterator[Rehearsed]:
    """Every run of the blueprint that has not ended, and so many that have; or these runs. No order.

    A run of the very same version is left out. Reads, and writes nothing.
    """
    left, rows_of = ended, shown(store)
    async for birth, head in _runs_of(new, store, run_ids):
        has_ended = RunStatus(head.status) in RUN_ENDED
        if birth.digest == new.digest or (has_ended and run_ids is None and left <= 0):
            continue
        left -= has_ended
        rows = await rows_of.load(birth.run_id)
        if rows is None:
            continue
        old = await catalog.graph_of(birth)
        visible = visible_rows(rows)
        yield Rehearsed(
            run_id=birth.run_id,
            version=birth.version,
            status=visible.head.status,
            differences=tuple(compare(old, new, visible)),
        )


async def _runs_of(
    new: Graph, store: RunStore, run_ids: Collection[RunId] | None
) -> AsyncIterator[tuple[RunBirth, RunHead]]:
    page: list[RunId] = []

    async def heads() -> list[tuple[RunBirth, RunHead]]:
        found = await store.heads(page)
        page.clear()
        return [known for known in found.values() if known[0].blueprint_id == new.blueprint.id]

    if run_ids is not None:
        page += run_ids
    else:
        async for run_id in store.all_runs():
            page.append(run_id)
            if len(page) == HEADS_AT_ONCE:
                for known in await heads():
                    yield known
    for known in await heads():
        yield known
