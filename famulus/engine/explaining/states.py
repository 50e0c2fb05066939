"""The state of a run for who explains it: from its visible rows, without values that are kept apart for their size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus.engine.claims import shown
from famulus.engine.loader import state_of
from famulus.engine.seals import visible_rows

if TYPE_CHECKING:
    from famulus.engine.catalog import Catalog
    from famulus.flow.state import RunState
    from famulus.ids import RunId
    from famulus.ports import RunStore


class States:
    def __init__(self, store: RunStore, catalog: Catalog) -> None:
        self._store = shown(store)
        self._catalog = catalog

    async def of(self, run_id: RunId) -> RunState | None:
        """``None`` if no such run is recorded. Raises `BlueprintNotFoundError` where its blueprint is gone."""
        rows = await self._store.load(run_id)
        if rows is None:
            return None
        birth = rows.birth
        graph = await self._catalog.graph_of(birth)
        return state_of(graph, visible_rows(rows))
