"""One keyspace of a cluster, opened for a worker: the bridge to it and its prepared statements."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from cassandra import ConsistencyLevel
from cassandra.query import BatchStatement, BatchType

from famulus.adapters.cassandra import connection
from famulus.adapters.cassandra.bridge import Bridge
from famulus.adapters.cassandra.failures import store_errors
from famulus.adapters.cassandra.statements import SCHEMA_FILE, migrations, named_statements, worker_statements
from famulus.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
    from ssl import SSLContext

    from famulus.adapters.cassandra.driver import Prepared, Rows, Session

DEFAULT_KEYSPACE: Final = "famulus"
KEYSPACE_SETTING: Final = "FAMULUS_CASSANDRA_KEYSPACE"


@dataclass(frozen=True, slots=True)
class Write:
    """A statement of ``cql/`` by name, with the values of its question marks."""

    statement: str
    values: Sequence[Any]
    size: int = 0
    """How many bytes of JSON are in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What `famulus doctor` shows of the cluster, as it was when the database was opened."""

    version: str
    datacenter: str
    keyspace: str
    schema_version: int


class CassandraDatabase:
    """Executes the named statements of ``cql/``. Made by `open`, used in the event loop that opened it."""

    def __init__(self, session: Session, statements: Mapping[str, Prepared], server: ServerFacts) -> None:
        self._session = session
        self._bridge = Bridge(session)
        self._statements = statements
        self._before_close: list[Callable[[], Awaitable[None]]] = []
        self.server = server

    @classmethod
    async def open(
        cls,
        contact_points: str,
        *,
        datacenter: str | None = None,
        keyspace: str = DEFAULT_KEYSPACE,
        username: str | None = None,
        password: str | None = None,
        ssl_context: SSLContext | None = None,
        request_timeout: float = connection.DEFAULT_REQUEST_TIMEOUT,
    ) -> Self:
        """Connect and prepare all statements. Contact points are ``host[:port]``, separated by commas.

        Raises `StoreUnavailableError` when no host answers, and `SettingsError` when the keyspace has no tables yet
        or older ones than this version of famulus needs.
        """
        connection.identifier(keyspace, setting=KEYSPACE_SETTING)

        def connect_and_prepare() -> tuple[Session, Mapping[str, Prepared], ServerFacts]:
            session = connection.connect(
                contact_points,
                datacenter=datacenter,
                username=username,
                password=password,
                ssl_context=ssl_context,
                request_timeout=request_timeout,
            )
            try:
                with store_errors():
                    server = _inspect(session, keyspace)
                    return session, _prepare(session), server
            except BaseException:
                session.cluster.shutdown()
                raise

        return cls(*await asyncio.to_thread(connect_and_prepare))

    async def close(self) -> None:
        """Let the stores finish what they do in the background, then disconnect. Safe to call twice."""
        while self._before_close:
            await self._before_close.pop()()
        await asyncio.to_thread(self._session.cluster.shutdown)

    def before_close(self, finish: Callable[[], Awaitable[None]]) -> None:
        """Register what a store has to finish while the connection is still open."""
        self._before_close.append(finish)

    async def execute(self, statement: str, values: Sequence[Any]) -> Rows:
        """Execute one named statement and return the rows of its first page."""
        return await self._bridge.execute(self._statements[statement], values)

    async def execute_serial(self, statement: str, values: Sequence[Any]) -> Rows:
        """As `execute`, reading at the serial consistency."""
        bound = self._statements[statement].bind(values)
        bound.consistency_level = ConsistencyLevel.LOCAL_SERIAL
        return await self._bridge.execute(bound)

    async def write_partition(self, writes: Iterable[Write]) -> None:
        """Execute writes to one partition key as one unlogged batch: one mutation, which a replica takes whole."""
        batch: Any = BatchStatement(batch_type=BatchType.UNLOGGED)  # type: ignore[no-untyped-call]  # as all the driver
        for write in writes:
            batch.add(self._statements[write.statement], write.values)
        batch.is_idempotent = True
        await self._bridge.execute(batch)

    def pages(self, statement: str, values: Sequence[Any]) -> AsyncIterator[Rows]:
        """Yield the rows of a named statement page by page."""
        return self._bridge.pages(self._statements[statement], values)

    async def all_rows(self, statement: str, values: Sequence[Any]) -> Rows:
        """Return the rows of all pages of a named statement."""
        return await self._bridge.all_rows(self._statements[statement], values)


def check_layout(keyspace: Any) -> None:
    """Refuse, with `SettingsError`, the tables of a state of famulus before its first release.

    They have a row for each step, where there is one for each owner of it now; a primary key cannot be changed.
    """
    steps = keyspace.tables.get("steps")
    if steps is not None and "epoch" not in steps.columns:
        raise SettingsError(
            KEYSPACE_SETTING,
            f"the tables of keyspace {keyspace.name!r} were made before the first release of famulus, and their runs "
            "cannot be taken over: name another keyspace, or drop this one",
        )


def _inspect(session: Session, keyspace: str) -> ServerFacts:
    tables = session.cluster.metadata.keyspaces.get(keyspace)
    if tables is None or "schema_versions" not in tables.tables:
        raise SettingsError(
            KEYSPACE_SETTING, f"keyspace {keyspace!r} has no tables of famulus: run `famulus schema migrate`"
        )
    session.set_keyspace(keyspace)
    check_layout(tables)
    statements = named_statements(SCHEMA_FILE)
    found = session.execute(statements["select_schema_version"]).one()[0] or 0
    needed = migrations()[-1].version
    # A newer schema is fine: migrations only add, so that old and new workers can run side by side.
    if found < needed:
        raise SettingsError(
            KEYSPACE_SETTING,
            f"the tables of keyspace {keyspace!r} have version {found}, this famulus needs {needed}: "
            "run `famulus schema migrate`",
        )
    version, datacenter = session.execute(statements["select_server"]).one()
    return ServerFacts(version=version, datacenter=datacenter, keyspace=keyspace, schema_version=found)


def _prepare(session: Session) -> Mapping[str, Prepared]:
    prepared = {name: session.prepare(text) for name, text in worker_statements().items()}
    for statement in prepared.values():
        # Every write carries its own timestamp, so repeating it changes nothing.
        statement.is_idempotent = " IF " not in statement.query_string
    return prepared
