"""A short trial for every change; `make chaos` is the long one. And what a trial itself must be able to do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from chaos.plan import Kind, plan_of
from chaos.report import Report, quantile
from chaos.trial import Trial, carry_out

if TYPE_CHECKING:
    from pathlib import Path

SEED = 5
CALM = Report(
    seed=1,
    stack="embedded",
    workers=2,
    seconds=60.0,
    started=10,
    held_back=0,
    ended=10,
    steps=40,
    faults={Kind.WORKER_KILLED: 2},
    ended_alone={},
    dead_letters=0,
    lost=(),
    stuck=(),
    wrong=(),
    joins_twice=(),
    steps_twice=(),
    deviations=(),
    recoveries=((Kind.WORKER_KILLED, 1.0), (Kind.WORKER_KILLED, 3.0)),
    longest_stop=2.0,
)


@pytest.mark.embedded
@pytest.mark.slow
async def test_nothing_is_lost_stuck_or_doubled_under_random_faults(tmp_path: Path) -> None:
    trial = Trial(seed=SEED, seconds=40.0, real=False, workers=2, per_second=3.0, gap=2.0)

    report = await carry_out(trial, tmp_path)

    print(report.as_text())
    assert report.troubles == [], report.as_text()
    assert report.ended == report.started > 0
    assert sum(report.faults.values()) == len(trial.plan) > 0


def test_a_seed_gives_the_same_plan_again() -> None:
    plans = [plan_of(7, seconds=600, gap=5, real=True, session=6) for _ in range(2)]

    assert plans[0] == plans[1] != plan_of(8, seconds=600, gap=5, real=True, session=6)


@pytest.mark.parametrize("real", [True, False])
def test_ten_minutes_have_every_kind_of_fault_several_times(*, real: bool) -> None:
    plan = plan_of(7, seconds=600, gap=5, real=real, session=6)

    counts = {kind: sum(fault.kind is kind for fault in plan) for kind in {fault.kind for fault in plan}}

    assert len(counts) == len(Kind) - (0 if real else 5)
    assert min(counts.values()) >= 3, counts
    assert max(fault.at + fault.seconds for fault in plan) < 600
    assert max(fault.seconds for fault in plan if fault.kind is Kind.STORE_STOPPED or not real) <= 60


@pytest.mark.parametrize("trouble", ["lost", "stuck", "wrong", "joins_twice", "steps_twice", "deviations"])
def test_any_run_that_is_not_as_it_must_be_fails_the_trial(trouble: str) -> None:
    assert CALM.troubles == []

    assert replace(CALM, **{trouble: ("r1",)}).troubles != []


def test_progress_that_stops_for_too_long_fails_the_trial() -> None:
    assert replace(CALM, longest_stop=30.5).troubles == ["progress stopped for 30.5 s after the last fault"]


def test_a_report_tells_how_long_recovery_takes() -> None:
    assert (quantile([3.0, 1.0], 0.5), quantile([3.0, 1.0], 0.99), quantile([], 0.5)) == (1.0, 3.0, 0.0)
    assert "p50 1.0 s, p99 3.0 s" in CALM.as_text()
    assert CALM.as_json()["recovery_p99"] == 3.0
