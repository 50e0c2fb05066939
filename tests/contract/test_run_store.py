"""What every run store promises; see `famulus.ports.RunStore`."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import suppress
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from famulus.engine.seals import visible_events, visible_rows
from famulus.ids import BlueprintId, Digest, Epoch, NodeId, RunId, Stamp, StepId, epoch_of, stamp_of
from famulus.ports import Commit, ContextRow, EventRow, RunBirth, RunHead, RunRows, RunStore, StepRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from conftest import Backend

RowT = TypeVar("RowT", StepRow, ContextRow, EventRow)

# A store outlives the examples: each of them makes its own run.
drawn = settings(
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

DEADLINE_SECONDS = 60.0
MEGABYTE = bytes(range(256)) * 4096


# -- rows to write ---------------------------------------------------------------------------------------------------


def new_run_id() -> RunId:
    return RunId(f"run-{uuid.uuid4().hex}")


def a_birth(run_id: RunId | None = None, *, partition: int = 3, created_at: float = 1000.5) -> RunBirth:
    return RunBirth(
        run_id=run_id or new_run_id(),
        blueprint_id=BlueprintId("order"),
        version="1",
        digest=Digest("d" * 64),
        input=b'{"amount":5}',
        input_digest="e" * 64,
        partition=partition,
        created_at=created_at,
    )


def a_commit(birth: RunBirth, *, epoch: int = 1, counter: int = 1, status: str = "running", **changes: Any) -> Commit:
    head = RunHead(status=status, updated_at=1001.5, next_seq=counter)
    return Commit(birth=birth, head=head, stamp=stamp_of(Epoch(epoch), counter), **changes)


def a_step(step_id: str = "review", *, seq: int = 1, **changes: Any) -> StepRow:
    base = StepRow(step_id=StepId(step_id), node_id=NodeId(step_id), status="completed", attempt=1, seq=seq)
    return replace(base, **changes)


def an_event(seq: int = 1, **changes: Any) -> EventRow:
    return replace(EventRow(seq=seq, type="step.completed", at=1002.5, data=b'{"step":"review"}'), **changes)


texts = st.text(max_size=30)
keys = st.text(min_size=1, max_size=30)
blobs = st.binary(max_size=60)
times = st.floats(min_value=0, max_value=4e9)
sequence_numbers = st.integers(0, 2**40)
stamps = st.builds(stamp_of, st.integers(1, 2**22).map(Epoch), st.integers(0, 2**40 - 1))

births = st.builds(
    RunBirth,
    run_id=st.builds(new_run_id),
    blueprint_id=keys.map(BlueprintId),
    version=texts,
    digest=texts.map(Digest),
    input=blobs,
    input_digest=texts,
    partition=st.integers(0, 2**31 - 1),
    created_at=times,
    parent=st.none() | blobs,
)
heads = st.builds(
    RunHead,
    status=texts,
    reason=st.none() | texts,
    updated_at=times,
    ended_at=st.none() | times,
    seals=st.dictionaries(st.integers(1, 2**22), stamps, max_size=4),
    next_seq=sequence_numbers,
    ending=st.none() | blobs,
)
steps = st.builds(
    StepRow,
    step_id=keys.map(StepId),
    node_id=keys.map(NodeId),
    status=texts,
    attempt=st.integers(0, 2**31 - 1),
    seq=sequence_numbers,
    output=st.none() | blobs,
    action=st.none() | texts,
    fired=st.lists(st.integers(0, 2**31 - 1), max_size=5).map(tuple),
    reason=st.none() | texts,
    error=st.none() | blobs,
    worker=st.none() | texts,
    started_at=st.none() | times,
    ended_at=st.none() | times,
    extra=st.none() | blobs,
)
context_rows = st.builds(ContextRow, key=texts, value=st.none() | blobs, seq=sequence_numbers)
events = st.builds(EventRow, seq=sequence_numbers, type=texts, at=times, data=blobs)


def commits_of(birth: RunBirth) -> st.SearchStrategy[Commit]:
    return st.builds(
        partial(Commit, birth=birth, first=True),
        head=heads,
        stamp=stamps,
        closes=st.booleans(),
        steps=st.lists(steps, max_size=4, unique_by=lambda row: row.step_id),
        context=st.lists(context_rows, max_size=4, unique_by=lambda row: row.key),
        events=st.lists(events, max_size=4, unique_by=lambda row: row.seq),
    )


# -- rows as they are read back --------------------------------------------------------------------------------------


async def load(store: RunStore, run_id: RunId) -> RunRows:
    """The run with its events, its rows in the order of their keys; values as the dataclasses of the ports."""
    rows = await store.load(run_id)
    assert rows is not None
    return RunRows(
        birth=rows.birth,
        head=replace(rows.head, seals=dict(rows.head.seals)),
        steps=sorted(rows.steps, key=lambda row: (row.step_id, row.stamp)),
        context=sorted(rows.context, key=lambda row: (row.key, row.stamp)),
        events=list(await store.events(run_id)),
    )


def expected_of(commits: Sequence[Commit]) -> RunRows:
    """The rule itself: of each row of an epoch, the one with the highest stamp."""
    by_stamp = sorted(commits, key=lambda commit: commit.stamp)
    last = by_stamp[-1]
    return RunRows(
        birth=last.birth,
        head=replace(last.head, stamp=last.stamp),
        steps=_newest(by_stamp, "steps", "step_id"),
        context=_newest(by_stamp, "context", "key"),
        events=_newest(by_stamp, "events", "seq"),
    )


def _newest(by_stamp: Sequence[Commit], kind: str, key: str) -> list[Any]:
    rows = {
        (getattr(row, key), epoch_of(commit.stamp)): replace(row, stamp=commit.stamp)
        for commit in by_stamp
        for row in getattr(commit, kind)
    }
    return [rows[found] for found in sorted(rows)]


async def open_runs(store: RunStore, partition: int) -> set[RunId]:
    return {run_id async for run_id in store.open_runs(partition)}


async def eventually_closed(store: RunStore, birth: RunBirth) -> bool:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while birth.run_id in await open_runs(store, birth.partition):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


# -- a batch and its rows --------------------------------------------------------------------------------------------


async def test_a_run_without_commits_does_not_exist(run_store: RunStore) -> None:
    unknown = new_run_id()

    assert await run_store.load(unknown) is None
    assert await run_store.heads([unknown]) == {}
    assert list(await run_store.events(unknown)) == []


@drawn
@given(data=st.data())
async def test_what_is_committed_is_loaded(run_store: RunStore, data: st.DataObject) -> None:
    commit = data.draw(births.flatmap(commits_of))

    await run_store.commit(commit)

    assert await load(run_store, commit.birth.run_id) == expected_of([commit])


@pytest.mark.parametrize("value", [b"", MEGABYTE], ids=["empty", "a megabyte"])
async def test_bytes_of_any_size_come_back(run_store: RunStore, value: bytes) -> None:
    birth = replace(a_birth(), input=value)
    commit = a_commit(
        birth,
        first=True,
        steps=[a_step(output=value, error=value)],
        context=[ContextRow(key="blob", value=value, seq=2)],
        events=[an_event(data=value)],
    )

    await run_store.commit(commit)

    assert await load(run_store, birth.run_id) == expected_of([commit])


async def test_nothing_and_empty_are_different(run_store: RunStore) -> None:
    birth = a_birth()
    commit = a_commit(
        birth,
        first=True,
        steps=[a_step("none", output=None, action=None), a_step("empty", output=b"", action="")],
        context=[ContextRow(key="deleted", value=None, seq=2), ContextRow(key="empty", value=b"", seq=3)],
    )

    await run_store.commit(commit)

    rows = await load(run_store, birth.run_id)
    assert {row.step_id: (row.output, row.action) for row in rows.steps} == {"none": (None, None), "empty": (b"", "")}
    assert {row.key: row.value for row in rows.context} == {"deleted": None, "empty": b""}


async def test_a_later_row_replaces_every_field_also_by_nothing(run_store: RunStore) -> None:
    birth = a_birth()
    full = a_step(
        output=b"1",
        action="yes",
        fired=(1, 2),
        reason="late",
        error=b"{}",
        worker="w1",
        started_at=1.0,
        ended_at=2.0,
        extra=b'{"item":3}',
    )
    first = a_commit(birth, counter=1, first=True, steps=[full], context=[ContextRow(key="k", value=b"1", seq=2)])
    second = a_commit(birth, counter=2, steps=[a_step(seq=3)], context=[ContextRow(key="k", value=None, seq=4)])

    await run_store.commit(first)
    await run_store.commit(second)

    assert await load(run_store, birth.run_id) == expected_of([first, second])


@drawn
@given(data=st.data())
async def test_the_same_commit_again_changes_nothing(run_store: RunStore, data: st.DataObject) -> None:
    commit = data.draw(births.flatmap(commits_of))
    await run_store.commit(commit)
    once = await load(run_store, commit.birth.run_id)

    await run_store.commit(commit)

    assert await load(run_store, commit.birth.run_id) == once
    assert (await run_store.recent(limit=10_000)).count(commit.birth.run_id) == 1


async def test_a_commit_that_cannot_be_stored_stores_nothing_and_fails_no_neighbour(run_store: RunStore) -> None:
    broken = a_commit(a_birth(), first=True, steps=[a_step("good"), a_step("bad", attempt=2**70)])
    neighbours = [a_commit(a_birth(), first=True, steps=[a_step()]) for _ in range(20)]

    results = await asyncio.gather(
        *(run_store.commit(commit) for commit in [*neighbours[:10], broken, *neighbours[10:]]), return_exceptions=True
    )

    failed = results.pop(10)
    assert results == [None] * 20
    for commit in neighbours:
        assert await load(run_store, commit.birth.run_id) == expected_of([commit])
    if failed is not None:  # memory takes a number of any size
        assert await run_store.load(broken.birth.run_id) is None


async def test_what_the_caller_changes_afterwards_is_not_stored(run_store: RunStore) -> None:
    birth = a_birth()
    seals = {1: 17}
    rows = [a_step()]
    commit = a_commit(birth, first=True, steps=rows)
    commit = replace(commit, head=replace(commit.head, seals=seals))
    await run_store.commit(commit)

    seals[2] = 18
    rows.append(a_step("other"))

    loaded = await load(run_store, birth.run_id)
    assert loaded.head.seals == {1: 17}
    assert [row.step_id for row in loaded.steps] == ["review"]


# -- stamps ----------------------------------------------------------------------------------------------------------


@drawn
@given(data=st.data())
async def test_the_order_in_which_commits_arrive_does_not_matter(run_store: RunStore, data: st.DataObject) -> None:
    birth = data.draw(births)
    few_steps = st.lists(
        st.builds(replace, steps, step_id=st.sampled_from(["a", "b"])), max_size=2, unique_by=lambda row: row.step_id
    )
    few_keys = st.lists(
        st.builds(replace, context_rows, key=st.sampled_from(["x", "y"])), max_size=2, unique_by=lambda row: row.key
    )
    few_events = st.lists(st.builds(replace, events, seq=st.integers(0, 2)), max_size=2, unique_by=lambda row: row.seq)
    commit = st.builds(
        partial(Commit, birth=birth, first=True),
        head=heads,
        stamp=st.builds(stamp_of, st.integers(1, 4).map(Epoch), st.integers(0, 9)),
        steps=few_steps,
        context=few_keys,
        events=few_events,
    )
    commits = data.draw(st.lists(commit, min_size=2, max_size=5, unique_by=lambda drawn_commit: drawn_commit.stamp))
    # Only the earliest is the first of its run; the others know the birth but do not write it.
    earliest = min(commits, key=lambda drawn_commit: drawn_commit.stamp)
    arriving = [
        drawn_commit if drawn_commit is earliest else replace(drawn_commit, first=False) for drawn_commit in commits
    ]

    for arrived in arriving:
        await run_store.commit(arrived)

    assert await load(run_store, birth.run_id) == expected_of(commits)


@pytest.mark.parametrize("late_epoch", [6, 8])
async def test_a_late_owner_overwrites_no_row_of_any_kind(run_store: RunStore, late_epoch: int) -> None:
    """Neither one before the owner that wrote them, nor one after it, that the present owner knows nothing of."""
    birth = a_birth()
    owner = a_commit(
        birth,
        epoch=7,
        first=True,
        steps=[a_step(output=b'"right"')],
        context=[ContextRow(key="total", value=b"1", seq=2)],
        events=[an_event(3, type="step.completed")],
    )
    late = a_commit(
        birth,
        epoch=late_epoch,
        counter=10**6,  # it may have written ever so much
        status="failed",
        steps=[a_step(status="failed", output=b'"wrong"')],
        context=[ContextRow(key="total", value=b"2", seq=2)],
        events=[an_event(3, type="step.failed")],
    )
    present = a_commit(birth, epoch=9)
    present = replace(present, head=replace(present.head, seals={7: owner.stamp}))
    await run_store.commit(owner)
    await run_store.commit(present)

    await run_store.commit(late)

    assert await load(run_store, birth.run_id) == expected_of([owner, late, present])
    rows = await run_store.load(birth.run_id)
    assert rows is not None
    assert rows.head.status == "running"
    assert [step.output for step in visible_rows(rows).steps] == [b'"right"']
    assert [row.value for row in visible_rows(rows).context] == [b"1"]
    told = visible_events(await run_store.events(birth.run_id), rows.head)
    assert [event.type for event in told] == ["step.completed"]


async def test_an_equal_stamp_does_not_replace(backend: Backend, run_store: RunStore) -> None:
    if backend.breaks_ties_by_value:
        pytest.skip("this store keeps the greater value; no two different commits of an owner share a stamp")
    birth = a_birth()
    first = a_commit(birth, first=True, steps=[a_step(output=b"1")], events=[an_event(2)])
    other = a_commit(birth, status="failed", steps=[a_step(output=b"2")], events=[an_event(2, type="step.failed")])
    await run_store.commit(first)

    await run_store.commit(other)

    assert await load(run_store, birth.run_id) == expected_of([first])


async def test_a_late_first_commit_gives_way_to_the_birth_of_the_later_owner(run_store: RunStore) -> None:
    run_id = new_run_id()
    owner = a_commit(a_birth(run_id, created_at=2000.0), epoch=2, first=True)
    late = a_commit(a_birth(run_id, created_at=1000.0), epoch=1, first=True)

    await run_store.commit(owner)
    await run_store.commit(late)

    assert await load(run_store, run_id) == expected_of([owner])


async def test_rows_beyond_a_seal_are_kept_with_their_stamp(run_store: RunStore) -> None:
    birth = a_birth()
    known = a_commit(birth, epoch=1, counter=1, first=True, steps=[a_step("a")])
    takeover = a_commit(birth, epoch=2, counter=1, steps=[a_step("b", seq=2)])
    takeover = replace(takeover, head=replace(takeover.head, seals={1: known.stamp}))
    beyond = a_commit(birth, epoch=1, counter=2, steps=[a_step("c", seq=2)], events=[an_event(2)])

    for commit in (known, takeover, beyond):
        await run_store.commit(commit)

    rows = await load(run_store, birth.run_id)
    assert {row.step_id: row.stamp for row in rows.steps} == {"a": known.stamp, "b": takeover.stamp, "c": beyond.stamp}
    assert [(event.seq, event.stamp) for event in rows.events] == [(2, beyond.stamp)]
    assert rows.head.seals == {1: known.stamp}
    assert [row.step_id for row in rows.steps if _is_beyond(row.stamp, rows.head.seals)] == ["c"]


async def test_rows_beyond_a_seal_are_never_seen(run_store: RunStore) -> None:
    birth = a_birth()
    known = a_commit(birth, epoch=1, counter=1, first=True, steps=[a_step("a")])
    takeover = a_commit(birth, epoch=2, counter=1, steps=[a_step("b", seq=2)])
    takeover = replace(takeover, head=replace(takeover.head, seals={1: known.stamp}))
    beyond = a_commit(birth, epoch=1, counter=2, steps=[a_step("c")], context=[ContextRow(key="k", value=b"1", seq=3)])

    for commit in (known, takeover, beyond):
        await run_store.commit(commit)

    rows = await run_store.load(birth.run_id)
    assert rows is not None
    visible = visible_rows(rows)
    assert sorted(row.step_id for row in visible.steps) == ["a", "b"]
    assert list(visible.context) == []


def _is_beyond(stamp: Stamp, seals: Mapping[int, int]) -> bool:
    return stamp > seals.get(epoch_of(stamp), stamp)


# -- heads and events ------------------------------------------------------------------------------------------------


async def test_heads_names_those_that_exist(run_store: RunStore) -> None:
    born = [a_birth() for _ in range(3)]
    for birth in born:
        await run_store.commit(a_commit(birth, first=True, status="waiting"))

    found = await run_store.heads([*(birth.run_id for birth in born), new_run_id()])

    assert set(found) == {birth.run_id for birth in born}
    for birth in born:
        stored, head = found[birth.run_id]
        assert (head.status, head.stamp) == ("waiting", stamp_of(Epoch(1), 1))
        # The input may be left empty.
        assert replace(stored, input=birth.input) == birth


async def test_heads_of_nothing_is_nothing(run_store: RunStore) -> None:
    assert await run_store.heads([]) == {}


async def test_events_come_in_order_after_a_number_up_to_a_limit(run_store: RunStore) -> None:
    birth = a_birth()
    await run_store.commit(a_commit(birth, counter=1, first=True, events=[an_event(4), an_event(0)]))
    await run_store.commit(a_commit(birth, counter=2, events=[an_event(2), an_event(7), an_event(10)]))

    async def seqs(**options: int) -> list[int]:
        return [event.seq for event in await run_store.events(birth.run_id, **options)]

    assert await seqs() == [0, 2, 4, 7, 10]
    assert await seqs(after=2) == [4, 7, 10]
    assert await seqs(after=2, limit=2) == [4, 7]
    assert await seqs(after=10) == []


async def test_events_can_be_paged_through(run_store: RunStore) -> None:
    birth = a_birth()
    await run_store.commit(a_commit(birth, first=True, events=[an_event(seq) for seq in range(250)]))

    after, seen = -1, list[int]()
    while page := await run_store.events(birth.run_id, after=after, limit=100):
        seen += [event.seq for event in page]
        after = seen[-1]

    assert seen == list(range(250))


async def test_a_page_never_ends_between_events_of_one_number(run_store: RunStore) -> None:
    birth = a_birth()
    for epoch in (1, 2, 3):
        await run_store.commit(a_commit(birth, epoch=epoch, first=epoch == 1, events=[an_event(seq) for seq in (1, 2)]))

    for limit in (1, 2, 3):
        page = await run_store.events(birth.run_id, limit=limit)
        assert [(event.seq, epoch_of(event.stamp)) for event in page] == [(1, 1), (1, 2), (1, 3)]
    assert len(await run_store.events(birth.run_id, limit=4)) == 6
    assert [event.seq for event in await run_store.events(birth.run_id, after=1, limit=1)] == [2, 2, 2]


# -- open and recent runs --------------------------------------------------------------------------------------------


async def test_open_runs_are_those_of_the_partition_that_have_not_ended(run_store: RunStore) -> None:
    here, ended, elsewhere = a_birth(partition=1), a_birth(partition=1), a_birth(partition=2)
    for birth in (here, ended, elsewhere):
        await run_store.commit(a_commit(birth, first=True))
    assert await open_runs(run_store, 1) == {here.run_id, ended.run_id}

    await run_store.commit(a_commit(ended, counter=2, status="completed", closes=True))

    assert await eventually_closed(run_store, ended)
    assert await open_runs(run_store, 1) == {here.run_id}
    assert await open_runs(run_store, 2) == {elsewhere.run_id}
    assert await open_runs(run_store, 3) == set()


async def test_open_runs_that_the_caller_knows_are_left_out(run_store: RunStore) -> None:
    born = [a_birth(partition=6) for _ in range(3)]
    for birth in born:
        await run_store.commit(a_commit(birth, first=True))

    asked = run_store.open_runs(6, known=lambda run_id: run_id == born[0].run_id)

    assert {run_id async for run_id in asked} == {born[1].run_id, born[2].run_id}


async def test_a_run_that_ends_in_its_first_commit_does_not_stay_open(run_store: RunStore) -> None:
    birth = a_birth()

    await run_store.commit(a_commit(birth, first=True, status="completed", closes=True))

    assert await eventually_closed(run_store, birth)
    assert await run_store.load(birth.run_id) is not None


async def test_a_late_commit_does_not_lose_an_open_run(run_store: RunStore) -> None:
    birth = a_birth()
    await run_store.commit(a_commit(birth, epoch=2, first=True))

    await run_store.commit(a_commit(birth, epoch=1, status="failed", closes=True))

    assert birth.run_id in await open_runs(run_store, birth.partition)


async def test_an_earlier_owner_that_closes_a_run_late_does_not_lose_it(backend: Backend, namespace: str) -> None:
    late = await backend.run_store(namespace)
    birth = a_birth()
    await late.commit(a_commit(birth, epoch=1, counter=1, first=True))
    await late.commit(a_commit(birth, epoch=2, counter=1, takes_over=True))

    await late.commit(a_commit(birth, epoch=1, counter=5, status="completed", closes=True))
    await backend.close_clients()  # what a store does in the background is done then

    assert birth.run_id in await open_runs(await backend.run_store(namespace), birth.partition)


@pytest.mark.parametrize("status", ["failed", "waiting"])
async def test_a_run_that_was_closed_is_open_again_when_it_is_taken_over(
    backend: Backend, namespace: str, status: str
) -> None:
    before = await backend.run_store(namespace)
    birth = a_birth()
    await before.commit(a_commit(birth, counter=1, first=True))
    await before.commit(a_commit(birth, counter=2, status=status, closes=True))
    await backend.close_clients()
    afterwards = await backend.run_store(namespace)
    assert await eventually_closed(afterwards, birth)

    await afterwards.commit(a_commit(birth, counter=3, status="running", takes_over=True))

    assert birth.run_id in await open_runs(afterwards, birth.partition)


async def test_a_run_that_is_taken_over_at_once_after_it_was_closed_stays_open(
    backend: Backend, namespace: str
) -> None:
    before = await backend.run_store(namespace)
    birth = a_birth()
    await before.commit(a_commit(birth, counter=1, first=True))

    await before.commit(a_commit(birth, counter=2, status="waiting", closes=True))
    await before.commit(a_commit(birth, counter=3, status="running", takes_over=True))
    await backend.close_clients()  # what a store does in the background is done then

    assert birth.run_id in await open_runs(await backend.run_store(namespace), birth.partition)


async def test_a_run_that_has_ended_is_open_until_a_commit_closes_it(run_store: RunStore) -> None:
    birth = a_birth(partition=10)
    await run_store.commit(a_commit(birth, counter=1, first=True, status="completed"))
    assert await open_runs(run_store, 10) == {birth.run_id}

    await run_store.commit(a_commit(birth, counter=2, status="completed", closes=True))

    assert await open_runs(run_store, 10) == set()


async def test_a_dormant_run_is_not_open_and_is_loaded_as_any_other(run_store: RunStore) -> None:
    birth = a_birth(partition=8)
    first = a_commit(birth, counter=1, first=True, steps=[a_step()])
    dormant = a_commit(birth, counter=2, status="waiting", closes=True, steps=[a_step("nap", status="sleeping")])

    await run_store.commit(first)
    await run_store.commit(dormant)

    assert await open_runs(run_store, 8) == set()
    assert await load(run_store, birth.run_id) == expected_of([first, dormant])


async def test_a_dormant_run_that_is_taken_over_and_dormant_again_is_closed(run_store: RunStore) -> None:
    birth = a_birth(partition=9)
    await run_store.commit(a_commit(birth, counter=1, first=True))
    await run_store.commit(a_commit(birth, counter=2, status="waiting", closes=True))

    await run_store.commit(a_commit(birth, epoch=2, counter=1, status="waiting", takes_over=True, closes=True))

    assert await open_runs(run_store, 9) == set()


async def test_many_open_runs_are_all_named(run_store: RunStore) -> None:
    born = [a_birth(partition=5) for _ in range(1200)]
    await asyncio.gather(*(run_store.commit(a_commit(birth, first=True)) for birth in born))

    assert await open_runs(run_store, 5) == {birth.run_id for birth in born}


async def test_recent_runs_come_newest_first(run_store: RunStore) -> None:
    born = [a_birth(created_at=1_700_000_000.0 + day * 86_400) for day in (2, 0, 3, 1)]
    for birth in born:
        await run_store.commit(a_commit(birth, first=True))
    day_0, day_1, day_2, day_3 = (birth.run_id for birth in sorted(born, key=lambda birth: birth.created_at))

    assert list(await run_store.recent(limit=10)) == [day_3, day_2, day_1, day_0]
    assert list(await run_store.recent(limit=2)) == [day_3, day_2]
    # Strictly before: the page that starts where another ended does not repeat its last run.
    assert list(await run_store.recent(limit=10, before=1_700_000_000.0 + 2 * 86_400)) == [day_1, day_0]
    assert list(await run_store.recent(limit=10, before=1_700_000_000.0)) == []


# -- neighbours ------------------------------------------------------------------------------------------------------


async def test_all_runs_are_named_once_also_those_that_have_ended(run_store: RunStore) -> None:
    births = [a_birth(partition=number % 3, created_at=1000.5) for number in range(70)]
    for number, birth in enumerate(births):
        await run_store.commit(a_commit(birth, first=True))
        if number % 2:
            await run_store.commit(a_commit(birth, counter=2, status="completed", closes=True))

    found = [run_id async for run_id in run_store.all_runs()]

    assert sorted(found) == sorted(birth.run_id for birth in births)


async def test_a_run_without_a_first_commit_is_none_of_all_runs(run_store: RunStore) -> None:
    await run_store.commit(a_commit(a_birth(), counter=2))

    assert [run_id async for run_id in run_store.all_runs()] == []


async def test_the_open_index_has_the_runs_that_are_not_closed(run_store: RunStore) -> None:
    open_run, closed, dormant, taken_over = (a_birth(created_at=time.time()) for _ in range(4))
    for birth in (open_run, closed, dormant, taken_over):
        await run_store.commit(a_commit(birth, first=True))
    await run_store.commit(a_commit(closed, counter=2, status="completed", closes=True))
    for birth in (dormant, taken_over):
        await run_store.commit(a_commit(birth, counter=2, status="waiting", closes=True))
    await run_store.commit(a_commit(taken_over, counter=3, takes_over=True))
    asked = [birth.run_id for birth in (open_run, closed, dormant, taken_over)]

    assert await run_store.in_open_index([*asked, new_run_id()]) == {open_run.run_id, taken_over.run_id}
    assert await run_store.in_open_index([]) == frozenset()


async def test_namespaces_do_not_see_each_other(backend: Backend, namespace: str) -> None:
    here, there = await backend.run_store(namespace), await backend.run_store(f"{namespace}_2")
    birth = a_birth()

    await here.commit(a_commit(birth, epoch=9, first=True, steps=[a_step()], events=[an_event()]))

    assert await there.load(birth.run_id) is None
    assert await there.heads([birth.run_id]) == {}
    assert list(await there.events(birth.run_id)) == []
    assert await open_runs(there, birth.partition) == set()
    assert list(await there.recent(limit=10)) == []

    # The same run id there is another run: the higher stamp here is none of its business.
    other = a_commit(birth, epoch=1, first=True, steps=[a_step(status="failed")])
    await there.commit(other)
    assert await load(there, birth.run_id) == expected_of([other])


async def test_what_one_client_commits_another_loads(backend: Backend, namespace: str) -> None:
    one, other = await backend.run_store(namespace), await backend.run_store(namespace)
    commit = a_commit(a_birth(), first=True, steps=[a_step()], events=[an_event()])

    await one.commit(commit)

    assert await load(other, commit.birth.run_id) == expected_of([commit])


async def test_two_hundred_commits_at_once(backend: Backend, namespace: str) -> None:
    clients = [await backend.run_store(namespace), await backend.run_store(namespace)]
    shared = a_birth()
    own = [a_commit(a_birth(), first=True, steps=[a_step()], events=[an_event()]) for _ in range(100)]
    of_one_run = [
        a_commit(shared, counter=number, first=number == 1, steps=[a_step(f"step-{number}")], events=[an_event(number)])
        for number in range(1, 101)
    ]

    await asyncio.gather(*(clients[at % 2].commit(commit) for at, commit in enumerate([*own, *of_one_run])))

    for commit in own:
        assert await load(clients[0], commit.birth.run_id) == expected_of([commit])
    assert await load(clients[1], shared.run_id) == expected_of(of_one_run)


async def test_a_cancelled_commit_harms_no_other(run_store: RunStore) -> None:
    cancelled = asyncio.ensure_future(run_store.commit(a_commit(a_birth(), first=True)))
    commit = a_commit(a_birth(), first=True, steps=[a_step()])
    await asyncio.sleep(0)
    cancelled.cancel()
    with suppress(asyncio.CancelledError):
        await cancelled

    await run_store.commit(commit)

    assert await load(run_store, commit.birth.run_id) == expected_of([commit])


def test_the_strategies_draw_every_field() -> None:
    """A field added to a row must be added to the round trip above."""
    drawn_fields = {
        RunBirth: 9,
        RunHead: 7,
        StepRow: 14,
        ContextRow: 3,
        EventRow: 4,
    }
    for row, count in drawn_fields.items():
        assert len([field for field in fields(row) if field.name != "stamp"]) == count, row.__name__
