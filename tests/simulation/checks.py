"""What has to hold when everything is over: the promises of design.md, as far as one plan can break them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from simulation.network import at_once
from simulation.plan import Plan
from simulation.world import World

from famulus.engine.forking import all_events
from famulus.engine.rows import decode, step_state
from famulus.engine.seals import visible_rows
from famulus.flow.status import StepStatus
from famulus.ids import RunId

CODE = frozenset({"task", "count", "set"})
ENDED_EVENTS = frozenset({"step.completed", "step.skipped"})


@dataclass(frozen=True, slots=True)
class End:
    """What a run has come to, without what differs from one time to the next."""

    status: str
    steps: Mapping[str, tuple[str, Any, int]]
    """Step -> status, output, attempts."""
    context: Mapping[str, Any]


def broken(plan: Plan, world: World) -> list[str]:
    """Every promise that the plan has broken, in words; empty if none."""
    if world.failure is not None:
        return [world.failure]
    found = [f"an error was logged: {error}" for error in world.errors]
    found += [f"the auditor says {deviation}" for deviation in world.audited]
    found += _accepted(plan, world)
    for run_id in sorted(world.statuses()):
        found += [f"{run_id}: {told}" for told in _of_run(world, run_id)]
    if not plan.is_wild:
        found += _differences(plan, world)
    found += _records(world)
    return found


def _accepted(plan: Plan, world: World) -> Iterator[str]:
    statuses = world.statuses()
    for run_id in world.accepted:
        if run_id not in statuses:
            yield f"run {run_id} was accepted, and is not there"
    if not plan.is_wild:
        births = at_once(world.store.heads(list(statuses)))
        strangers = [run_id for run_id, (birth, _) in births.items() if birth.parent is None]
        if sorted(strangers) != sorted(world.accepted):
            yield f"runs {sorted(strangers)} are there, {sorted(world.accepted)} were accepted"


def _of_run(world: World, run_id: RunId) -> Iterator[str]:
    rows = visible_rows(at_once(world.store.load(run_id)))
    events = at_once(_events(world, rows))
    seqs = [event.seq for event in events]
    if seqs != sorted(set(seqs)):
        yield f"events are out of order: {seqs}"
    again = not {"retry", "rerun"}.isdisjoint(world.plan.commands)
    ended: Counter[tuple[str, str]] = Counter()
    for event in events:
        if event.type in ENDED_EVENTS:
            ended[event.type, str(decode(event.data).get("step"))] += 1
    if not again:
        yield from (f"{step}: {type_} is recorded {times} times" for (type_, step), times in ended.items() if times > 1)
        last = Counter(event.type for event in events if event.type in ("run.completed", "run.failed", "run.cancelled"))
        if sum(last.values()) != 1:
            yield f"its end is recorded {dict(last)}"
    for row in rows.steps:
        step = step_state(row)
        effects = world.effects.get((run_id, step.step_id))
        if effects is not None and len(effects.keys) > 1:
            yield f"{step.step_id} was given several idempotency keys: {sorted(effects.keys)}"
        uses = world.uses(run_id, step.node_id)
        if step.status is StepStatus.COMPLETED and effects is None and uses in CODE and step.item is None:
            yield f"{step.step_id} has completed, and its code was never called"


async def _events(world: World, rows: Any) -> list[Any]:
    return [event async for event in all_events(world.store, rows)]


def _differences(plan: Plan, world: World) -> Iterator[str]:
    """A run whose end is known beforehand has come to it."""
    expected = expected_ends(plan)
    for root in world.accepted:
        found = ends_of(world, root)
        for place in sorted({*expected, *found}):
            here, there = found.get(place), expected.get(place)
            if here is None or there is None:
                yield f"{root}{place} is there only {'in peace' if here is None else 'now'}"
            elif here != there:
                yield from (f"{root}{place}: {told}" for told in _difference(here, there))


def _difference(here: End, there: End) -> Iterator[str]:
    if here.status != there.status:
        yield f"the run is {here.status}, in peace {there.status}"
    for name, one, other in (("step", here.steps, there.steps), ("context key", here.context, there.context)):
        for key in sorted({*one, *other}):
            if one.get(key) != other.get(key):
                yield f"{name} {key} is {one.get(key)!r:.100}, in peace {other.get(key)!r:.100}"


def _records(world: World) -> Iterator[str]:
    """Every record ends as done or as a dead letter; only those that nobody can handle are dead letters."""
    buried = Counter(record.value for record, _ in world.broker.dead_letters)
    for value in world.poison:
        if not buried.pop(value, 0):
            yield f"the record {value!r} is no dead letter"
    late = [value for value in buried if not world.plan.is_wild]
    yield from (f"the record {value!r} is a dead letter" for value in late)


def kind_of(broken: str) -> str:
    """What kind of failure it is: the words, without names and numbers."""
    return " ".join(re.findall(r"(?<![\w'\"/])[a-z]{3,}(?![\w'\"/])", broken.partition("\n")[0]))[:60]


# -- what it is compared with ----------------------------------------------------------------------------------------


def ends_of(world: World, root: RunId) -> dict[str, End]:
    """The end of a run and of all its child runs, by the steps that they belong to."""
    ends: dict[str, End] = {}
    births = at_once(world.store.heads(list(world.statuses())))
    for run_id, (birth, _) in births.items():
        place, above = "", birth
        while above.parent is not None:
            parent = json.loads(above.parent)
            place = f"/{parent['step_id']}{place}"
            above = births[RunId(parent["run_id"])][0]
        if above.run_id == root:
            ends[place] = end_of(world, run_id)
    return ends


def end_of(world: World, run_id: RunId) -> End:
    rows = visible_rows(at_once(world.store.load(run_id)))
    steps = {}
    for row in rows.steps:
        step = step_state(row)
        steps[str(step.step_id)] = (str(step.status), step.output, step.attempt)
    context = {row.key: decode(row.value) for row in rows.context if row.value is not None and row.key[0] != "_"}
    return End(str(rows.head.status), steps, context)


def expected_ends(plan: Plan) -> Mapping[str, End]:
    return _in_peace(json.dumps(plan.document), early_signal=plan.early_signal)


@lru_cache(maxsize=256)
def _in_peace(document: str, *, early_signal: bool) -> Mapping[str, End]:
    plan = Plan(document=json.loads(document), early_signal=early_signal)
    world = World(plan).play()
    if world.failure is not None:
        raise AssertionError(f"in peace: {world.failure}\n{plan}\n{world.trace_text()}")
    return ends_of(world, world.accepted[0])


def calm(plan: Plan) -> Plan:
    """The same runs, and nothing goes wrong."""
    return replace(plan, faults=(), skew=(), poison=0)
