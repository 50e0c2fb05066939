"""What every store of timers promises; see `famulus.ports.TimerStore`."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from famulus.ids import BlueprintId, Digest, Epoch, RunId, Stamp, StepId, stamp_of
from famulus.ports import Commit, RunBirth, RunHead, TimerRow, TimerStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conftest import Backend

NOW = 1_800_000_000.25
YEAR = 366 * 86_400.0


def a_timer(run_id: str = "r1", due_at: float = NOW, **changes: Any) -> TimerRow:
    base = TimerRow(
        partition=3, due_at=due_at, run_id=RunId(run_id), kind="step", step_id=StepId("nap"), stamp=Stamp(1)
    )
    return replace(base, **changes)


def a_commit(*, stamp: Stamp, timers: Sequence[TimerRow], partition: int = 3) -> Commit:
    birth = RunBirth(
        run_id=RunId(f"run-{uuid.uuid4().hex}"),
        blueprint_id=BlueprintId("order"),
        version="1",
        digest=Digest("d" * 64),
        input=b"{}",
        input_digest="e" * 64,
        partition=partition,
        created_at=1000.5,
    )
    head = RunHead(status="waiting", updated_at=1001.5)
    return Commit(birth=birth, head=head, stamp=stamp, first=True, closes=True, timers=timers)


@pytest.fixture
async def timer_store(backend: Backend, namespace: str) -> TimerStore:
    return await backend.timer_store(namespace)


async def due(store: TimerStore, *, until: float = NOW, limit: int = 100, partition: int = 3) -> list[TimerRow]:
    return list(await store.due(partition, until=until, limit=limit))


async def test_nothing_is_due_where_no_timer_is_set(timer_store: TimerStore) -> None:
    assert await due(timer_store) == []


async def test_timers_are_due_earliest_first_from_their_time_on(timer_store: TimerStore) -> None:
    times = [NOW - YEAR, NOW - 86_400, NOW - 61, NOW - 0.25, NOW, NOW + 0.001, NOW + 59, NOW + YEAR]
    timers = [a_timer(f"r{at}", due_at) for at, due_at in enumerate(times)]
    await timer_store.put(timers[::-1])

    assert await due(timer_store, until=NOW) == timers[:5]
    assert await due(timer_store, until=NOW, limit=2) == timers[:2]
    assert await due(timer_store, until=NOW, limit=4) == timers[:4]
    assert await due(timer_store, until=NOW + 2 * YEAR) == timers


async def test_timers_of_one_moment_are_kept_apart(timer_store: TimerStore) -> None:
    timers = [
        a_timer("r1"),
        a_timer("r1", kind="join"),
        a_timer("r1", step_id="work[2] ü"),
        a_timer("r1", kind="run", step_id=""),
        a_timer("r2"),
    ]
    await timer_store.put(timers)
    found = await due(timer_store)

    assert sorted(found, key=repr) == sorted(timers, key=repr)


async def test_a_timer_belongs_to_its_partition(timer_store: TimerStore) -> None:
    here, there = a_timer(partition=3), a_timer(partition=4)
    await timer_store.put([here, there])

    assert await due(timer_store, partition=3) == [here]
    assert await due(timer_store, partition=4) == [there]


async def test_the_same_timer_twice_is_one(timer_store: TimerStore) -> None:
    await timer_store.put([a_timer(stamp=Stamp(2))])
    await timer_store.put([a_timer(stamp=Stamp(2))])
    await timer_store.put([a_timer(stamp=Stamp(1))])

    assert await due(timer_store) == [a_timer(stamp=Stamp(2))]


async def test_what_has_fired_is_gone_and_may_be_told_again(timer_store: TimerStore) -> None:
    fired, other = a_timer("r1"), a_timer("r2")
    await timer_store.put([fired, other])

    await timer_store.fired([fired])
    await timer_store.fired([fired, a_timer("unknown")])
    await timer_store.fired([])

    assert await due(timer_store) == [other]


async def test_a_timer_that_was_stored_again_since_it_was_read_stays(timer_store: TimerStore) -> None:
    before, again = a_timer(stamp=Stamp(5)), a_timer(stamp=Stamp(7))
    await timer_store.put([before])
    await timer_store.put([again])

    await timer_store.fired([before])

    assert await due(timer_store) == [again]


async def test_a_timer_can_be_set_again_after_it_has_fired(timer_store: TimerStore) -> None:
    await timer_store.put([a_timer(stamp=Stamp(5))])
    await timer_store.fired([a_timer(stamp=Stamp(5))])

    await timer_store.put([a_timer(stamp=Stamp(6))])

    assert await due(timer_store) == [a_timer(stamp=Stamp(6))]


async def test_the_timers_of_a_commit_have_its_stamp(backend: Backend, namespace: str, timer_store: TimerStore) -> None:
    runs = await backend.run_store(namespace)
    stamp = stamp_of(Epoch(4), 9)
    timers = [a_timer("r1", NOW - 1, stamp=Stamp(0)), a_timer("r2", NOW - YEAR, stamp=Stamp(0))]
    commit = a_commit(stamp=stamp, timers=timers)

    await runs.commit(commit)
    await runs.commit(commit)

    assert await due(timer_store) == [replace(timer, stamp=stamp) for timer in reversed(timers)]
    assert await runs.load(commit.birth.run_id) is not None


async def test_many_timers_of_one_second_are_paged_through_by_removing_them(timer_store: TimerStore) -> None:
    timers = [a_timer(f"r{number:04}", NOW + number / 2000) for number in range(1500)]
    await timer_store.put(timers)

    found = list[TimerRow]()
    while page := await due(timer_store, until=NOW + 1, limit=400):
        found += page
        await timer_store.fired(page)

    assert found == timers


async def test_a_timer_in_the_bucket_of_one_that_fired_long_ago_is_found(
    backend: Backend, namespace: str, timer_store: TimerStore
) -> None:
    long_ago = time.time() - 86_400
    await timer_store.put([a_timer("r1", long_ago)])
    await timer_store.fired([a_timer("r1", long_ago)])
    reader = await backend.timer_store(namespace)
    assert await due(reader, until=time.time()) == []

    await timer_store.put([a_timer("r2", long_ago)])

    assert await due(reader, until=time.time()) == [a_timer("r2", long_ago)]


async def test_namespaces_do_not_see_each_others_timers(backend: Backend, namespace: str) -> None:
    here, there = await backend.timer_store(namespace), await backend.timer_store(f"{namespace}_2")
    await here.put([a_timer()])

    await there.fired([a_timer()])

    assert await due(there) == []
    assert await due(here) == [a_timer()]


async def test_of_given_rows_those_are_named_that_are_stored(timer_store: TimerStore) -> None:
    here, gone = a_timer("r1"), a_timer("r2")
    await timer_store.put([here, gone])
    await timer_store.fired([gone])
    others = [
        a_timer("r1", NOW + 1),
        a_timer("r1", partition=4),
        a_timer("r1", kind="join"),
        a_timer("r1", step_id="other"),
    ]

    assert list(await timer_store.stored([*others, replace(here, stamp=Stamp(9)), gone])) == [
        replace(here, stamp=Stamp(9))
    ]
    assert list(await timer_store.stored([])) == []
