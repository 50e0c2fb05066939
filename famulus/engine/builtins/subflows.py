"""`subflow` and `startRun`: another run, awaited or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from famulus.blueprint.builtins import StartRunParams, SubflowParams
from famulus.blueprint.values import ABSENT
from famulus.engine.builtins.child_ids import child_run_id
from famulus.engine.records import start_record
from famulus.errors import BlueprintNotFoundError, SubflowDepthError
from famulus.flow.waiting import ForChild
from famulus.ids import BlueprintId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from famulus.blueprint.graph import Graph
    from famulus.engine.builtins.call import BuiltInCall
    from famulus.flow.facts import Fact
    from famulus.flow.state import RunState


async def run_subflow(call: BuiltInCall) -> Fact:
    """Wait for a run of its own. It is started when the wait is recorded (`famulus.engine.children`)."""
    params = call.params(SubflowParams)
    depth, most = call.services.depth_of(call.run.run_id) + 1, call.services.max_subflow_depth
    if depth > most:
        raise SubflowDepthError(call.node.id, most)
    graph = await child_graph(call, params.blueprint_id, params.version)
    waiting_for = ForChild(
        run_id=child_run_id(call.run.run_id, call.step.step_id, attempt=call.step.attempt),
        blueprint_id=graph.blueprint.id,
        version=graph.blueprint.version,
        input={**_of_every_item(call), **_initial(call, graph, params.inputs)},
    )
    return call.suspended(waiting_for, wake_at=_deadline(call))


async def start_run(call: BuiltInCall) -> Fact:
    """Start a run and go on. A second attempt has the same run id, so it starts nothing twice."""
    params = call.params(StartRunParams)
    graph = await child_graph(call, params.blueprint_id, params.version)
    run_id = params.run_id or child_run_id(call.run.run_id, call.step.step_id)
    record = start_record(
        run_id,
        graph.blueprint.id,
        version=graph.blueprint.version,
        input=_initial(call, graph, params.inputs),
    )
    await (await call.services.bus.send_job(run_id, record))
    return call.succeeded({"runId": run_id})


async def child_graph(call: BuiltInCall, blueprint_id: BlueprintId, version: str | None) -> Graph:
    """The blueprint of a child, as it is registered now. Raises `BlueprintNotFoundError`, which names the node too."""
    try:
        return await call.services.catalog.find(blueprint_id, version)
    except BlueprintNotFoundError as error:
        raise BlueprintNotFoundError(blueprint_id, version, needed_by=call.node.id) from error


def _deadline(call: BuiltInCall) -> float | None:
    """When the time of the attempt is over, or that of all attempts."""
    config, begun = call.node.config, call.step.first_started_at
    ends = [
        call.started_at + config.timeout_ms / 1000 if config.timeout_ms is not None else None,
        (begun or call.started_at) + config.total_timeout_ms / 1000 if config.total_timeout_ms is not None else None,
    ]
    return min((end for end in ends if end is not None), default=None)


def _initial(call: BuiltInCall, graph: Graph, inputs: Mapping[str, str] | None) -> dict[str, Any]:
    """The initial context of a child: what is mapped, or else the node's input for every one of its start nodes."""
    if inputs is None:
        return {f"_inputs.{start}": call.input for start in graph.start_nodes}
    values = {key: _named(call.run, name) for key, name in inputs.items()}
    return {key: value for key, value in values.items() if value is not ABSENT}


def _named(run: RunState, name: str) -> Any:
    value = run.read(name)
    return run.output_of(name) if value is ABSENT else value


def _of_every_item(call: BuiltInCall) -> Mapping[str, Any]:
    """The `params` of a `map` whose items are child runs: keys of the context that each of them begins with."""
    given = call.node.params.get("context") if call.step.item is not None else None
    return given if isinstance(given, dict) else {}
