"""What a run waits for, of each construct: from its state alone, and from what is known of the world."""

from __future__ import annotations

from typing import Any

from support.heart import Heart, graph_of

from famulus.engine.explaining.explanation import Explanation, RunExplanation
from famulus.engine.explaining.knowledge import History, PartitionFacts, Paused, Surroundings, TurnFacts
from famulus.engine.explaining.reasons import explain
from famulus.flow import facts as f
from famulus.flow.batches import BatchSpec
from famulus.flow.status import StepStatus
from famulus.flow.waiting import ForChild, ForSignal, ForTimer, ForWebhook, WaitingFor
from famulus.ids import BlueprintId, NodeId, RunId, StepId


def clock(at: float) -> str:
    return f"@{at:g}"


def told(heart: Heart, *, history: History | None = None, **around: Any) -> RunExplanation:
    return explain(heart.run, history or History(), Surroundings(**around))


def of(explanation: RunExplanation, step_id: str) -> Explanation:
    (found,) = [each for each in explanation.of_steps if each.step_id == step_id]
    return found


def sentence(explanation: RunExplanation, step_id: str) -> str:
    return of(explanation, step_id).sentence(clock)


def suspended(
    heart: Heart,
    step_id: str,
    waiting_for: WaitingFor,
    *,
    wake_at: float | None = None,
    status: StepStatus = StepStatus.WAITING,
) -> None:
    heart.tell(
        f.StepSuspended(
            step_id=StepId(step_id),
            attempt=1,
            status=status,
            output=None,
            waiting_for=waiting_for,
            wake_at=wake_at,
            started_at=heart.time,
            at=heart.now(),
        )
    )


# -- the run ---------------------------------------------------------------------------------------------------------


def test_a_completed_run_awaits_nothing() -> None:
    heart = Heart(graph_of({"a": "echo"})).start()
    heart.succeed("a")

    explanation = told(heart)

    assert explanation.of_steps == ()
    assert explanation.of_run[0].sentence(clock) == "completed at @2, nothing is awaited"


def test_a_failed_run_says_why_and_how_it_could_go_on() -> None:
    heart = Heart(graph_of({"a": "echo"})).start()
    heart.fail("a", "no luck", retryable=False)

    text = told(heart).of_run[0].sentence(clock)

    assert text.startswith("failed at @")
    assert "step a failed" in text
    assert "famulus run retry r" in text


def test_a_paused_run_says_who_has_paused_it_and_its_due_steps_wait_for_that() -> None:
    heart = Heart(graph_of({"a": "echo"})).start()
    heart.tell(f.PauseRequested(by="ada", reason="lunch", at=heart.now()))

    explanation = told(heart, history=History(paused=Paused("ada", 2.0, "lunch")))

    run = explanation.of_run[0]
    assert run.kind == "paused"
    assert run.sentence(clock) == (
        "it is paused by ada (lunch): what runs comes to its end, no further step starts, since @2; "
        "`famulus run unpause r` lets it go on"
    )
    assert sentence(explanation, "a") == "it is due, but the run is paused; it starts when the run goes on"


def test_a_run_that_begins_later_says_when_and_nothing_of_its_steps() -> None:
    heart = Heart(graph_of({"a": "echo"}))
    heart.tell(f.RunStarted(at=1.0, not_before=50.0))

    explanation = told(heart, history=History(began_at=1.0))

    assert explanation.of_run[0].sentence(clock) == "it was started for later and begins at @50, since @1"
    assert explanation.of_steps == ()


def test_a_run_with_a_timeout_says_when_it_would_fail() -> None:
    heart = Heart(graph_of({"a": "echo"}, metadata={"timeout": 9000})).start()

    assert "run_timeout" in [each.kind for each in told(heart).of_run]


def test_a_run_that_is_compensated_says_so_and_what_undoes_is_explained() -> None:
    heart = Heart(
        graph_of({"a": {"uses": "echo", "config": {"compensate": "undo"}}, "b": "echo", "undo": "echo"}, ("a", "b"))
    ).start()
    heart.succeed("a")
    heart.fail("b", retryable=False)

    explanation = told(heart)

    assert explanation.of_run[0].kind == "compensating"
    assert [each.step_id for each in explanation.of_steps] == ["undo~a"]


def test_a_run_with_nothing_live_is_told_to_be_verified() -> None:
    heart = Heart(graph_of({"a": "echo"}))  # a state that no run should have

    (run,) = told(heart).of_run

    assert run.kind == "nothing_live"
    assert "famulus verify --run r" in run.sentence(clock)


# -- the world around ------------------------------------------------------------------------------------------------


def partition(**facts: Any) -> PartitionFacts:
    usual = {"topic": "jobs", "partition": 3, "group": "g", "members": 2, "is_settled": True, "is_owned": True}
    return PartitionFacts(**{**usual, "owner": "w1", "unread": 0, **facts})


def test_a_partition_without_owner_is_said_of_the_run_and_of_the_steps_that_are_due() -> None:
    heart = Heart(graph_of({"a": "echo"})).start()

    explanation = told(heart, partition=partition(members=0, is_owned=False, owner=None))

    assert explanation.of_run[1].kind == "no_owner"
    assert "partition 3 of jobs has no owner: no worker of group g runs" in explanation.of_run[1].sentence(clock)
    assert of(explanation, "a").kind == "no_owner"


def test_a_group_that_is_settling_is_no_missing_owner() -> None:
    heart = Heart(graph_of({"a": "echo"})).start()

    explanation = told(heart, partition=partition(is_settled=False, is_owned=False, owner=None))

    assert [each.kind for each in explanation.of_run] == ["running", "rebalance"]


def test_records_that_are_not_read_are_counted() -> None:
    heart = Heart(graph_of({"a": "echo"})).start()

    lag = told(heart, partition=partition(unread=7)).of_run[1]

    assert lag.kind == "lag"
    assert "7 records of partition 3 of jobs not acknowledged yet by w1" in lag.sentence(clock)


def test_a_broker_that_does_not_say_who_owns_is_not_taken_for_a_missing_owner() -> None:
    heart = Heart(graph_of({"a": "echo"})).start()

    explanation = told(heart, partition=partition(is_owned=None, owner=None))

    assert [each.kind for each in explanation.of_run] == ["running"]
    assert of(explanation, "a").kind == "due"


def test_a_step_that_waits_for_a_turn_says_of_which_implementation_unless_it_has_one() -> None:
    heart = Heart(graph_of({"a": "slow"})).start()

    waiting = told(heart, turns={"slow": TurnFacts(leases=("w2/other/a/1",))})
    having = told(heart, turns={"slow": TurnFacts(leases=("w2/r/a/1",))})

    assert of(waiting, "a").kind == "limit"
    assert "a turn of `slow`, which has a limit over all workers (one attempt has one now)" in sentence(waiting, "a")
    assert of(having, "a").kind == "due"


def test_a_step_that_is_due_says_since_when_by_those_before_it() -> None:
    heart = Heart(graph_of({"a": "echo", "b": "echo"}, ("a", "b"))).start()
    heart.succeed("a")

    assert of(told(heart), "b").since == heart.run.steps[StepId("a")].ended_at


def test_what_the_owner_lacks_is_named_while_the_step_is_only_due() -> None:
    heart = Heart(graph_of({"a": "tax.compute"})).start()

    explanation = told(heart, registered=frozenset({"echo"}))

    assert of(explanation, "a").kind == "missing_implementation"
    assert "no implementation `tax.compute`" in sentence(explanation, "a")


# -- attempts --------------------------------------------------------------------------------------------------------


def test_a_running_step_says_where_since_when_and_its_timeout() -> None:
    heart = Heart(graph_of({"a": {"uses": "echo", "config": {"timeout": 5000}}})).start()
    heart.tell(f.StepTaken(step_id=StepId("a"), attempt=1, worker="w1", started_at=1.0, at=3.0))

    text = sentence(told(heart), "a")

    assert text == "attempt 1 runs on w1, since @1; its end moves the run, or its timeout at @6"


def test_a_delayed_attempt_says_when_it_is_made_and_why() -> None:
    config = {"maxRetries": 3, "retryDelay": 60000}
    heart = Heart(graph_of({"a": {"uses": "echo", "config": config}})).start()
    heart.fail("a", "busy")

    text = sentence(told(heart), "a")

    assert text.startswith("attempt 2 of 3 is made at @62, for the one before failed: ")
    assert "busy" in text


def test_a_parked_step_names_its_implementation_and_what_would_move_it() -> None:
    heart = Heart(graph_of({"a": "tax.compute"})).start()
    heart.tell(f.StepParked(step_id=StepId("a"), attempt=1, reason="nobody has it", at=heart.now()))

    explanation = told(heart, history=History(steps={StepId("a"): 2.0}))

    assert of(explanation, "a").details["uses"] == "tax.compute"
    assert sentence(explanation, "a") == (
        "it is parked, for no worker that was asked has the implementation `tax.compute`, since @2; it goes on by "
        "itself when a worker has it (FAMULUS_RECONCILE_SECONDS); `famulus run retry r --step a` asks at once"
    )


def inherit(heart: Heart, times: int, *, crash_budget: int = 3) -> None:
    """Owners are gone under the step, again and again, also while it runs alone."""
    for _ in range(times):
        suspicion = heart.run.steps[StepId("a")].suspicion
        if suspicion is not None and suspicion.is_suspect:
            heart.tell(f.StepQuarantined(step_id=StepId("a"), attempt=1, epoch=1, at=heart.now()))
        heart.tell(f.StepsInherited(steps=(StepId("a"),), crash_budget=crash_budget, at=heart.now()))


def test_a_suspect_waits_for_its_turn_in_quarantine() -> None:
    heart = Heart(graph_of({"a": "echo"})).start()
    inherit(heart, 3)

    explanation = told(heart)

    assert of(explanation, "a").kind == "quarantine"
    assert "workers were gone under it 3 times, so it waits for its turn to run alone" in sentence(explanation, "a")


def test_a_step_that_has_spent_its_crash_budget_is_not_said_to_lack_an_implementation() -> None:
    heart = Heart(graph_of({"a": "echo"})).start()
    inherit(heart, 8, crash_budget=2)

    explanation = told(heart)

    assert of(explanation, "a").kind == "crash_budget"
    assert "crash budget (FAMULUS_CRASH_BUDGET) is spent" in sentence(explanation, "a")
    assert "famulus run retry r --step a" in sentence(explanation, "a")


# -- time, somebody outside ------------------------------------------------------------------------------------------


def test_a_sleeping_step_says_until_when() -> None:
    heart = Heart(graph_of({"nap": "sleep"})).start()
    suspended(heart, "nap", ForTimer(), wake_at=90.0, status=StepStatus.SLEEPING)

    assert sentence(told(heart), "nap").startswith("it sleeps until @90, since @1; `famulus run resume r --step nap`")


def test_a_wait_names_its_signal_and_what_its_deadline_means() -> None:
    heart = Heart(graph_of({"ask": "wait"})).start()
    suspended(heart, "ask", ForSignal(signal="paid", timeout_action="late"), wake_at=90.0)

    text = sentence(told(heart), "ask")

    assert text.startswith("it waits for the signal `paid`")
    assert "`famulus run signal r paid` lets it go on; without that it goes on with action `late` at @90" in text


def test_a_wait_without_a_signal_waits_to_be_resumed() -> None:
    heart = Heart(graph_of({"ask": "wait"})).start()
    suspended(heart, "ask", ForSignal())

    assert of(told(heart), "ask").kind == "resume"


def test_a_webhook_waits_for_its_call() -> None:
    heart = Heart(graph_of({"hook": "webhook"})).start()
    suspended(heart, "hook", ForWebhook(token_digest="0" * 64), wake_at=50.0)

    text = sentence(told(heart), "hook")

    assert text.startswith("it waits for a call of its webhook")
    assert "without that it fails at @50" in text
    assert "good until" not in text


def test_a_webhook_tells_until_when_its_token_is_good() -> None:
    heart = Heart(graph_of({"hook": "webhook"})).start()
    suspended(heart, "hook", ForWebhook(token_digest="0" * 64, token_expires_at=40.0), wake_at=50.0)

    text = sentence(told(heart), "hook")

    assert "a call with its token (good until @40), or `" in text
    assert "without that it fails at @50" in text


def test_a_subflow_names_its_run_and_how_that_stands() -> None:
    heart = Heart(graph_of({"sub": "subflow"})).start()
    child = ForChild(run_id=RunId("r.sub"), blueprint_id=BlueprintId("other"), version="1", input={})
    suspended(heart, "sub", child)

    unknown, waiting = told(heart), told(heart, children={RunId("r.sub"): "waiting"})

    assert "it waits for run r.sub of other, which is not recorded yet" in sentence(unknown, "sub")
    assert "which is waiting" in sentence(waiting, "sub")
    assert "famulus explain r.sub" in sentence(waiting, "sub")


# -- items -----------------------------------------------------------------------------------------------------------


def scatter(heart: Heart, step_id: str, count: int, **spec: Any) -> None:
    heart.tell(
        f.BatchScattered(
            step_id=StepId(step_id),
            attempt=1,
            spec=BatchSpec(count=count, uses="echo", params={}, **spec),
            items=tuple(range(count)),
            started_at=heart.time,
            at=heart.now(),
        )
    )


def test_a_map_says_how_far_its_items_are_and_each_live_item_is_explained() -> None:
    heart = Heart(graph_of({"all": "map"})).start()
    scatter(heart, "all", 5, max_concurrency=2)
    heart.succeed("all[0]")

    explanation = told(heart)

    assert "it waits for its items: 1 of 5 have ended, 2 are under way" in sentence(explanation, "all")
    assert [each.step_id for each in explanation.of_steps] == ["all", "all[1]", "all[2]"]


def test_of_many_items_the_first_are_explained_and_the_rest_counted() -> None:
    heart = Heart(graph_of({"all": "map"})).start()
    scatter(heart, "all", 100)

    explanation = told(heart)

    assert (len(explanation.of_steps), explanation.left_out) == (21, 80)


def test_a_parked_item_is_said_of_the_step_that_has_it() -> None:
    heart = Heart(graph_of({"all": "map"})).start()
    scatter(heart, "all", 2)
    heart.tell(f.StepParked(step_id=StepId("all[1]"), attempt=1, reason="nobody has it", at=heart.now()))

    explanation = told(heart)

    assert "2 are under way, 1 of these parked" in sentence(explanation, "all")
    assert of(explanation, "all[1]").details["uses"] == "echo"


def test_a_gather_waits_for_the_items_of_its_scatter() -> None:
    params = {"gatherNodeId": "g", "workerUsesKey": "echo"}
    heart = Heart(graph_of({"s": {"uses": "batch-scatter", "params": params}, "g": "batch-gather"}, ("s", "g"))).start()
    scatter(heart, "s", 3, gather=NodeId("g"))
    heart.succeed("s[0]")

    assert "it waits for the items of `s`: 1 of 3 have ended" in sentence(told(heart), "g")


# -- joins -----------------------------------------------------------------------------------------------------------


def diamond(**config: Any) -> Heart:
    graph = graph_of(
        {"a": "echo", "b": "echo", "c": "echo", "d": {"uses": "echo", "config": config}},
        ("a", "d"),
        ("b", "d"),
        ("c", "d"),
    )
    return Heart(graph).start()


def test_a_join_names_who_is_missing_how_many_have_come_and_that_all_must() -> None:
    heart = diamond()
    heart.succeed("a")

    text = sentence(told(heart), "d")

    assert text.startswith("it waits for `b` (scheduled) and `c` (scheduled) (1 of 3 has come, all must)")
    assert "see what is said of `b` and `c`" in text


def test_a_join_of_any_waits_for_the_first_edge() -> None:
    text = sentence(told(diamond(joinStrategy="any")), "d")

    assert text.startswith("it waits for the first edge to fire, from `a` (scheduled), `b` (scheduled) or `c`")
    assert "(0 of 3 have come)" in text


def test_a_join_of_some_says_how_many_it_needs() -> None:
    heart = diamond(joinStrategy="n_of_m", joinCount=2)
    heart.succeed("a")

    text = sentence(told(heart), "d")

    assert "it waits for 2 of its 3 predecessors to fire an edge into it (1 has)" in text


def test_a_join_of_all_settled_does_not_mind_how_they_end() -> None:
    heart = diamond(joinStrategy="all_settled")
    heart.fail("a", retryable=False)

    assert "to end, however they end (1 of 3 has come)" in sentence(told(heart), "d")


def test_a_join_with_a_deadline_says_when_it_goes_on_without_the_rest() -> None:
    heart = diamond(joinDeadline=60000)
    heart.succeed("a")

    assert sentence(told(heart), "d").endswith("; at @62 it goes on with what is there")


def test_a_join_that_is_complete_is_being_counted() -> None:
    heart = diamond()
    for source in ("a", "b", "c"):
        heart.tell(heart.succeeded(source))

    assert of(told(heart), "d").kind == "join_count"


def test_a_node_behind_others_names_the_one_before_it() -> None:
    heart = Heart(graph_of({"a": "echo", "b": "echo", "c": "echo"}, ("a", "b"), ("b", "c"))).start()

    explanation = told(heart)

    assert sentence(explanation, "b").startswith("it waits for `a` (scheduled)")
    assert sentence(explanation, "c").startswith("it waits for `b` (not reached)")


def test_of_many_predecessors_some_are_named_and_the_rest_counted() -> None:
    names = [f"n{number}" for number in range(30)]
    heart = Heart(graph_of({**dict.fromkeys(names, "echo"), "d": "echo"}, *((name, "d") for name in names))).start()

    assert "and 22 more (0 of 30 have come" in sentence(told(heart), "d")


def test_a_fallback_says_for_whom_it_stands_in() -> None:
    graph = graph_of({"a": {"uses": "echo", "config": {"fallback": "f"}}, "f": "echo"})
    heart = Heart(graph).start()

    explanation = told(heart)

    assert of(explanation, "f").kind == "fallback"
    assert "it stands in for `a` (scheduled) if that fails" in sentence(explanation, "f")


def test_a_loop_says_which_round_it_is_in_and_what_is_live_in_it() -> None:
    graph = graph_of(
        {"loop": {"uses": "loop-controller", "params": {"condition": "true"}}, "work": "echo", "after": "echo"},
        ("loop", "work", {"action": "continue"}),
        ("work", "loop"),
        ("loop", "after", {"action": "break"}),
    )
    heart = Heart(graph).start()
    heart.succeed(heart.run.step_id_of(NodeId("loop")), action="continue")

    explanation = told(heart)

    (loop,) = [each for each in explanation.of_steps if each.node_id == "loop"]
    assert loop.kind == "round"
    assert "it waits for round 1 of its loop to end: `work` (scheduled)" in loop.sentence(clock)


# -- texts -----------------------------------------------------------------------------------------------------------


def test_braces_and_percents_in_names_are_only_texts() -> None:
    heart = Heart(graph_of({"{0}%s": "wait"})).start()
    suspended(heart, "{0}%s", ForSignal(signal="{x}%d"), wake_at=5.0)

    assert "the signal `{x}%d`" in sentence(told(heart), "{0}%s")
