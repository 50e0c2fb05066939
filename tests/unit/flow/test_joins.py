"""Joins, dead paths, failures (blueprint specification, section 6, and where famulus differs)."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from support.heart import Heart, graph_of

from famulus.blueprint.model import JoinPolicy
from famulus.flow import decisions as d
from famulus.flow.arrivals import Arrivals
from famulus.flow.joins import Verdict, decide

ANY = {"uses": "x", "config": {"joinStrategy": "any"}}
DIAMOND = (("s", "a", {"action": "left"}), ("s", "b", {"action": "right"}), ("a", "j"), ("b", "j"))


def fork(join: object = "x", *more: tuple[str, str]) -> Heart:
    """`a`, `b` and `c` run side by side and lead to `j`, and `j` to `end`."""
    nodes = {**dict.fromkeys("abc", "x"), "j": join, "end": "x"}
    return Heart(graph_of(nodes, ("a", "j"), ("b", "j"), ("c", "j"), ("j", "end"), *more)).start()


def diamond(join: object = "x") -> Heart:
    return Heart(graph_of({"s": "x", "a": "x", "b": "x", "j": join}, *DIAMOND)).start()


@pytest.mark.parametrize(
    ("policy", "counts", "expected"),
    [
        ("all", (2, 0, 0), Verdict.WAIT),
        ("all", (3, 0, 0), Verdict.START),
        ("all", (1, 2, 0), Verdict.START),
        ("all", (0, 3, 0), Verdict.SKIP),
        ("all", (2, 0, 1), Verdict.BLOCK),
        ("all", (0, 2, 1), Verdict.BLOCK),
        ("all", (1, 0, 1), Verdict.WAIT),
        ("any", (0, 0, 0), Verdict.WAIT),
        ("any", (1, 0, 0), Verdict.START),
        ("any", (1, 1, 1), Verdict.START),
        ("any", (0, 1, 1), Verdict.WAIT),
        ("any", (0, 2, 1), Verdict.BLOCK),
        ("any", (0, 3, 0), Verdict.SKIP),
        ("all_settled", (1, 0, 1), Verdict.WAIT),
        ("all_settled", (1, 1, 1), Verdict.START),
        ("all_settled", (0, 2, 1), Verdict.START),
        ("all_settled", (0, 0, 3), Verdict.START),
        ("all_settled", (0, 3, 0), Verdict.SKIP),
        ("n_of_m", (1, 0, 0), Verdict.WAIT),
        ("n_of_m", (2, 0, 0), Verdict.START),
        ("n_of_m", (2, 0, 1), Verdict.START),
        ("n_of_m", (1, 0, 1), Verdict.WAIT),
        ("n_of_m", (0, 0, 2), Verdict.BLOCK),
        ("n_of_m", (0, 1, 1), Verdict.BLOCK),
        ("n_of_m", (0, 2, 0), Verdict.WAIT),
        ("n_of_m", (1, 2, 0), Verdict.SKIP),
        ("n_of_m", (0, 3, 0), Verdict.SKIP),
    ],
)
def test_the_verdict_over_three_predecessors(policy: str, counts: tuple[int, int, int], expected: Verdict) -> None:
    fired, dead, failed = counts

    assert decide(JoinPolicy(policy), Arrivals(fired=fired, dead=dead, failed=failed), expected=3, needed=2) is expected


@pytest.mark.parametrize("policy", JoinPolicy)
@pytest.mark.parametrize("needed", [1, 2, 3, 4])
def test_a_verdict_stays_whatever_comes_later(policy: JoinPolicy, needed: int) -> None:
    def verdict(*counts: int) -> Verdict:
        fired, dead, failed = counts
        return decide(policy, Arrivals(fired=fired, dead=dead, failed=failed), expected=3, needed=needed)

    for counts in product(range(4), repeat=3):
        if sum(counts) < 3 and verdict(*counts) is not Verdict.WAIT:
            for i in range(3):
                assert verdict(*(count + (i == j) for j, count in enumerate(counts))) is verdict(*counts)
        assert sum(counts) != 3 or verdict(*counts) is not Verdict.WAIT


def test_an_all_settled_join_starts_after_a_failure_and_the_run_still_fails() -> None:
    heart = fork({"uses": "x", "config": {"joinStrategy": "all_settled"}})

    heart.succeed("a")
    heart.fail("b")
    before = heart.due
    heart.succeed("c")
    after = heart.due
    heart.succeed("j")
    heart.succeed("end")

    assert (before, after) == ({"c"}, {"j"})
    assert heart.run.status == "failed"


def test_an_all_settled_node_starts_behind_the_failure_of_its_only_predecessor() -> None:
    heart = Heart(graph_of({"a": "x", "b": {"uses": "x", "config": {"joinStrategy": "all_settled"}}}, ("a", "b")))
    heart.start()

    heart.fail("a")
    heart.crash()

    assert heart.due == {"b"}


def test_a_join_of_two_of_three_starts_with_the_second_and_only_once() -> None:
    heart = fork({"uses": "x", "config": {"joinStrategy": "n_of_m", "joinCount": 2}})

    heart.succeed("a")
    heart.fail("b")
    before = heart.due
    heart.succeed("c")

    assert (before, heart.due) == ({"c"}, {"j"})


def test_a_join_that_cannot_get_its_number_is_blocked_by_the_failure() -> None:
    heart = fork({"uses": "x", "config": {"joinStrategy": "n_of_m", "joinCount": 2}})

    heart.fail("a")
    heart.fail("b")

    assert heart.statuses == {"a": "failed", "b": "failed", "c": "scheduled", "j": "skipped", "end": "skipped"}
    assert heart.run.steps["j"].blocked


def test_an_all_join_starts_when_the_last_predecessor_has_completed() -> None:
    heart = fork()

    heart.succeed("a")
    heart.succeed("c")
    before = heart.due
    heart.succeed("b")

    assert before == {"b"}
    assert heart.due == {"j"}


def test_a_second_arrival_of_the_same_node_does_not_fire_the_join() -> None:
    heart = fork()
    fact = heart.succeeded("a")
    for _ in range(3):
        heart.tell(fact)
        heart.count_joins()

    assert heart.due == {"b", "c"}
    assert heart.run.joins["j"].counts == Arrivals(fired=1)


def test_a_diamond_joins_although_one_branch_was_not_taken() -> None:
    heart = diamond()

    heart.succeed("s", action="left")
    heart.succeed("a", 1)

    assert heart.statuses == {"s": "completed", "b": "skipped", "a": "completed", "j": "scheduled"}


def test_a_join_all_of_whose_paths_are_dead_is_skipped_and_so_is_what_follows() -> None:
    heart = Heart(
        graph_of(
            {"s": "x", "a": "x", "b": "x", "j": "x", "after": "x", "last": "x"},
            ("s", "a", {"condition": "no"}),
            ("s", "b", {"condition": "no"}),
            ("a", "j"),
            ("b", "j"),
            ("j", "after"),
            ("after", "last"),
        )
    ).start()

    heart.succeed("s")

    assert heart.statuses == {"s": "completed", **dict.fromkeys(["a", "b", "j", "after", "last"], "skipped")}
    assert heart.run.status == "completed"
    assert not any(step.blocked for step in heart.run.steps.values())


def test_a_node_that_skips_over_a_branch_and_joins_behind_it_is_counted_once() -> None:
    heart = Heart(
        graph_of(
            {"s": "x", "a": "x", "j": "x"},
            ("s", "a", {"condition": "no"}),
            ("a", "j"),
            ("s", "j"),
            ("s", "j", {"condition": "no"}),
        )
    ).start()

    heart.succeed("s")

    assert heart.statuses == {"s": "completed", "a": "skipped", "j": "scheduled"}


def test_a_skipped_chain_of_many_nodes_needs_no_recursion() -> None:
    names = [f"n{i}" for i in range(5000)]
    edges = [("s", "n0", {"condition": "no"}), *pairwise(names)]
    heart = Heart(graph_of(dict.fromkeys(["s", *names], "x"), *edges)).start()

    heart.succeed("s")

    assert heart.run.status == "completed"
    assert set(heart.statuses.values()) == {"completed", "skipped"}


def test_a_failed_predecessor_blocks_an_all_join_and_what_lies_behind_it() -> None:
    heart = fork()

    heart.succeed("a")
    heart.fail("b")
    heart.succeed("c")

    assert heart.statuses == {"a": "completed", "b": "failed", "c": "completed", "j": "skipped", "end": "skipped"}
    assert heart.run.steps["j"].blocked
    assert heart.run.steps["end"].blocked
    assert "b" in (heart.run.steps["j"].reason or "")
    assert (heart.run.status, heart.run.reason) == ("failed", "step b failed")


def test_a_failure_in_front_of_the_predecessor_blocks_the_join_too() -> None:
    heart = Heart(graph_of(dict.fromkeys("axbj", "x"), ("a", "x"), ("x", "j"), ("b", "j"))).start()

    heart.succeed("b")
    heart.fail("a")

    assert heart.statuses == {"b": "completed", "a": "failed", "x": "skipped", "j": "skipped"}
    assert heart.run.steps["j"].blocked


def test_a_failure_does_not_stop_independent_branches() -> None:
    heart = Heart(graph_of(dict.fromkeys("abcd", "x"), ("a", "b"), ("c", "d"))).start()

    heart.fail("a")
    heart.succeed("c")

    assert heart.run.status == "running"
    heart.succeed("d")
    assert heart.statuses == {"a": "failed", "b": "skipped", "c": "completed", "d": "completed"}
    assert heart.run.status == "failed"


def test_an_any_join_starts_with_the_first_edge_and_only_once() -> None:
    heart = fork(ANY)

    heart.succeed("b", "first")
    assert heart.due == {"a", "c", "j"}
    heart.succeed("j")
    heart.succeed("a")
    heart.succeed("c")
    heart.succeed("end")

    assert heart.run.status == "completed"
    assert [e.data["step"] for e in heart.events if e.type == "step.completed"].count("j") == 1
    assert sum(isinstance(decision, d.RunStep) and decision.step_id == "j" for decision in heart.decided) == 1


def test_an_any_join_starts_by_another_predecessor_when_one_failed() -> None:
    heart = fork(ANY)

    heart.fail("a")
    before = heart.due
    heart.succeed("b")

    assert before == {"b", "c"}
    assert heart.due == {"c", "j"}


def test_an_any_join_all_of_whose_predecessors_failed_is_blocked() -> None:
    heart = fork(ANY)

    for name in "abc":
        heart.fail(name)

    assert heart.run.steps["j"].status == "skipped"
    assert heart.run.steps["j"].blocked
    assert heart.run.status == "failed"


def test_an_any_join_with_only_dead_paths_is_skipped() -> None:
    heart = diamond(ANY)

    heart.succeed("s", action="neither")

    assert heart.statuses["j"] == "skipped"
    assert heart.run.status == "completed"


def test_an_edge_from_a_node_that_does_not_exist_never_fires_and_does_not_block_the_join() -> None:
    heart = Heart(graph_of(dict.fromkeys("abj", "x"), ("a", "j"), ("b", "j"), ("ghost", "j"))).start()

    heart.succeed("a")
    heart.succeed("b")

    assert heart.due == {"j"}


@pytest.mark.parametrize("kind", ["lower", "empty", "higher", "other kinds"])
def test_a_wrong_count_never_starts_a_join_early(kind: str) -> None:
    heart = fork()
    wrong = {
        "lower": Arrivals(fired=1),
        "empty": Arrivals(),
        "higher": Arrivals(fired=10),
        "other kinds": Arrivals(dead=3, failed=3),
    }[kind]
    heart.succeed("a")
    heart.succeed("b")

    heart.tell(heart.counted("j", wrong))
    heart.tell(heart.succeeded("c"))
    pending = set(heart.run.pending_joins)
    heart.tell(heart.counted("j", wrong))

    assert pending == {"j"}
    assert ("j" in heart.due) == (kind == "higher")


def test_a_count_that_was_too_low_is_made_good_by_a_right_one() -> None:
    heart = fork()
    for name in "abc":
        heart.tell(heart.succeeded(name))

    heart.tell(heart.counted("j", Arrivals(fired=2)))
    heart.tell(heart.counted("j"))

    assert heart.due == {"j"}


def test_a_run_does_not_end_while_a_join_waits_for_its_count() -> None:
    heart = fork()
    heart.tell(heart.failed("a"))
    heart.tell(heart.succeeded("b"))

    heart.tell(heart.succeeded("c"))

    assert heart.run.status == "running"
    heart.count_joins()
    assert heart.run.status == "failed"


def test_a_pending_join_is_found_again_after_a_crash() -> None:
    heart = fork()
    for name in "abc":
        heart.tell(heart.succeeded(name))

    heart.run = heart.reloaded()

    assert heart.run.pending_joins == {"j"}
    heart.count_joins()
    assert heart.due == {"j"}


def test_a_join_into_a_join_is_skipped_in_one_go() -> None:
    heart = Heart(
        graph_of(
            dict.fromkeys(["s", "a", "b", "c", "j", "k"], "x"),
            ("s", "a", {"condition": "no"}),
            ("s", "b", {"condition": "no"}),
            ("s", "c"),
            ("a", "j"),
            ("b", "j"),
            ("j", "k"),
            ("c", "k"),
        )
    ).start()

    heart.succeed("s")
    heart.succeed("c")

    assert heart.statuses["j"] == "skipped"
    assert heart.due == {"k"}
