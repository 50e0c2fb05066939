"""A topic that is deleted and made anew under a worker that reads it."""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from conftest import Cluster

pytestmark = pytest.mark.slow

READ = 40
LONGER, SHORTER = 60, 10
NO_LOOK = {"TEST_LOOK_SECONDS": "600", "TEST_SESSION_SECONDS": "30"}


def quick(name: str, count: int) -> list[dict[str, Any]]:
    return [{"id": f"{name}{number}", "kind": "quick"} for number in range(count)]


@contextmanager
def stopped(worker: subprocess.Popen[bytes]) -> Iterator[None]:
    """It asks for nothing meanwhile. To be shorter than its session."""
    worker.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        worker.send_signal(signal.SIGCONT)


async def make_anew_under(
    worker: subprocess.Popen[bytes], cluster: Cluster, eventually: Callable[..., Any], *, count: int
) -> None:
    """So that the worker finds the new topic, with so many records, when it looks for more of the old one."""
    await cluster.send(*quick("old", READ), partition=0)
    await eventually(lambda: _is(cluster.committed(), READ), what="everything committed")
    with stopped(worker):
        await cluster.create_anew(partitions=1)
        await cluster.send(*quick("new", count), partition=0)


@pytest.mark.parametrize("count", [LONGER, SHORTER])
async def test_every_record_of_a_topic_that_was_made_anew_is_delivered(
    cluster: Cluster, eventually: Callable[..., Any], count: int
) -> None:
    await cluster.create(partitions=1)

    await make_anew_under(cluster.start_worker(), cluster, eventually, count=count)

    await eventually(lambda: _new_ones(cluster) == count, what="all records of the new topic ended")
    await eventually(lambda: _is(cluster.committed(), count), what="everything committed")


@pytest.mark.parametrize("servers", [pytest.param("real", marks=pytest.mark.real)], indirect=True)
async def test_what_was_committed_for_the_topic_that_is_gone_hides_no_record_from_the_next_worker(
    cluster: Cluster, eventually: Callable[..., Any]
) -> None:
    await cluster.create(partitions=1)
    doomed = cluster.start_worker(**NO_LOOK)
    await make_anew_under(doomed, cluster, eventually, count=LONGER)
    await eventually(lambda: _is(cluster.committed(), LONGER), what="it has read on where it was")
    assert _new_ones(cluster) == LONGER - READ

    doomed.send_signal(signal.SIGKILL)
    await asyncio.to_thread(doomed.wait)
    cluster.start_worker()

    await eventually(lambda: _new_ones(cluster) == LONGER, what="all records of the new topic ended")


async def _is(asked: Any, expected: int) -> bool:
    return bool(await asked == expected)


def _new_ones(cluster: Cluster) -> int:
    return len({name for name in cluster.ids("end") if name.startswith("new")})
