"""Creates the keyspace and its tables, and brings them up to date.

Migrations only add, so workers of the version before run on while and after they are applied. Each statement is safe to
repeat, and all of them go to one host: two hosts that create the same table at once would give it two identities, one
host does one change after the other. So two migrations may also run at the same time.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any, Final

from cassandra.policies import HostDistance

from famulus.adapters.cassandra import connection
from famulus.adapters.cassandra.database import DEFAULT_KEYSPACE, KEYSPACE_SETTING, check_layout
from famulus.adapters.cassandra.failures import RETRY_AFTER_SECONDS, store_errors
from famulus.adapters.cassandra.statements import SCHEMA_FILE, Migration, migrations, named_statements
from famulus.errors import SettingsError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from ssl import SSLContext

    from famulus.adapters.cassandra.driver import Session

log = logging.getLogger(__name__)

REPLICATION_SETTING: Final = "FAMULUS_CASSANDRA_REPLICATION"
SCHEMA_TIMEOUT_SECONDS: Final = 60.0
"""For one change: a node writes it to disk and tells all others."""
EXPIRING_TABLES: Final = (
    "runs",
    "steps",
    "context",
    "events",
    "recent_runs",
    "recent_buckets",
    "hooks",
    "blobs",
    "dead_letters",
    "dead_letter_list",
    "dead_letter_buckets",
    "dead_letter_marks",
)
"""Not the index of open runs: what is open must not vanish from there."""

_DATACENTER: Final = re.compile(r"[A-Za-z0-9_.-]{1,48}")


async def migrate(
    contact_points: str,
    *,
    keyspace: str = DEFAULT_KEYSPACE,
    replication: int | Mapping[str, int] = 1,
    default_time_to_live: int | None = None,
    datacenter: str | None = None,
    username: str | None = None,
    password: str | None = None,
    ssl_context: SSLContext | None = None,
) -> Sequence[int]:
    """Apply the migrations that are missing, and return their numbers; none when the tables are up to date.

    A keyspace that does not exist is created: a number gives its copies (``SimpleStrategy``), a mapping the copies of
    each datacenter (``NetworkTopologyStrategy``). One that exists keeps its replication.

    ``default_time_to_live`` is in seconds, 0 keeps rows for ever, ``None`` changes nothing. It counts from the write of
    a row, so it must be longer than the longest run, or a run loses its oldest rows while it lasts.
    """
    connection.identifier(keyspace, setting=KEYSPACE_SETTING)
    copies = replication_clause(replication)

    def migrate_in_thread() -> Sequence[int]:
        session = connection.connect(
            contact_points,
            datacenter=datacenter,
            username=username,
            password=password,
            ssl_context=ssl_context,
            request_timeout=SCHEMA_TIMEOUT_SECONDS,
        )
        try:
            with store_errors():
                applied = _migrate(session, keyspace, copies)
                if default_time_to_live is not None:
                    _expire_rows(session, keyspace, default_time_to_live)
        finally:
            session.cluster.shutdown()
        return applied

    return await asyncio.to_thread(migrate_in_thread)


def replication_clause(replication: int | Mapping[str, int]) -> str:
    """Return the CQL map for a number of copies, or for the copies of each datacenter."""
    if isinstance(replication, int):
        return f"{{'class': 'SimpleStrategy', 'replication_factor': {_copies(replication)}}}"
    for datacenter in replication:
        if _DATACENTER.fullmatch(datacenter) is None:
            raise SettingsError(REPLICATION_SETTING, f"{datacenter[:80]!r} is no name of a datacenter")
    copies = ", ".join(f"'{datacenter}': {_copies(count)}" for datacenter, count in replication.items())
    return f"{{'class': 'NetworkTopologyStrategy', {copies}}}"


def _copies(count: int) -> int:
    if count < 1:
        raise SettingsError(REPLICATION_SETTING, f"{count} is no number of copies")
    return count


def _migrate(session: Session, keyspace: str, copies: str) -> Sequence[int]:
    known = session.cluster.metadata.keyspaces.get(keyspace)
    if known is not None:
        check_layout(known)
    statements = named_statements(SCHEMA_FILE)
    host = _first_host(session)
    _change(session, statements["create_keyspace"].format(keyspace=keyspace, replication=copies), host)
    session.set_keyspace(keyspace)
    _change(session, statements["create_schema_versions"], host)
    current = session.execute(statements["select_schema_version"], host=host).one()[0] or 0
    missing = [migration for migration in migrations() if migration.version > current]
    for migration in missing:
        _apply(session, migration, host)
        # A crash here repeats the migration, which changes nothing.
        session.execute(statements["insert_schema_version"], (migration.version,), host=host)
    return [migration.version for migration in missing]


def _apply(session: Session, migration: Migration, host: Any) -> None:
    for statement in migration.statements:
        _change(session, statement, host)
    log.info(
        "Applied schema migration %s (%s)",
        migration.version,
        migration.name,
        extra={"action": "schema_migrated", "version": migration.version},
    )


def _expire_rows(session: Session, keyspace: str, seconds: int) -> None:
    statements = named_statements(SCHEMA_FILE)
    host = _first_host(session)
    for table in EXPIRING_TABLES:
        found = session.execute(statements["select_expiry"], (keyspace, table), host=host).one()
        if found != (seconds,):
            _change(session, statements["expire_rows"].format(table=table, seconds=seconds), host)


def _change(session: Session, statement: str, host: Any) -> None:
    """Change the schema and wait until all nodes that are up agree on it."""
    result = session.execute(statement, host=host)
    if not result.response_future.is_schema_agreed:
        raise StoreUnavailableError(
            "the nodes of the cluster do not agree on the schema: wait until all are up, then run "
            "`famulus schema migrate` again",
            retry_after=RETRY_AFTER_SECONDS,
        )


def _first_host(session: Session) -> Any:
    """Return the host that every migration picks, as long as it is up."""
    policy = session.cluster.profile_manager.default.load_balancing_policy
    near = [
        host
        for host in session.cluster.metadata.all_hosts()
        if host.is_up and policy.distance(host) == HostDistance.LOCAL
    ]
    return min(near, key=lambda host: (host.address, host.endpoint.port))
