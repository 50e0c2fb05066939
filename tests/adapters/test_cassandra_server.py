"""What is Cassandra's own, on a real server. What every store promises is asked in ``tests/contract``."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from support.epochs import take_among_others

from famulus.adapters.cassandra import (
    CassandraBlueprintStore,
    CassandraDatabase,
    CassandraEpochs,
    CassandraRunStore,
    CassandraTimerStore,
    connection,
    migrate,
    open_runs,
)
from famulus.adapters.cassandra.runs import ROW_BYTES
from famulus.adapters.cassandra.schema import EXPIRING_TABLES
from famulus.adapters.cassandra.statements import migrations
from famulus.errors import OutputError, SettingsError, StoreUnavailableError
from famulus.ids import BlueprintId, Digest, Epoch, NodeId, RunId, StepId, stamp_of
from famulus.ports import Commit, ContextRow, EventRow, RunBirth, RunHead, StepRow, StoredBlueprint, TimerRow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence

    from famulus.adapters.cassandra.database import Write
    from famulus.adapters.cassandra.driver import Session

pytestmark = pytest.mark.real

KEYSPACE = "famulus_adapter_tests"
PARTITION = 7
KILOBYTE = 1024
SERVER_SECONDS = 30.0
"""What a server may take that is there, on a machine that has much else to do."""


@pytest.fixture(scope="module")
def contact_points(real_servers: Mapping[str, str]) -> str:
    return real_servers["CASSANDRA_CONTACT_POINTS"]


@pytest.fixture
async def database(contact_points: str) -> AsyncIterator[CassandraDatabase]:
    await migrate(contact_points, keyspace=KEYSPACE)
    opened = await CassandraDatabase.open(contact_points, keyspace=KEYSPACE, request_timeout=SERVER_SECONDS)
    yield opened
    await opened.close()


@pytest.fixture
def plain(contact_points: str) -> Iterator[Session]:
    """A session of the driver, to look at what is really stored."""
    session = connection.connect(contact_points, request_timeout=60)
    yield session
    session.cluster.shutdown()


@pytest.fixture
def keyspace(plain: Session) -> Iterator[str]:
    """A keyspace that does not exist yet."""
    name = f"famulus_{uuid.uuid4().hex[:12]}"
    yield name
    plain.execute(f"DROP KEYSPACE IF EXISTS {name}")


@pytest.fixture
def namespace() -> str:
    return f"test_{uuid.uuid4().hex[:16]}"


@pytest.fixture
def store(database: CassandraDatabase, namespace: str) -> CassandraRunStore:
    return CassandraRunStore(database, namespace=namespace)


# -- stamps ----------------------------------------------------------------------------------------------------------


async def test_the_stamp_is_the_write_time_of_every_column(
    store: CassandraRunStore, namespace: str, plain: Session
) -> None:
    await store.commit(commit_of("r", 5, context=[ContextRow(key="k", value=b"1", seq=1)]))

    columns = {
        "runs": ("status", "updated_at", "seals", "input", "stamp"),
        "steps": ("status", "fired", "result", "stamp"),
        "context": ("value", "deleted", "stamp"),
        "events": ("type", "data", "stamp"),
    }
    for table, names in columns.items():
        times = ", ".join(f"WRITETIME({name})" for name in names)
        row = plain.execute(
            f"SELECT {times} FROM {KEYSPACE}.{table} WHERE namespace = %s AND run_id = %s", (namespace, "r")
        ).one()
        assert set(row) == {stamp_of(Epoch(3), 5)}, table


async def test_a_step_without_output_leaves_no_tombstone(
    store: CassandraRunStore, namespace: str, plain: Session
) -> None:
    await store.commit(commit_of("r", 1, steps=[step("a")], context=[ContextRow(key="k", value=None, seq=1)]))

    for table in ("steps", "context", "events"):
        rows = plain.execute(f"SELECT * FROM {KEYSPACE}.{table} WHERE namespace = %s AND run_id = %s", (namespace, "r"))
        assert all(value is not None for row in rows for value in row), table


# -- batches ---------------------------------------------------------------------------------------------------------


async def test_a_commit_above_the_threshold_is_split_with_the_head_last(
    database: CassandraDatabase, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CassandraRunStore(database, namespace=namespace, batch_bytes=10 * KILOBYTE)
    sent = record_batches(database, monkeypatch)

    await store.commit(commit_of("r", 1, steps=[step(f"s{number}", output=b"x" * 4 * KILOBYTE) for number in range(9)]))

    assert len(sent) > 3
    assert sent[-1] == ["insert_first_head"]
    assert all("head" not in statement for batch in sent[:-1] for statement in batch)
    loaded = await store.load(RunId("r"))
    assert loaded is not None
    assert len(loaded.steps) == 9


async def test_a_commit_cut_off_before_its_head_leaves_the_head_of_the_one_before(
    database: CassandraDatabase, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CassandraRunStore(database, namespace=namespace, batch_bytes=10 * KILOBYTE)
    await store.commit(commit_of("r", 1))
    cut_off_before_the_head(database, monkeypatch)

    with pytest.raises(StoreUnavailableError):
        await store.commit(
            commit_of(
                "r", 2, first=False, steps=[step(f"s{number}", output=b"x" * 9 * KILOBYTE) for number in range(3)]
            )
        )

    loaded = await store.load(RunId("r"))
    assert loaded is not None
    assert loaded.head.stamp == stamp_of(Epoch(3), 1)
    assert {row.step_id for row in loaded.steps if row.stamp <= loaded.head.stamp} == {"a"}


async def test_a_batch_of_megabytes_passes_the_threshold_for_batches(
    database: CassandraDatabase, store: CassandraRunStore, plain: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    threshold = plain.execute("SELECT value FROM system_views.settings WHERE name = 'batch_size_fail_threshold'").one()
    sent = record_batches(database, monkeypatch)

    await store.commit(
        commit_of("r", 1, steps=[step(f"s{number}", output=b"x" * 900 * KILOBYTE) for number in range(4)])
    )

    assert int(threshold[0].removesuffix("KiB")) < 1000
    assert len(sent) == 1


async def test_a_row_that_no_node_would_take_is_refused_at_once(store: CassandraRunStore) -> None:
    with pytest.raises(OutputError, match="insert_step"):
        await store.commit(commit_of("r", 1, steps=[step("a", output=b"x" * (ROW_BYTES + 1))]))


# -- reading ---------------------------------------------------------------------------------------------------------


async def test_a_run_larger_than_a_page_is_loaded_whole(store: CassandraRunStore) -> None:
    count = connection.FETCH_SIZE * 2 + 1
    steps = [step(f"s{number}") for number in range(count)]
    events = [EventRow(seq=number, type="step.completed", at=1.0, data=b"{}") for number in range(count)]
    await store.commit(commit_of("r", 1, steps=steps, events=events))

    loaded = await store.load(RunId("r"))

    assert loaded is not None
    assert len(loaded.steps) == count
    assert [event.seq for event in await store.events(RunId("r"), limit=count)] == list(range(count))


async def test_a_run_whose_last_commit_is_half_readable_is_not_loaded(
    store: CassandraRunStore, namespace: str, plain: Session
) -> None:
    await store.commit(commit_of("r", 1, steps=[step("a"), step("b")]))
    lose = f"DELETE FROM {KEYSPACE}.steps USING TIMESTAMP %s WHERE namespace = %s AND run_id = %s AND step_id = %s"
    plain.execute(lose, (stamp_of(Epoch(3), 1), namespace, "r", "b"))

    with pytest.raises(StoreUnavailableError, match="'r'"):
        await store.load(RunId("r"))


# -- open runs -------------------------------------------------------------------------------------------------------


async def test_ended_runs_leave_the_index_when_the_database_is_closed(
    contact_points: str, namespace: str, plain: Session
) -> None:
    async with opened(contact_points) as database:
        store = CassandraRunStore(database, namespace=namespace)
        await store.commit(commit_of("open", 1))
        await store.commit(commit_of("ended", 1))
        await store.commit(commit_of("ended", 2, first=False, status="completed", closes=True))

    assert open_entries(plain, namespace) == ["open"]


@pytest.mark.parametrize("status", ["completed", "waiting"])
async def test_an_entry_that_a_crash_left_behind_is_not_named_and_is_removed(
    contact_points: str, namespace: str, plain: Session, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(contact_points) as database:
        store = CassandraRunStore(database, namespace=namespace)
        await store.commit(commit_of("closed", 1))
        with monkeypatch.context() as crash:
            crash.setattr(open_runs.OpenRunIndex, "leave", lambda *_: None)
            await store.commit(commit_of("closed", 2, first=False, status=status, closes=True))

        assert [run_id async for run_id in store.open_runs(PARTITION)] == []

    assert open_entries(plain, namespace) == []


async def test_a_run_that_ended_and_was_not_closed_is_named(store: CassandraRunStore) -> None:
    await store.commit(commit_of("lingers", 1, status="completed"))

    assert [run_id async for run_id in store.open_runs(PARTITION)] == ["lingers"]


@pytest.mark.parametrize(("status", "is_open"), [("running", True), ("completed", False)])
async def test_the_status_says_whether_a_run_is_open_that_an_earlier_version_wrote(
    store: CassandraRunStore, namespace: str, plain: Session, *, status: str, is_open: bool
) -> None:
    await store.commit(commit_of("old", 1, status="waiting", closes=True))
    later = stamp_of(Epoch(3), 2)
    write = (
        f"UPDATE {KEYSPACE}.runs USING TIMESTAMP %s SET status = %s, stamp = %s WHERE namespace = %s AND run_id = %s"
    )
    plain.execute(write, (later, status, later, namespace, "old"))
    index = open_runs.OpenRunIndex(store._database, namespace=namespace)
    await index.enter(birth_of("old"), later)

    assert [run_id async for run_id in store.open_runs(PARTITION)] == (["old"] if is_open else [])


async def test_a_bucket_of_timers_that_is_long_over_and_empty_leaves_the_directory(
    database: CassandraDatabase, namespace: str, plain: Session
) -> None:
    timers = CassandraTimerStore(database, namespace=namespace)
    long_ago = TimerRow(
        partition=PARTITION, due_at=time.time() - 3600, run_id=RunId("r"), kind="step", step_id=StepId("s")
    )
    lately = replace(long_ago, due_at=time.time() - 1)
    await timers.put([long_ago, lately])
    assert await timers.due(PARTITION, until=time.time(), limit=10) == [long_ago, lately]
    await timers.fired([long_ago, lately])

    assert await timers.due(PARTITION, until=time.time(), limit=10) == []

    rows = plain.execute(
        f"SELECT bucket FROM {KEYSPACE}.timer_buckets WHERE namespace = %s AND partition = %s", (namespace, PARTITION)
    )
    assert [row[0] for row in rows] == [int(lately.due_at // 60) * 60]


async def test_an_entry_whose_first_commit_is_on_its_way_is_kept(
    contact_points: str, namespace: str, plain: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(contact_points) as database:
        store = CassandraRunStore(database, namespace=namespace)
        cut_off_before_the_head(database, monkeypatch)
        with pytest.raises(StoreUnavailableError):
            await store.commit(commit_of("coming", 1))

        assert [run_id async for run_id in store.open_runs(PARTITION)] == []

    assert open_entries(plain, namespace) == ["coming"]


async def test_a_bucket_that_is_long_over_and_empty_leaves_the_directory(
    database: CassandraDatabase, store: CassandraRunStore, namespace: str, plain: Session
) -> None:
    an_hour_ago = time.time() - 3600
    await store.commit(commit_of("old", 1, created_at=an_hour_ago))
    await store.commit(commit_of("new", 1))
    await store.commit(commit_of("old", 2, first=False, status="failed", closes=True, created_at=an_hour_ago))

    async def only_the_new_bucket_is_left() -> bool:
        assert [run_id async for run_id in store.open_runs(PARTITION)] == ["new"]
        return len(directory(plain, namespace)) == 1

    await eventually(only_the_new_bucket_is_left)


async def test_a_run_can_enter_a_bucket_that_had_left_the_directory(
    database: CassandraDatabase, namespace: str, plain: Session
) -> None:
    an_hour_ago = time.time() - 3600
    index = open_runs.OpenRunIndex(database, namespace=namespace)
    await index.enter(birth_of("first", created_at=an_hour_ago), stamp_of(Epoch(9), 1))
    ((bucket, mark),) = (await index.buckets(PARTITION)).items()
    await index.drop_empty(bucket, mark)
    assert await index.buckets(PARTITION) == {}

    await index.enter(birth_of("second", created_at=an_hour_ago), stamp_of(Epoch(1), 1))

    assert list(await index.buckets(PARTITION)) == [bucket]


async def test_a_bucket_that_runs_may_still_enter_stays(database: CassandraDatabase, namespace: str) -> None:
    index = open_runs.OpenRunIndex(database, namespace=namespace)
    await index.enter(birth_of("r"), stamp_of(Epoch(9), 1))
    ((bucket, mark),) = (await index.buckets(PARTITION)).items()

    await index.drop_empty(bucket, mark)

    assert list(await index.buckets(PARTITION)) == [bucket]


# -- blueprints and epochs -------------------------------------------------------------------------------------------


async def test_the_earliest_registration_wins_whatever_comes_first(database: CassandraDatabase, namespace: str) -> None:
    blueprints = CassandraBlueprintStore(database, namespace=namespace)
    offered = [
        blueprint("d1", registered_at=20.0),
        blueprint("d2", registered_at=10.0),
        blueprint("d3", registered_at=30.0),
    ]

    await asyncio.gather(*(blueprints.put(each) for each in offered))

    stored = await blueprints.by_version(BlueprintId("b"), "1")
    assert stored == blueprint("d2", registered_at=10.0)


async def test_workers_that_start_at_once_take_different_epochs(
    contact_points: str, database: CassandraDatabase, namespace: str
) -> None:
    async with opened(contact_points) as another:
        workers = [CassandraEpochs(each, namespace=namespace) for each in (database, another) for _ in range(10)]

        taken = await asyncio.gather(*(take_among_others(worker, within=120) for worker in workers))

    assert len(set(taken)) == len(workers)


async def test_an_epoch_whose_answer_was_lost_is_skipped(
    database: CassandraDatabase, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs = CassandraEpochs(database, namespace=namespace)
    first = await epochs.take()
    lose_the_next_answer(database, monkeypatch)

    with pytest.raises(StoreUnavailableError):
        await epochs.take()

    assert await epochs.take() == first + 2


# -- schema and connection -------------------------------------------------------------------------------------------


async def test_a_keyspace_without_tables_says_what_to_do(contact_points: str, keyspace: str) -> None:
    with pytest.raises(SettingsError, match="famulus schema migrate"):
        await CassandraDatabase.open(contact_points, keyspace=keyspace)


async def test_older_tables_say_what_to_do(contact_points: str, keyspace: str, plain: Session) -> None:
    newest = (await migrate(contact_points, keyspace=keyspace))[-1]
    plain.execute(f"DELETE FROM {keyspace}.schema_versions WHERE scope = 'famulus' AND version = %s", (newest,))

    with pytest.raises(SettingsError, match=rf"version {newest - 1}.*needs {newest}.*famulus schema migrate"):
        await CassandraDatabase.open(contact_points, keyspace=keyspace)


async def test_migrating_twice_applies_nothing_the_second_time(contact_points: str, keyspace: str) -> None:
    assert await migrate(contact_points, keyspace=keyspace) == [migration.version for migration in migrations()]

    assert await migrate(contact_points, keyspace=keyspace) == []


async def test_a_run_of_the_first_tables_is_read_after_the_migration(
    contact_points: str, keyspace: str, plain: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = stamp_of(Epoch(3), 1)
    with monkeypatch.context() as before:
        before.setattr("famulus.adapters.cassandra.schema.migrations", lambda: migrations()[:4])
        await migrate(contact_points, keyspace=keyspace)
    key = ("default", "old")
    plain.execute(
        f"INSERT INTO {keyspace}.runs (namespace, run_id, blueprint_id, version, digest, input, input_digest,"
        " partition, created_at, status, updated_at, seals, next_seq, rows_written, stamp)"
        " VALUES (%s, %s, 'b', '1', 'd', 0x7b7d, 'i', 7, 1.0, 'running', 1.0, {}, 2, 1, %s) USING TIMESTAMP %s",
        (*key, stamp, stamp),
    )
    plain.execute(
        f"INSERT INTO {keyspace}.steps (namespace, run_id, step_id, epoch, node_id, status, attempt, seq, fired,"
        " result, stamp)"
        " VALUES (%s, %s, 's', 3, 's', 'completed', 1, 0, [], {output: 0x31, worker: 'w'}, %s) USING TIMESTAMP %s",
        (*key, stamp, stamp),
    )

    await migrate(contact_points, keyspace=keyspace)

    async with opened(contact_points, keyspace=keyspace) as database:
        rows = await CassandraRunStore(database).load(RunId("old"))
    assert rows is not None
    assert (rows.birth.parent, rows.head.ending) == (None, None)
    assert [(row.output, row.worker, row.extra) for row in rows.steps] == [(b"1", "w", None)]


async def test_tables_with_one_row_for_all_owners_are_refused(
    contact_points: str, keyspace: str, plain: Session
) -> None:
    await migrate(contact_points, keyspace=keyspace)
    plain.execute(f"DROP TABLE {keyspace}.steps")
    plain.execute(
        f"CREATE TABLE {keyspace}.steps (namespace text, run_id text, step_id text,"
        " PRIMARY KEY ((namespace, run_id), step_id))"
    )

    for use in (migrate, CassandraDatabase.open):
        with pytest.raises(SettingsError, match="before the first release"):
            await use(contact_points, keyspace=keyspace)


async def test_migrating_three_times_at_once_makes_one_schema(contact_points: str, keyspace: str) -> None:
    await asyncio.gather(*(migrate(contact_points, keyspace=keyspace) for _ in range(3)))

    async with opened(contact_points, keyspace=keyspace) as database:
        assert database.server.schema_version == migrations()[-1].version
        store = CassandraRunStore(database)
        await store.commit(commit_of("r", 1))
        assert await store.load(RunId("r")) is not None


async def test_a_time_to_live_is_for_runs_and_not_for_the_index_of_open_ones(
    contact_points: str, keyspace: str, plain: Session
) -> None:
    await migrate(contact_points, keyspace=keyspace, default_time_to_live=86_400)
    await migrate(contact_points, keyspace=keyspace)

    found = plain.execute(
        "SELECT table_name, default_time_to_live FROM system_schema.tables WHERE keyspace_name = %s", (keyspace,)
    )
    expiring = {table for table, seconds in found if seconds == 86_400}
    assert expiring == set(EXPIRING_TABLES)
    assert not expiring & {"open_runs", "open_buckets", "timers", "timer_buckets"}


async def test_a_keyspace_by_datacenter_is_opened_by_its_datacenter(contact_points: str, keyspace: str) -> None:
    await migrate(contact_points, keyspace=keyspace, replication={"datacenter1": 1})

    async with opened(contact_points, keyspace=keyspace, datacenter="datacenter1") as database:
        assert database.server.datacenter == "datacenter1"
        assert database.server.version


async def test_a_datacenter_without_hosts_is_named(contact_points: str) -> None:
    with pytest.raises(SettingsError, match=r"CASSANDRA_DATACENTER.*'elsewhere'"):
        await CassandraDatabase.open(contact_points, datacenter="elsewhere")


async def test_a_server_that_is_not_there_is_an_unavailable_store() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(StoreUnavailableError, match=address):
            await CassandraDatabase.open(address)


async def test_a_name_that_is_none_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(SettingsError, match="FAMULUS_CASSANDRA_KEYSPACE"):
        await CassandraDatabase.open("127.0.0.1:1", keyspace="famulus; DROP KEYSPACE famulus")


# -- values and helpers ----------------------------------------------------------------------------------------------


def birth_of(run_id: str, *, created_at: float | None = None) -> RunBirth:
    return RunBirth(
        run_id=RunId(run_id),
        blueprint_id=BlueprintId("b"),
        version="1",
        digest=Digest("d"),
        input=b"{}",
        input_digest="i",
        partition=PARTITION,
        created_at=time.time() if created_at is None else created_at,
    )


def commit_of(
    run_id: str,
    counter: int,
    *,
    first: bool = True,
    closes: bool = False,
    status: str = "running",
    created_at: float | None = None,
    steps: Sequence[StepRow] | None = None,
    context: Sequence[ContextRow] = (),
    events: Sequence[EventRow] | None = None,
) -> Commit:
    return Commit(
        birth=birth_of(run_id, created_at=created_at),
        head=RunHead(status=status, updated_at=1.0, seals={1: 2}, next_seq=3),
        stamp=stamp_of(Epoch(3), counter),
        first=first,
        closes=closes,
        steps=[step("a")] if steps is None else steps,
        context=context,
        events=[EventRow(seq=counter, type="run.moved", at=1.0, data=b"{}")] if events is None else events,
    )


def step(step_id: str, *, output: bytes | None = None) -> StepRow:
    return StepRow(
        step_id=StepId(step_id),
        node_id=NodeId(step_id),
        status="completed",
        attempt=1,
        seq=0,
        output=output,
        fired=(0, 2),
    )


def blueprint(digest: str, *, registered_at: float) -> StoredBlueprint:
    return StoredBlueprint(
        blueprint_id=BlueprintId("b"),
        version="1",
        digest=Digest(digest),
        body=digest.encode(),
        registered_at=registered_at,
    )


def open_entries(plain: Session, namespace: str) -> list[str]:
    entries = f"SELECT run_id FROM {KEYSPACE}.open_runs WHERE namespace = %s AND partition = %s AND bucket = %s"
    return [
        run_id
        for bucket in directory(plain, namespace)
        for (run_id,) in plain.execute(entries, (namespace, PARTITION, bucket))
    ]


def directory(plain: Session, namespace: str) -> list[int]:
    buckets = f"SELECT bucket FROM {KEYSPACE}.open_buckets WHERE namespace = %s AND partition = %s"
    return [bucket for (bucket,) in plain.execute(buckets, (namespace, PARTITION))]


def record_batches(database: CassandraDatabase, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Note the statements of each batch when Cassandra has acknowledged it."""
    sent: list[list[str]] = []
    really_write = database.write_partition

    async def write(writes: Sequence[Write]) -> None:
        await really_write(writes)
        sent.append([each.statement for each in writes])

    monkeypatch.setattr(database, "write_partition", write)
    return sent


def cut_off_before_the_head(database: CassandraDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    really_write = database.write_partition

    async def write(writes: Sequence[Write]) -> None:
        if any("head" in each.statement for each in writes):
            raise StoreUnavailableError("cut off")
        await really_write(writes)

    monkeypatch.setattr(database, "write_partition", write)


def lose_the_next_answer(database: CassandraDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next conditional write apply, and have its answer time out."""
    really_execute = database.execute

    async def execute(statement: str, values: Sequence[Any]) -> Any:
        await really_execute(statement, values)
        monkeypatch.setattr(database, "execute", really_execute)
        raise StoreUnavailableError("no answer")

    monkeypatch.setattr(database, "execute", execute)


@asynccontextmanager
async def opened(
    contact_points: str, *, keyspace: str = KEYSPACE, datacenter: str | None = None
) -> AsyncIterator[CassandraDatabase]:
    await migrate(contact_points, keyspace=keyspace)
    database = await CassandraDatabase.open(
        contact_points, keyspace=keyspace, datacenter=datacenter, request_timeout=SERVER_SECONDS
    )
    try:
        yield database
    finally:
        await database.close()


async def eventually(claim: Callable[[], Awaitable[bool]], *, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not await claim():  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.1)
