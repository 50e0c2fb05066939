"""Workers as real processes on a real broker: what is lost, what runs twice, and what is committed."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections import Counter
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Cluster

pytestmark = pytest.mark.slow


def short(count: int, *, milliseconds: int = 20) -> list[dict[str, Any]]:
    return [{"id": f"s{number}", "kind": "short", "milliseconds": milliseconds} for number in range(count)]


def names(jobs: list[dict[str, Any]]) -> set[str]:
    return {job["id"] for job in jobs}


async def test_a_running_record_is_not_committed_past_and_survives_kill_9(
    cluster: Cluster, eventually: Callable[..., Any]
) -> None:
    """Faust alone commits past it here, and the record is lost."""
    await cluster.create(partitions=1)
    quick = [{"id": f"q{number}", "kind": "quick"} for number in range(20)]
    await cluster.send({"id": "first", "kind": "wait"}, *quick, {"id": "last", "kind": "wait"}, partition=0)
    doomed = cluster.start_worker()
    await eventually(lambda: {"last"} <= set(cluster.ids("start")), what="all records started")
    await eventually(lambda: names(quick) <= set(cluster.ids("end")), what="the quick ones ended")
    await asyncio.sleep(2.5)  # two commit intervals in which a wrong commit would be made

    committed_while_running = await cluster.committed()
    doomed.send_signal(signal.SIGKILL)
    cluster.start_worker()
    await eventually(lambda: cluster.ids("start").count("first") >= 2, what="the first record started again")
    cluster.gate.touch()

    await eventually(lambda: {"first", "last"} <= set(cluster.ids("end")), what="both ended")
    assert committed_while_running == 0
    await eventually(lambda: _is(cluster.committed(), 22), what="everything committed")


async def test_no_record_is_lost_when_one_of_two_workers_is_killed(
    cluster: Cluster, eventually: Callable[..., Any]
) -> None:
    await cluster.create(partitions=4)
    workers = [cluster.start_worker(), cluster.start_worker()]
    await eventually(lambda: _owners(cluster) == {worker.pid for worker in workers}, what="both own partitions")
    jobs = short(600, milliseconds=50)

    await cluster.send(*jobs)
    await eventually(lambda: _busy(cluster, workers[1].pid), what="the second worker runs records")
    workers[1].send_signal(signal.SIGKILL)

    await eventually(lambda: names(jobs) == set(cluster.ids("end")), what="all records ended")
    await eventually(lambda: _is(cluster.committed_in_all(4), 600), what="everything committed")


async def test_no_record_of_a_worker_that_is_told_to_stop_runs_again(
    cluster: Cluster, eventually: Callable[..., Any]
) -> None:
    """The other worker may run some of its own again: those that end while it hears of the rebalance."""
    await cluster.create(partitions=4)
    workers = [cluster.start_worker(), cluster.start_worker()]
    await eventually(lambda: _owners(cluster) == {worker.pid for worker in workers}, what="both own partitions")
    jobs = short(600, milliseconds=50)

    await cluster.send(*jobs)
    await eventually(lambda: _busy(cluster, workers[1].pid), what="the second worker runs records")
    workers[1].send_signal(signal.SIGTERM)

    await eventually(lambda: names(jobs) == set(cluster.ids("end")), what="all records ended")
    assert await asyncio.to_thread(workers[1].wait, 120) == 0
    starts = Counter(cluster.ids("start"))
    assert [name for name, pid in cluster.notes("start") if pid == workers[1].pid and starts[name] > 1] == []
    assert ("0", workers[1].pid) in cluster.notes("drained")


async def test_a_record_that_runs_through_a_rebalance_is_not_started_again_by_its_worker(
    cluster: Cluster, eventually: Callable[..., Any]
) -> None:
    """One that has ended may be: so it is asked before the first of them ends, and after all have come again."""
    await cluster.create(partitions=4)
    first = cluster.start_worker()
    await eventually(lambda: _owners(cluster) == {first.pid}, what="the first owns partitions")
    jobs = [{"id": f"w{number}", "kind": "wait"} for number in range(20)]
    await cluster.send(*jobs)
    await eventually(lambda: names(jobs) == set(cluster.ids("start")), what="all started")

    second = cluster.start_worker()
    await eventually(lambda: second.pid in _owners(cluster), what="the second owns partitions")
    behind = [{"id": f"behind{partition}", "kind": "quick"} for partition in range(4)]
    for partition, job in enumerate(behind):
        await cluster.send(job, partition=partition)
    # A partition is delivered in order: what lies behind the others comes when they have come again.
    await eventually(lambda: _starters(cluster, names(behind)) == {first.pid, second.pid}, what="both have read on")
    await eventually(lambda: names(behind) <= set(cluster.ids("start")), what="all partitions read to their ends")
    starts = Counter(cluster.notes("start"))
    cluster.gate.touch()

    assert [start for start, count in starts.items() if count > 1 and start[0] in names(jobs)] == []
    await eventually(lambda: _is(cluster.committed_in_all(4), 24), what="everything committed")
    assert names(jobs) <= set(cluster.ids("end"))


@pytest.mark.parametrize("table", [False, True])
async def test_no_record_starts_between_a_revoke_and_the_end_of_the_handlers_of_on_rebalance_complete(
    cluster: Cluster, eventually: Callable[..., Any], *, table: bool
) -> None:
    """The engine drops its runs at the one and takes its epoch at the other."""
    await cluster.create(partitions=4)
    jobs = short(4000, milliseconds=100)
    await cluster.send(*jobs)
    cluster.start_worker(table=table)
    await eventually(lambda: len(cluster.ids("end")) > 20, what="records ended")

    second = cluster.start_worker(table=table)
    numbers = itertools.count(len(jobs))

    async def has_come() -> bool:
        """Whether the second has its partitions; until then the first one shall not run out of records."""
        if "completed" in cluster.kinds(second.pid):
            return True
        if len(cluster.ids("end")) > len(jobs) - 1000:
            more = [{"id": f"s{next(numbers)}", "kind": "short", "milliseconds": 100} for _ in range(1000)]
            await cluster.send(*more)
            jobs.extend(more)
        return False

    await eventually(has_come, what="the second owns partitions")
    await eventually(lambda: names(jobs) <= set(cluster.ids("end")), what="all ended")

    for worker in cluster.workers:
        kinds = cluster.kinds(worker.pid)
        revokes = [index for index, kind in enumerate(kinds) if kind == "revoked"]
        assert len(revokes) >= 1
        for index in revokes:
            assert "start" not in takewhile(lambda kind: kind != "completed", kinds[index:])


async def test_a_poison_record_becomes_a_dead_letter_and_its_partition_goes_on(
    cluster: Cluster, eventually: Callable[..., Any]
) -> None:
    await cluster.create(partitions=1)
    await cluster.send(b"{not json", b"\xff\x00" * 300_000, {"id": "after", "kind": "quick"}, partition=0)

    cluster.start_worker()
    await eventually(lambda: "after" in cluster.ids("end"), what="the record after the poison ended")
    await eventually(lambda: _is(cluster.committed(), 3), what="everything committed")

    letters = await cluster.records(f"{cluster.topic}-dead")
    # Of a record that comes again its letter does too.
    assert list(dict.fromkeys(letter.value for letter in letters)) == [b"{not json", b"\xff\x00" * 300_000]
    assert dict(letters[0].headers)["famulus-source"] == f"{cluster.topic}/0/0".encode()


async def test_a_table_is_recovered_from_its_changelog_through_this_transport(
    cluster: Cluster, eventually: Callable[..., Any]
) -> None:
    await cluster.create(partitions=4)
    counted = type(cluster)(cluster.brokers, cluster.folder, cluster.servers, topic=f"{cluster.topic}-seen")
    await counted.create(partitions=4)
    first = cluster.start_worker(table=True)
    await counted.send(*[b"apple"] * 50, partition=1)
    await eventually(lambda: "apple=50" in cluster.ids("seen"), what="counted to 50")
    # A batch of one at the end: Tansu tells the end of a partition as the first offset of its last batch and one.
    await counted.send(b"apple", partition=1)
    await eventually(lambda: "apple=51" in cluster.ids("seen"), what="counted to 51")
    first.send_signal(signal.SIGTERM)
    await asyncio.to_thread(first.wait, 120)

    cluster.start_worker(table=True)  # with an empty folder
    await counted.send(b"apple", partition=1)

    await eventually(lambda: "apple=52" in cluster.ids("seen"), what="counted on from 51")


async def _is(asked: Any, expected: int) -> bool:
    return bool(await asked == expected)


def _owners(cluster: Cluster) -> set[int]:
    """The pids of the workers whose latest assignment holds partitions of the topic."""
    latest = {pid: int(count) for count, pid in cluster.notes("assigned")}
    return {pid for pid, count in latest.items() if count} if sum(latest.values()) == 4 else set()


def _starters(cluster: Cluster, ids: set[str]) -> set[int]:
    """The pids of the workers that have started one of these records."""
    return {pid for name, pid in cluster.notes("start") if name in ids}


def _busy(cluster: Cluster, pid: int) -> bool:
    return sum(worker == pid for _, worker in cluster.notes("end")) > 20
