"""A connection to the cluster: where it is, and how requests are sent to it."""

# The driver has no types, and this is where its objects are made.
# mypy: allow-untyped-calls

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cassandra import AuthenticationFailed, ConsistencyLevel, DependencyException, UnresolvableContactPoints
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.policies import ConstantReconnectionPolicy, DCAwareRoundRobinPolicy, TokenAwarePolicy
from cassandra.query import tuple_factory

from famulus.adapters.cassandra.failures import RETRY_AFTER_SECONDS, answers_of, describe
from famulus.errors import FamulusError, SettingsError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ssl import SSLContext

    from cassandra.connection import Connection

    from famulus.adapters.cassandra.driver import Session

DEFAULT_PORT: Final = 9042
DEFAULT_REQUEST_TIMEOUT: Final = 5.0
PROTOCOL_VERSION: Final = 5  # Cassandra 4.0 and newer: checksummed frames, statements that notice a changed table
CONNECT_TIMEOUT_SECONDS: Final = 5.0
HEARTBEAT_SECONDS: Final = 5.0
"""How long nothing may come over a connection before it is asked, and again before it counts as dead. The driver's own
30 s and 30 s would let every request of a minute time out on a connection that a router has forgotten."""
FETCH_SIZE: Final = 1000
"""Rows a page: with rows of some kilobytes a page stays far below a frame."""
LIBEV_MISSING: Final = (
    "cassandra-driver was built without its libev extension, which famulus needs. "
    "Install a wheel of it, or libev's headers (libev-dev) before it is built from source."
)

_IDENTIFIER: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")
_CONTACT_POINT: Final = re.compile(r"(?:\[(?P<ipv6>[0-9a-fA-F:]+)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>\d{1,5}))?")


def identifier(text: str, *, setting: str) -> str:
    """Return the text if it can stand as a name in CQL unquoted. Names cannot be bound, so nothing else may."""
    if _IDENTIFIER.fullmatch(text) is None:
        raise SettingsError(setting, f"{text[:80]!r} is no name for Cassandra: it must match {_IDENTIFIER.pattern}")
    return text


def parse_contact_points(text: str) -> Sequence[tuple[str, int]]:
    """Return hosts and ports of a text such as ``127.0.0.1:9042,cassandra-2,[::1]:9043``."""
    points = [_parse_contact_point(part.strip()) for part in text.split(",") if part.strip()]
    if not points:
        raise SettingsError("CASSANDRA_CONTACT_POINTS", "names no host, for example 127.0.0.1:9042")
    return points


def _parse_contact_point(text: str) -> tuple[str, int]:
    match = _CONTACT_POINT.fullmatch(text)
    if match is None:
        raise SettingsError("CASSANDRA_CONTACT_POINTS", f"{text[:80]!r} is not of the form host or host:port")
    return match["ipv6"] or match["host"], int(match["port"] or DEFAULT_PORT)


def connect(
    contact_points: str,
    *,
    datacenter: str | None = None,
    username: str | None = None,
    password: str | None = None,
    ssl_context: SSLContext | None = None,
    request_timeout: float = DEFAULT_REQUEST_TIMEOUT,
) -> Session:
    """Open a session without a keyspace. Blocks for as long as connecting takes, so call it in a thread.

    Without a datacenter, that of the contact points is taken for local. Raises `StoreUnavailableError` when no host
    answers, `SettingsError` when a host refuses the credentials or no name resolves.
    """
    nearby = DCAwareRoundRobinPolicy(local_dc=datacenter or "")
    # No speculative execution: it would double the writes just when the cluster is slow.
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(nearby),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        serial_consistency_level=ConsistencyLevel.LOCAL_SERIAL,
        request_timeout=request_timeout,
        row_factory=tuple_factory,
    )
    points = parse_contact_points(contact_points)
    try:
        cluster = Cluster(
            contact_points=points,
            port=points[0][1],
            protocol_version=PROTOCOL_VERSION,
            connection_class=_libev_connection(),
            auth_provider=PlainTextAuthProvider(username, password) if username else None,
            ssl_context=ssl_context,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},  # type: ignore[has-type]  # an untyped constant
            reconnection_policy=ConstantReconnectionPolicy(RETRY_AFTER_SECONDS, max_attempts=None),
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            control_connection_timeout=CONNECT_TIMEOUT_SECONDS,
            idle_heartbeat_interval=HEARTBEAT_SECONDS,
            idle_heartbeat_timeout=HEARTBEAT_SECONDS,
        )
    except UnresolvableContactPoints as error:
        raise SettingsError("CASSANDRA_CONTACT_POINTS", f"no host of {contact_points!r} resolves") from error
    try:
        session: Session = cluster.connect()
    except NoHostAvailable as error:
        cluster.shutdown()
        raise _cannot_connect(error, contact_points, datacenter) from error
    except BaseException:
        cluster.shutdown()
        raise
    session.default_fetch_size = FETCH_SIZE
    session.use_client_timestamp = False  # each write names its own
    return session


def _cannot_connect(error: NoHostAvailable, contact_points: str, datacenter: str | None) -> FamulusError:
    answers = answers_of(error)
    if any(isinstance(answer, AuthenticationFailed) for answer in answers.values()):
        return SettingsError("CASSANDRA_USERNAME", f"Cassandra refuses the credentials: {describe(error)}")
    if not answers and datacenter:
        # The driver found the cluster, but no host that it may use.
        return SettingsError("CASSANDRA_DATACENTER", f"no host of the cluster is up in datacenter {datacenter!r}")
    return StoreUnavailableError(
        f"Cassandra does not answer at {contact_points}: {describe(error)}", retry_after=RETRY_AFTER_SECONDS
    )


def _libev_connection() -> type[Connection]:
    """Return the libev reactor by name: left to itself the driver falls back to slower ones without a word."""
    try:
        from famulus.adapters.cassandra.streams import (  # noqa: PLC0415 - fails at import without the extension
            StreamKeepingConnection,
        )
    except DependencyException as error:
        raise SettingsError("cassandra-driver", LIBEV_MISSING) from error
    return StreamKeepingConnection
