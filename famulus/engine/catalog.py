"""Blueprints as the engine uses them: registered in the store, compiled once, found by digest or by id and version."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from famulus.blueprint import Blueprint, build_graph, digest_of, encode_blueprint, parse_blueprint
from famulus.blueprint.codec import EDGES_MAX, NODES_MAX
from famulus.errors import BlueprintConflictError, BlueprintError, BlueprintNotFoundError
from famulus.ids import BlueprintId, Digest
from famulus.ports import BlueprintStore, RunBirth, StoredBlueprint

if TYPE_CHECKING:
    from famulus.blueprint.graph import Graph

CACHED_GRAPHS: Final = 1000
LATEST_SECONDS: Final = 2.0
"""How long the newest version of a blueprint is remembered before the store is asked again."""


@dataclass(frozen=True, slots=True)
class _Latest:
    at: float
    graph: asyncio.Future[Graph]


class Catalog:
    def __init__(
        self,
        store: BlueprintStore,
        now: Callable[[], float],
        *,
        max_nodes: int = NODES_MAX,
        max_edges: int = EDGES_MAX,
    ) -> None:
        """What is registered already may be larger: a limit that is lowered stops no run."""
        self._store = store
        self._now = now
        self._max_nodes = max_nodes
        self._max_edges = max_edges
        self._graphs: OrderedDict[Digest, Graph] = OrderedDict()
        self._latest: dict[BlueprintId, _Latest] = {}

    async def register(self, blueprint: Blueprint) -> StoredBlueprint:
        """Store a blueprint under its id, version and digest; registering the same one again changes nothing.

        Raises `BlueprintError` if it cannot run, `BlueprintConflictError` if the version is taken by another content.
        """
        for what, count, most in (
            ("nodes", len(blueprint.nodes), self._max_nodes),
            ("edges", len(blueprint.edges), self._max_edges),
        ):
            if count > most:
                problem = f"{what}: has {count}, at most {most} are accepted (FAMULUS_MAX_{what.upper()})"
                raise BlueprintError(f"blueprint {blueprint.id!r} cannot be registered: {problem}", problems=[problem])
        digest = digest_of(blueprint)
        self._keep(build_graph(blueprint, digest))
        stored = await self._store.put(
            StoredBlueprint(
                blueprint_id=blueprint.id,
                version=blueprint.version,
                digest=digest,
                body=encode_blueprint(blueprint),
                registered_at=self._now(),
            )
        )
        if stored.digest != digest:
            raise BlueprintConflictError(blueprint.id, blueprint.version, registered=stored.digest, offered=digest)
        self._latest.pop(blueprint.id, None)
        return stored

    async def find(self, blueprint_id: BlueprintId, version: str | None) -> Graph:
        """The named version, or the one registered last. Raises `BlueprintNotFoundError`."""
        if version is not None:
            return self._compiled(await self._store.by_version(blueprint_id, version), blueprint_id, version)
        known = self._latest.get(blueprint_id)
        if known is None or self._now() - known.at >= LATEST_SECONDS:
            # Kept before it is there, so that a thousand starts at once ask the store once.
            known = self._latest[blueprint_id] = _Latest(self._now(), asyncio.ensure_future(self._newest(blueprint_id)))
        try:
            return await asyncio.shield(known.graph)
        except BaseException:
            if self._latest.get(blueprint_id) is known:
                del self._latest[blueprint_id]
            raise

    async def _newest(self, blueprint_id: BlueprintId) -> Graph:
        return self._compiled(await self._store.latest(blueprint_id), blueprint_id, None)

    async def graph_of(self, birth: RunBirth) -> Graph:
        """The blueprint that a run is pinned to. Raises `BlueprintNotFoundError`."""
        return await self.pinned(birth.digest, blueprint_id=birth.blueprint_id, version=birth.version)

    async def pinned(self, digest: Digest, *, blueprint_id: BlueprintId, version: str) -> Graph:
        """The very blueprint that a run started with. Raises `BlueprintNotFoundError`."""
        known = self._graphs.get(digest)
        if known is not None:
            return known
        return self._compiled(await self._store.by_digest(digest), blueprint_id, version)

    def _compiled(self, stored: StoredBlueprint | None, blueprint_id: BlueprintId, version: str | None) -> Graph:
        if stored is None:
            raise BlueprintNotFoundError(blueprint_id, version)
        known = self._graphs.get(stored.digest)
        if known is not None:
            return known
        return self._keep(build_graph(parse_blueprint(stored.body, default_id=stored.blueprint_id), stored.digest))

    def _keep(self, graph: Graph) -> Graph:
        self._graphs[graph.digest] = graph
        if len(self._graphs) > CACHED_GRAPHS:
            self._graphs.popitem(last=False)
        return graph
