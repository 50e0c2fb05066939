"""`batch-scatter`, `batch-gather` and `map`: one step, many items.

How items are started, counted and bounded is the run's business (`famulus.flow.batching`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from famulus.blueprint.builtins import GatherParams, MapParams, ScatterParams
from famulus.blueprint.values import is_true
from famulus.engine.builtins.subflows import child_graph
from famulus.errors import InputError
from famulus.flow.batches import BatchSpec

if TYPE_CHECKING:
    from famulus.engine.builtins.call import BuiltInCall
    from famulus.flow.facts import Fact
    from famulus.ids import BlueprintId


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
    params = call.params(MapParams)
    items = _items(call.input, call)
    spec = BatchSpec(
        count=len(items),
        uses=params.uses or "subflow",
        params=dict(params.params)
        if params.blueprint_id is None
        else await _of_children(call, params, params.blueprint_id),
        blueprint_id=params.blueprint_id,
        max_concurrency=params.max_concurrency,
        tolerated_failures=params.tolerated_failures,
        spread=params.spread,
    )
    return call.scattered(spec, items)


async def _of_children(call: BuiltInCall, params: MapParams, blueprint_id: BlueprintId) -> dict[str, Any]:
    """Params of the subflow that each item is: all items run the version that is the newest now."""
    graph = await child_graph(call, blueprint_id, params.version)
    return {"version": graph.blueprint.version, "context": dict(params.params)}


def _items(given: Any, call: BuiltInCall) -> list[Any]:
    if given is None:
        return []
    if not isinstance(given, list):
        raise InputError(f"node {call.node.id!r}: its input is {type(given).__name__}, expected a list of items")
    most = call.run.limits.items
    if len(given) > most:
        raise InputError(
            f"node {call.node.id!r}: its input has {len(given)} items, at most {most} are accepted (FAMULUS_MAX_ITEMS)"
        )
    return given
