"""From a record of a plain producer to finished runs, whatever happens to workers and servers meanwhile.

Two workers, 200 runs of ten parallel branches and a join. Each test does one thing to them when the work is half done,
and then asks for the same: every run completed, its join fired once and after all branches, no step recorded twice.
How often the nodes themselves were called is counted by the nodes.
"""

from __future__ import annotations

import signal

import pytest
from support.installation import FAN_STEPS, Installation

pytestmark = pytest.mark.slow

RUNS = 200
CALLS = RUNS * len(FAN_STEPS)
HALFWAY = CALLS // 2


async def test_kill_9_of_a_worker_loses_no_run_and_records_no_step_twice(installation: Installation) -> None:
    survivor, victim = await installation.start_workers(2)
    run_ids = await installation.start_runs(RUNS)
    await installation.executed(HALFWAY, by=[survivor, victim])

    victim.kill()

    assert await installation.unfinished(run_ids) > RUNS // 10, "the worker was killed too late to matter"
    await installation.all_completed(run_ids)
    again = installation.executed_twice()
    assert set(again.values()) <= {2}, "only what the killed worker had at hand is called again"
    assert survivor.problems() == []


async def test_sigterm_lets_steps_end_and_none_is_called_twice(installation: Installation) -> None:
    stays, goes = await installation.start_workers(2)
    run_ids = await installation.start_runs(RUNS)
    await installation.executed(HALFWAY, by=[stays, goes])

    code = await goes.terminated()

    assert await installation.unfinished(run_ids) > 0
    await installation.all_completed(run_ids)
    assert code == 0
    assert installation.executed_twice() == {}
    assert len(installation.executions()) == CALLS
    assert stays.problems() == []
    assert goes.problems() == []
