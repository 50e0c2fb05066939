"""From settings to open adapters: which store, which joins, which broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from famulus.adapters.cassandra import (
    CassandraBlobStore,
    CassandraBlueprintStore,
    CassandraDatabase,
    CassandraDeadLetterStore,
    CassandraEpochs,
    CassandraHookStore,
    CassandraRunStore,
    CassandraScheduleStore,
    CassandraTimerStore,
    CassandraTokenStore,
    migrate,
)
from famulus.adapters.kafka.topics import TopicSpec
from famulus.adapters.memory import MemoryJoins, MemoryProgressBoard
from famulus.adapters.redis import RedisJoins, RedisLimits, RedisProgressBoard
from famulus.adapters.sqlite import (
    SqliteBlobStore,
    SqliteBlueprintStore,
    SqliteDatabase,
    SqliteDeadLetterStore,
    SqliteEpochs,
    SqliteHookStore,
    SqliteRunStore,
    SqliteScheduleStore,
    SqliteTimerStore,
    SqliteTokenStore,
)
from famulus.blueprint import Blueprint, parse_blueprint
from famulus.engine.catalog import Catalog
from famulus.engine.claims import ClaimingBus, ClaimingRuns, Claims
from famulus.engine.starting import RunStarter
from famulus.errors import BlueprintError, SettingsError
from famulus.ports import (
    BlueprintStore,
    Bus,
    DeadLetterStore,
    Epochs,
    HookStore,
    Joins,
    Limits,
    ProgressBoard,
    RunStore,
    ScheduleStore,
    TimerStore,
    TokenStore,
)
from famulus.security.signing import Signatures
from famulus.settings import Settings, variable_of
from famulus.transports import cassandra_options, redis_url


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    runs: RunStore
    blueprints: BlueprintStore
    epochs: Epochs
    hooks: HookStore
    timers: TimerStore
    schedules: ScheduleStore
    claims: Claims
    """Of values that are too large for a row of `runs`, or for a record."""
    tokens: TokenStore
    letters: DeadLetterStore


@asynccontextmanager
async def open_stores(settings: Settings) -> AsyncIterator[Stores]:
    """Cassandra where contact points are set, else the SQLite file. Raises `StoreUnavailableError`, `SettingsError`."""
    async with AsyncExitStack() as stack:
        yield (
            await _open_cassandra(settings, stack)
            if settings.cassandra_contact_points
            else await _open_sqlite(settings, stack)
        )


def claiming(bus: Bus, stores: Stores, settings: Settings) -> Bus:
    """The bus, for records that are too large for the jobs topic too."""
    return ClaimingBus(bus, stores.claims, above_bytes=settings.max_record_bytes, max_bytes=settings.max_claimed_bytes)


def run_starter(bus: Bus, stores: Stores, catalog: Catalog, settings: Settings) -> RunStarter:
    """Starts runs and sends commands from a program that is no worker, whatever the size of what it is given."""
    return RunStarter(
        stores.runs, catalog, claiming(bus, stores, settings), max_record_bytes=settings.max_claimed_bytes
    )


@asynccontextmanager
async def open_joins(settings: Settings) -> AsyncIterator[Joins]:
    """Redis or Valkey where a URL is set; else joins are counted in this process, from the same rows."""
    url = redis_url(settings)
    if url is None:
        yield MemoryJoins()
        return
    joins = RedisJoins(url, namespace=settings.namespace)
    try:
        yield joins
    finally:
        await joins.close()


@asynccontextmanager
async def open_limits(settings: Settings) -> AsyncIterator[Limits | None]:
    """Over all workers by Redis or Valkey where a URL is set; else ``None``: each worker has limits of its own."""
    url = redis_url(settings)
    if url is None:
        yield None
        return
    limits = RedisLimits(url, namespace=settings.namespace)
    try:
        yield limits
    finally:
        await limits.close()


@asynccontextmanager
async def open_progress(settings: Settings) -> AsyncIterator[ProgressBoard]:
    """In Redis or Valkey where a URL is set; else each process sees what its own steps tell."""
    url = redis_url(settings)
    if url is None:
        yield MemoryProgressBoard()
        return
    board = RedisProgressBoard(url, namespace=settings.namespace)
    try:
        yield board
    finally:
        await board.close()


async def migrate_schema(settings: Settings) -> list[str]:
    """Bring the store to the newest schema, and say what was done. The SQLite file migrates whenever it is opened."""
    if not settings.cassandra_contact_points:
        async with open_stores(settings):
            return [f"{settings.database_path} is up to date"]
    applied = await migrate(
        settings.cassandra_contact_points,
        keyspace=settings.cassandra_keyspace,
        replication=settings.cassandra_replication,
        datacenter=settings.cassandra_datacenter,
        **cassandra_options(settings),
    )
    return [f"migration {number} applied" for number in applied] or ["the tables are up to date"]


def signatures(settings: Settings) -> Signatures | None:
    """Of `FAMULUS_RECORD_KEY`; ``None`` where nobody asks for any."""
    if settings.record_key is None:
        return None
    return Signatures([key.strip().encode() for key in settings.record_key.get_secret_value().split(",")])


def topic_specs(settings: Settings) -> tuple[TopicSpec, ...]:
    """The topics of an installation; the jobs topic first."""
    return tuple(
        TopicSpec(name=name, partitions=settings.partitions, replication_factor=settings.replication_factor)
        for name in (settings.jobs_topic, settings.items_topic, settings.events_topic, settings.dead_letters_topic)
    )


def read_blueprints(settings: Settings) -> list[Blueprint]:
    """The blueprints of `FAMULUS_BLUEPRINTS`: JSON files, and those of folders by name.

    A file without an `id` is called by its name. Raises `SettingsError` for a path that does not exist and
    `BlueprintError`, naming the file, for one that is no blueprint.
    """
    variable = variable_of("blueprints")
    return [_read_blueprint(path) for name in settings.blueprints for path in _json_files(Path(name), variable)]


def _json_files(path: Path, variable: str) -> list[Path]:
    if path.is_dir():
        found = sorted(path.rglob("*.json"))
        if not found:
            raise SettingsError(variable, f"folder {str(path)!r} holds no .json file")
        return found
    if not path.is_file():
        raise SettingsError(variable, f"{str(path)!r} is neither a file nor a folder")
    return [path]


def _read_blueprint(path: Path) -> Blueprint:
    try:
        return parse_blueprint(path.read_bytes(), default_id=path.stem)
    except BlueprintError as error:
        raise BlueprintError(f"{path}: {error}", problems=error.problems) from error


async def _open_sqlite(settings: Settings, stack: AsyncExitStack) -> Stores:
    database = SqliteDatabase(settings.database_path)
    await database.open()
    stack.push_async_callback(database.close)
    runs = SqliteRunStore(database, namespace=settings.namespace)
    claims = Claims(SqliteBlobStore(database, namespace=settings.namespace))
    return Stores(
        runs=ClaimingRuns(runs, claims, above_bytes=settings.claim_bytes),
        claims=claims,
        blueprints=SqliteBlueprintStore(database, namespace=settings.namespace),
        epochs=SqliteEpochs(database, namespace=settings.namespace),
        hooks=SqliteHookStore(database, namespace=settings.namespace),
        timers=SqliteTimerStore(database, namespace=settings.namespace),
        schedules=SqliteScheduleStore(database, namespace=settings.namespace),
        tokens=SqliteTokenStore(database, namespace=settings.namespace),
        letters=SqliteDeadLetterStore(
            database, namespace=settings.namespace, keep_seconds=settings.dead_letter_seconds
        ),
    )


async def _open_cassandra(settings: Settings, stack: AsyncExitStack) -> Stores:
    database = await CassandraDatabase.open(
        settings.cassandra_contact_points or "",
        datacenter=settings.cassandra_datacenter,
        keyspace=settings.cassandra_keyspace,
        **cassandra_options(settings),
    )
    stack.push_async_callback(database.close)
    runs = CassandraRunStore(database, namespace=settings.namespace)
    claims = Claims(CassandraBlobStore(database, namespace=settings.namespace))
    return Stores(
        runs=ClaimingRuns(runs, claims, above_bytes=settings.claim_bytes),
        claims=claims,
        blueprints=CassandraBlueprintStore(database, namespace=settings.namespace),
        epochs=CassandraEpochs(database, namespace=settings.namespace),
        hooks=CassandraHookStore(database, namespace=settings.namespace),
        timers=CassandraTimerStore(database, namespace=settings.namespace),
        schedules=CassandraScheduleStore(database, namespace=settings.namespace),
        tokens=CassandraTokenStore(database, namespace=settings.namespace),
        letters=CassandraDeadLetterStore(database, namespace=settings.namespace),
    )
