"""Random workflows, facts in any order, doubled and late: the same end, and never a state that rows do not give."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.drawing import Workflow, expected_end, workflows
from support.heart import Heart, snapshot

from famulus.blueprint import build_graph, digest_of, parse_blueprint
from famulus.flow import decisions as d
from famulus.flow import facts as f
from famulus.flow.advance import advance
from famulus.flow.arrivals import Arrivals
from famulus.ids import NodeId, StepId

RANDOMS = st.randoms(use_true_random=False)
FEW = settings(max_examples=150, deadline=None)


class Player:
    """Plays a workflow: picks a due step or a pending join, in any order, and reports what its node does."""

    def __init__(self, workflow: Workflow, random: Random) -> None:
        parsed = parse_blueprint(workflow.document)
        self.workflow = workflow
        self.random = random
        self.heart = Heart(build_graph(parsed, digest_of(parsed)), workflow.initial)
        self.told: list[f.Fact] = []

    def play(self, *, crashes: bool = False, doubled: bool = False) -> Heart:
        self.tell(f.RunStarted(at=0))
        for _ in range(1000):
            if crashes and self.random.random() < 0.2:
                self.heart.run = self.heart.reloaded()
            if doubled and self.random.random() < 0.5:
                self.tell(self.random.choice(self.told))
            fact = self.next_fact()
            if fact is None:
                return self.heart
            self.tell(fact)
            if doubled:
                assert self.heart.tell(fact) == []
        raise AssertionError("the run does not end")

    def tell(self, fact: f.Fact) -> list[d.Decision]:
        self.told.append(fact)
        return self.heart.tell(fact)

    def next_fact(self) -> f.Fact | None:
        steps = sorted(self.heart.due)
        choices = [*steps, *sorted(self.heart.run.pending_joins)]
        if not choices:
            return None
        chosen = self.random.choice(choices)
        return self.outcome(chosen) if chosen in steps else self.heart.counted(chosen)

    def outcome(self, node_id: str) -> f.Fact:
        behaviour = self.workflow.behaviours[node_id]
        if self.heart.attempt_of(node_id) <= behaviour.failures:
            return self.heart.failed(node_id, retryable=not behaviour.fatal, changes=behaviour.changes)
        return self.heart.succeeded(node_id, behaviour.output, action=behaviour.action, changes=behaviour.changes)


def end_of(heart: Heart) -> tuple[dict[str, str], str]:
    return heart.statuses, heart.run.status.value


def counted(heart: Heart, run: Any) -> dict[str, Any]:
    """What the state becomes when its pending joins are counted; the state itself stays."""
    other = Heart(heart.graph)
    other.run = copy.deepcopy(run, {id(heart.graph): heart.graph})
    other.now = lambda: 0.0  # type: ignore[method-assign]
    other.count_joins()
    return snapshot(other.run)


@FEW
@given(workflows(), RANDOMS)
def test_a_run_ends_as_an_independent_interpreter_says(workflow: Workflow, random: Random) -> None:
    heart = Player(workflow, random).play()

    assert end_of(heart) == expected_end(workflow)


@FEW
@given(workflows(), RANDOMS)
def test_facts_in_any_order_doubled_and_late_and_crashes_between_them_change_nothing(
    workflow: Workflow, random: Random
) -> None:
    heart = Player(workflow, random).play(crashes=True, doubled=True)

    assert end_of(heart) == expected_end(workflow)


@settings(max_examples=100, deadline=None)
@given(workflows(cycles=True), RANDOMS)
def test_after_every_fact_the_rows_give_the_state_that_the_owner_has(workflow: Workflow, random: Random) -> None:
    player = Player(workflow, random)
    fact: f.Fact | None = f.RunStarted(at=0)

    while fact is not None:
        player.tell(fact)
        heart = player.heart
        if heart.run.status != "running":
            break
        assert counted(heart, heart.reloaded()) == counted(heart, heart.run)
        fact = player.next_fact()

    reloaded = snapshot(player.heart.reloaded())
    live = snapshot(player.heart.run)
    assert {**reloaded, "joins": {}} == {**live, "joins": {}}


@settings(max_examples=100, deadline=None)
@given(workflows(cycles=True), RANDOMS)
def test_advance_says_and_does_the_same_for_an_equal_state(workflow: Workflow, random: Random) -> None:
    player = Player(workflow, random)
    fact: f.Fact | None = f.RunStarted(at=0)

    while fact is not None:
        run = player.heart.run
        equal = copy.deepcopy(run, {id(run.graph): run.graph})
        assert advance(equal, fact) == player.tell(fact)
        assert snapshot(equal) == snapshot(run)
        fact = player.next_fact()


@FEW
@given(workflows(), RANDOMS)
def test_no_step_starts_before_its_join_is_satisfied(workflow: Workflow, random: Random) -> None:
    player = Player(workflow, random)
    fact: f.Fact | None = f.RunStarted(at=0)

    while fact is not None:
        for decision in player.tell(fact):
            if isinstance(decision, d.RunStep) and decision.attempt == 1:
                assert is_satisfied(player.heart, decision.node_id)
        fact = player.next_fact()


def is_satisfied(heart: Heart, node_id: NodeId) -> bool:
    """By the recorded outcomes alone."""
    edges = list(enumerate(heart.graph.blueprint.edges))
    nodes = heart.graph.blueprint.nodes
    config = heart.graph.node(node_id).config
    sources = {edge.source for _, edge in edges if edge.target == node_id}
    came = {source: came_by(heart, source, node_id) for source in sources}
    fired = list(came.values()).count("fired")
    callers = [heart.step_rows.get(StepId(node.id)) for node in nodes if node.config.fallback == node_id]
    if any(row is not None and row.is_handled for row in callers) and "waiting" not in came.values():
        return not (config.join == "all" and "failed" in came.values())
    if not sources:
        return not callers
    match config.join:
        case "any":
            return fired > 0
        case "n_of_m":
            return fired >= (config.join_count or 0)
        case "all_settled":
            return "waiting" not in came.values() and set(came.values()) != {"dead"}
        case _:
            return fired > 0 and set(came.values()) <= {"fired", "dead"}


def came_by(heart: Heart, source: NodeId, target: NodeId) -> str:
    edges = heart.graph.blueprint.edges
    row = heart.step_rows.get(StepId(source))
    if row is not None and row.is_handled and target in heart.graph.told_at_once(source):
        return "dead"
    while row is not None and row.is_handled:
        row = heart.step_rows.get(StepId(heart.graph.node(row.node_id).config.fallback or ""))
    if row is None or row.is_live:
        return "waiting"
    if row.status == "failed" or row.blocked:
        return "failed"
    fired = (edges[i] for each in heart.step_rows.values() for i in each.fired)
    return "fired" if any((edge.source, edge.target) == (source, target) for edge in fired) else "dead"


@FEW
@given(
    workflows(),
    RANDOMS,
    st.lists(
        st.builds(Arrivals, fired=st.integers(0, 9), dead=st.integers(0, 9), failed=st.integers(0, 9)), min_size=1
    ),
)
def test_wrong_counts_start_nothing_early_and_do_no_lasting_harm(
    workflow: Workflow, random: Random, wrong: list[Arrivals]
) -> None:
    player = Player(workflow, random)
    heart = player.heart
    fact: f.Fact | None = f.RunStarted(at=0)

    while fact is not None:
        player.tell(fact)
        for node_id in heart.graph.joins:
            decided = heart.tell(heart.counted(node_id, random.choice(wrong)))
            assert all(is_satisfied(heart, run.node_id) for run in decided if isinstance(run, d.RunStep))
        fact = player.next_fact()

    assert end_of(heart) == expected_end(workflow)


@settings(max_examples=200, deadline=None)
@given(workflows(cycles=True, most=9), RANDOMS)
def test_every_run_ends_with_nothing_live_and_no_sequence_number_given_twice(
    workflow: Workflow, random: Random
) -> None:
    heart = Player(workflow, random).play(crashes=True, doubled=True)

    assert heart.run.status in ("completed", "failed")
    assert (heart.run.live, heart.run.pending_joins) == (0, set())
    seqs = [event.seq for event in heart.events]
    seqs += [decision.step.seq for decision in heart.decided if isinstance(decision, d.RecordStep)]
    seqs += [decision.seq for decision in heart.decided if isinstance(decision, d.WriteContext)]
    assert len(seqs) == len(set(seqs))
    assert max(seqs) < heart.run.next_seq


@FEW
@given(workflows(cycles=True), RANDOMS, st.integers(0, 10))
def test_a_cancelled_run_has_nothing_live_and_stays_as_it_is(workflow: Workflow, random: Random, after: int) -> None:
    player = Player(workflow, random)
    heart = player.heart
    player.tell(f.RunStarted(at=0))
    for _ in range(after):
        fact = player.next_fact()
        if fact is not None:
            player.tell(fact)
    was_over = heart.run.status != "running"

    heart.cancel()

    assert heart.run.live == 0
    assert was_over or heart.run.status == "cancelled"
    before = snapshot(heart.run)
    for fact in player.told:
        assert heart.tell(fact) == []
    assert snapshot(heart.run) == before
