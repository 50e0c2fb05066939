"""What nodes wait for that have no step yet: those before them, by name, and as their join policy counts them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from famulus.blueprint.model import JoinPolicy
from famulus.engine.explaining.explanation import Explanation, Words, listed
from famulus.engine.explaining.of_steps import items_details, items_move, items_told
from famulus.flow.arrivals import Arrival
from famulus.flow.waiting import TimerKey, TimerKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from famulus.engine.explaining.knowledge import History
    from famulus.flow.state import RunState
    from famulus.flow.ways import Ways
    from famulus.ids import NodeId

NOT_REACHED: Final = "pending"
NAMED: Final = 8
"""Of many nodes, so many are named."""


def explain_node(run: RunState, node_id: NodeId, ways: Ways, history: History) -> Explanation | None:
    """Of a node without a step; ``None`` for one that nothing leads to any more, or that waits for nothing."""
    if run.step_id_of(node_id) in run.pending_joins:
        return _counted(run, node_id)
    if run.rounds.get(node_id):
        return _round(run, node_id, ways)
    sources = run.predecessors(node_id)
    came = {source: ways.arrival(source, node_id) for source in sources}
    arrived = {source: arrival for source, arrival in came.items() if arrival is not None}
    missing = [source for source in sources if source not in arrived]
    if missing:
        return _predecessors(run, node_id, arrived, missing, history)
    return _fallback(run, node_id)


def _about(run: RunState, node_id: NodeId, kind: str, awaits: Words, **more: object) -> Explanation:
    return Explanation(
        kind=kind,
        awaits=awaits,
        step_id=run.step_id_of(node_id),
        node_id=node_id,
        status=NOT_REACHED,
        **more,  # type: ignore[arg-type]  # fields of an explanation
    )


def _counted(run: RunState, node_id: NodeId) -> Explanation:
    return _about(
        run,
        node_id,
        "join_count",
        ("all that it waits for has come, and is being counted",),
        moves=("if the count is lost, the owner derives it from the rows when it next loads the run",),
    )


def _predecessors(
    run: RunState, node_id: NodeId, arrived: Mapping[NodeId, Arrival], missing: list[NodeId], history: History
) -> Explanation:
    config = run.graph.node(node_id).config
    expected = len(arrived) + len(missing)
    fired = sum(arrival is Arrival.FIRED for arrival in arrived.values())
    details = {
        "missing": list(missing),
        "arrived": {source: arrival.value for source, arrival in arrived.items()},
        "policy": config.join.value,
        "expected": expected,
        "needed": config.join_count,
    }
    if expected == 1:
        return _only(run, node_id, missing[0], details)
    has = "has" if len(arrived) == 1 else "have"
    counts = f"{len(arrived)} of {expected} {has} come"
    match config.join:
        case JoinPolicy.ANY:
            awaits = f"it waits for the first edge to fire, from {_listed(run, missing, conjunction='or')} ({counts})"
        case JoinPolicy.N_OF_M:
            awaits = (
                f"it waits for {config.join_count or 1} of its {expected} predecessors to fire an edge into it "
                f"({fired} {'has' if fired == 1 else 'have'}): {_listed(run, missing, conjunction='or')} may be next"
            )
        case JoinPolicy.ALL_SETTLED:
            awaits = f"it waits for {_listed(run, missing)} to end, however they end ({counts})"
        case JoinPolicy.ALL:
            awaits = f"it waits for {_listed(run, missing)} ({counts}, all must)"
    return _about(
        run,
        node_id,
        "predecessors",
        (awaits,),
        since=_first_came(run, arrived, history),
        moves=(*_what_moves(run, missing), *_deadline(run, node_id)),
        details=details,
    )


def _only(run: RunState, node_id: NodeId, source: NodeId, details: Mapping[str, object]) -> Explanation:
    batch = run.batches.get(run.step_id_of(source))
    if source in run.graph.scatters_of(node_id) and batch is not None and not batch.is_over:
        return _about(
            run,
            node_id,
            "items",
            (f"it waits for the items of `{source}`: {items_told(run, batch)}",),
            moves=(items_move(run, batch),),
            details={**details, **items_details(batch)},
        )
    return _about(
        run,
        node_id,
        "predecessors",
        (f"it waits for {_listed(run, [source])}",),
        moves=_what_moves(run, [source]),
        details=details,
    )


def _deadline(run: RunState, node_id: NodeId) -> Words:
    at = run.timers.get(TimerKey(TimerKind.JOIN, run.step_id_of(node_id)))
    return () if at is None else ("; at ", at, " it goes on with what is there")


def _first_came(run: RunState, arrived: Iterable[NodeId], history: History) -> float | None:
    steps = (run.step_of(source) for source in arrived)
    times = [step.ended_at for step in steps if step is not None and step.ended_at is not None]
    return min(times, default=history.began_at)


def _what_moves(run: RunState, missing: list[NodeId]) -> Words:
    live = [source for source in missing if (step := run.step_of(source)) is not None and step.is_live]
    return (f"see what is said of {listed(live or list(missing))}",)


def _listed(run: RunState, node_ids: list[NodeId], *, conjunction: str = "and") -> str:
    """The nodes by name, with where each stands."""
    names = [f"`{node_id}` ({_stands(run, node_id)})" for node_id in node_ids[:NAMED]]
    if len(node_ids) > NAMED:
        names.append(f"{len(node_ids) - NAMED} more")
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {conjunction} {names[-1]}"


def _stands(run: RunState, node_id: NodeId) -> str:
    step = run.step_of(node_id)
    if step is None:
        return "not reached"
    speaker = run.speaker_of(step)
    if step.is_handled:
        return "its fallback stands in" if speaker is None or speaker.is_live else speaker.status.value
    return step.status.value


def _round(run: RunState, node_id: NodeId, ways: Ways) -> Explanation:
    number = run.rounds[node_id]
    body = run.graph.loops[node_id].in_order
    live = [each for each in body if (step := run.step_of(each)) is not None and step.is_live]
    back = [source for source in run.predecessors(node_id) if ways.arrival(source, node_id) is None]
    told = _listed(run, live or back) if live or back else "its body"
    return _about(
        run,
        node_id,
        "round",
        (f"it waits for round {number} of its loop to end: {told}",),
        since=run.turned_at.get(node_id),
        moves=_what_moves(run, live or back) if live or back else (),
        details={"round": number, "live": list(live), "missing": list(back)},
    )


def _fallback(run: RunState, node_id: NodeId) -> Explanation | None:
    said = run.calls.get(run.step_id_of(node_id))
    heard = {} if said is None else said.came
    callers = [caller for caller in run.graph.callers(node_id) if caller not in heard]
    if not callers:
        return None
    return _about(
        run,
        node_id,
        "fallback",
        (f"it stands in for {_listed(run, callers, conjunction='or')} if that fails",),
        moves=("it is skipped when none of them can need it any more",),
        details={"stands_in_for": list(callers)},
    )
