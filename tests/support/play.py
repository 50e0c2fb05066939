"""Runs a whole blueprint on the heart alone: nodes are functions, built-ins do what the engine has them do.

After each fact the state is compared with the one that the rows give, so every test that plays is a test of recovery.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from random import Random
from typing import Any

from support.heart import Heart, graph_of, snapshot

from famulus.blueprint.expressions import compile_expression
from famulus.blueprint.graph import Graph
from famulus.blueprint.values import ABSENT, is_true
from famulus.flow import decisions as d
from famulus.flow import facts as f
from famulus.flow.arrivals import JoinProgress
from famulus.flow.batches import BatchSpec
from famulus.flow.fold import fold
from famulus.flow.joins import Verdict, verdict_of
from famulus.flow.state import RunState, StepState
from famulus.flow.status import RUN_ENDED, StepStatus
from famulus.flow.tasks import input_of, task_of
from famulus.flow.waiting import ForChild, ForSignal, ForTimer, TimerKey
from famulus.ids import BlueprintId, NodeId, RunId, StepId
from famulus.nodes import Result

Function = Callable[[Any, RunState, StepState], Any]
NOT_DERIVED = frozenset({"started"})


class Play:
    """A run that goes on until nothing is due. Steps are taken in any order that the random source gives."""

    def __init__(
        self,
        graph: Graph,
        nodes: Mapping[str, Function],
        initial: Mapping[str, Any] | None = None,
        *,
        random: Random | None = None,
        crashes: bool = False,
    ) -> None:
        self.heart = Heart(graph, initial)
        self.nodes = nodes
        self.random = random or Random(1)
        self.crashes = crashes
        self.executed: list[str] = []
        self.steps = 0

    @property
    def run(self) -> RunState:
        return self.heart.run

    @property
    def counts(self) -> Counter[str]:
        """How often each node was started, retries and items left out."""
        return Counter(self.executed)

    @property
    def ids(self) -> list[str]:
        return list(self.heart.step_rows)

    def go(self, *, most: int = 5000) -> Play:
        if not self.run.next_seq:
            self.tell(f.RunStarted(at=self.heart.now()))
        for _ in range(most):
            fact = self.next_fact()
            if fact is None:
                return self
            self.tell(fact)
        raise AssertionError("the run does not end")

    def tell(self, fact: f.Fact) -> list[d.Decision]:
        if self.crashes and self.run.next_seq and self.random.random() < 0.3:
            self.heart.crash()
        decided = self.heart.tell(fact)
        self.check()
        return decided

    def check(self) -> None:
        """The rows give the state that the owner has."""
        owner = comparable(self.heart, self.run)
        rows = comparable(self.heart, self.heart.reloaded(), started=list(self.run.steps))
        differing = {name: (rows[name], owner[name]) for name in owner if rows[name] != owner[name]}
        assert not differing, differing

    def next_fact(self) -> f.Fact | None:
        if self.run.status in RUN_ENDED:
            return None
        choices = [*sorted(self.heart.due), *sorted(self.run.pending_joins)]
        if self.run.status == "paused":
            choices = sorted(self.run.pending_joins)
        if not choices:
            return None
        chosen = StepId(self.random.choice(choices))
        return self.attempt(self.run.steps[chosen]) if chosen in self.run.steps else self.heart.counted(chosen)

    def attempt(self, step: StepState) -> f.Fact:
        if step.attempt == 1 and step.item is None:
            self.executed.append(step.node_id)
        task = task_of(self.run, step)
        given = copy.deepcopy(input_of(self.run, step))
        built_in = BUILT_INS.get(task.uses)
        if built_in is not None:
            return built_in(self, step, given)
        try:
            result = self.nodes[task.uses](given, self.run, step)
        except Exception as error:  # noqa: BLE001  # what nodes raise is what is tested
            return self.failed(step, type(error).__name__, str(error))
        if not isinstance(result, Result):
            result = Result(result)
        return self.succeeded(step, result.output, result.action)

    def succeeded(self, step: StepState, output: Any, action: str | None = None, **changes: Any) -> f.StepSucceeded:
        started = self.heart.now()
        return f.StepSucceeded(
            step_id=step.step_id,
            attempt=step.attempt,
            output=output,
            action=action,
            changes=changes,
            started_at=started,
            at=started,
        )

    def failed(self, step: StepState, kind: str, message: str, *, retryable: bool = True) -> f.StepFailed:
        started = self.heart.now()
        return f.StepFailed(
            step_id=step.step_id,
            attempt=step.attempt,
            error=f.ErrorInfo(type=kind, message=message),
            retryable=retryable,
            changes={},
            started_at=started,
            at=started,
        )

    def suspended(self, step: StepState, status: StepStatus, waiting_for: Any, **more: Any) -> f.StepSuspended:
        started = self.heart.now()
        return f.StepSuspended(
            step_id=step.step_id,
            attempt=step.attempt,
            status=status,
            waiting_for=waiting_for,
            wake_at=more.get("wake_at"),
            output=more.get("output", ABSENT),
            started_at=started,
            at=started,
        )

    def scattered(self, step: StepState, items: Any, **spec: Any) -> f.BatchScattered:
        started = self.heart.now()
        return f.BatchScattered(
            step_id=step.step_id,
            attempt=step.attempt,
            spec=BatchSpec(count=len(items or ()), **spec),
            items=items or [],
            started_at=started,
            at=started,
        )

    def resume(self, step_id: str, output: Any = ABSENT, action: str | None = None) -> Play:
        fact = f.StepResumed(step_id=StepId(step_id), output=output, action=action, by="me", at=self.heart.now())
        self.tell(fact)
        return self.go()


class ByHand(Play):
    """Steps end as they are told to; joins are counted after each fact."""

    def __init__(self, nodes: Mapping[str, Any], *edges: tuple[Any, ...], **more: Any) -> None:
        super().__init__(graph_of(nodes, *edges, metadata=more.pop("metadata", None)), {}, more.pop("initial", None))
        self.tell(f.RunStarted(at=self.heart.now()))

    def tell(self, fact: f.Fact) -> list[d.Decision]:
        decided = super().tell(fact)
        self.heart.count_joins()
        self.check()
        return decided

    def succeed(self, *step_ids: str, action: str | None = None, **changes: Any) -> None:
        for step_id in step_ids:
            self.tell(self.heart.succeeded(step_id, step_id, action=action, changes=changes))

    def fail(self, step_id: str) -> None:
        self.tell(self.heart.failed(step_id, retryable=False))

    def scatter(self, step_id: str, count: int) -> None:
        self.tell(BUILT_INS["map"](self, self.run.steps[StepId(step_id)], list(range(count))))

    def due(self, key: TimerKey) -> f.TimerDue:
        self.heart.time = max(self.heart.time, self.run.timers[key])
        return f.TimerDue(key=key, at=self.heart.now())

    def retry(self, step_id: str | None = None) -> None:
        known = None if step_id is None else StepId(step_id)
        self.tell(f.RetryRequested(step_id=known, by="me", at=self.heart.now()))

    def rerun(self, step_id: str) -> None:
        self.tell(f.RerunRequested(step_id=StepId(step_id), changes={}, by="me", at=self.heart.now()))


def played(nodes: Mapping[str, Any], *edges: tuple[Any, ...], functions: Mapping[str, Function], **more: Any) -> Play:
    """Play a blueprint, given as in `support.heart.graph_of`, to where nothing is due."""
    metadata = more.pop("metadata", None)
    return Play(graph_of(nodes, *edges, metadata=metadata), functions, more.pop("initial", None), **more).go()


def comparable(heart: Heart, run: RunState, *, started: Iterable[StepId] = ()) -> dict[str, Any]:
    """The state once its joins are counted, without what a reload cannot and need not know.

    Those that the owner has started already are not counted again. No row tells of them, so the next owner may do so
    at another time, and that may matter to others: if one cancels its losers once more, or if a loop was asked and its
    body has gone on since, with what it had waited for from outside or by a round of a loop inside.
    """
    other = Heart(heart.graph)
    other.run = copy.deepcopy(run, {id(heart.graph): heart.graph})
    other.now = lambda: heart.time  # type: ignore[method-assign]
    for step_id in started:
        node_id = other.run.join_nodes.get(step_id)
        if node_id is not None and (node_id in heart.graph.loops or _is_to_start(other.run, step_id)):
            fold(other.run, d.RunStep(step_id, node_id))
    other.count_joins()
    shown = {name: value for name, value in snapshot(other.run).items() if name not in NOT_DERIVED}
    shown["steps"] = {k: {x.name: getattr(v, x.name) for x in fields(v)} for k, v in shown["steps"].items()}
    for step in shown["steps"].values():
        if step["status"] == StepStatus.RETRYING:
            step["wake_at"] = None  # the time of a retry that has come is not recorded
    shown["timers"] = {key: at for key, at in shown["timers"].items() if at > heart.time}
    shown["busy"] = {node_id: count for node_id, count in shown["busy"].items() if count}
    shown["context"] = dict(shown["context"])
    for batch in shown["batches"].values():
        batch.next_index = 0
    if run.status in RUN_ENDED:
        shown["joins"] = shown["calls"] = shown["join_nodes"] = {}
    return shown


def _is_to_start(run: RunState, step_id: StepId) -> bool:
    calls = run.calls.get(step_id, JoinProgress()).counts
    return verdict_of(run, run.join_nodes[step_id], run.joins[step_id].counts, calls) is Verdict.START


def _loop(play: Play, step: StepState, _given: Any) -> f.Fact:
    condition = compile_expression(play.run.graph.node(step.node_id).params["condition"], language="path")
    goes_on = is_true(condition.evaluate(lambda name: play.run.context.get(name, ABSENT)))
    return play.succeeded(step, None, "continue" if goes_on else "break")


def _scatter(play: Play, step: StepState, given: Any) -> f.Fact:
    params = play.run.graph.node(step.node_id).params
    return play.scattered(
        step,
        given,
        uses=params["workerUsesKey"],
        params={},
        gather=NodeId(params["gatherNodeId"]),
        chunk=params.get("chunkSize"),
        keep_going=True,
    )


def _gather(play: Play, step: StepState, _given: Any) -> f.Fact:
    run = play.run
    batches = [run.batches[run.step_id_of(scatter)] for scatter in run.graph.scatters_of(step.node_id)]
    results = [each for batch in batches for each in batch.results()]
    key = run.graph.node(step.node_id).params.get("outputKey", step.node_id)
    return play.succeeded(step, results, **{key: results})


def _map(play: Play, step: StepState, given: Any) -> f.Fact:
    params = play.run.graph.node(step.node_id).params
    return play.scattered(
        step,
        given,
        uses=params["uses"],
        params=params.get("params", {}),
        max_concurrency=params.get("maxConcurrency"),
        tolerated_failures=params.get("toleratedFailures", 0),
    )


def _sleep(play: Play, step: StepState, given: Any) -> f.Fact:
    wake_at = play.heart.time + 1 + play.run.graph.node(step.node_id).params["duration"] / 1000
    return play.suspended(step, StepStatus.SLEEPING, ForTimer(), wake_at=wake_at, output=given)


def _wait(play: Play, step: StepState, _given: Any) -> f.Fact:
    params = play.run.graph.node(step.node_id).params
    timeout = params.get("timeout")
    wake_at = None if timeout is None else play.heart.time + 1 + timeout / 1000
    waiting_for = ForSignal(
        signal=params.get("signal"), timeout_action=params.get("timeoutAction"), form=params.get("form")
    )
    return play.suspended(step, StepStatus.WAITING, waiting_for, wake_at=wake_at)


def _subflow(play: Play, step: StepState, given: Any) -> f.Fact:
    child = ForChild(
        run_id=RunId(f"{play.run.run_id}.{step.step_id}.{step.attempt}"),
        blueprint_id=BlueprintId("child"),
        version="1",
        input={"given": given},
    )
    return play.suspended(step, StepStatus.WAITING, child)


BUILT_INS: dict[str, Callable[[Play, StepState, Any], f.Fact]] = {
    "loop-controller": _loop,
    "batch-scatter": _scatter,
    "batch-gather": _gather,
    "map": _map,
    "sleep": _sleep,
    "wait": _wait,
    "subflow": _subflow,
}
