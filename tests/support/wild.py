"""Random blueprints without a plan, and runs of them with operators who ask for anything at any time.

Nodes and edges are thrown together: loops that are entered and left anywhere, gathers with other predecessors, joins of
every policy, fallbacks and compensations across all borders. What such a run comes to is nobody's wish; that it comes
to its end, and keeps its promises on the way, is (`tests/properties/test_wild.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from support.documents import blueprint
from support.play import BUILT_INS, Play

from famulus.blueprint import build_graph, digest_of, parse_blueprint
from famulus.blueprint.values import ABSENT
from famulus.errors import InputError
from famulus.flow import decisions as d
from famulus.flow import facts as f
from famulus.flow.arrivals import Arrivals
from famulus.flow.batches import batch_id_of
from famulus.flow.limits import RunLimits
from famulus.flow.state import StepState
from famulus.flow.status import RUN_ENDED, RunStatus, StepStatus
from famulus.flow.tasks import input_of, task_of
from famulus.flow.waiting import ForChild, ForSignal, TimerKey, TimerKind
from famulus.ids import RunId, StepId
from famulus.nodes import Result

USES = (
    *("task",) * 8,
    *("loop-controller",) * 3,
    *("batch-scatter", "batch-gather", "batch-scatter", "batch-gather", "map", "map"),
    *("wait", "sleep", "subflow"),
)
KEYS = ("more", "flag", "items", "odd")
ACTIONS = ("continue", "break", "left")
LIMITS = RunLimits(steps=120, rounds=4, items_at_once=3)


# -- blueprints --------------------------------------------------------------------------------------------------------


def wild_document(random: Random, *, most: int = 9) -> dict[str, Any]:
    """A blueprint that is well-formed, and no more."""
    ids = [f"n{index}" for index in range(random.randint(2, most))]
    nodes = {node_id: _node(random, node_id, ids) for node_id in ids}
    gathers = [node_id for node_id, node in nodes.items() if node["uses"] == "batch-gather"]
    for node in nodes.values():
        if node["uses"] == "batch-scatter":
            node["params"]["gatherNodeId"] = random.choice(gathers or ids)
    edges = [_edge(random, nodes, ids) for _ in range(random.randint(1, 2 * len(ids)))]
    for node_id in ids:
        _complete(random, node_id, nodes, ids, edges)
    metadata: dict[str, Any] = {}
    if random.random() < 0.1:
        metadata["failurePolicy"] = "failFast"
    if random.random() < 0.1:
        metadata["timeout"] = random.choice([20_000, 100_000])
    if random.random() < 0.1:
        metadata["cycleEntryPoints"] = [random.choice(ids)]
    return blueprint("b", nodes, *edges, metadata=metadata)


def _node(random: Random, node_id: str, ids: list[str]) -> dict[str, Any]:
    uses = random.choice(USES)
    params: dict[str, Any] = {}
    node: dict[str, Any] = {"uses": uses, "params": params, "config": _config(random, ids)}
    match uses:
        case "loop-controller":
            params["condition"] = random.choice(("more", "flag"))
            if random.random() < 0.7:
                node["config"]["joinStrategy"] = "any"
            if random.random() < 0.3:
                params["maxRounds"] = random.randint(0, 3)
        case "batch-scatter":
            params["workerUsesKey"] = "task"
            node["inputs"] = random.choice(("items", "few"))
            if random.random() < 0.4:
                params["chunkSize"] = random.randint(1, 2)
        case "batch-gather":
            params["gatherNodeId"] = node_id
        case "map":
            params["uses"] = "task"
            node["inputs"] = random.choice(("items", "few"))
            if random.random() < 0.5:
                params["toleratedFailures"] = random.choice((1, 2, "50%"))
            if random.random() < 0.5:
                params["maxConcurrency"] = random.randint(1, 3)
        case "wait":
            if random.random() < 0.5:
                params["signal"] = "go"
            if random.random() < 0.5:
                params["timeout"] = random.choice((1000, 5000))
                if random.random() < 0.5:
                    params["timeoutAction"] = random.choice(ACTIONS)
        case "sleep":
            params["duration"] = random.choice((0, 3000))
        case _:
            pass
    return node


def _config(random: Random, ids: list[str]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if random.random() < 0.2:
        config.update(maxRetries=random.randint(1, 3), retryDelay=random.choice((0, 2000)))
    if random.random() < 0.2:
        config["fallback"] = random.choice(ids)
    if random.random() < 0.08:
        config["compensate"] = random.choice(ids)
    if random.random() < 0.5:
        config["joinStrategy"] = random.choice(("all", "any", "n_of_m", "all_settled"))
        if config["joinStrategy"] == "n_of_m":
            config["joinCount"] = random.randint(1, 3)
    if random.random() < 0.15:
        config["joinDeadline"] = random.choice((1000, 4000))
    if random.random() < 0.15:
        config["joinLosers"] = "cancel"
    return config


def _edge(random: Random, nodes: Mapping[str, Any], ids: list[str]) -> tuple[Any, ...]:
    a, b = random.choice(ids), random.choice(ids)
    source, target = (a, b) if ids.index(a) < ids.index(b) or random.random() < 0.25 else (b, a)
    more: dict[str, Any] = {}
    if nodes[source]["uses"] == "loop-controller":
        more["action"] = random.choice(("continue", "break"))
    elif random.random() < 0.15:
        more["action"] = random.choice(ACTIONS)
    if random.random() < 0.12:
        more["condition"] = random.choice(("flag", "more", "result.output.ok"))
    if random.random() < 0.1:
        more["transform"] = random.choice(("input.ok", "context.more", "context"))
    return source, target, more


def _complete(
    random: Random, node_id: str, nodes: Mapping[str, Any], ids: list[str], edges: list[tuple[Any, ...]]
) -> None:
    """Give a controller its body, and most scatters the edge to their gather."""
    node = nodes[node_id]
    if node["uses"] == "batch-scatter" and random.random() < 0.7:
        edges.append((node_id, node["params"]["gatherNodeId"], {}))
    if node["uses"] != "loop-controller":
        return
    going_on = [edge for edge in edges if edge[0] == node_id and edge[2].get("action") == "continue"]
    if not going_on:
        edges.append((node_id, random.choice(ids), {"action": "continue"}))
    if random.random() < 0.8:
        edges.append((random.choice(ids), node_id, {}))


# -- runs --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """What may happen to a run besides its own nodes."""

    operators: float = 0.15
    """How often, of all that is told, an operator asks for something."""
    stale: float = 0.1
    """How often something is told that is over."""
    crashes: bool = True


class WildPlay(Play):
    """Plays any blueprint to its end, and looks after every fact whether the run has kept its promises."""

    def __init__(self, document: Mapping[str, Any], *, random: Random, manners: Manners | None = None) -> None:
        parsed = parse_blueprint(document)
        initial = {"items": [1, 2, 3, 4, 5], "few": [], "more": True, "flag": random.random() < 0.5}
        super().__init__(build_graph(parsed, digest_of(parsed)), {}, initial, random=random)
        self.manners = manners or Manners()
        self.crashes = self.manners.crashes
        self.heart.run.limits = LIMITS
        self.told: list[f.Fact] = []
        self.asked: list[str] = []
        self.calm = False
        """From now on nobody asks for anything, nodes do not fail, and loops come to their end."""
        self._looked = 0
        self._seqs: set[int] = set()
        self._completed: set[str] = set()
        self._started: Counter[str] = Counter()
        self._undone: list[str] = []

    # -- what is told ------------------------------------------------------------------------------------------------

    def to_the_end(self, *, most: int = 60) -> WildPlay:
        """Some time of anything, then whatever waits is let go on until the run has ended."""
        later = self.heart.time + 5 if self.random.random() < 0.1 else None
        self.say(f.RunStarted(at=self.heart.now(), not_before=later))
        for _ in range(most):
            fact = self.something()
            if fact is not None:
                self.say(fact)
        self.calm = True
        for _ in range(1500):
            if self.run.status in RUN_ENDED:
                return self
            if self.run.status is RunStatus.PAUSED:
                self.say(f.UnpauseRequested(by="me", at=self.heart.now()))
                continue
            fact = self.next_fact() or self.what_waits()
            self.say(fact)
        raise AssertionError(f"the run does not end: {self.heart.statuses}")

    def something(self) -> f.Fact | None:
        chance = self.random.random()
        if chance < self.manners.stale:
            return self.random.choice(self.told)
        if chance < self.manners.stale + self.manners.operators:
            return self.an_operator()
        if chance > 0.9:
            waiting = self.choose_waiting()
            return None if waiting is None else self.let_go(waiting)
        return self.next_fact() or (None if (step := self.choose_waiting()) is None else self.let_go(step))

    def say(self, fact: f.Fact) -> None:
        """Tell a fact, and once more if that must change nothing."""
        before = self.run.status
        decided = self.tell(fact)
        if not isinstance(fact, f.BatchLimited):  # told again, it may be below what runs by then
            self.told.append(fact)
        if before in RUN_ENDED and not isinstance(fact, f.RetryRequested | f.RerunRequested):
            assert not decided, (fact, decided)
        if isinstance(fact, ONCE) and decided:
            again = self.heart.tell(fact)
            assert not again, (fact, again)
        self.look()

    def next_fact(self) -> f.Fact | None:
        fact = super().next_fact()
        if isinstance(fact, f.JoinCounted) and not self.calm and self.random.random() < 0.2:
            return replace(fact, counts=Arrivals(fired=self.random.randint(0, 3), dead=self.random.randint(0, 3)))
        return fact

    def attempt(self, step: StepState) -> f.Fact:  # noqa: PLR0911  # whatever may happen to one
        if not self.calm and self.random.random() < 0.05:
            return f.StepParked(step_id=step.step_id, attempt=step.attempt, reason="no", at=self.heart.now())
        if not self.calm and self.random.random() < 0.1:
            began = self.heart.now()
            return f.StepTaken(step_id=step.step_id, attempt=step.attempt, worker="w", started_at=began, at=began)
        task = task_of(self.run, step)
        try:
            given = input_of(self.run, step)
        except InputError as error:
            return self.failed(step, "InputError", str(error), retryable=False)
        if task.uses in ("map", "batch-scatter") and not isinstance(given, list):
            return self.failed(step, "InputError", "no list", retryable=False)
        if task.uses in BUILT_INS and task.uses != "batch-gather":
            if not self.calm and self.random.random() < 0.05:
                return self.failed(step, "ParameterError", "no", retryable=False)
            return BUILT_INS[task.uses](self, step, given)
        if not self.calm and self.random.random() < 0.2:
            return self.failed(step, "TaskError", "no")
        done = Result({"ok": self.random.random() < 0.5}, self.random.choice((None, None, *ACTIONS)))
        return self.succeeded(step, done.output, done.action, **self._changes())

    def _changes(self) -> dict[str, Any]:
        if self.calm:
            return {"more": False, "flag": False}
        if self.random.random() < 0.7:
            return {}
        key = self.random.choice(KEYS)
        value: Any = self.random.choice((True, False, ABSENT))
        return {key: [1, 2] if key == "items" else value}

    # -- what waits --------------------------------------------------------------------------------------------------

    def choose_waiting(self) -> StepState | None:
        waiting = [s for s in self.run.steps.values() if s.is_live and not s.is_due and s.batch is None]
        return self.random.choice(sorted(waiting, key=lambda s: s.step_id)) if waiting else None

    def what_waits(self) -> f.Fact:
        """Something that lets the run go on; there must be something that it waits for."""
        step = self.choose_waiting()
        if step is not None:
            return self.let_go(step)
        assert self.run.timers, f"the run waits for nothing: {self.run.status} {self.heart.statuses}"
        return self.due(min(self.run.timers, key=lambda key: self.run.timers[key]))

    def let_go(self, step: StepState) -> f.Fact:
        at = self.heart.now()
        if step.status is StepStatus.PARKED:
            return f.StepUnparked(step_id=step.step_id, at=at)
        if isinstance(step.waiting_for, ForChild):
            how = RunStatus.COMPLETED
            if not self.calm:
                how = self.random.choice((RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED))
            return f.ChildEnded(
                step_id=step.step_id,
                child=step.waiting_for.run_id,
                status=how,
                output={"ok": True},
                changes=self._changes(),
                reason=None,
                at=at,
            )
        if step.wake_at is not None and (step.status is StepStatus.RETRYING or self.random.random() < 0.5):
            return self.due(TimerKey(TimerKind.STEP, step.step_id))
        if isinstance(step.waiting_for, ForSignal) and step.waiting_for.signal and self.random.random() < 0.5:
            return f.SignalReceived(name=step.waiting_for.signal, payload={"ok": True}, by="me", at=at)
        return f.StepResumed(
            step_id=step.step_id,
            output=self.random.choice((ABSENT, None, 1)),
            action=self.random.choice((None, *ACTIONS)),
            by="me",
            at=at,
        )

    def due(self, key: TimerKey) -> f.Fact:
        self.heart.time = max(self.heart.time, self.run.timers[key])
        return f.TimerDue(key=key, at=self.heart.now())

    # -- what operators ask ------------------------------------------------------------------------------------------

    def an_operator(self) -> f.Fact:  # noqa: PLR0911  # a table of commands
        at, by = self.heart.now(), "me"
        step_id = self._some_step()
        match self.random.choice(COMMANDS):
            case "pause":
                return f.PauseRequested(by=by, reason="", at=at)
            case "unpause":
                return f.UnpauseRequested(by=by, at=at)
            case "cancel":
                return f.CancelRequested(by=by, reason="enough", at=at)
            case "retry":
                return f.RetryRequested(step_id=self.random.choice((None, step_id)), by=by, at=at)
            case "rerun":
                return f.RerunRequested(step_id=step_id, changes=self._changes(), by=by, at=at)
            case "limit":
                # A limit below what runs already lets the next owner start less: no difference to look for.
                under_way = max((len(batch.live) for batch in self.run.batches.values()), default=0)
                return f.BatchLimited(
                    step_id=self.random.choice((step_id, *self.run.batches)),
                    max_concurrency=self.random.choice((None, max(1, under_way), under_way + 1)),
                    tolerated_failures=self.random.choice((None, 0, 3, "20%")),
                    by=by,
                    at=at,
                )
            case "resume":
                return f.StepResumed(step_id=step_id, output=None, action=None, by=by, at=at)
            case "child":
                return f.ChildEnded(
                    step_id=step_id,
                    child=RunId("other"),
                    status=RunStatus.COMPLETED,
                    output=None,
                    changes={},
                    reason=None,
                    at=at,
                )
            case "timer":
                key = self.random.choice((TimerKey(TimerKind.STEP, step_id), *self.run.timers))
                return f.TimerDue(key=key, at=at)
            case "unpark":
                return f.StepUnparked(step_id=step_id, at=at)
            case _:
                return f.SignalReceived(name=self.random.choice(("go", "other")), payload=1, by=by, at=at)

    def _some_step(self) -> StepId:
        return self.random.choice([*self.heart.step_rows, *self.run.steps, StepId("nowhere")])

    # -- promises ----------------------------------------------------------------------------------------------------

    def check(self) -> None:
        super().check()
        self.check_counts()

    def look(self) -> None:
        """Whether what has been decided since the last look may be decided at all."""
        for decision in self.heart.decided[self._looked :]:
            self._look_at(decision)
        self._looked = len(self.heart.decided)

    def _look_at(self, decision: d.Decision) -> None:
        match decision:
            case d.RecordStep(step):
                self._new(step.seq)
            case d.WriteContext(seq=seq) | d.Rearm(seq=seq):
                self._new(seq)
            case d.RecordEvent(type_, data, _, seq):
                self._new(seq)
                if type_ == "step.completed":
                    assert data["step"] not in self._completed, data
                    self._completed.add(data["step"])
                if type_ == "run.compensating":
                    self._undone.clear()
            case d.RunStep(step_id, node_id) if node_id in self.run.graph.compensations:
                if step_id not in self._undone:
                    self._undone.append(step_id)
            case _:
                pass

    def _new(self, seq: int) -> None:
        assert seq not in self._seqs, seq
        self._seqs.add(seq)

    def check_counts(self) -> None:
        """What is counted along the way is what the steps say, and no batch has more under way than it may."""
        run = self.run
        live = [step for step in run.steps.values() if step.is_live]
        assert run.live == len(live)
        assert run.active == sum(step.is_active for step in live)
        busy = Counter(c for step in live for c in run.graph.loops_around(step.node_id))
        busy.update(c for j in run.pending_joins for c in run.graph.loops_around(run.join_nodes[j]))
        assert {c: n for c, n in run.busy.items() if n} == dict(busy)
        items = [step for step in live if step.item is not None]
        for batch in run.batches.values():
            assert batch.live == {step.item for step in items if batch_id_of(step) == batch.step_id}
        for step in items:
            assert batch_id_of(step) in run.batches, step
        if run.status in RUN_ENDED:
            assert (run.live, run.pending_joins, run.timers) == (0, set(), {}), self.heart.statuses
        if (
            run.status in (RunStatus.RUNNING, RunStatus.WAITING)
            and TimerKey(TimerKind.START, StepId("")) not in run.timers
        ):
            waits = not run.active and not run.pending_joins and bool(run.live)
            assert (run.status is RunStatus.WAITING) == waits, (run.status, self.heart.statuses)


ONCE = (
    f.RunStarted,
    f.StepTaken,
    f.StepSucceeded,
    f.StepFailed,
    f.StepSuspended,
    f.BatchScattered,
    f.ChildEnded,
    f.StepParked,
    f.StepUnparked,
)
COMMANDS = (
    "pause",
    "unpause",
    "unpause",
    "cancel",
    "retry",
    "retry",
    "rerun",
    "rerun",
    "limit",
    "limit",
    "resume",
    "child",
    "timer",
    "unpark",
    "signal",
)
