"""`batch-scatter`, `batch-gather` and `map`: one step, many items.

How items are started, counted and bounded is the run's business (`famulus.flow.batching`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from famulus.blueprint import encode_blueprint, parse_blueprint
from famulus.blueprint.builtins import GatherParams, MapParams, ScatterParams
from famulus.blueprint.model import Blueprint, JoinPolicy, Node
from famulus.blueprint.values import is_true
from famulus.engine.builtins.subflows import child_graph
from famulus.errors import InputError
from famulus.flow.batches import BatchSpec
from famulus.ids import BlueprintId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from famulus.engine.builtins.call import BuiltInCall
    from famulus.flow.facts import Fact


async def scatter(call: BuiltInCall) -> Fact:
    params = call.params(ScatterParams)
    items = _items(call.input if is_true(call.input) else None, call)
    spec = BatchSpec(
        count=len(items),
        uses=params.worker_uses,
        params={},
        chunk=params.chunk,
        gather=params.gather,
        keep_going=True,
    )
    return call.scattered(spec, items)


async def gather(call: BuiltInCall) -> Fact:
    """Give what the items gave, in their order; those of several scatters one after the other."""
    params = call.params(GatherParams)
    run = call.run
    batches = [run.batches.get(run.step_id_of(node_id)) for node_id in run.graph.scatters_of(call.node.id)]
    results = [result for batch in batches if batch is not None for result in batch.results()]
    key = params.output_key or call.node.id
    return call.succeeded(results, changes={} if key == call.node.id else {key: results})


async def map_items(call: BuiltInCall) -> Fact:
    """Items are steps of this run, or, for a blueprint and where they are spread, runs of their own."""
    params = call.params(MapParams)
    items = _items(call.input, call)
    child = await _child(call, params)
    spec = BatchSpec(
        count=len(items),
        uses=params.uses or "subflow",
        params=dict(params.params),
        max_concurrency=params.max_concurrency,
        tolerated_failures=params.tolerated_failures,
    )
    if child is not None:
        # All items run the version that is the newest now.
        pinned = {"version": child.version, "context": {} if params.uses else dict(params.params)}
        spec = replace(
            spec, uses="subflow", params=pinned, blueprint_id=child.id, spread=params.spread and bool(params.uses)
        )
    return call.scattered(spec, items)


async def _child(call: BuiltInCall, params: MapParams) -> Blueprint | None:
    """The blueprint of an item; ``None`` if it needs none."""
    if params.blueprint_id is not None:
        return (await child_graph(call, params.blueprint_id, params.version)).blueprint
    if not params.spread or params.uses is None:
        return None
    blueprint = spread_item(call.run.graph.blueprint, call.node, uses=params.uses, params=params.params)
    await call.services.catalog.register(blueprint)
    return blueprint


def spread_item(blueprint: Blueprint, node: Node, *, uses: str, params: Mapping[str, Any]) -> Blueprint:
    """A blueprint of one node, for each item of a `map` that is spread: runs lie on all workers, steps on one.

    The node is tried as often and as long as that of the `map`; its version follows from its content.
    """
    config = replace(
        node.config, fallback=None, compensate=None, join=JoinPolicy.ALL, join_count=None, join_deadline_ms=None
    )
    item = Node(id=node.id, uses=uses, params=params, config=replace(config, cancel_losers=False))
    alone = Blueprint(id=BlueprintId(f"{blueprint.id}:{node.id}"), version="", nodes=(item,))
    return parse_blueprint(encode_blueprint(alone))


def _items(given: Any, call: BuiltInCall) -> list[Any]:
    if given is None:
        return []
    if not isinstance(given, list):
        raise InputError(f"node {call.node.id!r}: its input is {type(given).__name__}, expected a list of items")
    return given
