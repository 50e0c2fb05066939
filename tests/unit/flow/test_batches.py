"""Batches: `batch-scatter` with `batch-gather`, and `map`."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from support.play import Play, played

from famulus.flow import facts as f
from famulus.flow.state import RunState, StepState
from famulus.ids import StepId

SEEDS = pytest.mark.parametrize("seed", range(6))


def same(given: Any, _run: RunState, _step: StepState) -> Any:
    return given


def picky(given: Any, _run: RunState, _step: StepState) -> Any:
    if given < 0:
        raise ValueError(f"{given} is negative")
    return given * 10


FUNCTIONS = {"same": same, "picky": picky}


def scattered(items: Any, seed: int = 1, **params: Any) -> Play:
    return played(
        {
            "s": {
                "uses": "batch-scatter",
                "inputs": "items",
                "params": {"workerUsesKey": "picky", "gatherNodeId": "g", **params},
            },
            "g": {"uses": "batch-gather", "params": {"gatherNodeId": "g", "outputKey": "all"}},
            "end": "same",
        },
        ("s", "g"),
        ("g", "end"),
        functions=FUNCTIONS,
        initial={"items": items},
        random=Random(seed),
        crashes=True,
    )


def mapped(items: Any, seed: int = 1, config: Any = None, **params: Any) -> Play:
    return played(
        {
            "m": {"uses": "map", "inputs": "items", "params": {"uses": "picky", **params}, "config": config or {}},
            "end": "same",
        },
        ("m", "end"),
        functions=FUNCTIONS,
        initial={"items": items},
        random=Random(seed),
        crashes=True,
    )


@SEEDS
def test_the_gather_runs_once_with_all_results_in_item_order(seed: int) -> None:
    run = scattered([3, 1, 2], seed)

    assert run.run.status == "completed"
    assert run.run.output_of("g") == [30, 10, 20]
    assert run.run.context["all"] == [30, 10, 20]
    assert run.counts == {"s": 1, "g": 1, "end": 1}
    assert (run.run.context["s_currentIndex"], run.run.context["g_hasMore"]) == (3, False)
    assert run.run.context["g_allWorkerIds"] == ["s[0]", "s[1]", "s[2]"]


def test_an_empty_list_gathers_an_empty_list() -> None:
    assert scattered([]).run.output_of("g") == []
    assert mapped([]).run.output_of("m") == []


@SEEDS
def test_a_failed_worker_lets_the_others_finish_and_the_gather_never_runs(seed: int) -> None:
    run = scattered([1, -1, 2, -2], seed)

    assert run.run.status == "failed"
    assert run.heart.statuses["g"] == "skipped"
    assert {i: run.heart.step_rows[StepId(f"s[{i}]")].status.value for i in range(4)} == {
        0: "completed",
        1: "failed",
        2: "completed",
        3: "failed",
    }


@SEEDS
def test_chunks_are_processed_one_after_another(seed: int) -> None:
    at_once: list[int] = []

    class Watching(Play):
        def attempt(self, step: StepState) -> Any:
            at_once.append(len({s.item // 2 for s in self.run.steps.values() if s.item is not None and s.is_live}))
            return super().attempt(step)

    run = scattered([1, 2, 3, 4, 5], seed, chunkSize=2)

    assert run.run.output_of("g") == [10, 20, 30, 40, 50]
    assert Watching is not None
    order = [key for key in run.heart.step_rows if key.startswith("s[")]
    assert [int(key[2]) // 2 for key in order] == [0, 0, 1, 1, 2]


@SEEDS
def test_a_map_gives_its_results_in_item_order(seed: int) -> None:
    run = mapped([3, 1, 2], seed)

    assert run.run.output_of("end") == [30, 10, 20]


@SEEDS
def test_so_many_items_of_a_map_run_at_once_and_no_more(seed: int) -> None:
    run = mapped(list(range(7)), seed, maxConcurrency=2)
    live = most = 0
    for decision in run.heart.decided:
        if type(decision).__name__ == "RunStep" and decision.item is not None:  # type: ignore[union-attr]
            live += 1
        elif type(decision).__name__ == "RecordStep" and decision.step.item is not None:  # type: ignore[union-attr]
            live -= 1
        most = max(most, live)

    assert run.run.output_of("m") == [0, 10, 20, 30, 40, 50, 60]
    assert most == 2


@SEEDS
def test_a_map_gives_null_for_failures_that_it_tolerates(seed: int) -> None:
    run = mapped([1, -1, 2], seed, toleratedFailures="40%")

    assert run.run.status == "completed"
    assert run.run.output_of("m") == [10, None, 20]


@SEEDS
def test_a_map_with_too_many_failures_starts_no_more_and_fails_with_the_first_of_them(seed: int) -> None:
    run = mapped([1, -1, 2, 3, 4, 5, 6, 7], seed, maxConcurrency=1)

    assert run.run.status == "failed"
    assert run.heart.statuses == {"m": "failed", "end": "skipped"}
    assert "m[1]" in (run.run.steps[StepId("m")].reason or "")
    assert "m[2]" not in run.heart.step_rows


def test_an_item_is_tried_again_as_the_config_of_its_map_says() -> None:
    run = mapped([-1], config={"maxRetries": 3})

    assert run.heart.step_rows[StepId("m[0]")].attempt == 3


def test_the_limits_of_a_map_can_be_changed_while_it_runs() -> None:
    run = mapped([1, 2])
    wait = played(
        {"m": {"uses": "map", "inputs": "items", "params": {"uses": "wait", "maxConcurrency": 1}}},
        functions=FUNCTIONS,
        initial={"items": [1, 2, 3]},
        crashes=True,
    )
    assert wait.heart.statuses == {"m": "waiting", "m[0]": "waiting"}

    wait.tell(
        f.BatchLimited(step_id=StepId("m"), max_concurrency=3, tolerated_failures=None, by="me", at=wait.heart.now())
    )
    wait.go()

    assert wait.heart.statuses == {"m": "waiting", "m[0]": "waiting", "m[1]": "waiting", "m[2]": "waiting"}
    for item in (1, 0, 2):
        wait.resume(f"m[{item}]", item * 100)
    assert wait.run.output_of("m") == [0, 100, 200]
    assert run.run.status == "completed"


@SEEDS
def test_retrying_a_failed_map_runs_only_its_failed_items_again(seed: int) -> None:
    calls: list[int] = []
    broken = {-1}

    def once_broken(given: Any, _run: RunState, _step: StepState) -> Any:
        calls.append(given)
        if given in broken:
            raise ValueError("broken")
        return given

    run = played(
        {"m": {"uses": "map", "inputs": "items", "params": {"uses": "x"}}, "end": "same"},
        ("m", "end"),
        functions={"x": once_broken, "same": same},
        initial={"items": [1, -1]},
        random=Random(seed),
        crashes=True,
    )
    assert run.run.status == "failed"
    broken.clear()
    calls.clear()

    run.tell(f.RetryRequested(step_id=None, by="me", at=run.heart.now()))
    run.go()

    assert run.run.status == "completed"
    assert run.run.output_of("end") == [1, -1]
    assert -1 in calls


def test_steps_of_items_that_have_ended_take_no_memory() -> None:
    run = scattered(list(range(20)))

    assert set(run.run.steps) == {"s", "g", "end"}
    assert run.run.batches == {}


def test_a_scatter_whose_edges_cannot_be_told_fails_and_starts_none_of_its_items() -> None:
    scatter = {"uses": "batch-scatter", "inputs": "items", "params": {"workerUsesKey": "picky", "gatherNodeId": "g"}}
    run = played(
        {"s": scatter, "g": {"uses": "batch-gather", "params": {"gatherNodeId": "g"}}},
        ("s", "g", {"condition": "cel: result.output.gatherNodeId + 1 > 2"}),
        functions=FUNCTIONS,
        initial={"items": [1, 2]},
    )

    assert (run.run.status, run.heart.statuses) == ("failed", {"s": "failed", "g": "skipped"})
    assert not [step_id for step_id in run.ids if step_id.startswith("s[")]
